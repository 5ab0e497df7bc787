"Benchmarks: a process for each learner, kills, failures, folders, the command."
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from learners import Fails, Holds, Remembers, Waits
from refusing import refused
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from cancer_dl.data.labels import labelled
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.leaderboard import (FILES, _name_of, failing_lines, leaderboard_learners, names_of, open_folder,
                                   run_benchmark)
from cancer_dl.train.classical import CLASSICAL
from cancer_dl.train.process import FoldResult, evaluate_fold, peak_memory

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture(scope="module")
def data(simulated):
    return labelled(simulated(n_samples=90, n_genes=30, n_classes=3, share_normals=0, seed=5))

@pytest.fixture(scope="module")
def board(data, tmp_path_factory):
    "Two learners and one that fails, on two folds; the folder."
    folder = tmp_path_factory.mktemp("board")/"b"
    learners = {"naive Bayes": make_pipeline(ZScaler(), GaussianNB()), "holds": make_pipeline(Holds(150)),
                "fails": make_pipeline(Fails())}
    return run_benchmark(data, folder, n_splits=2, learners=learners), folder, learners

@pytest.mark.slow
def test_memory_is_that_of_the_learner_alone(board):
    "A process that held much before does not show in what a learner of its own took."
    ballast = np.ones(400 * 2**17)  # 400 MB in this process
    assert peak_memory() > 400 and len(ballast)
    table = board[0].table().set_index("learner")
    assert table.memory_mb["holds"] - table.memory_before_mb["holds"] > 140
    assert table.memory_mb["naive Bayes"] - table.memory_before_mb["naive Bayes"] < 100

@pytest.mark.slow
def test_memory_of_a_process_does_not_come_from_its_parent(tmp_path):
    "`getrusage` would say so: the mark of the parent is inherited."
    code = "import numpy, subprocess, sys; big = numpy.ones(500 * 2**17); subprocess.run([sys.executable, '-c', " \
           "'from cancer_dl.train.process import peak_memory; print(peak_memory())'], check=True)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    if sys.platform == "linux": assert float(said) < 450

def test_a_failure_keeps_its_row_and_loses_no_other(board):
    found, folder, _ = board
    table = found.table().set_index("learner")
    assert table.problem["fails"] == "ValueError: no solution" and np.isnan(table.accuracy["fails"])
    assert table.accuracy.notna().sum() == 2 and "1 of 3 learners did not finish" in failing_lines(found)
    written = pd.read_csv(folder/"benchmark.csv").set_index("learner")
    assert written.problem["fails"] == "ValueError: no solution"
    results = json.loads((folder/"results.json").read_text())
    assert results["failures"] == {"fails": "ValueError: no solution"} and results["reference"] == "naive Bayes"
    assert "no solution" in (folder/"benchmark.html").read_text() and (folder/"ranks.png").stat().st_size > 200

def test_no_log_loss_without_probabilities(board):
    table = board[0].table().set_index("learner")
    assert np.isnan(table.log_loss["holds"]) and table.log_loss["naive Bayes"] > 0

def test_a_constant_learner_is_not_a_rival(board):
    found = board[0]
    verdict, = found.verdicts()
    assert (verdict.first, verdict.second) == ("naive Bayes", "holds") and verdict.difference > 0.2
    assert -1 <= verdict.interval[0] <= verdict.interval[1] <= 1

def test_a_reference_that_fails_is_no_verdict(data, tmp_path, monkeypatch):
    monkeypatch.setattr("cancer_dl.leaderboard.evaluate_apart", lambda *given: "no solution")
    found = run_benchmark(data, tmp_path/"b", n_splits=2, learners={"fails": make_pipeline(Fails())})
    assert found.verdicts() == [] and "did not finish: no solution" in found.verdict()
    assert found.ranks() is None and not (tmp_path/"b"/"ranks.png").exists()
    assert json.loads((tmp_path/"b"/"results.json").read_text())["accuracy"] is None

def test_another_question_in_the_same_folder_is_refused(data, board, tmp_path):
    _, folder, learners = board
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    other = labelled_again(data, X=data.X + 1)
    some = {"naive Bayes": learners["naive Bayes"]}
    refused(lambda: run_benchmark(data, folder, n_splits=3, learners=some), "folds is 2 there and 3 here", "overwrite")
    refused(lambda: run_benchmark(data, folder, n_splits=2, seed=1, learners=some), "seed is 0 there and 1 here")
    refused(lambda: run_benchmark(other, folder, n_splits=2, learners=some), "the samples are other ones")
    assert before == {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}

def labelled_again(data, **changed):
    from dataclasses import replace
    return replace(data, **changed)

def test_overwrite_replaces_ours_and_nothing_else(tmp_path):
    question = dict(label="a", data="1")
    evaluations = open_folder(tmp_path/"b", question)
    (evaluations/"old-0a-1-1.npz").write_text("")
    for notes in (tmp_path/"b"/"notes.txt", evaluations/"notes.txt"): notes.write_text("mine")
    open_folder(tmp_path/"b", question)
    assert (evaluations/"old-0a-1-1.npz").exists()
    refused(lambda: open_folder(tmp_path/"b", dict(label="b", data="1")), "label is a there and b here")
    open_folder(tmp_path/"b", dict(label="b", data="1"), overwrite=True)
    assert not (evaluations/"old-0a-1-1.npz").exists() and (tmp_path/"b"/"notes.txt").read_text() == "mine"
    assert (evaluations/"notes.txt").read_text() == "mine"

def test_evaluations_of_samples_that_nobody_knows_are_not_used(tmp_path):
    evaluations = open_folder(tmp_path/"b", dict(label="a", data="1"))
    (evaluations/"kNN-0a-1-1.npz").write_text("")
    (tmp_path/"b"/"asked.json").unlink()
    assert not list(open_folder(tmp_path/"b", dict(label="a", data="2")).iterdir())

def test_files_of_others_are_not_replaced(data, tmp_path):
    (tmp_path/"benchmark.csv").write_text("mine")
    refused(lambda: open_folder(tmp_path, dict(label="a"), overwrite=True), "benchmark.csv", "was not written by")
    assert (tmp_path/"benchmark.csv").read_text() == "mine"

def test_a_damaged_evaluation_is_made_again(data, board):
    found, folder, learners = board
    file = next((folder/"evaluations").glob("naive-Bayes-*-1-1.npz"))
    file.write_bytes(file.read_bytes()[:200])
    again = run_benchmark(data, folder, n_splits=2, learners={"naive Bayes": learners["naive Bayes"]})
    assert FoldResult.load(file) is not None
    assert (again.results["naive Bayes"].predicted == found.results["naive Bayes"].predicted).all()

def kernel_made_again():
    def kernel(X, Z): return X @ Z.T
    return kernel

def test_other_parameters_are_another_learner():
    "And the same ones are the same, in another process too: no address of a function is in the name."
    name = lambda learner: _name_of("a", make_pipeline(learner), (90, 30))
    assert len({name(LogisticRegression(C=c)) for c in (1, 2, 2)}) == 2
    kernels = [kernel_made_again(), kernel_made_again()]
    assert kernels[0] is not kernels[1] and len({name(SVC(kernel=k)) for k in kernels}) == 1

SLOW = """
import sys
from learners import Waits
from sklearn.pipeline import make_pipeline
from cancer_dl.data.labels import labelled
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.leaderboard import run_benchmark
data = labelled(simulate_cohort(n_samples=90, n_genes=30, n_classes=3, share_normals=0, seed=5))
run_benchmark(data, sys.argv[1], n_splits=3, learners={"waits": make_pipeline(Waits(sys.argv[2]))})
"""

@pytest.mark.slow
def test_a_kill_loses_the_evaluation_in_flight_only(data, tmp_path):
    log, out = tmp_path/"log", tmp_path/"b"
    killed = subprocess.Popen([sys.executable, "-c", SLOW, out, log],
                              env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT/'tests'}"})
    def lines(): return len(log.read_text().splitlines()) if log.exists() else 0
    deadline = time.monotonic() + 300
    while lines() < 2 and killed.poll() is None and time.monotonic() < deadline: time.sleep(.2)
    assert lines() == 2
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = sorted(p.name for p in (out/"evaluations").glob("*.npz"))
    assert len(kept) == 1 and not (out/"benchmark.csv").exists()
    times = (out/"evaluations"/kept[0]).stat().st_mtime_ns
    board = run_benchmark(data, out, n_splits=3, learners={"waits": make_pipeline(Waits(str(log)))})
    assert lines() == 4  # the two that were missing, once each: its process did not go on, and the first fold is kept
    assert (out/"evaluations"/kept[0]).stat().st_mtime_ns == times and len(board.results["waits"].folds) == 3
    assert {p.name for p in out.iterdir()} == set(FILES) - {"ranks.png"} | {"evaluations"}
    assert not [p.name for p in (out/"evaluations").iterdir() if p.suffix != ".npz"]

def test_test_samples_are_not_seen_before(data):
    "The learner would fail if a row of its test fold had been in its training fold."
    y, rows = np.unique(data.y, return_inverse=True)[1], np.arange(90)
    assert evaluate_fold(Remembers(), data.X, y, rows[:60], rows[60:], 3).predicted.shape == (30,)
    with pytest.raises(AssertionError): evaluate_fold(Remembers(), data.X, y, rows, rows[60:], 3)

def test_names_as_they_are_typed():
    assert names_of(" kNN, SGD ,kNN") == ("kNN", "SGD") and names_of("none", "ab") == () == names_of("")
    assert names_of(None, CLASSICAL) == CLASSICAL == names_of("all", CLASSICAL)

def test_learners_that_are_not_there(data, monkeypatch):
    refused(lambda: leaderboard_learners(data, "mlpp"), "mlpp", "mlp")
    refused(lambda: leaderboard_learners(data, "none", "forest"), "forest")
    refused(lambda: leaderboard_learners(data, {"kNN": dict(model="linear")}, "kNN"), "another name")
    monkeypatch.setattr("cancer_dl.train.classical.has_lightgbm", lambda: False)
    monkeypatch.setattr("cancer_dl.leaderboard.has_lightgbm", lambda: False)
    refused(lambda: leaderboard_learners(data, "none", "LightGBM"), "cancer_dl[lightgbm]")
    assert "LightGBM" not in leaderboard_learners(data, "none")

@pytest.mark.parametrize("jobs", [0, -2, True, 1.5])
def test_jobs(data, tmp_path, jobs):
    refused(lambda: run_benchmark(data, tmp_path/"b", "none", "kNN", jobs=jobs), "jobs is", "-1 for all cores")
    assert not (tmp_path/"b").exists()

def command(*words):
    from cancer_dl.cli import main
    with pytest.raises(SystemExit) as ended: main([str(word) for word in words])
    return ended.value.code

def test_the_command(simulated, tmp_path, capfd, monkeypatch):
    "A network beside a classical learner, twice at a time; then the same words once more, and others."
    from cancer_dl.data.simulate import write_simulated
    write_simulated(simulated(n_samples=90, n_genes=30, n_classes=3, share_normals=0, seed=5), tmp_path/"c")
    words = ["benchmark", tmp_path/"c", "--label", "cancer_type", "--out", tmp_path/"b", "--models", "linear",
             "--baselines", "naive Bayes", "--folds", 2, "--epochs", 1, "--jobs", 2]
    assert command(*words) == 0
    said = capfd.readouterr().out
    assert "linear" in said and "naive Bayes" in said and "benchmark.html" in said
    table = pd.read_csv(tmp_path/"b"/"benchmark.csv").set_index("learner")
    assert table.parameters["linear"] == 30 * 3 + 3 and table.log_loss.notna().all() and (table.evaluations == 2).all()
    assert "2 evaluations ran at a time" in (tmp_path/"b"/"benchmark.html").read_text()
    monkeypatch.setattr("cancer_dl.leaderboard.evaluate_apart", None)  # nothing is evaluated again
    assert command(*words, "--quiet") == 0 and capfd.readouterr().out == ""
    assert command(*words[:-6], "--folds", 3) == 2
    assert "folds is 2 there and 3 here" in (said := capfd.readouterr().err) and "--overwrite" in said
    assert command(*words, "--against", "naive bayes") == 2 and "naive Bayes" in capfd.readouterr().err

@pytest.mark.slow
def test_the_command_has_exit_code_1_where_a_learner_fails(simulated, tmp_path, capfd, monkeypatch):
    from cancer_dl.data.simulate import write_simulated
    write_simulated(simulated(n_samples=90, n_genes=30, n_classes=3, share_normals=0, seed=5), tmp_path/"c")
    monkeypatch.setattr("cancer_dl.leaderboard.evaluate_apart", lambda *given: "no solution")
    assert command("benchmark", tmp_path/"c", "--out", tmp_path/"b", "--models", "none", "--baselines", "kNN") == 1
    found = capfd.readouterr()
    assert "1 of 1 learners did not finish" in found.err and "- kNN: no solution" in found.err
    assert pd.read_csv(tmp_path/"b"/"benchmark.csv").problem[0] == "no solution"
    assert command("benchmark", tmp_path/"c", "--label", "subtyp", "--out", tmp_path/"b2") == 2
