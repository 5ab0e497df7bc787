"Edge cases of data.select: labels, ties, reproducibility, memory, every method on hard input."
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from cancer_dl.core import InputError
from cancer_dl.data.freeze import freeze, thaw
from cancer_dl.data.select import METHODS, SCHEMES, FeatureSelector, mrmr

X, y = make_classification(120, 60, n_informative=8, n_redundant=4, n_classes=3, shuffle=False, random_state=0)
X = (X - X.min()).astype("float32")


@parametrize_with_checks([FeatureSelector(method, n_trees=5) for method in METHODS]
                         + [FeatureSelector("mrmr", scheme=s, k=.5) for s in SCHEMES]
                         + [FeatureSelector("lasso", C=1.), FeatureSelector("rfe", k=1, step=1)])
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_genes(method):
    first, second = (FeatureSelector(method, k=10, n_trees=20, seed=3).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.scores_, second.scores_)
    assert first.get_support().sum() == 10
    assert sorted(first.ranking_) == list(range(1, 61))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"variance"}))
def test_informative_genes_are_found(method):
    selected = FeatureSelector(method, k=12, n_trees=200).fit(X, y).get_support(indices=True)
    assert (selected < 12).sum() >= 5  # 2.4 by chance


@pytest.mark.parametrize("method", METHODS)
def test_labels_may_be_text_in_any_order_and_container(method):
    names = np.array(["zebra", "ant", "moose"])[y]
    fit = lambda labels: FeatureSelector(method, k=10, n_trees=20).fit(X, labels).get_support()
    np.testing.assert_array_equal(fit(names), fit(pd.Series(names, dtype="category")))
    np.testing.assert_array_equal(fit(names.astype(object)), fit(pd.Series(names, index=[f"s{i}" for i in range(120)])))


@pytest.mark.parametrize("method", METHODS)
def test_constant_genes_and_single_sample_classes(method):
    values, labels = X.copy(), y.copy()
    values[:, 5] = 3
    values[:, 6] = 0
    labels[0] = 9
    selector = FeatureSelector(method, k=10, n_trees=20).fit(values, labels)
    assert np.isfinite(selector.scores_).all()
    assert not selector.get_support()[[5, 6]].any()


def test_anova_is_selectkbest():
    oracle = SelectKBest(f_classif, k=9).fit(X.astype("float64"), y)
    np.testing.assert_array_equal(FeatureSelector("anova", k=9).fit(X, y).get_support(), oracle.get_support())


def test_perfect_and_duplicate_genes():
    values = X.copy()
    values[:, 20] = y  # within-class variance 0, F infinite
    values[:, 21] = y
    for method in ["anova", "mrmr", "mutual_information"]:
        selector = FeatureSelector(method, k=2).fit(values, y)
        assert np.isfinite(selector.scores_).all()
        assert selector.get_support()[20]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_mrmr_orders_are_nested(scheme):
    "Asking for more genes does not change the first ones."
    np.testing.assert_array_equal(mrmr(X, y, 5, scheme)[0][:5], mrmr(X, y, 20, scheme)[0][:5])
    assert sorted(mrmr(X, y, 5, scheme)[0]) == list(range(60))
    assert sorted(mrmr(X, y, 999, scheme)[0]) == list(range(60))


def test_two_classes_are_one_question():
    selector = FeatureSelector("lasso", k=5).fit(X, y == 1)
    assert selector.get_support().sum() == 5


@pytest.mark.parametrize("k, n", [(1, 1), (.001, 1), (.25, 15), (60, 60), (10**6, 60), (np.int64(7), 7)])
def test_k(k, n):
    assert FeatureSelector("anova", k=k).fit(X, y).transform(X).shape == (120, n)


@pytest.mark.parametrize("k", [0, -1, 0., 1., 1.5, True, "many", np.nan])
def test_wrong_k(k):
    with pytest.raises(InputError, match="k is"): FeatureSelector(k=k).fit(X)


@pytest.mark.parametrize("labels, message", [
    (None, "requires y"), (y[:-1], "119 labels for 120 samples"), (np.where(y == 0, np.nan, y), "labels are missing"),
    (np.zeros(120), "of the class"), ([["a", "b"]]*120, "1d array"), (np.linspace(0, 1, 120), "continuous")])
def test_wrong_labels(labels, message):
    with pytest.raises(ValueError, match=message): FeatureSelector("anova").fit(X, labels)


def test_nothing_to_select():
    with pytest.raises(InputError, match="no gene with a score above 0 among 60"):
        FeatureSelector(k=None).fit(np.ones((5, 60)))


def test_unknown_scheme():
    with pytest.raises(InputError, match="no mRMR scheme called 'FCX'"): FeatureSelector("mrmr", scheme="FCX").fit(X, y)


def test_in_a_grid_search():
    pipe = Pipeline([("select", FeatureSelector("anova")), ("learn", GaussianNB())])
    search = GridSearchCV(pipe, {"select__k": [2, 10], "select__method": ["anova", "mrmr"]}, cv=3).fit(X, y)
    assert search.best_score_ > .42  # .33 by chance


@pytest.mark.parametrize("method", METHODS)
def test_frozen_and_thawed(method):
    frame = pd.DataFrame(X, columns=[f"g{i}" for i in range(60)])
    selector = FeatureSelector(method, k=.2, n_trees=5).fit(frame, y)
    again = thaw(*freeze(selector))
    pd.testing.assert_frame_equal(again.table(), selector.table())
    np.testing.assert_array_equal(again.transform(frame), selector.transform(frame))


@pytest.mark.parametrize("method, limit", [("variance", .5), ("anova", 1.5), ("chi2", 1.5), ("mrmr", 2.5)])
def test_memory(method, limit):
    values = np.random.default_rng(0).gamma(2, 2, size=(2000, 6000)).astype("float32")
    labels = np.arange(2000) % 5
    FeatureSelector(method, k=3).fit(values[:, :100], labels)
    tracemalloc.start()
    FeatureSelector(method, k=3).fit(values, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < limit*values.nbytes
