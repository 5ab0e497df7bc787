"""Recovery of true markers: against scikit-learn and scipy, ties, missing classes,
and the claim of the chapter on the committed table."""
import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, precision_recall_curve

from cancer_dl.core import InputError
from cancer_dl.interpret.recovery import (average_precision, class_importance, compare, mean_interval, plain_scores,
                                          precision_recall, recovery, t_statistics, truth_matrix)

@pytest.mark.parametrize("levels", [2, 7, 10**6])
def test_average_precision_is_that_of_sklearn_with_ties_too(levels):
    rng = np.random.default_rng(levels)
    scores, truth = rng.integers(0, levels, (20, 300)) / levels, rng.random((20, 300)) < .07
    truth[3] = False
    found = average_precision(scores, truth)
    assert np.isnan(found[3])
    for c in np.setdiff1d(np.arange(20), 3):
        assert found[c] == pytest.approx(average_precision_score(truth[c], scores[c]))
    precision, recall = precision_recall(scores[0], truth[0])
    expected = precision_recall_curve(truth[0], scores[0])
    np.testing.assert_allclose(precision, expected[0][:-1][::-1])
    np.testing.assert_allclose(recall, expected[1][:-1][::-1])

def test_markers_of_the_other_kind_are_no_mistakes():
    truths = {"additive": np.array([[1, 1, 0, 0, 0, 0]], bool), "combination": np.array([[0, 0, 1, 1, 0, 0]], bool)}
    marks = recovery({"additive first": [[6, 5, 4, 3, 2, 1]], "combination first": [[3, 4, 6, 5, 1, 2]]},
                     truths, ["LUAD"])
    assert ((marks["average_precision"] == 1).all() and (marks["precision_at_k"] == 1).all()
            and (marks["base_rate"] == .5).all())
    assert list(marks["kind"]) == ["additive"] * 2 + ["combination"] * 2 and set(marks["class"]) == {"LUAD"}

def test_a_gene_of_both_kinds_counts_for_both():
    truths = {"additive": np.array([[1, 0, 0]], bool), "combination": np.array([[1, 1, 0]], bool)}
    marks = recovery({"x": [[3, 2, 1]]}, truths)
    assert list(marks["n_markers"]) == [1, 2] and (marks["average_precision"] == 1).all()

def test_random_scores_are_at_the_base_rate():
    rng = np.random.default_rng(0)
    truth = rng.random((40, 3000)) < .05
    assert average_precision(rng.random(truth.shape), truth).mean() == pytest.approx(.05, abs=.01)

def test_truth_matrix_knows_names_only():
    truth = truth_matrix(["LUAD", "LUAD", "OV"], ["B", "gone", "A"], np.array(["LUAD", "BRCA"]), ["A", "B"])
    np.testing.assert_array_equal(truth, [[False, True], [False, False]])
    with pytest.raises(InputError, match="same name"): truth_matrix([], [], ["LUAD"], ["A", "A"])

def test_comparison_by_class():
    marks = dict(method=np.repeat(["a", "b"], 12), kind=np.full(24, "additive"),
                 average_precision=np.r_[np.linspace(.5, .9, 12), np.linspace(.3, .5, 12)])
    found = compare(marks, "a", "b", "additive")
    assert found["wins"] == found["classes"] == 12 and found["p"] < .001 and found["lower"] > .15
    assert compare(marks, "a", "a", "additive")["p"] == 1
    with pytest.raises(InputError, match="method"): compare(marks, "a", "c", "additive")

def test_interval_covers_the_mean():
    mean, lower, upper = mean_interval(np.arange(10))
    expected = stats.ttest_1samp(np.arange(10), 0).confidence_interval()
    assert (mean == 4.5 and (lower, upper) == pytest.approx((expected.low, expected.high))
            and mean_interval([3, 3, 3]) == (3, 3, 3))
    assert np.isnan(mean_interval([3])[1:]).all()

def test_t_statistics_are_those_of_scipy_and_constant_genes_are_zero():
    rng = np.random.default_rng(1)
    X, y = rng.normal(5, 1, (90, 12)).astype("float32"), np.arange(90) % 4
    X[:, 3] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.array([np.nan_to_num(stats.ttest_ind(X[y == k], X[y != k], equal_var=False).statistic)
                             for k in range(4)])
    found = t_statistics(X, y, 4)
    np.testing.assert_allclose(found[:, np.arange(12) != 3], expected[:, np.arange(12) != 3], atol=2e-3)
    assert (found[:, 3] == 0).all()

@pytest.mark.parametrize("n_classes", [2, 3])
def test_baselines_find_a_plain_marker(n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 40)).astype("float32"), np.arange(300) % n_classes
    X[y == 1, 7] += 2.5
    for name, scores in plain_scores(X, y, n_classes, trees=30).items():
        assert scores.shape == (n_classes,
                                40) and scores.min() >= 0 and scores.max() == 1 and scores[1].argmax() == 7, name
    with pytest.raises(InputError, match="samples of all classes"): plain_scores(X, y, n_classes + 1)
    with pytest.raises(InputError, match="baseline"): plain_scores(X, y, n_classes, ["t_test"])

def test_importance_of_a_forest_is_shared_out_exactly():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 15)), rng.integers(0, 5, 200)
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    np.testing.assert_allclose(class_importance(forest).sum(axis=0), forest.feature_importances_, atol=1e-12)

def test_bad_scores_are_explained():
    with pytest.raises(InputError, match="missing values in class 0"): average_precision([[np.nan, 1]], [[True, False]])
    with pytest.raises(InputError, match="in the same order"):
        average_precision(np.zeros((2, 3)), np.zeros((2, 4), bool))

def test_the_committed_table_says_what_the_chapter_claims():
    with open(Path(__file__).parents[1]/"bench"/"recovery.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    marks = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    marks["average_precision"] = marks["average_precision"].astype(float)
    for kind in ("additive", "combination"):
        found = compare(marks, "components: expected, net", "t-test", kind)
        assert found["lower"] > 0 and found["p"] < .001 and found["wins"] > .8 * found["classes"], (kind, found)
