"""Chromosomes that fall silent while a network learns."""
import os
import subprocess
import sys
import textwrap

import anndata
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from cancer_dl.classify import default_pipeline, train_classifier
from cancer_dl.core import InputError, keras_module
from cancer_dl.data.freeze import freeze
from cancer_dl.data.views import AmplitudeViews, SampleSpan
from cancer_dl.interpret.saliency import attribute
from cancer_dl.models.blocks import without_silence
from cancer_dl.models.members import ensemble, members_of
from cancer_dl.models.zoo import build_model
from cancer_dl.train.bundle import _limits, load_bundle, model_card_text, save_bundle
from cancer_dl.train.estimator import CancerClassifier
from cancer_dl.train.tune import fixed_settings, search_space

SIZES = (6, 4, 5)
BINS = [f"chr{c}:{5 * i}-{5 * i + 5}Mb" for c, n in zip((1, 2, "X"), SIZES) for i in range(n)]

def array(x): return keras_module().ops.convert_to_numpy(x)

def profiles(n=150, seed=0):
    "Gains of one chromosome, by class, in tumours of their own purity."
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    of = np.repeat(np.arange(3), SIZES)
    X = (rng.normal(scale=.1, size=(n, 15)) + (of == y[:, None])) * rng.uniform(.1, 1, (n, 1))
    return X.astype("float32"), y

def cohort(n=150):
    X, y = profiles(n)
    rows = [f"T{i}" for i in range(n)]
    return anndata.AnnData(X, pd.DataFrame({"cancer_type": np.array(list("abc"))[y]}, rows), pd.DataFrame(index=BINS),
                           uns={"units": "log2 ratio"})

def silent_ones(model, X):
    "Inputs after the layer while training, as 0 and 1."
    keras = keras_module()
    layers = [layer for layer in model.layers if "chromosome_dropout" in layer.name]
    return [array(keras.Model(model.input, layer.output)(X, training=True)) for layer in layers]

def test_every_member_has_its_own_silent_ones():
    model = ensemble(lambda: build_model("mlp", 33, 3, dense=4, input_dropout=0, chromosomes=SIZES), 3, way="stacked")
    seen, = silent_ones(model, np.ones((2_000, 33), "float32"))
    assert seen.shape == (2_000, 3, 33) and set(np.unique(seen)) == {0, 1}
    assert (seen[..., 30:] == 1).all()  # two views, and three numbers of the whole sample
    np.testing.assert_array_equal(seen[..., :15], seen[..., 15:30])
    first = seen[..., [0, 6, 10]]
    np.testing.assert_array_equal(np.repeat(first, SIZES, axis=-1), seen[..., :15])
    assert abs(first.mean() - .8) < .01
    apart = np.corrcoef(first.reshape(2_000, 9).T) - np.eye(9)
    assert np.abs(apart).max() < .1  # members and chromosomes fall silent independently

def test_a_prediction_hears_all_of_them(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 33)).astype("float32")
    pair = [build_model(name, 33, 3, dense=4, input_dropout=0, chromosomes=SIZES, **sizes)
            for name, sizes in (("mlp", {}), ("genome_cnn", dict(places=15, filters=2)))]
    for one, name in zip(pair, ("mlp", "genome_cnn")):
        plain = build_model(name, 33, 3, dense=4, **({} if name == "mlp" else dict(places=15, filters=2)))
        for new, old in zip(plain.trainable_weights, one.trainable_weights): new.assign(old)
        np.testing.assert_array_equal(array(one(X)), array(plain(X)))
    model = ensemble([lambda: pair[0], lambda: pair[1]], 2)
    assert len(silent_ones(model, X)) == 2
    kept = without_silence(model)
    assert members_of(kept) == 2 and not silent_ones(kept, X)
    np.testing.assert_array_equal(array(kept(X)), array(model(X)))
    np.testing.assert_array_equal(array(kept(X, training=False)), array(model(X, training=False)))

def test_a_fitted_pipeline_is_read_in_a_new_process(tmp_path):
    X, y = profiles()
    fitted = default_pipeline("log2 ratio", 15, names=BINS, model="mlp+genome_cnn", epochs=1, random_state=0,
                              model_params=dict(dense=4, filters=2)).fit(X, y)
    joblib.dump((fitted, X), tmp_path/"fitted.joblib")
    code = f"import joblib; p, X = joblib.load({str(tmp_path/'fitted.joblib')!r}); print('RESULT', p.predict(X)[:9])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"RESULT {fitted.predict(X)[:9]}" in run.stdout, run.stderr[-2000:]

def test_the_network_that_is_kept_is_cut_anywhere():
    "As explanations do: it has one input, and each layer one output."
    X, y = profiles()
    fitted = default_pipeline("log2 ratio", 15, names=BINS, model="mlp+genome_cnn", epochs=1, random_state=0,
                              model_params=dict(dense=4, filters=2)).fit(X, y)
    model = fitted[-1].model_
    seen = fitted[:-1].transform(X)
    for layer in model.layers: keras_module().Model(model.inputs, layer.output)
    assert np.abs(attribute(model, seen)).max() > 0

def test_a_bundle_of_views_and_directions_is_not_too_large():
    steps = make_pipeline(AmplitudeViews(spread=0), SampleSpan())
    spec, arrays = freeze(steps.fit(np.random.default_rng(0).normal(size=(300, 555)).astype("float32")))
    facts = dict(features=["g"] * 555, preprocessing=spec, n_train=300, n_parameters=1)
    assert arrays["0.1.components_"].shape == (299, 2_778)
    assert _limits(facts)["arrays.npz"] > sum(a.nbytes for a in arrays.values())
    spec["steps"][1][1]["n_features_in"] = 10**9
    assert _limits(facts)["arrays.npz"] < 100 * 2**20

def test_bins_out_of_order_are_remarked():
    with pytest.warns(UserWarning, match="do not stand in its order"):
        default_pipeline("log2 ratio", 15, names=BINS[::-1], model="genome_cnn")

def test_silence_changes_what_is_learned():
    "The layer is there while training, though not in the network that is kept."
    X, y = profiles()
    sizes = dict(dense=8, input_dropout=0., dropout=0., chromosomes=SIZES)
    fit = lambda rate: CancerClassifier("mlp", {**sizes, "chromosome_dropout": rate}, members=1, epochs=20,
                                        random_state=0).fit(X, y).history_.logs["loss"][-1]
    assert fit(.8) > 2 * fit(0.)

def test_best_settings_do_not_take_the_chromosomes_along():
    made = default_pipeline("log2 ratio", 15, names=BINS, model="genome_cnn", model_params=dict(dense=8))
    assert fixed_settings(made) == dict(dense=8, input_dropout=0.)
    assert not {"chromosome_dropout", "pool", "places"} & set(search_space("mlp+genome_cnn", 3_000, 78))

def test_the_seed_is_kept():
    X, y = profiles()
    make = lambda seed: CancerClassifier("mlp+genome_cnn", dict(dense=8, filters=2, input_dropout=0., places=15,
                                                                chromosomes=SIZES, chromosome_dropout=.5),
                                         members=2, epochs=3, random_state=seed).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(make(1), make(1))
    assert np.abs(make(1) - make(2)).max() > 1e-3

def test_training_is_told_the_chromosomes_and_a_bundle_keeps_them(tmp_path):
    trained = train_classifier(cohort(), epochs=2, judge="holdout", refit=False, model="mlp+genome_cnn",
                               model_params=dict(dense=8, filters=2))
    params = trained.pipeline[-1].model_params
    assert params["chromosomes"] == SIZES and params["input_dropout"] == 0
    again = load_bundle(save_bundle(trained.bundle, tmp_path/"m.zip"))
    assert "from the values of 15 places in units" in model_card_text(again.facts)
    X = cohort().to_df()
    np.testing.assert_allclose(again.predict_proba(X), trained.bundle.predict_proba(X), atol=1e-6)
    assert members_of(again.model) > 1
    assert not any("chromosome_dropout" in layer.name for layer in again.model.layers)  # Keras alone can read it

def test_own_sizes_have_the_last_word():
    own = dict(input_dropout=.3, chromosomes=(15,), chromosome_dropout=.1)  # one group, as somebody wants it
    made = default_pipeline("log2 ratio", 15, names=BINS, model="genome_cnn", model_params=own)
    assert made[-1].model_params == own | {"places": 15}
    made = default_pipeline("log2 ratio", 15, names=None, model="genome_cnn")
    assert made[-1].model_params == {"places": 15}

@pytest.mark.parametrize("wrong, said", [
    ("46", "features on each was expected"), ((), "features on each was expected"), (5, "on each was expected"),
    ((3, 2.5), "on each was expected"), ((True, 3), "on each was expected"), ((9, 9), "hold 18 features; there are 15"),
    ((10**12,), "there are 15")])  # as a file from elsewhere might say
def test_chromosomes_that_cannot_be(wrong, said):
    with pytest.raises(InputError, match=said): build_model("mlp", 15, 3, chromosomes=wrong)
    with pytest.raises(InputError): build_model("genome_cnn", 15, 3, chromosomes=wrong)

PROGRAM = textwrap.dedent("""
    import numpy as np
    from cancer_dl.train.estimator import CancerClassifier
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    X = (rng.normal(scale=.3, size=(150, 15)) + (np.repeat(np.arange(3), (6, 4, 5)) == y[:, None])).astype("float32")
    sizes = dict(dense=16, input_dropout=0., chromosomes=(6, 4, 5))
    for name, more in (("mlp", {}), ("mlp+genome_cnn", dict(places=15, filters=4))):
        make = lambda: CancerClassifier(name, {**sizes, **more}, members=2, epochs=15, random_state=0).fit(X, y)
        first, second = make(), make()
        assert first.score(X, y) > .9, first.score(X, y)
        np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
        print("RESULT")
""")

@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.slow)])
def test_other_backends(backend):
    pytest.importorskip(backend)
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=dict(os.environ, KERAS_BACKEND=backend),
                         capture_output=True, text=True)
    assert run.stdout.count("RESULT") == 2, run.stderr[-3000:]
