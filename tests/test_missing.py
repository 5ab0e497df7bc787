"""A cohort read with missing='keep': trained, judged, bundled, used and explained;
and nothing of a test sample reaches the fill."""
import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline
from typer.testing import CliRunner

from cancer_dl.benchmark import compare_models
from cancer_dl.classify import default_pipeline, evaluate_bundle, fit_with_validation, missing_words, train_classifier
from cancer_dl.data.labels import labelled
from cancer_dl.cli import app
from cancer_dl.core import InputError
from cancer_dl.data.checkup import describe_cohort, alike_samples
from cancer_dl.data.cohort import read_cohort, write_cohort
from cancer_dl.data.genes import align_genes
from cancer_dl.data.preprocess import MedianImputer
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.data.split import duplicate_profiles, holdout
from cancer_dl.explain import explain_bundle
from cancer_dl.report import checkup_page, page_of
from cancer_dl.robustness import make_learners, noise_scale, robustness_folds
from cancer_dl.subtypes import compare_subtypes, subtype_learners
from cancer_dl.train.assess import assess, plan_assessment
from cancer_dl.train.bundle import load_bundle, save_bundle
from cancer_dl.train.estimator import CancerClassifier
from cancer_dl.train.baselines import baselines

FAST = dict(epochs=3, random_state=0)


def make(n=160, genes=80, seed=0, units=None, share=.05) -> anndata.AnnData:
    "A simulated cohort of four types with holes; gene 3 has no value at all."
    cohort = simulate_cohort(n_samples=n, n_genes=genes, n_classes=4, seed=seed)
    cohort = cohort[(cohort.obs["sample_type"] != "normal").to_numpy()].copy()
    if units == "counts": cohort.X, cohort.uns["units"] = np.round(2**cohort.X*20).astype(np.float32), "counts"
    rng = np.random.default_rng(seed)
    cohort.X[rng.random(cohort.shape) < share] = np.nan
    cohort.X[:, 3] = np.nan
    return cohort


@pytest.fixture(scope="module")
def cohort(): return make()


@pytest.fixture(scope="module")
def trained(cohort): return train_classifier(cohort, judge="holdout", compare=True, epochs=3)


def test_the_story_says_what_was_filled_and_the_baselines_too(cohort, trained):
    n = int(np.isnan(cohort.X).sum())
    said = []
    train_classifier(cohort, judge="holdout", epochs=1, say=said.extend)
    line = next(s for s in said if s.startswith("missing"))
    assert f"{n:,} values" in line and "training samples only" in line and "1 genes have no value" in line
    assert len(trained.assessment.baselines) == 3 and type(trained.pipeline[0]) is MedianImputer
    assert (trained.bundle.facts["provenance"]["missing_values"] == missing_words(cohort.X)
            and "missing values" in page_of(trained))
    assert not any("unevenly" in w for w in trained.warnings)


@pytest.mark.parametrize("units", [None, "counts"])
def test_a_bundle_keeps_its_medians_and_fills_with_them(tmp_path, trained, cohort, units):
    if units: cohort, trained = (c := make(units=units)), train_classifier(c, judge="holdout", epochs=2)
    bundle = trained.bundle
    again = load_bundle(save_bundle(bundle, tmp_path/"b"))
    assert (again.imputes and f"{again.facts['missing']['values']:,} of the training values"
            in (tmp_path/"b"/"MODEL_CARD.md").read_text())
    found, report = again.predict_cohort(cohort)
    expected = bundle.calibration.apply(trained.pipeline.predict_proba(cohort.X))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    missing = int(np.isnan(cohort[:, again.features].X).sum())
    assert any(note.startswith(f"{missing:,} missing values") for note in report["notes"])
    filled = cohort.copy()
    filled.X = trained.pipeline[0].transform(cohort.X)
    np.testing.assert_allclose(again.predict_cohort(filled)[0], found, atol=1e-5)
    assert np.isfinite(report["shift"]["distance"]) and report["shift"]["degree"] == "none"
    rescaled = again.predict_cohort(cohort, rescale="cohort")[0]
    assert (np.isfinite(rescaled.to_numpy()).all()
            and (rescaled.to_numpy().argmax(1) == found.to_numpy().argmax(1)).mean() > .8)
    assert report["n_found"] == len(again.features)


def test_a_sample_of_which_most_is_missing_is_named_and_infinity_is_refused(trained, cohort):
    holed, infinite = cohort[:10].copy(), cohort[:10].copy()
    holed.X[4, :40], infinite.X[4, 50] = np.nan, np.inf
    found, report = trained.bundle.predict_cohort(holed)
    assert any("1 sample(s) lack more than 20%" in w and cohort.obs_names[4] in w for w in report["warnings"])
    assert np.isfinite(found.to_numpy()).all()
    with pytest.raises(InputError, match="infinite"): trained.bundle.predict_cohort(infinite)


def test_evaluate_knows_its_training_samples_though_values_are_missing(trained, cohort):
    renamed = cohort.copy()
    renamed.obs_names = [f"x{i}" for i in range(len(cohort))]
    renamed.obs["patient"] = renamed.obs_names
    for given in (cohort, renamed):
        evaluation, report = evaluate_bundle(trained.bundle, given)
        assert report["n_trained_samples"] == len(trained.parts["train"])
    assert 0 <= evaluation.metrics()["accuracy"] <= 1


def test_a_bundle_that_knows_no_missing_values_refuses_them_with_a_remedy_that_works(cohort):
    whole = cohort.copy()
    whole.X = np.nan_to_num(whole.X)
    bundle = train_classifier(whole, judge="holdout", epochs=1).bundle
    with pytest.raises(InputError, match="missing='drop_genes'.*'drop_samples' or 'zero'"):
        bundle.predict_cohort(cohort)
    gap = whole.copy()
    gap.X[2, 8] = np.nan
    assert len(bundle.predict_cohort(gap[:, ~np.isnan(gap.X).any(axis=0)].copy())[0]) == len(gap)
    with pytest.raises(InputError, match="missing='drop_genes'"): align_genes(gap, bundle.features)
    assert (np.isnan(align_genes(gap, bundle.features, keep_missing=True)[0]).sum()
            == (gap.var_names[8] in bundle.features))


@pytest.mark.parametrize("components", [None, 10])
def test_test_samples_do_not_reach_the_fill(cohort, components):
    "Values of test samples are changed: what was learned, and the answers for other test samples, stay."
    data = labelled(cohort)
    train, test = holdout(data.y, data.patients, sizes=(.7, .3), seed=0)
    def answers(X):
        data.X = X
        pipeline = default_pipeline(data.units, len(data.genes), components, impute=True, **FAST)
        return fit_with_validation(pipeline, data, train)[0].fill_, pipeline.predict_proba(X[test[1:]])
    before, X = data.X.copy(), data.X.copy()
    X[test[0]] = 1e3
    for a, b in zip(answers(before), answers(X)): np.testing.assert_array_equal(a, b)


def test_folds_learn_their_own_medians(cohort):
    "What the pipeline learns in a fold is the median of that fold, not of the cohort."
    data, seen = labelled(cohort), []
    class Spy(MedianImputer):
        def fit(self, X, y=None):
            super().fit(X, y)
            seen.append((X.shape[0], self.fill_))
            return self
    learner = Pipeline([("spy", Spy()), *baselines(names=("logistic regression",))["logistic regression"].steps])
    plan = plan_assessment(data.y, data.patients, "crossval")
    found = assess({"lr": learner}, "lr", data.X, data.y, data.patients, plan)
    assert len(seen) == plan.n_splits*plan.n_repeats and all(n < len(data.y) for n, _ in seen)
    assert len({fill.tobytes() for _, fill in seen}) == len(seen) and found.metrics()["accuracy"] > .4


def test_all_that_compares_learners_takes_missing_values(cohort):
    data = labelled(cohort, min_class_size=3)
    made = make_learners(data, ("cnn1d",), True, **{"epochs": 1})
    assert all(type(learner[0]) is MedianImputer for learner in made.values())
    comparison = compare_models(data, ("cnn1d",), ("logistic regression",), n_splits=3, epochs=1)
    assert set(comparison.table()["learner"]) == {"cnn1d", "logistic regression"}
    for what, levels in (("noise", (0, 1)), ("missing", (0, .5))):
        found = robustness_folds(data, {k: v for k, v in made.items() if k == "logistic regression"}, what,
                                 levels, n_splits=2)
        assert np.isfinite(found.curve()["accuracy"]).all()
    with pytest.raises(InputError, match="imputed"): noise_scale(data.X, data.units)
    learners = subtype_learners(data, epochs=1)
    learners.pop(next(iter(learners)))
    assert set(compare_subtypes(data, learners, n_splits=2, n_repeats=1)) == set(learners)


def test_an_explanation_rests_on_filled_values(trained, cohort):
    found = explain_bundle(trained.bundle, cohort, n_runs=0, sanity=False)
    assert (np.isfinite(found.data.X).all() and np.isfinite(found.effect).all()
            and "medians of training" in found.notes[0])
    assert found.effect[:, list(found.genes).index(cohort.var_names[3])].max() == 0  # nothing is known of it


def test_missing_values_that_give_the_class_away_are_told():
    cohort = make(share=0)
    rows = np.flatnonzero((cohort.obs["cancer_type"] == cohort.obs["cancer_type"].iloc[0]).to_numpy())
    cohort.X[np.ix_(rows, range(10, 50))] = np.nan
    trained = train_classifier(cohort, judge="holdout", epochs=1)
    assert any("missing unevenly" in w and "--missing drop_genes" in w for w in trained.warnings)


def test_the_checkup_looks_past_missing_values(cohort):
    copy = cohort.copy()
    copy.X[:, 9], copy.X[2, 9] = 3.5, np.nan
    copy.X[5], copy.X[7] = copy.X[4], np.nan
    d = describe_cohort(copy)
    # the one without a value, and the one with one value
    assert d["constant_genes"] == 2 and "missing='keep'" in d["ready"]
    assert d["suspicious"]["all_zero"] == [copy.obs_names[7]]
    assert [copy.obs_names[4], copy.obs_names[5]] in d["suspicious"]["identical"]
    assert duplicate_profiles(copy.X)[["first", "second"]].values.tolist() == [[4, 5]]
    assert [4, 5] in duplicate_profiles(copy.X, min_correlation=.999)[["first", "second"]].values.tolist()
    assert (4, 5) in [pair[:2] for pair in alike_samples(copy.X)]
    assert "<html" in checkup_page(copy, d)


def test_an_empty_sample_is_no_profile(cohort, tmp_path):
    nothing = cohort.copy()
    nothing.X[6] = np.nan
    write_cohort(nothing, tmp_path/"c")
    with pytest.raises(InputError, match="1 sample.s. are zero or missing for every gene"):
        read_cohort(tmp_path/"c", missing="keep")
    assert len(read_cohort(tmp_path/"c", missing="keep", empty="drop")) == len(cohort) - 1


def test_a_classifier_alone_says_what_to_put_before_it(cohort):
    y = cohort.obs["cancer_type"].astype(str)
    with pytest.raises(InputError, match="MedianImputer"): CancerClassifier(epochs=1).fit(cohort.to_df(), y)
    fitted = CancerClassifier(epochs=1).fit(np.nan_to_num(cohort.X), y)
    with pytest.raises(InputError, match=r"in row \d+, column \d+ .*MedianImputer"): fitted.predict(cohort.X)


def test_the_command_line_from_training_to_prediction(cohort, tmp_path):
    write_cohort(cohort, tmp_path/"c")
    def call(*words):
        result = CliRunner().invoke(app, [str(w) for w in words])
        return result.exit_code, " ".join(result.output.split())
    code, said = call("train", tmp_path/"c", "--out", tmp_path/"b", "--epochs", 1)
    assert code == 2 and "--missing" in said and "keep" in said
    code, said = call("train", tmp_path/"c", "--out", tmp_path/"b", "--epochs", 1, "--missing", "keep", "--no-compare",
                      "--judge", "holdout")
    assert code == 0 and "missing " in said and "filled with the gene's median" in said, said
    for job, out in (("predict", "p.csv"), ("evaluate", "e")):
        code, said = call(job, tmp_path/"b", tmp_path/"c", "--out", tmp_path/out, "--missing", "keep")
        assert code == 0 and "filled with the medians of training" in said, said
    assert len(pd.read_csv(tmp_path/"p.csv")) == len(cohort)
