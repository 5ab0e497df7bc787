"Calibration and conformal sets of a network for several labels: learned on held-out patients, measured, refused."
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import cancer_dl
from folders import edit_facts
from refusing import refused

from cancer_dl.classify import Evaluation, measured_coverage
from cancer_dl.data.simulate import write_simulated
from cancer_dl.multitask import evaluate_multitask, evaluation_metrics, train_multitask
from cancer_dl.train.bundle import check_conformal, load_bundle, save_bundle
from cancer_dl.train.calibrate import TaskCalibrations, calibrate, calibrations_from

TASKS = ["tissue", "sample_type"]


@pytest.fixture(scope="module")
def cohort(some_tissues): return some_tissues

@pytest.fixture(scope="module")
def trained(cohort):
    return train_multitask(cohort, TASKS, judge="crossval", seed=3, epochs=3, members=1, compare=False,
                           model_params=dict(dense=16))

@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory): return save_bundle(trained.bundle, tmp_path_factory.mktemp("sets")/"both")

@pytest.fixture(scope="module")
def on_disk(simulated, tmp_path_factory):
    place = tmp_path_factory.mktemp("new")/"cohort"
    write_simulated(simulated(n_samples=80, n_genes=40, n_classes=4, seed=2), place)
    return place

def edited(folder, to, change):
    "A copy of a bundle with other facts, and a checksum that fits."
    return edit_facts(shutil.copytree(folder, to), change)

# ---------------------------------------------------------------- what it is learned from

def test_each_task_is_calibrated_on_out_of_fold_answers(trained):
    "Of the samples with a label in the task, by networks that were not trained on their patients."
    for task, n in (("tissue", 120), ("sample_type", 150)):
        own, result = trained.bundle.calibration.tasks[task], trained.assessments[task].own
        assert own.facts["samples"] == n and own.facts["repeats"] == len(result.predicted) == len(result.each)
        np.testing.assert_allclose(result.each.mean(axis=0), result.probability, atol=1e-6)
        np.testing.assert_array_equal(result.each.argmax(axis=2), result.predicted)
        again = calibrate(result.each, result.y, result.groups)
        assert again.temperature == own.temperature
        np.testing.assert_array_equal(again.scores, own.scores)
    assert trained.bundle.calibration.tasks["tissue"].temperature != own.temperature

def test_temperature_changes_no_answer(trained, cohort):
    found, _ = trained.bundle.predict_cohort(cohort)
    plain = trained.pipeline.predict_proba(np.asarray(cohort.X, np.float32))
    for task, p in plain.items():
        own = found[[c for c in found if c.startswith(f"{task}_p_")]].to_numpy()
        np.testing.assert_array_equal(own.argmax(axis=1), p.argmax(axis=1))
        np.testing.assert_allclose(own, trained.bundle.calibration.tasks[task].apply(p), atol=1e-5)

def test_coverage_is_what_was_promised():
    "Three tasks of different difficulty; thousands of patients, so that chance says little."
    rng, found, p, y = np.random.default_rng(0), {}, {}, {}
    for task, (classes, sure) in {"easy": (2, 5), "hard": (4, 1), "harder": (6, .5)}.items():
        logits = rng.normal(size=(6000, classes)) * sure
        chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        y[task] = (chance.cumsum(axis=1) > rng.random(6000)[:, None]).argmax(axis=1)
        wrong = np.exp(2 * logits)  # a network that is too sure
        p[task] = (wrong / wrong.sum(axis=1, keepdims=True)).astype(np.float32)
        found[task] = calibrate(p[task][:3000], y[task][:3000])
    after = TaskCalibrations(found).apply(p)
    for task, own in found.items():
        assert own.temperature == pytest.approx(2, rel=.15)
        held = own.sets(after[task][3000:], .9)[np.arange(3000), y[task][3000:]].mean()
        assert held == pytest.approx(.9, abs=.02) or (task == "easy" and held > .9)

# ---------------------------------------------------------------- the bundle

def test_there_and_back(trained, folder):
    again = load_bundle(folder)
    assert set(again.calibration.tasks) == set(TASKS)
    for task in TASKS:
        assert again.calibration.tasks[task].to_dict() == trained.bundle.calibration.tasks[task].to_dict()
    card = (folder/"MODEL_CARD.md").read_text()
    assert card.count("Logits are divided by") == 2 and "`tissue`: Learned from 120 samples" in card
    assert calibrations_from(again.calibration.to_dict()).tasks.keys() == set(TASKS)

@pytest.mark.parametrize("change", [
    lambda c: c["tasks"].update(colour=c["tasks"]["tissue"]),
    lambda c: c["tasks"].clear(),
    lambda c: c["tasks"]["tissue"].update(temperature=1000),
    lambda c: c["tasks"]["tissue"]["shares"].reverse(),
    lambda c: (c.update(c["tasks"]["tissue"]), c.pop("tasks"))])
def test_an_edited_calibration_is_refused(folder, change, tmp_path):
    refused(lambda: load_bundle(edited(folder, tmp_path/"b", lambda facts: change(facts["calibration"]))),
            "damaged or has been edited")

def test_levels_that_one_task_cannot_promise(trained):
    patients = {task: own.facts["patients"] for task, own in trained.bundle.calibration.tasks.items()}
    fewest = min(patients, key=patients.get)
    assert len(set(patients.values())) == 2
    level = (patients[fewest] + .5) / (patients[fewest] + 1.5)  # enough for the other task
    refused(lambda: check_conformal(trained.bundle, level), f"Label '{fewest}'", "cannot be promised")
    check_conformal(trained.bundle, level - .005)

# ---------------------------------------------------------------- measured

def test_coverage_counts_new_samples_only(trained, cohort, simulated):
    found, _, answers = evaluate_multitask(trained.bundle, cohort)
    assert "coverage" not in evaluation_metrics(found, len(answers), trained.bundle)["tissue"]  # all were trained on
    e, own = found["tissue"], trained.bundle.calibration.tasks["tissue"]
    seen = np.arange(len(e.number)) % 3 > 0
    part = measured_coverage(own, Evaluation(e.data, e.classes, e.probability, seen))
    held = own.sets(e.probability, .8)[np.arange(len(seen)), e.number][~seen]
    assert part["0.8"]["n"] == (~seen).sum() and part["0.8"]["covered"] == pytest.approx(held.mean(), abs=1e-5)
    assert part["0.8"]["covered_interval"][0] <= held.mean() <= part["0.8"]["covered_interval"][1]
    few = calibrate(e.probability[:12], e.number[:12], e.data.patients[:12])
    assert "0.95" not in measured_coverage(few, Evaluation(e.data, e.classes, e.probability))

# ---------------------------------------------------------------- the command line

def test_predict_and_evaluate(folder, on_disk, tmp_path):
    code, out, err = cancer_dl("predict", folder, on_disk, "--out", tmp_path/"p.csv", "--conformal", .9, "--top", 1)
    assert code == 0 and "sets       tissue: hold the true class for 0.9" in out, err
    table, bundle = pd.read_csv(tmp_path/"p.csv"), load_bundle(folder)
    assert list(table)[-2:] == ["unfamiliar", "distance"] and "set" not in table
    for task in TASKS:
        p = table[[c for c in table if c.startswith(f"{task}_p_")]]
        names = [c.removeprefix(f"{task}_p_") for c in p]
        held = bundle.calibration.tasks[task].sets(p.to_numpy(), .9)
        assert [set(text.split("|")) for text in table[f"{task}_set"]] == [
            {n for n, own in zip(names, row) if own} for row in held]
        assert (table[f"{task}_set"].str.split("|").str[0] == table[f"{task}_prediction"]).all()
    code, out, err = cancer_dl("evaluate", folder, on_disk, "--out", tmp_path/"e")
    assert code == 0, err
    metrics, truth = json.loads((tmp_path/"e"/"metrics.json").read_text()), pd.read_csv(tmp_path/"e"/"predictions.csv")
    for task in TASKS:
        assert metrics[task]["coverage"].keys() == {"0.8", "0.9", "0.95"}
        held = [label in text.split("|") for label, text in zip(truth[f"{task}_label"], table[f"{task}_set"])]
        assert metrics[task]["coverage"]["0.9"]["covered"] == pytest.approx(np.mean(held), abs=1e-5)
        assert 0 <= metrics[task]["ece"] <= 1 and metrics[task]["log_loss"] > 0
    assert "Sets of classes" in (tmp_path/"e"/"report.html").read_text()

def test_older_bundles_say_that_they_have_none(folder, on_disk, tmp_path):
    old = edited(folder, tmp_path/"old", lambda facts: facts.pop("calibration"))
    code, _, err = cancer_dl("predict", old, on_disk, "--out", tmp_path/"p.csv", "--conformal", .9)
    assert code == 2 and "no predictions on held-out patients" in err and "Train it again" in err
    assert not (tmp_path/"p.csv").exists()
    assert cancer_dl("predict", old, on_disk, "--out", tmp_path/"p.csv")[0] == 0
    assert not [c for c in pd.read_csv(tmp_path/"p.csv") if c.endswith("_set")]
    assert cancer_dl("evaluate", old, on_disk, "--out", tmp_path/"e")[0] == 0
    assert "coverage" not in json.loads((tmp_path/"e"/"metrics.json").read_text())["tissue"]
    code, _, err = cancer_dl("predict", folder, on_disk, "--out", tmp_path/"q.csv", "--conformal", .9999)
    assert code == 2 and "cannot be promised" in err and "Label '" in err
