"""Networks that read steps: masks change nothing, order matters to them alone, gradients are true, presets keep their
numbers, and copy number comes in genome order through the whole pipeline."""
import os
import subprocess
import sys
import textwrap

import anndata
import numpy as np
import pandas as pd
import pytest

from cancer_dl.classify import train_classifier
from cancer_dl.core import InputError, keras_module, set_seed
from cancer_dl.data.genome import GenomeOrder, genome_order, genome_places
from cancer_dl.data.inputs import Tokens
from cancer_dl.interpret.saliency import attribute, gene_effect_pipeline
from cancer_dl.models.blocks import BlockSpec, raw_model, trained_parameters
from cancer_dl.models.recurrent import PRESETS, preset
from cancer_dl.models.zoo import build_model, suited_settings
from cancer_dl.train.bundle import _load_network, load_bundle, save_bundle
from cancer_dl.train.estimator import CancerClassifier

NAMES = ("lstm", "gru", "bilstm", "lstm_attention", "cnn_rnn", "cnn_attention", "transformer")
SIZES = dict(embed=6, dense=0)

def outputs(model, X):
    return keras_module().ops.convert_to_numpy(model(X))

def seeded(name, inputs, n_outputs=3, **sizes):
    keras_module()
    set_seed(0)
    return build_model(name, inputs, n_outputs, **SIZES | sizes)

# -- masks

@pytest.fixture(scope="module")
def lengths():
    "Sequences of unequal lengths with two channels, and their masks, filled up to 8 steps."
    rng = np.random.default_rng(0)
    n = np.array([8, 1, 5, 3])
    mask = (np.arange(8) < n[:, None]).astype("int32")
    return rng.normal(size=(4, 8, 2)).astype("float32"), mask

QUICK = ("gru", "cnn_rnn", "transformer")

@pytest.mark.parametrize("name, pool", [(name, "auto") if name in QUICK else
                                        pytest.param(name, "last" if name == "lstm" else "auto", marks=pytest.mark.slow)
                                        for name in NAMES])
def test_values_in_masked_steps_change_nothing(name, pool, lengths):
    "Other values where nothing is, and each sample alone."
    X, mask = lengths
    model = seeded(name, {"x": BlockSpec("sequence", (8, 2)), "mask": BlockSpec("tokens", (8,), 2)}, pool=pool)
    other = np.where(mask[:, :, None] > 0, X, 1e3).astype("float32")
    moved = X.copy()
    moved[0, 7] += 1  # a real step
    expected, found, changed = np.split(outputs(model, {"x": np.concatenate([X, other, moved]),
                                                        "mask": np.tile(mask, (3, 1))}), 3)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(changed[0] - expected[0]).max() > 1e-5
    for i in (1, 2):
        alone = outputs(model, {"x": X[i:i + 1], "mask": mask[i:i + 1]})
        np.testing.assert_allclose(alone[0], expected[i], atol=1e-5)

@pytest.mark.parametrize("name", ["gru", "bilstm", "cnn_rnn"])
def test_longer_filling_changes_nothing(name, lengths):
    "The same weights for 8 and for 13 steps; the chapter holds all networks to it, with tokens."
    X, mask = lengths
    short, long = (seeded(name, {"x": BlockSpec("sequence", (n, 2)), "mask": BlockSpec("tokens", (n,), 2)})
                   for n in (8, 13))
    long.set_weights(short.get_weights())
    found = outputs(long, {"x": np.pad(X, [(0, 0), (0, 5), (0, 0)], constant_values=7),
                           "mask": np.pad(mask, [(0, 0), (0, 5)])})
    np.testing.assert_allclose(found, outputs(short, {"x": X, "mask": mask}), atol=1e-6)

def test_zeros_are_values_unless_said_otherwise():
    "A mutation that is not there is a 0 that counts; a filled-up letter of DNA is none."
    X = np.zeros((1, 6, 2), "float32")
    X[0, :3] = 1
    longer = np.pad(X, [(0, 0), (0, 3), (0, 0)])
    found = {}
    for masked in (False, True):
        short, long = (seeded("gru", {"x": BlockSpec("sequence", (n, 2))}, masked=masked) for n in (6, 9))
        long.set_weights(short.get_weights())
        found[masked] = np.abs(outputs(long, longer) - outputs(short, X)).max()
    assert found[True] < 1e-6 < 1e-4 < found[False]

def test_a_mask_that_does_not_fit_is_refused():
    sequence = BlockSpec("sequence", (8, 2))
    with pytest.raises(InputError, match="for each of the 8 steps"):
        build_model("gru", {"x": sequence, "mask": BlockSpec("tokens", (7,), 2)}, 2)
    with pytest.raises(InputError, match="reads one block"):
        build_model("gru", {"x": sequence, "y": sequence}, 2)

def test_tokens_and_masks_go_through_the_estimator():
    rng = np.random.default_rng(0)
    n, ids = rng.integers(3, 10, 120), rng.integers(1, 5, (120, 10))
    ids[np.arange(10) >= n[:, None]] = 0
    y = (ids == 1).sum(axis=1) > (ids == 2).sum(axis=1)
    options = dict(epochs=12, learning_rate=.02, batch_size=16, random_state=0)
    found = CancerClassifier("gru", dict(SIZES, dropout=0), **options).fit(Tokens(ids, 5), y)
    assert found.score(Tokens(ids, 5), y) > .8
    onehot = dict(letters=np.eye(5, dtype="float32")[ids], mask=Tokens((ids > 0).astype(int), 2))
    found = CancerClassifier("gru", dict(SIZES, dropout=0), **options | dict(epochs=1)).fit(onehot, y)
    filled = dict(onehot, letters=np.where(ids[:, :, None] > 0, onehot["letters"], 5).astype("float32"))
    np.testing.assert_allclose(found.predict_proba(filled), found.predict_proba(onehot), atol=1e-6)

# -- order

def runs(n, seed):
    "Forty places, five of them raised: side by side in one class, scattered in the other."
    rng = np.random.default_rng(seed)
    X, y = rng.normal(0, .4, (n, 40)).astype("float32"), np.arange(n) % 2
    for row, label in zip(X, y):
        start = rng.integers(0, 36)
        row[np.arange(start, start + 5) if label else rng.choice(40, 5, replace=False)] += 1.5
    return X, y

@pytest.mark.slow  # test_order asks the same of a convolution, and runs always
def test_a_shuffle_hurts_networks_that_use_the_order_and_no_perceptron():
    (X, y), (test_X, test_y) = runs(300, 0), runs(200, 1)
    shuffle = np.random.default_rng(2).permutation(40)
    small = dict(patch=1, local=False, embed=8, pool="attention", dense=0, dropout=0)
    lost = {}
    for name, sizes in (("cnn_rnn", dict(small, units=8, filters=16)), ("mlp", dict(dense=64))):
        found = [CancerClassifier(name, sizes, epochs=10, batch_size=32, learning_rate=.01, members=1, random_state=0)
                 .fit(X[:, p], y).score(test_X[:, p], test_y) for p in (np.arange(40), shuffle)]
        lost[name] = found[0] - found[1]
    assert lost["cnn_rnn"] > .1 and abs(lost["mlp"]) < .08, lost

# -- gradients

@pytest.mark.parametrize("name", ["lstm_attention", "cnn_rnn", "transformer"])  # every part is in one of them
def test_gradients_are_those_of_a_finite_difference(name):
    X = np.random.default_rng(0).normal(size=(3, 12)).astype("float32")
    model = seeded(name, 12, patch=3, dense=8)
    found, step = attribute(model, X, np.array([0, 1, 2]), method="gradient"), 5e-4
    moves = step * np.eye(12, dtype="float32")[[0, 5, 11]]
    Z = np.concatenate([X[None], X + moves[:, None], X - moves[:, None]])  # (7, 3, 12): as it is, up, down
    z = outputs(raw_model(model, "logits"), Z.reshape(-1, 12)).reshape(7, 3, 3)[:, np.arange(3), np.arange(3)]
    sides = np.sort([(z[1:4] - z[0]) / step, (z[0] - z[4:]) / step], axis=0)  # apart where a ReLU has its kink between
    gradient = found[:, [0, 5, 11]].T
    assert (gradient > sides[0] - 2e-3).all() and (gradient < sides[1] + 2e-3).all()
    assert np.median(sides[1] - sides[0]) < 2e-3 < np.abs(gradient).max()

# -- sizes, presets, members, backends

def test_presets_keep_the_published_numbers():
    for name, published in PRESETS.items():
        model = build_model(published.model, {"x": BlockSpec("sequence", published.shape)}, published.n_outputs,
                            **published.sizes)
        assert trained_parameters(model) == published.n_parameters, name
    load = preset("mutational_load")
    assert (load["batch_size"], load["clipnorm"], load["epochs"], load["model_params"]["units"]) == (27, 1, 100, 5)
    X = np.random.default_rng(0).integers(0, 2, (60, 20, 1)).astype("float32")
    found = CancerClassifier(**preset("mutational_load") | dict(epochs=2, random_state=0)).fit(X, X.sum((1, 2)) > 10)
    assert trained_parameters(found.model_) == 152 and found.settings_["label_smoothing"] == 0

@pytest.mark.parametrize("sizes, words", [
    (dict(units=0), "units is 0"), (dict(layers=1.5), "layers is 1.5"), (dict(patch=-3), "patch is -3"),
    (dict(steps=99), "cannot be cut into 99 steps"), (dict(pool="maen"), "Did you mean mean"),
    (dict(heads=5), "no size of the network")])
def test_bad_sizes_are_explained(sizes, words):
    with pytest.raises(InputError, match=words): build_model("gru", 30, 2, **sizes)

def test_what_is_no_recurrence_has_no_last_state():
    with pytest.raises(InputError, match="no last state"): build_model("cnn_attention", 30, 2, pool="last")
    with pytest.raises(InputError, match="multiple of heads"): build_model("transformer", 30, 2, units=9)

def test_every_option_is_used():
    "Each changes the network that is built."
    plain = trained_parameters(seeded("gru", 60))
    assert trained_parameters(seeded("gru", 60, layers=2)) > plain > trained_parameters(seeded("gru", 60, local=False))
    assert trained_parameters(seeded("gru", 60, normalise=False)) < plain
    model = seeded("gru", 60, recurrent_dropout=.3, input_dropout=.2, dropout=.4, importance=True, l2=1e-3)
    assert model.get_layer("recurrent1").cell.recurrent_dropout == .3 and model.get_layer("input_dropout").rate == .2
    assert [model.get_layer(f"importance_d{side}").rate for side in ("high", "low")] == pytest.approx([.2, .6])
    assert len(model.losses) == 2

def test_members_are_the_mean_of_networks():
    X = np.random.default_rng(0).normal(size=(40, 24)).astype("float32")
    y = (X[:, 0] > 0).astype(int)
    found = CancerClassifier("gru", dict(SIZES, patch=4), epochs=1, members=2, random_state=0).fit(X, y)
    model = found.model_
    z = outputs(keras_module().Model(model.input, model.get_layer("logits_of_members").output), X)
    p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found.predict_proba(X), p.mean(axis=1), atol=1e-5)
    assert z.shape == (40, 2, 2) and np.abs(z[:, 0] - z[:, 1]).max() > 1e-3

@pytest.mark.parametrize("name", ["bilstm", "transformer"])
def test_a_bundle_takes_the_network(name, tmp_path):
    "Its reader allows Keras' own layers only, and no more weights than the file holds."
    model = seeded(name, 24, patch=4, recurrent_dropout=.1) if "lstm" in name else seeded(name, 24, patch=4)
    model.save(tmp_path/"model.keras")
    again = _load_network("here", tmp_path/"model.keras", 10**8)
    X = np.random.default_rng(0).normal(size=(3, 24)).astype("float32")
    np.testing.assert_array_equal(outputs(again, X), outputs(model, X))

# -- the genome

BINS = [f"chr{c}:{5 * i}-{5 * i + 5}Mb" for c, n in ((1, 23), (2, 20), ("X", 17)) for i in range(n)]

def copy_number(n, seed=0):
    "Sixty bins on three chromosomes, a gain on one of them, at any purity; columns in no order."
    rng = np.random.default_rng(seed)
    y, X = np.arange(n) % 3, rng.normal(0, .02, (n, 60))
    first = np.array([0, 23, 43])
    for row, label in zip(X, y): row[first[label]:first[label] + 12] += rng.uniform(.05, 1)**2
    shuffle = np.random.default_rng(9).permutation(60)
    obs = pd.DataFrame({"group": np.array(list("abc"))[y]}, index=[f"s{i}" for i in range(n)])
    return anndata.AnnData(X[:, shuffle].astype("float32"), obs, pd.DataFrame(index=np.array(BINS)[shuffle]),
                           uns={"units": "log2 ratio"})

@pytest.fixture(scope="module")
def cohort(): return copy_number(180)

@pytest.fixture(scope="module")
def trained(cohort):
    return train_classifier(cohort, "group", model="gru", judge="holdout", epochs=8, ids=False,
                            model_params=dict(embed=8, units=8))

def test_copy_number_comes_in_genome_order(trained, cohort):
    names = [name for name, _ in trained.pipeline.steps]
    assert names == ["amplitudeviews", "zscaler", "genomeorder", "cancerclassifier"]
    assert trained.pipeline[0].active_ and trained.pipeline[-1].model_params["steps"] == 3 + 2 + 2
    seen = trained.pipeline[2].get_feature_names_out(trained.pipeline[0].get_feature_names_out(cohort.var_names))
    assert [n for n in seen.reshape(7, -1)[0] if "/" not in n and "~" not in n and "-a90" not in n][:3] == BINS[:3]
    assert seen.reshape(7, -1).shape == (7, 10*5 + 3) and (seen.reshape(7, -1)[:, -1] == "log_a99").all()
    assert trained.metrics()["accuracy"] > .8

def test_its_bundle_says_the_same_and_is_explained(trained, cohort, tmp_path):
    again = load_bundle(save_bundle(trained.bundle, tmp_path/"b.zip"))
    X = np.asarray(cohort.X)
    np.testing.assert_allclose(again.outputs(X), trained.bundle.outputs(X), atol=1e-6)
    effect = gene_effect_pipeline(trained.pipeline, X, cohort.obs["group"].to_numpy(), method="expected")
    effect = pd.DataFrame(effect, columns=cohort.var_names)[BINS].to_numpy()
    assert effect.shape == (3, 60)
    for row, first in zip(effect, (0, 23, 43)):
        own = np.arange(first, first + 12)
        assert row[own].mean() > 1.5 * np.delete(row, own).mean()

JAX = textwrap.dedent("""
    import sys
    import numpy as np
    from cancer_dl.train.bundle import load_bundle  # and nothing that would enter the step of genome order besides
    folder = sys.argv[1]
    bundle, X = load_bundle(folder + "/b"), np.load(folder + "/X.npy")
    from cancer_dl.core import backend_name
    from cancer_dl.train.estimator import CancerClassifier
    assert backend_name() == "jax"
    np.testing.assert_allclose(bundle.outputs(X), np.load(folder + "/p.npy"), atol=1e-5)
    y = np.arange(60) % 2
    X = (np.random.default_rng(0).normal(size=(60, 12)) + 2 * y[:, None]).astype("float32")
    model = CancerClassifier("gru", dict(patch=4, units=4, embed=4, dense=0, dropout=0), epochs=8, batch_size=20,
                             learning_rate=.02, random_state=0).fit(X, y)
    print("RESULT", model.score(X, y))
""")

@pytest.mark.slow
def test_a_bundle_says_the_same_on_jax_where_networks_learn_too(trained, cohort, tmp_path):
    pytest.importorskip("jax")
    X = np.asarray(cohort.X)[:20]
    np.save(tmp_path/"X.npy", X)
    np.save(tmp_path/"p.npy", trained.bundle.outputs(X))
    save_bundle(trained.bundle, tmp_path/"b")
    run = subprocess.run([sys.executable, "-c", JAX, str(tmp_path)], env=dict(os.environ, KERAS_BACKEND="jax"),
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert float(run.stdout.partition("RESULT")[2]) > .9

def test_places_are_read_from_names_or_not_at_all():
    assert genome_places(["chr1:0-5Mb", "chrMT:1"]) == [(1, 0), (25, 1)]
    for start, names in {500: ["X_500", "chrX:500-900", "chrX:500_A/T", "chrX:500..900", "X:500A>G"],
                         1.5e6: ["chr1:1,500,000-2,000,000", "1:1.5e6", "1_1500kb", "chr1:1.5-2Mb", "chr1:1.5Mb-2000kb"]
                         }.items():
        assert [genome_places([name])[0][1] for name in names] == [start] * len(names)
    for names in (["chr1:1.000.000"], ["chr1:1,00"], ["chr1:1 000 000"], ["chr1:1,0000"]):
        assert genome_places(names) is None
    for names in ([], ["chr26:0-5Mb"], ["TP53"], ["chr1:0-5Mb", "chr1:0-10Mb"], ["hsa-mir-21"]):
        assert genome_places(names) is None and genome_order(names) is None
    step = genome_order(BINS, patch=7).fit(np.zeros((2, 60)))
    origins, edges = step.origins().reshape(-1, 7), np.cumsum([23, 20, 17])
    chromosome = np.where(origins < 0, -1, np.searchsorted(edges, origins, side="right"))
    assert all(len(set(row) - {-1}) == 1 for row in chromosome)  # no step lies on two chromosomes
    assert sorted(origins[origins >= 0]) == list(range(60))
    with pytest.raises(InputError, match="at least 1"): GenomeOrder(patch=0).fit(np.zeros((2, 3)))

def test_settings_follow_the_size_of_the_training_set():
    small, large = (suited_settings("gru", n, 500) for n in (100, 5000))
    assert small["batch_size"] < large["batch_size"] and small["members"] == large["members"] == 1
