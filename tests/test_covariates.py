"Age and stage beside a network of survival, and the random survival forest where scikit-survival is installed."
import importlib.util
import sys
import types

import numpy as np
import pandas as pd
import pytest
from commands import cancer_dl
from refusing import refused

from cancer_dl.data.cohort import write_cohort
from cancer_dl.outcomes import (FOREST, clinical_columns, not_compared, outcome_baselines, outcome_page, outcomes_of,
                                train_outcome)
from cancer_dl.survival import (SurvivalForest, check_covariates, covariate_cox, covariates_of, has_survival_forest)

QUICK = dict(epochs=1, members=1, n_splits=2, model_params=dict(dense=8))
DAYS = ("days", "dead")


@pytest.fixture(scope="module")
def cohort(simulated):
    "90 samples; the hazard rises with age, and follows the stage; some cells are empty."
    found, rng = simulated(n_samples=90, n_genes=30, n_classes=2, share_normals=0, seed=1), np.random.default_rng(1)
    age, stage = rng.normal(60, 10, 90), rng.integers(0, 3, 90)
    found.obs["age"] = pd.Series(age.round(1).astype(str)).where(rng.random(90) < .9, "NA").to_numpy()
    found.obs["stage"] = np.array(["Stage I", "Stage II", "[Not Available]"])[stage]
    found.obs["days"] = (800 * rng.exponential(np.exp(-(age - 60) / 8 - stage))).round() + 1
    found.obs["dead"] = (rng.random(90) < .7).astype(int)
    found.obs["death_day"] = np.where(found.obs["dead"] == 1, rng.integers(1, 99, 90), np.nan)
    found.obs["status"] = np.where(found.obs["dead"] == 1, "died", "alive at the end")
    found.obs["weeks"] = found.obs["days"] / 7
    found.obs["same"], found.obs["name"] = "x", found.obs_names
    return found

@pytest.fixture(scope="module")
def trained(cohort):
    pytest.importorskip("lifelines")
    return train_outcome(cohort, survival=DAYS, covariates="age, stage", **QUICK)

# ---------------------------------------------------------------- the columns

def test_numbers_and_words_are_told_apart(cohort):
    table = covariates_of(cohort, "age,stage")
    assert table["age"].dtype == float and table["stage"].dtype == object
    assert table["age"].isna().sum() == (cohort.obs["age"] == "NA").sum() > 0
    assert set(table["stage"].dropna()) == {"Stage I", "Stage II"} and table["stage"].isna().any()

@pytest.mark.parametrize("columns, parts", [
    ("age,stag", ["Did you mean stage"]), ("same", ["1 different values"]), ("name", ["90 different words", "sample"]),
    ("age,age", ["each once"]), ([], ["none was given"]), ("days", ["is what is predicted"]),
    ("death_day", ["is the answer", "whether it is filled in"]), ("status", ["is the answer", "the event follows"]),
    ("weeks", ["is the answer", "follows the time"])])
def test_what_is_refused(cohort, columns, parts):
    pytest.importorskip("lifelines")
    data = outcomes_of(cohort, survival=DAYS)
    refused(lambda: clinical_columns(cohort, data, columns, True), *parts)

EVENT = (np.arange(60) % 3 == 0).astype(float)

@pytest.mark.parametrize("copy", [EVENT, 2 - EVENT, EVENT + np.random.default_rng(0).normal(0, .1, 60),
                                  np.where(np.arange(60) % 4 == 1, np.nan, EVENT), np.where(EVENT > 0, 3., 1.),
                                  np.where(np.arange(60) == 7, 1 - EVENT, EVENT), 2 * EVENT + np.arange(60) % 2,
                                  np.where(np.arange(60) == 7, "dead", np.where(EVENT > 0, "dead", "alive")),
                                  np.where((EVENT > 0) & (np.arange(60) > 0), 5 * np.arange(60.), np.nan)])
def test_a_copy_of_the_event_is_refused_as_numbers_and_as_words(copy):
    y = pd.DataFrame({"time": np.random.default_rng(1).exponential(1, 60), "event": EVENT})
    table = pd.DataFrame({"vital": copy.astype(object) if copy.dtype.kind == "U" else copy})
    refused(lambda: check_covariates(table, y), "'vital' is the answer")

def test_what_only_goes_with_the_event_stays():
    "A strong covariate, few words, rare events, and a different word for nearly each sample."
    rng = np.random.default_rng(0)
    y = pd.DataFrame({"time": rng.exponential(1, 60), "event": EVENT})
    check_covariates(pd.DataFrame({"age": EVENT + rng.normal(0, .5, 60), "sex": rng.choice(["f", "m"], 60),
                                   "site": [f"s{i // 3}" for i in range(60)], "one": np.arange(60) % 2.},), y)
    rare = y.assign(event=(np.arange(60) < 4).astype(float))
    check_covariates(pd.DataFrame({"site": np.where(np.arange(60) < 4, "a", "b").astype(object)}), rare)
    many = pd.DataFrame({"time": rng.exponential(1, 1000), "event": (np.arange(1000) % 100 == 0).astype(float)})
    check_covariates(pd.DataFrame({"sex": rng.choice(["f", "m"], 1000).astype(object)}), many)

def test_where_they_have_no_effect(cohort):
    refused(lambda: train_outcome(cohort, survival=DAYS, covariates="age", compare=False, **QUICK), "--no-compare")
    refused(lambda: train_outcome(cohort, "days", covariates="age", **QUICK), "for a value")

def test_without_lifelines_it_is_said_before_training(cohort, monkeypatch):
    monkeypatch.setitem(sys.modules, "lifelines", None)
    refused(lambda: train_outcome(cohort, survival=DAYS, covariates="age", **QUICK), "cancer_dl[survival]")

def test_all_is_learned_on_the_patients_it_is_fitted_on():
    "Medians, scales and words are those of the training part: other rows change nothing."
    pytest.importorskip("lifelines")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(60, 9, 80), "stage": rng.choice(["I", "II"], 80).astype(object)})
    table.loc[::9, "age"] = np.nan
    y = pd.DataFrame({"time": rng.exponential(1, 80), "event": (rng.random(80) < .8).astype(float)})
    first = covariate_cox(table).fit(table[:50], y[:50]).predict(table[:50])
    far = table.copy()
    far.loc[50:, "age"], far.loc[50:, "stage"] = 1e6, "IX"
    again = covariate_cox(far).fit(far[:50], y[:50])
    np.testing.assert_array_equal(again.predict(far[:50]), first)
    assert np.isfinite(again.predict(far[50:])).all()
    check_covariates(table, y)

def test_the_coefficient_is_that_of_lifelines():
    lifelines = pytest.importorskip("lifelines")
    rng = np.random.default_rng(0)
    age = rng.normal(60, 9, 200)
    y = pd.DataFrame({"time": rng.exponential(np.exp(-(age - 60) / 9)), "event": 1.0})
    scaled = (age - age.mean()) / age.std()
    theirs = lifelines.CoxPHFitter(penalizer=.01).fit(y.assign(age=scaled), "time", "event").params_["age"]
    table = pd.DataFrame({"age": age})
    ours = covariate_cox(table).fit(table, y)
    assert ours[-1].coef_[0] == pytest.approx(theirs, rel=1e-4) and theirs > .8

# ---------------------------------------------------------------- beside the network

def test_they_are_judged_on_the_same_folds_with_a_paired_interval(trained):
    names = list(trained.results)
    assert names[0] == "mlp" and names[-1] == "Cox of age, stage"
    folds = [[(f["repeat"], f["fold"], f["n_test"]) for f in result.folds] for result in trained.results.values()]
    assert all(each == folds[0] for each in folds)
    verdict = next(v for v in trained.verdicts if v.second == "Cox of age, stage")
    lower, upper = verdict.interval
    assert lower <= verdict.difference <= upper
    m = [trained.results[name].metrics()["concordance"] for name in ("mlp", "Cox of age, stage")]
    assert verdict.difference == pytest.approx(m[0] - m[1]) and m[1] > .6
    assert trained.bundle.facts["provenance"]["covariates"] == "age, stage"
    assert "Cox of age, stage" in outcome_page(trained)

def test_the_command(cohort, tmp_path):
    pytest.importorskip("lifelines")
    write_cohort(cohort, tmp_path/"cohort")
    words = ["train", tmp_path/"cohort", "--survival", "days,dead", "--epochs", 1, "--set", "members=1", "--set",
             "dense=8", "--quiet"]
    for more, said in ((["--no-compare"], "no effect with --no-compare"), (["--covariates", "age,stag"], "stage")):
        code, _, err = cancer_dl(*words, "--covariates", "age", *more, "--out", tmp_path/"n")
        assert code == 2 and said in err and "Traceback" not in err
    code, _, err = cancer_dl("train", tmp_path/"cohort", "--covariates", "age", "--out", tmp_path/"n")
    assert code == 2 and "--survival" in err and not (tmp_path/"n").exists()

# ---------------------------------------------------------------- the forest

class FakeForest:
    "Takes note of what it is given; the risk is the first column."
    def __init__(self, *args, **options): self.args, self.options = args, options

    def fit(self, X, y):
        self.X, self.y = X, y
        return self

    def predict(self, X): return X[:, 0]

@pytest.fixture
def fake(monkeypatch):
    "scikit-survival, as far as the forest needs it, with the signatures of its documentation."
    package, ensemble, util = (types.ModuleType(f"sksurv{end}") for end in ("", ".ensemble", ".util"))
    package.__spec__ = importlib.util.spec_from_loader("sksurv", loader=None)
    class Surv:
        @staticmethod
        def from_arrays(event, time, name_event=None, name_time=None):
            return np.array(list(zip(event, time)), dtype=[("event", bool), ("time", float)])
    ensemble.RandomSurvivalForest, util.Surv = FakeForest, Surv
    for name, module in (("sksurv", package), ("sksurv.ensemble", ensemble), ("sksurv.util", util)):
        monkeypatch.setitem(sys.modules, name, module)

@pytest.fixture
def absent(monkeypatch):
    for name in ("sksurv", "sksurv.ensemble", "sksurv.util"): monkeypatch.setitem(sys.modules, name, None)

def test_without_scikit_survival(absent, trained):
    assert not has_survival_forest() and FOREST not in outcome_baselines("survival")
    refused(lambda: SurvivalForest().fit(np.eye(4), np.ones((4, 2))), "pip install scikit-survival", "GPL")
    if FOREST not in trained.results:
        said, = not_compared(trained)
        assert "scikit-survival is not installed" in said and said in outcome_page(trained)

def test_what_the_forest_is_given(fake):
    assert has_survival_forest() and FOREST in outcome_baselines("survival")
    assert FOREST not in outcome_baselines("value")
    X = np.arange(8.).reshape(4, 2)
    y = pd.DataFrame({"time": [3, 1, np.nan, 2], "event": [1, 0, 1, 1]})
    forest = SurvivalForest(50, random_state=4).fit(X, y)
    assert forest.forest_.y.tolist() == [(True, 3.0), (False, 1.0), (True, 2.0)] and len(forest.forest_.X) == 3
    assert forest.forest_.args == (50,) and forest.forest_.options["random_state"] == 4
    assert forest.predict(X).tolist() == [0, 2, 4, 6]

def test_the_forest_stands_beside_the_network(fake, cohort):
    found = train_outcome(cohort, survival=DAYS, **QUICK)
    assert list(found.results) == ["mlp", "linear Cox (ridge)", FOREST]
    said, = not_compared(found)  # no word of the forest
    assert "--covariates" in said and any(v.second == FOREST for v in found.verdicts)

@pytest.mark.skipif(not has_survival_forest(), reason="scikit-survival is not installed")
def test_the_real_forest_finds_a_hazard():
    from cancer_dl.train.task import concordance
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6))
    y = pd.DataFrame({"time": rng.exponential(np.exp(-2 * X[:, 0])), "event": 1.0})
    risk = SurvivalForest(50).fit(X[:120], y[:120]).predict(X[120:])
    assert concordance(y["time"][120:].to_numpy(), y["event"][120:].to_numpy(), risk) > .7

def test_covariates_that_are_constant_in_a_fold():
    "A rare word that no training patient has: the hazard is the same for all."
    pytest.importorskip("lifelines")
    from cancer_dl.train.validate import cross_validate
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"rare": np.where(np.arange(40) == 3, "yes", "no").astype(object)})
    y = pd.DataFrame({"time": rng.exponential(1, 40), "event": np.ones(40)})
    found = cross_validate(covariate_cox(table), table, y, n_splits=4, n_repeats=1)
    assert np.isfinite(found.metrics()["concordance"])
