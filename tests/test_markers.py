"""Markers: against SciPy, at the edges, and sanity checks that accept a trained network and reject one that has learned
nothing."""
import json

import numpy as np
import pytest
from scipy import stats
from sklearn.pipeline import make_pipeline

from cancer_dl.core import InputError, keras_module, to_json
from cancer_dl.data.samples import labels_of, patients_of
from cancer_dl.data.preprocess import ExpressionFilter, ZScaler
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.interpret import sanity
from cancer_dl.interpret.distribution import power_law
from cancer_dl.interpret.expression import differential_expression
from cancer_dl.interpret.maps import embed, neighbour_agreement
from cancer_dl.interpret.markers import compare_markers, gene_profile, marker_counts, marker_table
from cancer_dl.interpret.sanity import _check_agreements, sanity_checks, train_controls
from cancer_dl.interpret.stability import agreement, consensus, stability
from cancer_dl.interpret.saliency import gene_effect_pipeline
from cancer_dl.train.bundle import make_bundle
from cancer_dl.train.estimator import CancerClassifier

@pytest.fixture(scope="module")
def data():
    cohort = simulate_cohort(n_samples=400, n_genes=400, n_classes=6, seed=1)
    keep, labels = labels_of(cohort, "cancer_type", normal_class=True)
    return cohort.X[keep], labels, patients_of(cohort)[keep]

def untrained(X, labels, seed=0):
    return make_pipeline(ZScaler(), CancerClassifier(epochs=1, learning_rate=1e-12, random_state=seed)).fit(X, labels)

@pytest.fixture(scope="module")
def trained(data): return make_pipeline(ZScaler(), CancerClassifier(random_state=0)).fit(data[0], data[1])

@pytest.fixture(scope="module")
def controls(data, trained): return train_controls(trained, *data)

# differential expression

@pytest.mark.parametrize("offset", [0, 1e4])
def test_differential_expression_is_welchs_test(offset):
    rng = np.random.default_rng(0)
    X, y = (rng.gamma(2, 1, (50, 700)) + offset), rng.integers(0, 3, 50)
    found = differential_expression(X, y, 3)
    for k in range(3):
        expected = stats.ttest_ind(X[y == k], X[y != k], equal_var=False)
        np.testing.assert_allclose(found["t"][k], expected.statistic, rtol=1e-7)
        np.testing.assert_allclose(found["p"][k], expected.pvalue, rtol=1e-6)
        np.testing.assert_allclose(found["p_adjusted"][k], stats.false_discovery_control(expected.pvalue), rtol=1e-6)
        np.testing.assert_allclose(found["log2_fold_change"][k],
                                   X[y == k].mean(axis=0) - X[y != k].mean(axis=0), atol=1e-9)

def test_it_is_scipys_test_of_means_and_deviations():
    "One vectorised call gives what SciPy gives class by class."
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 40)), rng.integers(0, 4, 60)
    found = differential_expression(X, y, 4)
    for k in range(4):
        own, rest = X[y == k], X[y != k]
        expected = stats.ttest_ind_from_stats(own.mean(0), own.std(0, ddof=1), len(own), rest.mean(0),
                                              rest.std(0, ddof=1), len(rest), equal_var=False)
        np.testing.assert_allclose(found["t"][k], expected.statistic, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found["p"][k], expected.pvalue, rtol=1e-12, atol=1e-12)

def test_genes_that_do_not_vary_and_small_classes():
    X = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    X[:, 1] = .1  # not a sum of powers of two
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    found = differential_expression(X, y, 4)
    assert np.isnan(found["t"][:, 1]).all() and (found["log2_fold_change"][:2, 1] == 0).all()
    assert (np.isnan(found["p"][2:]).all() and np.isfinite(found["log2_fold_change"][2]).all()
            and np.isnan(found["log2_fold_change"][3]).all())
    assert np.isfinite(found["p_adjusted"][:2][:, [0, 2, 3]]).all()
    X[:, 2] = y == 1
    assert differential_expression(X, y, 3)["p"][1, 2] == 0 and np.isposinf(differential_expression(X, y, 3)["t"][1, 2])

@pytest.mark.parametrize("y, part", [(np.array(["a", "b", "b"]), "class numbers"), (np.array([0, 1]), "3 samples"),
                                     (np.array([0, 1, 2]), "from 0 to 1")])
def test_bad_class_numbers(y, part):
    with pytest.raises(InputError, match=part): differential_expression(np.zeros((3, 2)), y, 2)

# tables

def test_marker_table_by_hand():
    effect = np.array([[.2, 1, .6], [1, .5, .1]])
    table = marker_table(effect, ["A", "B", "C"], ["x", "y"], stability=np.array([[0, 1, .4], [.9, 0, 0]]))
    assert (list(zip(table["class"], table["rank"], table["gene"], table["score"], table["stability"]))
            == [("x", 1, "B", 1, 1), ("x", 2, "C", .6, .4), ("y", 1, "A", 1, .9)])
    assert np.isnan(table["p_adjusted"]).all()
    assert list(table) == ["class", "rank", "gene", "score", "log2_fold_change", "p_adjusted", "stability"]
    assert len(marker_table(effect, ["A", "B", "C"], ["x", "y"], threshold=1)["gene"]) == 0

@pytest.mark.parametrize("effect", [np.full((2, 3), 1.5), np.full((2, 3), np.nan), np.zeros(3)])
def test_marker_table_refuses_what_is_no_gene_effect(effect):
    with pytest.raises(InputError): marker_table(effect, ["A", "B", "C"], ["x", "y"])

def test_marker_counts():
    found = marker_counts(np.array([[.2, 1, .6], [1, .5, .7]]), [.5, .9])
    assert (found["markers"].tolist() == [4, 2] and found["unique"].tolist() == [3, 2]
            and found["per_class"].tolist() == [[2, 2], [1, 1]])

def test_gene_profile_suggests():
    with pytest.raises(InputError, match="Did you mean ESR1"): gene_profile(np.eye(2), ["ESR1", "GATA3"], "ESR2")
    assert gene_profile(np.eye(2), ["ESR1", "GATA3"], "GATA3").tolist() == [0, 1]

def test_compare_markers_is_a_t_test():
    rng = np.random.default_rng(0)
    effect, change = rng.random((2, 200)), rng.normal(size=(2, 200))
    found = compare_markers(effect, dict(log2_fold_change=change), .8)
    a, b = np.abs(change)[effect > .8], np.abs(change)[effect <= .8]
    assert found["class"].tolist() == ["0", "1", "all"]
    np.testing.assert_allclose(found["p"][-1], stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert (found["lower"] < found["cohen_d"]).all() and (found["cohen_d"] < found["upper"]).all()
    none = compare_markers(effect, dict(log2_fold_change=change), 1.)
    assert none["n_markers"].tolist() == [0, 0, 0] and np.isnan(none["p"]).all()

# distribution

def test_power_law_finds_the_exponent_and_rejects_others():
    rng = np.random.default_rng(1)
    assert abs(power_law(rng.pareto(2, 4000) + 1)["exponent"] - 3) < .2
    assert power_law(rng.lognormal(0, .4, 4000), min_tail=1500)["best"] != "power law"
    with pytest.raises(InputError, match="different positive scores"): power_law(np.zeros(100))

# maps

def test_umap_is_optional(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(InputError, match="pip install umap-learn"):
        embed(np.random.default_rng(0).normal(size=(30, 5)), method="umap")

def test_embed_is_reproducible_and_small_sets_work():
    X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    for columns in (None, [2], np.array([True, False, True, False, False, False])):
        first, again = (embed(X, columns, n_samples=20, seed=3, max_iter=250) for _ in range(2))
        assert (first.points.shape == (20, 2) and np.array_equal(first.points, again.points)
                and np.array_equal(first.rows, again.rows))
    with pytest.raises(InputError, match="at least 5 samples and 1 gene"): embed(X, [])

def test_neighbour_agreement_is_chance_for_noise():
    rng = np.random.default_rng(0)
    assert abs(neighbour_agreement(rng.normal(size=(600, 5)), rng.integers(0, 4, 600)) - .25) < .03

# stability

def test_stability_of_equal_and_of_empty_runs():
    effect = np.random.default_rng(0).random((3, 50))
    effect[2] *= .4
    same = stability([effect, effect, effect])
    assert (same["jaccard"][:2].tolist() == [1, 1] and np.isnan(same["jaccard"][2])
            and np.allclose(same["rank_correlation"], 1) and np.allclose(same["jaccard_top"], 1))
    assert np.array_equal(same["frequency"], effect > .5)
    assert stability([effect, 1 - effect], top=5)["jaccard_top"].max() < .2

def test_consensus_ignores_the_scale_of_runs():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 30)), rng.random((2, 30))
    np.testing.assert_allclose(consensus([a, b * .01]), consensus([a, b]), rtol=1e-5)
    assert consensus(np.zeros((3, 2, 4))).max() == 0 and consensus([a, b]).max() == 1

# sanity checks

def test_agreement_looks_past_what_classes_share():
    rng = np.random.default_rng(0)
    blind, common = rng.random(300) < .5, rng.random(300)
    a, b = (np.where(blind, 0, common + .05 * rng.random((5, 300))) for _ in range(2))
    assert abs(agreement(a, b)["rank_correlation"]) < .15 and agreement(a, a)["rank_correlation"] == pytest.approx(1)
    assert agreement(np.zeros((2, 5)), np.zeros((2, 5))) == dict(rank_correlation=0, top_overlap=0)

@pytest.mark.parametrize("method", ["gradient", "gradient_x_input"])
def test_a_trained_network_passes(controls, method):
    found = sanity_checks(controls.fitted, controls=controls, method=method)
    assert found.passed, found.report()
    assert "pass all 5 sanity checks" in found.report() and json.loads(to_json(found.as_dict()))["passed"] is True

def test_guided_backpropagation_forgets_the_weights_least(controls):
    "Adebayo et al. 2018: on some cohorts it fails the check on weights, and no other."
    found = {m: sanity_checks(controls.fitted, controls=controls, method=m) for m in ("guided", "gradient")}
    assert not {name for name, check in found["guided"].checks.items() if not check["passed"]} - {"weights"}
    share = {m: f.agreement["scrambled"]["rank_correlation"] / f.agreement["twins"]["rank_correlation"]
             for m, f in found.items()}
    assert share["guided"] > share["gradient"] + .2

@pytest.mark.parametrize("method", ["guided", "gradient", "gradient_x_input"])
@pytest.mark.parametrize("seed", [0, 1])
def test_random_weights_are_rejected(data, controls, method, seed):
    network = untrained(data[0], data[1], seed)
    effect = gene_effect_pipeline(network, data[0], data[1], method=method)
    assert (effect > .5).sum() > 7  # it has markers
    found = sanity_checks(network, controls=controls, method=method)
    assert not found.passed and "REJECTED" in found.report() and "FAILED" in found.report()
    assert not found.checks["prediction"]["passed"] and "untrained" in found.checks["prediction"]["text"]
    assert not found.checks["twins"]["passed"]

def test_an_untrained_network_is_rejected_from_scratch(data):
    "Controls are trained as the network was: not at all."
    assert not sanity_checks(untrained(*data[:2]), *data).passed

def test_labels_without_meaning_are_rejected(data):
    X, labels, patients = data
    labels = np.random.default_rng(0).permutation(labels)
    network = make_pipeline(ZScaler(), CancerClassifier(random_state=0)).fit(X, labels)
    found = sanity_checks(network, X, labels, patients)
    assert not found.checks["prediction"]["passed"] and "cannot learn" in found.report()

def test_a_bundle_is_checked_like_its_pipeline(data, trained):
    X, labels, patients = data
    bundle = make_bundle(trained, [f"G{i}" for i in range(400)], X, "log2(FPKM+1)")
    before = bundle.model.get_weights()
    found = sanity_checks(bundle, X, labels, patients, method="gradient", n_samples=300)
    assert found.cascade[-1]["rank_correlation"] == found.checks["weights"]["value"]  # one number for all scrambled
    assert found.passed and 250 < found.settings["samples"] <= 310
    assert all(np.array_equal(a, b) for a, b in zip(before, bundle.model.get_weights()))

@pytest.mark.slow
def test_genes_that_a_pipeline_drops(data):
    X, labels, patients = data
    network = make_pipeline(ExpressionFilter(), ZScaler(), CancerClassifier(random_state=0)).fit(X, labels)
    assert sanity_checks(network, X, labels, patients).checks["prediction"]["passed"]

@pytest.mark.slow
def test_other_networks_are_scrambled_too(data):
    X, labels, patients = data
    network = make_pipeline(ZScaler(), CancerClassifier("cnn2d_vanilla", random_state=0, epochs=8)).fit(X, labels)
    found = sanity_checks(network, X, labels, patients, draws=1)
    assert len(found.cascade) == sum(bool(layer.get_weights()) for layer in network[-1].model_.layers)

def test_scrambling_keeps_the_values_and_begins_at_the_end(trained):
    model = trained[-1].model_
    before = model.get_weights()
    steps = list(sanity.scrambled_weights(model, np.random.default_rng(0)))
    assert [name for name, _ in steps] == [layer.name for layer in reversed(model.layers) if layer.get_weights()]
    first, last = steps[0][1], steps[-1][1]
    copy = keras_module().models.clone_model(model)
    copy.set_weights(first)
    changed = [not all(np.array_equal(a, b) for a, b in zip(old.get_weights(), new.get_weights()))
               for old, new in zip(model.layers, copy.layers) if old.get_weights()]
    assert changed == [False] * (len(changed) - 1) + [True]
    assert all(np.array_equal(np.sort(a, axis=None), np.sort(b, axis=None)) for a, b in zip(before, last))
    assert all(not np.array_equal(a, b) for a, b in zip(before, last) if len(np.unique(a)) > 5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))

def test_rare_classes_are_left_out_and_unknown_ones_refused(data, trained):
    X, labels, patients = data
    few = labels.copy()
    rare = np.flatnonzero(few == "KICH")[1:]
    keep = np.setdiff1d(np.arange(len(few)), rare)
    assert train_controls(trained, X[keep], few[keep], patients[keep], epochs=1).labels.tolist().count("KICH") == 0
    few[:5] = "XYZ"
    with pytest.raises(InputError, match="not trained on the classes XYZ"): train_controls(trained, X, few, patients)
    with pytest.raises(InputError, match="400 samples and 3 labels|samples and 3 labels"):
        train_controls(trained, X, labels[:3])

@pytest.mark.parametrize("right, doubt, passed", [(1, False, True), (.8, True, True), (.6, False, False)])
def test_a_network_that_is_far_behind_its_replicates_is_doubted(right, doubt, passed):
    labels = np.repeat(["a", "b"], 100)
    class Of:
        def __init__(self, share): self.share = share
        def predict(self, X):
            called = labels[X]
            wrong = np.arange(len(called)) % 100 >= 100 * self.share
            return np.where(wrong, np.where(called == "a", "b", "a"), called)
    controls = sanity.Controls(Of(right), np.arange(200), labels, np.arange(200), [Of(1), Of(1)], [], None, None)
    check = sanity._check_prediction(controls, np.random.default_rng(0))
    assert (check.get("doubt", False), check["passed"]) == (doubt, passed)
    assert doubt == ("another kind of samples" in check["text"])


def test_a_share_that_chance_gives_is_not_told():
    "The first 50 of 83 genes have 60 % in common by chance."
    found = {name: dict(rank_correlation=.5, top_overlap=.67) for name in (
        "twins", "among_twins", "twins_with_shuffled", "shuffled_labels", "scrambled", "gene_order")}
    told = {n_genes: [check["text"] for check in _check_agreements(found, 50 / n_genes).values()]
            for n_genes in (83, 1000)}
    assert all("the first genes share 67%" in text for text in told[1000])
    assert not any("share" in text for text in told[83]) and "shuffled labels 0.500; " in told[83][2]
