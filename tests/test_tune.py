"Tuning: honest folds, a study that survives being killed, files that anybody may have edited."
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression

from recipes import run_small

from cancer_dl.cli import main
from cancer_dl.core import InputError
from cancer_dl.data.cohort import write_cohort
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.models.blocks import REGISTRY
from cancer_dl.train import tune
from cancer_dl.train.estimator import CancerClassifier, CancerRegressor
from cancer_dl.train.tune import (METHODS, Range, Search, default_trial, finished, grid_of, is_complete, load_study,
                                  prepared_folds, read_best, search_space, settings_of, tune_network, with_settings)
from cancer_dl.tuning import optimism_words, tune_classifier, verdict_words
from refusing import refused

SPACE = {"learning_rate": Range(1e-4, 1e-1, log=True), "optimizer": ["adamw", "sgd"]}
FAST = ("--model", "mlp", "--epochs", 1, "--folds", 2, "--set", "dense=8", "--set", "members=1")


def three_classes():
    "Three classes that eight of forty genes tell apart; every patient has two samples."
    rng = np.random.default_rng(0)
    y = np.tile(np.repeat(np.arange(3), 2), 15)
    X = rng.normal(size=(90, 40)).astype(np.float32)
    X[:, :8] += 2*(np.arange(8) % 3 == y[:, None])
    return X, np.array(["A", "B", "C"])[y], np.array([f"p{i//2:02d}" for i in range(90)])

@pytest.fixture(scope="module")
def arrays(): return three_classes()

def small_search():
    learner = make_pipeline(ZScaler(), CancerClassifier("mlp", {"dense": 8}, random_state=0, members=1))
    return Search(learner, *three_classes(), SPACE, n_trials=3, n_splits=2, epochs=1)

@pytest.fixture
def search(): return small_search()

def by_rate(search, settings, folds, reports=None):
    "In place of networks: a score that falls with the distance of the rate from 0.01."
    score = -abs(np.log10(settings["learning_rate"]) + 2)
    for step in (1, 2): reports.trial.report(score, step)
    if reports.may_stop and reports.trial.should_prune(): return None, None
    return score, None

@pytest.fixture
def no_networks(monkeypatch):
    "A search whose trials cost nothing."
    monkeypatch.setattr(tune, "evaluate_settings", by_rate)
    monkeypatch.setattr(tune, "prepared_folds", lambda search: [])

@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning")/"cohort"
    write_cohort(simulate_cohort(n_samples=110, n_genes=40, n_classes=3, seed=4), folder)
    return folder

def cancer_dl(capsys, *words):
    "Exit code, output, errors."
    with pytest.raises(SystemExit) as end: main([str(word) for word in words])
    said = capsys.readouterr()
    return end.value.code or 0, said.out, said.err


def test_every_network_has_a_space_in_both_presets():
    for preset in ("default", "paper"):
        for name in REGISTRY:
            space = search_space(name, 200, 100, preset)
            assert {"learning_rate", "batch_size", "optimizer"} <= set(space)
            with_settings(CancerClassifier(name), {k: grid_of(space)[k][0] for k in space})
    assert {"dense", "dropout"} <= set(search_space("mlp", 200, 100, "paper"))

def test_the_paper_searches_25_epochs_by_cross_entropy(arrays):
    found = Search(CancerClassifier("mlp"), *arrays, "paper")
    assert (found.n_trials, found.epochs, found.metric) == (100, 25, "cross_entropy")

def test_the_steps_are_fitted_on_training_folds_and_patients_stay_whole(search):
    folds = prepared_folds(search)
    for fold in folds:
        assert np.allclose(fold.train[0].mean(axis=0), 0, atol=1e-5)  # standardised by itself
        assert not np.allclose(fold.test[0].mean(axis=0), 0, atol=1e-3)
        rest = np.setdiff1d(np.arange(90), fold.rows)
        assert not set(search.groups[fold.rows]) & set(search.groups[rest])
    assert sorted(np.concatenate([fold.rows for fold in folds])) == list(range(90))

def test_the_test_part_of_a_fold_changes_nothing_of_the_training(search, monkeypatch):
    "Early stopping and the epoch that is kept depend on training samples alone, however the test part scores."
    seen = []
    whole = CancerClassifier.fit
    def fit(self, X, y, **options):
        whole(self, X, y, **options)
        seen.append((self.monitor, self.restore_best, self.history_.best_epoch))
        return self
    monkeypatch.setattr(CancerClassifier, "fit", fit)
    search.epochs = 2
    tune.evaluate_settings(search, {}, prepared_folds(search))
    assert seen == [("accuracy", False, 1)]*2

@pytest.mark.parametrize("method", [m if m == "tpe" else pytest.param(m, marks=pytest.mark.slow) for m in METHODS])
def test_every_method_finishes_as_many_trials_as_asked(search, tmp_path, method, no_networks):
    search.method, search.n_trials = method, 30 if method == "tpe" else 6
    study = tune_network(search, tmp_path/"s")
    assert len(finished(study)) == search.n_trials and settings_of(default_trial(study)) == search.start
    rates = [settings_of(t)["learning_rate"] for t in study.trials]
    assert all(1e-4 <= rate <= .1 for rate in rates)
    if method == "grid":
        points = {(rate, settings_of(t)["optimizer"]) for rate, t in zip(rates[1:], study.trials[1:])}
        assert {rate for rate, _ in points} <= set(SPACE["learning_rate"].points()) and len(points) == 5
    if method == "tpe":
        assert any(not is_complete(t) for t in study.trials)  # Hyperband gave some up
        assert np.median(np.abs(np.log10(rates[-10:]) + 2)) < np.median(np.abs(np.log10(rates[1:8]) + 2))
    assert study.best_value == max(t.value for t in study.trials if is_complete(t))

def test_the_same_seed_gives_the_same_trials_and_more_trials_go_on(search, tmp_path, no_networks):
    one, two = (tune_network(search, tmp_path/name) for name in "ab")
    values = [(t.params, t.value) for t in one.trials]
    assert values == [(t.params, t.value) for t in two.trials]
    search.n_trials = 4
    more = tune_network(search, tmp_path/"a")
    assert [(t.params, t.value) for t in more.trials][:3] == values and len(finished(more)) == 4

def test_a_grid_ends_when_it_is_used_up(search, tmp_path, no_networks):
    search.method, search.n_trials = "grid", 50
    study = tune_network(search, tmp_path/"s")
    assert len(finished(study)) == 1 + 3*2
    assert len({tuple(t.params.items()) for t in study.trials[1:]}) == 6

def test_settings_that_cannot_be_trained_are_given_up_and_the_search_goes_on(search, tmp_path, monkeypatch,
                                                                             no_networks):
    def evaluate(search, settings, *rest):
        if settings["learning_rate"] != search.start["learning_rate"]: raise InputError("The loss became nan.")
        return by_rate(search, settings, *rest)
    monkeypatch.setattr(tune, "evaluate_settings", evaluate)
    study = tune_network(search, tmp_path/"s")
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert study.best_trial.user_attrs["default"]
    search.space = {"learning_rate": Range(.01, .1)}  # without the network's own settings
    refused(lambda: tune_network(search, tmp_path/"none"), "none of 3 settings", "loss became nan")

def test_a_value_is_tuned_as_well(arrays, tmp_path):
    X, _, patients = arrays
    learner = CancerRegressor("mlp", {"dense": 8}, random_state=0, members=1)
    search = Search(learner, X, X[:, 0] + X[:, 1], patients, {"learning_rate": SPACE["learning_rate"]}, n_trials=2,
                    n_splits=2, epochs=1)
    assert len(finished(tune_network(search, tmp_path/"s"))) == 2

def test_what_cannot_be_tuned_is_refused(search, arrays, tmp_path):
    refused(lambda: Search(LogisticRegression(), *arrays), "LogisticRegression is no network", "RandomizedSearchCV")
    refused(lambda: Search(CancerClassifier("mlp"), *arrays, {"denze": [8]}), "Did you mean dense")
    refused(lambda: Search(CancerClassifier("mlp"), *arrays, metric="accurcy"), "Did you mean accuracy")
    refused(lambda: load_study(tmp_path), "no study.db")
    (tmp_path/"study.db").write_text("this is no database, but long enough to be looked at" * 40)
    refused(lambda: tune_network(search, tmp_path), "cannot be read as a study", "overwrite=True")
    search.n_trials = 1
    assert len(finished(tune_network(search, tmp_path, overwrite=True))) == 1

KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
import test_tune
from cancer_dl.train import tune
def slow(search, *rest):
    if len(tune.finished(tune.load_study(sys.argv[1]))) == 1:
        print("in flight", flush=True)
        time.sleep(600)
    return test_tune.by_rate(search, *rest)
tune.evaluate_settings, tune.prepared_folds = slow, lambda search: []
tune.tune_network(test_tune.small_search(), sys.argv[1])
"""

def test_a_killed_search_loses_the_trial_in_flight_and_no_other(search, tmp_path, no_networks):
    folder = tmp_path/"s"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), os.path.dirname(__file__)],
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "in flight\n"
    refused(lambda: tune_network(search, folder, overwrite=True), "at work on the search")
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = load_study(folder).trials
    assert [t.state.name for t in before] == ["COMPLETE", "RUNNING"]
    after = tune_network(search, folder)
    assert [t.state.name for t in after.trials[:2]] == ["COMPLETE", "FAIL"] and len(finished(after)) == 3
    assert after.trials[0].datetime_complete == before[0].datetime_complete  # not run again
    assert settings_of(after.trials[2]) == settings_of(after.trials[1])  # tried once more

@pytest.mark.slow
def test_random_labels_do_not_profit(tmp_path):
    "The search finds a lucky score; held-out patients do not confirm it."
    cohort = simulate_cohort(n_samples=110, n_genes=40, n_classes=3, seed=4)
    cohort.obs["shuffled"] = np.random.default_rng(0).permutation(np.arange(cohort.n_obs) % 3).astype(str)
    tuned = tune_classifier(cohort, tmp_path/"s", "shuffled", "mlp", 2, n_splits=2, epochs=2, space=SPACE,
                            given=dict(members=1, model_params={"dense": 8}))
    assert "not shown to have helped" in verdict_words(tuned) or "Train without" in verdict_words(tuned)
    low, high = tuned.assessment.metrics("tuned")["accuracy_interval"]
    assert low < .45 < high + .3

@pytest.mark.parametrize("kept, said", [(0.8, "the two agree."), (0.8003, "the two agree."),
                                        (0.75, "0.050 too good."), (0.85, "0.050 too modest.")])
def test_a_difference_that_rounds_to_none_is_none(monkeypatch, kept, said):
    rows = [dict(settings="tuned", where=where, value=value, lower=.7, upper=.9)
            for where, value in (("search", 0.8), ("held out", kept))]
    tuned = SimpleNamespace(comparison=lambda: rows, study=None, measure="accuracy", optimism=0.8 - kept)
    monkeypatch.setattr("cancer_dl.tuning.finished", lambda study: [1, 2])
    assert optimism_words(tuned).endswith(said)

def test_from_the_command_line(cohort, tmp_path, capsys):
    out = tmp_path/"search"
    ask = ("tune", cohort, "--label", "cancer_type", *FAST, "--out", out)
    code, said, errors = cancer_dl(capsys, *ask, "--trials", 2)
    assert code == 0, errors
    assert "optimism" in said and "held-out patients" in said and "verdict" in said
    assert ", epochs=1\n" in said  # settings, as they stand in best.json, are no options
    best = read_best(out/"best.json")
    assert best["model"] == "mlp" and best["trials"] == 2 and best["label"] == "cancer_type" and best["seed"] == 0
    assert {"optuna", "keras", "cancer_dl"} <= set(best["versions"]) and best["settings"]["dense"] == 8
    assert best["settings"]["members"] == 1  # what --set has fixed
    assert {p.name for p in out.iterdir()} >= {"study.db", "trials.csv", "optimism.json", "history.png", "slices.png",
                                              "optimism.png", "report.html"}
    first = load_study(out).trials[0].datetime_complete
    code, said, errors = cancer_dl(capsys, *ask, "--trials", 3)  # goes on
    assert code == 0 and read_best(out/"best.json")["trials"] == 3, errors
    trials = load_study(out).trials
    assert len(trials) == 3
    assert load_study(out).trials[0].datetime_complete == first
    for other in (["--label", "tissue"], ["--model", "linear"], ["--seed", 5], ["--epochs", 3]):
        words = [w for w in ask if w not in ("dense=8", "--set", "members=1")] if other[0] == "--model" else list(ask)
        code, said, errors = cancer_dl(capsys, *words, "--trials", 2, *other)
        assert code == 2 and len(errors.splitlines()) == 1, errors
    assert "something else" in errors and "--overwrite" in errors and "epochs (1 there, 3 now)" in errors
    assert read_best(out/"best.json")["trials"] == 3
    held = json.loads((out/"best.json").read_text())["held_out_score"]["value"]
    code, said, errors = cancer_dl(capsys, "train", cohort, "--settings", out/"best.json", "--out", tmp_path/"b",
                                   "--no-compare")
    assert code == 0 and f"{held:.3f}" in said and "not those" not in said, (said, errors)
    again = json.loads((tmp_path/"b"/"bundle.json").read_text())
    assert again["metrics"]["accuracy"] == pytest.approx(held, abs=1e-6)

@pytest.mark.slow
def test_two_workers_share_a_study(cohort, tmp_path, capsys):
    out = tmp_path/"search"
    code, said, errors = cancer_dl(capsys, "tune", cohort, "--label", "cancer_type", *FAST, "--out", out, "--trials", 4,
                                   "--jobs", 2)
    trials = load_study(out).trials
    assert code == 0 and len(trials) == 4 and len({t.user_attrs["worker"] for t in trials}) > 1, errors

@pytest.mark.slow
def test_training_on_patients_of_the_search_is_warned_of(cohort, tmp_path, capsys):
    path = tmp_path/"best.json"
    path.write_text(json.dumps({"model": "mlp", "settings": {"learning_rate": .01, "epochs": 1}, "trials": 3, "seed": 0,
                                "held_out": "0"*16, "cohort": "cohort"}))
    code, said, errors = cancer_dl(capsys, "train", cohort, "--settings", path, "--out", tmp_path/"b", "--no-compare",
                                   "--set", "dense=8", "--set", "members=1")
    assert code == 0 and "accuracy is too good" in said and "--split-seed 0" in said
    for name in ("report.html", "bundle.json", "MODEL_CARD.md"): assert "too good" in (tmp_path/"b"/name).read_text()

@pytest.mark.parametrize("content, words", [
    ("{", "is not JSON"), ("[]", "must hold an object"), ('{"settings": {}, "trials": 1}', "no entry 'model'"),
    ('{"model": "mlp", "trials": 1}', "no entry 'settings'"),
    ('{"model": "mlpp", "settings": {}, "trials": 1}', "Did you mean mlp"),
    ('{"model": "mlp", "settings": {"denze": 3}, "trials": 1}', "Did you mean dense"),
    ('{"model": "mlp", "settings": {"dropout": 3}, "trials": 1}', "below 1"),
    ('{"model": "mlp", "settings": {"optimizer": "adma"}, "trials": 1}', "Did you mean adam"),
    ('{"model": "mlp", "settings": [], "trials": 1}', "settings and their values"),
    ('{"model": "cnn1d", "settings": {}, "trials": 1}', "settings in")])
def test_a_bad_file_of_settings_is_refused(cohort, tmp_path, capsys, content, words):
    (tmp_path/"best.json").write_text(content)
    model = ["--model", "mlp"] if "cnn1d" in content else []
    code, said, errors = cancer_dl(capsys, "train", cohort, "--settings", tmp_path/"best.json", *model, "--out",
                                   tmp_path/"b")
    assert code == 2 and words in errors and len(errors.splitlines()) == 1 and "best.json" in errors
    assert not (tmp_path/"b").exists()

def test_bad_requests_are_one_paragraph(cohort, tmp_path, capsys):
    (tmp_path/"note").mkdir()
    (tmp_path/"note"/"best.json").write_text("mine")
    for words, expected in [(["--method", "tpee"], "Did you mean tpe"), (["--space", "papers"], "Did you mean paper"),
                            (["--metric", "acuracy"], "Did you mean accuracy"),
                            (["--model", "mlpp"], "Did you mean mlp"),
                            (["--label", "nothing"], "nothing"), (["--out", cohort], "would be changed"),
                            (["--out", tmp_path/"note"], "not written by cancer_dl"), (["--folds", 90], "folds")]:
        code, said, errors = cancer_dl(capsys, "tune", cohort, "--out", tmp_path/"s", "--trials", 1, *FAST, *words)
        assert code == 2 and expected in errors and len(errors.splitlines()) == 1, (words, errors)

@pytest.mark.slow
def test_optuna_is_not_loaded_before_it_is_needed():
    code = "import sys, cancer_dl.tuning, cancer_dl.cli; print('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

@pytest.mark.slow
def test_the_recipe(tmp_path):
    results = run_small("tune", dict(n_samples=150, n_genes=40, n_classes=3, trials=2, epochs=1), tmp_path/"out")
    assert results["trials"] == 2 and 0 <= results["accuracy"] <= 1 and results["verdict"]
    assert {"best.json", "trials.csv", "optimism.png"} <= {p.name for p in (tmp_path/"out").iterdir()}
