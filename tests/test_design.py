"""The proof of the design: a network in 15 lines and a task in 25 go through training, cross-validation, bundle and
explanation."""
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from cancer_dl.core import InputError, keras_module
from cancer_dl.data.inputs import BlockSplitter, join_blocks
from cancer_dl.data.preprocess import PCAReducer, ZScaler
from cancer_dl.interpret.saliency import attribute_pipeline, gene_effect_pipeline
from cancer_dl.models.blocks import REGISTRY, make_layer, register
from cancer_dl.models.zoo import model_sizes
from cancer_dl.outcomes import evaluate_outcome, train_outcome
from cancer_dl.train.bundle import load_bundle, make_bundle, save_bundle
from cancer_dl.train.estimator import (CancerClassifier, CancerRegressor, MultitaskClassifier, SurvivalRegressor,
                                       TaskEstimator)
from cancer_dl.train.fitted import as_fitted, estimator_of, pipeline_of
from cancer_dl.train.task import TASKS, Task, register_task
from cancer_dl.train.validate import cross_validate

SAMPLES, GENES = 160, 24
NAMES = [f"G{i}" for i in range(GENES)]

@pytest.fixture(scope="module")
def X(): return 6 + np.random.default_rng(0).normal(size=(SAMPLES, GENES)).astype("float32")  # as logarithms are

@pytest.fixture(scope="module")
def signal(X): return X[:, 0] + X[:, 1] - X[:, 2] - 6

@pytest.fixture(scope="module")
def follow_up(signal):
    rng = np.random.default_rng(1)
    return pd.DataFrame({"time": rng.exponential(np.exp(-signal)), "event": (rng.random(SAMPLES) < .8).astype(int)})

# -- a network in 15 lines

@pytest.fixture
def gated():
    @register("gated_for_tests", description="a hidden layer whose units open and close for each other")
    def gated_for_tests(inputs, outputs, units=32, dropout=0.1):
        x = inputs.matrix
        gate = make_layer("Dense", units, activation="sigmoid", name="gate")(x)
        x = make_layer("Multiply", name="gated")([make_layer("Dense", units, name="values_in")(x), gate])
        return outputs(make_layer("Dropout", dropout, name="drop")(x))
    yield "gated_for_tests"
    del REGISTRY["gated_for_tests"]

# -- a task in 25 lines

@pytest.fixture
def counts():
    @register_task
    class Counts(Task):
        "Counts: Poisson regression, with a log link."
        kind = "counts_for_tests"
        def encode(self, y):
            y = np.asarray(y, np.float32)
            if (y[~np.isnan(y)] < 0).any(): raise InputError("A count is negative.")
            return y
        def known(self, targets): return ~np.isnan(targets)
        def head(self, x, l2=0.0, prefix=""):
            return make_layer("Dense", 1, name=f"{prefix}log_rate", dtype="float32")(x)
        def raw(self, prefix=""): return f"{prefix}log_rate"
        def objective(self, training):
            ops = keras_module().ops
            def objective(y, z, mask=None):
                z = ops.clip(z[:, 0], -10.0, 10.0)
                loss = ops.exp(z) - ops.where(ops.isnan(y), 0.0, y) * z
                return loss, loss
            return objective
        def predict(self, outputs): return np.exp(np.asarray(outputs)[:, 0])
        def metrics(self, y, judged):
            y = np.asarray(y, float)
            return {"r2": 1 - np.nanmean((y - judged)**2) / np.nanvar(y)}
    yield "counts_for_tests"
    del TASKS["counts_for_tests"]

def through_everything(estimator, X, y, tmp_path, floor, metric=None):
    "Training, cross-validation, bundle and explanation of one estimator; gives the bundle."
    steps = make_pipeline(ZScaler(), estimator)
    result = cross_validate(steps, X, y, n_splits=3, n_repeats=1)
    scores = result.summary()
    assert scores[metric or "accuracy"] > floor, scores
    bundle = make_bundle(steps.fit(X, y), NAMES, X, "log2(x+1)", label="answer")
    save_bundle(bundle, tmp_path/"bundle")
    again = load_bundle(tmp_path/"bundle")
    answers, _ = again.predict_cohort(pd.DataFrame(X[:, ::-1], columns=NAMES[::-1]))  # genes by name, in any order
    own = as_fitted(steps)
    for name, values in own.task.columns(own.outputs(X)).items():
        if own.task.kind == "classes" and not name.startswith("p_"): continue
        found = answers[name.removeprefix("p_") if own.task.kind == "classes" else name]
        if found.dtype.kind == "f": np.testing.assert_allclose(found, values, atol=1e-4)
        else: assert (found == values).all()
    return again

def first_genes(effect, n=3): return set(np.argsort(-effect)[:n])

def test_a_network_of_ones_own(gated, X, signal, follow_up, tmp_path):
    y = np.where(signal > 0, "high", "low")
    bundle = through_everything(CancerClassifier(gated, epochs=30, learning_rate=.01, random_state=0), X, y,
                                tmp_path/"c", .75)
    assert first_genes(gene_effect_pipeline(bundle, X, y, method="expected")[0]) == {0, 1, 2}
    bundle = through_everything(CancerRegressor(gated, epochs=60, learning_rate=.01, random_state=0), X, signal,
                                tmp_path/"v", .5, "r2")
    assert first_genes(gene_effect_pipeline(bundle, X, method="expected")[0]) == {0, 1, 2}
    bundle = through_everything(SurvivalRegressor(gated, epochs=30, random_state=0), X, follow_up, tmp_path/"s", .6,
                                "concordance")
    assert len(first_genes(gene_effect_pipeline(bundle, X, method="expected")[0]) & {0, 1, 2}) >= 2

def test_a_task_of_ones_own(counts, X, signal, tmp_path):
    y = np.random.default_rng(2).poisson(np.exp(signal / 2)).astype(float)
    estimator = TaskEstimator("mlp", dict(input_dropout=0), task=counts, epochs=60, random_state=0)
    bundle = through_everything(estimator, X, y, tmp_path, .1, "r2")
    assert len(first_genes(gene_effect_pipeline(bundle, X, method="expected")[0]) & {0, 1, 2}) >= 2
    kind = TASKS.pop(counts)
    try:
        with pytest.raises(InputError, match="task called 'counts_for_tests', which is not known"):
            load_bundle(tmp_path/"bundle")
    finally: TASKS[counts] = kind

def test_several_tasks_in_one_bundle(X, signal, tmp_path):
    Y = pd.DataFrame({"state": np.where(signal > 0, "tumour", "normal"), "age": 10 * X[:, 5]}).astype({"state": object})
    Y.loc[::4, "state"] = None
    estimator = MultitaskClassifier("mlp", dict(input_dropout=0), tasks={"state": "classes", "age": "value"}, epochs=30,
                                    random_state=0)
    bundle = through_everything(estimator, X, Y, tmp_path, .7, "state: accuracy")
    assert 5 in first_genes(gene_effect_pipeline(bundle, X, task="age", method="expected")[0], 1)
    with pytest.raises(InputError, match="say which to explain: task='"): gene_effect_pipeline(bundle, X)

# -- several blocks

def test_two_blocks(X, signal, tmp_path):
    y = np.where(signal > 0, "high", "low")
    steps = make_pipeline(ZScaler(), BlockSplitter(("mrna", "mirna"), (16, 8)),
                          CancerClassifier("towers", epochs=30, random_state=0))
    assert cross_validate(steps, X, y, n_splits=3, n_repeats=1).summary()["accuracy"] > .7
    names = [f"mrna:G{i}" for i in range(16)] + [f"mirna:M{i}" for i in range(8)]
    bundle = make_bundle(steps.fit(X, y), names, X, "log2(x+1)", label="level")
    save_bundle(bundle, tmp_path/"b")
    again = load_bundle(tmp_path/"b")
    blocks = join_blocks({"mirna": pd.DataFrame(X[:, 16:], columns=[f"M{i}" for i in range(8)]),
                          "mrna": pd.DataFrame(X[:, :16], columns=[f"G{i}" for i in range(16)])})
    np.testing.assert_allclose(again.predict_cohort(blocks)[0], steps.predict_proba(X), atol=1e-5)
    assert first_genes(gene_effect_pipeline(again, X, y, method="expected")[0]) == {0, 1, 2}
    gradient = attribute_pipeline(again, X[:5], "high", method="gradient")
    nudged = X[:5].copy(); nudged[:, 20] += .01
    raw = (np.log(steps.predict_proba(nudged)[:, 0] / steps.predict_proba(nudged)[:, 1])
           - np.log(steps.predict_proba(X[:5])[:, 0] / steps.predict_proba(X[:5])[:, 1]))
    other = attribute_pipeline(again, X[:5], "low", method="gradient")
    # a finite difference
    np.testing.assert_allclose((gradient - other)[:, 20] / again.steps[0].scale_[20], raw / .01, rtol=.05, atol=5e-3)

def test_blocks_in_python(X, signal):
    "Dicts of blocks go through the estimator, the cross-validation and the fitted network as they are."
    X = X - 6
    y, blocks = np.where(signal > 0, "high", "low"), {"mrna": X[:, :16], "mirna": X[:, 16:]}
    estimator = CancerClassifier("towers", epochs=30, random_state=0)
    assert cross_validate(estimator, blocks, y, n_splits=3, n_repeats=1).summary()["accuracy"] > .7
    fitted = as_fitted(estimator.fit(blocks, y))
    assert fitted.features[:1] == ["mrna:0"] and len(fitted.features) == GENES
    np.testing.assert_allclose(fitted.predict_proba(X), estimator.predict_proba(blocks), atol=1e-6)

@pytest.fixture
def asked(X, signal, follow_up):
    "A cohort with answers of two kinds."
    import anndata
    obs = follow_up.assign(dose=signal).set_index(pd.Index([f"s{i}" for i in range(SAMPLES)]))
    return anndata.AnnData(X, obs, pd.DataFrame(index=NAMES), uns={"units": "log2(x+1)"})

@pytest.mark.slow
def test_train_survival_on_a_cohort(asked):
    risk = train_outcome(asked, survival=("time", "event"), epochs=15, n_splits=3)
    assert risk.results["mlp"].summary()["concordance"] > .6

def test_train_on_a_cohort(asked, tmp_path):
    dose = train_outcome(asked, "dose", epochs=30, n_splits=3)
    assert dose.results["mlp"].summary()["r2"] > .3 and "ridge regression" in dose.verdict()
    save_bundle(dose.bundle, tmp_path/"dose")
    data, result, report = evaluate_outcome(load_bundle(tmp_path/"dose"), asked)
    assert any("was trained on" in w for w in report["warnings"])
    assert ("value" in (tmp_path/"dose"/"MODEL_CARD.md").read_text()
            and "R squared" in (tmp_path/"dose"/"MODEL_CARD.md").read_text())

# -- every network answers every task

SMALL = {"cnn2d_3layer": dict(filters=(2, 2, 2), dense=(4, 4)), "cnn2d_lyu": dict(filters=(2, 2, 2), dense=(4, 4))}

QUICK = ("mlp", "linear", "towers", "cnn1d")  # recurrent and multitask networks have files of their own

@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in REGISTRY
                                  if not n.endswith("for_tests")])
def test_every_network_answers_every_task(name, X, signal, follow_up):
    "The same builder serves classes, values, survival and several tasks, and one sample gives the same answer alone."
    several = pd.DataFrame({"level": np.where(signal > 0, "high", "low"), "dose": signal})
    options = dict(epochs=1, random_state=0,
                   model_params={k: v for k, v in SMALL.get(name, {}).items() if k in model_sizes(name)})
    for estimator, y in ((CancerClassifier(name, **options), several["level"]),
                         (CancerRegressor(name, **options), signal),
                         (SurvivalRegressor(name, **options), follow_up),
                         (MultitaskClassifier(name, tasks={"level": "classes", "dose": "value"}, **options), several)):
        found = estimator.fit(X, y).predict(X[:9])
        for values, alone in zip(*(list(f.values()) if isinstance(f, dict)
                                   else [f] for f in (found, estimator.predict(X[4:5])))):
            assert len(values) == 9
            if values.dtype.kind == "f": np.testing.assert_allclose(values[4:5], alone, rtol=1e-3, atol=1e-4)
            else: assert values[4] == alone[0]

# -- taken whole

def test_a_fitted_network_comes_back_as_an_estimator(X, signal):
    pipeline = make_pipeline(ZScaler(), PCAReducer(8), CancerRegressor("mlp", epochs=3, random_state=0)).fit(X, signal)
    fitted = as_fitted(pipeline, NAMES)
    np.testing.assert_array_equal(pipeline_of(fitted).predict(X), pipeline.predict(X))
    assert estimator_of(fitted).get_params()["epochs"] == 3 and not hasattr(estimator_of(fitted), "model_")
    assert gene_effect_pipeline(fitted, X, method="expected").shape == (1, GENES)  # through the components
    with pytest.raises(InputError, match="23 feature names were given"): as_fitted(pipeline, NAMES[1:])

def test_older_names_still_work():
    "What moved in this version is found where it was, with one warning that says where it is."
    from cancer_dl import classify
    from cancer_dl.data.labels import labelled
    from cancer_dl.train import validate
    from cancer_dl.train.baselines import baselines
    with pytest.warns(FutureWarning, match="data.labels.labelled"): assert classify.__getattr__("labelled") is labelled
    with pytest.warns(FutureWarning, match="train.baselines.baselines"): assert validate.plain_learners is baselines
    with pytest.raises(AttributeError, match="no attribute 'labeled'"): classify.labeled

def test_copies_are_one_patient_for_values_too(X, signal):
    import anndata
    from cancer_dl.outcomes import outcomes_of
    twice = np.vstack([X, X[:5]])
    obs = pd.DataFrame({"dose": np.r_[signal, signal[:5]]}, index=[f"s{i}" for i in range(SAMPLES + 5)])
    data = outcomes_of(anndata.AnnData(twice, obs, pd.DataFrame(index=NAMES), uns={"units": "log2(x+1)"}), "dose")
    assert data.copies == 10 and (data.patients[:5] == data.patients[-5:]).all() and len(set(data.patients)) == SAMPLES
    with pytest.raises(InputError, match="holds 3 for every sample"):
        outcomes_of(anndata.AnnData(X, pd.DataFrame({"t": 3.0, "e": [0, 1] * 80}, index=obs.index[:SAMPLES]),
                                    pd.DataFrame(index=NAMES)), survival="t,e")
