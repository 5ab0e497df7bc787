"""Small cohorts, end to end: two classes with default options, classes of two patients, numbers that are not known."""
import contextlib
import io
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from cancer_dl.benchmark import PUBLISHED
from cancer_dl.cli import main
from cancer_dl.report import _baseline_table, _comparison, measured, metric_lines, metric_numbers
from cancer_dl.train.assess import Plan, assess, few_folds, plan_assessment, ranking_metrics
from cancer_dl.train.bundle import model_card_text
from cancer_dl.train.baselines import baselines


def small_cohort(folder, sizes, n_genes=40, shift=1.5, seed=0):
    "A folder with log expression and a sample sheet, five genes higher in each class; its path."
    folder.mkdir(parents=True, exist_ok=True)
    rng, y = np.random.default_rng(seed), np.repeat(list(sizes), list(sizes.values()))
    X = rng.normal(6, 1, (len(y), n_genes))
    for k, name in enumerate(sizes): X[y == name, 5 * k:5 * k + 5] += shift
    ids, genes = [f"S{i:03d}" for i in range(len(y))], [f"GENE{j}" for j in range(n_genes)]
    pd.DataFrame(X.round(4), pd.Index(ids, name="sample_id"), genes).to_csv(folder/"expression.csv")
    pd.DataFrame(dict(sample_id=ids, label=y)).to_csv(folder/"samples.csv", index=False)
    return folder


def command(*words):
    "Output of a command that must succeed."
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: main([str(word) for word in words])
        except SystemExit as end: assert not end.code, err.getvalue()
    assert "Traceback" not in err.getvalue() and "Error" not in err.getvalue(), err.getvalue()
    return out.getvalue()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    "A cohort of two classes, a bundle that `train` made of it with default options, and what the terminal said."
    folder = tmp_path_factory.mktemp("two")
    cohort = small_cohort(folder/"cohort", {"ALL": 38, "AML": 22})
    return cohort, folder/"model", command("train", cohort, "--label", "label", "--epochs", 3, "--out", folder/"model")


def test_two_classes_with_default_options(two):
    _, model, out = two
    page = (model/"report.html").read_text()
    assert "AUROC" in out and "'AML' is the positive class" in out and "RBF SVM" in out
    rows = {learner: row for row in re.findall(r"<tr.*?</tr>", page, re.S)
            for learner in ("RBF SVM", "gradient boosting") if f">{learner}<" in row}
    for learner, row in rows.items():
        # three metrics, AUROC, average precision
        assert len(re.findall(r"0\.\d{3} to [01]\.\d{3}", row)) == 5, (learner, row)
    assert len(rows) == 2 and "nan" not in re.sub(r"data:[^\"')]*", "", page)
    metrics = json.loads((model/"bundle.json").read_text())["metrics"]
    assert metrics["auroc_interval"][0] <= metrics["auroc"] <= metrics["auroc_interval"][1]


def test_a_bundle_of_two_classes_is_measured(two, tmp_path):
    cohort, model, _ = two
    fresh = small_cohort(tmp_path/"fresh", {"ALL": 12, "AML": 9}, seed=5)
    out = command("evaluate", model, fresh, "--label", "label", "--out", tmp_path/"measured")
    assert "accuracy" in out and "nan" not in out and (tmp_path/"measured").is_dir()


# -- what ranks two classes without probabilities

class Silent(GaussianNB):
    "A classifier that gives classes only."
    predict_proba = property(lambda self: (_ for _ in ()).throw(AttributeError("no probabilities")))


def two_blobs(n=120, shift=1.2, seed=0):
    rng, y = np.random.default_rng(seed), np.arange(n) % 2
    return ((rng.normal(size=(n, 10)) + shift * y[:, None] * (np.arange(10) < 3)).astype(np.float32),
            np.array(["no", "yes"])[y])


@pytest.mark.parametrize("plan", [Plan("crossval", 4, 2), Plan("holdout")], ids=str)
@pytest.mark.parametrize("positive", ["no", "yes"])
@pytest.mark.parametrize("learner", [SVC(), SVC(kernel="linear"), RidgeClassifier(), make_pipeline(SVC())],
                         ids=lambda v: type(v).__name__)
def test_a_decision_value_ranks(learner, positive, plan):
    X, y = two_blobs()
    found = assess(dict(network=LogisticRegression(), other=learner), "network", X, y, np.arange(120), plan,
                   positive=positive)
    own, other = found.metrics(), found.metrics("other")
    assert (other["auroc"] == pytest.approx(own["auroc"], abs=.06) and other["auroc"] > .75
            and other["positive_class"] == positive)
    assert set(own) == set(other)


def test_values_of_different_folds_are_not_put_in_one_row():
    "A decision value whose zero and scale differ from model to model ranks as well as one whose do not."
    class Drifting(RidgeClassifier):
        def decision_function(self, X):
            own = super().decision_function(X)
            factor = 1 + 1e4 * abs(self.coef_).sum() % 7  # another one in every fold
            return factor * own + 100 * factor
        def predict(self, X): return self.classes_[(RidgeClassifier.decision_function(self, X) > 0).astype(int)]
    X, y = two_blobs()
    found = assess(dict(network=RidgeClassifier(), other=Drifting()), "network", X, y, np.arange(120),
                   Plan("crossval", 5, 2))
    assert found.metrics("other")["auroc"] == pytest.approx(found.metrics()["auroc"], abs=1e-9)


def test_places_say_nothing_where_there_is_nothing():
    X, _ = two_blobs()
    values = []
    for seed in range(12):
        y = np.random.default_rng(seed).permutation(np.repeat(["a", "b"], [80, 40]))
        found = assess(dict(network=SVC(kernel="linear")), "network", X, y, np.arange(120),
                       Plan("crossval", 5, 1), seed=seed)
        values.append(found.metrics()["auroc"])
    assert abs(np.mean(values) - .5) < .05


def test_a_perfect_ranking_stays_perfect():
    y = np.repeat(["a", "b"], [47, 25])
    X = (np.arange(72.)[:, None] - 46.5).astype(np.float32)
    found = assess(dict(network=RidgeClassifier()), "network", X, y, np.arange(72), Plan("crossval", 5, 5))
    assert found.metrics()["auroc"] == 1


def test_a_learner_that_ranks_nothing_has_no_auroc():
    X, y = two_blobs()
    for plan in (Plan("crossval", 3, 1), Plan("holdout")):
        found = assess(dict(network=GaussianNB(), silent=Silent()), "network", X, y, np.arange(120), plan)
        assert "auroc" not in found.metrics("silent") and found.metrics("silent")["accuracy"] > .6
        assert "silent" in repr(found) and "silent" in found._repr_html_()


def test_three_classes_have_no_places():
    X, _ = two_blobs()
    found = assess(dict(network=SVC()), "network", X, np.array(["a", "b", "c"])[np.arange(120) % 3], np.arange(120),
                   Plan("crossval", 3, 1))
    assert found.own.ranks is None and "auroc" not in found.metrics()


def test_a_test_set_of_one_class_has_no_ranking():
    assert ranking_metrics(np.ones(9, int), np.arange(9.), np.arange(9)) == {}
    assert ranking_metrics(np.arange(9) % 2, np.full(9, np.nan), np.arange(9)) == {}


# -- numbers that are not known

def test_a_number_that_is_not_known_is_a_dash(two):
    "Learners of whom one has no AUROC, and a metric without a value, on the page, in the terminal and on the card."
    X, y = two_blobs()
    a = assess(dict(network=GaussianNB(), silent=Silent()), "network", X, y, np.arange(120), Plan("crossval", 3, 1))
    table = pd.DataFrame([dict(learner=name, **a.metrics(name)) for name in a.results])
    page = str(_baseline_table(table, "network"))
    assert "nan" not in page and page.count("–") == 4  # AUROC and average precision, each with its interval
    assert "silent" in _comparison(table, "accuracy") and "silent" not in _comparison(table, "auroc")
    metrics = dict(a.metrics(), auroc=np.nan, auroc_interval=np.nan)
    numbers = metric_numbers(measured(a.own, metrics))
    assert "–" in numbers[-2]._repr_html_() and "nan" not in "".join(n._repr_html_() for n in numbers)
    assert any("AUROC –" in line for line in metric_lines(metrics))
    facts = json.loads((two[1]/"bundle.json").read_text())
    facts["metrics"] = dict(accuracy=.5, accuracy_interval=None, macro_f1=None)
    assert "| accuracy | 0.500 | – |" in model_card_text(facts) and "| macro F1 | – | – |" in model_card_text(facts)


# -- gradient boosting on small cohorts

def boosting(): return baselines(names=["gradient boosting"])["gradient boosting"]


@pytest.mark.parametrize("n, least", [(8, 2), (28, 2), (33, 3), (120, 12), (199, 19), (200, 20), (1000, 20)])
def test_a_leaf_holds_a_tenth(n, least):
    X, y = two_blobs(n)
    fitted = boosting()[-1].fit(X, y)
    assert fitted.min_samples_leaf_ == least and fitted.min_samples_leaf == 20
    assert clone(fitted).get_params() == fitted.get_params()


def test_boosting_learns_from_few_samples():
    X, y = two_blobs(32, shift=3)
    fresh, named = two_blobs(200, shift=3, seed=1)
    assert (boosting().fit(X, y).predict(fresh) == named).mean() > .8


def test_larger_cohorts_are_as_they_were():
    X, y = two_blobs(220)
    theirs = HistGradientBoostingClassifier(**boosting()[-1].get_params())
    assert (boosting()[-1].fit(X, y).predict_proba(X) == theirs.fit(X, y).predict_proba(X)).all()


def test_a_fit_that_fails_leaves_the_parameters():
    model = boosting()[-1]
    with pytest.raises(ValueError): model.fit(np.zeros((30, 2)), np.full(30, np.nan))
    assert model.min_samples_leaf == 20


# -- few folds

@pytest.mark.parametrize("sizes, parts", [
    ([20, 20, 2], ["Only 2 folds", "c has 2 patients", "50%", "--min-class-size 5", "--small-classes drop",
                   "with 5 folds"]),
    ([20, 4, 2, 2], ["Only 2 folds", "c, d have 2 patients", "--min-class-size 4", "with 4 folds"]),
    ([20, 20, 4], ["Only 4 folds", "75%", "--min-class-size 5"]),
    ([20, 3], ["Only 3 folds", "b has 3 patients", "More patients"]),
    ([20, 20, 5], [])], ids=str)
def test_few_folds_are_explained(sizes, parts):
    y = np.repeat(list("abcd")[:len(sizes)], sizes)
    said = few_folds(plan_assessment(y, np.arange(len(y))), y, np.arange(len(y)))
    for part in parts: assert part in said, said
    assert bool(said) == bool(parts) and ("min_class_size" in said) == ("min-class-size" in " ".join(parts))
    if "min_class_size" in said:  # what is advised leads to as many folds as it says
        least = int(re.search(r"min_class_size=(\d)", said)[1])
        kept = np.isin(y, [k for k, n in zip("abcd", sizes) if n >= least])
        assert (f"with {plan_assessment(y[kept], np.arange(kept.sum())).n_splits} folds" in said
                and len(set(y[kept])) > 1)


def test_a_hold_out_has_no_folds():
    y = np.repeat(["a", "b"], [400, 3])
    assert few_folds(plan_assessment(y, np.arange(403)), y, np.arange(403)) == ""


def test_a_class_of_two_patients_is_told(tmp_path):
    cohort = small_cohort(tmp_path/"cohort", {"BREAST": 14, "LUNG": 14, "PROSTATE": 2})
    out = command("train", cohort, "--label", "label", "--epochs", 2, "--no-compare", "--out", tmp_path/"model")
    page = (tmp_path/"model"/"report.html").read_text()
    assert ("Only 2 folds, because PROSTATE has 2 patients\n" in out and "--min-class-size 5" in out
            and "--min-class-size 5" in page)
    assert re.search(r"Judged by \d x 2-fold cross-validation by patient; the network of this bundle", page)
    assert not re.search(r"by patient: \d x", page)


# -- progress

class Screen(io.StringIO):
    "A terminal."
    def isatty(self): return True


@pytest.mark.parametrize("verbose, disabled", [(1, ""), (0, ""), (1, "1")])
def test_a_bar_names_the_learner_at_work(verbose, disabled, monkeypatch):
    screen, (X, y) = Screen(), two_blobs(60)
    monkeypatch.setenv("TQDM_DISABLE", disabled)
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    monkeypatch.setattr("sys.stderr", screen)
    assess(dict(network=GaussianNB(), other=RidgeClassifier()), "network", X, y, np.arange(60), Plan("crossval", 3, 2),
           verbose=verbose)
    shown = screen.getvalue()
    if verbose and not disabled:
        assert "cross-validation of network" in shown and "cross-validation of other" in shown and "/12" in shown
    else: assert shown == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("size", [(24, 90), (0, 0)], ids=str)
def test_a_terminal_without_a_size_shows_bars_too(size):
    "Recorders, remote shells and some consoles of continuous integration state a size of 0 x 0."
    import fcntl
    import pty
    import termios
    code = ("from cancer_dl.core import progress\nwith progress(total=3, desc='fits') as bar:\n"
            " for _ in range(3): bar.update()")
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("TQDM_DISABLE", "COLUMNS", "LINES")}
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "fits" in shown and "0/3" in shown


# -- the recipe `crossval` shows what says something

def cell(name):
    "Source of a cell of the recipe."
    cells = json.loads((Path(__file__).parents[1]/"nbs"/"recipes"/"crossval.ipynb").read_text(
        encoding="utf-8"))["cells"]
    assert not any("Beside the paper" in "".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return "".join(next(c for c in cells if c["id"] == name)["source"])


@pytest.mark.parametrize("n_classes, label, cohort, said", [
    (33, "cancer_type", "", True), (34, "cancer_type", "tcga", True), (4, "cancer_type", "mine", False),
    (33, "site", "mine", False), (2, "label", "mine", False)])
def test_the_paper_is_mentioned_where_it_has_a_figure(n_classes, label, cohort, said):
    shown = []
    names = dict(np=np, pd=pd, PUBLISHED=PUBLISHED, display=shown.append, Markdown=str, label=label, cohort=cohort,
                 data=SimpleNamespace(y=np.arange(100) % n_classes), accuracy=pd.Series({"cnn1d": .9, "RBF SVM": .8}))
    exec(cell("crossval-16"), names)
    assert ("## Beside the paper" in str(shown)) == said == bool(shown) and names["n_classes"] == n_classes


@pytest.mark.parametrize("sd, said", [(np.nan, False), (.01, True)])
def test_no_column_without_a_number(sd, said):
    table = pd.DataFrame(dict(learner=["a", "b"], accuracy=[.9, .8], sd_repeats=sd))
    assert ("sd_repeats" in eval(cell("crossval-07").splitlines()[-1], dict(table=table)).to_html()) == said
