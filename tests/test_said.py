"What the command line leads with, and what it refuses to ignore."
import pandas as pd
import pytest
from commands import cancer_dl

from cancer_dl.data.simulate import simulate_cohort, write_simulated


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A cohort, part of it as a second one, and a small bundle of the first."
    place = tmp_path_factory.mktemp("said")
    cohort = simulate_cohort(n_samples=150, n_genes=40, n_classes=3, seed=1)
    cohort.obs["age"] = range(50, 200)
    write_simulated(cohort, place/"cohort")
    samples = pd.read_csv(place/"cohort"/"samples.csv")
    samples["noise"] = ["common"]*120 + ["rare"]*30
    samples["noise"] = samples["noise"].sample(frac=1, random_state=0).to_numpy()
    samples["age"] = range(150)
    samples.to_csv(place/"cohort"/"samples.csv", index=False)
    done = cancer_dl("train", place/"cohort", "--out", place/"model", "--judge", "holdout", "--no-refit",
                     "--no-compare", "--epochs", 4, "--set", "members=1", "--label", "cancer_type")
    assert done[0] == 0, done
    return place


def test_evaluate_leads_with_samples_that_are_new(place):
    code, out, _ = cancer_dl("evaluate", place/"model", place/"cohort", "--out", place/"measured")
    first = out.splitlines()[0]
    assert code == 0 and first.startswith("result") and first.endswith("that are new to the model"), out
    assert "with those of training: accuracy" in out, out
    n = int(first.split(" on ")[-1].split()[0])
    assert 20 <= n <= 40


def test_predict_says_what_it_was_trained_on(place):
    code, out, _ = cancer_dl("predict", place/"model", place/"cohort", "--out", place/"p.csv")
    assert code == 0 and "Note: the model was trained on 1" in out and "of these 150 samples" in out, out


def test_a_network_that_learned_nothing_is_said_to(place):
    "Also with --quiet, on standard error."
    code, out, err = cancer_dl("train", place/"cohort", "--out", place/"nothing", "--label", "noise", "--judge",
                               "holdout", "--no-compare", "--epochs", 2, "--set", "members=1", "--quiet")
    assert code == 0 and not out and "not shown to be above always saying 'common', which is right for" in err, err
    assert all(line.startswith("Warning:") for line in err.splitlines())


@pytest.mark.parametrize("words, said", [
    (["--components", 5], "--components has no effect with --value"),
    (["--normal-class"], "--normal-class has no effect with --value"),
    (["--no-filter"], "--no-filter has no effect with --value"),
    (["--no-refit"], "--no-refit has no effect with --value"),
    (["--judge", "holdout"], "judged by cross-validation"),
    (["--survival", "age,noise"], "not both")])
def test_options_without_effect_are_refused(place, words, said):
    code, out, err = cancer_dl("train", place/"cohort", "--out", place/"value", "--value", "age", *words)
    assert code == 2 and said in err and not (place/"value").exists(), err


def test_a_cross_validation_judges_no_single_network(place):
    code, _, err = cancer_dl("train", place/"cohort", "--out", place/"none", "--label", "noise", "--judge", "crossval",
                             "--no-refit")
    assert code == 2 and "Leave --no-refit or --judge crossval out" in err and not (place/"none").exists(), err


def test_a_challenge_needs_a_new_folder(place):
    (place/"taken").mkdir()
    (place/"taken"/"mine.txt").write_text("notes")
    code, _, err = cancer_dl("challenge", "make", place/"cohort", "--out", place/"taken")
    assert code == 2 and "is not empty" in err and "overwrite" not in err
