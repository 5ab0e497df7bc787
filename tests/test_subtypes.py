"""Subtypes: names, centroids, the nearest centroid, transfer,
and the rule that no pan-cancer network may have seen a test patient."""
import json
import os
import pickle
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from recipes import run_small

from cancer_dl import subtypes
from cancer_dl.core import InputError
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.data.samples import patients_of
from cancer_dl.subtypes import (MODES, NearestCentroidPAM50, TransferClassifier,
                                as_pan_cancer_network, centroids_of, compare_transfer, draw_per_class,
                                few_sample_curve, harmonise_subtypes, match_genes, published_for, read_centroids,
                                spearman, subtype_data, subtype_table, train_pan_cancer, transfer_learners)
from cancer_dl.train.bundle import load_bundle, make_bundle, save_bundle
from cancer_dl.train.estimator import CancerClassifier
from cancer_dl.train.fitted import as_fitted
from cancer_dl.train.validate import CrossValidation, cross_validate


@pytest.fixture(scope="module")
def cohort(simulated): return simulated(n_samples=400, n_genes=250, n_classes=4, seed=1, n_markers=8, n_pairs=2)

@pytest.fixture(scope="module")
def data(cohort): return subtype_data(cohort)

@pytest.fixture(scope="module")
def base(cohort, data):
    return train_pan_cancer(cohort, data.patients, epochs=5)  # a small one is enough to be transferred

def published(genes, seed=0):
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(len(genes), 5)), index=genes,
                        columns=["LumA", "LumB", "Her2", "Basal", "Normal"])


# -- names and files

@pytest.mark.parametrize("name, subtype", [("Luminal A", "LumA"), ("luminal_b", "LumB"), ("BRCA.Her2", "Her2"),
                                           ("HER2-enriched", "Her2"), ("Basal-like", "Basal"),
                                           ("Normal-like", "Normal"), ("LumA", "LumA"), ("HER2E", "Her2")])
def test_spellings_of_subtypes(name, subtype):
    assert list(harmonise_subtypes([name])) == [subtype]

def test_a_name_that_is_no_subtype_is_refused():
    with pytest.raises(InputError, match="KIRC.1"): harmonise_subtypes(["LumA", "KIRC.1"])

@pytest.mark.parametrize("text, message", [
    (",LumA,Basal\nESR1,1,2\nESR1,1,2\nKRT5,1,2\n", "ESR1"),
    (",LumA,Basal\nESR1,1,\nKRT5,1,2\nMKI67,1,2\n", "gene ESR1, column 'Basal'"),
    (",LumA,LumX\nA,1,2\nB,1,2\nC,1,3\n", "LumX"), (",LumA,Luminal A\nA,1,2\nB,1,2\nC,1,3\n", "two columns"),
    (",LumA\nA,1\nB,2\nC,3\n", "at least 3 genes and 2 subtypes"), ("", "cannot be read")])
def test_a_bad_file_of_centroids_is_explained(tmp_path, text, message):
    path = tmp_path/"centroids.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message): read_centroids(path)

def test_a_missing_file_of_centroids_is_named(tmp_path):
    with pytest.raises(InputError, match="no file of centroids"): read_centroids(tmp_path/"none.csv")


# -- the tumours

def test_adjacent_normals_are_no_normal_like_tumours(cohort, data):
    chosen = cohort.obs.loc[data.samples]
    assert (set(chosen["sample_type"]) == {"primary"} and set(chosen["cancer_type"]) == {"BRCA"}
            and "Normal" in set(data.y))

def test_a_cohort_of_one_type_needs_no_column(cohort, data):
    one = cohort[cohort.obs["cancer_type"] == "BRCA"].copy()
    del one.obs["cancer_type"]
    assert list(subtype_data(one).samples) == list(data.samples)

@pytest.mark.parametrize("how", ["words", "ids", "blanks"])
def test_normals_and_types_are_read_as_elsewhere(cohort, data, how):
    "An AnnData that nobody has read from files: TCGA's words, no column but barcodes, types with blanks."
    own = cohort.copy()
    normal = (own.obs["sample_type"] == "normal").to_numpy()
    own.obs.loc[normal, "subtype"] = "Normal"
    if how == "words": own.obs["sample_type"] = np.where(normal, "Solid Tissue Normal", "Primary Tumor")
    if how == "ids": del own.obs["sample_type"]
    if how == "blanks":
        types = own.obs["cancer_type"].astype(str)
        own.obs["cancer_type"] = np.where(np.arange(len(types)) % 2, types + " ", types)
    found = subtype_data(own, cancer_type=" BRCA")
    assert list(found.samples) == list(data.samples)
    gone = subtypes.subtype_left_out(own, found)
    assert gone == subtypes.subtype_left_out(cohort, data) and sum(gone.values()) == len(cohort) - len(data.y)

def test_only_normals_of_a_type_are_refused(cohort):
    normal = cohort[(cohort.obs["sample_type"] == "normal") | (cohort.obs["cancer_type"] != "BRCA")]
    with pytest.raises(InputError, match="no tumour of the type BRCA"): subtype_data(normal)


# -- the nearest centroid

def test_spearman_is_scipys_with_ties():
    rng = np.random.default_rng(0)
    X, C = rng.integers(0, 5, (7, 30)).astype(float), rng.normal(size=(30, 3))
    assert np.allclose(spearman(X, C), [[spearmanr(x, c)[0] for c in C.T] for x in X])

def test_a_constant_sample_has_no_correlation():
    assert np.array_equal(spearman(np.ones((1, 4)), np.arange(8.).reshape(4, 2)), [[0, 0]])

def test_nearest_centroid_is_a_scikit_learn_classifier():
    check_estimator(NearestCentroidPAM50())

def test_published_centroids_give_their_own_class():
    genes = [f"g{i}" for i in range(40)]
    table = published(genes)
    y = np.repeat(table.columns.to_numpy(str), 6)
    X = table[y].to_numpy().T + np.random.default_rng(1).normal(scale=.3, size=(30, 40)) + 7
    shuffled = np.random.default_rng(2).permutation(40)
    frame = pd.DataFrame(X[:, shuffled], columns=np.array(genes)[shuffled])
    assert (NearestCentroidPAM50(table).fit(frame, y).predict(frame) == y).all()
    numbers = np.unique(y, return_inverse=True)[1]
    named = NearestCentroidPAM50(table, genes=genes, classes=np.unique(y)).fit(X, numbers)
    assert (named.predict(X) == numbers).all()
    long = np.array(["Luminal A" if k == "LumA" else k for k in y])
    assert set(NearestCentroidPAM50(table, genes=genes).fit(X, long).predict(X)) == set(long)

def test_genes_that_were_renamed_are_found():
    assert match_genes(["CDCA1", "ORC6L", "NDC80", "ESR1"], ["ESR1", "NUF2", "ORC6", "KNTC2"]).tolist() == [1, 2, 3, 0]
    assert match_genes(["CDCA1"], ["NUF2", "CDCA1"]).tolist() == [1]

def test_missing_genes_are_reported_and_refused_below_a_share():
    table, genes = published([f"g{i}" for i in range(20)]), [f"g{i}" for i in range(12)]
    X, y = np.random.default_rng(0).normal(size=(20, 12)), np.repeat(["LumA", "Basal"], 10)
    with pytest.raises(InputError, match="12 of the 20 genes"): NearestCentroidPAM50(table, genes=genes).fit(X, y)
    assert NearestCentroidPAM50(table, genes=genes, min_share=.5).fit(X, y).missing_ == [f"g{i}" for i in range(12, 20)]
    with pytest.raises(InputError, match="no names"): NearestCentroidPAM50(table).fit(X, y)
    with pytest.raises(InputError, match="5 gene names were given for 12"):
        NearestCentroidPAM50(table, genes=genes[:5]).fit(X, y)
    with pytest.raises(InputError, match="no centroid for Normal"):
        NearestCentroidPAM50(table.drop(columns="Normal"), genes=genes,
                             min_share=.5).fit(X, np.repeat(["LumA", "Normal"], 10))

def test_the_centre_comes_from_training_samples_only():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 30)), np.repeat(["LumA", "LumB", "Basal"], 20)
    X[y == "Basal", :10] += 2
    fitted = NearestCentroidPAM50(n_genes=None).fit(X, y)
    assert np.allclose(fitted.centres_, np.median(X, axis=0))
    new = rng.normal(size=(5, 30)) + 3
    assert np.allclose(fitted.correlations(new)[:1], fitted.correlations(new[:1]))

def test_a_balanced_centre_does_not_follow_the_mix_of_subtypes():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), np.repeat(["Basal", "LumA"], 20)
    X[y == "Basal"] += 4
    many = np.r_[np.arange(40), np.repeat(np.arange(20), 4)]
    for centre, moves in (("balanced", False), ("median", True)):
        a, b = (subtypes.gene_centres(X[rows], y[rows], centre) for rows in (np.arange(40), many))
        assert np.allclose(a, b) != moves
    with pytest.raises(InputError, match="median"): subtypes.gene_centres(X, y, "medain")

def test_centroids_take_the_genes_that_differ():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 40)), np.repeat(["LumA", "LumB", "Basal"], 20)
    X[y == "Basal", 5:9] += 5
    X[:, 0] = 1  # constant
    assert centroids_of(X, y, n_genes=4).index.tolist() == [5, 6, 7, 8]


# -- tables

def test_the_averages_of_a_subtype_table():
    result = CrossValidation(np.array([0, 0, 0, 1]), np.array(["Basal", "LumA"]), np.arange(4),
                             np.array([[0, 0, 1, 1], [0, 0, 0, 1]]), None)
    table = subtype_table(result).set_index("class")
    assert table.loc["weighted by n", "recall"] == pytest.approx((.75 * 2 * 2.5 / 3 + .25 * 2) / 2)
    assert table.loc["mean of classes", "recall"] == pytest.approx((2.5 / 3 + 1) / 2) and table.loc["Basal", "n"] == 3


# -- the pan-cancer network and what it has seen

def test_a_pan_cancer_network_sees_no_patient_of_the_subtypes(cohort, data, base):
    assert not base.patients & set(data.patients)
    assert base.patients == set(patients_of(cohort)) - set(data.patients)

def test_a_network_that_saw_a_patient_is_refused(cohort, data):
    cheating = train_pan_cancer(cohort, data.patients[1:], epochs=1)
    assert data.patients[0] in cheating.patients
    with pytest.raises(InputError, match=data.patients[0]): cheating.check_unseen(data.patients)
    with pytest.raises(InputError, match="more than one part"):
        few_sample_curve(data, transfer_learners(data, cheating, epochs=1), (5,), n_repeats=30, test_share=.5)

def test_a_network_of_unknown_training_is_refused(base, data):
    unknown = replace(base, patients=None)
    with pytest.raises(InputError, match="not known"): unknown.check_unseen(data.patients)

@pytest.mark.parametrize("unseen", ["all", "test"])
def test_folds_are_checked_and_a_leak_is_found(cohort, data, monkeypatch, unseen):
    seen = []
    honest = subtypes.train_pan_cancer
    def recorded(cohort, patients, **options):
        seen.append(set(patients))
        return honest(cohort, patients, **{**options, "epochs": 1})
    monkeypatch.setattr(subtypes, "train_pan_cancer", recorded)
    results = compare_transfer(cohort, data, unseen, n_splits=2, n_repeats=1, modes=("frozen",), epochs=1)
    assert len(seen) == (1 if unseen == "all" else 2) and set.union(*seen) == set(data.patients)
    assert [f["n_test"] for f in results["transfer: frozen"].folds] == [len(set(s)) for s in seen] or unseen == "all"
    monkeypatch.setattr(subtypes, "train_pan_cancer", lambda cohort, patients, **options: honest(cohort, [], epochs=1))
    with pytest.raises(InputError, match="more than one part"):
        compare_transfer(cohort, data, unseen, n_splits=2, n_repeats=1, modes=("frozen",), epochs=1)

def test_an_unknown_rule_is_refused(cohort, data):
    with pytest.raises(InputError, match="all"): compare_transfer(cohort, data, "none")


# -- transfer

@pytest.mark.slow  # chapter 32 has the battery for the network it is made of
def test_transfer_from_scratch_is_a_scikit_learn_classifier():
    check_estimator(TransferClassifier(mode="scratch", epochs=30, learning_rate=.01, random_state=0))

def test_a_clone_shares_the_network_and_forgets_the_rest(base, data):
    fitted = TransferClassifier(base, "frozen", genes=data.genes, epochs=1, random_state=0).fit(data.X, data.y)
    copy = clone(fitted)
    assert copy.base is base and not hasattr(copy, "model_")
    assert deepcopy(fitted).base is base
    again = pickle.loads(pickle.dumps(fitted))
    assert again.base.patients == base.patients and again.base.units == base.units and again.base.classes is not None
    assert np.allclose(again.predict_proba(data.X[:9]), fitted.predict_proba(data.X[:9]), atol=1e-6)

def test_a_pan_cancer_network_is_a_fitted_network(cohort, data, base):
    "Taken whole, read by name, and with the names that it had before."
    assert as_fitted(base) is base and base.preprocessing is base.steps and list(base.genes) == base.features
    assert base.task.kind == "classes" and "NORMAL" in base.classes and base.units == data.units
    frame = pd.DataFrame(data.X[:9], columns=data.genes)
    mixed = frame[frame.columns[::-1]].assign(EXTRA=np.float32(9))
    assert np.array_equal(base.predict_proba(mixed), base.predict_proba(data.X[:9]))
    assert np.array_equal(base.transform(mixed.to_numpy(), mixed.columns), base.transform(data.X[:9]))
    again = as_pan_cancer_network(base)
    assert (again.genes == base.genes).all() and again.patients == base.patients and again.units == base.units
    twice = [*map(str, data.genes), str(data.genes[0])]
    with pytest.raises(InputError, match=f"several columns named {data.genes[0]}"): base.columns(twice)

def test_a_transferred_network_is_taken_on_the_genes_of_its_base(base, data):
    "Its own table may have other columns in another order; whoever takes it whole reads the base's by name."
    frame = pd.DataFrame(data.X, columns=data.genes)
    frame = frame[frame.columns[::-1]].assign(EXTRA=np.float32(9))
    fitted = TransferClassifier(base, "frozen", epochs=2, random_state=0).fit(frame, data.y)
    for whole in (as_fitted(fitted), fitted.as_pipeline()):
        assert np.allclose(whole.predict_proba(frame), fitted.predict_proba(frame), atol=1e-6)
    assert as_fitted(fitted).features == base.features
    with pytest.raises(InputError, match="not the 250 features"): as_fitted(fitted, list(frame.columns))
    alone = TransferClassifier(mode="scratch", epochs=1, random_state=0).fit(frame, data.y)
    assert as_fitted(alone).features == list(frame.columns)

@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_network(base, data, mode):
    a, b, c = (TransferClassifier(base, mode, epochs=3, random_state=s).fit(data.X, data.y).predict_proba(data.X)
               for s in (0, 0, 1))
    assert np.array_equal(a, b) and not np.array_equal(a, c)

@pytest.mark.parametrize("cut", ["flat", "hidden_relu"])
def test_frozen_layers_stay_and_others_move(base, data, cut):
    before = base.network.get_weights()
    weights = {mode: TransferClassifier(base, mode, cut, epochs=3, random_state=0).fit(data.X, data.y).model_
               for mode in MODES}
    kernel = base.network.get_layer("convolution").get_weights()[0]
    assert np.array_equal(weights["frozen"].get_layer("convolution").get_weights()[0], kernel)
    assert (0 < np.abs(weights["fine-tuned"].get_layer("convolution").get_weights()[0] - kernel).mean()
            < np.abs(weights["scratch"].get_layer("convolution").get_weights()[0] - kernel).mean())
    assert all(np.array_equal(a, b) for a, b in zip(before, base.network.get_weights()))
    assert ("hidden" in [layer.name for layer in weights["frozen"].layers]) == (cut == "hidden_relu")

def test_frozen_features_and_the_whole_network_agree(base, data):
    "The head was trained on features that were computed beforehand; the whole network must give them to it."
    fitted = TransferClassifier(base, "frozen", epochs=3, random_state=0).fit(data.X, data.y)
    z = base.transform(data.X[:4])
    import keras
    body = keras.Model(base.network.input, base.network.get_layer("flat").output)
    kernel, bias = fitted.model_.get_layer("logits").get_weights()
    logits = keras.ops.convert_to_numpy(body(z)) @ kernel + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert np.allclose(fitted.predict_proba(data.X[:4]), p / p.sum(axis=1, keepdims=True), atol=1e-5)

def test_genes_are_aligned_by_name(base, data):
    order = np.random.default_rng(0).permutation(len(data.genes))
    more = np.hstack([data.X[:, order], np.full((len(data.X), 1), 9, np.float32)])
    names = [*map(str, data.genes[order]), "EXTRA"]
    a = TransferClassifier(base, "frozen", epochs=2, random_state=0).fit(data.X, data.y).predict_proba(data.X)
    b = TransferClassifier(base, "frozen", genes=names, epochs=2, random_state=0).fit(more, data.y).predict_proba(more)
    frame = pd.DataFrame(more, columns=names)
    c = TransferClassifier(base, "frozen", epochs=2, random_state=0).fit(frame, data.y).predict_proba(frame)
    assert np.allclose(a, b, atol=1e-5) and np.allclose(a, c, atol=1e-5)
    with pytest.raises(InputError, match="EXTRA|not in the data"):
        TransferClassifier(base, genes=["x", *data.genes[1:]]).fit(data.X, data.y)
    with pytest.raises(InputError, match="251 columns"): TransferClassifier(base).fit(more, data.y)
    with pytest.raises(InputError, match="3 gene names"):
        TransferClassifier(base, genes=["a", "b", "c"]).fit(data.X, data.y)

def test_what_cannot_work_is_explained(base, data):
    with pytest.raises(InputError, match="starts from a pan-cancer network"): TransferClassifier().fit(data.X, data.y)
    with pytest.raises(InputError, match="frozen"): TransferClassifier(base, "forzen").fit(data.X, data.y)
    with pytest.raises(InputError, match="flat"): TransferClassifier(base, cut="flta").fit(data.X, data.y)
    with pytest.raises(InputError, match="axes a sample"):
        TransferClassifier(base, cut="convolution_relu").fit(data.X, data.y)
    with pytest.raises(InputError, match="without a trained network"):
        as_pan_cancer_network(CancerClassifier(), data.genes)

def test_names_that_contradict_those_of_the_fit_are_refused():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 6)), columns=list("ABCDEF")).astype(np.float32)
    y, quick = np.arange(30) % 2, dict(epochs=1, members=1, random_state=0)
    named = make_pipeline(ZScaler(), CancerClassifier("linear", **quick)).fit(table, y)
    base = as_pan_cancer_network(named)  # it knows its genes
    assert base.features == list(table) == as_pan_cancer_network(named, list(table)).features
    for source in (named, base):
        with pytest.raises(InputError, match="not the 6 features"): as_pan_cancer_network(source, list(table)[::-1])
    bare = CancerClassifier("linear", **quick).fit(table.to_numpy(), y)
    with pytest.raises(InputError, match="6 columns without names"): as_pan_cancer_network(bare)
    with pytest.raises(InputError, match="5 feature names"): as_pan_cancer_network(bare, list("ABCDE"))
    assert as_pan_cancer_network(bare, list("ABCDEF")).features == list("ABCDEF")

def test_a_transferred_network_can_be_saved_and_loaded(base, data, tmp_path):
    fitted = TransferClassifier(base, epochs=3, random_state=0).fit(data.X, data.y)
    bundle = make_bundle(fitted.as_pipeline(), data.genes, data.X, data.units, label="subtype")
    again = load_bundle(save_bundle(bundle, tmp_path/"bundle"))
    assert (np.allclose(again.predict_proba(data.X[:20]), fitted.predict_proba(data.X[:20]), atol=1e-6)
            and list(again.classes) == list(fitted.classes_))
    onwards = as_pan_cancer_network(again, patients=data.patients)
    assert onwards.genes.tolist() == data.genes.tolist()
    with pytest.raises(InputError, match="more than one part"): onwards.check_unseen(data.patients[:1])

def test_transfer_runs_in_cross_validation(base, data):
    result = cross_validate(TransferClassifier(base, "frozen", genes=data.genes, epochs=2, random_state=0), data.X,
                            data.y, data.patients, n_splits=2, n_repeats=1)
    assert np.allclose(result.probability.sum(axis=1), 1, atol=1e-4)

JAX = """
import numpy as np
from sklearn.pipeline import make_pipeline
from cancer_dl.subtypes import MODES, TransferClassifier, as_pan_cancer_network
from cancer_dl.train.estimator import CancerClassifier
rng = np.random.default_rng(0)
X, y = rng.normal(size=(60, 40)).astype("float32"), np.repeat(["a", "b", "c"], 20)
for k, name in enumerate("abc"): X[y == name, 5 * k:5 * k + 5] += 2
trained = CancerClassifier("cnn1d", epochs=3, random_state=0).fit(X, y)
base = as_pan_cancer_network(trained, [f"g{i}" for i in range(40)], patients=[])
kernel = base.network.get_layer("convolution").get_weights()[0].copy()
for mode in MODES:
    fitted = TransferClassifier(base, mode, epochs=60, learning_rate=.01, random_state=0).fit(X, y)
    print(mode, float((fitted.predict(X) == y).mean()),
          bool((fitted.model_.get_layer("convolution").get_weights()[0] == kernel).all()))
"""

@pytest.mark.slow
def test_transfer_on_jax():
    pytest.importorskip("jax")
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", JAX], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert all(float(accuracy) > .9 for accuracy, _ in found.values())
    assert {mode: same for mode, (_, same) in found.items()} == {"frozen": "True", "fine-tuned": "False",
                                                                 "scratch": "False"}


# -- few patients

def test_small_samples_are_nested_and_take_all_of_a_small_class():
    y = np.repeat([0, 1], [30, 4])
    few, more = (draw_per_class(y, np.arange(34), n, np.random.default_rng(3)) for n in (3, 10))
    assert set(few) < set(more) and np.bincount(y[few]).tolist() == [3, 3] and np.bincount(y[more]).tolist() == [10, 4]
    assert len(draw_per_class(y, np.arange(34), None, np.random.default_rng(3))) == 34

def test_a_learning_curve_keeps_patients_apart(data):
    from sklearn.dummy import DummyClassifier
    curve = few_sample_curve(data, {"dummy": DummyClassifier()}, (2, None), n_repeats=3)
    table = subtypes.curve_table(curve)
    assert (table["per_class"].tolist() == [2, "all"] and (table["lower"] <= table["value"]).all()
            and table["value"].tolist() == pytest.approx([1 / len(set(data.y))] * 2))


# -- the recipe

def test_the_recipe_writes_what_it_promises(tmp_path):
    run_small("subtypes", dict(n_samples=300, n_genes=200, n_classes=3, n_splits=2, n_repeats=1, per_class="5,all",
                               curve_repeats=1), tmp_path/"run")
    found = json.loads((tmp_path/"run"/"results.json").read_text())
    assert ({"per_class.csv", "learning_curve.csv", "comparison.csv", "learning_curve.png", "confusion.png"}
            <= {p.name for p in (tmp_path/"run").iterdir()})
    assert (0 < found["accuracy"] < 1 and set(found["versus_scratch"]) == {"frozen", "fine-tuned"}
            and "transfer: scratch" in found["learners"])
    table = pd.read_csv(tmp_path/"run"/"comparison.csv").set_index("learner")
    assert (found["learners"] == pytest.approx(table["accuracy"].to_dict())
            and found["learners"][subtypes.NETWORK] == found["accuracy"])
    assert pd.read_csv(tmp_path/"run"/"learning_curve.csv")["repeat"].min() == 1
    assert (found["left_out"]["normals"] > 0 and found["left_out"]["of other types"] > 0
            and found["verdict"].startswith(subtypes.NETWORK))

def test_the_published_figure_stands_beside_pam50_only():
    five = ["LumA", "LumB", "Her2", "Basal", "Normal"]
    assert published_for(five)["average accuracy"] == .8842 and published_for(np.array(five * 3), "BRCA")
    for y, cancer in ((five[:4], "BRCA"), (["C1", "C2"], ""), (["Basal", "Luminal"], "BLCA"), (five, "LUAD")):
        assert published_for(y, cancer) is None
