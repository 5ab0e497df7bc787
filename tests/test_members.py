"Members: several networks trained as one, against the networks that they are made of."
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from cancer_dl.core import InputError, keras_module
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.interpret.saliency import attribute, gene_effect_pipeline
from cancer_dl.interpret.sanity import scrambled_weights
from cancer_dl.models.blocks import BlockSpec, Inputs, logits_model, make_layer, raw_model, trained_parameters
from cancer_dl.models.members import ensemble, keep_members, member_objective, members_of, training_model
from cancer_dl.models.zoo import build_model, model_card
from cancer_dl.train import fit
from cancer_dl.train.bundle import load_bundle, make_bundle, save_bundle
from cancer_dl.train.estimator import (CancerClassifier, CancerRegressor, MultitaskClassifier, SurvivalRegressor,
                                       TaskEstimator)
from cancer_dl.train.fit import CheckedOptions, fit_network, seeded_layers, fit_existing
from cancer_dl.train.fitted import estimator_of
from cancer_dl.train.member_settings import average_loss, checked_settings, draw_settings
from cancer_dl.train.task import Classes, Survival, task_of

SAMPLES, GENES, M = 96, 24, 3
NAMES = [f"G{i}" for i in range(GENES)]
SPEC = {"expression": BlockSpec("matrix", (GENES,))}

@pytest.fixture(scope="module")
def X(): return np.random.default_rng(0).normal(size=(SAMPLES, GENES)).astype("float32")

@pytest.fixture(scope="module")
def y(X): return np.array(["low", "middle", "high"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > .3)]

def array(tensor): return keras_module().ops.convert_to_numpy(tensor)

def singles(seed, build, n=M):
    with seeded_layers(seed): return [build() for _ in range(n)]

def together(networks, **options):
    "One network of these."
    left = iter(networks)
    return ensemble(lambda: next(left), len(networks), **options)

# -- the network

def pooled_norm():
    "Two convolutional layers' worth of what stacks by channel: batch normalisation, pooling, dropout of channels."
    inputs = Inputs(SPEC)
    x = make_layer("Conv1D", 4, 3, name="convolution")(make_layer("Reshape", (GENES, 1), name="line")(inputs.matrix))
    x = make_layer("BatchNormalization", name="norm")(x)
    x = make_layer("SpatialDropout1D", .2, name="drop")(make_layer("AveragePooling1D", 2, name="pool")(x))
    x = make_layer("Permute", (2, 1), name="turn")(x)
    sides = [make_layer("GlobalMaxPooling1D", name="most")(x), make_layer("GlobalAveragePooling1D", name="mean")(x)]
    x = make_layer("Concatenate", name="both")([*sides, inputs.matrix])
    return inputs.model(task_of(Classes(range(3))).head(x), "pooled_norm")

def gated():
    "Branches of one input that meet, one behind a dropout, with an activation inside a layer."
    inputs = Inputs(SPEC)
    x = make_layer("Dropout", .2, name="in")(inputs.matrix)
    gate = make_layer("Dense", 5, activation="sigmoid", name="gate")(x)
    value = make_layer("Dense", 5, name="value", use_bias=False)(inputs.matrix)
    x = make_layer("Multiply", name="gated")([value, gate])
    return inputs.model(task_of(Classes(range(3))).head(x), "gated")

BUILDS = {"mlp": lambda: build_model("mlp", GENES, 3, dense=6), "linear": lambda: build_model("linear", GENES, 3),
          "cnn1d": lambda: build_model("cnn1d", GENES, 3, dense=6, filters=4), "gated": gated,
          "pooled_norm": pooled_norm,
          "overlapping": lambda: build_model("cnn1d", GENES, 3, dense=6, filters=4, width=6, stride=4),
          "grid": lambda: build_model("cnn2d_vanilla", GENES, 3, dense=6, filters=4),
          "rows": lambda: build_model("cnn2d_hybrid", GENES, 3, dense=6, filters=4)}

@pytest.mark.parametrize("way", ["stacked", "side by side"])
@pytest.mark.parametrize("name", BUILDS)
def test_the_mean_of_single_networks(name, way, X):
    networks = singles(1, BUILDS[name])
    model = together(networks, way=way)
    mean = np.mean([array(one(X)) for one in networks], axis=0)
    np.testing.assert_allclose(array(model(X)), mean, atol=1e-6)
    z = array(logits_model(model)(X))
    np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), mean, atol=1e-6)
    each = array(training_model(model)(X))
    for k, one in enumerate(networks): np.testing.assert_allclose(each[:, k], array(logits_model(one)(X)), atol=1e-5)
    assert members_of(model) == M and trained_parameters(model) == M * trained_parameters(networks[0])

def test_two_convolutions_stand_side_by_side(X):
    sizes = dict(filters=(2, 3, 4), dense=(5,))
    networks = singles(1, lambda: build_model("cnn2d_3layer", GENES, 3, **sizes), 2)
    mean = np.mean([array(n(X)) for n in networks], axis=0)
    np.testing.assert_allclose(array(together(networks)(X)), mean, atol=1e-6)
    with pytest.raises(InputError, match="'cnn2d_3layer' cannot be stacked: the convolution 'convolution2'"):
        together(networks, way="stacked")

def test_towers(X):
    spec = {"a": BlockSpec("matrix", (14,)), "b": BlockSpec("matrix", (10,))}
    networks, parts = singles(1, lambda: build_model("towers", spec, 3, units=5)), {"a": X[:, :14], "b": X[:, 14:]}
    mean = np.mean([array(n(parts)) for n in networks], axis=0)
    np.testing.assert_allclose(array(together(networks, way="stacked")(parts)), mean, atol=1e-6)

def test_tokens_stand_side_by_side():
    from cancer_dl.models.blocks import class_probabilities
    def build():
        inputs = Inputs({"dna": BlockSpec("tokens", (12,), 5)})
        x = make_layer("Embedding", 5, 4, mask_zero=True, name="letters")(inputs.tokens)
        return inputs.model(class_probabilities(make_layer("LSTM", 3, name="reader")(x), 2), "reader")
    networks, tokens = singles(1, build), np.random.default_rng(0).integers(0, 5, (7, 12))
    np.testing.assert_allclose(array(together(networks)(tokens)), np.mean([array(n(tokens)) for n in networks], axis=0),
                               atol=1e-6)

def test_members_silence_their_own_inputs(X):
    "Equal members and a dropout: while training they differ."
    networks = singles(1, lambda: build_model("linear", GENES, 3), 1) * 2
    assert np.ptp(array(training_model(together(networks))(X[:4], training=True)), axis=1).max() < 1e-6
    networks = singles(1, lambda: build_model("mlp", GENES, 3, input_dropout=.5), 1) * 2
    for way in ("stacked", "side by side"):
        model = training_model(together(networks, way=way))
        assert np.ptp(array(model(X[:4], training=True)), axis=1).max(axis=-1).min() > 1e-3
        assert np.ptp(array(model(X[:4])), axis=1).max() < 1e-6

def test_gradient_of_the_logits(X):
    model = together(singles(2, lambda: build_model("mlp", GENES, 3, dense=6)))
    scores = attribute(model, X[:5], 1, method="gradient")
    for gene in (0, 7):
        step = np.zeros(GENES, "float32")
        step[gene] = .01
        up, down = (array(logits_model(model)(X[:5] + s * step))[:, 1] for s in (1, -1))
        np.testing.assert_allclose(scores[:, gene], (up - down) / .02, atol=2e-3)
    sure = array(logits_model(model)(X * 300))
    assert np.isfinite(sure).all() and np.abs(attribute(model, X * 300, method="gradient")).max() > .01

# -- training

@pytest.mark.parametrize("name, way, options", [("mlp", "stacked", dict(optimizer="sgd")), ("cnn1d", "stacked", {}),
                                                ("mlp", "side by side", {}),
                                                pytest.param("cnn1d", None, dict(clipnorm=.05),
                                                             marks=pytest.mark.slow)])
def test_each_member_is_trained_as_if_alone(name, way, options, X, y, monkeypatch):
    if way: monkeypatch.setattr(fit, "_way", lambda training: way)
    task = Classes().fit(y)
    sizes = dict(dense=6, l2=1e-2) | (dict(input_dropout=0, dropout=0) if name == "mlp" else {})
    training = CheckedOptions(epochs=4, batch_size=16, learning_rate=.01, patience=None, **options)
    numbers = task.encode(y)
    model, history = fit_network(name, SPEC, task, X, numbers, sizes, training, seed=5, members=M)
    networks = singles(5, lambda: build_model(name, SPEC, task.head, **sizes))
    logs = [fit_existing(one, X, numbers, training, seed=5, task=task).logs["loss"] for one in networks]
    each = array(training_model(model)(X))
    for k, one in enumerate(networks): np.testing.assert_allclose(each[:, k], array(logits_model(one)(X)), atol=1e-4)
    np.testing.assert_allclose(history.logs["loss"], np.mean(logs, axis=0), atol=1e-4)  # progress is the mean

def test_a_norm_is_that_of_one_member():
    assert fit._way(CheckedOptions(clipnorm=1.0)) == "side by side"

def test_weights_are_scrambled_layer_by_layer():
    "The cascade of the sanity checks takes the same layer of all members at once."
    networks = singles(1, BUILDS["mlp"])
    steps = {way: [name for name, _ in scrambled_weights(together(networks, way=way), np.random.default_rng(0))]
             for way in ("stacked", "side by side")}
    assert steps["side by side"] == ["logits", "hidden"] and steps["stacked"] == ["logits_each", "hidden"]

def test_one_member_is_the_plain_network(X, y):
    plain, one = (CancerClassifier("mlp", epochs=3, random_state=3, **o).fit(X, y) for o in ({}, {"members": 1}))
    for a, b in zip(plain.model_.get_weights(), one.model_.get_weights()): np.testing.assert_array_equal(a, b)
    assert members_of(one.model_) == 1 and plain.model_.to_json() == one.model_.to_json()

def test_the_seed_fixes_everything(X, y):
    fits = [CancerClassifier("mlp", epochs=2, random_state=s, members=M).fit(X, y).predict_proba(X) for s in (1, 1, 2)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert np.abs(fits[0] - fits[2]).max() > 1e-3

def test_cox_sees_one_member_at_a_time():
    "The likelihood compares samples, so members must not be taken for samples."
    rng, ops = np.random.default_rng(0), keras_module().ops
    targets = np.column_stack([rng.exponential(size=12), rng.random(12) < .7]).astype("float32")
    z, alone = rng.normal(size=(12, M, 1)).astype("float32"), Survival().objective(None)
    loss, _ = member_objective(alone, M, Survival.by_sample)(targets, ops.convert_to_tensor(z))
    mean = np.mean([array(alone(targets, ops.convert_to_tensor(z[:, k]))[0]) for k in range(M)], axis=0)
    np.testing.assert_allclose(array(loss), mean, atol=1e-5)

def test_validation_and_weights(X, y):
    "Early stopping, class weights and held-out samples see the mean over members."
    model = CancerClassifier("mlp", epochs=6, members=2, validation_fraction=.25, class_weight="balanced",
                             random_state=0, batch_size=16).fit(X, y)
    assert set(model.history_.logs) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(0 <= v <= 1 for v in model.history_.logs["val_accuracy"])

# -- every task, as an estimator and as a bundle

def questions(X, y):
    signal = X[:, 0] + X[:, 1] - X[:, 2]
    rng = np.random.default_rng(1)
    time, event = rng.exponential(np.exp(-signal)), (rng.random(SAMPLES) < .8).astype(int)
    follow_up = pd.DataFrame({"time": time, "event": event})
    labels = np.column_stack([X[:, 0] > 0, X[:, 3] > 0]).astype(float)
    labels[::7, 1] = np.nan
    several = pd.DataFrame({"state": y.astype(object), "age": signal})
    several.loc[::5, "state"] = None
    more = dict(epochs=2, batch_size=32, members=M, random_state=0, model="mlp", model_params=dict(dense=6))
    return {"classes": (CancerClassifier(**more), y), "value": (CancerRegressor(**more), signal),
            "survival": (SurvivalRegressor(**more), follow_up),
            "multilabel": (TaskEstimator(task="multilabel", **more), labels),
            "multitask": (MultitaskClassifier(tasks={"state": "classes", "age": "value"}, **more), several)}

KINDS = ("classes", "value", "survival", "multilabel", "multitask")

@pytest.mark.parametrize("kind, way", [*((kind, "stacked") for kind in KINDS), ("classes", None),
                                       pytest.param("multitask", None, marks=pytest.mark.slow)])
def test_every_task(kind, way, X, y, tmp_path, monkeypatch):
    if way: monkeypatch.setattr(fit, "_way", lambda training: way)
    estimator, answers = questions(X, y)[kind]
    steps = make_pipeline(ZScaler(), estimator).fit(X, answers)
    network, task, Z = estimator.model_, estimator.task_, steps[0].transform(X)
    def mean(z, head): return {"classes": lambda: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True),
                               "multilabel": lambda: 1 / (1 + np.exp(-z))}.get(head, lambda: z)().mean(axis=1)
    def check(out, z, raw, head):
        assert z.shape[1] == M
        np.testing.assert_allclose(out, mean(z, head), atol=1e-5)
        np.testing.assert_allclose(mean(raw[:, None], head), out, atol=1e-5)
    z, raw, out = (keras_module().tree.map_structure(array, model(Z)) for model in
                   (training_model(network, task.raw()), raw_model(network, task.raw()), network))
    if kind == "multitask":
        for name, head in (("state", "classes"), ("age", "value")): check(out[name], z[name], raw[name], head)
    else: check(out, z, raw, kind)
    bundle = make_bundle(steps, NAMES, X, "z-scores", label="answer")
    save_bundle(bundle, tmp_path/"bundle.zip")
    again = load_bundle(tmp_path/"bundle.zip")
    tree = keras_module().tree
    for a, b in zip(tree.flatten(bundle.outputs(X)), tree.flatten(again.outputs(X))):
        np.testing.assert_array_equal(a, b)
    if kind == "classes":
        for way in ("expected", "guided"):
            effect = gene_effect_pipeline(again, X, y, method=way)
            assert effect.shape == (3, GENES) and np.isfinite(effect).all() and effect.max() > 0

def test_scikit_learn_knows_members():
    estimator = CancerClassifier(members=4)
    assert estimator.get_params()["members"] == clone(estimator).members == 4

@pytest.mark.parametrize("members", [0, 2.5, -1, True, "8", None])
def test_members_is_a_whole_number(members, X, y):
    with pytest.raises(InputError, match="members is .*; a whole number of at least 1"):
        CancerClassifier("mlp", members=members).fit(X, y)

def test_half_precision(X, y):
    "Members in bfloat16 are averaged in float32."
    options = dict(epochs=2, random_state=0, members=2, model_params=dict(input_dropout=0))
    half, full = (CancerClassifier("mlp", precision=p, **options).fit(X, y).predict_proba(X)
                  for p in ("bfloat16", "float32"))
    assert half.dtype == np.float32 and 0 < np.abs(half - full).max() < .05
    np.testing.assert_allclose(half.sum(axis=1), 1, atol=1e-6)

PROGRAM = textwrap.dedent("""
    import numpy as np
    from cancer_dl.train.estimator import CancerClassifier, SurvivalRegressor
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 20)).astype("float32")
    y = np.where(X[:, 0] > 0, "a", "b")
    options = dict(epochs=20, members=3, random_state=0, learning_rate=.01)
    a, b = (CancerClassifier("mlp", **options).fit(X, y) for _ in range(2))
    assert (a.predict_proba(X) == b.predict_proba(X)).all() and a.score(X, y) > .9
    SurvivalRegressor("mlp", epochs=2, members=2).fit(X, np.column_stack([rng.exponential(size=60), np.ones(60)]))
    own = dict(members=3, member_settings={"dense": (4, 9), "learning_rate": (.001, .1)}, validation_fraction=.3)
    c, d = (CancerClassifier("mlp", epochs=5, random_state=0, **own).fit(X, y) for _ in range(2))
    assert (c.predict_proba(X) == d.predict_proba(X)).all() and c.settings_ == d.settings_
    from cancer_dl.interpret.saliency import attribute
    assert np.abs(attribute(a.model_, X)).max() > 0
    print("RESULT")
""")

@pytest.mark.slow  # test_backends has the classifier on JAX
def test_on_jax():
    pytest.importorskip("jax")
    environment = dict(os.environ, KERAS_BACKEND="jax")
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "RESULT" in done.stdout, done.stderr[-3000:]

def test_a_task_of_ones_own(X):
    "A task that says nothing of members: the mean of what stands before its last activation."
    from cancer_dl.train.task import TASKS, Task, register_task
    @register_task
    class Rates(Task):
        "Positive numbers, by a network that ends in softplus."
        kind = "rates_for_tests"
        def encode(self, y): return np.asarray(y, np.float32)
        def raw(self, prefix=""): return f"{prefix}before"
        def head(self, x, l2=0.0, prefix=""):
            x = make_layer("Dense", 1, name=f"{prefix}before")(x)
            return make_layer("Activation", "softplus", name=f"{prefix}rate")(x)
        def objective(self, training):
            ops = keras_module().ops
            def objective(y, z, mask=None):
                loss = (ops.softplus(z[:, 0]) - y)**2
                return loss, loss
            return objective
        def predict(self, outputs): return np.asarray(outputs)[:, 0]
    try:
        fitted = TaskEstimator("mlp", dict(dense=4), task="rates_for_tests", members=2, epochs=2)
        fitted.fit(X, np.abs(X[:, 0]))
        z = array(training_model(fitted.model_, "before")(X))
        np.testing.assert_allclose(fitted.predict(X), np.log1p(np.exp(z.mean(axis=1)[:, 0])), atol=1e-5)
    finally: del TASKS["rates_for_tests"]

def of_two_kinds(n=20, classes=4):
    return [build_model("mlp", n, classes, dense=5), build_model("genome_cnn", n, classes, filters=3, dense=4)]

def test_members_of_several_kinds_are_averaged(tmp_path, X):
    pair = of_two_kinds(X.shape[1], 3)
    model = ensemble([lambda: pair[0], lambda: pair[1]], 2)
    whole = array(model(X))
    np.testing.assert_allclose(whole, np.mean([array(one(X)) for one in pair], axis=0), atol=1e-6)
    assert members_of(model) == 2 and trained_parameters(model) == sum(map(trained_parameters, pair))
    model.save(tmp_path/"m.keras")
    again = keras_module().saving.load_model(tmp_path/"m.keras", safe_mode=True)
    np.testing.assert_array_equal(array(again(X)), whole)

def test_each_kind_takes_the_sizes_that_it_has(X):
    y = np.where(X[:, 0] > 0, "a", "b")
    fitted = CancerClassifier("mlp+genome_cnn", dict(filters=3, dense=4), members=3, epochs=2, random_state=0).fit(X, y)
    names = [layer.name for layer in fitted.model_.layers]
    assert sum(name.endswith("_convolution") for name in names) == 1  # the second of three members
    assert fitted.model_.get_layer("member_1_convolution").filters == 3
    assert {fitted.model_.get_layer(f"member_{k}_hidden").units for k in range(3)} == {4}
    with pytest.raises(InputError, match="no size of the network 'mlp\\+genome_cnn' called 'filter'"):
        CancerClassifier("mlp+genome_cnn", dict(filter=3), epochs=1).fit(X, y)

def test_each_kind_is_there_unless_a_number_is_given(X):
    fitted = CancerClassifier("gru+cnn1d", dict(units=3, filters=2, dense=0), epochs=1).fit(X, X[:, 0] > 0)
    assert fitted.settings_["members"] == 2

def test_kinds_that_cannot_be_members(X):
    with pytest.raises(InputError, match="see different kinds of input"): model_card("mlp+towers")
    with pytest.raises(InputError, match="no network called 'cnn9'"): model_card("mlp+cnn9")
    with pytest.raises(InputError, match="2 kinds of network need one each"):
        CancerClassifier("mlp+cnn1d", members=1, epochs=1).fit(X, X[:, 0] > 0)
    with pytest.raises(InputError, match="is several networks"): build_model("mlp+cnn1d", 20, 3)

# -- settings of their own

OWN = [{}, {"dense": 4, "learning_rate": .002, "weight_decay": .3}]

@pytest.mark.parametrize("options", [dict(schedule="cosine", warmup=1),
                                     pytest.param(dict(weight_decay=.05, clipnorm=.5), marks=pytest.mark.slow),
                                     pytest.param(dict(optimizer="sgd"), marks=pytest.mark.slow)])
def test_own_settings_train_as_alone(options, X, y):
    "Rate, decay and width of a member, with a schedule, in TensorFlow's fused step and in Keras' own."
    task, sizes = Classes().fit(y), dict(dense=6, dropout=0, input_dropout=0)
    shared = dict(epochs=4, batch_size=16, learning_rate=.01, patience=None, optimizer="adamw") | options
    numbers, mine = task.encode(y), {"learning_rate": .002, "weight_decay": .3}
    model, history = fit_network("mlp", SPEC, task, X, numbers, sizes, CheckedOptions(**shared), seed=5, members=2,
                                 own=OWN)
    with seeded_layers(5): _, one = (build_model("mlp", SPEC, task.head, **sizes | dict(dense=n)) for n in (6, 4))
    fit_existing(one, X, numbers, CheckedOptions(**shared | mine), seed=5, task=task)
    for layer in ("hidden", "logits"):
        for a, b in zip(model.get_layer(f"member_1_{layer}").get_weights(), one.get_layer(layer).get_weights()):
            np.testing.assert_allclose(a, b, atol=1e-5)
    assert history.kept is None

DRAWN = {"dense": (4, 9), "dropout": [0.0, .3], "learning_rate": (1e-3, 1e-1)}

@pytest.mark.parametrize("kind", [kind if kind == "classes" else pytest.param(kind, marks=pytest.mark.slow)
                                  for kind in KINDS])
def test_members_are_drawn_and_chosen(kind, X, y, tmp_path):
    "Their mean is no worse on the validation part than the best of them; what is left is an ordinary network."
    estimator, answers = questions(X, y)[kind]
    if kind == "multitask": estimator.set_params(task_weights="uncertainty")
    estimator.set_params(member_settings=DRAWN)
    train, held_out = np.arange(SAMPLES) < 70, np.arange(SAMPLES) >= 70
    rows = lambda part: answers[part] if isinstance(answers, np.ndarray) else answers.iloc[part]
    estimator.fit(X[train], rows(train), validation_data=(X[held_out], rows(held_out)))
    kept, task = estimator.settings_["members_kept"], estimator.task_
    assert members_of(estimator.model_, task.raw()) == len(kept) == len(estimator.history_.kept)
    assert f"{len(kept)} of {M} members kept" in repr(estimator.history_)
    assert estimator.settings_["members"] == M and len(estimator.settings_["members_drawn"]) == M
    tree, targets = keras_module().tree, task.encode(rows(held_out))
    each = tree.map_structure(array, training_model(estimator.model_, task.raw())(X[held_out]))
    if len(kept) == 1: each = tree.map_structure(lambda z: z[:, None], each)
    weight = np.ones(len(X[held_out]), "float32") * task.known(targets)
    losses = average_loss(task, CheckedOptions(), each, task.with_weights(targets, weight), weight)
    assert losses([list(range(len(kept)))])[0] <= losses([[k] for k in range(len(kept))]).min() + 1e-6
    if kind != "classes": return
    mean = np.mean([np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in each.swapaxes(0, 1)], axis=0)
    np.testing.assert_allclose(estimator.predict_proba(X[held_out]), mean, atol=1e-5)
    bundle = make_bundle(make_pipeline(ZScaler().fit(X), estimator), NAMES, X, "z-scores", label="answer")
    again = load_bundle(save_bundle(bundle, tmp_path/"bundle.zip"))
    np.testing.assert_array_equal(again.outputs(X), bundle.outputs(X))
    assert np.isfinite(gene_effect_pipeline(again, X, y, method="expected")).all()
    anew = estimator_of(again)
    assert checked_settings(anew.member_settings, "mlp") == checked_settings(DRAWN, "mlp") and anew.members == M

def plain_loss(task, model, X, targets):
    "Mean loss of a network on samples."
    z = keras_module().tree.map_structure(keras_module().ops.convert_to_tensor, raw_model(model, task.raw())(X))
    return array(task.objective(CheckedOptions(label_smoothing=0.0))(targets, z, None)[0]).mean()

@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_an_average(kind, X, y):
    "For every task it is the loss of the network that holds those members alone."
    estimator, answers = questions(X, y)[kind]
    if kind == "multitask": estimator.set_params(task_weights="uncertainty")
    task = estimator._task().fit(answers)
    networks = singles(1, lambda: build_model("linear", SPEC, task.head))
    model = ensemble([lambda network=network: network for network in networks], M, task.averaged())
    each, targets = training_model(model, task.raw())(X), task.encode(answers)
    losses = average_loss(task, CheckedOptions(label_smoothing=.2), keras_module().tree.map_structure(array, each),
                          targets, np.ones(SAMPLES, "float32"))
    for kept in ([1], [0, 2]):
        some = keep_members(model, networks, kept, task.averaged())
        np.testing.assert_allclose(losses([kept]), plain_loss(task, some, X, targets), rtol=1e-5)

def test_a_bad_draw_is_left_out_and_all_are_kept_without_validation(X):
    options = dict(epochs=25, members=2, random_state=0, learning_rate=.05, model_params=dict(dense=6, dropout=0))
    bad = CancerClassifier("mlp", member_settings={"learning_rate": [1e-9]}, validation_fraction=.3, **options)
    assert bad.fit(X, X[:, 0] > 0).settings_["members_kept"] == [0]
    assert members_of(bad.model_) == 1 and "logits" in {layer.name for layer in bad.model_.layers}
    everyone = clone(bad).set_params(validation_fraction=0, epochs=1).fit(X, X[:, 0] > 0)
    assert everyone.settings_["members_kept"] == [0, 1] and everyone.history_.kept is None
    assert "no validation part" in everyone.settings_["members_chosen_by"]

def test_draws_follow_from_the_seed():
    ranges = checked_settings(DRAWN | {"l2": (1e-6, 1e-2), "input_dropout": np.array([0, .2]),
                                       "weight_decay": (np.float32(.25), np.float32(.5))}, "mlp")
    drawn = draw_settings(ranges, "mlp", 40, 1)
    assert drawn[:4] == draw_settings(ranges, "mlp", 4, 1) != draw_settings(ranges, "mlp", 4, 2) and drawn[0] == {}
    assert {type(value) for own in drawn for value in own.values()} == {int, float}
    widths = [own["dense"] for own in drawn[1:]]
    assert set(map(type, widths)) == {int} and set(widths) == set(range(4, 10))
    assert 5 < sum(own["l2"] < 1e-4 for own in drawn[1:]) < 34  # half of them: the scale is logarithmic
    mixed = draw_settings(checked_settings({"filters": (2, 5), "dense": [3]}, "mlp+cnn1d"), "mlp+cnn1d", 4, 0)
    assert [sorted(own) for own in mixed] == [[], ["dense", "filters"], ["dense"], ["dense", "filters"]]

@pytest.mark.parametrize("settings, members, message", [
    ({"filters": (2, 8)}, 4, "no setting of a member of 'mlp' called 'filters'"),
    ({"epochs": [3, 4]}, 4, "called 'epochs'"), ({"dropout": []}, 4, "the list of 'dropout' is empty"),
    ({}, 4, "such as"), ([("dropout", .1)], 4, "such as"), ({"dropout": .3}, 4, "a list of choices"),
    ({"dropout": "half"}, 4, "a list of choices"),
    ({"dropout": (.5, .1)}, 4, "the lower one first"), ({"dense": (1, 2, 3)}, 4, "a range as a tuple"),
    ({"learning_rate": (0, .1)}, 4, "begin above 0"), ({"learning_rate": ["auto"]}, 4, "numbers above 0"),
    ({"weight_decay": [-1]}, 4, "numbers of at least 0"), ({"dropout": [.1]}, 1, "members is 1"),
    ({"dropout": [.1]}, 2.5, "a whole number")])
def test_member_settings_that_cannot_be(settings, members, message, X, y):
    with pytest.raises(InputError, match=message):
        CancerClassifier("mlp", members=members, member_settings=settings).fit(X, y)

@pytest.mark.parametrize("name, sizes", [("cnn1d", [dict(filters=3, dense=0), dict(filters=5, dense=4)]),
                                         pytest.param("gru", [dict(units=3), dict(units=5)], marks=pytest.mark.slow)])
def test_sizes_of_their_own(name, sizes, X, tmp_path):
    networks = [build_model(name, GENES, 3, **own) for own in sizes]
    model = ensemble([lambda network=network: network for network in networks], 2)
    mean = np.mean([array(one(X)) for one in networks], axis=0)
    np.testing.assert_allclose(array(model(X)), mean, atol=1e-6)
    again = keras_module().models.clone_model(training_model(model))
    again.set_weights(training_model(model).get_weights())
    np.testing.assert_allclose(array(again(X))[:, 1], array(logits_model(networks[1])(X)), atol=1e-5)
    np.testing.assert_allclose(array(keep_members(model, networks, [1])(X)), array(networks[1](X)), atol=1e-6)

@pytest.mark.parametrize("settings, words", [
    ({"dropout": (.2, 1.5)}, "dropout is 1.5; a share"), ({"dropout": ["high"]}, "dropout is 'high'"),
    ({"dense": (16., 64.)}, "dense is 16.0; a whole number"), ({"dense": [True]}, "a whole number"),
    ({"dense": [[32, 16]]}, "a whole number"), ({"weight_decay": [-1.]}, "of at least 0"),
    ("{dropout: [0.2]}", "must stand in quotes")])
def test_values_that_no_member_can_have(settings, words):
    X = np.zeros((20, 5), np.float32)
    with pytest.raises(InputError, match=words):
        CancerClassifier(members=3, member_settings=settings).fit(X, np.arange(20) % 2)

def test_validation_without_answers_is_refused():
    X, y = np.random.default_rng(0).normal(size=(30, 5)).astype("float32"), np.arange(30.)
    with pytest.raises(InputError, match="validation_data has no sample with an answer"):
        CancerRegressor(epochs=1).fit(X, y, validation_data=(X, np.full(30, np.nan)))
    with pytest.raises(InputError, match="validation_data: No sample has an event"):
        SurvivalRegressor(epochs=1).fit(X, np.c_[y + 1, y % 2],
                                        validation_data=(X, np.c_[y + 1, np.zeros(30)]))
