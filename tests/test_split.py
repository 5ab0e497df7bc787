"Splits: no patient shared, every sample covered, every class even, whatever the cohort looks like."
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict

from cancer_dl.core import InputError
from cancer_dl.data.split import (RepeatedStratifiedGroupKFold, _Profiles, _targets, assert_no_leakage, class_counts,
                                  duplicate_profiles, holdout, leave_one_site_out, nested_kfold, repeated_group_kfold)


def random_cohort(rng):
    "Patients with one to three samples of one to three classes, class sizes from tiny to large."
    n_classes = rng.integers(2, 12)
    weights = rng.dirichlet(np.full(n_classes, .5))
    n_patients = rng.integers(30, 300)
    tumour = np.concatenate([np.repeat(np.arange(n_classes), 6), rng.choice(n_classes, n_patients, p=weights)])
    y, groups = [], []
    for patient, c in enumerate(tumour):
        labels = ([f"c{c}"] + ["NORMAL"] * int(rng.random() < .3)
                  + [f"c{rng.choice([c, rng.integers(n_classes)])}"] * int(rng.random() < .1))
        y += labels; groups += [f"p{patient}"] * len(labels)
    order = rng.permutation(len(y))
    return np.array(y)[order], np.array(groups)[order]


def patients_per_class(y, groups):
    return pd.DataFrame({"y": y, "g": groups}).drop_duplicates().y.value_counts()


def is_partition(parts, n):
    return sorted(np.concatenate(parts).tolist()) == list(range(n))


@pytest.mark.parametrize("trial", range(40))
def test_folds_of_random_cohorts(trial):
    rng = np.random.default_rng(trial)
    y, groups = random_cohort(rng)
    k = int(rng.integers(2, 7))
    enough = patients_per_class(y, groups)
    folds = list(repeated_group_kfold(y, groups, n_splits=k, n_repeats=2, seed=trial, rare="allow"))
    assert len(folds) == 2*k
    for repeat in (folds[:k], folds[k:]):
        assert is_partition([test for _, test in repeat], len(y))
        counts = class_counts(y, *[test for _, test in repeat])
        assert (counts.loc[enough.index[enough >= k]] > 0).all().all()
    for train, test in folds:
        assert np.array_equal(np.union1d(train, test), np.arange(len(y)))
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
        assert_no_leakage(groups, train, test)


@pytest.mark.parametrize("trial", range(40))
def test_holdout_of_random_cohorts(trial):
    rng = np.random.default_rng(1000 + trial)
    y, groups = random_cohort(rng)
    sizes = [(.7, .15, .15), (.8, .2), (.5, .2, .2, .1), (.9, .1)][trial % 4]
    parts = holdout(y, groups, sizes, seed=trial)
    assert is_partition(parts, len(y))
    assert_no_leakage(groups, *parts)
    counts = class_counts(y, *parts)
    assert (counts > 0).all().all()
    large = counts.sum(axis=1) >= 50
    off = np.abs(counts - counts.sum(axis=1).to_numpy()[:, None] * np.array(sizes))[large]
    assert (off <= 3).all().all()


@pytest.mark.parametrize("trial", range(12))
def test_as_even_as_scikit_learn(trial):
    y, groups = random_cohort(np.random.default_rng(2000 + trial))
    def unevenness(folds):
        counts = class_counts(y, *[test for _, test in folds]).to_numpy()
        return ((counts - counts.mean(axis=1, keepdims=True))**2 / counts.mean(axis=1, keepdims=True)).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = unevenness(StratifiedGroupKFold(5, shuffle=True, random_state=trial).split(y, y, groups))
    assert unevenness(repeated_group_kfold(y, groups, 5, 1, seed=trial, rare="allow")) <= theirs + 1e-9


def test_a_class_with_as_many_samples_as_folds_has_one_in_each():
    y = np.array(["a"]*5 + ["b"]*5 + ["c"]*500)
    for _, test in repeated_group_kfold(y):
        assert (y[test] == "a").sum() == (y[test] == "b").sum() == 1
        assert len(test) == 102


def test_deterministic_and_seeded():
    y, groups = random_cohort(np.random.default_rng(3))
    a, b, c = (holdout(y, groups, seed=s) for s in (5, 5, 6))
    assert all(np.array_equal(i, j) for i, j in zip(a, b))
    assert not all(np.array_equal(i, j) for i, j in zip(a, c))
    first = [test for _, test in repeated_group_kfold(y, groups, n_repeats=2, rare="allow")]
    more = [test for _, test in repeated_group_kfold(y, groups, n_repeats=3, rare="allow")]
    assert all(np.array_equal(i, j) for i, j in zip(first, more)), "more repeats must not change the first ones"
    assert not all(np.array_equal(i, j) for i, j in zip(more[:5], more[5:10]))


def test_every_patient_can_be_anywhere():
    y = np.repeat(["a", "b"], 20)
    hits = np.zeros(40)
    for seed in range(300): hits[holdout(y, seed=seed, sizes=(.75, .25))[1]] += 1
    assert abs(hits.mean() - 75) < 1e-9 and hits.min() > 40 and hits.max() < 110


def test_labels_and_patients_of_any_type():
    y = ["a"]*10 + ["b"]*10
    groups = [f"p{i//2}" for i in range(20)]
    expected = holdout(y, groups)
    for labels in (np.array(y), pd.Series(y), pd.Categorical(y), np.array(y, dtype=object),
                   pd.Series(y, dtype="string")):
        assert all(np.array_equal(i, j) for i, j in zip(expected, holdout(labels, pd.Series(groups))))
    numbers = holdout(np.repeat([0, 1], 10), groups)
    assert all(np.array_equal(i, j) for i, j in zip(expected, numbers))


def test_table_of_tasks_keeps_each_even():
    rng = np.random.default_rng(0)
    y = pd.DataFrame({"type": rng.choice(list("abc"), 600), "stage": rng.choice(["I", "II", None], 600)})
    for _, test in repeated_group_kfold(y, np.arange(600)//2, n_repeats=1):
        for column in y:
            share = y[column].value_counts() / 5
            assert (np.abs(y[column].iloc[test].value_counts() - share) <= 3).all()


@pytest.mark.parametrize("call, message", [
    (lambda: holdout([]), "empty"),
    (lambda: holdout(["a", np.nan, "b", None]), "2 of 4 samples have no label .the first is sample number 1"),
    (lambda: holdout(["a", "a"], ["p", None]), "no patient"),
    (lambda: holdout(["a", "a"], ["p"]), "2 labels"),
    (lambda: holdout(["a"]*9, sizes=(1,)), "two or more"),
    (lambda: holdout(["a"]*9, sizes=(.9, -.1, .2)), "positive"),
    (lambda: holdout(["a"]*9, ["p"]*9), "1 patients cannot be divided"),
    (lambda: holdout(["a"]*2 + ["b"]*9), r"a \(2\).*min_class_size=3.*rare='allow'"),
    (lambda: holdout(["a"]*9, rare="eror"), "error"),
    (lambda: repeated_group_kfold(["a"]*9, n_splits=1), "n_splits >= 2"),
    (lambda: repeated_group_kfold(["a"]*9, n_repeats=0), "n_repeats >= 1"),
    (lambda: repeated_group_kfold(["a"]*4 + ["b"]*9, [0, 0, 0, 0, *range(1, 10)]), r"b|a \(1\)"),
    (lambda: RepeatedStratifiedGroupKFold().split(np.zeros((4, 1)), None), "needs the labels"),
    (lambda: RepeatedStratifiedGroupKFold().split(np.zeros((4, 1)), ["a"]*5), "4 samples and y has 5"),
    (lambda: holdout(np.zeros((2, 2, 2))), "shape"),
    (lambda: leave_one_site_out(["A"]*30 + ["B"]*30, ["a"]*3), "60 sites and 3 labels"),
    (lambda: leave_one_site_out(["A"]*30 + ["B"]*30, unseen="ignore"), "unseen"),
    (lambda: leave_one_site_out(["A", None]), "1 of 2 samples have no site"),
])
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message): call()


def test_scikit_learn_takes_the_splitter():
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b"], 30); X = rng.normal(size=(60, 3)) + (y == "a")[:, None]; groups = np.arange(60)//2
    cv = RepeatedStratifiedGroupKFold(n_splits=3, n_repeats=2)
    search = GridSearchCV(LogisticRegression(), {"C": [.1, 1]}, cv=cv).fit(X, y, groups=groups)
    assert search.n_splits_ == 6
    assert len(cross_val_predict(LogisticRegression(), X, y, groups=groups,
                                 cv=RepeatedStratifiedGroupKFold(3, 1))) == 60
    assert len(list(cv.split(X, y, groups))) == cv.get_n_splits(X, y, groups)
    assert cv.get_metadata_routing().split.requests == {"groups": True}


def test_nested_folds_are_nested():
    y, groups = random_cohort(np.random.default_rng(8))
    outer = list(nested_kfold(y, groups, outer=4, inner=3))
    assert is_partition([test for _, test, _ in outer], len(y))
    for train, test, inner in outer:
        assert_no_leakage(groups, train, test)
        assert is_partition([np.searchsorted(train, b) for _, b in inner], len(train))
        for a, b in inner:
            assert_no_leakage(groups, a, b, test)
            assert np.array_equal(np.union1d(a, b), train)


def test_sites():
    rng = np.random.default_rng(0)
    sites = rng.choice([f"s{i}" for i in range(40)], 1000, p=rng.dirichlet(np.full(40, .4)))
    y, groups = rng.choice(list("abcd"), 1000), np.arange(1000)//2
    parts = list(leave_one_site_out(sites, y, groups, min_samples=25))
    assert is_partition([test for _, test, _ in parts], 1000)
    for train, test, _ in parts:
        assert len(test) >= 25
        assert not set(sites[train]) & set(sites[test])
        assert_no_leakage(groups, train, test)
    assert len({name for *_, name in parts}) == len(parts)


def test_a_site_with_a_class_of_its_own_is_skipped():
    sites, y = np.repeat(["A", "B", "C"], 30), np.repeat(["u", "u", "x"], 30)
    assert [name for *_, name in leave_one_site_out(sites, y)] == ["A", "B"]
    assert [name for *_, name in leave_one_site_out(sites, y, unseen="keep")] == ["A", "B", "C"]
    assert [name for *_, name in leave_one_site_out(sites)] == ["A", "B", "C"]


def test_leak_is_named():
    with pytest.raises(InputError, match=r"2 patient.*p0 \(train, test\), p3 \(train, test\)"):
        assert_no_leakage([f"p{i}" for i in (0, 0, 1, 2, 3, 3)], [0, 2, 4], [1, 3, 5], names=["train", "test"])
    assert_no_leakage([1, 1, 2], [0, 1], [])


def test_duplicates():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2500, 50)).astype("float32")
    X[2400] = X[10]; X[2401] = X[10]; X[2000] = 3*X[11] + 2
    assert duplicate_profiles(X)[["first", "second"]].values.tolist() == [[10, 2400], [10, 2401], [2400, 2401]]
    alike = duplicate_profiles(X, range(1200), range(1200, 2500), min_correlation=.9999)
    assert alike[["first", "second"]].values.tolist() == [[10, 2400], [10, 2401], [11, 2000]]
    assert set(alike.first_part) == {"part 1"} and set(alike.second_part) == {"part 2"}
    X[5] = 0; X[6] = -0.
    assert [5, 6] in duplicate_profiles(X)[["first", "second"]].values.tolist()
    assert len(duplicate_profiles(X[:4])) == 0


def test_targets_sum_to_the_class():
    rng = np.random.default_rng(0)
    for _ in range(50):
        y, groups = random_cohort(rng)
        profiles = _Profiles(y, groups)
        shares = rng.dirichlet(np.full(rng.integers(2, 5), 3))
        assert np.allclose(_targets(profiles, shares)[:, :-1].sum(axis=0), profiles.size @ profiles.v)


def test_large_cohort_with_profiles_of_their_own():
    "Ten thousand patients, each with another combination of labels in many tasks: still even."
    rng = np.random.default_rng(0)
    y = pd.DataFrame(rng.integers(0, 3, size=(3000, 8)))
    train, test = holdout(y, sizes=(.8, .2))
    for column in y: assert np.abs(np.bincount(y[column].iloc[test]) - np.bincount(y[column]) * .2).max() <= 2
