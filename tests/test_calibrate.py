"Calibration, conformal sets and the flag of unfamiliar samples: what is promised holds, and is not learned on fits."
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from folders import edit_facts
from scipy.special import softmax
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from cancer_dl.classify import evaluate_bundle, train_classifier, write_evaluation
from cancer_dl.core import InputError
from cancer_dl.data.cohort import write_cohort
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.report import evaluation_lines
from cancer_dl.train.bundle import conformal_sets, load_bundle, make_bundle, save_bundle
from cancer_dl.train.calibrate import (calibrate, calibration_error, calibration_from, calibration_metrics,
                                       calibration_words, fit_temperature, quantile_of,
                                       selective_table, set_names, share_below, tempered, top_k_accuracy)
from cancer_dl.train.estimator import CancerClassifier, CancerRegressor
from cancer_dl.train.familiar import encoded, encoder_of
from cancer_dl.train.validate import cross_validate
from commands import cancer_dl
from refusing import refused

# -- arrays

def drawn(n, sharper=1., seed=0):
    "Probabilities that are right as often as they say where `sharper` is 1, and answers."
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 4))
    y = (rng.random(n)[:, None] > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    return softmax(logits * sharper, axis=1), y

@pytest.mark.parametrize("sharper", [.5, 1, 3])
def test_temperature_is_found_again(sharper):
    p, y = drawn(4000, sharper)
    assert fit_temperature(p, y) == pytest.approx(sharper, rel=.08)
    new, truth = drawn(4000, sharper, seed=1)
    assert calibration_error(tempered(new, fit_temperature(p, y)), truth) < .02
    if sharper != 1: assert calibration_error(new, truth) > .04

def test_a_patient_counts_once():
    p, y = drawn(300)
    copies = np.repeat(np.arange(300), np.random.default_rng(0).integers(1, 5, 300))
    assert fit_temperature(p[copies], y[copies], copies) == pytest.approx(fit_temperature(p, y), rel=1e-3)
    a, b = calibrate(p, y), calibrate(p[copies], y[copies], copies)
    for level in (.5, .9, .99):
        assert quantile_of(a.scores, a.shares, level) == pytest.approx(quantile_of(b.scores, b.shares, level), abs=2e-3)
    assert b.facts["patients"] == 300 and b.facts["samples"] == len(copies)

def _says(c, said): assert said in calibration_words(calibration_from(json.loads(json.dumps(c.to_dict()))).to_dict())

@pytest.mark.parametrize("sharper, n, scaled", [(1, 60, False), (3, 400, True), (.4, 400, True)])
def test_a_temperature_that_does_not_help_is_not_kept(sharper, n, scaled):
    "It is judged on patients that it was not learned from; a nearly perfect network must not become less sure."
    p, y = drawn(n, sharper) if scaled else (np.tile([[.99, .01], [.02, .98]], (n // 2, 1)), np.arange(n) % 2)
    c = calibrate(p, y)
    assert (c.temperature != 1) == scaled == ("temperature_tried" not in c.facts)
    assert c.facts["log_loss_after"] <= c.facts["log_loss_before"]
    if scaled: return _says(c, f"divided by {c.temperature:.3g}")
    assert c.facts["log_loss_tried"] > c.facts["log_loss_before"] == calibration_metrics(p, y)["log_loss"]
    np.testing.assert_allclose(c.apply(p), p, atol=1e-6)
    _says(c, "left as the network gives them")

@pytest.mark.parametrize("n, level", [(19, .95), (40, .9), (99, .99), (500, .98)])
def test_the_quantile_is_that_of_the_textbook(n, level):
    "Angelopoulos and Bates (2023): the ceil((n + 1) level)-th smallest score."
    s = np.random.default_rng(n).random(n)
    assert quantile_of(*share_below(s, np.arange(n)), level) == np.sort(s)[int(np.ceil((n + 1) * level - 1e-9)) - 1]

@pytest.mark.parametrize("level", [pytest.param(.8, marks=pytest.mark.slow), .9,
                                   pytest.param(.98, marks=pytest.mark.slow)])
def test_sets_cover_what_they_promise(level):
    found = []
    for seed in range(60):
        p, y = drawn(300, 2, seed)  # a network that is too sure
        c = calibrate(p[:100], y[:100])
        sets = c.sets(c.apply(p[100:]), level)
        assert sets.any(axis=1).all() and sets[np.arange(200), p[100:].argmax(axis=1)].all()
        found.append(sets[np.arange(200), y[100:]].mean())
    assert level - .01 < np.mean(found) < level + .03

def test_repeats_are_parts_of_a_patient_and_not_more_patients():
    p, y = drawn(50)
    c = calibrate(np.stack([p, p, p]), y)
    assert c.facts["patients"] == 50 and c.facts["repeats"] == 3
    refused(lambda: c.sets(p, .99), "50 held-out patients", "0.9803")
    one = calibrate(p, y)
    assert quantile_of(c.scores, c.shares, .9) == quantile_of(one.scores, one.shares, .9)

def test_many_scores_are_thinned_upwards():
    p, y = drawn(5000)
    c = calibrate(p, y)
    assert len(c.scores) == 1000 and len(json.dumps(c.to_dict())) < 60_000
    after = np.sort(1 - tempered(p, c.temperature)[np.arange(5000), y])
    for level in (.5, .9, .98, .999):
        exact = after[int(np.ceil(5001 * level)) - 1]
        assert exact - 1e-6 <= quantile_of(c.scores, c.shares, level) <= after[min(int(5001 * level) + 10, 4999)]

@pytest.mark.parametrize("change", [dict(temperature=0), dict(scores=[.5]), dict(patients=7), dict(source=3),
                                    dict(scores=[]), dict(shares="none"), dict(temperature=float("nan"))])
def test_an_edited_calibration_is_noticed(change):
    p, y = drawn(40)
    stored = json.loads(json.dumps(calibrate(p, y).to_dict()))
    calibration_from(stored)
    with pytest.raises((ValueError, TypeError)): calibration_from({**stored, **change})

def test_names_of_a_set_are_in_order():
    names = set_names(np.array([[1, 0, 1], [0, 1, 0]], bool), np.array([[.2, .1, .7], [0, 1, 0]]), ["a", "b", "c"])
    assert names.tolist() == ["c|a", "b"]

def test_curves_of_few_classes():
    assert top_k_accuracy(np.array([[.9, .1], [.2, .8]]), [0, 0]).tolist() == [.5, 1]
    assert top_k_accuracy(np.ones((3, 1)), [0, 0, 0]).tolist() == [1]
    tie = selective_table(np.array([[.7, .3], [.7, .3], [.6, .4]]), [0, 1, 0])
    assert tie["answered"].tolist() == [2 / 3, 1] and tie["accuracy"].tolist() == [.5, 2 / 3]

# -- cross-validation keeps what is needed

def test_every_repeat_keeps_its_probabilities(simulated):
    cohort = simulated(n_samples=90, n_genes=30, n_classes=3, share_normals=0, seed=0)
    y, X, seen = cohort.obs["cancer_type"].to_numpy(str), cohort.X, []
    svm = SVC(probability=False)
    learner = make_pipeline(ZScaler(), CancerClassifier("mlp", epochs=1, members=1, random_state=0))
    r = cross_validate(learner, X, y, n_splits=2, n_repeats=2, look=lambda *part: seen.append(part[1:]))
    assert r.each.shape == (2, 90, 3) and len(seen) == 2
    np.testing.assert_array_equal(r.each.argmax(axis=2), r.predicted)
    np.testing.assert_allclose(r.each.mean(axis=0), r.probability)
    assert sorted(np.concatenate([test for _, test in seen])) == list(range(90))
    assert cross_validate(svm, X, y, n_splits=2, n_repeats=1).each is None

# -- bundles

@pytest.fixture(scope="module")
def trained(simulated):
    "A bundle that was judged by a hold-out, and a cohort of new patients."
    cohort = simulated(n_samples=420, n_genes=60, n_classes=4, share_normals=0, seed=3)
    cohort.obs["patient"] = [f"P{i}" for i in range(420)]
    options = dict(model="mlp", members=1, epochs=8)
    return train_classifier(cohort[:300].copy(), judge="holdout", **options), cohort[300:].copy()

@pytest.fixture(scope="module")
def by_folds(simulated):
    "A small bundle that was judged by cross-validation."
    cohort = simulated(n_samples=120, n_genes=40, n_classes=2, share_normals=0, seed=3)
    return train_classifier(cohort, judge="crossval", model="mlp", members=1, epochs=1)

def test_a_bundle_is_calibrated_on_patients_that_it_was_not_trained_on(trained, by_folds):
    held_out, folds = trained[0], by_folds
    c = held_out.bundle.calibration
    assert c.facts["samples"] == len(held_out.assessment.parts["test"]) == 60 and "hold-out" in c.facts["source"]
    assert "then trained on all samples" in c.facts["source"]
    own = held_out.evaluation
    expected = calibrate(own.probability, own.number, own.data.patients)
    assert c.temperature == expected.temperature and (c.scores == expected.scores).all()
    f = folds.bundle.calibration.facts
    assert (f["samples"], f["repeats"]) == (120, folds.assessment.plan.n_repeats)
    assert "then trained on all samples" in f["source"]
    assert folds.bundle.familiarity.facts["samples"] == 120

def test_there_and_back(trained, tmp_path):
    bundle, new = trained[0].bundle, trained[1]
    again = load_bundle(save_bundle(bundle, tmp_path/"model"))
    (a, first), (b, second) = bundle.predict_cohort(new), again.predict_cohort(new)
    np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(first["distance"], second["distance"], atol=1e-4)
    assert (conformal_sets(bundle, a, .9) == conformal_sets(again, b, .9)).all()
    raw = bundle.outputs(new.to_df()[bundle.features].to_numpy())
    np.testing.assert_allclose(a, tempered(raw, bundle.calibration.temperature), atol=1e-5)
    assert "## Calibration" in (tmp_path/"model"/"MODEL_CARD.md").read_text()
    assert (tmp_path/"model"/"arrays.npz").stat().st_size < 2e6

def test_new_patients_are_covered_and_known_and_mixed_genes_are_not(trained):
    bundle, new = trained[0].bundle, trained[1]
    probability, report = bundle.predict_cohort(new)
    y = np.searchsorted(bundle.classes, new.obs["cancer_type"].astype(str))
    assert conformal_sets(bundle, probability, .9)[np.arange(len(y)), y].mean() > .85
    assert (report["distance"] > 1).mean() < .15
    mixed = new.copy()
    mixed.X = np.random.default_rng(0).permuted(new.X, axis=1)
    X = mixed.to_df()[bundle.features].to_numpy(np.float32)
    assert (bundle.familiarity.distance(bundle.familiarity.parts(bundle, X)) > 1).mean() > .9

def test_every_way_to_ask_gives_the_probabilities_that_are_served(trained):
    bundle, new = trained[0].bundle, trained[1]
    bundle = replace(bundle, calibration=replace(bundle.calibration, temperature=1.7))
    served, table = bundle.predict_cohort(new)[0].to_numpy(), new.to_df()
    for X in (table, table[table.columns[::-1]], table[bundle.features].to_numpy()):
        np.testing.assert_allclose(bundle.predict_proba(X), served, atol=1e-6)
    raw = bundle.predict_proba(table, calibrated=False)
    np.testing.assert_array_equal(raw, bundle.outputs(table))
    assert np.abs(raw - served).max() > .02
    assert (bundle.predict(table) == bundle.classes[served.argmax(axis=1)]).all()

def test_genes_of_a_table_are_found_by_name(trained):
    bundle, table = trained[0].bundle, trained[1].to_df()[:6]
    turned, X = table[table.columns[::-1]], table[bundle.features].to_numpy()
    far = bundle.familiarity
    for ask in (bundle.transform, bundle.outputs, bundle.predict_proba, bundle.predict, bundle.filled,
                lambda X: far.parts(bundle, X)):
        np.testing.assert_array_equal(ask(turned), ask(X))
        gene = bundle.features[3]
        refused(lambda: ask(table.drop(columns=gene)), "no column for 1 of", gene)
        refused(lambda: ask(pd.concat([table, table[[gene]]], axis=1)), "several columns", gene)
        refused(lambda: ask(trained[1]), "predict_cohort(cohort)")

@pytest.mark.parametrize("change", [
    lambda facts: facts["calibration"].update(temperature=1000),
    lambda facts: facts["calibration"]["scores"].reverse(),
    lambda facts: facts["familiarity"].update(threshold=-1),
    lambda facts: facts["familiarity"].pop("middle"),
    lambda facts: facts.update(familiarity=None)])
def test_an_edited_bundle_is_refused(trained, change, tmp_path):
    folder = edit_facts(save_bundle(trained[0].bundle, tmp_path/"model"), change)
    refused(lambda: load_bundle(folder), "damaged or has been edited")

def test_bundles_without_it_still_predict(trained):
    made, new = trained[0], trained[1]
    data = made.data
    old = make_bundle(made.pipeline, data.genes, data.X, data.units)
    probability, report = old.predict_cohort(new)
    assert report["distance"] is None
    np.testing.assert_allclose(probability, old.predict_proba(new.to_df()[old.features].to_numpy()), atol=1e-6)
    refused(lambda: conformal_sets(old, probability, .9), "Train it again")
    X = np.random.default_rng(0).normal(size=(60, 10)).astype("float32")
    value = make_bundle(CancerRegressor("mlp", epochs=1, random_state=0).fit(X, X[:, 0]), [f"G{i}" for i in range(10)],
                        X, "log2(TPM+1)")
    refused(lambda: conformal_sets(value, X, .9), "sets of classes")

def test_few_patients_give_no_flag(simulated):
    cohort = simulated(n_samples=90, n_genes=20, n_classes=2, share_normals=0, seed=0)
    small = train_classifier(cohort, judge="holdout", model="mlp", members=1, epochs=1)
    assert len(np.unique(small.evaluation.data.patients)) < 20
    assert small.bundle.familiarity is None and small.bundle.calibration is not None

# -- the encoder of networks

@pytest.mark.parametrize("name, options", [("wide_deep", {}), ("cnn1d", {})])
def test_what_stands_before_the_head(name, options):
    X = np.random.default_rng(0).normal(size=(40, 16)).astype("float32")
    network = CancerClassifier(name, epochs=1, random_state=0, **options).fit(X, np.arange(40) % 2).model_
    A = encoded(encoder_of(network), X)
    assert A.shape[0] == 40 and np.isfinite(A).all() and A.std(axis=0).max() > 0
    np.testing.assert_allclose(np.linalg.norm(A, axis=1), 1, atol=1e-4)

# -- the command line and the folder of an evaluation

def test_predict_adds_columns_at_the_end(trained, tmp_path):
    bundle, cohort = save_bundle(trained[0].bundle, tmp_path/"model"), write_cohort(trained[1], tmp_path/"new")
    code, said, _ = cancer_dl("predict", bundle, cohort, "--out", tmp_path/"p.csv", "--conformal", .9)
    assert code == 0 and "unfamiliar" in said and "for 0.9 of patients like those of training" in said
    table = pd.read_csv(tmp_path/"p.csv", dtype=str)
    classes = list(trained[0].bundle.classes)
    assert list(table.columns) == ["sample_id", "prediction", "score", "top2", "score2", "top3", "score3",
                                   *(f"p_{c}" for c in classes), "set", "unfamiliar", "distance"]
    assert set(table["unfamiliar"]) <= {"true", "false"}
    assert ((table["distance"].astype(float) > 1) == (table["unfamiliar"] == "true")).all()
    assert (table["set"].str.split("|").str[0] == table["prediction"]).all()
    assert cancer_dl("predict", bundle, cohort, "--out", tmp_path/"q.csv")[0] == 0
    assert list(pd.read_csv(tmp_path/"q.csv").columns) == [c for c in table.columns if c != "set"]

def test_sets_promise_nothing_for_an_unknown_kind(trained, tmp_path):
    new = trained[1].copy()
    new.X[:60] = np.random.default_rng(0).permuted(new.X[:60], axis=1)
    bundle, cohort = save_bundle(trained[0].bundle, tmp_path/"model"), write_cohort(new, tmp_path/"new")
    code, said, _ = cancer_dl("predict", bundle, cohort, "--out", tmp_path/"p.csv", "--conformal", .9)
    n = int((pd.read_csv(tmp_path/"p.csv")["unfamiliar"]).sum())
    assert code == 0 and n > 50 and f"they promise nothing for the {n} unfamiliar samples" in said
    assert "shift from training: none" not in said and f"{n} of 120 samples unlike those of training" in said

def test_two_classes_are_ranked_and_keep_their_order(by_folds, simulated, tmp_path):
    cohort = simulated(n_samples=120, n_genes=40, n_classes=2, share_normals=0, seed=3)
    evaluation, _ = evaluate_bundle(by_folds.bundle, cohort)
    m = evaluation.metrics()
    assert m["positive_class"] == by_folds.metrics()["positive_class"]
    y = evaluation.data.y == m["positive_class"]
    score = evaluation.probability[:, list(evaluation.classes).index(m["positive_class"])]
    assert m["auroc"] == pytest.approx(roc_auc_score(y, score), abs=1e-5)
    assert "AUROC" in " ".join(evaluation_lines(m))

@pytest.mark.parametrize("level, said", [("0", "between 0 and 1"), ("1", "between 0 and 1"), ("90", "give 0.9"),
                                         ("nan", "between 0 and 1"), ("0.999", "cannot be promised")])
def test_levels_that_nobody_can_promise(trained, level, said, tmp_path):
    bundle, cohort = save_bundle(trained[0].bundle, tmp_path/"model"), write_cohort(trained[1][:5], tmp_path/"new")
    code, _, error = cancer_dl("predict", bundle, cohort, "--out", tmp_path/"p.csv", "--conformal", level)
    assert code == 2 and said in error and error.count("\n") == 1 and not (tmp_path/"p.csv").exists()

def test_an_evaluation_says_what_its_scores_are_worth(trained, tmp_path):
    evaluation, _ = evaluate_bundle(trained[0].bundle, trained[1])
    write_evaluation(evaluation, tmp_path/"out")
    found = json.loads((tmp_path/"out"/"metrics.json").read_text())
    assert found["ece"] == pytest.approx(calibration_error(evaluation.probability, evaluation.number), abs=1e-5)
    assert found["top_k"][0] == pytest.approx(found["accuracy"], abs=1e-6) and found["top_k"] == sorted(found["top_k"])
    assert found["log_loss"] > 0 and .5 < found["macro_auroc"] <= 1
    assert {"reliability.png", "roc.png"} <= {p.name for p in (tmp_path/"out").iterdir()}
    first = trained[1].obs["cancer_type"] == evaluation.classes[0]
    one, _ = evaluate_bundle(trained[0].bundle, trained[1][first].copy())
    write_evaluation(one, tmp_path/"out", overwrite=True)
    assert json.loads((tmp_path/"out"/"metrics.json").read_text())["macro_auroc"] is None
    assert not (tmp_path/"out"/"roc.png").exists()

# -- nothing is learned where it should not be

def test_the_calibration_does_not_see_training_fits(simulated):
    "Labels without any meaning: a network that learned them by heart must not be believed."
    cohort = simulated(n_samples=300, n_genes=200, n_classes=3, share_normals=0, seed=0)
    cohort.obs["cancer_type"] = np.random.default_rng(0).permutation(cohort.obs["cancer_type"].to_numpy(str))
    cohort.obs["patient"] = [f"P{i}" for i in range(300)]
    made = train_classifier(cohort, judge="holdout", model="mlp", members=1, epochs=40)
    bundle, train = made.bundle, made.parts["train"]
    fits = bundle.outputs(pd.DataFrame(made.data.X[train], columns=made.data.genes))
    y = np.searchsorted(bundle.classes, made.data.y[train])
    assert (fits.argmax(axis=1) == y).mean() > .9 and made.metrics()["accuracy"] < .7
    leaky = calibrate(fits, y)
    assert bundle.calibration.temperature > 2 * leaky.temperature
    own = made.evaluation
    held = conformal_sets(bundle, bundle.calibration.apply(own.probability), .9)
    leaked = leaky.sets(leaky.apply(own.probability), .9)
    rows = np.arange(len(own.number))
    assert held[rows, own.number].mean() >= .88 > leaked[rows, own.number].mean() + .1

def test_errors_are_input_errors(trained):
    with pytest.raises(InputError): conformal_sets(trained[0].bundle, np.ones((1, 4)) / 4, 2)
