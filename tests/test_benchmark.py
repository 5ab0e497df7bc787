"""Comparisons: the same folds for all, results that survive an interruption, normals of patients who were not seen,
honest tables."""
import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.linear_model import LogisticRegression

import cancer_dl.benchmark as benchmark
from recipes import run_small

from cancer_dl.benchmark import (PUBLISHED, compare_models, compare_settings, comparison_figure, grid_search,
                                 learning_curve_figure, learning_curves,
                                 model_costs, normals_heatmap, normals_to_tumour_network, published_sizes,
                                 settings_figure, settings_table, tumours_only)
from cancer_dl.data.labels import labelled
from cancer_dl.core import InputError
from cancer_dl.robustness import fit_learners
from cancer_dl.train.verdict import holm

@pytest.fixture(scope="module")
def cohort(simulated): return simulated(n_samples=220, n_genes=120, n_classes=5, share_normals=.15, seed=1)

@pytest.fixture(scope="module")
def data(cohort): return labelled(cohort, normal_class=True)

QUICK = dict(models="cnn1d", plain="RBF SVM", n_splits=3, epochs=6)

@pytest.fixture(scope="module")
def comparison(data): return compare_models(data, n_repeats=2, **QUICK)

def test_tumours_only(data):
    tumours = tumours_only(data)
    assert "NORMAL" not in tumours.y and len(tumours.y) == (data.y != "NORMAL").sum() and not tumours.normal_class
    assert set(tumours.samples) < set(data.samples) and tumours_only(tumours).y.tolist() == tumours.y.tolist()

def test_holm_is_never_below_p_and_keeps_the_order():
    p = np.random.default_rng(0).random(20)**3
    adjusted = holm(p)
    assert (adjusted >= p).all() and (np.diff(adjusted[np.argsort(p)]) >= 0).all() and adjusted.max() <= 1
    assert holm([.02]).tolist() == [.02] and holm([]).tolist() == []

def test_the_table_agrees_with_the_predictions(comparison):
    called, table = comparison.predictions(), comparison.table().set_index("learner")
    assert len(called) == 2*len(comparison.data.y) and table["accuracy"].is_monotonic_decreasing
    for name, result in comparison.results.items():
        hit = called[name] == called["label"]
        assert hit.mean() == pytest.approx(table.loc[name, "accuracy"])
        by_fold = hit.groupby([called["repeat"], called["fold"]]).mean()
        assert by_fold.tolist() == pytest.approx([f["accuracy"] for f in result.folds])
    assert table.loc["cnn1d", "network"] and not table.loc["RBF SVM", "network"]

def test_confusion_and_classes(comparison):
    C = comparison.confusion("cnn1d")
    labels, counts = np.unique(comparison.data.y, return_counts=True)
    assert C.sum(axis=1).tolist() == pytest.approx(counts.tolist()) and C.index.tolist() == labels.tolist()
    recall = comparison.per_class().query("learner == 'cnn1d'").set_index("class")["recall"]
    assert recall[labels].tolist() == pytest.approx((np.diag(C)/counts).tolist())
    with pytest.raises(InputError, match="cnn1d"): comparison.confusion("cnn1")

def test_every_network_is_tested_against_every_baseline(data):
    c = compare_models(data, "cnn1d", ("RBF SVM", "logistic regression"), n_splits=3, epochs=6)
    tests = c.tests()
    assert (list(zip(tests["learner"], tests["against"])) == [("cnn1d", "RBF SVM"), ("cnn1d", "logistic regression")]
            and (tests["p_holm"] >= tests["p"]).all())
    assert (tests["lower"] <= tests["difference"]).all() and set(c.tests("cnn1d")["against"]) == {"cnn1d"}
    sure = (tests["lower"] > 0) | (tests["upper"] < 0)
    assert (sure == (tests["p_holm"] < .05)).all() and (sure == (tests["answer"] != "cannot be told apart")).all()
    with pytest.raises(InputError): c.tests("nobody")

def test_one_learner_alone_has_no_tests(data):
    c = compare_models(data, (), "RBF SVM", n_splits=3)
    assert c.tests().empty and c.best(network=True) is None and "p_holm" in c.tests()

def test_an_interrupted_comparison_goes_on(data, tmp_path, monkeypatch):
    done, real = [], benchmark.cross_validate
    def dies(learner, *args, **kwargs):
        if len(done) == 1: raise KeyboardInterrupt
        done.append(learner)
        return real(learner, *args, **kwargs)
    monkeypatch.setattr(benchmark, "cross_validate", dies)
    setting = dict(models=(), plain=("RBF SVM", "logistic regression"), n_splits=3, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt): compare_models(data, **setting)
    assert [p.suffix for p in tmp_path.iterdir()] == [".npz"]
    def counted(learner, *args, **kwargs):
        done.append(learner)
        return real(learner, *args, **kwargs)
    monkeypatch.setattr(benchmark, "cross_validate", counted)
    whole = compare_models(data, **setting)
    assert len(done) == 2 and list(whole.results) == ["RBF SVM", "logistic regression"]
    again = compare_models(data, **setting)
    assert len(done) == 2 and again.table().equals(whole.table())
    assert np.allclose(again.results["logistic regression"].probability,
                       whole.results["logistic regression"].probability)
    assert again.results["RBF SVM"].probability is None

@pytest.mark.parametrize("change", ["seed", "data", "option", "labels", "settings"])
def test_nothing_stale_is_read(data, tmp_path, change, monkeypatch):
    from dataclasses import replace
    setting = dict(models={"net": dict(epochs=1)}, plain=False, n_splits=2, folder=tmp_path)
    compare_models(data, **setting)
    if change == "seed": setting["seed"] = 8
    if change == "data": data = replace(data, X=data.X + np.float32(1e-3)*(np.arange(data.X.shape[1]) == 3))
    if change == "labels": data = replace(data, y=np.roll(data.y, 1))
    if change == "option": setting["models"] = {"net": dict(epochs=1, model_params=dict(dense=16))}
    if change == "settings": monkeypatch.setattr(benchmark, "suited_settings", lambda *_: dict(warmup=1))
    compare_models(data, **setting)
    assert len(list(tmp_path.iterdir())) == 2

def test_a_kernel_is_known_by_its_name(data):
    "Not by its place in memory, which differs from process to process."
    from sklearn.svm import SVC
    def made():
        def kernel(A, B): return A @ B.T
        return SVC(kernel=kernel)
    one, two = made(), made()
    assert one.kernel is not two.kernel
    assert benchmark._key(one, data, {}) == benchmark._key(two, data, {})

@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nothing", b"not an archive"])
def test_a_damaged_file_is_made_again(data, tmp_path, damage):
    setting = dict(models=(), plain="RBF SVM", n_splits=3, folder=tmp_path)
    first = compare_models(data, **setting)
    file, = tmp_path.iterdir()
    file.write_bytes(damage)
    again = compare_models(data, **setting)
    assert ((again.results["RBF SVM"].predicted == first.results["RBF SVM"].predicted).all()
            and file.stat().st_size > 100)

def test_no_pickle_is_read(data, tmp_path):
    setting = dict(models=(), plain="RBF SVM", n_splits=3, folder=tmp_path)
    compare_models(data, **setting)
    file, = tmp_path.iterdir()
    with np.load(file, allow_pickle=False) as stored: json.loads(str(stored["folds"]))
    np.savez(file, **{name: np.array([{}], dtype=object) for name in ("y", "classes", "groups", "predicted", "folds")})
    assert compare_models(data, **setting).results["RBF SVM"].predicted.shape == (1, len(data.y))

def test_settings(data):
    both = compare_settings({"types": tumours_only(data), "with normals": data}, models=(), plain="RBF SVM", n_splits=3)
    table = settings_table(both)
    assert table["classes"].tolist() == [5, 6] and table["published"].isna().all()
    assert len(settings_figure(both).collections) == 4
    assert PUBLISHED[33]["cnn1d"][0] > PUBLISHED[34]["cnn1d"][0]

def test_figures_of_a_comparison(comparison):
    ax = comparison_figure(comparison)
    assert {t.get_text(): t.get_fontweight() for t in ax.get_yticklabels()} == {"cnn1d": "bold", "RBF SVM": "normal"}

@pytest.fixture(scope="module")
def split(data):
    from cancer_dl.data.split import holdout
    train, test = holdout(data.y, data.patients, sizes=(.7, .3))
    return train, test, fit_learners(data, train, test, "cnn1d,cnn2d_hybrid", plain="RBF SVM", epochs=5,
                                       label_smoothing=0.0)

def test_learning_curves(split):
    curves = learning_curves(split[2])
    assert (curves.groupby("network").size().to_dict() == {"cnn1d": 5, "cnn2d_hybrid": 5}
            and {"loss", "val_loss", "seconds"} <= set(curves))
    axes = learning_curve_figure(curves)
    assert len(axes[0].lines) == 4
    with pytest.raises(InputError, match="learning curve"): learning_curves({"RBF SVM": split[2]["RBF SVM"]})

def test_costs(data, split):
    train, test, fitted = split
    costs = model_costs(fitted, data, train, test).set_index("network")
    assert (costs.loc["cnn1d", "parameters_published"] == 211_489
            and costs["parameters"].tolist() == [f[-1].model_.count_params() for f in list(fitted.values())[:2]])
    assert costs.loc["cnn1d", "accuracy_test"] == pytest.approx(fitted["cnn1d"].score(data.X[test], data.y[test]))
    assert (costs.loc["cnn1d", "loss_test"]
            == pytest.approx(learning_curves(fitted).query("network == 'cnn1d'")["val_loss"].iloc[-1], rel=.01))

def test_normals_are_seen_by_networks_that_do_not_know_their_patients(cohort, monkeypatch):
    class Watcher(LogisticRegression):
        def fit(self, X, y):
            self.known_ = {patient[row.tobytes()] for row in X}
            return super().fit(X, y)
        def predict(self, X):
            assert not self.known_ & {patient[row.tobytes()] for row in X}
            return super().predict(X)
    patient = {np.float32(row).tobytes(): p for row, p in zip(cohort.X, cohort.obs["patient"])}
    monkeypatch.setattr(benchmark, "make_learners", lambda *args, **kwargs: {"cnn1d": Watcher()})
    seen = normals_to_tumour_network(cohort, n_splits=3)
    assert len(seen.samples) == (cohort.obs["sample_type"] == "normal").sum()
    assert seen.confusion().to_numpy().sum() == len(seen.samples)
    table = seen.table().set_index("type")
    assert (table["own_tissue"] >= table["own_type"]).all()
    lung = seen.samples[seen.samples["type"] == "LUAD"]
    assert table.loc["LUAD", "own_tissue"] == pytest.approx(lung["predicted"].isin(["LUAD", "LUSC"]).mean())
    assert normals_heatmap(seen).images[0].get_array().shape == seen.confusion().shape

def test_normals_without_a_tumour_and_of_a_type_without_tumours(cohort):
    some = cohort[~((cohort.obs["cancer_type"] == "KIRC") & (cohort.obs["sample_type"] == "primary"))].copy()
    seen = normals_to_tumour_network(some, "RBF SVM", n_splits=3)
    assert "KIRC" not in seen.classes and "KIRC" in seen.confusion().index and seen.summary()["n"] == len(seen.samples)

def test_tissues_come_from_tcga_where_the_cohort_has_none(cohort):
    bare = AnnData(cohort.X, obs=cohort.obs.drop(columns="tissue"), var=cohort.var)
    seen = normals_to_tumour_network(bare, "RBF SVM", n_splits=3)
    assert seen.tissue["LUAD"] == seen.tissue["LUSC"] == "lung"

def test_cohorts_without_normals_are_refused(cohort):
    with pytest.raises(InputError, match="needs normals"):
        normals_to_tumour_network(cohort[cohort.obs["sample_type"] == "primary"].copy())
    untold = AnnData(cohort.X, obs=cohort.obs[["cancer_type", "patient"]].reset_index(drop=True), var=cohort.var)
    with pytest.raises(InputError, match="sample_type|normals"): normals_to_tumour_network(untold)

@pytest.mark.slow
def test_grid_search_marks_the_published_choice_once(data):
    table = grid_search(data, grid=dict(filters=(4, 32), width=(None, 8), dense=(16, 128)), n_splits=2, epochs=2)
    assert len(table) == 4 and table["published"].sum() == 1  # 8 is the rule at 120 genes, so None and 8 are one
    row = table[table["published"]].iloc[0]
    assert ((row["filters"], row["width"], row["dense"]) == (32, 8, 128)
            and table["test_accuracy"].is_monotonic_decreasing)
    with pytest.raises(InputError, match="filters"): grid_search(data, grid=dict(filter=[1]))
    with pytest.raises(InputError, match="cnn1d"): grid_search(data, "cnn1")

def test_published_sizes_are_the_papers_at_its_size():
    assert ({k: published_sizes("cnn1d", 7_100)[k] for k in ("filters", "width", "stride", "dense")}
            == dict(filters=32, width=71, stride=71, dense=128))
    assert ({k: published_sizes("cnn2d_vanilla", 7_100)[k] for k in ("filters", "kernel", "stride", "dense")}
            == dict(filters=32, kernel=10, stride=2, dense=128))

def test_the_recipe_writes_its_results(tmp_path):
    small = dict(models="cnn1d", plain="RBF SVM", epochs=2, n_splits=2, n_samples=340, n_genes=300,
                 keep=str(tmp_path/"kept"), normal_class=True)
    results = run_small("crossval", small, tmp_path/"out")
    assert results["classes"] == 34 and set(results["learners"]) == {"cnn1d", "RBF SVM"} and results["verdict"]
    written = {p.name for p in (tmp_path/"out").iterdir()}
    assert {"comparison.csv", "tests.csv", "per_class.csv", "confusion.csv", "predictions.csv", "folds.csv",
            "comparison.png", "confusion.png", "per_class.png"} <= written
    called = pd.read_csv(tmp_path/"out"/"predictions.csv")
    assert (called["RBF SVM"].eq(called["label"]).mean() == pytest.approx(results["learners"]["RBF SVM"])
            and called["fold"].nunique() == 2)
    assert len(list((tmp_path/"kept").iterdir())) == 2

def test_what_is_kept_has_every_repeat(data, tmp_path):
    "Or a comparison of log losses would end where a run goes on."
    from sklearn.dummy import DummyClassifier

    from cancer_dl.benchmark import kept_result
    from cancer_dl.train.validate import compare_log_loss
    ask = ("dummy", DummyClassifier(strategy="stratified", random_state=0), data, dict(n_splits=2, n_repeats=2, seed=1),
           tmp_path)
    made, again = kept_result(*ask), kept_result(*ask)
    np.testing.assert_array_equal(again.each, made.each)
    np.testing.assert_array_equal(again.fold_of, made.fold_of)
    assert compare_log_loss(made, again)["p"] == 1
