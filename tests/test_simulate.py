"""Simulated cohorts: reproducible, of the size and shape asked for, true to their own truth, and written whole or not
at all."""
import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cancer_dl.core import InputError
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.samples import NORMAL, labels_of
from cancer_dl.data.simulate import TCGA_TYPES, apportion, class_sizes, simulate_cohort, truth_of, write_simulated


def classes_of(cohort):
    return np.where(cohort.obs.sample_type == "normal", NORMAL, cohort.obs.cancer_type).astype(str)


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(600, 500, seed=3)


def test_contract_of_a_cohort(cohort):
    assert cohort.X.dtype == np.float32 and cohort.X.flags.c_contiguous and cohort.shape == (600, 500)
    assert np.isfinite(cohort.X).all() and (cohort.X >= 0).all() and (cohort.X == 0).mean() > .02
    assert {"cancer_type", "sample_type", "patient", "tissue", "batch", "stage", "subtype"} <= set(cohort.obs)
    assert {"chromosome", "start"} <= set(cohort.var)
    assert cohort.uns["units"] == "log2(FPKM+1)"
    assert cohort.obs_names.is_unique and cohort.var_names.is_unique
    assert set(cohort.obs.sample_type) == {"primary", "normal"}
    assert list(truth_of(cohort).columns[:4]) == ["class", "gene", "kind", "effect"]


def test_same_seed_same_bytes_other_seed_other_data(cohort):
    again, other = simulate_cohort(600, 500, seed=3), simulate_cohort(600, 500, seed=4)
    assert again.X.tobytes() == cohort.X.tobytes()
    pd.testing.assert_frame_equal(again.obs, cohort.obs)
    pd.testing.assert_frame_equal(truth_of(again), truth_of(cohort))
    assert not (other.X == cohort.X).all() and set(other.obs_names) != set(cohort.obs_names)


def test_the_global_random_state_is_neither_used_nor_changed(cohort):
    np.random.seed(99)
    before = np.random.get_state()[1].copy()
    again = simulate_cohort(600, 500, seed=3)
    assert (np.random.get_state()[1] == before).all() and (again.X == cohort.X).all()


def test_samples_seed_keeps_the_biology(cohort):
    other = simulate_cohort(700, 500, seed=3, samples_seed=8)
    pd.testing.assert_frame_equal(truth_of(other), truth_of(cohort))
    pd.testing.assert_frame_equal(other.var, cohort.var)
    assert not set(other.obs.patient) & set(cohort.obs.patient)


@pytest.mark.parametrize("n_classes", range(2, 34))
def test_any_number_of_classes(n_classes):
    sizes = class_sizes(700, n_classes)
    assert sizes.to_numpy().sum() == 700 and sizes.tumours.min() >= 8 and (sizes.normals <= sizes.tumours).all()
    cohort = simulate_cohort(320, 260, n_classes=n_classes)
    y = classes_of(cohort)
    assert set(y) == {*TCGA_TYPES.index[:n_classes], NORMAL}
    assert set(truth_of(cohort, "cancer_type")["class"]) == set(y)
    assert pd.Series(y).value_counts().min() >= 8


def test_full_size_has_the_counts_of_tcga():
    sizes = class_sizes(11_053)
    assert (sizes.tumours == TCGA_TYPES.tumours).all() and (sizes.normals == TCGA_TYPES.normals).all()


@pytest.mark.parametrize("total, weights, low, high", [(100, [5, 1, 1], 2, [10, 80, 80]), (7, [1, 1, 1], 0, np.inf),
                                                       (0, [1, 2], 0, 5), (30, [0, 1, 2], 0, 25)])
def test_apportion_sums_and_keeps_bounds(total, weights, low, high):
    got = apportion(total, weights, low, high)
    assert got.sum() == total and (got >= low).all() and (got <= np.array(high)).all()
    assert (got[np.array(weights) == 0] == low).all()


@pytest.mark.parametrize("share", [0, .05, .3, .5])
def test_share_of_normals(share):
    cohort = simulate_cohort(500, 300, n_classes=6, share_normals=share)
    normal = cohort.obs.sample_type == "normal"
    assert normal.sum() == round(500*share)
    assert set(cohort.obs.patient[normal]) <= set(cohort.obs.patient[~normal])
    assert cohort.obs.patient[normal].is_unique and cohort.obs.patient[~normal].is_unique
    assert (NORMAL in set(truth_of(cohort)["class"])) == (share > 0)


def test_sample_table_is_consistent(cohort):
    obs = cohort.obs
    assert (obs.index.str[:12] == obs.patient).all() and (obs.index.str[5:7] == obs.batch).all()
    assert ((obs.index.str[-3:] == "11A") == (obs.sample_type == "normal")).all()
    assert (obs.tissue == obs.cancer_type.map(TCGA_TYPES.tissue)).all()
    staged = (obs.cancer_type.map(TCGA_TYPES.staged) == 1) & (obs.sample_type == "primary")
    assert (obs.stage.notna() == staged).all() and set(obs.stage.dropna()) == {"I", "II", "III", "IV"}
    assert (obs.subtype.notna() == ((obs.cancer_type == "BRCA") & (obs.sample_type == "primary"))).all()


def test_order_of_samples_and_genes_says_nothing(cohort):
    y, truth = classes_of(cohort), truth_of(cohort)
    assert abs(np.corrcoef(np.arange(600), y == "BRCA")[0, 1]) < .15
    marker = cohort.var_names.isin(truth.gene)
    assert list(cohort.var_names) == sorted(cohort.var_names)
    assert abs(np.corrcoef(np.arange(500), marker)[0, 1]) < .15
    combination = cohort.var_names.isin(truth[truth.kind == "combination"].gene)
    assert abs(np.corrcoef(np.arange(500), combination)[0, 1]) < .15


def test_symbols_survive_spreadsheets_and_missing_value_parsers(tmp_path, cohort):
    pd.Series(cohort.var_names, name="gene").to_csv(tmp_path/"genes.csv", index=False)
    assert list(pd.read_csv(tmp_path/"genes.csv").gene) == list(cohort.var_names)


def test_truth_is_true_for_additive_markers():
    cohort = simulate_cohort(2000, 400, n_classes=4, seed=5, difficulty=0)
    y, truth = classes_of(cohort), truth_of(cohort, "cancer_type", "additive")
    own = truth[truth.programme == "class:" + truth["class"]]
    X = pd.DataFrame(cohort.X, columns=cohort.var_names)
    relatives = {"LUAD": "LUSC", "LUSC": "LUAD"}  # one tissue: the difference is their own programme
    rows = own[own["class"].isin(relatives) & (own.effect.abs() > 1)]
    shift = [X[y == c][g].mean() - X[y == relatives[c]][g].mean() for c, g in zip(rows["class"], rows.gene)]
    assert len(rows) > 10 and (np.sign(shift) == np.sign(rows.effect)).mean() > .97


def test_background_genes_do_not_know_the_class():
    cohort = simulate_cohort(1500, 800, n_classes=6, seed=6)
    background = ~cohort.var_names.isin(truth_of(cohort).gene)
    y, X = classes_of(cohort), cohort.X[:, background]
    tumour = y != NORMAL  # a normal shares noise with the tumour of its patient: not independent
    p = stats.f_oneway(*[X[tumour & (y == c)] for c in np.unique(y[tumour])]).pvalue
    assert background.sum() > 200 and (p < .001).mean() < .03


def test_combination_markers_only_show_in_pairs():
    cohort = simulate_cohort(3000, 600, n_classes=5, seed=7)
    y, pairs = classes_of(cohort), truth_of(cohort, "cancer_type", "combination")
    X = pd.DataFrame(cohort.X, columns=cohort.var_names)
    alone = [stats.ttest_ind(X[y == c][g], X[y != c][g], equal_var=False).pvalue
             for c, g in zip(pairs["class"], pairs.gene)]
    assert len(pairs) > 20 and np.mean(np.array(alone) < .001) < .1
    effect = pairs.set_index("gene").effect
    for row in pairs.itertuples():
        inside = y == getattr(row, "_1") if hasattr(row, "_1") else y == row[1]
        sign = np.sign(effect[row.gene]*effect[row.partner])
        assert sign*np.corrcoef(X[inside][row.gene], X[inside][row.partner])[0, 1] > .4
        assert sign*np.corrcoef(X[~inside][row.gene], X[~inside][row.partner])[0, 1] < -.4
    assert (pairs.set_index("gene").partner[pairs.partner].to_numpy() == pairs.gene.to_numpy()).all()


def test_switches_can_be_turned_off():
    truth = truth_of(simulate_cohort(400, 300, n_classes=5, n_pairs=0))
    assert len(truth) and (truth.kind == "additive").all()


def test_no_combination_markers_for_colon_and_rectum(cohort):
    assert not {"COAD", "READ"} & set(truth_of(cohort, kind="combination")["class"])


def test_each_gene_serves_one_programme(cohort):
    assert truth_of(cohort).groupby("gene").programme.nunique().max() == 1


def test_batch_moves_sites_apart_but_not_classes():
    def f_of_sites(batch):
        cohort = simulate_cohort(600, 300, n_classes=2, batch=batch, seed=1)
        here = (cohort.obs.cancer_type == "BRCA") & (cohort.obs.sample_type == "primary")
        X, site = cohort.X[here], cohort.obs.batch[here].to_numpy()
        big = [s for s in np.unique(site) if (site == s).sum() > 5]
        return np.median(stats.f_oneway(*[X[site == s] for s in big]).statistic)
    assert f_of_sites(4) > 2*f_of_sites(0)


def test_h5ad_keeps_the_truth(tmp_path, cohort):
    before = truth_of(cohort)
    cohort.copy().write_h5ad(tmp_path/"c.h5ad")
    back = anndata.read_h5ad(tmp_path/"c.h5ad")
    pd.testing.assert_frame_equal(truth_of(back).astype(object), before.astype(object), check_dtype=False,
                                  check_index_type=False)
    assert (back.X == cohort.X).all() and back.uns["units"] == cohort.uns["units"]


def test_folder_is_read_back(tmp_path, cohort):
    folder = write_simulated(cohort, tmp_path/"out")
    back = read_cohort(folder)
    assert (back[cohort.obs_names, cohort.var_names].X == cohort.X).all()
    assert back.uns["units"] == "log2(FPKM+1)" and (back.var.loc[cohort.var_names, "start"] == cohort.var.start).all()
    keep, y = labels_of(back, "cancer_type", normal_class=True)
    assert keep.all() and sorted(y) == sorted(classes_of(cohort))
    pd.testing.assert_frame_equal(truth_of(folder), truth_of(cohort))


def test_writing_replaces_a_simulated_cohort_and_nothing_else(tmp_path, cohort, monkeypatch):
    small = simulate_cohort(60, 120, n_classes=2)
    folder = write_simulated(small, tmp_path/"out")
    with pytest.raises(InputError, match="earlier cohort.*overwrite=True"): write_simulated(cohort, folder)
    (folder/"notes.txt").write_text("mine")
    write_simulated(cohort, folder, overwrite=True)
    assert len(truth_of(folder)) == len(truth_of(cohort)) and (folder/"notes.txt").read_text() == "mine"
    (tmp_path/"mine").mkdir()
    (tmp_path/"mine"/"notes.txt").write_text("keep me")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds something else"): write_simulated(small, tmp_path/"mine", overwrite)
    assert (tmp_path/"mine"/"notes.txt").read_text() == "keep me"

    def full(*args, **kwargs): raise OSError(28, "No space left on device")
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(InputError, match="no space is left"): write_simulated(small, folder, overwrite=True)
    assert len(truth_of(folder)) == len(truth_of(cohort))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "out"]


@pytest.mark.parametrize("wish, message", [
    (dict(n_classes=1), "choose 2 to 33"), (dict(n_classes=34), "choose 2 to 33"),
    (dict(n_samples=100), "ask for 272 or more"), (dict(n_genes=50), "50 genes are too few"),
    (dict(n_genes=0), "n_genes is 0"), (dict(share_normals=.7), "0 to 0.5"), (dict(share_normals=-.1), "0 to 0.5"),
    (dict(difficulty=-1), "difficulty is -1"), (dict(noise=float("nan")), "noise is nan"),
    (dict(n_markers=500), "too few"), (dict(share_low=2), "share_low is 2"),
    (dict(min_class_size=0), "min_class_size is 0"), (dict(difficulty=101), "from 0 to 100")])
def test_impossible_wishes(wish, message):
    with pytest.raises(InputError, match=message): simulate_cohort(**wish)


@pytest.mark.parametrize("name", ["difficulty", "noise", "batch", "depth", "share_low", "share_normals"])
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_are_none(name, value):
    with pytest.raises(InputError, match=f"{name} is {value}: choose a"): simulate_cohort(300, 300, **{name: value})


def test_memory_stays_near_the_matrix():
    simulate_cohort(300, 300)
    tracemalloc.start()
    cohort = simulate_cohort(3000, 4000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5*cohort.X.nbytes


def test_extremes_stay_finite():
    for wish in (dict(difficulty=10), dict(difficulty=0), dict(noise=5), dict(noise=0), dict(depth=.05),
                 dict(difficulty=100), dict(noise=100), dict(batch=100), dict(depth=10**9), dict(share_low=1),
                 dict(share_low=0)):
        X = simulate_cohort(120, 200, n_classes=3, **wish).X
        assert np.isfinite(X).all() and (X >= 0).all() and (X.max(axis=1) > 0).all(), wish
