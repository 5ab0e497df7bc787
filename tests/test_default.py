"""The default network: settings by the size of the cohort, what it is shown, and whether what is known comes out."""
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from typer.testing import CliRunner

from cancer_dl.classify import default_pipeline, train_classifier
from cancer_dl.core import InputError
from cancer_dl.data.cohort import write_cohort
from cancer_dl.data.views import AmplitudeViews, SampleSpan
from cancer_dl.interpret.saliency import attribute_pipeline, gene_effect_pipeline
from cancer_dl.models.blocks import REGISTRY, register
from cancer_dl.models.zoo import suited_settings
from cancer_dl.train.bundle import load_bundle, save_bundle
from cancer_dl.train.estimator import CancerClassifier, CancerRegressor
from cancer_dl.train.fit import PUBLISHED
from cancer_dl.train.ready import load_ready, ready_models, ready_path, rounded

pytestmark = pytest.mark.usefixtures("as_shipped")

def planted(n=120, p=400, seed=0, genes=(7, 8, 9)):
    "Two classes that a few genes tell apart, among many that say nothing but go together."
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    common = rng.normal(size=(n, 5)) @ rng.normal(size=(5, p))
    X = rng.normal(size=(n, p)) + common
    X[:, list(genes)] += 2.5 * y[:, None]
    return X.astype("float32"), np.array(["control", "case"])[y]

def copy_number(n=300, p=60, seed=0):
    "Three classes of profiles, each at the purity of its sample."
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    profiles = np.zeros((3, p))
    profiles[0, :15], profiles[1, 20:35], profiles[2, 40:55] = .8, -.8, .8
    profiles[:, 56:] = rng.normal(0, .5, (3, 4))
    purity = rng.uniform(.05, 1, (n, 1))**2
    return (purity * profiles[y] + rng.normal(0, .05, (n, p))).astype("float32"), np.array(list("abc"))[y]

# -- settings

@pytest.mark.parametrize("n, batch, smoothing, silenced", [(100, 16, 0, 0), (300, 32, 0, .2), (1600, 128, .05, .2)])
def test_settings_follow_the_size(n, batch, smoothing, silenced):
    X, y = planted(n, 20)
    fitted = CancerClassifier(epochs=1, random_state=0).fit(X, y)
    found = fitted.settings_
    assert (found["batch_size"], found["label_smoothing"], found["members"]) == (batch, smoothing, 4)
    assert found["model_params"] == {"input_dropout": silenced} and found["epochs"] == 1
    assert fitted.get_params()["batch_size"] == "auto" and CancerClassifier().get_params()["members"] == "auto"

def test_what_is_given_wins():
    X, y = planted(60, 20)
    fitted = CancerClassifier(epochs=1, batch_size=7, members=1, patience=None, weight_decay=None,
                              model_params=dict(dense=3, input_dropout=.4), random_state=0).fit(X, y)
    assert fitted.settings_["batch_size"] == 7 and fitted.settings_["weight_decay"] is None
    assert fitted.settings_["model_params"] == dict(dense=3, input_dropout=.4)
    assert fitted.model_.get_layer("hidden").units == 3 and fitted.settings_["schedule"] == "cosine"

def test_published_networks_are_trained_as_published():
    X, y = planted(60, 40)
    fitted = CancerClassifier("cnn1d", random_state=0).fit(X, y)
    assert {name: fitted.settings_[name] for name in PUBLISHED} == PUBLISHED and fitted.settings_["members"] == 1
    assert suited_settings("cnn2d_hybrid", 100, 100) == {}
    steps = [name for name, _ in default_pipeline("log2 ratio", 500, model="cnn1d").steps]
    assert steps == ["zscaler", "cancerclassifier"]

def test_a_network_of_ones_own_brings_its_settings():
    @register("settled", suits=lambda n_samples, n_features: dict(epochs=n_samples // 10, members=2))
    def settled(inputs, outputs): return outputs(inputs.matrix)
    try:
        X, y = planted(50, 20)
        fitted = CancerClassifier("settled", random_state=0).fit(X, y)
        assert (fitted.n_iter_, fitted.settings_["members"], fitted.settings_["optimizer"]) == (5, 2, "adam")
    finally: REGISTRY.pop("settled")

def test_a_bundle_says_what_it_was_trained_with(tmp_path):
    X, y = planted(60, 30)
    cohort = AnnData(X, obs=pd.DataFrame({"group": y}, index=[f"s{i}" for i in range(60)]))
    cohort.uns["units"] = "log2(x+1)"
    trained = train_classifier(cohort, "group", judge="holdout", epochs=3)
    save_bundle(trained.bundle, tmp_path/"b")
    facts = json.loads((tmp_path/"b"/"bundle.json").read_text())
    assert facts["estimator"]["epochs"] == 3 and facts["estimator"]["optimizer"] == "adamw"
    assert not trained.history.still_improving  # the rate came down as planned
    again = load_bundle(tmp_path/"b").predict_proba(trained.data.X)
    np.testing.assert_array_equal(again, trained.bundle.predict_proba(trained.data.X))

def test_other_tasks_have_the_same_default():
    X, _ = planted(80, 30)
    fitted = CancerRegressor(random_state=0).fit(X, X[:, 0] * 3 + 1)
    assert fitted.settings_["members"] == 4 and fitted.score(X, X[:, 0] * 3 + 1) > .8

# -- what is known comes out

@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_planted_genes_are_the_first_whatever_the_seed(seed):
    X, y = planted()
    fitted = default_pipeline("log2(x+1)", X.shape[1], filter_genes=False, random_state=seed).fit(X, y)
    assert isinstance(fitted[1], SampleSpan) and fitted[1].components_ is not None
    effect = gene_effect_pipeline(fitted, X, y, method="expected")
    for row in effect: assert {7, 8, 9} <= set(np.argsort(-row)[:5])

def test_scores_through_directions_are_those_of_the_genes():
    "Gradient times input sums to the same logit in genes and in directions, for a network without bends."
    X, y = planted(40, 90)
    fitted = default_pipeline("log2(x+1)", 90, random_state=0, epochs=2, members=1).fit(X, y)
    scores = attribute_pipeline(fitted, X, "case", method="gradient")
    Z, step, h = fitted[0].transform(X), fitted[1], 1e-2
    for gene in (3, 7):
        moved = Z.copy(); moved[:, gene] += h
        up, down = (fitted[-1].model_.get_layer("logits") and fitted[-1].predict_proba(step.transform(a))
                    for a in (moved, Z))
        k = list(fitted[-1].classes_).index("case")
        logit = lambda p: np.log(p[:, k]) - np.log(p).mean(axis=1)
        slope = (logit(up) - logit(down)) / h
        centred = scores[:, gene] - np.mean([attribute_pipeline(fitted, X, c, method="gradient")[:, gene]
                                             for c in ("case", "control")], axis=0)
        np.testing.assert_allclose(slope, centred, atol=2e-3)

# -- copy number

def test_copy_number_is_shown_at_several_amplitudes():
    X, y = copy_number()
    train, test = np.arange(200), np.arange(200, 300)
    fitted = default_pipeline("log2 ratio", X.shape[1], random_state=0).fit(X[train], y[train])
    assert isinstance(fitted[0], AmplitudeViews) and fitted[0].active_
    assert fitted.score(X[test], y[test]) > .8
    effect = gene_effect_pipeline(fitted, X[train], y[train], method="expected")
    assert effect.shape == (3, 60) and effect.max(axis=1) == pytest.approx(1) and effect.min() >= 0
    own = [range(0, 15), range(20, 35), range(40, 55)]
    for row, places in zip(effect, own): assert row[list(places)].mean() > 2 * np.delete(row, list(places)).mean()

def test_the_views_of_a_gene_are_added_up():
    X, y = copy_number(90)
    fitted = default_pipeline("log2 ratio", X.shape[1], random_state=0, epochs=2).fit(X, y)
    whole = attribute_pipeline(fitted, X, "a", method="gradient_x_input")
    inputs = fitted[:-1].transform(X)
    direct = attribute_pipeline(fitted[-1], inputs, "a", method="gradient_x_input")
    if fitted[2].components_ is None:
        origins = fitted[0].origins()
        expected = np.stack([direct[:, origins == gene].sum(axis=1) for gene in range(60)], axis=1)
        np.testing.assert_allclose(whole, expected, atol=1e-4)
    assert whole.shape == X.shape and np.isfinite(whole).all()

def test_baselines_are_shown_the_same():
    X, y = copy_number(150)
    cohort = AnnData(X, obs=pd.DataFrame({"group": y}, index=[f"s{i}" for i in range(150)]))
    cohort.uns["units"] = "log2 ratio"
    trained = train_classifier(cohort, "group", judge="holdout", compare=True, epochs=10)
    assert trained.metrics()["accuracy"] > .6 and "logistic regression" in trained.assessment.baselines
    assert [name for name, _ in trained.pipeline.steps][0] == "amplitudeviews"

# -- ready-made models

def test_ready_made_models_are_listed():
    rows = {row["name"]: row for row in ready_models()}
    assert set(rows) == {"tcga-mirna", "tcga-cnv"}
    for row in rows.values():
        assert row["megabytes"] < 12 and row["licence"] and "Genome Atlas" in row["citation"] and row["samples"] > 5000
        assert row["accuracy_interval"][0] < row["accuracy"] < row["accuracy_interval"][1]
    with pytest.raises(InputError, match="Did you mean tcga-cnv"): ready_path("tcga-cnvs")
    assert ready_path("some/where") .parts == ("some", "where")

@pytest.mark.parametrize("name", ["tcga-mirna", "tcga-cnv"])
def test_a_ready_made_model_predicts_from_the_command_line(name, tmp_path):
    from cancer_dl.cli import app
    bundle = load_ready(name)
    rng = np.random.default_rng(0)
    spread = bundle.profile.std
    X = bundle.gene_means + rng.normal(0, .5, (6, len(bundle.features))) * spread
    X = np.clip(X, bundle.profile.low, bundle.profile.high).astype("float32")
    cohort = AnnData(X, obs=pd.DataFrame(index=[f"s{i}" for i in range(6)]),
                     var=pd.DataFrame(index=bundle.features))
    cohort.uns["units"] = bundle.units
    write_cohort(cohort, tmp_path/"cohort")
    done = CliRunner().invoke(app, ["predict", name, str(tmp_path/"cohort"), "--out", str(tmp_path/"p.csv")])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path/"p.csv")
    assert list(table["sample_id"]) == list(cohort.obs_names) and table["prediction"].isin(bundle.classes).all()
    if name == "tcga-cnv":  # log ratios, whose sign says which sample is over the other
        few = cohort[np.arange(240) % 6].copy()
        few.obs_names = [f"s{i}" for i in range(240)]
        turned = few.copy()
        turned.X = -turned.X
        for given, rescale, doubted in ((few, None, False), (turned, None, True), (turned, "cohort", True)):
            said = " ".join(bundle.predict_cohort(given, rescale=rescale)[1]["warnings"])
            assert ("multiply the values by -1" in said) == doubted, (rescale, said)

def test_rounding_halves_the_digits_and_keeps_the_calls(tmp_path):
    X, y = planted(60, 30)
    cohort = AnnData(np.abs(X), obs=pd.DataFrame({"group": y}, index=[f"s{i}" for i in range(60)]))
    cohort.uns["units"] = "log2(x+1)"
    bundle = train_classifier(cohort, "group", judge="holdout", epochs=5).bundle
    before = bundle.predict_proba(np.abs(X))
    save_bundle(bundle, tmp_path/"long.zip")
    save_bundle(rounded(bundle), tmp_path/"short.zip")
    after = load_bundle(tmp_path/"short.zip").predict_proba(np.abs(X))
    assert 0 < np.abs(before - after).max() < .03 and (before.argmax(1) == after.argmax(1)).mean() > .95
    assert (tmp_path/"short.zip").stat().st_size < .75 * (tmp_path/"long.zip").stat().st_size

@pytest.mark.slow
def test_a_bundle_is_read_by_a_process_that_trained_nothing(tmp_path):
    X, y = planted(60, 90)
    cohort = AnnData(np.abs(X), obs=pd.DataFrame({"group": y}, index=[f"s{i}" for i in range(60)]))
    cohort.uns["units"] = "log2(x+1)"
    trained = train_classifier(cohort, "group", judge="holdout", epochs=2)
    assert any(isinstance(step, SampleSpan) for _, step in trained.pipeline.steps)
    save_bundle(trained.bundle, tmp_path/"b")
    code = f"from cancer_dl.train.bundle import load_bundle; print(len(load_bundle({str(tmp_path/'b')!r}).classes))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "2", done.stderr[-2000:]

def test_a_zipped_bundle_of_many_genes_is_read_again(tmp_path):
    X, y = planted(80, 3000)
    cohort = AnnData(np.abs(X), obs=pd.DataFrame({"group": y}, index=[f"s{i}" for i in range(80)]))
    cohort.uns["units"] = "log2(x+1)"
    trained = train_classifier(cohort, "group", judge="holdout", epochs=1, members=1, filter_genes=False)
    save_bundle(trained.bundle, tmp_path/"b.zip")
    assert load_bundle(tmp_path/"b.zip").predict_proba(np.abs(X)).shape == (80, 2)
