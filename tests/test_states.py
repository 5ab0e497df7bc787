"The simulated cohort of three disease states: who is in it, where states lie, and what its truth says."
import numpy as np
import pandas as pd
import pytest
from refusing import refused

from cancer_dl.data.labels import labelled
from cancer_dl.data.samples import sample_type_word
from cancer_dl.data.simulate import STATES, TCGA_TYPES, simulate_cohort, simulate_states, truth_of

@pytest.fixture(scope="module")
def cohort():
    return simulate_states(400, 600, n_classes=8, seed=3, share_adjacent=.2)

def test_shares_are_those_asked_for(cohort):
    counts = cohort.obs["state"].value_counts()
    assert (counts[STATES[0]], counts[STATES[1]], counts.sum()) == (108, 80, 400)
    assert set(cohort.obs["sample_type"]) == {"primary", "normal"}
    donors = cohort.obs[cohort.obs["state"] == STATES[0]]
    assert donors["cancer_type"].isna().all() and donors["patient"].is_unique and (donors["purity"] == 0).all()
    assert set(donors["tissue"]) == set(TCGA_TYPES.tissue[:8])
    assert len(labelled(cohort, "cancer_type").y) == 212 and len(labelled(cohort, "state").y) == 400

def test_states_are_understood_as_sample_types():
    assert [sample_type_word(state) for state in STATES] == ["normal", "normal", "tumour"]

def test_other_patients_of_the_same_biology(cohort):
    other = simulate_states(150, 600, n_classes=8, seed=3, samples_seed=8)
    pd.testing.assert_frame_equal(truth_of(other), truth_of(cohort))
    assert not set(other.obs_names) & set(cohort.obs_names)
    assert np.corrcoef(other.X.mean(axis=0), cohort.X.mean(axis=0))[0, 1] > .95

def test_the_truth_of_the_field_is_true(cohort):
    "Genes that react beside a tumour differ there from donors, in the direction that the truth names."
    truth = truth_of(cohort, "state")
    state, tissue = cohort.obs["state"].to_numpy(str), cohort.obs["tissue"].to_numpy(str)
    centred = cohort.X - pd.DataFrame(cohort.X).groupby(tissue).transform("mean").to_numpy()
    shift = centred[state == STATES[1]].mean(axis=0) - centred[state == STATES[0]].mean(axis=0)
    at = cohort.var_names.get_indexer(truth["gene"])
    assert np.corrcoef(shift[at], truth["effect"])[0, 1] > .7
    assert np.abs(shift[at]).mean() > 1.5 * np.abs(np.delete(shift, at)).mean()

def test_kinds_are_dealt_to_many_genes(cohort):
    truth = truth_of(cohort)
    sizes = truth[truth["programme"].str.startswith(("class:", "subtype:"))].groupby("programme").size()
    alike = [f"class:{t}" for t in TCGA_TYPES.index[1:8]]  # BRCA is the only type of its tissue
    assert (sizes[[*alike, "subtype:LumA"]] > 200).all() and sizes["class:BRCA"] < 50
    assert not truth.duplicated(["class", "gene", "label", "programme"]).any()

def test_another_platform_moves_donors_alone():
    here, there = (simulate_states(150, 300, n_classes=3, seed=1, platform=p) for p in (0, 20))
    donor = (here.obs["state"] == STATES[0]).to_numpy()
    moved = np.abs(here.X - there.X).mean(axis=1)  # what is left in the others is the counting of reads
    assert moved[donor].min() > 2 * moved[~donor].max()

def test_the_first_cohort_knows_nothing_of_it():
    plain = simulate_cohort(120, 200, n_classes=3, seed=5)
    assert "state" not in plain.obs and set(truth_of(plain)["label"]) == {"cancer_type", "stage", "subtype"}

def test_what_cannot_be_is_refused():
    refused(lambda: simulate_states(100, 600), "are too few")
    refused(lambda: simulate_states(400, 600, share_healthy=2), "share_healthy is 2")
    refused(lambda: simulate_states(400, 600, programme_size=-1), "programme_size is -1")
