"""Batch effects: ComBat against neuroCombat, what is refused and why, pipelines, the leak, and the command line."""
import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_validate
from sklearn.pipeline import Pipeline

from cancer_dl.data.batch import (METHODS, BatchCenterer, ComBat, QuantileToReference, RatioToReference,
                                  TreeIntegrator, batch_predictability, batch_step, correct_cohort, covariate_table,
                                  measure_batches, rejection_rate, simulate_batches)
from cancer_dl.data.cohort import read_cohort, write_cohort
from cancer_dl.data.freeze import freeze, thaw
from recipes import run_small
from commands import cancer_dl
from refusing import refused

NAMES = np.array(list("ABC"), dtype=object)


@pytest.fixture(scope="module")
def arrays():
    "Values of 45 samples and 40 genes in three uneven batches, with a class and an age."
    rng = np.random.default_rng(0)
    batch = np.repeat(NAMES, (20, 15, 10))
    kept = pd.DataFrame({"kind": rng.choice(["x", "y", "z"], 45), "age": rng.uniform(40, 70, 45).round()})
    X = rng.normal(6, 1, (45, 40))*rng.gamma(2, 1, 40) + (kept.kind == "y").to_numpy()[:, None]*rng.normal(0, 1, 40)
    for k, b in enumerate(NAMES):
        X[batch == b] = X[batch == b]*np.exp(rng.normal(0, .2, 40)) + rng.normal(.3*k, 1, 40)
    return X, batch, kept


@pytest.fixture(scope="module")
def hospitals(simulated):
    "Three classes in three hospitals; values may be negative."
    plain = simulated(n_samples=120, n_genes=80, n_classes=3, seed=1, batch=0, share_normals=0, n_markers=4, n_pairs=1)
    plain.uns["units"] = "log2 intensity"
    return simulate_batches(plain, seed=2)


# ---------------------------------------------------------------- ComBat, the published program as the oracle

@pytest.mark.parametrize("parametric", [True, False])
@pytest.mark.parametrize("classes, numbers", [([], []), (["kind"], []), ([], ["age"]), (["kind"], ["age"])])
def test_combat_equals_neurocombat(arrays, parametric, classes, numbers):
    neurocombat = pytest.importorskip("neuroCombat").neuroCombat
    X, batch, kept = arrays
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = neurocombat(X.T.copy(), kept.assign(batch=batch), "batch", classes, numbers,
                             parametric=parametric)["data"].T
    covariates = kept[[*classes, *numbers]] if classes or numbers else None
    ours = ComBat(parametric=parametric).fit(X, batch=batch, covariates=covariates).adjust(X, batch, covariates)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(theirs - X).max() > 1
    single = X.astype(np.float32)
    step = ComBat(parametric=parametric).fit(single, batch=batch, covariates=covariates)
    ours = step.adjust(single, batch, covariates)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("parametric", [True, False])
def test_many_samples_do_not_underflow(parametric):
    "Likelihoods of 2,000 samples are below the smallest float."
    rng = np.random.default_rng(0)
    X, batch = rng.normal(size=(2000, 6)), np.repeat(np.array(["A", "B"], object), 1000)
    X[batch == "B"] = 3*X[batch == "B"] + 5
    Z = ComBat(parametric=parametric).fit(X, batch=batch).transform(X, batch=batch)
    assert np.isfinite(Z).all()
    if parametric: np.testing.assert_allclose(Z[batch == "A"].std(axis=0), Z[batch == "B"].std(axis=0), rtol=.02)


def test_the_order_and_the_names_of_samples_do_not_matter(arrays):
    X, batch, kept = arrays
    step = ComBat().fit(X, batch=batch, covariates=kept.kind)
    order = np.random.default_rng(1).permutation(len(X))
    other = ComBat().fit(X[order], batch=batch[order], covariates=kept.kind.to_numpy()[order])
    np.testing.assert_allclose(other.transform(X, batch=batch), step.transform(X, batch=batch), atol=1e-8)
    named = {"x": "c", "y": "b", "z": "a"}  # another class comes first
    renamed = ComBat().fit(X, batch=batch, covariates=kept.kind.map(named))
    np.testing.assert_allclose(renamed.transform(X, batch=batch), step.transform(X, batch=batch), atol=1e-8)


def test_new_samples_get_what_was_learned(arrays):
    X, batch, kept = arrays
    for step in (ComBat(), BatchCenterer(), RatioToReference(to="B"), TreeIntegrator()):
        step.fit(X, batch=batch)
        np.testing.assert_allclose(step.transform(X[30:31], batch=batch[30:31])[0],
                                   step.transform(X, batch=batch)[30])  # alone as among others
        refused(lambda: step.transform(X[:2], batch=["A", "New"]), "Batch New is unknown", "A, B, C")


@pytest.mark.parametrize("keep", [False, True])
def test_an_unknown_batch_is_centred_where_the_training_samples_lie(arrays, keep):
    X, batch, kept = arrays
    step = BatchCenterer(unknown="own").fit(X, batch=batch, covariates=kept.kind if keep else None)
    known, new = step.transform(X, batch=batch), step.transform(X[:20] + 7, batch=["N"]*20)
    np.testing.assert_allclose(new.mean(axis=0), known.mean(axis=0), atol=1e-8)
    refused(lambda: step.transform(X[:1], batch=["N"]), "one sample")


def test_genes_that_do_not_vary_are_left_alone(arrays):
    X, batch, _ = arrays
    flat = X.copy()
    flat[:, 3], flat[:, 5] = 2.5, np.where(batch == "A", 1., 4.)
    Z = ComBat().fit(flat, batch=batch).transform(flat, batch=batch)
    np.testing.assert_array_equal(Z[:, [3, 5]], flat[:, [3, 5]])
    off = X.copy(); off[batch == "A", 7] = 0  # below detection in one batch
    Z = ComBat().fit(off, batch=batch).transform(off, batch=batch)
    assert np.isfinite(Z).all()
    one = ComBat().fit(X[:, :1], batch=batch).transform(X[:, :1], batch=batch)  # no other gene to learn from
    np.testing.assert_allclose(one[batch == "A"].mean(), one[batch == "B"].mean(), atol=1e-8)


def test_an_effect_of_factors_and_shifts_comes_out(simulated):
    plain = simulated(n_samples=120, n_genes=80, n_classes=3, seed=1, batch=0, share_normals=0, n_markers=4, n_pairs=1)
    plain.uns["units"] = "log2 intensity"
    cohort = simulate_batches(plain, seed=2)
    batch, label = cohort.obs.batch, cohort.obs.cancer_type
    Z = ComBat().fit(cohort.X, batch=batch, covariates=label).adjust(cohort.X, batch, label)
    def distance(A): return np.sqrt(np.square((A - A.mean(axis=0)) - (plain.X - plain.X.mean(axis=0))).mean())
    assert distance(Z) < .5*distance(cohort.X)


# ---------------------------------------------------------------- measures

def test_measures_know_mixed_from_apart():
    rng = np.random.default_rng(0)
    batch, label = np.repeat(NAMES, 40), np.tile(["x", "y"], 60)
    mixed = rng.normal(size=(120, 30)); mixed[label == "y", :5] += 2
    apart = mixed + np.repeat(rng.normal(0, 2, (3, 30)), 40, axis=0)
    near, far = measure_batches(mixed, batch, label), measure_batches(apart, batch, label)
    assert abs(near.silhouette_batch) < .05 < .2 < far.silhouette_batch and near.silhouette_class > .1
    assert near.rejection < .1 and far.rejection > .95 and far.rejection_shuffled < .1
    assert near.predictability < .5 and far.predictability > .95 and near.majority == pytest.approx(1/3)
    assert rejection_rate(apart, rng.permutation(batch), k=10) < .15


def test_predictability_is_by_patient():
    "Ten samples of a patient are alike; only if they stood in training and test could the batch be told."
    patients, found = np.repeat(np.arange(20), 10), []
    batch = np.where(patients < 10, "A", "B")
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(20, 100))[patients] + .01*rng.normal(size=(200, 100))
        found.append([batch_predictability(X, batch, who) for who in (patients, None)])
    by_patient, by_sample = np.mean(found, axis=0)
    assert by_patient < .7 and by_sample > .95


def test_measures_refuse():
    X = np.zeros((6, 3))
    refused(lambda: measure_batches(X, ["A"]*6), "two or more batches")
    refused(lambda: measure_batches(X, list("ABCDEF")), "two or more batches")
    refused(lambda: measure_batches(X, ["A", "B", "", "A", "B", "B"]), "have no batch", "row 2")
    refused(lambda: measure_batches(np.where(np.eye(6, 3) > 0, np.nan, 0.), ["A", "B"]*3), "NaN in row 0, column 0")


# ---------------------------------------------------------------- what cannot be done is said

def test_confounded_designs_are_refused_with_batch_and_class(arrays):
    X, batch, _ = arrays
    kind = np.where(batch == "C", "tumour", np.where(np.arange(45) % 2, "normal", "benign"))
    column = pd.Series(kind, name="type")
    for step in (ComBat(), ComBat(parametric=False), BatchCenterer()):
        refused(lambda: step.fit(X, batch=batch, covariates=column), "confounded", "batch C", "class tumour of 'type'")
    refused(lambda: TreeIntegrator().fit(X, batch=batch, covariates=column), "confounded")
    kind[0] = "tumour"  # one sample links them
    ComBat().fit(X, batch=batch, covariates=kind)
    two = np.where(batch == "A", "x", np.where(np.arange(45) % 2, "y", "z"))  # B and C hang together, A does not
    refused(lambda: ComBat().fit(X, batch=batch, covariates=two), "class x", "batch A")
    ComBat().fit(X, batch=batch)  # without the class there is nothing to tell apart


def test_covariates_that_could_be_misread_are_refused(arrays):
    X, batch, kept = arrays
    refused(lambda: covariate_table(pd.Series(range(45), name="age"), 45), "give it as float", "give it as text")
    refused(lambda: covariate_table(pd.Series(["x", None]*22 + ["x"], name="kind"), 45), "have no kind")
    refused(lambda: covariate_table(kept.age.where(kept.age.index != 4), 45), "'age' is missing or infinite in row 4")
    refused(lambda: covariate_table(kept.kind[:9], 45), "9 values")
    step = ComBat().fit(X, batch=batch, covariates=kept)
    refused(lambda: step.adjust(X, batch), "give these covariates")
    refused(lambda: step.adjust(X, batch, kept.assign(kind="w")), "kind=w did not occur")


def test_batches_that_say_too_little_are_refused(arrays):
    X, batch, _ = arrays
    lonely = np.where(np.arange(45) == 44, "D", batch)
    for method in ("combat", "combat-nonparametric", "tree"):
        refused(lambda: batch_step(method).fit(X, batch=lonely), "D", "has one sample")
    BatchCenterer().fit(X, batch=lonely)
    for step in (ComBat(), BatchCenterer(), RatioToReference(to="A"), TreeIntegrator()):
        refused(lambda: step.fit(X), "needs the batch of each sample")
        refused(lambda: step.fit(X, batch=batch[:9]), "45 samples and 9 values")
        refused(lambda: step.fit(X, batch=np.where(batch == "A", None, batch)), "20 of 45 samples have no batch")
    refused(lambda: ComBat().fit(np.where(X > X.max() - 1e-9, np.nan, X), batch=batch), "NaN in row")
    refused(lambda: BatchCenterer(unknown="mean").fit(X, batch=batch), "no rule for unknown batches")
    refused(lambda: batch_step("combatt"), "Did you mean combat")


def test_ratio_asks_for_references(arrays):
    X, batch, _ = arrays
    refused(lambda: RatioToReference().fit(X, batch=batch), "needs either reference=")
    refused(lambda: RatioToReference(to="A").fit(X, batch=batch, reference=batch == "A"), "needs either reference=")
    refused(lambda: RatioToReference(to="Z").fit(X, batch=batch), "no batch called 'Z'")
    refused(lambda: RatioToReference().fit(X, batch=batch, reference=batch == "A"), "B, C has no reference sample")
    refused(lambda: RatioToReference().fit(X, batch=batch, reference=np.ones(45, int)), "one truth value a sample")


def test_whole_numbers_are_one_batch_however_they_are_written(arrays):
    X, batch, _ = arrays
    number = np.searchsorted(NAMES, batch) + 1
    step = ComBat().fit(X, batch=number)
    for again in (number.astype(float), number.astype(str), pd.Series(number).astype("category")):
        np.testing.assert_array_equal(step.transform(X, batch=again), step.transform(X, batch=number))


# ---------------------------------------------------------------- trees

def test_a_tree_joins_batches_that_lack_genes(hospitals):
    X, batch, label = hospitals.X.astype(float), hospitals.obs.batch.to_numpy(), hospitals.obs.cancer_type.to_numpy()
    holes = X.copy()
    holes[np.ix_(batch == "A", np.arange(0, 20))] = np.nan
    holes[np.ix_(batch == "C", np.arange(15, 40))] = np.nan
    holes[np.ix_(batch != "B", np.arange(38, 40))] = np.nan  # two genes in one batch only
    step = TreeIntegrator().fit(holes, batch=batch, covariates=label)
    Z = step.transform(holes, batch=batch)
    np.testing.assert_array_equal(np.isnan(Z), np.isnan(holes))
    np.testing.assert_allclose(Z[batch == "B"][:, 38:40], X[batch == "B"][:, 38:40])  # no other batch to compare with
    before, after = (measure_batches(A[:, 40:], batch, label) for A in (X, Z))
    assert after.silhouette_batch < .05 < before.silhouette_batch
    pair = batch != "C"  # genes 20 to 37 are in A and B: their gap closes too
    gap = [np.abs(A[pair & (batch == "A"), 20:38].mean(axis=0) - A[pair & (batch == "B"), 20:38].mean(axis=0)).mean()
           for A in (X, Z)]
    assert gap[1] < .4*gap[0]
    again = thaw(json.loads(json.dumps(freeze(step)[0])), freeze(step)[1])
    np.testing.assert_array_equal(again.transform(holes, batch=batch), Z)
    holes[0, 60] = np.nan
    refused(lambda: TreeIntegrator().fit(holes, batch=batch), "missing in some samples and not in others")


# ---------------------------------------------------------------- pipelines

def pipeline(step): return Pipeline([("batch", step), ("learn", LogisticRegression(C=.1, max_iter=300))])

def test_the_batch_travels_through_pipelines(hospitals):
    X, batch, y = hospitals.X, hospitals.obs.batch.to_numpy(), hospitals.obs.cancer_type.to_numpy()
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    by_hand = []
    for train, test in folds.split(X, y):
        step = ComBat().fit(X[train], batch=batch[train], covariates=y[train])
        learner = LogisticRegression(C=.1, max_iter=300).fit(step.transform(X[train], batch[train]), y[train])
        by_hand.append(learner.score(step.transform(X[test], batch[test]), y[test]))
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_validate(pipeline(ComBat()), X, y, cv=folds, error_score="raise",
                               params={"batch": batch, "covariates": y})
        fitted = pipeline(ComBat()).fit(X, y, batch=batch)
        assert (fitted.predict(X, batch=batch) == fitted.predict(X, batch=list(batch))).all()
        refused(lambda: fitted.predict(X), "needs the batch of each sample")
        asked = clone(ComBat().set_fit_request(batch="hospital").set_transform_request(batch="hospital"))
        renamed = cross_validate(pipeline(asked), X, y, cv=folds, error_score="raise", params={"hospital": batch})
        plain = cross_validate(pipeline(ComBat()), X, y, cv=folds, error_score="raise", params={"batch": batch})
        of_fit = cross_val_predict(pipeline(ComBat(column="hospital")), hospitals.to_df().assign(hospital=batch), y,
                                   cv=folds, params={})
    np.testing.assert_allclose(found["test_score"], by_hand)
    np.testing.assert_allclose(renamed["test_score"], plain["test_score"])
    of_folds = [np.mean(of_fit[test] == y[test]) for _, test in folds.split(X, y)]
    np.testing.assert_allclose(of_folds, plain["test_score"])


def test_no_class_can_reach_transform(hospitals):
    "`score` hands on what the step asks for; the class of a test sample must not be among it."
    X, batch, y = hospitals.X, hospitals.obs.batch.to_numpy(), hospitals.obs.cancer_type.to_numpy()
    wrong = np.roll(y, 1)
    with sklearn.config_context(enable_metadata_routing=True):
        fitted = pipeline(ComBat()).fit(X, y, batch=batch, covariates=y)
        with pytest.raises(TypeError): fitted.predict(X, batch=batch, covariates=wrong)
    assert "covariates" not in ComBat().get_metadata_routing().transform.requests


def test_a_column_of_x_is_taken_off(hospitals):
    table = hospitals.to_df().assign(where=hospitals.obs.batch)
    for name in METHODS:
        options = {"to": "A"} if name == "ratio" else {}
        step = batch_step(name, column="where", **options).fit(table)
        plain = batch_step(name, **options).fit(hospitals.X, batch=hospitals.obs.batch)
        np.testing.assert_allclose(step.transform(table), plain.transform(hospitals.X, batch=hospitals.obs.batch),
                                   atol=1e-5)
        assert list(step.get_feature_names_out()) == list(hospitals.var_names)


def noise(seed, n=60, p=800, share=.8):
    "Values without any effect, and classes spread four to one over two batches."
    batch = np.repeat(np.array(["A", "B"], object), n//2)
    y = np.where(np.tile(np.arange(n//2) < share*n//2, 2) == (batch == "A"), "x", "y")
    return np.random.default_rng(seed).normal(size=(n, p)), batch, y

def within_batches(y, batch, score):
    from sklearn.metrics import roc_auc_score
    return np.mean([roc_auc_score(y[batch == b] == "y", score[batch == b]) for b in "AB"])

def test_the_honest_pipeline_does_not_profit_from_the_leak():
    "Nygaard et al. 2016: corrected with the class kept, before the folds, noise falls into classes."
    areas = []
    for seed in range(4):
        X, batch, y = noise(seed)
        leaky = ComBat().fit(X, batch=batch, covariates=y).adjust(X, batch, y)
        score = np.zeros((2, len(y)))
        for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, batch + y):
            honest = ComBat().fit(X[train], batch=batch[train], covariates=y[train]).transform(X, batch)
            for row, Z in zip(score, (leaky, honest)):
                learner = LogisticRegression(C=.01, max_iter=300).fit(Z[train], y[train])
                row[test] = learner.decision_function(Z[test])
        areas.append([within_batches(y, batch, row) for row in score])
    leaky, honest = np.mean(areas, axis=0)
    assert leaky > .8 and honest < .6, areas


# ---------------------------------------------------------------- whole cohorts and the command line

@pytest.fixture(scope="module")
def folder(hospitals, tmp_path_factory):
    return write_cohort(hospitals, tmp_path_factory.mktemp("batch")/"cohort")


def test_the_command_writes_what_combat_gives(folder, hospitals, tmp_path):
    out = tmp_path/"corrected"
    words = ("data", "batch", folder, "--batch", "batch", "--keep", "cancer_type", "--out", out)
    code, said, err = cancer_dl(*words)
    assert code == 0, err
    assert "silhouette by batch" in said and "before" in said and "after combat" in said and "training samples" in said
    assert (out/"batches.png").read_bytes()[:4] == b"\x89PNG"
    found = read_cohort(out, verbose=False)
    batch, label = hospitals.obs.batch, hospitals.obs.cancer_type
    expected = ComBat().fit(hospitals.X, batch=batch, covariates=label).adjust(hospitals.X, batch, label)
    np.testing.assert_allclose(found[hospitals.obs_names].X, expected, atol=1e-5)
    assert found.uns["units"] == hospitals.uns["units"]
    assert any("corrected by combat, keeping cancer_type" in str(note) for note in found.uns["notes"])
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    code, said, err = cancer_dl(*words)
    assert code == 2 and "--overwrite" in err and before == {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    assert cancer_dl(*words, "--overwrite", "--method", "center")[0] == 0
    assert any("center" in str(note) for note in read_cohort(out, verbose=False).uns["notes"])


@pytest.mark.parametrize("words", [("--method", "ratio", "--references", "cancer_type=BRCA"),
                                   ("--method", "tree", "--keep", "cancer_type")])
def test_methods_with_options_have_a_command(folder, tmp_path, words):
    code, said, err = cancer_dl("data", "batch", folder, "--batch", "batch", "--out", tmp_path/"c.h5ad", *words)
    assert code == 0, err
    assert (tmp_path/"c.batches.png").exists() and read_cohort(tmp_path/"c.h5ad", verbose=False).n_obs == 120


def test_every_method_corrects_a_cohort(hospitals):
    for method in METHODS:
        done = correct_cohort(hospitals, "batch", method, **({"to": "A"} if method == "ratio" else {}))
        assert done.cohort.shape == hospitals.shape and np.isfinite(done.cohort.X).all()
        assert (done.after.silhouette_batch < .05 < done.before.silhouette_batch) == (method != "quantile"), method


@pytest.mark.parametrize("words, parts", [
    (("--batch", "hospital"), ["no column of the sample table called 'hospital'"]),
    (("--batch", "batch", "--method", "comba"), ["Did you mean combat"]),
    (("--batch", "batch", "--keep", "batch"), ["holds the batches"]),
    (("--batch", "batch", "--keep", "patient"), ["'patient' has", "too few samples a class"]),
    (("--batch", "batch", "--keep", "batches"), ["no column of the sample table called 'batches'"]),
    (("--batch", "cancer_type", "--keep", "tissue"), ["confounded", "BRCA", "breast"]),
    (("--batch", "patient"), ["has one sample"]),
    (("--batch", "batch", "--method", "ratio"), ["needs either reference"]),
    (("--batch", "batch", "--method", "ratio", "--references", "tissue"), ["expected COLUMN=VALUE"]),
    (("--batch", "batch", "--method", "ratio", "--references", "tissue=moon"), ["no sample has moon"]),
    (("--batch", "batch", "--to", "A"), ["for the method ratio"]),
    (("--batch", "batch", "--method", "quantile", "--keep", "tissue"), ["does not look at classes"]),
    (("--batch", "batch", "--keep-number", "tissue"), ["shall be kept as a number"]),
])
def test_the_command_refuses(folder, tmp_path, words, parts):
    code, said, err = cancer_dl("data", "batch", folder, "--out", tmp_path/"out", *words)
    assert code == 2 and "Traceback" not in err and err.count("\n") == 1, err
    for part in parts: assert part in err
    assert not list(tmp_path.iterdir())


def test_counts_are_refused_with_a_remedy(hospitals, tmp_path):
    counts = hospitals.copy()
    counts.X = np.round(2**np.clip(counts.X, 0, 12)).astype(np.float32)
    counts.uns["units"] = "counts"
    for method in METHODS:
        refused(lambda: correct_cohort(counts, "batch", method), "counts", "LogCPM")
    counts.uns["units"] = "FPKM"
    refused(lambda: correct_cohort(counts, "batch"), "FPKM", "log2(x + 1)")
    assert correct_cohort(counts, "batch", "quantile").cohort.uns["units"] == "FPKM"


def test_a_class_that_goes_with_the_batch_and_is_not_kept_is_said(simulated):
    plain = simulated(n_samples=120, n_genes=80, n_classes=3, seed=1, batch=0, share_normals=0, n_markers=4, n_pairs=1)
    cohort = simulate_batches(plain, confounding=.8, seed=2)
    assert any("was not kept" in line for line in correct_cohort(cohort, "batch").warnings)
    assert not any("was not kept" in line for line in correct_cohort(cohort, "batch", keep=["cancer_type"]).warnings)
    cohort.obs["age"] = np.arange(cohort.n_obs) % 40
    assert any("cancer_type goes with" in line for line in correct_cohort(cohort, "batch", numbers=["age"]).warnings)


def test_a_corrected_cohort_can_be_read_again(simulated, tmp_path):
    "Values with a floor at 0: a correction leaves small negative ones, which reading must accept."
    plain = simulated(n_samples=120, n_genes=80, n_classes=3, seed=1, batch=0, share_normals=0, n_markers=4, n_pairs=1)
    cohort = simulate_batches(plain, shift=2, seed=2)
    assert cohort.X.min() == 0 and cohort.uns["units"] == "log2(FPKM+1)"
    done = correct_cohort(cohort, "batch")
    assert done.cohort.X.min() < 0
    write_cohort(done.cohort, tmp_path/"corrected")
    np.testing.assert_allclose(read_cohort(tmp_path/"corrected", verbose=False).X, done.cohort.X, atol=1e-6)


def test_simulated_batches_keep_patients_together(simulated):
    plain = simulated(n_samples=120, n_genes=80, n_classes=3, seed=1, batch=0, share_normals=.2, n_markers=4, n_pairs=1)
    cohort = simulate_batches(plain, new=.3, references=2, seed=0)
    assert cohort.obs.groupby("patient").batch.nunique().max() == 1
    assert set(cohort.obs.batch) == {"A", "B", "C", "NEW"} and cohort.obs.reference.sum() == 8
    other = simulate_batches(plain, new=.3, references=2, seed=0)
    np.testing.assert_array_equal(cohort.X, other.X)
    assert QuantileToReference().fit(cohort.X).transform(cohort.X).shape == cohort.X.shape


def test_the_recipe_measures_and_corrects(folder, tmp_path):
    found = run_small("batch", {"cohort": str(folder), "method": "center"}, tmp_path/"out")
    assert found["after"]["silhouette_batch"] < .05 < found["before"]["silhouette_batch"] and found["samples"] == 120
    written = {p.name for p in (tmp_path/"out").iterdir()}
    assert {"batches.png", "design.png", "measures.csv", "corrected.h5ad"} <= written
