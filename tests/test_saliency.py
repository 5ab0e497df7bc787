"""Attribution: against captum, finite differences and shap; every form of ReLU; all backends;
a network is never changed."""
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from sklearn.decomposition import KernelPCA
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline

from cancer_dl.core import InputError, keras_module
from cancer_dl.data.layout import GridLayout
from cancer_dl.data.preprocess import ExpressionFilter, Padder, PCAReducer, ZScaler
from cancer_dl.interpret.saliency import (attribute, attribute_pipeline, gene_effect, gene_effect_of_scores,
                                          gene_effect_pipeline, gene_places, output_network, predicted_classes)
from cancer_dl.models.blocks import class_probabilities, logits_model
from cancer_dl.models.zoo import build_model
from cancer_dl.train.bundle import load_bundle, make_bundle, save_bundle
from cancer_dl.train.estimator import CancerClassifier

keras = keras_module()
layers = keras.layers

@pytest.fixture
def X(): return np.random.default_rng(0).normal(size=(30, 40)).astype("float32")

def with_relu(form):
    "A network of 40 inputs and 3 classes whose ReLUs are written in one of many ways; the weights do not depend on it."
    keras.utils.set_random_seed(7)
    inputs = keras.Input((40,))
    x, relu = inputs, form if callable(form) else None
    def dense(units, x):
        if form == "activation": return layers.Dense(units, activation="relu")(x)
        if form == "wrapped":
            return layers.TimeDistributed(layers.Dense(units,
                                                       activation="relu"))(layers.Reshape((1, x.shape[-1]))(x))[:, 0]
        return relu(layers.Dense(units)(x))
    return keras.Model(inputs, class_probabilities(dense(9, dense(12, x)), 3))

FORMS = {"layer": lambda x: layers.ReLU()(x), "activation": "activation",
         "activation layer": lambda x: layers.Activation("relu")(x),
         "operation": lambda x: keras.ops.relu(x), "function": lambda x: keras.activations.relu(x),
         "wrapped": "wrapped", "nested": lambda x: keras.Sequential([layers.ReLU()])(x)}

def guided_by_hand(model, X, classes):
    "Guided backpropagation of two dense layers and logits, in numpy."
    W1, b1, W2, b2, W3, _ = model.get_weights()
    u = X @ W1 + b1
    v = np.maximum(u, 0) @ W2 + b2
    g = np.maximum(W3.T[classes], 0) * (v > 0)
    return (np.maximum(g @ W2.T, 0) * (u > 0)) @ W1.T

@pytest.mark.parametrize("form", FORMS)
def test_guided_finds_every_form_of_relu(form, X):
    model, classes = with_relu(FORMS[form]), np.arange(30) % 3
    before = model.get_weights(), model.to_json()
    np.testing.assert_allclose(attribute(model, X, classes, "guided", batch_size=8),
                               guided_by_hand(model, X, classes), atol=1e-6)
    after = model.get_weights(), model.to_json()
    assert before[1] == after[1] and all(np.array_equal(a, b) for a, b in zip(before[0], after[0]))

def test_leaky_relu_is_left_alone_and_relu6_is_cut_at_both_ends():
    inputs = keras.Input((3,))
    leaky = keras.Model(inputs, layers.Dense(2, name="logits")(layers.LeakyReLU(.1)(inputs)))
    x = np.array([[-1, 5, 8]], "float32")
    np.testing.assert_array_equal(attribute(leaky, x, 0, "guided"), attribute(leaky, x, 0, "gradient"))
    for six in (layers.ReLU(max_value=6), layers.Activation("relu6")):
        model = keras.Model(inputs, layers.Dense(1, name="logits")(six(inputs)))
        model.layers[-1].set_weights([np.ones((3, 1)), np.zeros(1)])
        np.testing.assert_array_equal(attribute(model, x, 0, "guided"), [[0, 1, 0]])

def test_any_layer_type(X):
    """Recurrent, convolutional, normalising and attending layers:
    the gradient agrees with finite differences, and guided is finite."""
    inputs = keras.Input((40,))
    x = layers.Reshape((10, 4))(inputs)
    x = layers.Conv1D(6, 3, activation="relu", padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.Bidirectional(layers.GRU(4, activation="relu", return_sequences=True))(x)
    x = layers.LSTM(5)(layers.LayerNormalization()(x))
    model = keras.Model(inputs, class_probabilities(layers.Dropout(.5)(x), 3))
    classes, step = np.arange(30) % 3, 1e-2
    found = attribute(model, X, classes, "gradient")
    z = lambda X: keras.ops.convert_to_numpy(output_network(model)(X)).astype(float)[np.arange(30), classes]
    direction = np.random.default_rng(1).normal(size=X.shape).astype("float32")
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    expected = (z(X + step * direction) - z(X - step * direction)) / (2 * step)
    error = np.abs((found * direction).sum(axis=1) - expected)
    assert np.median(error) < 1e-3 * np.abs(found).max() + 1e-4
    guided = attribute(model, X, classes, "guided")
    assert np.isfinite(guided).all() and not np.allclose(guided, found)

def test_sequential_with_softmax_inside_the_last_layer(X):
    model = keras.Sequential([keras.Input((40,)), layers.Dense(8, activation="relu"),
                              layers.Dense(3, activation="softmax", name="head")])
    with pytest.raises(InputError, match="no layer named 'logits'"): attribute(model, X)
    a, b = (attribute(model, X, output=o) for o in ("probabilities", "head"))
    np.testing.assert_array_equal(a, b)
    assert a.any() and a.dtype == np.float32

@pytest.mark.parametrize("pool", [pytest.param("max", marks=pytest.mark.slow), "published"])
def test_the_batch_size_changes_nothing(pool):
    model, X = build_model("cnn1d", 60, 4, pool=pool), np.random.default_rng(0).normal(size=(23, 60)).astype("float32")
    y = np.arange(23) % 4
    for name in ("gradient", "guided", "gradient_x_input", "integrated", "smoothgrad", "knockout"):
        options = dict(integrated=dict(steps=4), smoothgrad=dict(draws=3), knockout=dict(chunk=7)).get(name, {})
        one, all_at_once = (attribute(model, X, y, name, batch_size=b, **options) for b in (5, 100))
        np.testing.assert_allclose(one, all_at_once, atol=1e-6, err_msg=name)
        for part in ("positive", "absolute"):
            effect = gene_effect(model, X, y, method=name, batch_size=9, part=part, **options)
            np.testing.assert_allclose(effect, gene_effect_of_scores(one, y, 4, part), atol=1e-5, err_msg=name)
        # windows 1, 3, 5 of 8, and the second half of 7 x 8 + 4; knock-out subtracts two rounded outputs
        if pool == "published":
            assert np.isclose(one, 0, atol=1e-6 if name == "knockout" else 0).all(axis=0).sum() == 28

def test_seeds_decide_about_noise(X):
    model = with_relu(FORMS["layer"])
    a, b, c = (attribute(model, X, 0, "smoothgrad", draws=2, seed=s) for s in (1, 1, 2))
    assert (a == b).all() and (a != c).any()

def test_integrated_gradients_add_up(X):
    model, baseline = with_relu(FORMS["activation"]), np.linspace(-1, 1, 40).astype("float32")
    classes = predicted_classes(model, X)
    z = lambda X: keras.ops.convert_to_numpy(output_network(model)(X))
    change = z(X)[np.arange(30), classes] - z(baseline[None])[0, classes]
    np.testing.assert_allclose(attribute(model, X, None, "integrated", baseline=baseline, steps=1000).sum(axis=1),
                               change, atol=5e-3)

def test_knockout_is_what_it_says(X):
    model, X = with_relu(FORMS["layer"]), X[:3]
    found = attribute(model, X, 1, "knockout", baseline=.5, genes=[3, 39], chunk=1)
    z = lambda X: keras.ops.convert_to_numpy(output_network(model)(X))[:, 1]
    for gene in (3, 39):
        out = X.copy()
        out[:, gene] = .5
        np.testing.assert_allclose(found[:, gene], z(X) - z(out), atol=1e-6)
    assert not np.delete(found, [3, 39], axis=1).any()
    with pytest.raises(InputError, match="indices from 0 to 39"): attribute(model, X, 1, "knockout", genes=[40])

def test_the_probe_follows_training_and_dies_with_the_network(X):
    import gc
    import weakref
    model, classes = with_relu(FORMS["layer"]), np.arange(30) % 3
    attribute(model, X, classes)
    model.set_weights([-w for w in model.get_weights()])
    np.testing.assert_allclose(attribute(model, X, classes), guided_by_hand(model, X, classes), atol=1e-6)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None

def test_classes_without_samples_and_empty_input(X):
    model = with_relu(FORMS["layer"])
    effect = gene_effect(model, X, np.zeros(30, int), n_classes=5)
    assert effect.shape == (5, 40) and effect[0].max() == 1 and not effect[1:].any()
    assert attribute(model, X[:0]).shape == (0, 40)

@pytest.mark.parametrize("arguments, message", [
    (dict(classes=["a"] * 30), "classes must be numbers"), (dict(classes=[0, 1]), "one class to each"),
    (dict(classes=3), "has 3 outputs"), (dict(classes="predictd"), "Did you mean predicted"),
    (dict(method="guidde"), "Did you mean guided"), (dict(steps=5), "option of the method 'guided'"),
    (dict(method="integrated", baseline=np.zeros(3)), "baseline has shape"),
    (dict(method="integrated", steps=0), "at least 1"), (dict(output="logit"), "Did you mean logits")])
def test_bad_arguments_are_explained(arguments, message, X):
    with pytest.raises(InputError, match=message): attribute(with_relu(FORMS["layer"]), X, **arguments)

def test_bad_input_is_explained(X):
    model = with_relu(FORMS["layer"])
    X[7, 2] = np.inf
    with pytest.raises(InputError, match="in row 7"): attribute(model, X, 0)
    with pytest.raises(InputError, match=r"takes \(n_samples, 40\)"): gene_effect(model, X[:, 1:], np.zeros(30, int))
    with pytest.raises(InputError, match="needs numbers"): attribute(model, X.astype(str), 0)

def test_through_pipelines():
    rng = np.random.default_rng(0)
    X, y = np.abs(rng.normal(2, 2, size=(80, 50))).astype("float32"), np.array(["BRCA", "LUAD"])[np.arange(80) % 2]
    X[:, ::5] = 0  # dropped by the filter
    fit = lambda *steps: make_pipeline(*steps, CancerClassifier(epochs=2, random_state=0)).fit(X, y)
    plain, moved = (fit(ExpressionFilter(), ZScaler()),
                    fit(ExpressionFilter(), ZScaler(), GridLayout(order="correlation"), Padder(multiple_of=16)))
    for pipeline in (plain, moved):
        scores, effect = attribute_pipeline(pipeline, X, y), gene_effect_pipeline(pipeline, X, y)
        assert scores.shape == X.shape and effect.shape == (2, 50) and effect.max() == 1
        np.testing.assert_array_equal(np.flatnonzero(~scores.any(axis=0)), np.arange(0, 50, 5))
    places, n = gene_places(moved)
    inputs = moved[:-1].transform(X)
    np.testing.assert_allclose(inputs[:, places >= 0],
                               plain[:-1].transform(X)[:, np.searchsorted(gene_places(plain)[0], places[places >= 0])],
                               atol=1e-6)
    assert (inputs[:, places < 0] == 0).all() and n == 50
    with pytest.raises(InputError, match="not linear"): attribute_pipeline(fit(KernelPCA(5, kernel="rbf")), X)
    with pytest.raises(InputError, match="not trained on the classes COAD"): attribute_pipeline(plain, X, "COAD")
    with pytest.raises(InputError, match="fitted CancerClassifier"): attribute_pipeline(make_pipeline(SelectKBest()), X)
    alone = fit()
    np.testing.assert_array_equal(attribute_pipeline(alone, X, y), attribute_pipeline(alone[-1], X, y))

def test_linear_steps_become_the_first_layer():
    rng = np.random.default_rng(0)
    X, y = rng.normal(2, 2, size=(80, 50)).astype("float32"), np.arange(80) % 2
    fitted = make_pipeline(ZScaler(), PCAReducer(12), ZScaler(), CancerClassifier(epochs=3, random_state=0)).fit(X, y)
    _, *mixing, classifier = [step for _, step in fitted.steps]
    by_parts = attribute(classifier.model_, mixing[1].transform(mixing[0].transform(Z := fitted[0].transform(X))),
                         y, "gradient")
    through = by_parts / mixing[1].scale_ @ mixing[0].components_  # the chain rule, by hand
    np.testing.assert_allclose(attribute_pipeline(fitted, X, y, method="gradient"), through, atol=1e-5)
    total = attribute_pipeline(fitted, X, y, method="integrated", baseline=0, steps=400).sum(axis=1)
    logits = lambda Z: keras.ops.convert_to_numpy(logits_model(classifier.model_)(mixing[1].transform(
        mixing[0].transform(Z))))
    np.testing.assert_allclose(total, (logits(Z) - logits(0 * Z))[np.arange(80), y], atol=.02)

def test_expected_gradients_agree_with_integrated_ones(X):
    model, y = with_relu(FORMS["layer"]), np.arange(30) % 3
    zeros = np.zeros((2, *X.shape[1:]), "float32")
    np.testing.assert_allclose(attribute(model, X, y, "expected", background=zeros, draws=800),
                               attribute(model, X, y, "integrated"), atol=.15)
    np.testing.assert_allclose(attribute(model, X, y, "expected", batch_size=7),
                               attribute(model, X, y, "expected", batch_size=30), atol=1e-6)
    with pytest.raises(InputError, match="background has shape"):
        attribute(model, X, y, "expected", background=zeros[:, 1:])

def test_the_net_effect_is_the_positive_part_of_the_mean(X):
    model, y = with_relu(FORMS["layer"]), np.arange(30) % 3
    for name in ("gradient", "guided", "gradient_x_input", "integrated"):
        scores = attribute(model, X, y, name)
        by_hand = np.maximum([scores[y == k].mean(axis=0) for k in range(3)], 0)
        np.testing.assert_allclose(gene_effect(model, X, y, method=name, part="net", scale=False), by_hand, atol=1e-5)

def test_names_of_a_frame_and_a_bundle_that_was_saved(tmp_path):
    import pandas as pd
    rng = np.random.default_rng(0)
    X, y = np.abs(rng.normal(2, 2, size=(60, 20))).astype("float32"), np.arange(60) % 3
    X[:, 3] = 0
    frame = pd.DataFrame(X, columns=[f"G{i}" for i in range(20)])
    fitted = make_pipeline(ExpressionFilter(), ZScaler(), CancerClassifier(epochs=1, random_state=0)).fit(frame, y)
    scores = attribute_pipeline(fitted, frame, y)
    bundle = load_bundle(save_bundle(make_bundle(fitted, frame.columns, X, "log2(FPKM+1)"), tmp_path/"bundle.zip"))
    kept = [frame.columns.get_loc(g) for g in bundle.features]
    np.testing.assert_allclose(attribute_pipeline(bundle, X[:, kept], y), scores[:, kept], atol=1e-6)
    assert kept == [i for i in range(20) if i != 3] and not scores[:, 3].any()
    np.testing.assert_allclose(gene_effect_pipeline(bundle, X[:, kept], y),
                               gene_effect_pipeline(fitted, frame, y)[:, kept], atol=1e-5)

def test_shap_is_optional(monkeypatch, X):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(InputError, match="pip install shap"): attribute(with_relu(FORMS["layer"]), X, 0, "shap")

def test_shap_agrees_with_integrated_gradients(X):
    "Against one reference, expected gradients are integrated gradients with random steps."
    pytest.importorskip("shap")
    model, X = with_relu(FORMS["layer"]), X[:5]
    found, exact = (attribute(model, X, 1, "shap", draws=2000, batch_size=3),
                    attribute(model, X, 1, "integrated", steps=300))
    assert np.abs(found - exact).max() < .1 * np.abs(exact).max()

def test_guided_equals_captum(X):
    torch, captum = pytest.importorskip("torch"), pytest.importorskip("captum.attr")
    inputs = keras.Input((40,))
    x = layers.ReLU()(layers.Conv1D(5, 4, strides=4)(layers.Reshape((40, 1))(inputs)))
    x = layers.Dense(11, activation="relu")(layers.Flatten()(layers.MaxPooling1D(2)(x)))
    model = keras.Model(inputs, class_probabilities(x, 3))
    K, k, W1, b1, W2, b2 = map(torch.tensor, model.get_weights())
    class Flat(torch.nn.Module):
        def forward(self, x): return x.transpose(1, 2).flatten(1)  # Keras flattens channels last
    convolution, first, second = torch.nn.Conv1d(1, 5, 4, stride=4), torch.nn.Linear(25, 11), torch.nn.Linear(11, 3)
    for layer, weight, bias in ((convolution, K.permute(2, 1, 0), k), (first, W1.T, b1), (second, W2.T, b2)):
        layer.weight.data, layer.bias.data = weight.contiguous(), bias
    twin = torch.nn.Sequential(torch.nn.Unflatten(1, (1, 40)), convolution, torch.nn.ReLU(), torch.nn.MaxPool1d(2),
                               Flat(), first, torch.nn.ReLU(), second)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(output_network(model)(X)),
                               twin(torch.tensor(X)).detach(), atol=1e-5)
    classes = np.arange(30) % 3
    for ours, theirs in (("guided", captum.GuidedBackprop), ("gradient", captum.Saliency)):
        options = dict(abs=False) if ours == "gradient" else {}
        expected = theirs(twin).attribute(torch.tensor(X, requires_grad=True), target=torch.tensor(classes),
                                          **options).detach().numpy()
        assert np.abs(expected).max() > .01
        np.testing.assert_allclose(attribute(model, X, classes, ours), expected, atol=1e-5)

PROGRAM = textwrap.dedent("""
    import json, sys
    import numpy as np
    from cancer_dl.core import keras_module
    from cancer_dl.interpret.saliency import attribute, gene_effect
    from cancer_dl.models.blocks import class_probabilities, logits_model
    keras, rng = keras_module(), np.random.default_rng(0)
    assert keras.backend.backend() == sys.argv[1]
    inputs = keras.Input((24,))
    x = keras.layers.ReLU()(keras.layers.Dense(5, activation="relu")(keras.layers.Reshape((6, 4))(inputs)))
    x = keras.layers.LSTM(4, activation="relu")(keras.layers.MaxPooling1D(2)(x))
    model = keras.Model(inputs, class_probabilities(keras.ops.relu(x + .1), 3))
    model.set_weights([rng.normal(size=w.shape, scale=.5) for w in model.get_weights()])
    X, y = rng.normal(size=(11, 24)), rng.integers(0, 3, 11)
    small = dict(integrated=dict(steps=3), smoothgrad=dict(draws=2))
    out = {m: attribute(model, X, y, m, batch_size=4, **small.get(m, {})).tolist()
           for m in ("gradient", "guided", "gradient_x_input", "integrated", "smoothgrad", "knockout")}
    out["effect"] = gene_effect(model, X, y, batch_size=4).tolist()
    out["predicted"] = attribute(model, X).tolist()
    print("RESULT", json.dumps(out))
""")

def on(backend):
    pytest.importorskip(backend)
    run = subprocess.run([sys.executable, "-c", PROGRAM, backend],
                         env=dict(os.environ, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3"),
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.split("RESULT ")[1])

@pytest.fixture(scope="module")
def reference(): return on("tensorflow")

@pytest.mark.slow  # other tests have the backend in use, against finite differences
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree(backend, reference):
    found = on(backend)
    assert not np.allclose(reference["gradient"], reference["guided"])
    for name, scores in reference.items(): np.testing.assert_allclose(found[name], scores, atol=1e-5, err_msg=name)

@pytest.mark.slow
def test_the_first_import_needs_no_keras():
    "A fitted network is made of scikit-learn's steps, so that is there; Keras, which takes seconds, is not."
    code = ("import sys, cancer_dl.interpret.saliency; "
            "print([m for m in ('keras', 'tensorflow', 'jax') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=True).stdout.strip() == "[]"
