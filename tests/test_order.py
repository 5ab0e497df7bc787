"""An order that matters: what is known of the simulated profiles, and that a shuffle hurts only who uses the order."""
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from cancer_dl.core import InputError
from cancer_dl.data.cohort import read_cohort, write_cohort
from cancer_dl.data.genome import genome_order
from cancer_dl.data.ordered import (CARRIERS, direction_ceiling, direction_events, event_starts, shuffle_places,
                                    simulate_profiles)
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.train.classical import classical_learners
from cancer_dl.train.estimator import CancerClassifier
from cancer_dl.train.validate import compare_patients

N = 500  # samples to train on; the others test

@pytest.fixture(scope="module")
def profiles():
    "Clear profiles: little noise, and nothing beside the event."
    return simulate_profiles(1100, others=0, noise=0.1, purity=0.9, seed=2)

def right(learner, cohort):
    "Which test samples a learner calls right."
    y = cohort.obs["cancer_type"].to_numpy()
    return learner.fit(cohort.X[:N], y[:N]).predict(cohort.X[N:]) == y[N:]

# -- what holds exactly

@pytest.mark.parametrize("chromosomes, width, levels", [((14, 9, 7), 3, (.5, 1)), ((6,), 1, (-1, 2)),
                                                        ((5, 1, 9), 2, (0, 1))])
def test_without_order_both_classes_are_the_same(chromosomes, width, levels):
    "Single places, products of two, and values without their places: by enumeration of all starts."
    up, down = direction_events(chromosomes, width, levels).values()
    assert len(up) == len(event_starts(chromosomes, 2 * width)) == len(down)
    np.testing.assert_allclose(up.mean(axis=0), down.mean(axis=0))
    np.testing.assert_allclose(up.T @ up, down.T @ down)
    for place in range(up.shape[1]):  # the whole distribution of a place
        np.testing.assert_array_equal(np.sort(up[:, place]), np.sort(down[:, place]))
    bags = [sorted(map(tuple, np.sort(events, axis=1))) for events in (up, down)]
    assert bags[0] == bags[1]
    assert not np.array_equal(up, down)

def test_a_falling_event_is_a_rising_one_in_the_mirror():
    up, down = direction_events((8,), 2).values()
    np.testing.assert_array_equal(up[:, ::-1][::-1], down)

@pytest.mark.parametrize("carrier", CARRIERS)
def test_profiles_are_their_parts(carrier):
    "What is left without purity and other changes is one event, of the class or at the place that the class says."
    made = simulate_profiles(200, carrier=carrier, noise=1e-4, seed=1)
    event = made.X / made.obs["purity"].to_numpy()[:, None] - made.layers["others"]
    inside = np.abs(event) > 0.1
    assert (1 <= inside.sum(axis=1)).all() and (inside.sum(axis=1) <= 6).all()
    change = np.diff(event[:, :14], axis=1)  # on the first chromosome
    whole = inside[:, 1:13].sum(axis=1) == 6
    step = np.where((np.abs(change) < 0.75) & inside[:, :13] & inside[:, 1:14], change, 0).sum(axis=1)[whole]
    names = made.obs["cancer_type"].to_numpy()[whole]
    assert len(names) > 20
    if carrier == "direction": np.testing.assert_array_equal(step > 0, names == "rising")
    else: assert {*names[step > 0]} == {*names[step < 0]}  # here the direction is chance

def test_the_ceiling_is_above_everyone_and_falls_with_noise(profiles):
    ceilings = [direction_ceiling(simulate_profiles(600, noise=s, seed=0)) for s in (.05, .5, 3)]
    assert ceilings == sorted(ceilings, reverse=True) and ceilings[0] > .95 and ceilings[-1] < .65
    assert direction_ceiling(profiles) > .97
    for wrong in (shuffle_places(profiles), simulate_profiles(20, carrier="place")):
        with pytest.raises(InputError, match="ceiling is that of profiles in order"): direction_ceiling(wrong)

def test_a_shuffle_keeps_samples_names_and_the_cohort(profiles):
    before = profiles.X.copy()
    shuffled = shuffle_places(profiles, seed=3)
    np.testing.assert_array_equal(profiles.X, before)
    np.testing.assert_array_equal(np.sort(shuffled.X, axis=1), np.sort(before, axis=1))
    np.testing.assert_array_equal(shuffled.X, shuffle_places(profiles, seed=3).X)
    assert list(shuffled.obs["cancer_type"]) == list(profiles.obs["cancer_type"])
    step = genome_order(shuffled.var_names, patch=1).fit(shuffled.X)
    np.testing.assert_array_equal(step.transform(shuffled.X), shuffled.X)  # names do not undo it

def test_profiles_can_be_written_and_read(profiles, tmp_path):
    write_cohort(profiles[:20], tmp_path/"profiles")
    again = read_cohort(tmp_path/"profiles", units="log2 ratio")
    np.testing.assert_allclose(again.X, profiles.X[:20], atol=1e-6)
    assert list(again.obs["cancer_type"]) == list(profiles.obs["cancer_type"][:20])

@pytest.mark.parametrize("options, words", [
    (dict(n_samples=1), "n_samples is 1"), (dict(width=0), "width is 0"), (dict(others=-1), "others is -1"),
    (dict(chromosomes=()), "at least 1 each"), (dict(chromosomes=(4, 2.5)), "at least 1 each"),
    (dict(width=8), "fits on no chromosome"), (dict(levels=(1, 1)), "no direction"), (dict(noise=0), "above 0"),
    (dict(purity=0), "above 0"), (dict(carrier="order"), "carrier")])
def test_profiles_that_cannot_be_are_refused(options, words):
    with pytest.raises(InputError, match=words): simulate_profiles(**{"n_samples": 20} | options)

# -- what learners make of it

def test_learners_of_places_pairs_and_bags_are_at_chance(profiles):
    "Within four standard errors of one half, on 600 samples."
    margin = 4 * .5 / np.sqrt(len(profiles) - N)
    bags = profiles.copy()
    bags.X = np.sort(bags.X, axis=1)
    linear = classical_learners(0, ["logistic regression"])["logistic regression"]
    for learner, cohort in ((linear, profiles), (GaussianNB(), profiles),
                            (HistGradientBoostingClassifier(max_iter=30), bags)):
        assert abs(right(learner, cohort).mean() - .5) < margin, learner

def network(name):
    "A small network; that with order shares its weights along the places."
    sizes = {"mlp": dict(dense=48, input_dropout=0.0, dropout=0.2),
             "cnn_attention": dict(patch=1, local=False, embed=0, filters=24, kernel=7, dense=16, dropout=0.0),
             "lstm_attention": dict(patch=1, local=False, embed=0, units=16, dense=16, dropout=0.0)}[name]
    return make_pipeline(ZScaler(), CancerClassifier(name, sizes, epochs=20, batch_size=32, learning_rate=0.01,
                                                     optimizer="adam", schedule="constant", patience=None,
                                                     label_smoothing=0.0, members=1, random_state=0))

@pytest.mark.parametrize("name, uses_order", [("cnn_attention", True), ("mlp", False), pytest.param(
    "lstm_attention", True, marks=pytest.mark.slow)])
def test_a_shuffle_hurts_networks_that_use_the_order_and_no_others(name, uses_order, profiles):
    "Paired over the same test patients, in order and shuffled."
    kept, shuffled = (right(network(name), cohort) for cohort in (profiles, shuffle_places(profiles)))
    found = compare_patients(kept, shuffled)
    if uses_order: assert kept.mean() > .7 and found["interval"][0] > .05 and found["p"] < .001
    else: assert found["interval"][0] < 0 < found["interval"][1] and kept.mean() < .72

def test_a_shuffle_changes_nothing_for_logistic_regression(profiles):
    linear = classical_learners(0, ["logistic regression"])["logistic regression"]
    np.testing.assert_array_equal(right(linear, profiles), right(linear, shuffle_places(profiles)))

def test_where_the_place_is_the_class_no_order_is_needed():
    "The control: the same events, and logistic regression is far above chance, shuffled or not."
    cohort = simulate_profiles(1100, carrier="place", seed=2)
    linear = classical_learners(0, ["logistic regression"])["logistic regression"]
    kept, shuffled = right(linear, cohort), right(linear, shuffle_places(cohort))
    assert kept.mean() > .8
    assert (kept == shuffled).mean() > .99
