"Explaining a bundle: what is written, what is refused, and an untrained bundle that is found out."
import json
import os
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from cancer_dl.classify import train_classifier
from cancer_dl.data.labels import Labelled, labelled
from cancer_dl.cli import main
from cancer_dl.core import InputError
from cancer_dl.data.preprocess import PCAReducer, ZScaler
from cancer_dl.data.simulate import simulate_cohort, truth_of, write_simulated
from cancer_dl.explain import (Explanation, _what_it_sees, advised_components, count_in_words, explain_bundle,
                               log_base, other_ranks, retrained_effects, together_only, traffic_light)
from cancer_dl.explain_page import (_law_in_words, _remedies, _stability_words, draw_figures, explanation_lines,
                                    first_markers, report_page, shown_markers, top_heatmap, write_explanation)
from cancer_dl.interpret.enrichment import write_gmt
from cancer_dl.interpret.expression import differential_expression
from cancer_dl.interpret.markers import DEFAULT_METHOD, marker_table
from cancer_dl.interpret.sanity import Sanity, as_estimator
from cancer_dl.interpret.saliency import gene_effect_pipeline
from recipes import run_small
from cancer_dl.train.bundle import load_bundle, make_bundle, save_bundle
from cancer_dl.train.estimator import CancerClassifier

FILES = {"files.json", "gene_effect.parquet", "markers.csv", "sanity.json", "report.html", "counts.png",
         "distributions.png", "expression.png", "map.png", "top_genes.png"}

@pytest.fixture(scope="module")
def cohort(simulated): return simulated(n_samples=300, n_genes=260, n_classes=4, seed=0)

@pytest.fixture(scope="module")
def made(cohort, tmp_path_factory):
    "A folder with a cohort, a bundle and gene sets."
    folder = tmp_path_factory.mktemp("explain")
    write_simulated(cohort, folder/"cohort")
    save_bundle(train_classifier(cohort, normal_class=True, seed=0, judge="holdout").bundle, folder/"model")
    truth = truth_of(cohort, "cancer_type")
    write_gmt(folder/"sets.gmt", {f"markers of {c}": part["gene"] for c, part in truth.groupby("class")})
    return folder

def cancer_dl(capsys, *words):
    "Exit code, standard output, standard error."
    with pytest.raises(SystemExit) as end: main([str(w) for w in words])
    return end.value.code or 0, *capsys.readouterr()

def test_the_command_writes_what_it_promises(made, cohort, tmp_path, capsys):
    code, out, err = cancer_dl(capsys, "explain", made/"model", made/"cohort", "--out", tmp_path/"e", "--stability", 2,
                               "--gene-sets", made/"sets.gmt", "--threshold", 0.4)
    assert code == 0, err
    assert {p.name for p in (tmp_path/"e").iterdir()} == FILES | {"cascade.png", "stability.csv", "enrichment.csv",
                                                                  "enrichment.png"}
    effect, table = pd.read_parquet(tmp_path/"e"/"gene_effect.parquet"), pd.read_csv(tmp_path/"e"/"markers.csv")
    assert (list(effect.index) == list(cohort.var_names)
            and list(effect.columns) == ["BRCA", "KIRC", "LUAD", "LUSC", "NORMAL"])
    assert effect.to_numpy().min() >= 0 and (effect.max() == 1).all()
    assert list(table.columns) == ["class", "rank", "gene", "score", "log2_fold_change", "p_adjusted", "stability",
                                   "higher_in"]
    assert (table["higher_in"] == np.where(table["log2_fold_change"] > 0, table["class"], "others")).all()
    assert f"markers    {len(table):,} markers of 5 classes. In " in out
    assert len(table) == (effect.to_numpy() > .4).sum() and table["stability"].isin([0, .5, 1]).all()
    first = table.iloc[0]
    data = labelled(cohort, normal_class=True)
    x, own = data.X[:, list(data.genes).index(first["gene"])].astype(float), data.y == first["class"]
    assert first["log2_fold_change"] == pytest.approx(x[own].mean() - x[~own].mean(), abs=1e-4)
    sanity = json.loads((tmp_path/"e"/"sanity.json").read_text())
    assert (set(sanity["checks"]) == {"prediction", "twins", "weights", "labels", "gene_order"}
            and sanity["passed"] == all(c["passed"] for c in sanity["checks"].values()))
    page = (tmp_path/"e"/"report.html").read_text()
    assert (page.count("data:image/png;base64,") == 7 and "http://" not in page and "https://" not in page
            and first["gene"] in page)
    assert ("REJECTED" in page) != sanity["passed"] and "report.html" in out

def test_without_retraining_it_says_so(made, tmp_path, capsys):
    code, out, _ = cancer_dl(capsys, "explain", made/"model", made/"cohort", "--out", tmp_path/"e", "--stability", 0,
                             "--no-sanity", "--method", "gradient")
    assert code == 0 and {p.name for p in (tmp_path/"e").iterdir()} == FILES
    assert pd.read_csv(tmp_path/"e"/"markers.csv")["stability"].isna().all()
    assert json.loads((tmp_path/"e"/"sanity.json").read_text())["passed"] is None
    assert "not made" in (tmp_path/"e"/"report.html").read_text() and "'gradient'" in out

@pytest.mark.parametrize("words, parts", [
    (["--method", "guide"], ["attribution method", "guided"]),
    (["--threshold", "1"], ["threshold is 1.0", "0 to 0.99"]),
    (["--stability", "1"], ["2 or more"]),
    (["--gene-sets", "nowhere.gmt"], ["nowhere.gmt"]),
    (["--label", "cancertype"], ["Did you mean cancer_type"])])
def test_bad_requests_are_refused_in_one_paragraph(made, tmp_path, capsys, words, parts):
    code, _, err = cancer_dl(capsys, "explain", made/"model", made/"cohort", "--out", tmp_path/"e", *words)
    assert code == 2 and err.startswith("Error: ") and err.strip().count("\n") == 0 and not (tmp_path/"e").exists()
    assert all(part in err for part in parts), err

def test_gene_sets_of_other_genes_are_refused_before_the_work(made, cohort):
    with pytest.raises(InputError, match="none of their genes"):
        explain_bundle(load_bundle(made/"model"), cohort, gene_sets={"other": [f"XYZ{i}" for i in range(20)]})

def test_the_bundle_is_not_written_over(made, capsys):
    code, _, err = cancer_dl(capsys, "explain", made/"model", made/"cohort", "--out", made/"model")
    assert code == 2 and (made/"model"/"bundle.json").exists() and "Cannot write" in err

@pytest.mark.slow
def test_an_untrained_bundle_is_found_out(cohort, tmp_path):
    data = labelled(cohort, normal_class=True)
    network = make_pipeline(ZScaler(),
                            CancerClassifier(epochs=1, learning_rate=1e-12, random_state=0)).fit(data.X, data.y)
    bundle = make_bundle(network, data.genes, data.X, data.units, normal_class=True)
    bundle.facts["estimator"].update(epochs=30, learning_rate=1e-3)  # what its controls are trained with
    found = explain_bundle(bundle, cohort, n_runs=0)
    assert (len(found.markers) and not found.sanity.checks["prediction"]["passed"]
            and not found.sanity.checks["twins"]["passed"])
    write_explanation(found, tmp_path/"e")
    assert "REJECTED" in (tmp_path/"e"/"report.html").read_text()

def test_a_cohort_with_fewer_classes_and_other_genes(made, cohort):
    bundle = load_bundle(made/"model")
    part = cohort[cohort.obs["cancer_type"].isin(["LUAD", "LUSC"]).to_numpy() & (cohort.obs["sample_type"] == "primary")
                  .to_numpy(), 5:].copy()
    found = explain_bundle(bundle, part, n_runs=2, sanity=False)
    assert found.present.tolist() == [False, False, True, True, False] and found.effect.shape == (5, 260)
    assert set(found.markers["class"]) == {"LUAD", "LUSC"} and found.markers["stability"].notna().all()
    assert np.isnan(found.stability["jaccard"][0]) and any("BRCA, KIRC, NORMAL" in note for note in found.notes)

def test_what_training_left_out_is_left_out_again_and_normals_are_named(cohort):
    own = cohort.copy()
    normal = (own.obs["sample_type"] == "normal").to_numpy()
    own.obs["er"] = np.where(normal, "", np.where(own.obs["cancer_type"].isin(["LUAD", "LUSC"]), "no", "yes"))
    with pytest.raises(InputError, match=f"{normal.sum()} of 300 samples have no label in column 'er'.* All of them "
                                         r"are normal tissue\..*\(--drop-unlabelled\), or train .*--normal-class"):
        labelled(own, "er")
    bundle = train_classifier(own, "er", drop_unlabelled=True, judge="holdout", members=1, epochs=2).bundle
    found = explain_bundle(bundle, own, n_runs=0, sanity=False)
    assert len(found.data.y) == 300 - normal.sum() and f"Left out: {normal.sum()} normals." in found.notes[0]
    own.obs.loc[own.obs_names[~normal][:2], "er"] = ""  # these were there in training
    with pytest.raises(InputError, match=r"\d of them are normal tissue\. Fill them in, or leave .*-unlabelled\)\.$"):
        explain_bundle(bundle, own, n_runs=0, sanity=False)

def test_retrained_effects_differ_and_repeat(made, cohort):
    bundle, data = load_bundle(made/"model"), labelled(cohort, normal_class=True)
    first, again = (retrained_effects(bundle, data, 2, epochs=4, seed=5) for _ in range(2))
    assert first.shape == (2, 5, 260) and np.array_equal(first, again) and not np.array_equal(first[0], first[1])

def test_counts_are_logged_for_fold_changes(cohort):
    raw = cohort.copy()
    raw.X = np.round(2.0**cohort.X - 1).astype("float32") * 10
    raw.uns["units"] = "counts"
    data = labelled(raw, normal_class=True)
    from cancer_dl.classify import default_pipeline
    network = default_pipeline("counts", 260, epochs=5, random_state=0).fit(data.X, data.y)
    found = explain_bundle(make_bundle(network, data.genes, data.X, "counts", normal_class=True), raw, n_runs=0,
                           sanity=False)
    row = found.markers.iloc[0]
    x, own = np.log2(data.X[:, list(data.genes).index(row["gene"])].astype(float) + 1), data.y == row["class"]
    assert (row["log2_fold_change"] == pytest.approx(x[own].mean() - x[~own].mean(), abs=1e-4)
            and any("log2(x + 1)" in n for n in found.notes))

@pytest.mark.parametrize("units, factor", [("ln(FPKM+1)", np.log(2)), ("log10(FPKM+1)", np.log10(2))])
def test_other_logarithms_are_converted_to_log2(cohort, units, factor):
    other = cohort.copy()
    other.X, other.uns["units"] = (cohort.X * factor).astype("float32"), units
    data = labelled(other, normal_class=True)
    network = make_pipeline(ZScaler(), CancerClassifier(epochs=3, random_state=0)).fit(data.X, data.y)
    found = explain_bundle(make_bundle(network, data.genes, data.X, units, normal_class=True), other, n_runs=0,
                           sanity=False)
    row, x = found.markers.iloc[0], labelled(cohort, normal_class=True).X
    x, own = x[:, list(data.genes).index(row["gene"])].astype(float), data.y == row["class"]
    assert (row["log2_fold_change"] == pytest.approx(x[own].mean() - x[~own].mean(), abs=1e-3)
            and any("converted to log2" in n for n in found.notes))

def test_without_logarithms_there_is_no_fold_change_and_no_d(cohort, tmp_path):
    other = cohort.copy()
    other.X, other.uns["units"] = (
        ((cohort.X - cohort.X.mean(axis=0)) / np.maximum(cohort.X.std(axis=0), 1e-3)).astype("float32"), "z-scores")
    data = labelled(other, normal_class=True)
    network = make_pipeline(ZScaler(), CancerClassifier(epochs=3, random_state=0)).fit(data.X, data.y)
    found = explain_bundle(make_bundle(network, data.genes, data.X, "z-scores", normal_class=True), other, n_runs=0,
                           sanity=False)
    assert (found.markers["log2_fold_change"].isna().all() and list(found.markers.columns)[-1] == "difference"
            and found.markers["difference"].notna().all())
    write_explanation(found, tmp_path/"e")
    page = (tmp_path/"e"/"report.html").read_text()
    assert "no fold change can be computed" in page and "Cohen" not in page and "difference of means" in page

@pytest.mark.parametrize(
    "units, base", [("log2(x+1)", 2), ("log-CPM", 2), ("ln(CPM+1)", np.e), ("log1p(CP10K), natural logarithm", np.e),
                    ("log10(x)", 10), ("log(x)", None), ("z-scores of log2(x)", None),
                    ("beta values, fractions", None), ("unknown", None), ("log2 ratio to a reference", 2)])
def test_the_base_of_a_logarithm(units, base): assert log_base(units) == base

def small_class(n_own, shift, seed=0):
    """An explanation whose network ranks 12 genes first that differ by `shift` standard deviations,
    in a class of `n_own` samples."""
    rng = np.random.default_rng(seed)
    y, genes = np.repeat(["A", "B"], [n_own, 200]), np.array([f"g{i}" for i in range(120)])
    X = rng.normal(8, 1, (len(y), 120)).astype("float32")
    X[:n_own, :12] += shift
    data = Labelled(X, y, np.arange(len(y)).astype(str), np.arange(len(y)).astype(str), genes, "log2(x+1)",
                    "cancer_type", False)
    effect = np.tile(np.linspace(1, .01, 120, dtype="float32"), (2, 1))
    de = differential_expression(X, (y == "B").astype(int), 2)
    return Explanation(np.array(["A", "B"]), genes, effect, None, de, "expected", .5, data,
                       stability=dict(among_first=np.ones((2, 120))))

def test_a_small_class_does_not_fill_the_list_of_genes_that_act_together():
    found = small_class(8, .8)  # plain markers that eight samples cannot show
    assert ((together_only(found, small=None)["class"] == "A").sum() >= 8
            and "A" not in set(together_only(found)["class"]))
    large = small_class(150, 0)  # and genes without any difference, which 150 samples can show
    assert (together_only(large)["class"] == "A").sum() >= 10
    medium = together_only(small_class(150, .6))  # plain markers are never listed
    assert not set(medium["gene"][medium["class"] == "A"]) & {f"g{i}" for i in range(12)}

def test_all_or_nothing(made, cohort, tmp_path, monkeypatch):
    found = explain_bundle(load_bundle(made/"model"), cohort, n_runs=0, sanity=False)
    def broken(*args): raise RuntimeError("stopped")
    monkeypatch.setattr("cancer_dl.explain_page.report_page", broken)
    monkeypatch.setattr("cancer_dl.explain_page.draw_figures", lambda out: {})  # which take most of the time
    with pytest.raises(RuntimeError): write_explanation(found, tmp_path/"new")
    (tmp_path/"old").mkdir()
    (tmp_path/"old"/"notes.txt").write_text("mine")
    with pytest.raises(RuntimeError): write_explanation(found, tmp_path/"old")
    assert not (tmp_path/"new").exists() and os.listdir(tmp_path/"old") == ["notes.txt"]
    monkeypatch.undo()
    write_explanation(found, tmp_path/"old")
    assert ((tmp_path/"old"/"markers.csv").read_text().startswith("class,rank")
            and (tmp_path/"old"/"notes.txt").read_text() == "mine")

def run_on(made, out, **options):
    results = run_small("explain", dict(bundle=str(made/"model"), cohort=str(made/"cohort"), **options), out)
    assert results["markers"] > 5 and results["method"] == DEFAULT_METHOD and results["precision"] is None
    assert (out/"report.html").exists()
    return results

def test_the_recipe_runs_on_a_small_cohort_and_on_a_bundle(made, tmp_path):
    assert run_on(made, tmp_path/"o", stability_runs=0, sanity=False)

@pytest.mark.slow
def test_the_recipe_retrains_and_looks_at_gene_sets(made, tmp_path):
    results = run_on(made, tmp_path/"o", stability_runs=2, gene_sets=str(made/"sets.gmt"))
    assert set(results["checks"]) == {"prediction", "twins", "weights", "labels", "gene_order"}
    assert (tmp_path/"o"/"enrichment.csv").exists()


# -- networks on principal components

@pytest.fixture(scope="module")
def on_components(cohort): return train_classifier(cohort, normal_class=True, components=30, seed=0, judge="holdout")

def test_a_bundle_on_components_is_the_pipeline_it_was_made_from(on_components, cohort, tmp_path):
    bundle = load_bundle(save_bundle(on_components.bundle, tmp_path/"model.zip"))
    data = labelled(cohort, normal_class=True)
    estimator, inputs = as_estimator(bundle, data.X)
    np.testing.assert_allclose(estimator.predict_proba(inputs), on_components.pipeline.predict_proba(data.X), atol=1e-5)
    assert (inputs.shape == (len(data.y), 260)
            and "PCAReducer (30 components)" in bundle.facts["provenance"]["preprocessing"])

def test_components_are_explained_as_genes(on_components, cohort):
    found = explain_bundle(on_components.bundle, cohort, n_runs=2)
    assert (found.effect.shape == (5, 260) and (found.effect.max(axis=1) == 1).all()
            and found.stability["frequency"].shape == (5, 260))
    assert (found.sanity.settings["genes"] == 260
            and all(found.sanity.checks[c]["passed"] for c in ("prediction", "twins", "labels")))
    direct = gene_effect_pipeline(on_components.pipeline, found.data.X, found.data.y, method=DEFAULT_METHOD)
    np.testing.assert_allclose(found.effect, direct, atol=1e-4)
    assert any("through 30 components" in note for note in found.notes)
    listed = found.together
    assert (list(listed.columns) == ["class", "rank", "gene", "score", "log2_fold_change", "p_adjusted"]
            and (listed["p_adjusted"] > .05).all())
    assert ((listed["rank"] <= 260 // 8).all() and len(together_only(found, again=0)) >= len(listed)
            and len(together_only(found, again=0, level=0.)) > len(listed))
    for row in listed.itertuples():
        k, j = list(found.classes).index(row[1]), list(found.genes).index(row.gene)
        assert (found.stability["among_first"][k, j] == 1
                and row.rank == 1 + (found.effect[k] > found.effect[k, j]).sum())

@pytest.mark.slow
def test_what_acts_together_is_written_and_needs_retrained_networks(on_components, cohort, tmp_path):
    found = explain_bundle(on_components.bundle, cohort, n_runs=2, sanity=False)
    write_explanation(found, tmp_path/"e")
    assert (len(pd.read_csv(tmp_path/"e"/"together.csv")) == len(found.together)
            and "Only together with others?" in (tmp_path/"e"/"report.html").read_text())
    without = explain_bundle(on_components.bundle, cohort, n_runs=0, sanity=False)
    assert without.together is None
    with pytest.raises(InputError, match="n_runs of 2 or more"): together_only(without)

def test_retrained_components_are_learned_again(on_components, cohort):
    effects = retrained_effects(on_components.bundle, labelled(cohort, normal_class=True), 2, epochs=4, seed=5)
    assert effects.shape == (2, 5, 260) and not np.array_equal(effects[0], effects[1])

def test_the_head_of_a_network_takes_the_steps_of_the_moment(cohort):
    """A network that is explained behind one PCA and then behind another, as in the sanity checks,
    is not explained behind the first twice."""
    data = labelled(cohort, normal_class=True)
    first, second = (make_pipeline(ZScaler(), PCAReducer(20), ZScaler(), CancerClassifier(epochs=4, random_state=0))
                     .fit(data.X[rows], data.y[rows]) for rows in (slice(None), slice(0, None, 2)))
    expected = gene_effect_pipeline(second, data.X, data.y, method="gradient_x_input")
    gene_effect_pipeline(first, data.X, data.y, method="gradient_x_input")
    first[-1].model_.set_weights(second[-1].model_.get_weights())
    swapped = make_pipeline(*second[:-1].named_steps.values(), first[-1])
    np.testing.assert_allclose(gene_effect_pipeline(swapped, data.X, data.y, method="gradient_x_input"),
                               expected, atol=1e-5)

@pytest.mark.slow
def test_the_option_of_the_command_line(made, tmp_path, capsys):
    code, out, err = cancer_dl(capsys, "train", made/"cohort", "--out", tmp_path/"model", "--components", 25,
                               "--no-filter", "--epochs", 8, "--normal-class", "--judge", "holdout", "--no-compare")
    assert code == 0, err
    bundle = load_bundle(tmp_path/"model")
    assert bundle.model.input_shape == (None, 25) and bundle.facts["model"] == "mlp" and "mlp, " in out
    code, out, err = cancer_dl(capsys, "explain", tmp_path/"model", made/"cohort", "--out", tmp_path/"e", "--stability",
                               0, "--no-sanity")
    assert code == 0 and "through 25 components" in (tmp_path/"e"/"report.html").read_text()
    code, _, err = cancer_dl(capsys, "train", made/"cohort", "--out", tmp_path/"other", "--components", 1)
    assert code == 2 and "--components" in err and not (tmp_path/"other").exists()

def test_the_filter_of_genes_can_be_left_out():
    wide = simulate_cohort(n_samples=120, n_genes=2_100, n_classes=3, seed=0)
    kept = {filter_genes: len(train_classifier(wide, components=20, filter_genes=filter_genes, epochs=2,
                                               judge="holdout").bundle.features) for filter_genes in (True, False)}
    assert kept[True] < kept[False] == 2_100

# -- the answer first

def two_classes(checks=(), jaccard=.8, components=None, present=("A", "B"), units="log2(x+1)"):
    "An explanation of two classes by hand: g0 to g2 are higher in B, g3 in A; no retrained network finds g3 again."
    rng = np.random.default_rng(0)
    y, genes = np.repeat(present, 60), np.array([f"g{i}" for i in range(30)])
    X = rng.normal(8, 1, (len(y), 30)).astype("float32")
    X[y == "B", :3] += 3
    X[y == "A", 3] += 2
    data = Labelled(X, y, np.arange(len(y)).astype(str), np.arange(len(y)).astype(str), genes, units, "er", False)
    classes = np.unique(["A", "B", *present])
    effect = np.tile(np.r_[1, .9, .8, .7, np.full(26, .1)].astype("float32"), (len(classes), 1))
    de = differential_expression(X, np.searchsorted(classes, y), len(classes), 2 if "log2" in units else None)
    again = dict(jaccard=np.full(len(classes), jaccard), jaccard_top=np.full(len(classes), jaccard),
                 rank_correlation=np.full(len(classes), .5), n_runs=2,
                 frequency=np.tile(np.r_[1, 1, .5, 0, np.zeros(26)], (len(classes), 1)))
    sanity = Sanity({name: dict(passed=ok, text="as measured.") for name, ok in dict(checks).items()}, {}, [],
                    dict(method="expected")) if checks else None
    markers = pd.DataFrame(marker_table(effect, genes, classes, threshold=.5, stability=again, de=de))
    return Explanation(classes, genes, effect, markers, de, "expected", .5, data, sanity, again, components=components)

PASSED = [("prediction", True), ("twins", True)]

def test_two_classes_are_one_list_with_a_direction():
    found = two_classes(PASSED)
    page = report_page(found, {})
    head, folded = page.split("<details>")[:2]
    # one table, and the folded one
    assert page.count("higher in") == 2 and "4 genes tell the two classes apart" in page
    assert head.count(">g0<") == 1 and ">g3<" not in head and ">g3<" in folded
    assert "rank by t-test" in head and "rank by logistic regression" in head
    assert len(found.markers) == 8  # of each class, in Python
    lines = explanation_lines(found)
    assert lines[0].startswith("verdict    green: ") and [line for line in lines if "higher in B: g0 (" in line]
    assert (not [line for line in lines if "g3" in line] and "1 markers" not in lines[-1]
            and "1 marker that" in lines[-1])

def test_files_and_terminal_say_where_a_gene_is_higher_and_count_alike(tmp_path):
    found = two_classes()
    write_explanation(found, tmp_path/"e")
    table = pd.read_csv(tmp_path/"e"/"markers.csv")
    assert list(zip(table["gene"], table["higher_in"])) == [("g0", "B"), ("g1", "B"), ("g2", "B"), ("g3", "A")]
    assert list(table["rank"]) == [1, 2, 3, 4] and "class" not in table and (table["log2_fold_change"] > 0).all()
    figures = draw_figures(found)
    assert [t.get_text() for t in figures["expression"][0].get_xticklabels()] == ["4 markers", "26 others"]
    for ax, _ in figures.values(): plt.close(ax.figure)
    assert count_in_words(found) == "4 genes tell the two classes apart." and "4 genes" in repr(found)

@pytest.mark.parametrize("unfamiliar, doubt, said", [
    (50, False, "50 of the 120 samples are unlike"), (0, True, "predicts them far worse"), (5, False, None)])
def test_an_unknown_kind_of_samples_is_no_plain_pass(unfamiliar, doubt, said):
    found = replace(two_classes(PASSED), unfamiliar=unfamiliar)
    if doubt: found.sanity.checks["prediction"]["doubt"] = True
    light, reason = traffic_light(found)
    assert light == ("amber" if said else "green") and (said or "") in reason
    assert said is None or "REJECTED" not in found.sanity.report()
    assert doubt == ("passed with a DOUBT" in found.sanity.report())
    found.stability["jaccard"][:] = .1
    assert traffic_light(found)[1].count(" but ") == 1 and (said or "") in traffic_light(found)[1]

def test_a_network_is_asked_whether_it_knows_the_samples(cohort):
    "The bundle is of LUAD and LUSC; half of the samples that it shall explain have their genes mixed up."
    lung = cohort[cohort.obs["cancer_type"].isin(["LUAD", "LUSC"])].copy()
    bundle = train_classifier(lung, judge="holdout", model="mlp", members=1, epochs=4).bundle
    known = explain_bundle(bundle, lung, n_runs=0, sanity=False)
    assert known.doubts == [] and not [note for note in known.notes if "unlike" in note]
    mixed, rows = lung.copy(), np.arange(0, len(lung), 2)
    mixed.X[rows] = np.random.default_rng(0).permuted(mixed.X[rows], axis=1)
    strange = explain_bundle(bundle, mixed, n_runs=0, sanity=False)
    assert strange.unfamiliar > .9 * len(rows) and strange.doubts
    said = f"Warning: {strange.unfamiliar} of {len(strange.data.y)} samples"
    assert [note for note in strange.notes if note.startswith(said)]
    report = bundle.predict_cohort(mixed)[1]
    assert report["shift"]["degree"] != "none" and "shift from training: none" not in report["text"]
    with pytest.raises(InputError, match="counts"):  # as before a prediction
        explain_bundle(bundle, counts_of(lung), n_runs=0, sanity=False)

def counts_of(cohort):
    other = cohort.copy()
    other.X = np.round(50 * 2.0 ** other.X)
    other.uns.pop("units", None)
    return other

def test_units_without_logarithms_have_a_direction_too():
    assert first_markers(two_classes(PASSED, units="z-scores"))[0][0] == "B"

def test_two_of_three_classes_are_not_mirrored():
    found = two_classes(PASSED, present=("B", "C"))
    assert not found.two and not any("higher in " in line for line in explanation_lines(found))
    assert '<th scope="col" class="name">class</th>' in report_page(found, {})

def test_ranks_elsewhere_are_those_of_the_methods():
    found = two_classes(PASSED)
    ranks = other_ranks(found)
    t = np.abs(found.de["t"][1])
    assert [int(ranks["rank by t-test"][1][j]) for j in np.argsort(-t)[:4]] == [1, 2, 3, 4]
    assert set(np.flatnonzero(ranks["rank by logistic regression"][1] <= 4)) == {0, 1, 2, 3}

@pytest.mark.parametrize("checks, jaccard, components, light, remedy", [
    (PASSED, .8, None, "green", None), (PASSED, .1, None, "amber", "--components 15"),
    (PASSED, .1, 15, "amber", "more samples"),
    ([("prediction", True), ("twins", False)], .8, None, "red", "--components 15"),
    ([("prediction", True), ("twins", False)], .8, 15, "red", "more samples"),
    ([("prediction", False)], .8, None, "red", "a network that predicts"), ((), .8, None, "grey", "sanity checks")])
def test_the_light_has_a_reason_and_a_remedy(checks, jaccard, components, light, remedy):
    found = two_classes(checks, jaccard, components)
    assert traffic_light(found)[0] == light
    said, page = explanation_lines(found), report_page(found, {})
    tips = [line for line in said if line.startswith("What to try: ")]
    assert f"{light}: {traffic_light(found)[1]}" in said[0] and f'<span class="light">{light}</span>' in page
    assert (len(tips) == (remedy is not None)
            and all(remedy in tip and tip.split(". ")[0].removeprefix("What to try: ") in page for tip in tips))

def test_markers_that_none_finds_again_leave_no_empty_table():
    found = two_classes(PASSED)
    found.markers["stability"] = 0.
    assert "No marker was found again" in report_page(found, {}) and first_markers(found) == []

# -- figure and table

def three_classes(units="log2(x+1)"):
    "Each class has 12 markers; no retrained network finds the first two of class A again, nor any of class C."
    rng = np.random.default_rng(0)
    genes, classes, y = (np.array([f"g{i}" for i in range(60)]), np.array(["A", "B", "C"]),
                         np.repeat(["A", "B", "C"], 30))
    X = rng.normal(8, 1, (90, 60)).astype("float32")
    effect, frequency = np.full((3, 60), .1, "float32"), np.ones((3, 60))
    for k in range(3): effect[k, 20 * k:20 * k + 12] = np.linspace(1, .6, 12)
    frequency[0, :2], frequency[2] = 0, 0
    de = differential_expression(X, np.searchsorted(classes, y), 3, 2 if "log2" in units else None)
    again = dict(jaccard=np.full(3, .5), jaccard_top=np.full(3, .5), rank_correlation=np.full(3, .5), n_runs=2,
                 frequency=frequency)
    ids = np.arange(90).astype(str)
    return Explanation(classes, genes, effect,
                       pd.DataFrame(marker_table(effect, genes, classes, stability=again, de=de)), de, "expected", .5,
                       Labelled(X, y, ids, ids, genes, units, "kind", False), None, again)

def drawn_genes(ax): return [t.get_text() for t in ax.get_yticklabels()]

def test_figure_and_table_show_the_same_genes():
    found = three_classes()
    figures = draw_figures(found)
    shown, caption = drawn_genes(figures["top_genes"][0]), figures["top_genes"][1]
    assert (set(shown) == {"g2", "g3", "g4", "g20", "g21", "g22"}
            and "left out, here and in the table. No such marker: C." in caption)
    head, folded = report_page(found, {}).split("<details>")[:2]
    assert (all(f">{g}<" in head for g in [*shown, "g11", "g29"])
            and not any(f">{g}<" in head for g in ("g0", "g1", "g40", "g30")))
    assert ">g0<" in folded and ">g40<" in folded and "14 more that no retrained network found again" in folded
    assert ("up to 10 that a retrained network found again; ranks count the others too" in head
            and "The first 10 of each are here" not in head)
    assert list(shown_markers(found)["rank"])[:2] == [3, 4]
    for ax, _ in figures.values(): plt.close(ax.figure)

def test_two_retrained_networks_are_the_two():
    found = three_classes()
    assert "The two retrained networks share" in _stability_words(found)[0]
    found.stability["n_runs"] = 3
    assert "Two of the 3 retrained networks share" in _stability_words(found)[0]

def test_a_gene_that_marks_a_class_by_its_absence_is_shown_as_lower():
    found = three_classes()
    found.de["t"][0, 2], found.de["t"][0, 3] = -5, 5
    assert "g2 (lower; " in dict(first_markers(found))["A"] and "g3 (lower" not in dict(first_markers(found))["A"]
    assert any("lower: in its class than in the others" in line for line in explanation_lines(found))
    ax, caption = draw_figures(found)["top_genes"]
    assert "triangle" in caption and "triangle" in ax.get_title() and len(ax.collections[-1].get_offsets())
    assert "<th>higher in" in report_page(found, {}) or ">higher in<" in report_page(found, {})
    plt.close("all")

def test_the_figure_of_two_classes_begins_as_their_one_list():
    found = two_classes()
    found.effect[:, :4] = [.7, 1, .9, .8]
    found.markers = found.markers.assign(score=found.effect[0][[int(g[1:]) for g in found.markers["gene"]]],
                                         stability=1.)
    assert list(drawn_genes(top_heatmap(found))) == ["g1", "g2", "g3", "g0"]  # g3 is higher in A, the others in B
    plt.close("all")

def test_the_figure_says_when_nothing_came_again_or_there_is_no_marker():
    found = three_classes()
    found.markers["stability"] = 0.
    assert "do not rely on them" in draw_figures(found)["top_genes"][1]
    found.markers, found.threshold = found.markers.iloc[:0], .99
    assert "no markers" in draw_figures(found)["top_genes"][1]
    found = three_classes()
    found.markers["stability"], found.stability = np.nan, None
    assert ("left out" not in draw_figures(found)["top_genes"][1]
            and set(drawn_genes(top_heatmap(found, 1))) == {"g0", "g20", "g40"})
    assert "stability" not in report_page(found, {}).split("<h2>Markers")[1].split("</section>")[0]
    plt.close("all")

# -- one advice

@pytest.mark.parametrize("n_train, n_genes, wanted",
                         [(83, 2308, 10), (400, 2308, 50), (9000, 2308, 200), (12, 2308, 6), (83, 8, 4)])
def test_the_number_of_components_is_one_advice(n_train, n_genes, wanted):
    found = two_classes(PASSED, .1)
    found.n_train, found.genes = n_train, np.array([f"g{i}" for i in range(n_genes)])
    said = _what_it_sees(found) + " ".join(_remedies(found, "amber"))
    assert re.findall(r"--components (\d+)", said) == [str(wanted)] * 2

def test_page_and_terminal_name_the_same_number(made, cohort):
    bundle = load_bundle(made/"model")
    found = explain_bundle(bundle, cohort[:120].copy(), n_runs=0, sanity=False)
    assert found.n_train == bundle.facts["n_train"]
    found.sanity = Sanity({"labels": dict(passed=False, text="as measured.")}, {}, [], dict(method="expected"))
    said = [*found.notes, *explanation_lines(found), report_page(found, {})]
    named = [n for line in said for n in re.findall(r"--components (\d+)", line)]
    assert len(named) >= 4 and set(named) == {str(advised_components(found))}

# -- nothing that says nothing

@pytest.mark.parametrize("units, words", [("unknown", "difference of means| of markers"),
                                          ("z-scores", "difference of means| in z-scores of markers")])
def test_values_that_are_no_logarithms_leave_no_empty_column(units, words):
    found = three_classes(units)
    figures = draw_figures(found)
    page = report_page(found, {})
    assert "log2_fold_change" not in page and "difference" in page
    assert words in figures["expression"][1] and "unknown" not in figures["expression"][1]
    found.stability["among_first"] = np.ones((3, 60))
    assert together_only(found, small=None)["difference"].notna().all()
    plt.close("all")

@pytest.mark.parametrize("best, words", [
    ("power law", "Scores above 0.38 follow a power law (exponent 2.1) rather than an exponential or a lognormal law."),
    ("lognormal", "follow a lognormal law rather than a power law."), ("undecided", None)])
def test_a_law_is_named_only_where_one_is_better(monkeypatch, best, words):
    monkeypatch.setattr("cancer_dl.explain_page.power_law", lambda effect: dict(best=best, xmin=.38, exponent=2.1))
    said = _law_in_words(np.zeros((2, 3)))
    assert said.startswith("How the scores are distributed") and "undecided" not in said and "law that" not in said
    assert said.endswith(words or "a curve for each class.")

def test_a_real_tail_that_two_laws_fit_gets_no_law():
    assert "law" not in _law_in_words(np.random.default_rng(0).pareto(2, (3, 2000)) + 1)
