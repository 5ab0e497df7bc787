"""Assessing a network as the size of the cohort allows: the plan, the parts, the metrics of two classes, and the
verdict."""
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from cancer_dl.core import InputError
from cancer_dl.data.split import patients_per_class
from cancer_dl.train.assess import (SMALL, Plan, assess, jackknife_interval, plan_assessment, positive_class,
                                    ranking_metrics)
from cancer_dl.train.validate import exact_interval


def cohort(n=120, seed=0, names=("neg", "pos"), **kwargs):
    X, y = make_classification(n, 20, n_informative=4, random_state=seed, **kwargs)
    return X.astype(np.float32), np.array(names)[y]


@pytest.mark.parametrize("n, how", [(SMALL - 1, "crossval"), (SMALL, "holdout"), (5000, "holdout")])
def test_the_size_decides(n, how):
    y = np.array(["a", "b"])[np.arange(n) % 2]
    assert plan_assessment(y, np.arange(n)).how == how
    assert plan_assessment(y, np.arange(n), "crossval").how == "crossval"


@pytest.mark.parametrize("patients, folds", [(2, 2), (3, 3), (5, 5), (40, 5)])
def test_as_many_folds_as_the_smallest_class_has_patients(patients, folds):
    y = np.repeat(["a", "b"], [60, 40])
    groups = np.r_[np.arange(60), 100 + np.arange(40) % patients]
    assert plan_assessment(y, groups).n_splits == folds
    assert patients_per_class(y, groups) == {"a": 60, "b": patients}


def test_a_class_of_one_patient_names_the_way_out():
    with pytest.raises(InputError, match="--min-class-size 2.*--small-classes drop"):
        plan_assessment(np.repeat(["a", "b"], [30, 5]), np.r_[np.arange(30), np.full(5, 99)])


def test_no_patient_on_both_sides():
    X, y = cohort(200)
    groups = np.arange(200) // 2
    found = assess(dict(network=GaussianNB()), "network", X, y, groups, Plan("holdout"))
    assert not set(groups[found.parts["train"]]) & set(groups[found.parts["test"]])
    assert found.baselines == [] and "No baseline was compared" in found.verdict()


def test_the_hold_out_is_what_scikit_learn_computes():
    X, y = cohort(400)
    found = assess(dict(network=LogisticRegression(), other=GaussianNB()), "network", X, y, np.arange(400),
                   Plan("holdout"), seed=3)
    train, test = found.parts["train"], found.parts["test"]
    fitted = LogisticRegression().fit(X[train], y[train])
    assert found.metrics()["accuracy"] == pytest.approx((fitted.predict(X[test]) == y[test]).mean())
    score = fitted.predict_proba(X[test])[:, 1]
    assert found.metrics()["auroc"] == pytest.approx(roc_auc_score(y[test] == "pos", score), abs=1e-6)
    assert found.metrics()["average_precision"] == pytest.approx(average_precision_score(y[test] == "pos", score),
                                                                 abs=1e-6)
    assert found.majority()[1] == pytest.approx(max(np.mean(y[test] == "neg"), np.mean(y[test] == "pos")))


def test_learners_without_probabilities_take_part():
    X, y = cohort()
    found = assess(dict(network=GaussianNB(), svm=LinearSVC()), "network", X, y, np.arange(120), Plan("crossval", 3, 1))
    assert found.metrics("svm")["auroc"] > .5 and 0 < found.metrics("svm")["accuracy"] <= 1


def test_a_perfect_separation_is_no_certainty():
    value, (low, high) = jackknife_interval(roc_auc_score, np.repeat([0, 1], 10), np.arange(20.0), np.arange(20))
    assert value == high == 1 and low == pytest.approx(stats.beta.ppf(.025, 10, 1), abs=1e-9)


def delong(y, score):
    "AUROC with the interval of DeLong et al. (1988)."
    above = (score[y == 1][:, None] > score[y == 0]).astype(float)
    half = 1.96 * np.sqrt(sum(above.mean(axis=k).var(ddof=1) / above.shape[1 - k] for k in (0, 1)))
    return above.mean(), (above.mean() - half, min(above.mean() + half, 1))


def drawn_scores(truth, seed, n=150, positive=38):
    "Scores of two normal distributions with a known AUROC."
    y = (np.arange(n) < positive).astype(int)
    return y, np.random.default_rng(seed).normal(y * stats.norm.ppf(truth) * 2**.5)


def own_interval(y, score):
    area = lambda y, s: (s[y == 1][:, None] > s[y == 0]).mean()
    return jackknife_interval(area, y, score, np.arange(len(y)))[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_error_in_many_pairs_does_not_widen_the_interval_to_that_of_the_smaller_class(seed):
    "AUROC 0.99 of 38 and 112 patients was given 0.907, the floor of 38 patients without an error."
    y, score = drawn_scores(.99, seed)
    value, ends = delong(y, score)
    m = ranking_metrics(y, score, np.arange(150))
    assert m["auroc"] == pytest.approx(value) and value < 1
    assert np.ptp(m["auroc_interval"]) < 2 * np.ptp(ends) and m["auroc_interval"][0] > ends[0] - .02
    assert m["auroc_interval"][0] != m["average_precision_interval"][0]


@pytest.mark.slow
@pytest.mark.parametrize("truth", [.75, .9, .97, .99])
def test_intervals_of_the_auroc_hold_the_truth_as_often_as_they_say(truth):
    held = [[low <= truth <= high for low, high in (own_interval(*drawn), delong(*drawn)[1])]
            for drawn in (drawn_scores(truth, seed) for seed in range(200))]
    ours, theirs = np.mean(held, axis=0)
    assert .9 <= ours <= .99 and ours >= theirs - .02


def test_dust_of_rounding_is_no_variance():
    "Average precision of a perfect ranking is 1 but for the last digit, which differs from block to block."
    y = np.arange(400) % 2
    found = ranking_metrics(y, y + .1 * np.random.default_rng(0).random(400), np.arange(400))
    assert found["average_precision_interval"] == pytest.approx(found["auroc_interval"])
    assert found["average_precision_interval"][0] == pytest.approx(.025**(1 / 200))  # 200 patients of either class


def test_copies_of_a_patient_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    score = rng.normal(y)
    once = ranking_metrics(y, score, np.arange(80))
    thrice = ranking_metrics(np.tile(y, 3), np.tile(score, 3), np.tile(np.arange(80), 3))
    for name in ("auroc", "average_precision"):
        assert np.ptp(thrice[f"{name}_interval"]) == pytest.approx(np.ptp(once[f"{name}_interval"]), rel=.05)


@pytest.mark.parametrize("names, expected",
                         [(("0", "1"), "1"), (("Negative", "Positive"), "Positive"), (("False", "True"), "True"),
                          (("BRCA", "NORMAL"), "BRCA"), (("WT", "mutant"), "mutant"), (("x", "y"), "y")])
def test_which_class_is_positive(names, expected):
    assert positive_class(names, [50, 20]) == expected


def test_a_positive_class_needs_two_classes():
    X, y = make_classification(90, 10, n_informative=5, n_classes=3, random_state=0)
    with pytest.raises(InputError, match="3 classes"):
        assess(dict(network=GaussianNB()), "network", X, y, np.arange(90), Plan("crossval", 3, 1), positive="1")


def test_random_labels_are_never_better():
    X, y = cohort(160)
    for seed in range(5):
        random = np.random.default_rng(seed).permutation(y)
        found = assess(dict(network=GaussianNB(), regression=LogisticRegression()), "network", X, random,
                       np.arange(160), Plan("crossval", 5, 2), seed=seed)
        assert all(v.answer != "better" for v in found.verdicts())

@pytest.mark.parametrize("distance", [1.2, 2.4])
def test_the_auroc_of_pairs_is_sharper_than_a_share_of_patients_and_no_sharper_than_delong(distance):
    "67 patients with a tumour and a normal sample: 134 answers, and not 67."
    rng, found = np.random.default_rng(0), []
    y, groups = np.repeat([1, 0], 67), np.tile(np.arange(67), 2)
    for _ in range(2):
        own = rng.normal(size=67)
        score = np.r_[own + distance * 1.4 + rng.normal(size=67), own + rng.normal(size=67)]
        m = ranking_metrics(y, score, groups)
        share = exact_interval(m["auroc"] * 67, 67)
        found.append((np.ptp(m["auroc_interval"]), share[1] - share[0]))
        drawn = [rng.integers(0, 67, 67) for _ in range(100)]
        boot = np.percentile([roc_auc_score(y, np.r_[score[:67][d], score[67:][d]]) for d in drawn], [10, 90])
        assert m["auroc_interval"][0] <= boot[0] and boot[1] <= m["auroc_interval"][1] + .01
    ours, shares = np.mean(found, axis=0)
    assert ours < .85 * shares
