"""Tasks and inputs beyond one matrix and one class:
each is trained, judged against something we did not write, and refused where it cannot be read."""
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.optimize import minimize
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from cancer_dl.core import InputError, keras_module
from cancer_dl.data.inputs import Tokens
from cancer_dl.models.blocks import REGISTRY, make_layer, register
from cancer_dl.train.estimator import (CancerClassifier, CancerRegressor, MultitaskClassifier, NetworkEstimator,
                                       SurvivalRegressor)
from cancer_dl.train.fit import PUBLISHED, CheckedOptions, fit_network, forget_compiled, predict_outputs
from cancer_dl.train.task import (TASKS, Classes, Multilabel, Multitask, Survival, Task, Values, concordance, cox_loss,
                                  read_events, register_task, task_from_dict, task_of)

SAMPLES, GENES = 240, 30

@pytest.fixture(scope="module")
def X(): return np.random.default_rng(0).normal(size=(SAMPLES, GENES)).astype("float32")

@pytest.fixture(scope="module")
def signal(X): return X[:, :5].sum(axis=1)

@pytest.fixture
def network():
    "A network of one linear layer, which other software has too; it leaves the register again."
    @register("linear_for_tests")
    def linear_for_tests(inputs, outputs): return outputs(inputs.matrix)
    yield "linear_for_tests"
    del REGISTRY["linear_for_tests"]

QUIET = dict(patience=None, random_state=0)

REASON = {"check_sample_weight_equivalence_on_dense_data":
          "random batches: a weight of 2 is not a sample that stands there twice"}

@parametrize_with_checks([CancerRegressor("mlp", random_state=0)], expected_failed_checks=lambda estimator: REASON)
def test_scikit_learn_contract_of_the_regressor(estimator, check): check(estimator)

# -- values

def test_a_linear_network_for_values_is_least_squares(X, signal, network):
    y = 100 + 40*signal + np.random.default_rng(1).normal(size=SAMPLES)
    ours = CancerRegressor(network, epochs=400, learning_rate=.02, batch_size=SAMPLES, **QUIET).fit(X, y).predict(X)
    np.testing.assert_allclose(ours, Ridge(1e-8).fit(X, y).predict(X), atol=.5)  # of a standard deviation of 90

def test_a_missing_value_has_no_say(X, signal):
    Y = np.column_stack([signal, -signal])
    Y[::2, 1] = np.nan
    spoilt = Y.copy()
    one = CancerRegressor("mlp", epochs=3, **QUIET).fit(X, Y)
    assert np.isnan(spoilt[0, 1]) and one.predict(X).shape == (SAMPLES, 2)
    task = Values().fit(Y)
    loss, _ = task.objective(None)(task.encode(Y), np.zeros((SAMPLES, 2), "float32"))
    np.testing.assert_allclose(np.asarray(loss)[0], task.encode(Y)[0, 0]**2, rtol=1e-5)
    wide = pd.DataFrame(Y, columns=["a", "b"]).assign(c=np.nan)
    with pytest.raises(InputError, match="No training sample has a value in column c"):
        CancerRegressor("mlp").fit(X, wide)

def test_samples_without_any_value_are_left_out(X, signal):
    y = signal.copy()
    y[100:] = np.nan
    a = CancerRegressor("mlp", epochs=3, **QUIET).fit(X, y)
    b = CancerRegressor("mlp", epochs=3, **QUIET).fit(X[:100], y[:100])
    np.testing.assert_array_equal(a.predict(X), b.predict(X))

def test_cross_validation_and_sample_weights_of_values(X, signal):
    scores = cross_val_score(CancerRegressor("mlp", dict(input_dropout=0), epochs=40, **QUIET), X, signal, cv=KFold(3))
    assert scores.min() > .4
    weight = np.where(np.arange(SAMPLES) < 120, 1, 0)
    zero = CancerRegressor("mlp", epochs=2, **QUIET).fit(X, np.where(weight, signal, 1e6), sample_weight=weight)
    assert np.isfinite(zero.predict(X)).all()

# -- survival

@pytest.fixture(scope="module")
def survival(X, signal):
    rng = np.random.default_rng(2)
    time = rng.exponential(np.exp(-.7*signal/np.sqrt(5))).round(2)  # rounded, so that there are ties
    censor = rng.exponential(2, SAMPLES).round(2)
    return pd.DataFrame({"time": np.minimum(time, censor), "event": (time <= censor).astype(int)})

def partial_likelihood(beta, X, time, event):
    "Cox and Breslow as textbooks write them: a sum over events, a sum over the risk set."
    h, total = X @ beta, 0.0
    for i in np.flatnonzero(event): total += np.log(np.exp(h[time >= time[i]]).sum()) - h[i]
    return total

def test_cox_loss_is_the_partial_likelihood(X, survival):
    time, event, beta = (survival["time"].to_numpy(), survival["event"].to_numpy(),
                         np.random.default_rng(3).normal(size=GENES)*.3)
    ours = cox_loss(*(np.asarray(a, "float32") for a in (time, event, X @ beta)))
    np.testing.assert_allclose(np.asarray(ours).sum(), partial_likelihood(beta, X, time, event), rtol=1e-4)

def test_a_linear_network_for_survival_is_cox(X, survival, network):
    time, event = survival["time"].to_numpy(), survival["event"].to_numpy()
    best = minimize(partial_likelihood, np.zeros(5), args=(X[:, :5].astype(float), time, event)).x
    ours = SurvivalRegressor(network, epochs=400, learning_rate=.02, batch_size=SAMPLES,
                             **QUIET).fit(X[:, :5], survival)
    np.testing.assert_allclose(ours.model_.get_weights()[0][:, 0], best, atol=.02)
    assert ours.score(X[:, :5], survival) > .6

@pytest.mark.parametrize("several", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_weights_of_survival_count_in_risk_sets(X, survival, several):
    X, y, n = X[:, :3], survival, len(X)
    weight = np.where((y["event"] == 0) & (X[:, 1] > 0), 5, np.where(X[:, 2] > 0, 2, 1))  # of censored ones, and all
    task = dict(tasks={"os": "survival"}) if several else {}
    make = MultitaskClassifier if several else SurvivalRegressor
    def fitted(rows, **also):
        answers = y.iloc[rows].reset_index(drop=True)
        learner = make("linear", dict(l2=0.), epochs=300, learning_rate=.05, batch_size=len(rows), **task, **QUIET)
        return learner.fit(X[rows], {"os": answers} if several else answers, **also).model_.get_weights()[0][:, 0]
    weighted = fitted(np.arange(n), sample_weight=weight)
    np.testing.assert_allclose(weighted, fitted(np.repeat(np.arange(n), weight)), atol=.01)
    assert np.abs(weighted - fitted(np.arange(n))).max() > .05
    if several: return
    lifelines = pytest.importorskip("lifelines")
    table = pd.DataFrame(X, columns=list("abc")).assign(w=weight, **y[["time", "event"]])
    theirs = lifelines.CoxPHFitter().fit(table, "time", "event", weights_col="w", robust=True).params_
    np.testing.assert_allclose(weighted, theirs, atol=.02)

def test_against_lifelines(X, survival):
    pytest.importorskip("lifelines")
    from lifelines.utils import concordance_index
    hazard = X[:, 0]
    assert (concordance(survival["time"], survival["event"], hazard)
            == pytest.approx(concordance_index(survival["time"], -hazard, survival["event"])))

def test_mask_and_unknown_samples_count_nowhere(X, survival):
    task, z = Survival(), X[:, :1]
    targets = task.encode(survival)
    whole, _ = task.objective(None)(targets, z)
    padded, _ = task.objective(None)(np.vstack([targets, targets[:9]]), np.vstack([z, z[:9] + 50]),
                                     np.r_[np.ones(SAMPLES), np.zeros(9)].astype("float32"))
    np.testing.assert_allclose(np.asarray(padded)[:SAMPLES], np.asarray(whole), rtol=1e-4)
    assert not np.asarray(padded)[SAMPLES:].any()

@pytest.mark.parametrize("y, words", [
    ([[1, 2]], "must be 1 .an event. or 0"), ([[-1, 1], [2, 1]], "negative time"), ([[3, 0]], "No sample has an event"),
    (pd.DataFrame({"a": [1], "b": [1], "c": [1]}), "not clear from their names .a, b, c."),
    (np.ones((2, 3)), "two columns, time and event")])
def test_what_is_no_survival(y, words):
    with pytest.raises(InputError, match=words): Survival().encode(y)

# -- several labels, several tasks

def test_several_labels(X, signal):
    Y = pd.DataFrame({"TP53": (signal > 0).astype(float), "KRAS": (X[:, 9] > 0).astype(float)})
    Y.loc[::5, "KRAS"] = np.nan
    class Labels(NetworkEstimator):
        def _task(self): return Multilabel()
    found = Labels("mlp", dict(input_dropout=0), epochs=40, **QUIET).fit(X, Y)
    assert found.task_.names == ["TP53", "KRAS"] and found.predict(X).shape == (SAMPLES, 2)
    assert found.task_.scores(Y, found.network_outputs(X))["accuracy"] > .8

def test_several_tasks_share_a_network(X, signal, survival):
    Y = pd.DataFrame({"tissue of origin": np.where(signal > 0, "lung", "skin"),
                      "age": 50 + 10*X[:, 1]}).astype({"tissue of origin": object})
    Y.loc[::3, "tissue of origin"] = None
    Y.loc[1::3, "age"] = np.nan
    options = dict(tasks={"tissue of origin": "classes", "age": "value"}, epochs=40, **QUIET)
    found = MultitaskClassifier("mlp", dict(input_dropout=0), **options).fit(X, Y)
    scores = found.task_.scores(Y, found.predict_proba(X))
    assert scores["tissue of origin: accuracy"] > .85 and scores["age: r2"] > .5
    assert set(found.predict(X)) == {"tissue of origin", "age"} and len(found.predict(X)["age"]) == SAMPLES
    changed = Y.copy()  # an answer that is not known cannot matter
    changed["age"] = changed["age"].where(changed["age"].notna(), np.nan)
    again = MultitaskClassifier("mlp", dict(input_dropout=0), **options).fit(X, changed)
    np.testing.assert_array_equal(again.predict(X)["age"], found.predict(X)["age"])
    with_survival = MultitaskClassifier("mlp", tasks={"age": "value", "os": "survival"}, epochs=3, **QUIET)
    assert with_survival.fit(X, {"age": Y["age"], "os": survival}).predict(X)["os"].shape == (SAMPLES,)
    with pytest.raises(InputError, match="needs tasks"): MultitaskClassifier().fit(X, Y)

# -- other inputs

@pytest.fixture
def two_towers():
    @register("two_towers_for_tests", sees="blocks")
    def two_towers_for_tests(inputs, outputs, units=16):
        towers = [make_layer("Dense", units, activation="relu", name=f"{name}_tower")(block)
                  for name, block in inputs.blocks.items()]
        return outputs(make_layer("Concatenate", name="together")(towers))
    yield "two_towers_for_tests"
    del REGISTRY["two_towers_for_tests"]

@pytest.mark.parametrize("data", ["resident", "stream"])
def test_several_blocks(X, signal, two_towers, data):
    blocks = {"mrna": pd.DataFrame(X[:, :20], columns=[f"g{i}" for i in range(20)]), "mirna": X[:, 20:]}
    y = np.where(signal > 0, "a", "b")
    found = CancerClassifier(two_towers, epochs=30, learning_rate=.01, data=data, **QUIET).fit(blocks, y)
    assert found.score(blocks, y) > .9 and found.predict_proba(blocks).shape == (SAMPLES, 2)
    with pytest.raises(InputError, match="feature names of block 'mrna'"):
        found.predict({**blocks, "mrna": blocks["mrna"].iloc[:, ::-1]})
    with pytest.raises(InputError, match="trained on the blocks mrna, mirna"): found.predict(X)
    with pytest.raises(InputError, match="takes one matrix, and was given 'mrna'"):
        CancerClassifier("cnn1d").fit(blocks, y)

@pytest.fixture
def reader():
    @register("reader_for_tests", sees="tokens")
    def reader_for_tests(inputs, outputs, n_tokens=5):
        x = make_layer("Embedding", n_tokens, 8, name="letters")(inputs.tokens)
        return outputs(make_layer("GlobalMaxPooling1D", name="most")(make_layer("Conv1D", 16, 3, activation="relu",
                                                                                name="motifs")(x)))
    @register("scanner_for_tests", sees="sequence")
    def scanner_for_tests(inputs, outputs):
        return outputs(make_layer("GlobalMaxPooling1D", name="most")(make_layer("Conv1D", 16, 3, activation="relu",
                                                                                name="motifs")(inputs.sequence)))
    yield "reader_for_tests", "scanner_for_tests"
    for name in ("reader_for_tests", "scanner_for_tests"): del REGISTRY[name]

def test_tokens_and_sequences(reader):
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 5, (300, 40))
    y = rng.integers(0, 2, 300)
    for i in np.flatnonzero(y): ids[i, 5:9] = (1, 1, 1, 1)
    tokens, onehot = Tokens(ids, 5), np.eye(5, dtype="float32")[ids][:, :, 1:]
    for name, X in zip(reader, (tokens, onehot)):
        found = CancerClassifier(name, epochs=40, learning_rate=.01, **QUIET).fit(X, y)
        assert found.score(X, y) > .8, name

# -- a network in 15 lines and a task in 25, without touching another file

@pytest.fixture
def ordinal():
    @register_task
    class Ordinal(Task):
        """Ordered stages: one output, and thresholds between the stages (proportional odds, McCullagh 1980,
        with fixed thresholds)."""
        kind, score = "ordinal_for_tests", "accuracy"
        def __init__(self, n=None): self.n = n
        def fit(self, y): return Ordinal(int(np.max(y)) + 1)
        def encode(self, y): return np.asarray(y, np.float32)
        def head(self, x, l2=0.0, prefix=""): return make_layer("Dense", 1, name=f"{prefix}rank")(x)
        def raw(self, prefix=""): return f"{prefix}rank"
        @property
        def cuts(self): return np.arange(1, self.n) - self.n/2
        def objective(self, training):
            ops, cuts = keras_module().ops, self.cuts.astype("float32")
            def objective(y, z, mask=None):
                above = ops.cast(y[:, None] > np.arange(self.n - 1, dtype="float32")[None], "float32")
                odds = z - cuts[None]
                loss = ops.sum(ops.maximum(odds, 0.0) - odds*above + ops.log1p(ops.exp(-ops.abs(odds))), axis=-1)
                return loss, ops.cast(ops.equal(ops.sum(ops.cast(odds > 0, "float32"), axis=-1), y), "float32")
            return objective
        def predict(self, outputs): return (outputs > self.cuts[None]).sum(axis=1)
        def metrics(self, y, judged): return dict(accuracy=float((judged == y).mean()))
    yield Ordinal
    del TASKS["ordinal_for_tests"]

def test_a_task_of_ones_own(X, signal, ordinal):
    class StageEstimator(NetworkEstimator):
        def _task(self): return task_of("ordinal_for_tests")
    stage = np.digitize(signal, [-2, 0, 2])
    options = PUBLISHED | QUIET | dict(epochs=60, members=1)
    found = StageEstimator("mlp", dict(input_dropout=0, dropout=0), **options).fit(X[:180], stage[:180])
    assert found.task_.scores(stage[180:], found.network_outputs(X[180:]))["accuracy"] > .5
    assert sorted(found.history_.logs) == ["accuracy", "loss"]
    assert task_from_dict(found.task_.to_dict()).n == 4

def test_every_task_is_stored_and_comes_back(X, signal, survival):
    table = pd.DataFrame({"a": np.where(signal > 0, "x", "y"), "b": signal})
    for task, y in ((Classes(), table["a"]), (Values("huber"), signal), (Survival(), survival),
                    (Multilabel(), table[["b"]] > 0), (Multitask({"a": "classes", "b": Values()}, {"a": 2}), table)):
        fitted = task.fit(y)
        again = task_from_dict(fitted.to_dict())
        np.testing.assert_equal(again.encode(y), fitted.encode(y))
        assert again.key == fitted.key and again.to_dict() == fitted.to_dict()

def test_early_stopping_looks_at_what_the_task_reports(X, signal):
    values = CancerRegressor("mlp", epochs=60, patience=1, validation_fraction=.2, random_state=0).fit(X, signal)
    assert sorted(values.history_.logs) == ["loss", "val_loss"]
    with pytest.raises(InputError, match="quantity to monitor"):
        CancerRegressor("mlp", monitor="accuracy").fit(X, signal)
    with pytest.raises(InputError, match="class_weight is for classes"):
        task = Values().fit(signal)
        from cancer_dl.models.blocks import BlockSpec
        fit_network("mlp", {"expression": BlockSpec("matrix", (GENES,))}, task, X, task.encode(signal),
                    class_weight="balanced")

@pytest.mark.slow  # test_backends has the classifier on JAX
def test_other_backends(tmp_path):
    "The same tasks and inputs on JAX, in a process of its own."
    pytest.importorskip("jax")
    code = """
import numpy as np, pandas as pd
from cancer_dl.models.blocks import make_layer, register
from cancer_dl.train.estimator import *
@register("towers", sees="blocks")
def towers(inputs, outputs):
    return outputs(make_layer("Concatenate", name="both")([make_layer("Dense", 8, name=f"{n}_tower")(b)
                                                           for n, b in inputs.blocks.items()]))
X = np.random.default_rng(0).normal(size=(120, 20)).astype("float32"); s = X[:, :5].sum(1)
r = CancerRegressor("mlp", dict(input_dropout=0), epochs=40, random_state=0, patience=None).fit(X, s)
assert r.score(X, s) > .5
m = MultitaskClassifier("mlp", tasks={"a": "classes", "b": "value"}, epochs=5,
                        random_state=0).fit(X, {"a": s > 0, "b": s})
assert set(m.predict(X)) == {"a", "b"}
c = CancerClassifier("towers", epochs=30, learning_rate=.01, random_state=0).fit({"u": X[:, :9], "v": X[:, 9:]}, s > 0)
assert c.score({"u": X[:, :9], "v": X[:, 9:]}, s > 0) > .8
v = SurvivalRegressor("mlp", epochs=5, random_state=0).fit(X, np.column_stack([np.exp(-s), np.ones(120)]))
assert v.predict(X).shape == (120,)
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "KERAS_BACKEND": "jax"},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

def test_folds_with_other_classes_share_a_compiled_network(X, signal):
    forget_compiled()
    from cancer_dl.train import fit
    for words in (("a", "b"), ("c", "d")):
        CancerClassifier("mlp", epochs=1, random_state=0).fit(X, np.where(signal > 0, *words))
    assert len(fit._compiled) == 1
    assert predict_outputs(CancerClassifier("mlp", epochs=1, random_state=0).fit(X, signal > 0).model_,
                           X[:0]).shape == (0, 2)
    one, other = CheckedOptions(epochs=3), CheckedOptions(epochs=3)
    assert one == other and hash(one) == hash(other)


@pytest.mark.parametrize("names, time", [(("status", "days"), "days"), (("days", "dead"), "days"),
                                         (("x", "time"), "time"), (("Vital_Status", "x"), "x"),
                                         (("event", "id", "months"), "months")])
def test_the_column_that_is_no_event_is_the_time(names, time):
    y = pd.DataFrame({name: [1.0, 0, 1] for name in names})
    y[time] = [5.0, 7, 9]
    assert Survival().encode(y).tolist() == [[5, 1], [7, 0], [9, 1]]
    fields = np.array(list(map(tuple, y.to_numpy())), dtype=[(name, "f8") for name in names])
    assert Survival().encode(fields)[:, 0].tolist() == [5, 7, 9]


@pytest.mark.parametrize("y", [pd.DataFrame({"a": [5.0], "b": [1]}), pd.DataFrame({"a": [5.0], "b": [1], "time": [2]})])
def test_columns_of_survival_that_nobody_can_tell_apart_are_refused(y):
    with pytest.raises(InputError, match="name them so"): Survival().encode(y)


def test_survival_takes_words_as_the_command_line_does():
    words = pd.DataFrame({"days": [5, 7, 9], "status": ["dead", "Alive", "1:DECEASED"]})
    assert Survival().encode(words).tolist() == [[5, 1], [7, 0], [9, 1]]
    assert Survival().encode(np.array([[5, "dead"], [7, "alive"]], object)).tolist() == [[5, 1], [7, 0]]
    with pytest.raises(InputError, match="'maybe' for sample 2"):
        Survival().encode(words.assign(status=["dead", "alive", "maybe"]))


@pytest.mark.parametrize("word", ["0:DECEASED", "1:LIVING", "1:anything", "0:", "2:DECEASED", "-1"])
def test_an_event_that_contradicts_itself_is_refused(word):
    with pytest.raises(InputError, match=f"Column 'os' holds '{word}' for sample s1"):
        read_events(["1:DECEASED", word], "os", ["s0", "s1"])


def test_the_words_of_cbioportal_are_known():
    found = read_events(["1:Recurred/Progressed", "0:DiseaseFree", "1:PROGRESSION", "0:CENSORED", "1:DEAD WITH TUMOR",
                         "0:ALIVE OR DEAD TUMOR FREE", 1.0, "0", True, None])
    np.testing.assert_array_equal(found, [1, 0, 1, 0, 1, 0, 1, 0, 1, np.nan])


def test_dates_are_no_values():
    with pytest.raises(InputError, match="dates"): Values().fit(pd.Series(pd.date_range("2020", periods=3)))
    with pytest.raises(InputError, match="must be numbers"):
        Values().fit(pd.Series(pd.date_range("2020", periods=3, tz="UTC")))


def test_weights_count_for_what_a_task_learns_of_its_answers():
    task = Multitask({"dose": "value", "kind": "classes"})
    y = {"dose": np.array([1.0, np.nan, 5, 1e9]), "kind": np.array(["a", "b", "a", "b"])}
    found = task.fit(y, np.array([3, 1, 1, 0])).tasks["dose"]
    assert found.mean[0] == pytest.approx(2) and found.std[0] == pytest.approx(np.std([1, 1, 1, 5]))
    with pytest.raises(InputError, match="weight 0 only"): Values().fit([1.0, np.nan], [0, 1])


@pytest.mark.parametrize("make", [CancerClassifier, CancerRegressor, SurvivalRegressor])
def test_weight_0_deletes_a_sample(make):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(40, 4)).astype("float32"), np.r_[np.zeros(5), np.ones(35)]
    y = {CancerClassifier: np.r_[["c"] * 5, ["a", "b", "a", "b", "a"] * 7], CancerRegressor: np.r_[[1e6] * 5, X[5:, 0]],
         SurvivalRegressor: np.column_stack([rng.exponential(1, 40), np.ones(40)])}[make]
    quick = dict(model="linear", members=1, epochs=2, random_state=0, batch_size=8)
    whole = make(**quick).fit(X, y, sample_weight=weight, groups=np.arange(40))
    found, expected = whole.predict(X), make(**quick).fit(X[5:], y[5:]).predict(X)
    assert (found == expected).all() if make is CancerClassifier else np.allclose(found, expected, atol=1e-4)
    with pytest.raises(InputError, match="negative for 5 of 40 samples"): make(**quick).fit(X, y, weight - 1)


def test_negative_class_weights_are_refused():
    X, y = np.zeros((4, 2), "float32"), ["a", "b", "a", "b"]
    with pytest.raises(InputError, match="class_weight is negative for {'a': -1}"):
        CancerClassifier(class_weight={"a": -1}).fit(X, y)


def test_score_takes_the_name_of_a_column_as_fit_does():
    import anndata
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)).astype("float32")
    cohort = anndata.AnnData(X, pd.DataFrame({"kind": np.where(X[:, 0] > 0, "a", "b"), "dose": X[:, 1]},
                                             index=[f"s{i}" for i in range(30)]))
    for make, name in ((CancerClassifier, "kind"), (CancerRegressor, "dose")):
        fitted = make("linear", members=1, epochs=2).fit(cohort, name)
        assert fitted.score(cohort, name) == fitted.score(cohort, cohort.obs[name].to_numpy())

@pytest.mark.parametrize("labels", [[0, 1], [False, True], [1.0, 2.0], ["a", "b"]])
def test_a_column_gives_the_classes_that_its_values_give(X, labels):
    y = np.array(labels)[np.arange(SAMPLES) % 2]
    obs = pd.DataFrame(dict(plain=y, category=pd.Categorical(y), objects=y.astype(object)),
                       index=[f"s{i}" for i in range(SAMPLES)])
    cohort, weight = AnnData(X, obs=obs), {labels[0]: 1, labels[1]: 2}
    learner = CancerClassifier("linear", epochs=1, members=1, random_state=0, class_weight=weight)
    expected = learner.fit(X, y).classes_.tolist()
    for column in obs:
        assert learner.fit(cohort, column).classes_.tolist() == expected == labels
        assert learner.score(cohort, column) == learner.score(X, y) == (y == learner.predict(cohort)).mean()
    several = MultitaskClassifier("linear", tasks={"plain": "classes"}, epochs=1, members=1).fit(cohort, ["plain"])
    assert several.task_.tasks["plain"].classes.tolist() == labels
