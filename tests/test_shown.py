"Results show themselves: one short text with the numbers, and a small table that any notebook can draw."
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cancer_dl.core import to_json
from cancer_dl.data.checkup import cohort_report, describe_cohort
from cancer_dl.data.simulate import simulate_cohort

class Tags(HTMLParser):
    "Fails on a tag that is not closed in its turn, and collects what is shown."
    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""
    def handle_starttag(self, tag, attrs): self.open.append(tag)
    def handle_endtag(self, tag): assert self.open.pop() == tag
    def handle_data(self, data): self.text += data + "\n"

def read(page):
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    return tags.text

@pytest.fixture(scope="module")
def cohort():
    found = simulate_cohort(n_samples=90, n_genes=60, n_classes=3, seed=3)
    names = dict(zip(sorted(set(found.obs["cancer_type"])), ("<b>A</b>", "B & C", "D")))
    found.obs["cancer_type"] = found.obs["cancer_type"].astype(str).map(names)
    return found

@pytest.fixture(scope="module")
def results(cohort):
    from cancer_dl.classify import evaluate_bundle, train_classifier
    trained = train_classifier(cohort, compare=True, judge="holdout", model="mlp", epochs=3, drop_unlabelled=True)
    return dict(trained=trained, assessment=trained.assessment, evaluation=trained.evaluation,
                again=evaluate_bundle(trained.bundle, cohort)[0],
                history=trained.history, bundle=trained.bundle, folds=trained.assessment.own)

def test_every_result_is_short_and_safe(cohort, results):
    for name, thing in {**results, "cohort": describe_cohort(cohort)}.items():
        assert len(repr(thing).splitlines()) <= 3 and len(repr(thing)) < 500, name
        page = thing._repr_html_()
        text = read(page)
        assert not re.search(r"<b>|<style|<script|class=|url\(|https?:|(?<!&)#[0-9a-f]{3}", page), name
        assert "background:none" in page and "color:inherit" in page and re.search(r"\d", text), name

def test_the_numbers_are_those_of_the_result(results):
    trained = results["trained"]
    m = trained.metrics()
    accuracy = f"{m['accuracy']:.3f} ({m['accuracy_interval'][0]:.3f} to {m['accuracy_interval'][1]:.3f})"
    for name in ("trained", "assessment", "evaluation", "bundle", "folds"):
        assert accuracy in repr(results[name]) and accuracy in read(results[name]._repr_html_()), name
    both = read(results["assessment"]._repr_html_())
    for learner in (trained.assessment.network, *trained.assessment.baselines):
        assert learner in both and learner in repr(results["assessment"])
    assert trained.assessment.verdict() in both and trained.assessment.verdict() in read(trained._repr_html_())
    assert "<b>A</b>" in read(results["bundle"]._repr_html_())  # shown, not obeyed

def test_an_evaluation_on_training_samples_says_so(results):
    assert "seen in training" in repr(results["again"]) and "flatter" in read(results["again"]._repr_html_())
    assert "seen in training" not in repr(results["evaluation"])

def test_a_history_tells_how_it_ended(results):
    history = results["history"]
    assert (repr(history).startswith("History(3 epochs in ")
            and f"loss {history.logs['loss'][history.best_epoch]:.3f}" in repr(history))
    assert "accuracy" in read(history._repr_html_())
    from cancer_dl.train.fit import History
    assert repr(History()).startswith("History(0 epochs")
    read(History()._repr_html_())

def test_a_bundle_of_version_0_1_0_shows_itself():
    from cancer_dl.train.bundle import load_bundle
    old = load_bundle(Path(__file__).parent/"data"/"bundle_0.1.0.zip")
    assert repr(old).startswith("Bundle(") and "accuracy" in repr(old)
    read(old._repr_html_())

def test_the_summary_of_a_cohort_stays_a_dict(cohort):
    found = describe_cohort(cohort)
    assert isinstance(found, dict) and json.loads(to_json(found))["n_samples"] == cohort.n_obs
    assert json.loads(json.dumps(found, default=str))["n_genes"] == 60
    assert f"{cohort.n_obs} samples" in repr(found) and "ready to train" in repr(found)
    text = read(found._repr_html_())
    assert "<b>A</b>" in text and "60" in text and found["ready"] in text
    assert cohort_report(found) == cohort_report(cohort)
