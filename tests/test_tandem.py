"A tandem: rules for labels, folds without leaks, a wrong tissue is a wrong subtype, and one bundle of several."
import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import cancer_dl
from refusing import refused
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from recipes import run_small

from cancer_dl.classify import seen_in_training
from cancer_dl.data.cohort import write_cohort
from cancer_dl.tandem import (FLAT, KNOWN, MULTITASK, NOT_APPLICABLE, TANDEM, TandemEvaluation, evaluate_tandem,
                              fit_tandem, in_tandem, judge_tandem, load_tandem, make_tandem, pairs_of, plan_tandem,
                              save_tandem, subtype_table, tandem_labels, tandem_predictions, train_tandem, true_labels,
                              write_tandem_evaluation)
from cancer_dl.multitask import parts_of
from cancer_dl.train.bundle import save_bundle

QUICK = dict(epochs=2, members=1, compare=False, judge="holdout", refit=False, model_params=dict(dense=8), seed=3)

def with_types(cohort):
    "The types of cancer as subtypes of their tissue; normals have none."
    cohort.obs["type"] = cohort.obs["cancer_type"].astype(object).where(cohort.obs["sample_type"] != "normal", None)
    cohort.obs["tissue"] = cohort.obs["tissue"].astype(object)
    return cohort

@pytest.fixture
def cohort(simulated):
    "Breast with one type, lung with two, kidney with three."
    return with_types(simulated(n_samples=200, n_genes=60, n_classes=6, seed=4, share_normals=.15))

@pytest.fixture(scope="module")
def trained(simulated):
    return train_tandem(with_types(simulated(n_samples=200, n_genes=60, n_classes=6, seed=4, share_normals=.15)),
                        "tissue", "type", **QUICK)

# ---------------------------------------------------------------- labels

def put(cohort, rows, column, value):
    cohort.obs.iloc[np.flatnonzero(rows), cohort.obs.columns.get_loc(column)] = value

def test_what_does_not_fit_is_said(cohort):
    kind, primary = cohort.obs["cancer_type"].to_numpy(), (cohort.obs["sample_type"] != "normal").to_numpy()
    lusc = np.flatnonzero((kind == "LUSC") & primary)
    put(cohort, np.isin(np.arange(200), lusc[2:]), "type", None)  # two are left
    put(cohort, np.isin(np.arange(200), np.flatnonzero((kind == "KIRC") & primary)[:4]), "type", None)
    put(cohort, np.isin(np.arange(200), np.flatnonzero((kind == "BRCA") & primary)[:1]), "tissue", "rare")
    put(cohort, np.isin(np.arange(200), np.flatnonzero((kind == "BRCA") & primary)[1:2]), "tissue", None)
    data = tandem_labels(cohort, "tissue", "type", drop_unlabelled=True)
    said = " ".join(data.notes)
    assert list(data.subtypes) == ["kidney"] and set(data.subtypes["kidney"]) > {"KIRC", "KIRP", "KICH"}
    for part in ("1 sample(s) have a subtype and no tissue", "of rare are left out", "a class of LUSC (2)",
                 "lung has one subtype only, LUAD", "4 sample(s) of tissues with subtypes have none"):
        assert part in said, part
    assert len(data.y) == 198 and set(data.subtype[data.tissue == "lung"]) == {NOT_APPLICABLE}
    kidney = data.tissue == "kidney"
    assert pd.isna(data.subtype[kidney]).sum() == 4
    assert set(np.asarray(kind)[np.isin(cohort.obs_names, data.base.samples[kidney & data.scored])]) == {
        "KIRC", "KIRP", "KICH"}

def test_normals_of_a_tissue_have_no_subtype(cohort):
    data = tandem_labels(cohort, "tissue", "type")
    normal = np.isin(data.base.samples, cohort.obs_names[cohort.obs["sample_type"] == "normal"])
    assert set(data.subtype[normal]) == {NOT_APPLICABLE} and NOT_APPLICABLE in data.subtypes["lung"]
    assert data.scored.sum() == np.isin(data.tissue, ["lung", "kidney"]).sum()

def test_few_normals_are_no_class(cohort):
    "They train the tissue alone, and are no subtype by default."
    lung = np.flatnonzero((cohort.obs["tissue"] == "lung") & (cohort.obs["sample_type"] == "normal"))
    cohort = cohort[np.setdiff1d(np.arange(cohort.n_obs), lung[2:])].copy()
    data = tandem_labels(cohort, "tissue", "type")
    assert data.subtypes["lung"] == ["LUAD", "LUSC"] and any("not applicable (2)" in note for note in data.notes)
    rows = np.isin(data.base.samples, cohort.obs_names[(cohort.obs["sample_type"] == "normal")
                                                       & (cohort.obs["tissue"] == "lung")])
    assert rows.sum() == 2 and not data.scored[rows].any()
    refused(lambda: tandem_labels(cohort, "tissue", "type", min_patients=1), "2 patients at least")

def test_a_cohort_without_subtypes_is_refused(cohort):
    breast = cohort.obs["tissue"] == "breast"
    cohort.obs["half"] = np.where(breast, "ductal", "other")
    refused(lambda: tandem_labels(cohort, "tissue", "half"), "No tissue in 'tissue' has two subtypes", "min_patients")
    cohort.obs["place"] = np.where(np.arange(200) < 198, "chest", "foot")
    refused(lambda: tandem_labels(cohort, "place", "type", drop_unlabelled=True), "Fewer than two tissues")

# ---------------------------------------------------------------- folds

def test_no_sample_is_judged_by_a_network_that_saw_it(cohort):
    "The nearest neighbour knows its training samples by heart, and nothing else where genes are noise."
    cohort.X = np.random.default_rng(0).normal(size=cohort.shape).astype("float32")
    data = tandem_labels(cohort, "tissue", "type")
    folds = parts_of(data, plan_tandem(data, "crossval"), 0)
    by_heart = KNeighborsClassifier(1)
    evaluation = judge_tandem(data, folds, by_heart, by_heart, flat=by_heart)[0]
    assert sorted(evaluation.rows) == list(range(len(data.y)))
    for learner in (TANDEM, FLAT): assert evaluation.right(learner).mean() < .35
    assert evaluation.right(KNOWN).mean() < .6
    whole = fit_tandem(data, np.arange(len(data.y)), by_heart, by_heart).answers(data.base.X)
    assert (whole["tissue"] == data.tissue).all() and (whole["subtype"] == data.subtype).all()

def test_a_network_of_subtypes_sees_its_tissue_only(cohort):
    class Noted(LogisticRegression):
        def fit(self, X, y):
            self.seen_ = X.copy()
            return super().fit(X, y)
    data = tandem_labels(cohort, "tissue", "type")
    rows = np.arange(0, len(data.y), 2)
    fitted = fit_tandem(data, rows, Noted(max_iter=500), Noted(max_iter=500))
    lung = rows[(data.tissue[rows] == "lung") & data.scored[rows]]
    np.testing.assert_array_equal(fitted.experts["lung"].seen_, data.base.X[lung])
    np.testing.assert_array_equal(fitted.router.seen_, data.base.X[rows])

def test_a_fold_with_one_subtype_answers_with_it(cohort):
    data = tandem_labels(cohort, "tissue", "type")
    rows = np.flatnonzero((data.tissue != "lung") | (data.subtype == "LUAD"))
    fitted = fit_tandem(data, rows, LogisticRegression(max_iter=500), LogisticRegression(max_iter=500))
    assert isinstance(fitted.experts["lung"], DummyClassifier)
    names, p = fitted.subtype("lung", data.base.X[:3])
    assert list(names) == ["LUAD"] and (p == 1).all() and fitted.subtype("breast", data.base.X[:3]) is None

def test_a_wrong_tissue_is_a_wrong_subtype(cohort):
    "Three calls of four are of the right subtype, one of them under the wrong tissue."
    data = tandem_labels(cohort, "tissue", "type")
    rows = np.flatnonzero(data.subtype == "LUAD")[:4]
    said = pd.DataFrame({"tissue": ["lung", "kidney", "lung", "lung"], "subtype": ["LUAD", "LUAD", "LUSC", "LUAD"]})
    known = said.assign(tissue="lung")
    evaluation = TandemEvaluation(data, rows, {TANDEM: said, KNOWN: known})
    table = subtype_table(evaluation).set_index(["tissue", "learner"])["accuracy"]
    assert table["all", TANDEM] == .5 and table["lung", KNOWN] == .75
    assert evaluation.tissue_metrics(TANDEM)["accuracy"] == .75

def test_ties_and_rows_are_kept_in_order():
    asked = []
    def ask(tissue, rows):
        asked.append((tissue, list(rows)))
        return (["x", "y"], [[.1, .9]] * len(rows)) if tissue == "b" else None
    table = in_tandem(["a", "b"], np.array([[.2, .8], [.9, .1], [.4, .6]]), ask)
    assert asked == [("a", [1]), ("b", [0, 2])]
    assert list(table["subtype"]) == ["y", NOT_APPLICABLE, "y"]
    np.testing.assert_allclose(table["joint_score"], [.72, .9, .54])

# ---------------------------------------------------------------- the bundle

def test_saved_and_loaded_it_gives_the_same(trained, cohort, tmp_path):
    before, _ = trained.tandem.predict_cohort(cohort)
    for place in ("folder", "file.zip"):
        again = load_tandem(save_tandem(trained.tandem, tmp_path/place))
        pd.testing.assert_frame_equal(again.predict_cohort(cohort[:, ::-1])[0], before, rtol=1e-5, atol=1e-6)
        assert again.facts["metrics"] == trained.metrics()
    frame = pd.DataFrame(cohort.X, cohort.obs_names, cohort.var_names)
    pd.testing.assert_frame_equal(again.predict_cohort(frame)[0], before, rtol=1e-5, atol=1e-6)
    table = tandem_predictions(before, again, top=2)
    assert list(table)[:7] == ["sample_id", "tissue_prediction", "tissue_score", "type_prediction", "type_score",
                               "joint_score", "tissue_top2"]
    none = table["type_prediction"] == NOT_APPLICABLE
    assert table.loc[table["tissue_prediction"] == "breast", "type_score"].isna().all()
    assert none.any() and np.isfinite(table["joint_score"]).all()

def test_what_is_there_stays_without_overwrite(trained, tmp_path):
    for place in ("folder", "file.zip"):
        save_tandem(trained.tandem, tmp_path/place)
        refused(lambda place=place: save_tandem(trained.tandem, tmp_path/place), "overwrite=True")
        save_tandem(trained.tandem, tmp_path/place, overwrite=True)
    (tmp_path/"other.zip").write_text("a letter")
    refused(lambda: save_tandem(trained.tandem, tmp_path/"other.zip", overwrite=True), "other.zip")
    smaller = make_tandem(trained.tandem.router, {"lung": trained.tandem.experts["lung"]}, ("tissue", "type"))
    save_tandem(smaller, tmp_path/"folder", overwrite=True)
    assert sorted(p.name for p in (tmp_path/"folder").iterdir()) == ["router.zip", "subtype_01.zip", "tandem.json"]

def test_damage_is_noticed(trained, tmp_path):
    folder = save_tandem(trained.tandem, tmp_path/"folder")
    exchanged = tmp_path/"exchanged"
    shutil.copytree(folder, exchanged)
    shutil.copy(folder/"subtype_01.zip", exchanged/"subtype_02.zip")
    refused(lambda: load_tandem(exchanged), "subtype_02.zip", "changed or damaged")
    (exchanged/"subtype_02.zip").unlink()
    refused(lambda: load_tandem(exchanged), "not complete")
    facts = json.loads((folder/"tandem.json").read_text())
    for changed, said in (({**facts, "schema_version": 9}, "Upgrade"), ({**facts, "tissues": "lung"}, "damaged"),
                          ({**facts, "checksums": {"../router.zip": ""}}, "damaged")):
        (folder/"tandem.json").write_text(json.dumps(changed))
        refused(lambda: load_tandem(folder), said)
    refused(lambda: load_tandem(tmp_path/"nowhere"), "no tandem")
    with zipfile.ZipFile(tmp_path/"grows.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tandem.json", "{}")
        archive.writestr("router.zip", b"0" * (70 << 20))
    refused(lambda: load_tandem(tmp_path/"grows.zip"), "grows too much")

def test_bundles_that_do_not_fit_are_refused(trained):
    experts = trained.tandem.experts
    refused(lambda: make_tandem(trained.tandem.router, {"brain": experts["lung"]}), "brain")
    refused(lambda: make_tandem(trained.tandem.router, {}), "one tissue with subtypes")

def test_networks_that_are_kept_learn_from_everybody(trained, cohort):
    "After a hold-out: judged as without it."
    told = []
    whole = train_tandem(cohort, "tissue", "type", say=lambda *lines: told.extend(lines), **{**QUICK, "refit": True})
    assert told[-1] == f"kept       networks that are then trained on all {len(whole.data.y)} samples"
    assert whole.metrics() == trained.metrics()
    assert seen_in_training(whole.tandem.router, whole.data.base, cohort)[0].all()
    assert not seen_in_training(trained.tandem.router, trained.data.base, cohort)[0].all()
    assert "then trained on all samples" in whole.tandem.router.facts["provenance"]["split"]
    of_lung = (whole.data.tissue == "lung") & whole.data.scored
    assert seen_in_training(whole.tandem.experts["lung"], whole.data.base, cohort)[0][of_lung].all()

# ---------------------------------------------------------------- routers that exist, other cohorts

def test_a_router_that_exists_is_kept_and_its_patients_are_counted(trained, cohort, tmp_path):
    router = trained.tandem.router
    told = []
    again = train_tandem(cohort, "tissue", "type", router=router, say=lambda *lines: told.extend(lines), **QUICK)
    assert "a router and" not in told[-1] and "behind the router that is given" in told[-1]
    assert again.tandem.router is router and any("flatters it" in w for w in again.warnings)
    p = router.predict_cohort(cohort)[0]
    assert (again.tandem.predict_cohort(cohort)[0]["tissue"] == p.idxmax(axis=1)).all()
    put(cohort, cohort.obs["tissue"] == "breast", "tissue", "skin")
    refused(lambda: train_tandem(cohort, "tissue", "type", router=router, **QUICK), "does not know the tissue skin")
    save_bundle(router, tmp_path/"router")
    refused(lambda: load_tandem(tmp_path/"router"), "bundle of one network is used with `cancer_dl predict`")

def test_on_another_cohort(trained, simulated, cohort):
    new = with_types(simulated(n_samples=200, n_genes=60, n_classes=6, seed=4, share_normals=.15, samples_seed=9))
    evaluation, report = evaluate_tandem(trained.tandem, new)
    assert set(evaluation.learners) == {TANDEM, KNOWN} and report["n_trained_samples"] == 0
    assert evaluation.right(TANDEM).sum() <= evaluation.right(KNOWN).sum() + (
        evaluation.answers[TANDEM]["tissue"] != evaluation.data.tissue).sum()
    assert evaluate_tandem(trained.tandem, cohort)[1]["n_trained_samples"] > 100
    rescaled = trained.tandem.predict_cohort(new, rescale="cohort")[0]
    assert len(rescaled) == len(new)

@pytest.mark.slow
def test_the_recipe(tmp_path):
    results = run_small("multitask", dict(n_samples=120, n_genes=60, n_classes=3, epochs=1, members=1, compare=False,
                                          subtype="cancer_type", judge="holdout"), tmp_path/"out")
    assert set(results["metrics"]) == {"tissue", "sample_type"} and results["verdict"]
    assert 0 <= results["tandem"]["cancer_type"]["accuracy"] <= 1
    assert {"bundle", "tandem", "comparison.csv", "tandem.png", "confusion_tissue.png"} <= {
        p.name for p in (tmp_path/"out").iterdir()}
    assert load_tandem(tmp_path/"out"/"tandem").facts["labels"] == ["tissue", "cancer_type"]

@pytest.mark.slow
def test_cross_validated_beside_the_others(cohort):
    found = train_tandem(cohort, "tissue", "type", **{**QUICK, "compare": True, "judge": "crossval", "epochs": 15})
    assert found.evaluation.learners == [TANDEM, KNOWN, FLAT, MULTITASK]
    assert sorted(found.evaluation.rows) == list(range(len(found.data.y)))
    assert all(bundle.calibration is not None for bundle in (found.tandem.router, *found.tandem.experts.values()))
    assert "tandem" in found.verdict()

# ---------------------------------------------------------------- what a person found who tried to break it

def other(simulated, **changed):
    "A cohort of new patients with the same biology."
    return with_types(simulated(**{**dict(n_samples=200, n_genes=60, n_classes=6, seed=4, share_normals=.15,
                                          samples_seed=9), **changed}))

def test_what_the_networks_of_subtypes_saw_counts_for_the_subtype(trained, simulated, cohort):
    "The router is another bundle, which knows none of the patients."
    from cancer_dl.tandem import evaluation_metrics
    from cancer_dl.train.bundle import recognise
    new = other(simulated)
    router = replace(trained.tandem.router, seen=recognise_none(trained.tandem.router))
    tandem = make_tandem(router, trained.tandem.experts, ("tissue", "type"))
    evaluation, report = evaluate_tandem(tandem, cohort)
    seen = {column: m["seen_in_training"]["samples"] for column, m in evaluation_metrics(evaluation).items()}
    known = np.any([recognise(b, evaluation.data.base.samples)["samples"] for b in tandem.experts.values()], axis=0)
    assert seen == {"tissue": 0, "type": (known & evaluation.data.scored).sum()} and seen["type"] > 80
    assert any(f"{seen['type']:,} are of patients that the router or a network" in w for w in report["warnings"])
    both = evaluation_metrics(evaluate_tandem(trained.tandem, cohort)[0])
    assert both["tissue"]["seen_in_training"]["samples"] > both["type"]["seen_in_training"]["samples"] >= seen["type"]
    assert both["type"]["unseen"]["n"] + both["type"]["seen_in_training"]["samples"] == both["type"]["n"]
    silent = replace(trained.tandem.router, seen={})
    evaluation, report = evaluate_tandem(make_tandem(silent, tandem.experts, ("tissue", "type")), new)
    found = evaluation_metrics(evaluation)
    assert "seen_in_training" not in found["tissue"] and found["type"]["seen_in_training"]["samples"] == 0
    assert any("No ids are stored in the router" in w for w in report["warnings"])
    refused(lambda: load_tandem(new.obs_names[0]), "cancer_dl predict")

def recognise_none(bundle):
    "Ids that belong to nobody."
    return {name: np.array([1], dtype="<u8") for name in bundle.seen}

def test_normals_without_a_class_are_not_scored(trained, simulated):
    "The network of lung learned no normals; in training such samples count for the tissue alone."
    new = other(simulated)
    lung = trained.tandem.experts["lung"]
    task = replace_classes(lung.task, [c for c in lung.classes if c != NOT_APPLICABLE])
    tandem = make_tandem(trained.tandem.router, {**trained.tandem.experts, "lung": replace(lung, task=task)},
                         ("tissue", "type"))
    data = true_labels(tandem, new)
    normal = np.isin(data.base.samples, new.obs_names[new.obs["sample_type"] == "normal"])
    at = normal & (data.tissue == "lung")
    assert at.sum() > 3 and not data.scored[at].any() and data.scored[normal & (data.tissue == "kidney")].all()
    assert data.notes == [f"Not scored for the subtype: {at.sum()} of normal tissue, which the network of lung has no "
                          "class for."]

def replace_classes(task, names):
    from copy import copy
    task = copy(task)
    task.classes = np.array(names)
    return task

def test_a_bar_in_a_name_is_no_disadvantage(cohort):
    "The flat network is as right as the tandem where both know all by heart."
    cohort.obs["tissue"] = cohort.obs["tissue"].map({"lung": "lung | left", "kidney": "lung", "breast": "b"})
    cohort.obs["type"] = cohort.obs["type"].map(lambda v: v if v is None else f"left | {v}")
    data = tandem_labels(cohort, "tissue", "type")
    rows, by_heart = np.arange(len(data.y)), KNeighborsClassifier(1)
    evaluation = judge_tandem(data, [(0, 0, rows, rows)], by_heart, by_heart, flat=by_heart)[0]
    assert evaluation.right(FLAT).all() and evaluation.right(TANDEM).all()
    assert set(evaluation.answers[FLAT]["tissue"]) == {"lung | left", "lung", "b"}
    number, pairs = pairs_of(["a | b", "a"], ["c", "b | c"])
    assert len(pairs) == 2 and number[0] != number[1]
    half = evaluation.answers[FLAT].copy()
    half.loc[half["tissue"] == "lung", ["tissue", "subtype"]] = ["lung | left", "x"]
    said = TandemEvaluation(data, rows, {FLAT: half}).subtype_metrics(FLAT)
    assert said["accuracy"] == (data.tissue[data.scored] != "lung").mean()

def test_bundles_in_another_order_are_noticed(trained, tmp_path):
    folder = save_tandem(trained.tandem, tmp_path/"folder")
    facts = json.loads((folder/"tandem.json").read_text())
    (folder/"tandem.json").write_text(json.dumps({**facts, "tissues": facts["tissues"][::-1]}))
    refused(lambda: load_tandem(folder), "which bundle is for which tissue")
    facts.pop("order")  # of an earlier version
    (folder/"tandem.json").write_text(json.dumps(facts))
    assert load_tandem(folder).subtypes == trained.tandem.subtypes
    (folder/"tandem.json").write_text(json.dumps({**facts, "tissues": facts["tissues"][::-1]}))
    refused(lambda: load_tandem(folder), "was trained on 'type of")

def test_names_that_would_collide_are_refused_before_training(cohort):
    cohort.obs["joint"] = cohort.obs["tissue"]
    refused(lambda: train_tandem(cohort, "joint", "type", router=0, expert=0), "joint_score", "Rename")

def test_subtypes_that_are_not_known_leave_the_tissue(trained, simulated, cohort, tmp_path):
    new = other(simulated)
    put(new, new.obs["type"] == "KICH", "type", "Wilms")
    evaluation, report = evaluate_tandem(trained.tandem, new)
    n = int((new.obs["type"] == "Wilms").sum())
    assert len(evaluation.rows) == 200 and evaluation.data.scored.sum() == (
        np.isin(evaluation.data.tissue, ["lung", "kidney"]).sum() - n)
    assert any(f"{n} with a subtype that the tandem does not know (Wilms of kidney)" in w for w in report["warnings"])
    new.obs["type"] = None
    new = new[new.obs["sample_type"] != "normal"].copy()
    evaluation, report = evaluate_tandem(trained.tandem, new)
    found = write_tandem_evaluation(evaluation, report, tmp_path/"none")
    assert list(found) == ["tissue"] and found["tissue"]["n"] == new.n_obs
    assert any("without a subtype" in w for w in report["warnings"])
    assert "none of them has a subtype" in (tmp_path/"none"/"report.html").read_text()
    assert len(pd.read_csv(tmp_path/"none"/"subtypes.csv")) == 0
    put(cohort, ~evaluate_tandem(trained.tandem, cohort)[0].seen_subtype, "type", None)
    put(cohort, cohort.obs["type"].isna(), "sample_type", "primary")
    evaluation, report = evaluate_tandem(trained.tandem, cohort)
    found = write_tandem_evaluation(evaluation, report, tmp_path/"seen")
    assert "unseen" in found["tissue"] and "unseen" not in found["type"]
    new.obs["tissue"] = "skin"
    refused(lambda: evaluate_tandem(trained.tandem, new), "skin")

# ---------------------------------------------------------------- the command line

def test_the_commands(cohort, tmp_path):
    write_cohort(cohort, tmp_path/"cohort")
    code, out, err = cancer_dl("tandem", "train", tmp_path/"cohort", "--subtype", "type", "--out", tmp_path/"both",
                               "--epochs", 2, "--set", "members=1", "--set", "dense=8", "--no-compare", "--judge",
                               "holdout")
    assert code == 0 and "task       tissue" in out and "task       type" in out, err
    assert "judged by  a hold-out" in out.split("task  ")[0]  # said before anything is trained
    assert "type" in (tmp_path/"both"/"report.html").read_text()
    code, out, err = cancer_dl("tandem", "predict", tmp_path/"both", tmp_path/"cohort", "--out", tmp_path/"p.csv")
    assert "normal tissue" not in out  # they were trained on
    assert "the model was trained on" in out and "of these 200 samples" in out
    table = pd.read_csv(tmp_path/"p.csv", keep_default_na=False)
    assert code == 0 and list(table.columns[:6]) == ["sample_id", "tissue_prediction", "tissue_score",
                                                     "type_prediction", "type_score", "joint_score"], err
    assert list(table.columns[-2:]) == ["unfamiliar", "distance"] and "unfamiliar " in out
    assert ((table["unfamiliar"].astype(str) == "true") == (table["distance"] > 1)).mean() > .99
    code, out, err = cancer_dl("tandem", "evaluate", tmp_path/"both", tmp_path/"cohort", "--out", tmp_path/"e")
    assert code == 0 and "new to the model" in out, err
    metrics = json.loads((tmp_path/"e"/"metrics.json").read_text())
    assert set(metrics) == {"tissue", "type"} and metrics["type"]["seen_in_training"]["samples"] > 100
    for words, said in ((("train", tmp_path/"cohort", "--subtype", "typ", "--out", tmp_path/"n"), "Did you mean type"),
                        (("train", tmp_path/"cohort", "--subtype", "type", "--out", tmp_path/"both"), "--overwrite"),
                        (("predict", tmp_path/"cohort", tmp_path/"cohort", "--out", tmp_path/"q.csv"), "no tandem"),
                        (("predict", tmp_path/"both", tmp_path/"cohort", "--out", tmp_path/"mine.csv"), "--overwrite"),
                        (("evaluate", tmp_path/"one", tmp_path/"cohort", "--out", tmp_path/"q"), "cancer_dl evaluate"),
                        (("train", tmp_path/"cohort", "--subtype", "type", "--out", tmp_path/"n", "--router",
                          tmp_path/"both"), f"--router {tmp_path/'both'}: ")):
        (tmp_path/"mine.csv").write_text("sample_id,note\na,b\n")
        if not (tmp_path/"one").exists(): save_bundle(load_tandem(tmp_path/"both").router, tmp_path/"one")
        code, out, err = cancer_dl("tandem", *words)
        assert code == 2 and said in err and "load_" not in err, (words, err)
    assert (tmp_path/"mine.csv").read_text() == "sample_id,note\na,b\n"
    again = ("tandem", "predict", tmp_path/"both", tmp_path/"cohort", "--out")
    for words in ((tmp_path/"p.csv",), (tmp_path/"mine.csv", "--overwrite")): assert cancer_dl(*again, *words)[0] == 0
    save_tandem(load_tandem(tmp_path/"both"), tmp_path/"both.zip")
    for place in ("both", "both.zip"):
        code, out, err = cancer_dl("predict", tmp_path/place, tmp_path/"cohort", "--out", tmp_path/"q.csv")
        assert code == 2 and "cancer_dl tandem predict" in err

def test_a_router_of_values_is_named(trained, cohort, tmp_path, monkeypatch):
    from cancer_dl.train.task import Values
    values = replace(trained.tandem.router, task=Values())
    values.task.mean = np.zeros(1)
    refused(lambda: train_tandem(cohort, "tissue", "type", router=values, **QUICK), "predicts a value")
    (tmp_path/"values").mkdir()
    monkeypatch.setattr("cancer_dl.train.bundle.load_bundle", lambda path: values)
    code, out, err = cancer_dl("tandem", "train", tmp_path/"nowhere", "--router", tmp_path/"values", "--out",
                               tmp_path/"n")
    assert code == 2 and f"--router {tmp_path/'values'}: this bundle predicts a value" in err
