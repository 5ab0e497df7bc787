"Several tasks of one network: missing labels, weights, folds without leaks, the bundle, and the command line."
import json

import numpy as np
import pandas as pd
import pytest
from commands import cancer_dl
from refusing import refused
from sklearn.pipeline import make_pipeline

from cancer_dl.core import keras_module
from cancer_dl.data.cohort import write_cohort
from cancer_dl.data.freeze import freeze, thaw
from cancer_dl.data.preprocess import PCAReducer, ZScaler
from cancer_dl.data.samples import patients_of
from cancer_dl.data.select import RandomForestSelector
from cancer_dl.data.simulate import write_simulated
from cancer_dl.interpret.saliency import gene_effect_pipeline
from cancer_dl.multitask import (evaluate_multitask, file_part, judge_network, parts_of, plan_tasks, task_labels,
                                 task_predictions, train_multitask)
from cancer_dl.train.bundle import load_bundle, save_bundle
from cancer_dl.train.estimator import CancerClassifier, MultitaskClassifier
from cancer_dl.train.task import Multitask

QUICK = dict(epochs=3, members=1, compare=False, model_params=dict(dense=16))

@pytest.fixture(scope="module")
def cohort(some_tissues): return some_tissues

@pytest.fixture(scope="module")
def trained(cohort):
    return train_multitask(cohort, ["tissue", "sample_type"], judge="holdout", seed=3, **{**QUICK, "compare": True})

# ---------------------------------------------------------------- the task

@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 12)).astype("float32")
    y = pd.DataFrame({"state": np.where(X[:, 0] > 0, "tumour", "normal"), "kind": np.where(X[:, 1] > .3, "a", "b"),
                      "dose": 3 * X[:, 2] + 10}, dtype=object)
    return X, y

@pytest.mark.parametrize("model, sizes", [("mlp", dict(dense=8)), ("cnn1d", {})])
def test_one_task_is_the_single_task_network(arrays, model, sizes):
    "Also where early stopping looks at the accuracy, as it does for the 1D-CNN, and where a label is missing."
    X, y = arrays
    options = dict(model_params=sizes, epochs=4, members=1, random_state=1)
    known = np.arange(len(X)) % 7 > 0
    one = CancerClassifier(model, **options).fit(X[known], y["state"][known])
    several = MultitaskClassifier(model, tasks={"state": "classes"}, **options)
    several.fit(X, y[["state"]].where(known[:, None]))
    np.testing.assert_array_equal(one.predict_proba(X), several.predict_proba(X)["state"])
    assert several.history_.logs == one.history_.logs

def test_weights_are_shares_of_the_loss():
    tasks = {"state": "classes", "kind": "classes"}
    for weights, share in ((None, .5), (dict(state=3, kind=3), .5), (dict(state=9), .9), (dict(kind=0), 1)):
        assert Multitask(tasks, weights).weighted("state", 1.0, {}) == pytest.approx(share)

def test_the_harder_task_is_given_less_weight(arrays):
    X, y = arrays
    noise = pd.DataFrame({"state": y["state"], "coin": np.random.default_rng(1).permutation(y["kind"])})
    network = MultitaskClassifier("mlp", dict(dense=8), tasks={"state": "classes", "coin": "classes"}, epochs=40,
                                  learning_rate=.02, members=2, random_state=1, task_weights="uncertainty")
    network.fit(X, noise)
    weights = network.task_.learned_weights(network.network_outputs(X))
    assert weights["state"] > 1.2 > .8 > weights["coin"] and sum(weights.values()) == pytest.approx(2)
    assert set(network.predict(X)) == {"state", "coin"}

def test_classes_a_value_and_survival_share_an_encoder(arrays):
    X, y = arrays
    time = pd.DataFrame({"time": np.exp(2 - X[:, 3].astype(float)), "event": (X[:, 4] > -.5).astype(float)})
    answers = {"kind": y["kind"].to_numpy(), "dose": y["dose"].to_numpy(float), "os": time}
    network = MultitaskClassifier("mlp", dict(dense=32, dropout=0), epochs=40, learning_rate=.005, members=1,
                                  random_state=0, tasks={"kind": "classes", "dose": "value", "os": "survival"})
    fitted = network.fit(X, answers)
    found = fitted.task_.scores(answers, fitted.network_outputs(X))
    assert found["kind: accuracy"] > .85 and found["dose: r2"] > .7 and found["os: concordance"] > .75
    assert list(fitted.task_.columns(fitted.network_outputs(X[:2]))) == [
        "kind_prediction", "kind_score", "kind_p_a", "kind_p_b", "dose_prediction", "os_log_hazard"]

@pytest.mark.parametrize("weights, part", [({"stat": 1}, "Did you mean state"), ({"state": -1}, "at least 0"),
                                           ({"state": 0, "kind": 0}, "above 0"), ("learned", "uncertainty"),
                                           (3, "a weight a task"), ({"state": float("nan")}, "at least 0")])
def test_weights_that_make_no_sense(weights, part):
    refused(lambda: Multitask({"state": "classes", "kind": "classes"}, weights), part)

# ---------------------------------------------------------------- labels

def test_a_sample_without_one_label_trains_the_others(cohort, trained):
    data = trained.data
    assert data.known("tissue").sum() == 120 and data.known("sample_type").sum() == 150 == len(data.y)
    assert trained.bundle.facts["provenance"]["labelled"] == "tissue: 120; sample_type: 150"
    a = trained.assessments["tissue"]
    assert len(a.own.y) == (data.known("tissue") & np.isin(data.base.samples, data.of("sample_type").samples[
        trained.assessments["sample_type"].rows])).sum()

def test_names_that_differ_in_signs_or_have_no_ascii_letter():
    "Each task has layers of its own; a name that stands alone keeps the one it has in bundles that exist."
    names = ["site_a", "site-a", "組織", "器官", "disease state"]
    task = Multitask(dict.fromkeys(names, "classes")).fit({name: np.array(["x", "y"]) for name in names})
    inputs = keras_module().Input((3,))
    model = keras_module().Model(inputs, task.head(inputs))
    assert len({model.get_layer(layer).name for layer in task.raw().values()}) == 5
    assert task.raw()["disease state"] == "disease_state_logits"
    assert Multitask(dict(reversed(task.tasks.items()))).raw() == task.raw()  # whatever their order in a file

def test_samples_without_any_label(cohort):
    bare = cohort.copy()
    bare.obs["sample_type"] = bare.obs["sample_type"].astype(object)
    bare.obs.iloc[:10, bare.obs.columns.get_loc("sample_type")] = ""
    refused(lambda: task_labels(bare, ["tissue", "sample_type"]), "2 of 150 samples have no label in any of",
            bare.obs_names[0], "--drop-unlabelled")
    assert len(task_labels(bare, ["tissue", "sample_type"], drop_unlabelled=True).y) == 148

def test_normals_have_no_type_unless_they_are_pooled(cohort):
    normal = (cohort.obs["sample_type"] == "normal").to_numpy()
    plain = task_labels(cohort, ["cancer_type", "sample_type"])
    assert (plain.known("cancer_type") == ~normal).all()
    pooled = task_labels(cohort, ["cancer_type", "sample_type"], normal_class=True)
    assert (pooled.y["cancer_type"][normal] == "NORMAL").all() and not pooled.y["sample_type"].eq("NORMAL").any()
    refused(lambda: task_labels(cohort, ["tissue", "sample_type"], normal_class=True), "Leave it out")

def test_tasks_that_cannot_be_learned(cohort):
    odd = cohort.copy()
    odd.obs["same"], odd.obs["empty"] = "x", ""
    odd.obs["alone"] = np.where(odd.obs["tissue"].isna(), np.where(np.arange(150) % 2, "a", "b"), None)
    odd.obs["once"] = [f"class {k}" if k < 3 else None for k in range(150)]
    odd.obs["a,b"] = odd.obs["sample_type"]
    def ask(*labels, **options): return lambda: train_multitask(odd, list(labels), **QUICK, **options)
    refused(ask("tissue", "same"), "'same' has one class only")
    refused(ask("tissue", "empty"), "'empty' is empty")
    refused(ask("tissue", "alone"), "No sample with a label in 'tissue' has one in alone", "--label tissue")
    refused(ask("tissue", "once"), "'once'", "fewer than 2")
    refused(ask("tissue", "a,b"), "comma")
    refused(ask("tissue", "tisue"), "no label column 'tisue'", "Did you mean tissue")
    refused(ask("tissue", "tissue"), "named twice")
    refused(ask("tissue", "once", min_class_size=2, small_classes="drop"), "fewer than two classes are left")

def test_two_tasks_of_classes_with_one_patient_each(cohort):
    one = cohort[cohort.obs["sample_type"] == "primary"][:40].copy()  # a pair of normal and tumour is one patient
    one.obs["patient"] = np.where(np.arange(40) < 20, "P1", "P2")
    one.obs["left"], one.obs["right"] = np.repeat(["a", "b"], 20), np.repeat(["c", "d"], 20)
    assert len(set(patients_of(one))) == 2
    refused(lambda: train_multitask(one, ["left", "right"], **QUICK), "Task 'left'", "one patient only")

def test_columns_that_would_be_written_twice(cohort):
    odd = cohort.copy()
    odd.obs["a"], odd.obs["a_p"] = np.where(np.arange(150) % 2, "prediction", "x"), odd.obs["sample_type"]
    refused(lambda: task_labels(odd, ["a", "a_p"]), "a_p_prediction", "Rename")
    for ending in ("score2", "top2", "label"):
        odd.obs["a"] = np.where(np.arange(150) % 2, ending, "x")
        refused(lambda: task_labels(odd, ["a", "a_p"]), f"a_p_{ending}", "Rename")

# ---------------------------------------------------------------- judging

def test_no_patient_is_on_both_sides_and_every_task_is_in_every_part(cohort):
    data = task_labels(cohort, ["tissue", "sample_type"])
    plan = plan_tasks(data, "crossval")
    folds = parts_of(data, plan, seed=0)
    assert len(folds) == plan.n_splits * plan.n_repeats
    for _, _, train, test in folds:
        assert not set(data.base.patients[train]) & set(data.base.patients[test])
        for task in data.tasks: assert set(data.y[task].iloc[train].dropna()) == set(data.y[task].dropna())

def test_nothing_is_learned_from_test_folds(cohort):
    "Genes chosen by a forest on noise: what is chosen within the folds stays at chance for both tasks."
    noise, rng = cohort.copy(), np.random.default_rng(0)
    noise.X = rng.normal(size=noise.shape).astype("float32") + 5
    noise.obs["coin"], noise.obs["toss"] = rng.choice(["a", "b"], 150), rng.choice(["c", "d"], 150)
    data = task_labels(noise, ["coin", "toss"])
    plan = plan_tasks(data, "crossval")
    network = MultitaskClassifier("mlp", dict(dense=8), tasks={"coin": "classes", "toss": "classes"}, epochs=8,
                                  members=1, random_state=0)
    pipeline = make_pipeline(RandomForestSelector(k=4, n_trees=20), ZScaler(), network)
    calls = judge_network(pipeline, data, parts_of(data, plan, 0)[:plan.n_splits])
    for own in calls.values():
        result = own.result(np.arange(150))
        assert abs((result.predicted == result.y).mean() - .5) < .13

def test_all_learners_are_judged_on_the_same_patients(trained):
    for a in trained.assessments.values():
        assert len(a.baselines) == 3 and len({tuple(r.y) for r in a.results.values()}) == 1
        assert all(name in a.verdict() for name in a.baselines)

# ---------------------------------------------------------------- inputs as steps

def test_steps_in_front_of_the_network_go_into_the_bundle(cohort, tmp_path):
    "Genes by random forest, then components: frozen, and the same after loading."
    network = MultitaskClassifier("hong2022", dict(units=16), tasks={"tissue": "classes", "sample_type": "classes"},
                                  epochs=2, random_state=0)
    steps = make_pipeline(RandomForestSelector(k=12, n_trees=10), ZScaler(), PCAReducer(6), ZScaler(), network)
    found = train_multitask(cohort, ["tissue", "sample_type"], judge="holdout", compare=False, pipeline=steps)
    assert len(found.bundle.features) == 12  # a selection in front is no part of the bundle: fewer genes are asked for
    save_bundle(found.bundle, tmp_path/"b.zip")
    answers, _ = load_bundle(tmp_path/"b.zip").predict_cohort(cohort[:5])
    before = found.bundle.calibration.apply(steps.predict_proba(np.asarray(cohort.X[:5])))["tissue"]
    np.testing.assert_allclose(answers.filter(like="tissue_p_").to_numpy(), before, atol=1e-5)

def test_a_forest_needs_answers(arrays):
    X, y = arrays
    chosen = RandomForestSelector(k=3, n_trees=40).fit(X, y)
    assert set(chosen.get_support(indices=True)) == {0, 1, 2}
    np.testing.assert_array_equal(thaw(*freeze(chosen)).support_, chosen.support_)
    refused(lambda: RandomForestSelector().fit(X), "requires y")
    refused(lambda: RandomForestSelector().fit(X, y.assign(kind=None)), "Task 'kind'", "0 samples")
    refused(lambda: RandomForestSelector().fit(X, {"kind": y["kind"][:5]}), "5 answers of 'kind' for 80 samples")
    refused(lambda: RandomForestSelector(k=.5).fit(X, y), "1 or more")

# ---------------------------------------------------------------- the bundle

def test_the_bundle_answers_and_is_measured_task_by_task(cohort, trained, simulated, tmp_path):
    save_bundle(trained.bundle, tmp_path/"b")
    bundle = load_bundle(tmp_path/"b")
    assert set(bundle.facts["metrics"]) == {"tissue", "sample_type"}
    card = (tmp_path/"b"/"MODEL_CARD.md").read_text()
    assert "**tissue**, on " in card and "**sample_type**, on " in card
    new = simulated(n_samples=60, n_genes=40, n_classes=4, seed=2)
    found, report, answers = evaluate_multitask(bundle, new)
    table = task_predictions(answers, bundle)
    assert list(table.columns[:3]) == ["sample_id", "tissue_prediction", "tissue_score"]
    right = (table["tissue_prediction"].to_numpy() == new.obs["tissue"].astype(str).to_numpy()).mean()
    assert found["tissue"].metrics()["accuracy"] == pytest.approx(right, abs=1e-5)
    strange = new.copy()
    strange.obs["tissue"] = "brain"
    refused(lambda: evaluate_multitask(bundle, strange), "task 'tissue' of the bundle does not know: brain")
    refused(lambda: evaluate_multitask(bundle, new, "tissue,kind"), "task of the bundle called 'kind'")

def test_a_bundle_warns_of_what_it_was_trained_on(cohort, trained):
    found, report, _ = evaluate_multitask(trained.bundle, cohort)
    assert "are not new to the model" in report["warnings"][0]
    assert found["tissue"].seen.all()  # after the hold-out it was trained once more, on everybody

def test_samples_with_shuffled_genes_are_unfamiliar(cohort, trained):
    mixed = cohort.copy()
    mixed.X = np.random.default_rng(0).permuted(np.asarray(mixed.X), axis=1)
    far = trained.bundle.predict_cohort(mixed)[1]["distance"]
    assert (far > 1).mean() > .9 > .3 > (trained.bundle.predict_cohort(cohort)[1]["distance"] > 1).mean()

def test_names_of_files():
    assert file_part(["tissue", "a/b", "a b", "Tissue"]) == {"tissue": "1_tissue", "a/b": "2_a_b", "a b": "3_a_b",
                                                             "Tissue": "4_Tissue"}

# ---------------------------------------------------------------- the command line

@pytest.fixture(scope="module")
def line(cohort, tmp_path_factory):
    "A cohort on disk, and a bundle for two labels made of it by the command line."
    folder = tmp_path_factory.mktemp("line")
    write_simulated(cohort, folder/"cohort")
    call("train", folder/"cohort", "--label", "tissue", "--label", "sample_type", "--out", folder/"both", "--epochs", 2,
         "--set", "members=1", "--set", "dense=16", "--judge", "holdout", "--seed", 1)
    return folder

def call(*words, code=0):
    from cancer_dl.cli import main
    with pytest.raises(SystemExit) as end: main([str(word) for word in words])
    assert end.value.code == code

def test_train_evaluate_and_predict(line, capsys):
    assert {"bundle.json", "model.keras", "MODEL_CARD.md", "report.html"} <= {p.name for p in (line/"both").iterdir()}
    page = (line/"both"/"report.html").read_text()
    assert "Task: tissue" in page and "gradient boosting" in page
    call("evaluate", line/"both", line/"cohort", "--out", line/"evaluated")
    metrics = json.loads((line/"evaluated"/"metrics.json").read_text())
    assert {"ece", "log_loss", "top_k", "macro_auroc"} <= set(metrics["tissue"]) & set(metrics["sample_type"])
    of_two = metrics["sample_type"]
    assert of_two["auroc_interval"][0] <= of_two["auroc"] <= of_two["auroc_interval"][1] and "positive_class" in of_two
    assert set(metrics) == {"tissue", "sample_type"}
    for block in metrics.values():
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            low, high = block[f"{name}_interval"]
            assert 0 <= low <= block[name] <= high <= 1
    assert metrics["tissue"]["n"] == 120 and metrics["tissue"]["n_without_label"] == 30
    call("predict", line/"both", line/"cohort", "--out", line/"p.csv", "--top", 1)
    table, shown = pd.read_csv(line/"p.csv"), pd.read_csv(line/"evaluated"/"predictions.csv")
    assert list(table.columns) == ["sample_id", "tissue_prediction", "tissue_score", "tissue_p_breast",
                                   "tissue_p_kidney", "tissue_p_lung", "sample_type_prediction", "sample_type_score",
                                   "sample_type_p_normal", "sample_type_p_primary", "unfamiliar", "distance"]
    assert (table["unfamiliar"] == (table["distance"] > 1)).mean() > .99 and table["unfamiliar"].mean() < .3
    assert "unfamiliar" in capsys.readouterr().out and "called unfamiliar" in (line/"both"/"MODEL_CARD.md").read_text()
    right = (shown["tissue_prediction"] == shown["tissue_label"])[shown["tissue_label"].notna()]
    assert right.mean() == pytest.approx(metrics["tissue"]["accuracy"], abs=1e-5) and len(right) == 120
    assert (shown["tissue_prediction"] == table["tissue_prediction"]).all()
    call("evaluate", line/"both", line/"cohort", "--label", "sample_type", "--out", line/"evaluated", code=2)
    assert "--overwrite" in capsys.readouterr().err
    call("evaluate", line/"both", line/"cohort", "--label", "sample_type", "--out", line/"evaluated", "--overwrite")
    assert set(json.loads((line/"evaluated"/"metrics.json").read_text())) == {"sample_type"}
    assert not (line/"evaluated"/"confusion_tissue.csv").exists()

@pytest.mark.parametrize("words, parts", [
    (["--label", "tissue", "--label", "tissue"], ["named twice"]),
    (["--label", "tissue", "--label", "nothing"], ["no label column 'nothing'"]),
    (["--label", "tissue", "--label", "purity"], ["--value purity"]),
    (["--label", "tissue", "--label", "sample_type", "--positive", "lung"], ["--positive"]),
    (["--label", "tissue", "--label", "sample_type", "--survival", "a,b"], ["--survival"]),
    (["--label", "tissue", "--label", "sample_type", "--normal-class"], ["--normal-class"]),
    (["--label", "tissue", "--label", "sample_type", "--set", "class_weight=balanced"], ["class_weight"])])
def test_what_is_refused(line, words, parts, capsys):
    call("train", line/"cohort", *words, "--out", line/"refused", code=2)
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and said.count("\n") == 1 and "Traceback" not in said
    for part in parts: assert part in said
    assert not (line/"refused").exists()

def test_explain_refuses_several_labels_before_it_reads(line, tmp_path):
    broken = tmp_path/"broken"
    broken.mkdir()
    code, _, error = cancer_dl("explain", line/"both", broken, "--out", tmp_path/"e")
    assert code == 2 and "cancer_dl train COHORT --label sample_type" in error and "broken" not in error
    assert "gene_effect_pipeline(bundle, cohort.to_df(), cohort.obs['sample_type'], 'sample_type')" in error

def test_the_call_that_the_refusal_names_works(trained, cohort):
    known = cohort[cohort.obs["tissue"].notna()]
    effect = gene_effect_pipeline(trained.bundle, known.to_df(), known.obs["tissue"], "tissue")
    assert effect.shape[1] == 40 and effect.max() == 1

def test_a_cohort_without_normals_or_without_a_label_is_measured(cohort, tmp_path):
    bundle = train_multitask(cohort, ["cancer_type", "sample_type"], normal_class=True, **QUICK).bundle
    tumours = cohort[cohort.obs["sample_type"] != "normal"].copy()
    found, report, _ = evaluate_multitask(bundle, tumours)
    assert {task: e.metrics()["n"] for task, e in found.items()} == dict.fromkeys(bundle.task.tasks, len(tumours))
    half = np.arange(len(tumours)) % 2 == 0
    apart = tumours.copy()  # no sample has both labels, and nothing is to be learned
    for name, rows in zip(bundle.task.tasks, (half, ~half)):
        apart.obs[name] = apart.obs[name].astype(object).where(rows, None)
    assert [e.metrics()["n"] for e in evaluate_multitask(bundle, apart)[0].values()] == [half.sum(), (~half).sum()]
    lacking = cohort.copy()
    del lacking.obs["cancer_type"]
    found, report, _ = evaluate_multitask(bundle, lacking)
    assert list(found) == ["sample_type"] and report["warnings"][0].startswith("Not measured: 'cancer_type'")
    refused(lambda: evaluate_multitask(bundle, lacking, "cancer_type,sample_type"), "no label column 'cancer_type'")
    save_bundle(bundle, tmp_path/"b")
    write_cohort(lacking, tmp_path/"lacking")
    code, said, wrong = cancer_dl("evaluate", tmp_path/"b", tmp_path/"lacking", "--out", tmp_path/"e")
    assert code == 0 and "Not measured: 'cancer_type'" in said, wrong
