"Measures of survival against hand computation and lifelines; Cox with a ridge penalty; the details of an evaluation."
import numpy as np
import pandas as pd
import pytest
from refusing import refused

from cancer_dl.train.survival import (auc_times, log_rank, not_censored, survival_scores, time_auc, uno_concordance)
from cancer_dl.train.task import concordance

@pytest.fixture(scope="module")
def patients():
    "Times, events, hazards of 120 patients, half of them censored; no two times are equal."
    rng = np.random.default_rng(3)
    hazard = rng.normal(size=120)
    died, lost = rng.exponential(np.exp(-hazard)), rng.exponential(0.8, 120)
    return np.minimum(died, lost), died <= lost, hazard

def test_censoring_is_lifelines_kaplan_meier(patients):
    lifelines = pytest.importorskip("lifelines")
    time, event, _ = patients
    fitted = lifelines.KaplanMeierFitter().fit(time, ~event)
    before = np.array([fitted.predict(t - 1e-9) for t in time])  # G(t-)
    assert np.allclose(not_censored(time, event, time), before, atol=1e-9)

def test_an_event_comes_before_a_censoring_at_the_same_time():
    time, event = [1, 2, 2, 3], [1, 1, 0, 1]
    assert np.allclose(not_censored(time, event, [2, 2.5]), [1, 1 / 2])  # at 2 the censored one and the last are left

def test_harrell_is_lifelines(patients):
    utils = pytest.importorskip("lifelines.utils")
    time, event, hazard = patients
    assert np.isclose(concordance(time, event, hazard), utils.concordance_index(time, -hazard, event))

def test_uno_by_hand(patients):
    "The sums of the formula, pair by pair."
    time, event, hazard = patients
    g, tau = not_censored(time, event, time), np.quantile(time, 0.8)
    above = below = 0.0
    for i in range(120):
        for j in range(120):
            if event[i] and time[i] < time[j] and time[i] < tau:
                above += (hazard[i] > hazard[j]) / g[i]**2
                below += 1 / g[i]**2
    assert np.isclose(uno_concordance(time, event, hazard, tau), above / below)

def test_auc_by_hand(patients):
    time, event, hazard = patients
    g, t = not_censored(time, event, time), np.median(time)
    above = below = 0.0
    for i in range(120):
        for j in range(120):
            if event[i] and time[i] <= t < time[j]:
                above += (hazard[i] > hazard[j]) / g[i]
                below += 1 / g[i]
    assert np.isclose(time_auc(time, event, hazard, [t])[0], above / below)

def test_without_censoring_auc_is_that_of_scikit_learn(patients):
    from sklearn.metrics import roc_auc_score
    time, _, hazard = patients
    assert np.isclose(time_auc(time, np.ones(120), hazard, [0.5])[0], roc_auc_score(time <= 0.5, hazard))

def test_log_rank_is_lifelines(patients):
    statistics = pytest.importorskip("lifelines.statistics")
    time, event, hazard = patients
    high = hazard > 0
    expected = statistics.logrank_test(time[high], time[~high], event[high], event[~high]).p_value
    assert np.isclose(log_rank(time, event, high), expected, rtol=1e-3)

def test_order_is_all_that_counts(patients):
    time, event, hazard = patients
    one, other = (survival_scores(time, event, h) for h in (hazard, np.exp(hazard) * 7))
    assert one == other
    turned = survival_scores(time, event, -hazard)
    assert np.isclose(one["uno_concordance"] + turned["uno_concordance"], 1)

def test_a_constant_hazard_is_chance(patients):
    time, event, _ = patients
    assert uno_concordance(time, event, np.ones(120)) == 0.5 == time_auc(time, event, np.ones(120), [0.5])[0]
    assert np.isnan(log_rank(time, event, np.ones(120, bool)))

def test_nobody_had_an_event():
    time, hazard = np.arange(1., 6), np.arange(5.)
    assert np.isnan(uno_concordance(time, np.zeros(5), hazard)) and len(auc_times(time, np.zeros(5))) == 0
    assert np.isnan(log_rank(time, np.zeros(5), hazard > 2))

@pytest.mark.parametrize("time, event, hazard, parts",
                         [([1, -2], [1, 0], [0, 0], ("Sample 1", "negative time", "-2")),
                          ([1, np.nan], [1, 0], [0, 0], ("Sample 1 has no time",)),
                          ([1, 2], [1, 2], [0, 0], ("must be 1, or 0",)),
                          ([1, 2], [1, 0], [0, np.inf], ("Sample 1 has no hazard",)),
                          ([1, 2], [1, 0], [0], ("different lengths",))])
def test_what_is_refused(time, event, hazard, parts):
    refused(lambda: uno_concordance(time, event, hazard), *parts)

def test_cox_is_that_of_lifelines():
    lifelines = pytest.importorskip("lifelines")
    from cancer_dl.survival import CoxRidge
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(150, 3)), np.full(150, 2.)].astype(np.float32)
    y = pd.DataFrame({"time": rng.exponential(np.exp(-X[:, 0])), "event": rng.integers(0, 2, 150).astype(float)})
    y.loc[149, "time"] = np.nan  # not known: takes no part
    ours = CoxRidge(0.1).fit(X, y)
    frame = pd.DataFrame(X[:149, :3].astype(float), columns=list("abc")).assign(**y.iloc[:149].astype(np.float32))
    theirs = lifelines.CoxPHFitter(penalizer=0.1).fit(frame.astype(float), "time", "event")
    assert np.allclose(ours.coef_, theirs.params_, atol=1e-6) and ours.predict(X).shape == (150,)

def test_an_evaluation_says_more_about_survival(patients, tmp_path):
    import json

    from cancer_dl.outcomes import Outcomes, write_outcome
    from cancer_dl.train.task import Survival
    from cancer_dl.train.validate import TaskValidation
    time, event, hazard = patients
    y = pd.DataFrame({"time": time, "event": event.astype(float)})
    names = np.array([f"s{i}" for i in range(120)])
    data = Outcomes(np.zeros((120, 1)), y, names, names, np.array(["g"]), "unknown", ("days", "status"), "survival")
    fold = dict(repeat=1, fold=1, n_test=120, seconds=0.0)
    result = TaskValidation(Survival().fit(y), y, names, [hazard], [fold])
    write_outcome(data, result, dict(warnings=[], text="all found"), tmp_path/"e")
    metrics = json.loads((tmp_path/"e"/"metrics.json").read_text())
    assert np.isclose(metrics["uno_concordance"], uno_concordance(time, event, hazard))
    assert len(metrics["time_auc"]) == 3 and metrics["log_rank_p"] < 0.01 and "concordance" in metrics
    page = (tmp_path/"e"/"report.html").read_text()
    assert "More about survival" in page and "AUC at days" in page
