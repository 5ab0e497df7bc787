"""Bundles: old ones, damaged and hostile ones, blocks of rows, what values may be, whom they have seen."""
import functools
import io
import json
import shutil
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.pipeline import make_pipeline

from folders import sign
from refusing import refused
from cancer_dl.core import InputError
from cancer_dl.data import shift
from cancer_dl.data.preprocess import Log2Transformer, LogCPM, PCAReducer, ZScaler
from cancer_dl.data.shift import aligned, training_profile
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.train import bundle as module
from cancer_dl.train.bundle import FILES, load_bundle, make_bundle, recognise, save_bundle
from cancer_dl.train.estimator import CancerClassifier
from cancer_dl.train.fitted import as_fitted, pipeline_of

DATA = Path(__file__).parent/"data"


def shift_warnings_of(report):
    "The warnings but for the one of normal tissue, of which these cohorts have some and these bundles no class."
    return [w for w in report["warnings"] if "normal tissue" not in w]

@pytest.fixture(scope="module")
def cohort(simulated): return simulated(n_samples=240, n_genes=80, n_classes=3, seed=0)


def classifier(epochs=4):
    return CancerClassifier(model="mlp", model_params={"dense": 16}, epochs=epochs, random_state=0)


@pytest.fixture(scope="module")
def fitted(cohort): return make_pipeline(ZScaler(), classifier()).fit(cohort.X[:200], cohort.obs["cancer_type"][:200])


@pytest.fixture(scope="module")
def bundle(cohort, fitted):
    return make_bundle(fitted, cohort.var_names, cohort.X[:200], cohort.uns["units"], samples=cohort.obs_names[:200],
                       patients=cohort.obs["patient"][:200])


@pytest.fixture
def folder(bundle, tmp_path): return save_bundle(bundle, tmp_path/"model")


refused = functools.partial(refused, limit=1500)


# ---------------------------------------------------------------- bundles of version 0.1.0

def test_a_bundle_of_the_first_version_predicts_the_same():
    expected, old = json.loads((DATA/"bundle_0.1.0.json").read_text()), load_bundle(DATA/"bundle_0.1.0.zip")
    assert (old.facts["schema_version"] == 1 and old.profile is None and old.seen == {}
            and len(old.features) == expected["features"])
    X = ((np.abs(np.sin(np.arange(12)[:, None]*1.7 + np.arange(len(old.features))[None]*.9))*12).round(3)
         .astype(np.float32))
    np.testing.assert_allclose(old.predict_proba(X), expected["probability"], atol=2e-5)
    probability, report = old.predict_cohort(pd.DataFrame(X, columns=old.features))
    np.testing.assert_allclose(probability, expected["probability"], atol=2e-5)
    assert report["shift"] is None and report["warnings"] == [] and recognise(old, ["a"]) is None
    refused(lambda: old.predict_cohort(pd.DataFrame(X, columns=old.features), rescale="cohort"), "version 0.1.0",
            "Train it anew")


def test_an_old_bundle_saved_again_stays_what_it_was(tmp_path):
    old = load_bundle(DATA/"bundle_0.1.0.zip")
    again = load_bundle(save_bundle(old, tmp_path/"again"))
    X = np.ones((2, len(old.features)), np.float32)
    np.testing.assert_array_equal(again.predict_proba(X), old.predict_proba(X))


# ---------------------------------------------------------------- there and back, in blocks

def test_saved_and_loaded(bundle, folder, cohort):
    again = load_bundle(folder)
    assert (again.profile.facts == bundle.profile.facts
            and all(np.array_equal(again.seen[k], bundle.seen[k]) for k in ("samples", "patients", "profiles")))
    np.testing.assert_array_equal(again.profile.high, bundle.profile.high)
    a, b = again.predict_cohort(cohort)[0], bundle.predict_cohort(cohort)[0]
    pd.testing.assert_frame_equal(a, b)
    assert (list(a.index) == list(cohort.obs_names) and list(a.columns) == list(bundle.classes)
            and np.allclose(a.sum(axis=1), 1, atol=1e-5))
    assert again.facts["n_train"] == 200 and json.loads((folder/"bundle.json").read_text())["schema_version"] == 3


def test_a_pipeline_of_a_bundle_reads_a_table_by_name(bundle, cohort, fitted):
    "A table in another order gave another answer without a word."
    table = cohort.to_df()[:20]
    mixed = table[table.columns[::-1]].assign(EXTRA=1.)
    named = make_pipeline(ZScaler(), classifier(1)).fit(cohort.to_df(), cohort.obs["cancer_type"])  # knows its names
    centred = classifier(1).fit(table - table.mean(), cohort.obs["cancer_type"][:20])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # scikit-learn's of names
        for whole in (bundle, as_fitted(named), as_fitted(centred)):
            pipeline = pipeline_of(whole)
            for X in (table, mixed, table.to_numpy()):
                np.testing.assert_array_equal(pipeline.predict_proba(X), whole.predict_proba(table))
            refused(lambda p=pipeline: p.predict(mixed.drop(columns=table.columns[3])), "no column for 1 of the 80")
            refused(lambda p=pipeline: p.predict(cohort), "an AnnData", "predict_cohort")
            assert as_fitted(pipeline).features == whole.features  # and the names stay with it
    np.testing.assert_allclose(pipeline_of(bundle).predict_proba(mixed), fitted.predict_proba(table.to_numpy()),
                               atol=1e-6)


@pytest.mark.parametrize("values", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 500)), 3*80 + 1])
def test_blocks_of_any_height_give_the_same(values, monkeypatch, bundle, cohort, fitted):
    whole = fitted.predict_proba(cohort.X)
    monkeypatch.setattr("cancer_dl.data.shift.BLOCK_VALUES", values)
    for given in (cohort, cohort.to_df(), anndata.AnnData(sparse.csr_matrix(cohort.X), cohort.obs, cohort.var,
                                                          uns={"units": cohort.uns["units"]}), cohort.T):
        found, report = bundle.predict_cohort(given)
        np.testing.assert_allclose(found, whole, atol=2e-6)
    rows = np.r_[5:40, 3]
    np.testing.assert_allclose(bundle.predict_cohort(cohort[rows])[0], whole[rows], atol=2e-6)  # a view


def test_no_copy_of_the_whole_cohort_is_made(bundle, cohort):
    "The largest piece that preprocessing and network ever see is a block."
    seen, big = [], anndata.AnnData(np.tile(cohort.X, (60, 1)), uns={"units": cohort.uns["units"]})
    big.var_names = cohort.var_names
    original = type(bundle).transform
    module.Bundle.transform = lambda self, X: (seen.append(X.size), original(self, X))[1]
    try: found, _ = bundle.predict_cohort(big)
    finally: module.Bundle.transform = original
    assert len(found) == 60*240 and max(seen) <= shift.BLOCK_VALUES and sum(seen) == big.X.size
    np.testing.assert_allclose(found.iloc[-240:], bundle.predict_cohort(cohort)[0], atol=2e-6)


def test_a_value_that_is_missing_is_named(bundle, cohort):
    gap = cohort.copy()
    gap.X[7, 3] = np.nan
    refused(lambda: bundle.predict_cohort(gap), "missing or infinite", cohort.obs_names[7], cohort.var_names[3])
    refused(lambda: bundle.predict_cohort(cohort[:0]), "no samples")
    refused(lambda: bundle.predict_cohort(cohort.to_df().astype(object).assign(**{cohort.var_names[0]: "x"})),
            "holds text")


def test_an_h5ad_that_stays_on_the_disk(bundle, cohort, tmp_path):
    cohort.write_h5ad(tmp_path/"c.h5ad")
    backed = anndata.read_h5ad(tmp_path/"c.h5ad", backed="r")
    np.testing.assert_allclose(bundle.predict_cohort(backed)[0], bundle.predict_cohort(cohort)[0], atol=2e-6)


# ---------------------------------------------------------------- which way, which values

def test_a_matrix_on_its_side_is_turned(bundle, cohort):
    found, report = bundle.predict_cohort(cohort.T)
    pd.testing.assert_frame_equal(found, bundle.predict_cohort(cohort)[0], atol=1e-6)
    assert any("turned" in note for note in report["notes"]) and not bundle.predict_cohort(cohort)[1]["notes"]
    half = cohort[:, :30].copy().T
    np.testing.assert_allclose(bundle.predict_cohort(cohort.T[:, 3:9])[0], found.iloc[3:9], atol=2e-6)  # a view of it
    refused(lambda: bundle.predict_cohort(half), "of the 80 genes")


def changed(cohort, X, units=None):
    out = anndata.AnnData(np.asarray(X, np.float32), cohort.obs.copy(), cohort.var.copy())
    if units: out.uns["units"] = units
    return out


@pytest.mark.parametrize("units", ["log2(FPKM+1)", "unknown", None])
@pytest.mark.parametrize("wrong, part", [("counts", "counts"), ("linear", "log2"), ("z", "z-scores"),
                                         ("two z", "z-scores"), ("whole", "whole numbers")])
def test_values_that_cannot_belong_are_refused_whatever_their_units(units, wrong, part, bundle, cohort):
    X = cohort.X
    X = {"counts": np.round(30*2.0**X), "linear": 2.0**X*1.37 - 1, "z": (X - X.mean(0))/(X.std(0) + .1),
         "two z": ((X - X.mean(0))/(X.std(0) + .1))[:2],
         "whole": np.minimum(np.round(X), 9)}[wrong]
    given = changed(cohort[:len(X)], X, units)
    if units is None: given.uns["units_source"] = "guessed"
    refused(lambda: bundle.predict_cohort(given), part)


@pytest.mark.parametrize("units", ["counts", "unknown"])
def test_logarithms_are_refused_by_a_model_of_counts(units, cohort):
    counts = np.round(30*2.0**cohort.X).astype(np.float32)
    fitted = make_pipeline(LogCPM(), ZScaler(), classifier()).fit(counts, cohort.obs["cancer_type"])
    of_counts = make_bundle(fitted, cohort.var_names, counts, "counts")
    refused(lambda: of_counts.predict_cohort(changed(cohort, cohort.X, units)), "logarithms")
    assert shift_warnings_of(of_counts.predict_cohort(changed(cohort, counts, units))[1]) == []


def test_right_values_pass_without_a_word(bundle, cohort):
    for given in (cohort, cohort[200:], cohort[:1], cohort[:5], changed(cohort, cohort.X, "unknown"),
                  changed(cohort, cohort.X + .05)):
        assert shift_warnings_of(bundle.predict_cohort(given)[1]) == [], given
    assert bundle.predict_cohort(cohort)[1]["shift"]["degree"] == "none"


def test_a_shift_is_told(bundle, cohort):
    rng = np.random.default_rng(0)
    platform = changed(cohort, cohort.X*.5 + 3 + rng.normal(0, 2, 80)*cohort.X.std(0) - rng.normal(0, 1, 80)*0,
                       cohort.uns["units"])
    platform.X = np.maximum(platform.X, 0)
    report = bundle.predict_cohort(platform)[1]
    assert (report["shift"]["degree"] == "strong" and "differs strongly" in " ".join(report["warnings"])
            and "shift from training: strong" in report["text"])
    natural = bundle.predict_cohort(changed(cohort, cohort.X*np.log(2), cohort.uns["units"]))[1]
    assert "natural logarithms" in " ".join(natural["warnings"]) and abs(natural["shift"]["slope"] - np.log(2)) < .01

    assert "rescale='cohort' standardises" in natural["warnings"][-1] and "middle 99.8% of training" in natural["text"]
    few = bundle.predict_cohort(changed(cohort[:19], cohort.X[:19]*np.log(2), cohort.uns["units"]))[1]
    assert "rescale='cohort' standardises" not in " ".join(few["warnings"])  # too few for means of their own


def test_rescaling(bundle, cohort, fitted):
    truth = cohort.obs["cancer_type"].to_numpy(str)[200:]
    moved = changed(cohort[200:], (cohort.X[200:] - 4)*.4, "log ratio")  # like microarrays against a reference
    refused(lambda: bundle.predict_cohort(moved), "log ratio")
    found, report = bundle.predict_cohort(moved, rescale="cohort")
    right = fitted.predict_proba(cohort.X[200:]).argmax(axis=1)
    assert ((found.to_numpy().argmax(axis=1) == right).mean() > .8 and "one class" in " ".join(report["warnings"])
            and len(truth) == 40)
    shift, before = report["shift"], report["shift"]["before"]  # word and numbers are of the values that were predicted
    assert shift["degree"] == "none" and shift["distance"] < .2 < .5 < before["distance"]
    assert before["degree"] == "strong" and "after rescaling: none" in report["text"]
    assert "before rescaling strong, gene means" in report["text"] and "To try" not in " ".join(report["warnings"])
    refused(lambda: bundle.predict_cohort(moved[:19], rescale="cohort"), "19 samples", "at least 20")
    refused(lambda: bundle.predict_cohort(moved, rescale="genes"), "way to rescale")
    refused(lambda: bundle.predict_cohort(changed(cohort, np.round(30*2.0**cohort.X)), rescale="cohort"), "counts")


@pytest.mark.parametrize("depth", [.1, 1, 7])
def test_counts_of_another_depth(depth, cohort):
    rng, y = np.random.default_rng(0), cohort.obs["cancer_type"].to_numpy(str)
    rate = 1000*(2.0**cohort.X - 1)
    fitted = make_pipeline(LogCPM(), ZScaler(), classifier(40)).fit(rng.poisson(rate), y)
    of_counts = make_bundle(fitted, cohort.var_names, rng.poisson(rate).astype(np.float32), "counts")
    new = changed(cohort, rng.poisson(depth*rate), "counts")
    found, report = of_counts.predict_cohort(new)
    assert (of_counts.classes[found.to_numpy().argmax(axis=1)] == fitted.predict(rng.poisson(rate))).mean() > .96
    assert (abs(report["shift"]["depth"]/depth - 1) < .05 and shift_warnings_of(report) == []
            and bool(report["notes"]) == (depth != 1))
    fewer = new[:, cohort.var_names[8:]]  # what stands in for missing genes is scaled too
    assert (of_counts.predict_cohort(fewer)[0].to_numpy().argmax(axis=1) == found.to_numpy().argmax(axis=1)).mean() > .9
    plain = make_pipeline(Log2Transformer(), ZScaler(), classifier(40)).fit(rng.poisson(rate), y)
    report = make_bundle(plain, cohort.var_names, rng.poisson(rate).astype(np.float32), "counts").predict_cohort(new)[1]
    assert ("sequencing depth" in " ".join(report["warnings"])) == (depth != 1)


def test_the_profile_is_that_of_the_training_samples(cohort):
    X = cohort.X[:200]
    profile = training_profile(X, columns=[4, 9])
    np.testing.assert_allclose(profile.low, np.quantile(X[:, [4, 9]], .001, axis=0), atol=1e-5)
    np.testing.assert_allclose(profile.std, X[:, [4, 9]].std(axis=0), atol=1e-5)
    assert aligned(cohort, cohort.var_names[::-1]).columns.tolist() == list(range(79, -1, -1))


# ---------------------------------------------------------------- whom it has seen

def test_it_knows_whom_it_has_seen(bundle, folder, cohort):
    for b in (bundle, load_bundle(folder)):
        found = recognise(b, cohort.obs_names, cohort.obs["patient"], aligned(cohort, b.features))
        assert found["samples"].tolist() == found["profiles"].tolist() == [True]*200 + [False]*40
        assert found["patients"][:200].all() and found["patients"].mean() < 1
    text = (folder/"bundle.json").read_text() + (folder/"MODEL_CARD.md").read_text()
    assert cohort.obs_names[0] not in text and "can still be guessed" in text
    assert cohort.obs_names[0].encode() not in (folder/"arrays.npz").read_bytes()


def test_two_bundles_have_different_salts(bundle, cohort, fitted):
    other = make_bundle(fitted, cohort.var_names, cohort.X[:200], cohort.uns["units"], samples=cohort.obs_names[:200])
    assert (other.facts["seen"] != bundle.facts["seen"]
            and not np.intersect1d(other.seen["samples"], bundle.seen["samples"]).size)


def test_no_ids(cohort, fitted, tmp_path):
    nameless = make_bundle(fitted, cohort.var_names, cohort.X[:200], cohort.uns["units"],
                           samples=cohort.obs_names[:200], patients=cohort.obs["patient"][:200], ids=False)
    again = load_bundle(save_bundle(nameless, tmp_path/"m.zip"))
    assert again.seen == {} and again.facts["seen"] is None and recognise(again, cohort.obs_names) is None
    with zipfile.ZipFile(tmp_path/"m.zip") as archive:
        assert "holds no ids" in archive.read("MODEL_CARD.md").decode()
        with np.load(io.BytesIO(archive.read("arrays.npz"))) as arrays:
            assert not [n for n in arrays.files if n.startswith("seen")]


def test_the_card_claims_no_class_that_is_not_there(cohort, fitted):
    card = module.model_card_text(make_bundle(fitted, cohort.var_names, cohort.X[:200], "log2", normal_class=True,
                                              dropped={"normal samples": 7}, warnings=["a warning"]).facts)
    assert "NORMAL" not in card and "7 normal samples" in card and "a warning" in card


# ---------------------------------------------------------------- bombs

def zipped(folder, target, how=zipfile.ZIP_DEFLATED, **contents):
    with zipfile.ZipFile(target, "w", how) as archive:
        for name in FILES: archive.writestr(name, contents.get(name, (folder/name).read_bytes()))
    return target


def header(shape, dtype="<f4"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, dict(descr=dtype, fortran_order=False, shape=shape))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["claims a million columns", "grows", "more arrays than genes", "two of one name",
                                  "object", "complex"])
def test_arrays_that_would_fill_the_memory(kind, folder):
    with np.load(folder/"arrays.npz") as stored: arrays = dict(stored)
    with zipfile.ZipFile(folder/"arrays.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            out = io.BytesIO()
            np.save(out, array)
            archive.writestr(f"{name}.npy", out.getvalue())
        if kind == "claims a million columns": archive.writestr("step.x.npy", header((10**6, 10**6)))
        if kind == "grows": archive.writestr("step.x.npy", header((20_000_000,)) + bytes(80_000_000))
        if kind == "more arrays than genes":
            archive.writestr("step.x.npy", header((2_000_000,)) + np.random.default_rng(0).bytes(8_000_000))
        if kind == "two of one name":
            with pytest.warns(UserWarning): archive.writestr("gene_means.npy", header((1,)) + bytes(4))
        if kind == "object": archive.writestr("step.x.npy", header((1,), "|O") + bytes(8))
        if kind == "complex": archive.writestr("step.x.npy", header((1,), "<c8") + bytes(8))
    sign(folder)
    refused(lambda: load_bundle(folder), "arrays.npz")


@pytest.mark.parametrize("name, content", [
    ("bundle.json", b"[" * 3_000_000), ("bundle.json", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    ("bundle.json", b"[" + b"1," * 6_000_000 + b"1]"),
    ("checksums.json", b"[" * 100_000), ("bundle.json", b" " * (65 << 20)), ("MODEL_CARD.md", b" " * (5 << 20)),
    ("arrays.npz", bytes(8 << 20)), ("model.keras", bytes(40 << 20))], ids=range(8))
def test_files_that_are_larger_or_deeper_than_they_can_be(name, content, folder, tmp_path):
    (folder/name).write_bytes(content)
    if name != "checksums.json": sign(folder)
    refused(lambda: load_bundle(folder), str(folder))
    for how in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        refused(lambda: load_bundle(zipped(folder, tmp_path/"b.zip", how)), "b.zip")


def network(folder, change=None, weights=None):
    "Rewrite configuration or weights inside the .keras file."
    with zipfile.ZipFile(folder/"model.keras") as archive: content = {n: archive.read(n) for n in archive.namelist()}
    if change:
        config = json.loads(content["config.json"])
        change(config)
        content["config.json"] = json.dumps(config).encode()
    if weights: content["model.weights.h5"] = weights(content["model.weights.h5"])
    with zipfile.ZipFile(folder/"model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items(): archive.writestr(name, data)
    sign(folder)


def huge_layer(config):
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "Dense": layer["config"]["units"] = 10**7; layer.pop("build_config", None)


def test_a_network_that_asks_for_more_weights_than_it_has(folder, monkeypatch):
    network(folder, huge_layer)
    refused(lambda: load_bundle(folder), "more weights than")


def edited(data, change):
    out = io.BytesIO(data)
    with h5py.File(out, "r+") as file: change(file)
    return out.getvalue()


def _claims(file): file.create_dataset("layers/x/vars/0", (10**6, 10**5), "f4")  # never written: no byte is stored
def _compressed(file): file.create_dataset("layers/x/vars/0", data=np.zeros((500, 1000), "f4"), compression="gzip")
def _outside(file): file["layers/x"] = h5py.ExternalLink("/etc/passwd", "/")
def _soft(file): file["layers/x"] = h5py.SoftLink("/layers")


@pytest.mark.parametrize("change", [_claims, _compressed, _outside, _soft])
def test_weights_that_are_claimed_but_not_stored(change, folder):
    network(folder, weights=lambda data: edited(data, change))
    refused(lambda: load_bundle(folder), "model.keras", "link, or claims more")


def _blown_up(config):
    entry = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dropout")
    entry.update(class_name="RepeatVector", config={"name": entry["config"]["name"], "n": 10**8})
    entry.pop("build_config", None)


def test_a_layer_that_blows_a_sample_up(cohort, tmp_path):
    network_ = CancerClassifier(model="mlp", model_params={"dense": 16, "input_dropout": .1},
                                epochs=1).fit(cohort.X, cohort.obs["cancer_type"])
    folder = save_bundle(make_bundle(network_, cohort.var_names, cohort.X, "log2"), tmp_path/"m")
    network(folder, _blown_up)
    refused(lambda: load_bundle(folder), str(folder))


def test_building_elsewhere_is_not_disturbed(bundle, folder):
    "The guard on weights holds for the thread that loads, and only while it does."
    from cancer_dl.core import keras_module
    before = keras_module().layers.Layer.add_weight
    load_bundle(folder)
    network(folder, huge_layer)
    refused(lambda: load_bundle(folder))
    assert keras_module().layers.Layer.add_weight is before


# ---------------------------------------------------------------- zips

@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_of_every_kind_are_read_and_damaged_ones_refused(how, folder, tmp_path, bundle):
    path = zipped(folder, tmp_path/"b.zip", how)
    np.testing.assert_array_equal(load_bundle(path).profile.mean, bundle.profile.mean)
    good = path.read_bytes()
    for place in np.linspace(50, len(good) - 60, 25).astype(int):
        content = bytearray(good)
        content[place:place + 16] = bytes(b ^ 0xA5 for b in content[place:place + 16])
        path.write_bytes(content)
        try: same = load_bundle(path)  # a date, which nobody reads
        except InputError as error: assert "b.zip" in str(error) and "\n" not in str(error)
        else:
            np.testing.assert_array_equal(same.predict_proba(bundle.gene_means[None]),
                                          bundle.predict_proba(bundle.gene_means[None]))
    path.write_bytes(good[:len(good)//2])
    refused(lambda: load_bundle(path), "neither a bundle folder nor an intact zip")


def test_a_method_that_nobody_knows_and_a_password(folder, tmp_path):
    path = zipped(folder, tmp_path/"b.zip")
    good = path.read_bytes()
    start = good.rfind(b"PK\1\2")
    for offset, value, part in ((10, 93, "neither a bundle folder nor an intact zip"), (8, 1, "encrypted")):
        content, at = bytearray(good), 0
        while (at := content.find(b"PK\1\2", at)) >= 0: struct.pack_into("<H", content, at + offset, value); at += 4
        path.write_bytes(content)
        refused(lambda: load_bundle(path), part)
    assert start > 0


@pytest.mark.parametrize("name", ["../bundle.json", "/bundle.json", "C:\\bundle.json", "a/../../bundle.json"])
def test_names_that_lead_out(name, folder, tmp_path):
    path = zipped(folder, tmp_path/"b.zip")
    with zipfile.ZipFile(path, "a") as archive: archive.writestr(name, "x")
    refused(lambda: load_bundle(path), "do not belong there")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.zip", "model"]


def test_links_and_doubles(folder, tmp_path):
    with zipfile.ZipFile(tmp_path/"b.zip", "w") as archive:
        for name in FILES:
            info = zipfile.ZipInfo(name)
            if name == "arrays.npz": info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd" if name == "arrays.npz" else (folder/name).read_bytes())
    refused(lambda: load_bundle(tmp_path/"b.zip"), "link")
    path = zipped(folder, tmp_path/"b.zip")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning): archive.writestr("bundle.json", b"{}")
    refused(lambda: load_bundle(path), "same name")


def test_a_report_may_stand_beside(folder, tmp_path, bundle):
    (folder/"report.html").write_text("<p>for people</p>")
    assert load_bundle(folder).features == bundle.features
    shutil.make_archive(str(tmp_path/"z"), "zip", folder)
    assert load_bundle(tmp_path/"z.zip").features == bundle.features


@pytest.mark.parametrize("change",
                         [dict(n_parameters=None), dict(n_parameters=-1), dict(n_parameters=True),
                          dict(n_train="many"), dict(profile=[1]), dict(profile={}),
                          dict(seen={"salt": "zz"}), dict(seen=None), dict(warnings="none"), dict(dropped=[])], ids=str)
def test_edited_facts(change, folder):
    facts = json.loads((folder/"bundle.json").read_text())
    (folder/"bundle.json").write_text(json.dumps({**facts, **change}))
    sign(folder)
    if change == dict(n_parameters=True): load_bundle(folder)  # one is a number; the network has its own
    else: refused(lambda: load_bundle(folder), str(folder))


def test_components_have_room(cohort, tmp_path):
    "The limits follow the steps: a matrix of components is no bomb."
    wide = simulate_cohort(n_samples=150, n_genes=3000, n_classes=3, seed=0)
    fitted = make_pipeline(ZScaler(), PCAReducer(100), classifier()).fit(wide.X, wide.obs["cancer_type"])
    made = make_bundle(fitted, wide.var_names, wide.X, wide.uns["units"])
    for name in ("m", "m.zip"):
        np.testing.assert_allclose(load_bundle(save_bundle(made, tmp_path/name)).predict_proba(wide.X[:5]),
                                   fitted.predict_proba(wide.X[:5]), atol=1e-6)


def test_what_a_mac_or_windows_leaves_beside_a_bundle_is_not_read(folder, tmp_path, bundle):
    for junk in (".DS_Store", "._bundle.json", "Thumbs.db"): (folder/junk).write_bytes(b"x")
    assert list(load_bundle(folder).classes) == list(bundle.classes)
    with zipfile.ZipFile(tmp_path/"mac.zip", "w") as archive:
        for name in FILES:
            archive.write(folder/name, f"model/{name}")
            archive.writestr(f"__MACOSX/model/._{name}", "x")
    assert list(load_bundle(tmp_path/"mac.zip").classes) == list(bundle.classes)
    (folder/"scaler.pkl").write_bytes(b"x")
    refused(lambda: load_bundle(folder), "do not belong there: scaler.pkl.")


def test_profiles_of_a_few_mutations_are_not_known_again(cohort):
    rng = np.random.default_rng(0)
    X = (rng.random((60, 40)) < .03).astype(np.float32)
    y = np.where(np.arange(60) % 2, "a", "b")
    bundle = make_bundle(make_pipeline(ZScaler(), classifier(2)).fit(X, y), [f"G{i}" for i in range(40)], X, "binary",
                         samples=[f"s{i}" for i in range(60)], patients=[f"p{i}" for i in range(60)])
    new = pd.DataFrame(X, index=[f"n{i}" for i in range(60)], columns=bundle.features)
    assert not recognise(bundle, view=aligned(new, bundle.features, 0))["profiles"].any()
