"Intervals that hold what they promise, and verdicts that a test stands behind."
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression, LogisticRegression

from cancer_dl.core import InputError
from cancer_dl.data.samples import parse_barcodes
from cancer_dl.train.task import Classes, Multitask, Survival, Values
from cancer_dl.train.validate import (CrossValidation, TaskValidation, compare_folds, compare_patients, compare_tasks,
                                      cross_validate, exact_interval, jackknife, metric_interval, metric_intervals,
                                      metrics_of_confusion, share_interval)
from cancer_dl.train.verdict import (BETTER, EQUAL, WORSE, fold_verdicts, holm, in_words, judge, share_verdicts,
                                     split_verdicts, verdict_table)

PATIENTS, ACCURACIES = (15, 19, 25, 40, 80, 200, 700, 2000, 5000), (.5, .65, .8, .9, .95, .98, .995)


# -- intervals of a share

@pytest.mark.parametrize("right, n, lower, upper", [(0, 10, 0, .3085), (1, 10, .0025, .4450), (5, 10, .1871, .8129),
                                                    (9, 10, .5550, .9975), (10, 10, .6915, 1), (4, 20, .0573, .4366)])
def test_the_exact_interval_is_that_of_published_tables(right, n, lower, upper):
    "Clopper and Pearson 1934, as printed in textbooks."
    assert np.ravel(exact_interval(right, n)) == pytest.approx([lower, upper], abs=1e-4)
    assert np.ravel(share_interval(np.arange(n) < right, np.ones(n))) == pytest.approx([lower, upper], abs=1e-4)

@pytest.mark.parametrize("n", PATIENTS)
def test_coverage_is_exact_where_a_patient_has_one_sample(n):
    hits = np.arange(n + 1)
    lower, upper = exact_interval(hits, n)
    for accuracy in ACCURACIES:
        covered = stats.binom.pmf(hits, n, accuracy)[(lower <= accuracy) & (accuracy <= upper)].sum()
        assert covered >= .95 and (n * (1 - accuracy) < 10 or covered <= .98), (n, accuracy, covered)

@pytest.mark.parametrize("n", [15, 300, *(pytest.param(n, marks=pytest.mark.slow) for n in (25, 40, 80))])
@pytest.mark.parametrize("calls, correlation", [((1, 2, 3, 4), .5), ((2,), .1), ((6,), .8), ((1, 1, 1, 8), .3)],
                         ids=["1 to 4 samples", "2 samples", "6 repeats", "some with 8"])
def test_coverage_where_patients_repeat(n, calls, correlation):
    "No cell under 93 %; at most 98 % where 10 patients or more are expected to be wrong."
    total, size, rng = np.resize(calls, n), (1 - correlation) / correlation, np.random.default_rng(n)
    for accuracy in ACCURACIES:
        covered = []
        for _ in range(4):
            right = rng.binomial(total, rng.beta(accuracy * size, (1 - accuracy) * size, (500, n)))
            lower, upper = share_interval(right, total)
            covered.append((lower <= accuracy) & (accuracy <= upper))
        assert np.mean(covered) >= .93 and (n * (1 - accuracy) < 10 or np.mean(covered) <= .98), (n, calls, accuracy,
                                                                                                  np.mean(covered))

def test_an_accuracy_of_one_is_always_covered():
    for n in PATIENTS: assert share_interval(np.full(n, 3), np.full(n, 3))[1] == 1

@pytest.mark.parametrize("total", [np.ones(19), np.full(19, 4), np.arange(1, 20), np.array([30] + [2] * 18)],
                         ids=["one", "four", "1 to 19", "one with 30"])
def test_more_errors_never_give_a_higher_lower_bound_at_the_edge(total):
    flawless, bounds = share_interval(total, total)[0], []
    for wrong in range(int(total[-1]) + 1):  # of the last patient, then of the one before, too
        bounds.append(share_interval(total - wrong * (np.arange(19) == 18), total)[0])
    assert max(bounds) <= flawless + 1e-12
    patients = [share_interval(total * (np.arange(19) < right), total)[0] for right in range(20)]
    assert (np.diff(patients) >= -1e-12).all() and patients[0] == 0

def test_18_of_19_is_no_surer_than_19_of_19():
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        lower = [metric_intervals(np.zeros(19, int), (np.arange(19) >= right).astype(int), 2)[f"{name}_interval"][0]
                 for right in (17, 18, 19)]
        assert lower == sorted(lower), name

def test_copies_of_samples_and_repeats_say_nothing_new():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 80)
    called = np.where(rng.random(80) < .8, y, (y + 1) % 3)
    alone = metric_intervals(y, called, 3)
    copies = metric_intervals(np.repeat(y, 5), np.repeat(called, 5), 3, np.repeat(np.arange(80), 5))
    repeats = metric_intervals(y, np.tile(called, (6, 1)), 3)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        for other in (copies, repeats):
            assert other[name] == pytest.approx(alone[name]) and other[f"{name}_interval"] == pytest.approx(
                alone[f"{name}_interval"], abs=.005), name

def test_independent_repeats_of_a_patient_do_say_something():
    rng = np.random.default_rng(0)
    width = lambda r, t: np.subtract(*share_interval(r, t)[::-1])
    assert width(rng.binomial(4, .7, 200), np.full(200, 4)) < .6 * width(rng.binomial(1, .7, 200), np.ones(200))

def test_the_value_lies_in_its_interval():
    rng = np.random.default_rng(1)
    for _ in range(200):
        n, K, R = rng.integers(2, 40), rng.integers(1, 6), rng.integers(1, 4)
        y, called, groups = rng.integers(0, K, n), rng.integers(0, K, (R, n)), rng.integers(0, n, n)
        found = metric_intervals(y, called, K, groups)
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            lower, upper = found[f"{name}_interval"]
            assert 0 <= lower <= found[name] + 1e-9 and found[name] - 1e-9 <= upper <= 1 and lower < upper

@pytest.mark.parametrize("sizes, recall", [
    ([20, 20], [.8, .8]), ([50, 20, 5], [.99, .99, .99]), ([20, 9, 7, 5, 4, 3, 2, 2, 1, 1], [.8] * 10),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ([100, 10], [.95, .8]), ([15] * 4, [.25] * 4), ([163, 68, 57, 19, 17], [.9, .5, .6, .1, .2])))], ids=str)
def test_coverage_of_balanced_accuracy_and_macro_f1(sizes, recall):
    rng, K = np.random.default_rng(0), len(sizes)
    chance = (1 - np.array(recall))[:, None] / (K - 1) * (1 - np.eye(K)) + np.diag(recall)
    truth, y, hits = metrics_of_confusion(chance * np.array(sizes)[:, None]), np.repeat(np.arange(K), sizes), []
    for _ in range(500):
        called = (rng.random(len(y))[:, None] > chance.cumsum(axis=1)[y]).sum(axis=1).clip(0, K - 1)
        found = metric_intervals(y, called, K)
        hits.append([found[f"{m}_interval"][0] <= truth[m] <= found[f"{m}_interval"][1]
                     for m in ("balanced_accuracy", "macro_f1")])
    assert np.mean(hits, axis=0).min() >= .93, np.mean(hits, axis=0)

def test_chance_is_in_the_middle_of_its_interval():
    """Balanced accuracy of random calls of many small classes:
    not at the edge of its interval, as with a bootstrap that loses classes."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), [30, 12, 8, 6, 5, 4, 3, 3, 2, 2])
    outside = 0
    for _ in range(200):
        found = metric_intervals(y, rng.permutation(y), 10)
        lower, upper = found["balanced_accuracy_interval"]
        assert (found["balanced_accuracy"] - lower) > .15 * (upper - lower) or lower == 0
        outside += not lower <= .1 <= upper
    assert outside <= 14


# -- paired tests

def test_mcnemar_is_exact_and_the_interval_that_of_bonett_and_price():
    first, second = (np.r_[np.ones(12), np.zeros(4), np.ones(30), np.zeros(4)],
                     np.r_[np.zeros(12), np.ones(4), np.ones(30), np.zeros(4)])
    found = compare_patients(first, second)
    assert (found["test"] == "exact McNemar test"
            and found["p"] == pytest.approx(stats.binomtest(12, 16).pvalue, abs=.01) and found["difference"] == .16)
    b, c, n = 13, 5, 52
    half = stats.norm.ppf(.975) * np.sqrt(((b + c) / n - ((b - c) / n)**2) / n)
    assert (found["interval"][1] == pytest.approx((b - c) / n + half)
            and found["interval"][0] == min(0, (b - c) / n - half))

def test_patients_with_several_samples_count_once():
    first, second = np.repeat(np.arange(8) < 8, 10), np.repeat(np.arange(8) < 3, 10)  # 5 patients, 50 samples
    assert compare_patients(first, second)["p"] < 1e-6
    found = compare_patients(first, second, np.repeat(np.arange(8), 10))
    assert found["p"] >= 1 / 16 and found["interval"][0] <= 0 and "patients" in found["test"]

def test_one_patient_alone_decides_nothing():
    for share in (1, .5):
        found = compare_patients(np.ones(30), 1 - share * (np.arange(30) == 4))
        assert found["p"] == 1 and found["interval"][0] <= 0 < found["difference"]

def test_p_and_interval_agree():
    rng = np.random.default_rng(0)
    for seed in range(150):
        n = rng.integers(5, 150)
        a, b = rng.random(n) < .8, rng.random(n) < rng.uniform(.4, .8)
        groups = rng.integers(0, n, n) if seed % 2 else None
        for level in (.95, .99):
            found = compare_patients(a, b, groups, level)
            assert (found["p"] < 1 - level) == (found["interval"][0] > 0 or found["interval"][1] < 0)
            assert found["interval"][0] <= found["difference"] <= found["interval"][1]

@pytest.mark.parametrize("sizes", [(1,), (1, 2, 5)])
def test_no_difference_is_found_where_there_is_none_and_the_interval_covers(sizes):
    rng, false, covered = np.random.default_rng(0), [], []
    size = np.resize(sizes, 40)
    groups = np.repeat(np.arange(40), size)
    for _ in range(400):
        easy, mine, yours = (rng.random(40)[groups] for _ in range(3))
        a, b = easy + mine < 1.2, easy + yours < 1.2
        found = compare_patients(a, b, groups)
        false.append(found["p"] < .05), covered.append(found["interval"][0] <= 0 <= found["interval"][1])
    assert np.mean(false) <= .06 and np.mean(covered) >= .94

def cross_validation(right, folds):
    "Two classes; `right` (n_repeats, n_samples)."
    right = np.atleast_2d(right).astype(bool)
    y = np.zeros(right.shape[1], int)
    records = [dict(repeat=r + 1, fold=f + 1, n_test=len(test), accuracy=hits[test].mean(), seconds=0)
               for r, hits in enumerate(right) for f, test in enumerate(folds)]
    return CrossValidation(y, np.array(["A", "B"]), np.arange(len(y)), np.where(right, 0, 1), None, records)

def test_folds_that_agree_by_luck_are_not_certainty():
    folds = np.array_split(np.arange(40), 2)
    # one more error in each fold: no variance at all
    a, b = cross_validation(np.ones(40), folds), cross_validation(~np.isin(np.arange(40), [0, 20]), folds)
    found = compare_folds(a, b)
    assert found["difference"] == pytest.approx(.05) and found["p"] > .3 and found["interval"][0] < 0
    assert fold_verdicts(dict(a=a, b=b), "a")[0].answer == EQUAL

def test_a_clear_difference_over_folds_is_found_and_equals_the_published_test():
    rng, folds = np.random.default_rng(0), np.array_split(np.arange(300), 5)
    a, b = cross_validation(rng.random((2, 300)) < .9, folds), cross_validation(rng.random((2, 300)) < .6, folds)
    d = np.array([x["accuracy"] - z["accuracy"] for x, z in zip(a.folds, b.folds)])
    t = d.mean() / np.sqrt((1 / 10 + 60 / 240) * d.var(ddof=1))
    over = compare_patients((a.predicted == 0).mean(axis=0), (b.predicted == 0).mean(axis=0))
    assert compare_folds(a, b)["p"] == pytest.approx(max(over["p"], 2 * stats.t.sf(t, 9))) and over["p"] < .001
    assert [v.answer for v in fold_verdicts(dict(a=a, b=b), ["a", "b"], ["a", "b"])] == [BETTER, WORSE]


# -- verdicts

def test_ties_and_single_samples_are_no_verdict():
    for first, second in ((np.arange(41) < 34, np.arange(41) >= 7), (np.ones(19), np.ones(19)),
                          (np.arange(19) < 19, np.arange(19) < 18), (np.arange(168) < 150, np.arange(168) < 149)):
        verdict = judge("network", "baseline", compare_patients(first, second))
        assert verdict.answer == EQUAL and "better" not in verdict.sentence and "worse" not in verdict.sentence
        assert verdict.interval[0] < 0 < verdict.interval[1]  # even where no sample differs

def test_better_than_every_baseline_needs_every_comparison():
    y = np.zeros(200, int)
    called = {"network": np.zeros(200, int), "a": (np.arange(200) < 30).astype(int),
              "b": (np.arange(200) < 40).astype(int)}
    assert in_words(split_verdicts(y, called, "network")).startswith("network is better than every baseline: a (")
    called["c"] = (np.arange(200) < 2).astype(int)
    words = in_words(split_verdicts(y, called, "network"))
    assert ("every" not in words and "is better than a (" in words and "cannot be told apart from c (" in words
            and "3 comparisons" in words)
    assert "any baseline" in in_words(split_verdicts(y,
                                                     {**called, "a": called["network"], "b": called["c"]}, "network"))
    assert in_words([]).startswith("No baseline was compared")

def test_calling_the_largest_class_is_not_better_than_guessing():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [70, 20, 10])
    called = dict(lazy=np.zeros(100, int), guess=rng.integers(0, 3, 100), good=np.where(rng.random(100) < .95, y, 0))
    verdict, = split_verdicts(y, called, "lazy", others="guess")
    assert (verdict.difference > .2 and verdict.p < .01 and verdict.answer == EQUAL
            and "largest class" in verdict.sentence and "better" not in verdict.sentence)
    assert [v.answer for v in split_verdicts(y, called, "good")] == [BETTER, BETTER]
    assert split_verdicts(y, called, "guess", others="lazy")[0].answer == EQUAL

def test_choosing_the_largest_of_many_costs():
    "A difference that one test alone would carry is not carried by one of ten."
    right = {"network": np.arange(60) < 60, **{f"b{i}": np.arange(60) < 60 - 6 * (i == 0) for i in range(10)}}
    alone, = share_verdicts({k: right[k] for k in ("network", "b0")}, "network")
    together = share_verdicts(right, "network")
    assert (alone.answer == BETTER and together[0].answer == EQUAL and together[0].p > alone.p
            and together[0].interval[0] <= 0)
    for v in together: assert (v.p < .05) == (v.interval[0] > 0 or v.interval[1] < 0)

def test_holm_is_that_of_the_paper():
    assert (holm([.01, .04, .03, .005]) == pytest.approx([.03, .06, .06, .02]) and holm([]).tolist() == []
            and holm([0.0, 0.5]).tolist() == [0, .5])

def test_the_rate_of_false_verdicts():
    "The chapter asks it of a thousand studies, where slow cells run."
    rng, false = np.random.default_rng(3), []
    for _ in range(400):
        easy = rng.random(50) < .5
        false.append(any(v.answer != EQUAL
                         for v in share_verdicts({name: easy | (rng.random(50) < .6) for name in "abcd"}, "a")))
    assert np.mean(false) <= .06

def test_verdicts_become_files():
    verdicts = share_verdicts({"a": np.ones(30), "b": np.arange(30) < 15, "c": np.ones(30)}, "a")
    table = verdict_table(verdicts)
    assert (list(table) == ["learner", "against", "answer", "difference", "lower", "upper", "p", "test"]
            and table["answer"] == [BETTER, EQUAL])
    assert (verdicts[0].as_dict()["sentence"] == verdicts[0].sentence
            and verdicts[0].as_dict()["interval"][0] == table["lower"][0])
    with pytest.raises(InputError, match="learner"): share_verdicts({"a": np.ones(3), "b": np.ones(3)}, "c")


# -- intervals of other tasks

def judged(task, y, found, n_folds=1, n=40):
    folds = [dict(repeat=1, fold=k, n_test=n // n_folds, seconds=0.0, r2=0.1 * k) for k in range(n_folds)]
    return TaskValidation(task.fit(y), y, np.arange(n), [found], folds)


@pytest.mark.parametrize("name, low, high", [("r2", -np.inf, 1), ("rmse", 0, np.inf), ("spearman", -1, 1),
                                             ("concordance", 0, 1), ("auroc", 0, 1), ("accuracy", 0, 1)])
@pytest.mark.parametrize("value", [0.02, 0.5, 0.98])
def test_no_interval_leaves_the_range_of_its_metric_or_loses_its_value(name, low, high, value):
    for n in (1, 2, 5, 9, 24, 300):
        lower, upper = metric_interval(name, value, 0.4, n, n)
        assert low <= lower <= value <= upper <= high and lower < upper


@pytest.mark.parametrize("name, worst", [("spearman", -1), ("concordance", 0)])
def test_a_flawless_or_hopeless_score_is_no_certainty_and_narrows_with_patients(name, worst):
    widths = [1 - metric_interval(name, 1.0, 1e-17, n, n)[0] for n in (1, 5, 9, 24, 100, 1000)]
    assert widths == sorted(widths, reverse=True) and widths[0] > 0.9 and widths[-1] < 0.005
    assert widths == pytest.approx([1 - stats.beta.ppf(.025, n, 1) for n in (1, 5, 9, 24, 100, 1000)])
    assert metric_interval(name, float(worst), 0.0, 24, 24)[1] == pytest.approx(worst + widths[3])


@pytest.mark.parametrize("name", ["r2", "spearman", "concordance", "auroc"])
def test_a_score_near_its_end_is_as_sure_as_its_spread_says(name):
    "0.985 of 40 patients with an error of 0.004 was given 0.912 as the lower end, by the floor of a flawless score."
    lower, upper = metric_interval(name, .985, .004, 150, 40)
    assert .974 < lower < .98 and .99 < upper < 1
    lower, upper = metric_interval(name, .997, .003, 150, 40)  # Student's would end above 1
    assert .95 < lower < .994 and .998 < upper <= 1
    assert metric_interval(name, .985, .004, 150, 4)[0] < .5  # four patients are too few to tell


def test_a_share_of_strangers_lowers_scores_as_the_floor_says():
    "Patients that get the predictions of others, as many as could have been missed."
    rng = np.random.default_rng(0)
    y, n = rng.normal(size=20000), 100
    missed = 1 - stats.beta.ppf(.025, n, 1)
    found = np.where(rng.random(20000) < missed, rng.normal(size=20000), y)
    scores = Values().fit(y).metrics(y, found)
    assert [scores["r2"], scores["spearman"]] == pytest.approx([metric_interval(name, 1.0, 0.0, n, n)[0]
                                                                for name in ("r2", "spearman")], abs=.01)


def test_of_survival_only_patients_with_an_event_count():
    y = np.column_stack([np.arange(1.0, 31), np.arange(30) < 4])
    found = judged(Survival(), y, -np.arange(30.0), n=30).summary()
    assert found["concordance"] == 1 and found["concordance_interval"] == pytest.approx([.025**(1 / 4), 1])


def test_each_of_several_tasks_has_its_own_patients_and_range():
    y = dict(dose=np.arange(40.0), kind=np.array([*"ab" * 10, *[None] * 20], object))
    found = judged(Multitask(dict(dose=Values(), kind=Classes())), y, dict(dose=y["dose"] + np.sin(y["dose"]),
                                                                         kind=np.eye(2)[np.arange(40) % 2])).summary()
    assert found["kind: accuracy_interval"] == pytest.approx([.025**(1 / 20), 1])  # 20 have a label
    assert found["dose: spearman_interval"][0] <= .025**(1 / 40) and found["dose: r2_interval"][1] <= 1


def test_dust_of_rounding_decides_no_comparison():
    y = np.arange(40.0)
    a, b = (judged(Values(), y, y + np.sin(y), 4) for _ in range(2))
    for fold in b.folds: fold["r2"] += 1e-16
    found = compare_tasks(a, b, "r2")
    assert found["p"] == 1 and found["difference"] == 0 == np.ptp(found["interval"])


def test_samples_of_one_patient_are_noticed():
    rng = np.random.default_rng(0)
    ids = [f"TCGA-AA-{1000 + i // 2}-{'01A' if i % 2 else '11A'}" for i in range(40)]
    X = pd.DataFrame(rng.normal(size=(40, 3)), index=ids)
    y, learner = np.arange(40) % 2, LogisticRegression()
    with pytest.warns(UserWarning, match=r"40 of the 40 samples .* groups=parse_barcodes\(X.index\)\['patient'\]"):
        found = cross_validate(learner, X, y, n_splits=2, n_repeats=1)
    assert len(np.unique(found.groups)) == 40
    patients = parse_barcodes(X.index)["patient"].to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert len(np.unique(cross_validate(learner, X, y, patients, 2, 1).groups)) == 20
        cross_validate(learner, X.set_axis([f"s{i}" for i in range(40)]), y, n_splits=2, n_repeats=1)
        cross_validate(learner, X.iloc[::2], rng.permutation(20) % 2, n_splits=2, n_repeats=1)  # a sample a patient


def _judged(kind, noise, y, patients, seed):
    "Predictions with so much noise, in five folds; as of a cross-validation."
    rng = np.random.default_rng(seed)
    truth = y if kind == "value" else -np.log(y[:, 0])
    found, fold = truth + rng.normal(0, noise, len(truth)), np.arange(len(truth)) % 5
    task = (Values() if kind == "value" else Survival()).fit(y)
    records = [dict(repeat=1, fold=k + 1, n_test=int((fold == k).sum()), seconds=0.,
                    **task.metrics(y[fold == k], found[fold == k])) for k in range(5)]
    return TaskValidation(task, y, patients, [found], records)


@pytest.mark.parametrize("kind", ["value", "survival"])
def test_a_pair_on_tasks_is_as_sure_as_patients_and_training_sets_allow(kind):
    "Not as wide as five differences of folds make it: the widening is that of Nadeau and Bengio, by patients."
    rng = np.random.default_rng(0)
    y = rng.normal(size=80) if kind == "value" else np.column_stack([rng.exponential(1, 80), rng.random(80) < .5])
    a, b = (_judged(kind, noise, y, np.arange(80), k) for k, noise in enumerate((.3, 3)))
    found, metric = compare_tasks(a, b), next(iter(a.metrics()))
    error = jackknife(lambda rows: {"d": a.metrics(rows)[metric] - b.metrics(rows)[metric]}, a.groups)[1]["d"]
    half = stats.t.ppf(.975, 79) * error * 1.5  # five folds: sqrt(1 + 5 / 4)
    assert found["interval"] == pytest.approx([found["difference"] - half, found["difference"] + half], abs=1e-6)
    assert found["interval"][0] > 0 and found["p"] < .05
    alone = [r.summary() for r in (a, b)]
    width = [m[f"{metric}_interval"][1] - m[f"{metric}_interval"][0] for m in alone]
    assert 2 * half < 1.6 * np.hypot(*width)  # no wider than two cohorts apart, but for the training sets


@pytest.mark.parametrize("learner, y", [(LogisticRegression(), np.r_[np.nan, np.arange(19) % 2]),
                                        (LogisticRegression(), np.array([None, *"ab" * 9, "a"], object)),
                                        (LinearRegression(), np.r_[np.nan, np.arange(19.0)])])
def test_missing_answers_are_counted(learner, y):
    with pytest.raises(InputError, match="1 of 20 samples have no answer .* the first is sample 0"):
        cross_validate(learner, np.eye(20, dtype="float32"), y, n_splits=2, n_repeats=1)
