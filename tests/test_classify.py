"""From a cohort to a classifier: copies of samples, answers among the genes, normals, what the bundle remembers,
evaluation on what it was trained on."""
import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from cancer_dl.classify import (default_pipeline, evaluate_bundle, seen_metrics, prediction_table, read_for,
                                train_classifier, write_evaluation)
from cancer_dl.data.labels import labelled
from cancer_dl.core import InputError
from cancer_dl.data.batch import correct_cohort
from cancer_dl.data.checkup import answers_among_genes
from cancer_dl.data.cohort import read_cohort, write_cohort
from cancer_dl.data.preprocess import LogCPM, ZScaler
from cancer_dl.data.shift import _direction
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.data.units import units_of
from cancer_dl.multitask import train_multitask
from cancer_dl.tandem import train_tandem
from cancer_dl.train import estimator
from cancer_dl.train.bundle import load_bundle, save_bundle
from cancer_dl.train.estimator import CancerClassifier
from cancer_dl.train.validate import cross_validate

QUICK = dict(epochs=3, model="mlp", model_params={"dense": 16}, seed=0, judge="holdout", refit=False)


@pytest.fixture(scope="module")
def cohort(simulated): return simulated(n_samples=300, n_genes=80, n_classes=3, seed=0)


@pytest.fixture(scope="module")
def trained(cohort): return train_classifier(cohort, normal_class=True, **QUICK)


def with_rows(cohort, rows, ids=None, **columns):
    "Some rows, possibly more than once, under new ids."
    ids = pd.Index([f"n{i}" for i in range(len(rows))] if ids is None else ids)
    return AnnData(cohort.X[rows].copy(), cohort.obs.iloc[rows].set_axis(ids).assign(**columns), cohort.var.copy(),
                   uns={"units": cohort.uns["units"]})


# ---------------------------------------------------------------- copies

def test_copies_never_stand_on_both_sides(cohort):
    """Every sample twice, under two ids and two patients:
    with random labels a split through the copies would be rewarded."""
    rows = np.r_[0:150, 0:150]
    copies = with_rows(cohort, rows, patient=[f"p{i}" for i in range(300)])
    trained = train_classifier(copies, normal_class=True, **QUICK)
    tube = rows
    for a, b in [("train", "test")]:
        assert not set(tube[trained.parts[a]]) & set(tube[trained.parts[b]])
    assert "150 group(s)" in trained.warnings[0] and "the patients differ" in trained.warnings[0]
    assert trained.bundle.facts["warnings"] == trained.warnings and len(set(trained.data.patients)) <= 150
    assert len(set(trained.data.own_patients)) == 300


def test_copies_with_two_labels_are_told(cohort):
    y = cohort.obs["cancer_type"].to_numpy(str)[np.r_[0:60, 0]]
    y[-1] = next(c for c in np.unique(y) if c != y[0])
    data = labelled(with_rows(cohort, np.r_[0:60, 0], cancer_type=y), normal_class=False)
    assert "the labels differ" in data.warnings[0]


def test_chains_of_copies_and_patients(cohort):
    "a = b by profile and b, c of one patient: all three are one."
    data = labelled(with_rows(cohort, np.r_[0:50, 0], patient=[*(f"p{i}" for i in range(50)), "p1"]), normal_class=True)
    assert len(set(data.patients[[0, 1, 50]])) == 1 and len(set(data.patients)) == 49


def test_panels_of_few_values_may_agree_by_chance():
    rng = np.random.default_rng(0)
    panel = AnnData((rng.random((80, 12)) < .1).astype(np.float32),
                    pd.DataFrame({"cancer_type": np.repeat(["A", "B"], 40)}, index=[f"s{i}" for i in range(80)]))
    panel.uns["units"] = "binary"
    data = labelled(panel)
    assert data.warnings == () and len(set(data.patients)) == 80


def test_no_word_where_there_are_no_copies(trained):
    others = ("last epoch", "goes with 'batch'", "always saying")  # three epochs teach little
    assert (not [w for w in trained.warnings if not any(part in w for part in others)]
            and trained.bundle.facts["warnings"] == trained.warnings)  # three epochs are few


# ---------------------------------------------------------------- the answer among the genes

@pytest.mark.parametrize("form", ["codes", "scaled", "one class", "two codes a class"])
def test_the_answer_among_the_genes_is_named(form, cohort):
    y = np.unique(cohort.obs["cancer_type"].astype(str), return_inverse=True)[1].astype(float)
    rng = np.random.default_rng(0)
    column = {"codes": y, "scaled": (y - y.mean())/y.std(), "one class": (y == 1)*1.,
              "two codes a class": 2*y + (rng.random(len(y)) > .5)}[form]
    leaky = AnnData(np.column_stack([cohort.X, column]).astype(np.float32), cohort.obs,
                    pd.DataFrame(index=[*cohort.var_names, "grp"]), uns={"units": "log2(FPKM+1)"})
    leaky.obs = leaky.obs.assign(sample_type="primary")
    trained = train_classifier(leaky, **QUICK)
    assert any("grp alone gives the label" in said for said in trained.warnings)
    assert "grp alone" in str(trained.bundle.facts["warnings"])


def test_strong_markers_are_no_answers():
    rng, y = np.random.default_rng(0), np.repeat([0, 1, 2], 40)
    # each gene marks a class without an error
    X = rng.normal(5, 1, (120, 30)) + 20*(y[:, None] == np.arange(30)[None] % 3)
    floor = np.where(y[:, None] == 0, rng.normal(8, 1, (120, 5)), 0)  # silent in all other classes
    assert len(answers_among_genes(np.column_stack([X, floor]), y)) == 0
    assert len(answers_among_genes((rng.random((120, 500)) < .2)*1., y)) == 0


# ---------------------------------------------------------------- normals, what was left out, decisions

def test_a_class_of_normals_needs_normals(cohort):
    tumours = cohort[cohort.obs["sample_type"] != "normal"]
    with pytest.raises(InputError, match="No sample is normal, so there is no class NORMAL"):
        train_classifier(tumours, normal_class=True, **QUICK)


def test_what_was_left_out_and_decided_is_remembered(cohort):
    some = cohort.copy()
    some.obs["cancer_type"] = some.obs["cancer_type"].astype(str).where(np.arange(len(some)) >= 7, "")
    some.uns["roles"] = {"patient": {"text": "from the first 12 characters of the ids"},
                         "sample_type": {"text": "from column kind"}}
    trained = train_classifier(some, drop_unlabelled=True, **QUICK)
    normals = int((some.obs["sample_type"] == "normal").sum())
    bare = int(((some.obs["sample_type"] != "normal") & (np.arange(len(some)) < 7)).sum())
    facts = trained.bundle.facts
    assert facts["dropped"] == {"normals": normals, "without a label": bare}
    from cancer_dl.train.bundle import model_card_text
    card = model_card_text(facts)
    assert "from the first 12 characters" in card and f"{normals} normals, {bare} without a label" in card


# ---------------------------------------------------------------- trained once more, after a hold-out

def test_after_a_hold_out_the_network_that_is_kept_learns_from_everybody(trained, cohort):
    "Judged as without it; the weights are those of a fit on all samples."
    told = []
    whole = train_classifier(cohort, normal_class=True, say=told.extend, **{**QUICK, "refit": True})
    assert whole.metrics() == trained.metrics()
    assert whole.bundle.calibration.temperature == trained.bundle.calibration.temperature
    assert (whole.bundle.calibration.scores == trained.bundle.calibration.scores).all()
    alone = clone(whole.pipeline).fit(whole.data.X, whole.data.y)
    p = whole.pipeline.predict_proba(whole.data.X)
    np.testing.assert_allclose(p, alone.predict_proba(whole.data.X), atol=1e-6)
    assert abs(p - trained.pipeline.predict_proba(whole.data.X)).max() > .01
    assert evaluate_bundle(whole.bundle, cohort)[1]["n_trained_samples"] == len(cohort)
    assert list(whole.parts) == ["train"] and len(whole.parts["train"]) == len(cohort)
    n = {part: f"{part} {len(rows)}" for part, rows in trained.parts.items()}
    split = whole.bundle.facts["provenance"]["split"]
    assert n["train"] in split and n["test"] in split and split.endswith(f"trained on all {len(cohort)} samples")
    assert f"kept       a network that is then trained on all {len(cohort)} samples" in told
    assert whole.bundle.familiarity.facts == {**trained.bundle.familiarity.facts,
                                              "source": whole.bundle.familiarity.facts["source"]}


def test_what_cannot_end_well_is_refused_before_training(cohort):
    for options, said in ((dict(judge="crossval", refit=False), "Leave refit out"),
                          (dict(pipeline=make_pipeline(ZScaler(), LogisticRegression())), "ends in LogisticRegression"),
                          (dict(pipeline=make_pipeline(CancerClassifier(random_state=np.random.RandomState(0)))),
                           "no whole number")):
        with pytest.raises(InputError, match=said): train_classifier(cohort, normal_class=True, **options)
    for train in (lambda **o: train_multitask(cohort, ["cancer_type"], **o), lambda **o: train_tandem(cohort, **o)):
        with pytest.raises(InputError, match="Leave refit out"): train(judge="crossval", refit=False)


def test_samples_that_are_set_aside_share_no_patient_with_the_rest(cohort, monkeypatch):
    "Of the judged network and of the one that is kept, in a hold-out and in folds."
    pairs = cohort.copy()
    pairs.obs["patient"] = [f"P{i // 2}" for i in range(len(pairs))]
    seen, own = [], estimator._hold_out
    def spy(numbers, groups, fraction, seed):
        parts = own(numbers, groups, fraction, seed)
        seen.append(set(groups[parts[0]]) & set(groups[parts[1]]))
        return parts
    monkeypatch.setattr(estimator, "_hold_out", spy)
    options = {**QUICK, "epochs": 1, "validation_fraction": .3, "monitor": "val_loss"}
    train_classifier(pairs, normal_class=True, **{**options, "refit": True})
    cross_validate(CancerClassifier("mlp", epochs=1, members=1, validation_fraction=.3), pairs.X[:60],
                   np.array(["a", "b"] * 30), pairs.obs["patient"].to_numpy()[:60], n_splits=2, n_repeats=1)
    assert seen == [set()] * 4


def test_a_cohort_that_was_centred_as_a_whole_has_the_right_sign():
    "What is left of it runs against any part of it, by the means that were taken off."
    rng = np.random.default_rng(0)
    m, s = rng.normal(size=200), np.ones(200)
    left = lambda k: _direction(-k * m, m, s, s, 300, 300)
    assert left(.01) is None and left(4) is None and left(1) == pytest.approx(-1)
    small = m / 20  # as chance has it
    assert _direction(-small, small, s, s, 300, 300) is None


def test_own_sizes_are_kept(cohort):
    "Who divides the samples alone has reasons; so the network of that training part is kept."
    trained = train_classifier(cohort, normal_class=True, sizes=(.7, .3), **{**QUICK, "refit": True})
    assert sorted(trained.parts) == ["test", "train"]
    assert evaluate_bundle(trained.bundle, cohort)[1]["n_trained_samples"] == len(trained.parts["train"])


# ---------------------------------------------------------------- evaluation on what it was trained on

def test_evaluation_on_training_samples_is_marked(trained, cohort, tmp_path):
    bundle = load_bundle(save_bundle(trained.bundle, tmp_path/"m"))
    evaluation, report = evaluate_bundle(bundle, cohort)
    train = trained.parts["train"]
    people = set(trained.data.patients[train])
    assert report["n_trained_samples"] == len(train) and report["n_trained_patients"] == len(people)
    assert "not new to the model" in report["warnings"][0]
    write_evaluation(evaluation, tmp_path/"e")
    metrics = json.loads((tmp_path/"e"/"metrics.json").read_text())
    seen = np.isin(trained.data.patients, list(people))
    assert metrics["seen_in_training"] == {"samples": int(seen.sum()), "patients": len(people),
                                           "share": round(seen.mean(), 6)}
    assert metrics["unseen"]["n"] == (~seen).sum() and metrics["n"] == len(cohort)


def test_evaluation_on_new_patients_is_not_marked(trained, cohort):
    test = cohort[trained.data.samples[trained.parts["test"]]]
    evaluation, report = evaluate_bundle(trained.bundle, test)
    assert not [w for w in report["warnings"] if "always saying" not in w] and report["n_trained_samples"] == 0
    assert seen_metrics(evaluation) == {"seen_in_training": {"samples": 0, "patients": 0, "share": 0.0}}
    expected = trained.bundle.calibration.apply(trained.evaluation.probability)
    np.testing.assert_allclose(evaluation.probability, expected, atol=1e-6)


def test_other_samples_of_the_same_patients_and_renamed_ones(trained, cohort):
    train = cohort[trained.data.samples[trained.parts["train"]][:25]]
    rng = np.random.default_rng(0)
    second = with_rows(train, np.arange(25), patient=train.obs["patient"].to_numpy())
    second.X += rng.normal(0, .05, second.shape).astype(np.float32)
    report = evaluate_bundle(trained.bundle, second)[1]
    assert (report["n_trained_samples"] == 0 and report["n_trained_patients"] == train.obs["patient"].nunique()
            and "25 of the 25" in report["warnings"][0])
    renamed = with_rows(train, np.arange(25), patient=[f"q{i}" for i in range(25)])
    report = evaluate_bundle(trained.bundle, renamed)[1]
    assert (report["n_trained_samples"] == 25 and report["n_trained_patients"] == 0
            and "under other ids" in report["warnings"][0])


def test_without_ids_nothing_is_claimed(cohort):
    nameless = train_classifier(cohort, normal_class=True, ids=False, **QUICK)
    evaluation, report = evaluate_bundle(nameless.bundle, cohort)
    assert evaluation.seen is None and seen_metrics(evaluation) == {} and "n_trained_samples" not in report


# ---------------------------------------------------------------- reading for a bundle, tables

@pytest.mark.parametrize("turned", [False, True])
def test_the_genes_of_the_bundle_say_which_way_a_matrix_lies(turned, tmp_path, cohort):
    "Neither ids nor names of genes say it."
    genes = [f"g{i}" for i in range(80)]
    named = AnnData(cohort.X,
                    cohort.obs.set_axis([f"s{i}" for i in range(300)]).assign(patient=[f"s{i}" for i in range(300)]),
                    pd.DataFrame(index=genes), uns={"units": "log2(TPM+1)"})
    trained = train_classifier(named, normal_class=True, **QUICK)
    frame = named.to_df().iloc[:40]
    (frame.T if turned else frame).to_csv(tmp_path/"m.csv")
    def read(way): return read_cohort(tmp_path/"m.csv", orientation=way)
    with pytest.raises(InputError, match="orientation"): read(None)
    found, report = trained.bundle.predict_cohort(read_for(trained.bundle, read))
    np.testing.assert_allclose(found, trained.bundle.predict_cohort(named[:40])[0], atol=1e-5)
    assert list(found.index) == [f"s{i}" for i in range(40)] and "does not say" in report["notes"][0]
    foreign = frame.rename(columns=lambda g: "x" + g)
    foreign.to_csv(tmp_path/"m.csv")
    with pytest.raises(InputError, match="orientation"): read_for(trained.bundle, read)


def test_errors_of_reading_stay_what_they_are(trained, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_for(trained.bundle, lambda way: read_cohort(tmp_path/"nowhere.csv", orientation=way))


def test_a_table_of_named_probabilities(trained, cohort):
    found, _ = trained.bundle.predict_cohort(cohort[:5])
    table = prediction_table(found.index, found, found.columns)
    assert (table["sample_id"].tolist() == list(cohort.obs_names[:5])
            and table["prediction"].tolist() == found.idxmax(axis=1).tolist())


def test_counts_are_brought_to_one_depth():
    assert isinstance(default_pipeline("counts", 50)[0], LogCPM)
    assert ([type(s).__name__ for _, s in default_pipeline("raw counts", 5_000).steps[:2]]
            == ["LogCPM", "ExpressionFilter"])

def test_a_sparse_cohort_is_read_as_the_dense_one(tmp_path):
    plain = simulate_cohort(n_samples=60, n_genes=40, n_classes=2, seed=0)
    plain.obs["site"] = np.where(np.arange(60) % 2, "a", "b")
    sparse = plain.copy()
    sparse.X = csr_matrix(plain.X)
    for normal_class in (False, True):  # some of the samples, and all
        data = labelled(sparse, normal_class=normal_class)
        np.testing.assert_array_equal(data.X, labelled(plain, normal_class=normal_class).X)
    np.testing.assert_array_equal(read_cohort(write_cohort(sparse, tmp_path/"c")).X, plain.X)
    np.testing.assert_array_equal(correct_cohort(sparse, "site").cohort.X, correct_cohort(plain, "site").cohort.X)
    for cohort in (plain, sparse): cohort.uns = {"log1p": {"base": 2}}
    assert units_of(sparse) == units_of(plain)
