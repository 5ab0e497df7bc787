"Noise and missing genes: the right harm, the same for all, measured on patients that were not seen."
import html

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cancer_dl.data.labels import Labelled
from cancer_dl.core import InputError
from cancer_dl.robustness import (Robustness, make_learners, measure_hits, missing_copies, missing_robustness,
                                  network_options, noise_curve, noise_kind, noise_robustness, noise_scale, noisy_copies,
                                  robustness_figure, robustness_folds, fit_learners)
from cancer_dl.runs import run_recipe
from recipes import run_small

@pytest.fixture(scope="module")
def data():
    "Three classes that eight of forty genes tell apart; every patient has two samples."
    rng = np.random.default_rng(0)
    y = np.tile(np.repeat(np.arange(3), 2), 20)
    X = rng.gamma(4, 1, size=(120, 40)).astype(np.float32)
    X[:, :8] += 4*(np.arange(8) % 3 == y[:, None])
    patients = np.array([f"p{i//2:03d}" for i in range(120)])
    return Labelled(X, np.array(["A", "B", "C"])[y], patients, np.array([f"s{i}" for i in range(120)]),
                    np.array([f"G{i}" for i in range(40)]),
                    "log2(x+1)", "cancer_type", False)

@pytest.fixture(scope="module")
def fitted(data): return {"good": LogisticRegression().fit(data.X[:90], data.y[:90]), "blind": Constant()}

class Constant:
    def predict(self, X): return np.full(len(X), "A")

def test_noise_has_the_size_of_the_mean_and_is_not_clipped_where_data_are_negative():
    X, mean = np.full((400, 3), 10, np.float32), np.array([1., 10., 0.])
    X[:, 2] += np.arange(400)  # equal samples would get equal noise
    (_, noisy), = noisy_copies(X, mean, [2.], repeats=1, clip=False)
    assert (noisy - X).std(axis=0) == pytest.approx([2, 20, 0], rel=.1, abs=1e-6) and (noisy < 0).any()
    (_, clipped), = noisy_copies(X, mean, [2.], repeats=1)
    assert (clipped == np.maximum(noisy, 0)).all()
    (_, negative), = noisy_copies(X - 500, mean, [2.], repeats=1)
    assert negative.min() < -520

def test_centred_data_get_noise_of_the_size_of_the_standard_deviation(data, fitted):
    X = (data.X - data.X.mean(axis=0)) / data.X.std(axis=0) * np.linspace(.5, 3, 40)
    scale = noise_scale(X, "z-scores")
    assert (scale.of == "standard deviation" and not scale.clip
            and scale.size == pytest.approx(np.linspace(.5, 3, 40), rel=.02))
    found = noise_robustness({"good": LogisticRegression().fit(X[:90], data.y[:90])}, X[90:], data.y[90:],
                             data.patients[90:], scale, (0, 5))
    assert (found.facts["of"] == "standard deviation"
            and found.hits["good"][0].mean() > found.hits["good"][1].mean() + .2)  # the noise does something
    assert robustness_figure(found).get_xlabel() == "noise, % of the gene's standard deviation"
    with pytest.raises(InputError, match="no size for noise"):
        noise_robustness(fitted, X, data.y, data.patients, X.mean(axis=0))

@pytest.mark.parametrize("units, shift, of, clip", [
    ("log2(FPKM+1)", 0, "mean", True), ("TPM", 0, "mean", True), ("counts", 0, "mean", True),
    ("log2(x)", 0, "mean", False), ("unknown", 0, "mean", False),
    ("log2(FPKM+1)", -5, "standard deviation", False), ("log2(FPKM+0.001)", -5, "standard deviation", False),
    ("z-scores", 0, "standard deviation", False),
    ("log2 ratio to the median", 0, "standard deviation", False), ("fractions", 0, "mean", True)])
def test_what_noise_is_a_multiple_of(data, units, shift, of, clip):
    assert noise_kind(data.X + shift, units) == (of, clip)

def test_folds_say_what_the_noise_was(data):
    centred = Labelled(data.X - data.X.mean(axis=0), data.y, data.patients, data.samples, data.genes, "log2 ratio",
                       "cancer_type", False)
    for cohort, of in ((data, "mean"), (centred, "standard deviation")):
        assert robustness_folds(cohort, {"l": LogisticRegression()}, levels=(0, 1), n_splits=3).facts["of"] == of

def test_level_zero_is_one_untouched_copy():
    X = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    copies = list(noisy_copies(X, np.ones(4), [0, 1], repeats=3))
    assert [i for i, _ in copies] == [0, 1, 1, 1] and (copies[0][1] == X).all()
    assert not np.array_equal(copies[1][1], copies[2][1])

def test_missing_genes_are_nested_and_filled_and_the_samples_are_left_alone():
    X, fill = np.ones((6, 10), np.float32), np.arange(10.) + 5
    few, many = (copy for _, copy in missing_copies(X, fill, [.2, .6], repeats=1))
    lost = [set(np.flatnonzero((c == fill.astype("float32")).all(axis=0))) for c in (few, many)]
    assert len(lost[0]) == 2 and len(lost[1]) == 6 and lost[0] < lost[1] and (X == 1).all()

def test_hits_of_a_known_learner(data, fitted):
    hits = measure_hits(fitted, noisy_copies(data.X[90:], data.X.mean(axis=0), [0, 1], repeats=2), data.y[90:], 2)
    assert (hits["blind"] == (data.y[90:] == "A")).all()
    assert hits["good"][0].mean() == pytest.approx(fitted["good"].score(data.X[90:], data.y[90:]))

def test_the_same_seed_gives_the_same_curve_and_another_does_not(data, fitted):
    rest = data.X[60:], data.y[60:], data.patients[60:], data.X.mean(axis=0)
    one, two, other = (noise_curve({"good": fitted["good"]}, *rest, levels=(0, 2), repeats=2, seed=s)
                       for s in (0, 0, 1))
    assert one.equals(two) and not one.equals(other)
    assert one.columns.tolist() == ["learner", "level", "accuracy", "lower", "upper"]
    assert (one["lower"] <= one["accuracy"]).all() and (one["accuracy"] <= one["upper"]).all()

@pytest.mark.parametrize("levels", [(1, 0), (0,), (0, 0), (-1, 1), [[0, 1]]])
def test_levels_that_make_no_sense_are_refused(data, fitted, levels):
    with pytest.raises(InputError, match="ascending"):
        noise_robustness(fitted, data.X, data.y, data.patients, data.X.mean(axis=0), levels)

def test_more_than_all_genes_cannot_be_missing(data, fitted):
    with pytest.raises(InputError, match="to 1"):
        missing_robustness(fitted, data.X, data.y, data.patients, np.zeros(40), (0, 1.5))

def test_area_and_difference_follow_from_the_hits():
    hits = {"a": np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], float), "b": np.ones((3, 4))}
    r = Robustness(np.array([0., 1., 3.]), hits, np.array(list("wxyz")))
    areas = r.area().set_index("learner")["area"]
    assert (areas["a"] == pytest.approx(((.5 + .25)/2*1 + (.25 + 0)/2*2)/3) and areas["b"] == pytest.approx(1)
            and r.area()["learner"][0] == "b")
    d = r.compare("b").set_index("level")
    assert (d.loc[0., "difference"] == pytest.approx(-.5)
            and d.loc["area", "difference"] == pytest.approx(areas["a"] - 1))
    # four patients are too few to be sure, however large the difference
    assert d.loc[3., "p"] == pytest.approx(.125) and d.loc[3., "upper"] >= 0
    with pytest.raises(InputError, match="no learner"): r.compare("c")

def test_samples_of_a_patient_do_not_count_as_independent():
    rng = np.random.default_rng(0)
    hit = (rng.random((1, 60)) < .5).astype(float)
    alone = Robustness(np.array([0.]), {"a": hit}, np.arange(60).astype(str)).curve()
    copied = Robustness(np.array([0.]), {"a": np.repeat(hit, 9, axis=1)},
                        np.repeat(np.arange(60), 9).astype(str)).curve()
    width = lambda c: (c["upper"] - c["lower"])[0]
    assert width(copied) == pytest.approx(width(alone), rel=.1)

def test_folds_never_test_a_patient_they_trained_on_and_use_training_means(data):
    class Watcher(LogisticRegression):
        def fit(self, X, y):
            self.rows_ = {r.tobytes() for r in X}
            return super().fit(X, y)
        def predict(self, X):
            seen = np.array([r.tobytes() in self.rows_ for r in X])
            assert not seen.any()
            return super().predict(X)
    r = robustness_folds(data, {"w": Watcher()}, levels=(0, 3), n_splits=3)
    assert r.hits["w"].shape == (2, 120) and r.hits["w"][0].mean() > .9 > r.hits["w"][1].mean()

def test_missing_on_folds(data):
    r = robustness_folds(data, {"l": LogisticRegression()}, "missing", (0, 1), fill="zero", n_splits=3)
    assert r.what == "missing" and r.hits["l"][1].mean() < .6
    with pytest.raises(InputError, match="noise"): robustness_folds(data, {}, "nois")

def test_learners_have_the_same_preprocessing(data):
    linear = Labelled(data.X*1e4, data.y, data.patients, data.samples, data.genes, "counts", "cancer_type", False)
    for learner in make_learners(linear, "cnn1d").values(): assert learner.steps[0][0] == "logcpm"
    made = make_learners(data, {"raw": dict(standardise=False), "usual": {}}, plain=False, epochs=3)
    assert made["raw"].named_steps["zscaler"] == "passthrough" and made["usual"].named_steps["zscaler"] != "passthrough"
    assert made["raw"][-1].epochs == 3

def test_plain_learners_keep_their_scaling_when_networks_do_without(data):
    made = make_learners(data, "cnn1d", plain="RBF SVM", standardise=False)
    assert ([name for name, _ in made["RBF SVM"].steps] == ["zscaler", "svc"]
            and made["RBF SVM"].named_steps["zscaler"] != "passthrough")

def test_components_and_the_filter_are_options_of_the_preparation(data):
    made = make_learners(data, {"usual": {}, "raw": dict(standardise=False)}, plain="RBF SVM", components=5)
    assert ([name for name, _ in made["usual"].steps] == ["zscaler-1", "pcareducer", "zscaler-2", "cancerclassifier"]
            and made["usual"][-1].model == "mlp")
    assert made["raw"].named_steps["zscaler-1"] == made["raw"].named_steps["zscaler-2"] == "passthrough"
    assert [name for name, _ in made["RBF SVM"].steps] == ["zscaler", "svc"]  # baselines see the genes
    wide = Labelled(np.tile(data.X, (1, 1 + 2_000 // data.X.shape[1])), data.y, data.patients, data.samples,
                    np.arange(99_999), "log2(x+1)", "cancer_type", False)
    for filter_genes in (True, False):
        for learner in make_learners(wide, "cnn1d", plain="RBF SVM", filter_genes=filter_genes).values():
            assert (learner.steps[0][0] == "expressionfilter") == filter_genes

def test_unknown_names_are_explained(data):
    with pytest.raises(InputError, match="cnn1d"): make_learners(data, "cnn1")
    with pytest.raises(InputError, match="RBF SVM"): make_learners(data, plain=["RBF SWM"])
    with pytest.raises(InputError, match="nothing to compare"): make_learners(data, (), plain=False)
    assert network_options("cnn1d, cnn2d_hybrid") == {"cnn1d": {"model": "cnn1d"},
                                                      "cnn2d_hybrid": {"model": "cnn2d_hybrid"}}

def test_watched_patients_are_not_trained_on(data):
    with pytest.raises(InputError, match="p000"):
        fit_learners(data, np.arange(0, 120, 2), np.arange(1, 120, 2), "cnn1d", plain=False)

def test_a_network_is_watched_and_not_stopped_by_it(data):
    fitted = fit_learners(data, np.arange(80), np.arange(80, 120), "cnn1d", plain="RBF SVM", epochs=3)
    assert len(fitted["cnn1d"][-1].history_.logs["val_loss"]) == 3
    assert set(fitted["RBF SVM"].predict(data.X)) <= set("ABC")

def test_the_figure_draws_what_the_table_says(data, fitted):
    r = noise_robustness(fitted, data.X[90:], data.y[90:], data.patients[90:], data.X.mean(axis=0), (0, 1), repeats=1)
    for source in (r, r.curve()):
        ax = robustness_figure(source, chance=.3)
        assert (ax.lines[0].get_xdata().tolist() == [0, 100]
                and ax.lines[0].get_ydata()[0] == pytest.approx(r.hits["good"][0].mean()))

SMALL = dict(models="cnn1d", plain="RBF SVM", epochs=2, levels="0, 1", shares="0, 0.5", repeats=1, n_samples=340,
             n_genes=300)

def test_the_recipe_writes_its_results(tmp_path):
    results = run_small("robustness", SMALL, tmp_path/"out")
    assert (set(results["noise_area"]) == set(results["missing_area"]) == {"cnn1d", "RBF SVM"}
            and set(results["learners"]) == {"cnn1d", "RBF SVM"})
    assert results["noise_of"] == "mean" and results["left_out"]["normals"] > 0 and "cnn1d" in results["verdict"]
    assert {"curves.csv", "differences.csv", "noise.png", "missing.png"} <= {p.name for p in (tmp_path/"out").iterdir()}

@pytest.mark.slow
def test_the_page_of_the_recipe_says_the_same(tmp_path):
    results = run_recipe("robustness", SMALL, tmp_path/"out", verbose=False)
    page = html.unescape((tmp_path/"out"/"robustness.html").read_text())
    assert "Accuracy of cnn1d under noise" in page and "p (Holm)" in page
    # the command of this run
    assert "-p models cnn1d -p plain 'RBF SVM' -p epochs 2 " in page and "path/to/cohort" not in page
    verdict = results["verdicts"]["noise"][0]
    shown = page.split("p (Holm)")[-1].split("</table>")[0]
    assert f">{verdict['p']:.2g}<" in shown
