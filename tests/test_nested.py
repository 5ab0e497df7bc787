"Nested cross-validation: the search never sees an outer fold, and what it gives is what scikit-learn gives."
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from cancer_dl.core import InputError
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.data.split import RepeatedStratifiedGroupKFold
from cancer_dl.train.estimator import CancerClassifier, SurvivalRegressor
from cancer_dl.train.nested import Choice, GridChoice, StudyChoice, nested_cross_validate, nested_words
from cancer_dl.train.tune import Range
from cancer_dl.train.validate import cross_validate

TREE = DecisionTreeClassifier(max_depth=3, random_state=0)


@pytest.fixture(scope="module")
def arrays():
    "Three classes in text, thirty patients of three samples, some of whom have samples of two classes."
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = rng.normal(size=(90, 20)).astype(np.float32)
    X[:, :6] += 1.2*(np.arange(6) % 3 == y[:, None])
    return X, np.array(["LUAD", "LUSC", "BRCA"])[y], np.array([f"p{i // 3}" for i in rng.permutation(90)])

@pytest.mark.parametrize("learner, grid", [
    (TREE, {"max_depth": [1, 2, 4, 8], "min_samples_leaf": [1, 5]}),
    (make_pipeline(ZScaler(), LogisticRegression(max_iter=500)), [{"logisticregression__C": [1e-3, 1]},
                                                                  {"logisticregression__C": [1e2],
                                                                   "logisticregression__class_weight": ["balanced"]}])])
def test_the_scores_are_those_of_scikit_learn(arrays, learner, grid):
    X, y, patients = arrays
    ours = nested_cross_validate(GridChoice(learner, grid, n_splits=2, seed=3), X, y, patients, 4, 2, seed=5)
    with sklearn.config_context(enable_metadata_routing=True):
        within = GridSearchCV(learner, grid, cv=RepeatedStratifiedGroupKFold(2, 1, 3))
        theirs = cross_val_score(within, X, y, cv=RepeatedStratifiedGroupKFold(4, 2, 5), params={"groups": patients})
        fold = next(RepeatedStratifiedGroupKFold(4, 2, 5).split(X, y, patients))[0]
        first = within.fit(X[fold], y[fold], groups=patients[fold])
    np.testing.assert_allclose([row["outer"] for row in ours.rows()], theirs)
    assert ours.choices[0].settings == first.best_params_
    assert ours.rows()[0]["inner"] == pytest.approx(first.best_score_)

class Spy:
    "A search that takes note of what it is shown."
    learner = TREE

    def __init__(self): self.seen = []

    def __call__(self, X, y, groups, name=""):
        self.seen.append((X, y, groups, name))
        return Choice(TREE, {}, cross_validate(TREE, X, y, groups, 2, 1))

def test_the_search_sees_no_patient_of_the_outer_fold(arrays):
    X, y, patients = arrays
    spy = Spy()
    found = nested_cross_validate(spy, X, y, patients, 3)
    folds = RepeatedStratifiedGroupKFold(3, 1).split(X, y, patients)
    for (train, test), (shown, _, groups, name) in zip(folds, spy.seen, strict=True):
        np.testing.assert_array_equal(shown, X[train])
        assert not set(groups) & set(patients[test])
    assert [name for *_, name in spy.seen] == ["fold_1", "fold_2", "fold_3"]
    assert found.inner.predicted.shape == (2, 90)  # with three folds, each sample is trained on twice

def test_inner_answers_lie_with_their_samples(arrays):
    "The inner accuracy of a fold is that of the answers which the fold's training part has."
    X, y, patients = arrays
    found = nested_cross_validate(GridChoice(TREE, n_splits=2), X, y, patients, 3)
    pooled = np.concatenate([(c.inner.predicted[0] == c.inner.y) for c in found.choices])
    assert (found.inner.predicted == found.inner.y).mean() == pytest.approx(pooled.mean())
    alone = found.choices[1].inner
    train = list(RepeatedStratifiedGroupKFold(3, 1).split(X, y, patients))[1][0]
    answers = [alone.classes[alone.predicted[0]][list(train).index(row)] for row in train[:20]]
    assert all(answer in found.inner.predicted[:, row] for answer, row in zip(answers, train[:20]))

def test_the_optimism_has_the_sign_and_interval_of_inner_minus_outer(arrays):
    X, y, patients = arrays
    found = nested_cross_validate(GridChoice(TREE, {"max_depth": [1, 5]}), X, y, patients, 3)
    m, rows = found.summary(), pd.DataFrame(found.rows())
    assert m["optimism"] == pytest.approx((rows["inner"] - rows["outer"]).mean())
    assert m["optimism_interval"][0] <= m["optimism"] <= m["optimism_interval"][1]
    assert m["accuracy"] == pytest.approx((found.outer.predicted == found.outer.y).mean())
    assert f"{m['optimism']:+.3f}" in nested_words(found) and "max_depth=" in found._repr_html_()

def test_learners_by_name_compete(arrays):
    X, y, patients = arrays
    stump = DecisionTreeClassifier(max_depth=1, random_state=0)
    logistic = make_pipeline(ZScaler(), LogisticRegression(max_iter=500))
    found = nested_cross_validate(GridChoice({"stump": stump, "logistic": logistic}), X, y, patients, 3)
    assert {c.settings["learner"] for c in found.choices} == {"logistic"}

class Refuses(DecisionTreeClassifier):
    "A learner that cannot be trained with one of its settings."
    def fit(self, X, y, **more):
        if self.max_depth == 7: raise InputError("the loss became infinite")
        return super().fit(X, y, **more)

def test_settings_that_cannot_be_trained_lose(arrays):
    X, y, patients = arrays
    found = GridChoice(Refuses(random_state=0), {"max_depth": [7, 2]})(X, y, patients)
    assert found.settings == {"max_depth": 2}
    with pytest.raises(InputError, match="became infinite"):
        GridChoice(Refuses(), {"max_depth": [7]})(X, y, patients)

def test_a_study_goes_on_where_it_was(arrays, tmp_path, monkeypatch):
    X, y, patients = arrays
    mlp = CancerClassifier("mlp", {"dense": 8}, random_state=0, members=1)
    search = StudyChoice(mlp, tmp_path, dict(space={"learning_rate": Range(1e-3, 1e-1, log=True)}, n_trials=2,
                                             n_splits=2, epochs=1))
    first = search(X, y, patients, "fold_1")
    assert (tmp_path/"fold_1"/"study.db").is_file() and first.settings["epochs"] == 1
    assert first.learner.learning_rate == first.settings["learning_rate"]
    from cancer_dl.train import tune
    monkeypatch.setattr(tune, "evaluate_settings", lambda *a, **k: pytest.fail("a finished trial ran again"))
    again = search(X, y, patients, "fold_1")
    assert again.settings == first.settings and again.score == first.score

@pytest.mark.slow
def test_survival_is_nested_too():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(90, 6)).astype(np.float32)
    y = pd.DataFrame({"time": rng.exponential(np.exp(-Z[:, 0])), "event": (rng.random(90) < .8).astype(float)})
    linear = SurvivalRegressor("linear", epochs=10, learning_rate=2e-2, random_state=0)
    found = nested_cross_validate(GridChoice(linear, {"epochs": [2, 20]}, n_splits=2), Z, y, np.arange(90) // 2, 3)
    assert "concordance" in nested_words(found) and len(found.inner.judged) == 2
    assert np.isfinite(found.summary()["optimism_interval"]).all()


def test_a_cohort_as_it_is_and_its_repeats():
    "As `cross_validate`: an AnnData goes to any learner, and ids that name patients with several samples are told."
    import anndata
    from sklearn.linear_model import LogisticRegression
    rng = np.random.default_rng(0)
    ids = [f"TCGA-AA-{1000 + i // 2}-0{1 + i % 2}A" for i in range(40)]
    cohort = anndata.AnnData(rng.normal(size=(40, 3)).astype("float32"), pd.DataFrame(index=ids))
    search, y = GridChoice(LogisticRegression(), {"C": [1, 2]}, n_splits=2), np.arange(40) % 2
    with pytest.warns(UserWarning, match="40 of the 40 samples share"):
        nested = nested_cross_validate(search, cohort, y, n_splits=2)
    plain = nested_cross_validate(search, np.asarray(cohort.X), y, n_splits=2)
    assert (nested.outer.predicted == plain.outer.predicted).all()
    with pytest.raises(InputError, match="1 of 40 samples have no answer"):
        nested_cross_validate(search, cohort.to_df(), np.r_[[None], ["a", "b", "a"] * 13], np.arange(40))
