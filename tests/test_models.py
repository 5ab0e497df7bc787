"""The networks: every gene is seen, whatever their number; they fit, are bundled and work on the other backends;
bad sizes are explained."""
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from cancer_dl.core import InputError, keras_module, set_seed
from cancer_dl.models.blocks import REGISTRY, blind_inputs, grid_shape, trained_parameters
from cancer_dl.models.zoo import model_sizes
from cancer_dl.models import zoo

# what a gene can reach does not depend on the number of filters; few are quick
THIN = {"cnn1d": {}, "cnn2d_vanilla": {"filters": 8}, "cnn2d_hybrid": {},
        "cnn2d_3layer": {"filters": (8, 8, 8), "dense": (32, 16)},
        "cnn2d_lyu": {"filters": (8, 8, 8), "dense": (32, 16)}, "mlp": {"dense": 64}}
GRIDS = [name for name in THIN if name.startswith("cnn2d")]

def build_model(*args, **sizes):
    "With seeded weights: a small network of ReLUs can be silent by chance."
    keras_module()
    set_seed(0)
    return zoo.build_model(*args, **sizes)

@pytest.mark.parametrize("name, n_features, n_outputs, n_parameters", [
    ("cnn1d", 7_100, 34, 211_618), ("cnn2d_vanilla", 7_091, 34, 1_420_866), ("cnn2d_hybrid", 7_100, 34, 362_306),
    ("cnn2d_hybrid", 7_091, 33, 362_177)])
def test_published_parameters(name, n_features, n_outputs, n_parameters):
    "7,091 genes, which is what the filter of the paper leaves, are padded to 7,100."
    assert trained_parameters(build_model(name, n_features, n_outputs, pool="published")) == n_parameters

@pytest.mark.parametrize("name, blind", [("cnn1d", 3_550), ("cnn2d_vanilla", 300), ("cnn2d_hybrid", 1_750),
                                         *(pytest.param(name, 0, marks=pytest.mark.slow)
                                           for name in ("cnn2d_3layer", "cnn2d_lyu"))])
def test_blind_inputs_of_the_published_network(name, blind):
    card = REGISTRY[name]
    published = {"pool": "published"} if "pool" in model_sizes(name) else {}
    assert blind_inputs(build_model(name, card.n_features, 3, **THIN[name], **published)).sum() == blind

@pytest.mark.parametrize("name", THIN)
@pytest.mark.parametrize("n", [1, 7, 211, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 31, 64, 120))])
def test_no_gene_is_blind_by_default(name, n):
    assert not blind_inputs(build_model(name, n, 2, **THIN[name])).any()

@pytest.mark.parametrize("sizes",
                         [{"kernel": 4, "stride": 3}, {"kernel": 20, "stride": 1},
                          {"kernel": 5, "stride": 5, "pool": "none"}, {"shape": (1, 150)}, {"shape": (150, 1)}])
def test_no_gene_is_blind_with_other_kernels(sizes):
    assert not blind_inputs(build_model("cnn2d_vanilla", 150, 2, filters=4, **sizes)).any()

def test_one_kernel_beyond_the_grid_is_the_whole_grid():
    "The published network too must build where the kernel is larger than the grid."
    model = build_model("cnn2d_vanilla", 12, 2, kernel=10, pool="published")
    assert model.get_layer("convolution").output.shape[1:3] == (1, 1) and not blind_inputs(model).any()

@pytest.mark.parametrize("n", [1, 2, 3, 50, 577, 7_091, 20_531])
@pytest.mark.parametrize("like", [(100, 71), (102, 102)])
def test_grids_waste_less_than_a_row(n, like):
    rows, columns = grid_shape(n, like)
    assert 0 <= rows * columns - n < columns
    if n > 500: assert abs(columns / rows - like[1] / like[0]) < .06

def test_genes_fill_the_grid_row_by_row():
    keras = keras_module()
    model = build_model("cnn2d_hybrid", 10, 2, shape=(3, 4))
    X = np.arange(1, 11, dtype="float32")[None]
    grid = keras.ops.convert_to_numpy(keras.Model(model.input, model.get_layer("grid").output)(X))
    np.testing.assert_array_equal(grid[0], [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0]])

@pytest.mark.parametrize("name", [*GRIDS, "mlp"])
def test_penalty_and_dropout_reach_the_network(name):
    model = build_model(name, 80, 3, l2=.01, dropout=.5, **THIN[name])
    assert len(model.losses) == sum(hasattr(layer, "kernel") for layer in model.layers)
    assert any(layer.__class__.__name__ == "Dropout" and layer.rate == .5 for layer in model.layers)

def test_no_activation_between_the_dense_layers_of_lyu():
    kinds = lambda name: [layer.__class__.__name__ for layer in build_model(name, 100, 3, **THIN[name]).layers
                          if layer.name.startswith("hidden")]
    assert kinds("cnn2d_lyu") == ["Dense", "Dense"]
    assert kinds("cnn2d_3layer") == ["Dense", "ReLU", "Dense", "ReLU"]

@pytest.mark.parametrize("name, sizes, words", [
    ("cnn2d_vanilla", {"pool": "maximum"}, "Did you mean max"),
    ("cnn2d_hybrid", {"pool": "maximum"}, "Did you mean max"),
    ("cnn2d_vanilla", {"stride": -1}, "at least 1"), ("cnn2d_hybrid", {"filters": 0}, "at least 1"),
    ("cnn2d_3layer", {"filters": 64}, "three numbers"), ("cnn2d_lyu", {"filters": (64, 128)}, "three numbers"),
    ("cnn2d_3layer", {"shape": (9, 9)}, "100 genes do not fit on a grid of 9 x 9"),
    ("cnn2d_hybrid", {"shape": (0, 9)}, "do not fit"),
    ("cnn2d_3layer", {"pool": "published"}, "no size of the network"),
    ("mlp", {"dense": 0}, "at least one hidden unit"), ("mlp", {"dense": 48.5}, "a whole number was expected"),
    ("mlp", {"dropout": 1.5}, "below 1 was expected"), ("cnn1d", {"l2": -1}, "at least 0 was expected")])
def test_bad_sizes_are_explained(name, sizes, words):
    with pytest.raises(InputError, match=words): build_model(name, 100, 3, **sizes)

PROGRAM = textwrap.dedent("""
    import sys, tempfile
    import numpy as np
    from sklearn.pipeline import make_pipeline
    from cancer_dl.core import backend_name
    from cancer_dl.data.layout import GridLayout
    from cancer_dl.train.estimator import CancerClassifier

    assert backend_name() == sys.argv[1]
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    X = (rng.normal(size=(150, 100)) + 2 * y[:, None] * (np.arange(100) % 4 == 0)).astype("float32")
    for name, sizes in THIN.items():
        make = lambda: CancerClassifier(name, model_params=sizes, epochs=25, batch_size=32, patience=None, members=1,
                                        random_state=0)
        accuracy = make().fit(X, y).score(X, y)
        assert accuracy > .9, (name, accuracy)
        if name.startswith("cnn2d"):
            pipeline = make_pipeline(GridLayout((12, 9), "correlation"),
                                     make().set_params(model_params=dict(sizes, shape=(12, 9)), epochs=1))
            assert pipeline.fit(X, y).predict_proba(X).shape == (150, 3)
        print("RESULT", name, accuracy)
""")

@pytest.mark.slow  # the chapter on the zoo trains each of them in its contract
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_networks_learn_on(backend):
    pytest.importorskip(backend)
    run = subprocess.run([sys.executable, "-c", f"THIN = {THIN!r}\n{PROGRAM}", backend],
                         env=dict(os.environ, KERAS_BACKEND=backend), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("RESULT") == len(THIN)

def test_inputs_are_dropped_while_training_only():
    keras = keras_module()
    model, X = build_model("mlp", 50, 3, input_dropout=.5), np.ones((400, 50), "float32")
    layer = keras.Model(model.input, model.get_layer("input_dropout").output)
    seen = keras.ops.convert_to_numpy(layer(X, training=True))
    assert set(np.unique(seen)) == {0, 2} and abs((seen == 0).mean() - .5) < .02
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(X, training=False)), X)
    assert not any(l.name == "input_dropout" for l in build_model("mlp", 50, 3, input_dropout=0).layers)

def test_a_bundle_keeps_them(tmp_path):
    "Convolutions, batch normalisation and spatial dropout pass the check of what a bundle may hold."
    from cancer_dl.classify import evaluate_bundle, train_classifier
    from cancer_dl.data.simulate import simulate_cohort
    from cancer_dl.train.bundle import load_bundle, save_bundle
    cohort = simulate_cohort(n_samples=150, n_genes=80, n_classes=3, seed=0)
    for name in ("cnn2d_hybrid", "cnn2d_lyu", "mlp"):
        trained = train_classifier(cohort, epochs=2, judge="holdout", refit=False, model=name, model_params=THIN[name])
        again = load_bundle(save_bundle(trained.bundle, tmp_path/f"{name}.zip"))
        test = cohort[cohort.obs_names.isin(trained.evaluation.data.samples)]
        expected = trained.bundle.calibration.apply(trained.evaluation.probability)
        np.testing.assert_allclose(evaluate_bundle(again, test)[0].probability, expected, atol=1e-6)

FOREIGN = textwrap.dedent("""
    import json, sys
    import numpy as np
    from cancer_dl.core import keras_module
    from cancer_dl.models.zoo import build_model, check_model
    from cancer_dl.train.estimator import CancerClassifier

    keras = keras_module()
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = (rng.normal(size=(60, 70)) + 2 * y[:, None] * (np.arange(70) % 4 == 0)).astype("float32")
    found = {"config": [keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon()]}
    for name, sizes in THIN.items():
        keras.utils.set_random_seed(0)
        model = build_model(name, 70, 3, **sizes)
        built = [[l.name, l.dtype_policy.name, getattr(l, "data_format", None), list(l.output.shape[1:])]
                 for l in model.layers]
        trained = CancerClassifier(name, model_params=sizes, epochs=3, batch_size=16, patience=None,
                                   random_state=0).fit(X, y)
        found[name] = [built, keras.ops.convert_to_numpy(model(X[:5])).tolist(), trained.predict_proba(X[:5]).tolist()]
    print("RESULT" + json.dumps(found))
""")

@pytest.fixture(scope="module")
def networks_under():
    "What is built, predicted and trained under a keras.json; each is computed once."
    known = {}
    def under(folder, **settings):
        key = repr(settings)
        if key not in known:
            home = folder/f"home{len(known)}"
            (home/".keras").mkdir(parents=True)
            if settings: (home/".keras"/"keras.json").write_text(json.dumps(settings))
            environment = {k: v for k, v in os.environ.items() if k not in ("KERAS_HOME", "KERAS_BACKEND")}
            run = subprocess.run([sys.executable, "-c", f"THIN = {THIN!r}\n{FOREIGN}"],
                                 env=dict(environment, HOME=str(home), KERAS_HOME=str(home/".keras")),
                                 capture_output=True, text=True)
            assert run.returncode == 0, run.stderr[-3000:]
            known[key] = json.loads(run.stdout.partition("RESULT")[2])
        return known[key]
    return under

FOREIGN_SETTINGS = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 1e-3, "backend": "jax"}

@pytest.mark.slow  # the next test asks the same of networks in this process
@pytest.mark.parametrize("settings", [FOREIGN_SETTINGS, {"floatx": "float64"}], ids=str)
def test_a_keras_json_changes_no_network(networks_under, tmp_path, settings):
    plain, found = networks_under(tmp_path/"plain"), networks_under(tmp_path/"foreign", **settings)
    assert found["config"] == ["float32", "channels_last", 1e-7]
    for name in THIN:
        assert found[name][0] == plain[name][0]
        for a, b in zip(found[name][1:], plain[name][1:]): np.testing.assert_allclose(a, b, atol=1e-6)

def test_layers_state_their_format_where_keras_says_otherwise():
    "Whoever imported Keras first may have set other defaults: the layers do not care."
    config = keras_module().config
    before = config.image_data_format(), config.dtype_policy()
    expected = {name: [l.output.shape for l in build_model(name, 70, 3, **THIN[name]).layers] for name in THIN}
    try:
        config.set_image_data_format("channels_first")
        config.set_dtype_policy("float16")
        for name in THIN:
            model = build_model(name, 70, 3, **THIN[name])
            assert [l.output.shape for l in model.layers] == expected[name]
            assert {l.dtype for l in model.layers} == {"float32"} and {w.dtype for w in model.weights} == {"float32"}
            zoo._check_stated(model)
        config.set_dtype_policy("mixed_float16")
        assert build_model("cnn1d", 70, 3).get_layer("hidden").compute_dtype == "float16"
    finally:
        config.set_image_data_format(before[0])
        config.set_dtype_policy(before[1])

def test_the_contract_notices_a_layer_that_states_nothing():
    keras = keras_module()
    inputs = keras.Input((8, 4))
    with pytest.raises(AssertionError, match="data format"):
        zoo._check_stated(keras.Model(inputs, keras.layers.MaxPooling1D(2, data_format="channels_first")(inputs)))
