"""What the numbers of a matrix are: every kind is recognised, advice is arithmetic that is true,
and nothing impossible reaches a model."""
import itertools
import re

import anndata
import numpy as np
import pandas as pd
import pytest

from cancer_dl.classify import _decisions
from cancer_dl.core import InputError
from cancer_dl.data.checkup import cohort_report, describe_cohort
from cancer_dl.data.cohort import read_cohort, write_cohort
from cancer_dl.data.genes import align_genes
from cancer_dl.data.labels import labelled
from cancer_dl.data.units import (cannot_be_negative, check_negative, conversion, count_logarithm, depth_factor,
                                  guess_units, impossible_for,
                                  library_depth, logarithm_seen, scale_of, slightly_negative, units_disagree, units_of)

BASES = {"log2": np.log2, "ln": np.log, "log10": np.log10}
NUMPY = {"log2": np.log2, "log": np.log, "log10": np.log10, "exp": np.exp, "__builtins__": {}}


def linear(n=40, p=300, seed=0):
    "FPKM-like values with zeros."
    rng = np.random.default_rng(seed)
    return rng.gamma(0.7, 30, size=(n, p)) * rng.gamma(2, 1, size=p) * (rng.random((n, p)) > .1)


def frame_of(X):
    return pd.DataFrame(np.asarray(X, np.float32), index=[f"s{i}" for i in range(len(X))],
                        columns=[f"GENE{j}" for j in range(X.shape[1])])


# ---------------------------------------------------------------- guessing

@pytest.mark.parametrize("n", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("seed", range(4))
def test_z_scores_of_any_number_of_samples(n, seed):
    logged = np.log2(linear(seed=seed) + 1)
    z = (logged - logged.mean(axis=0)) / np.maximum(logged.std(axis=0), 1e-9)
    assert guess_units(z[:n]) == "z-scores"
    assert guess_units(np.clip(z, -2, 2)[:n]) == "z-scores"  # scanpy's max_value
    assert ("before centring" in units_disagree(guess_units(z[:n]), "log2(FPKM+1)")
            and "log2(2**X" not in units_disagree(guess_units(z[:n]), "log2(FPKM+1)"))


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("name, base", BASES.items())
@pytest.mark.parametrize("offset", [.001, .01])
def test_floors_name_base_and_offset(n, name, base, offset):
    assert guess_units(base(linear(n) + offset)) == f"{name}({'x'}+{offset:g})"


@pytest.mark.parametrize("n", [2, 8, 40])
def test_logarithms_of_counts_and_of_one_total(n):
    counts = np.random.default_rng(1).poisson(linear(n))
    for name, base in BASES.items():
        assert guess_units(base(counts + 1)) == f"{name}(counts+1)"
        assert guess_units(base(counts / counts.sum(axis=1, keepdims=True) * 1e4 + 1)) == f"{name}(x+1)"
        assert guess_units(np.round(base(counts + 1), 4)) == f"{name}(counts+1)"
    assert logarithm_seen(np.log2(linear(n) + 1)) is None


@pytest.mark.parametrize("n", [1, 2, 40])
def test_other_kinds(n):
    L, rng = linear(n), np.random.default_rng(2)
    logged = np.log2(L + 1)
    assert guess_units(np.round(L)) == "counts" and guess_units(L) == "FPKM or normalised counts"
    assert guess_units(np.where(rng.random(L.shape) < .6, np.round(L), L)) == "expected counts"
    assert guess_units(L / L.sum(axis=1, keepdims=True) * 1e6) == "TPM"
    assert guess_units(rng.beta(.5, .5, size=L.shape)) == "fractions"
    assert guess_units(rng.random(L.shape).argsort(axis=1).argsort(axis=1) + 1) == "ranks"
    assert guess_units((rng.random(L.shape).argsort(axis=1).argsort(axis=1) + .5) / L.shape[1]) == "ranks"
    assert guess_units(logged + 2.5) == "log2(x)"
    assert guess_units(logged - logged.mean(axis=1, keepdims=True)) == "centred log ratios"
    assert (guess_units((logged - logged.mean(axis=1, keepdims=True)) / logged.std(axis=1, keepdims=True))
            == "z-scores per sample")
    assert guess_units(rng.choice([-2, -1, 0, 1, 2], size=L.shape)) == "copy-number calls"


def test_log_cpm_with_a_floor_of_each_sample():
    counts = np.random.default_rng(0).poisson(linear() / 5)
    depth = counts.sum(axis=1, keepdims=True) * np.linspace(1, 3, 40)[:, None]
    assert scale_of(guess_units(np.log2((counts + .5) / (depth + 1) * 1e6))) == "log"


@pytest.mark.parametrize("seed", range(5))
def test_batch_corrected_logarithms_stay_logarithms(seed):
    "Shifts between batches push zeros a little below 0; nothing is refused, nothing advised."
    rng = np.random.default_rng(seed)
    X = np.log2(linear(seed=seed) + 1) + rng.normal(scale=.25, size=(2, 300))[np.arange(40) % 2]
    assert X.min() < -.2 and guess_units(X) == "log2(x+1)" and impossible_for(X, "log2(FPKM+1)") is None
    cohort = anndata.AnnData(X.astype(np.float32), uns={"units": "log2(FPKM+1)"})
    check_negative(cohort, "m.csv")
    np.testing.assert_array_equal(cohort.X, X.astype(np.float32))


def test_batch_corrected_linear_values_become_zero(tmp_path):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((40, 300)) < .006, -rng.random((40, 300)) * 10, 50 * linear()).astype(np.float32)
    assert guess_units(X) == "FPKM or normalised counts"
    frame_of(X).to_csv(tmp_path/"m.csv")
    for units in (None, "RSEM"):
        cohort = read_cohort(tmp_path/"m.csv", orientation="samples x genes", units=units)
        np.testing.assert_allclose(cohort.X, np.maximum(X, 0), rtol=1e-6)
        assert f"{(X < 0).sum()} negative values" in cohort.uns["notes"][0] and "set to 0" in cohort.uns["notes"][0]
    write_cohort(cohort, tmp_path/"again.h5ad")
    assert list(read_cohort(tmp_path/"again.h5ad").uns["notes"]) == list(cohort.uns["notes"])
    seen = read_cohort(tmp_path/"m.csv", orientation="samples x genes", refuse=False)
    assert (seen.X < 0).any() and "negative values" in cohort_report(seen)
    with pytest.raises(InputError, match="negative"):
        read_cohort(tmp_path/"m.csv", orientation="samples x genes", units="raw counts")


def test_negative_counts_do_not_pass_as_unknown(tmp_path):
    X = np.round(linear())
    X[3, 7] = -2
    frame_of(X).to_csv(tmp_path/"m.csv")
    with pytest.raises(InputError, match="1 value.s. are negative.*the units are counts.*Correct the values"):
        read_cohort(tmp_path/"m.csv", orientation="samples x genes")


def test_advice_for_negative_values_is_the_floor_that_is_there():
    cohort = anndata.AnnData(np.log2(linear() + .25).astype(np.float32), uns={"units": "log2(FPKM+1)"})
    with pytest.raises(InputError, match=re.escape("look like log2(x+0.25): state units='log2(x+0.25)'")):
        check_negative(cohort, "m")
    cohort = anndata.AnnData(np.random.default_rng(0).normal(size=(30, 90)).astype(np.float32), uns={"units": "TPM"})
    with pytest.raises(InputError, match="look like z-scores"): check_negative(cohort, "m")


def test_slight_is_relative():
    assert (slightly_negative(np.array([5., 7, -.05]), log=True)
            and not slightly_negative(np.array([5., 7, -3]), log=True))
    assert (slightly_negative(np.array([500., 700, np.nan]), log=False)
            and not slightly_negative(np.array([5., 7, -3]), log=False))


# ---------------------------------------------------------------- what files and people say

@pytest.mark.parametrize("base, expected", [(None, "ln(x+1)"), (2, "log2(x+1)"), (10.0, "log10(x+1)"),
                                            (np.array(2.0), "log2(x+1)"), (np.e, "ln(x+1)")])
def test_scanpys_note(tmp_path, base, expected):
    cohort = anndata.AnnData(
        np.log1p(linear()).astype(np.float32), obs=pd.DataFrame(index=[f"s{i}" for i in range(40)]),
        var=pd.DataFrame(index=[f"G{j}" for j in range(300)]), uns={"log1p": {} if base is None else {"base": base}})
    cohort.write_h5ad(tmp_path/"c.h5ad")
    read = read_cohort(tmp_path/"c.h5ad")
    assert (read.uns["units"], read.uns["units_source"]) == (expected, "stated")
    assert read_cohort(tmp_path/"c.h5ad", units="log2(TPM+1)").uns["units"] == "log2(TPM+1)"


def test_scanpys_note_is_not_believed_against_the_values():
    z = np.random.default_rng(0).normal(size=(50, 60))
    for X, units in ((z, "z-scores"), (np.round(linear()), "counts"),
                     (np.log2(np.round(linear()) + 1), "log2(counts+1)")):
        assert units_of(anndata.AnnData(X, uns={"log1p": {"base": None}})) == (units, "guessed")
    for odd in ({"base": "natural"}, [], "yes"):
        assert units_of(anndata.AnnData(np.log2(linear() + 1), uns={"log1p": odd}))[1] == "guessed"


def test_natural_logarithms_are_told_the_factor():
    X = frame_of(np.log2(linear() + 1))
    cohort = anndata.AnnData(X.to_numpy() * np.float32(np.log(2)), var=pd.DataFrame(index=X.columns),
                             uns={"units": "ln(x+1)"})
    with pytest.raises(InputError, match="Multiply them by 1.4427"): align_genes(cohort, X.columns, units="log2(x+1)")
    np.testing.assert_allclose(align_genes(anndata.AnnData(cohort.X * np.float32(1.4427), var=cohort.var), X.columns,
                                           units="log2(x+1)")[0], X, atol=1e-3)


@pytest.mark.parametrize("text, scale", [
    ("log2 TPM", "log"), ("log2(TPM+0.001)", "log"), ("lnTPM", "log"), ("ln(x+1)", "log"), ("logCPM", "log"),
    ("vst", "log"), ("VST counts", "log"), ("rlog", "log"),
    ("RMA", "log"), ("gcRMA", "log"), ("log10", "log"), ("Log2 (count+1)", "log"), ("log_2", "log"), ("voom", "log"),
    ("M-values", "logit"), ("M_value", "logit"), ("beta values", "fractions"),
    ("beta_value", "fractions"), ("raw_counts", "counts"), ("expected_count", "counts"), ("STAR - Counts", "counts"),
    ("unnormalised reads", "counts"), ("RSEM", "linear"), ("FPKM-UQ", "linear"), ("TMM", "linear"), ("CPM", "linear"),
    ("normalized_count", "linear"), ("DESeq2 normalised counts", "linear"), ("counts per million", "linear"),
    ("TPM (not log)", "linear"), ("unlogged intensities", "linear"), ("z-score", "centred"), ("Z_score", "centred"),
    ("zscores", "centred"), ("median centred", "centred"),
    ("median-centered log2 ratio", "centred"), ("log2 fold change", "centred"), ("rank-normalised", "ranks"),
    ("GISTIC calls", "calls"), ("biological units", "unknown"), ("", "unknown")])
def test_what_people_write(text, scale):
    assert scale_of(text) == scale and scale_of(text.upper()) == scale


# ---------------------------------------------------------------- advice is true

MADE = {"TPM": lambda L: L, "log2(TPM+1)": lambda L: np.log2(L + 1), "ln(TPM+1)": lambda L: np.log(L + 1),
        "log10(TPM+1)": lambda L: np.log10(L + 1),
        "log2(TPM+0.001)": lambda L: np.log2(L + .001), "ln(TPM+0.01)": lambda L: np.log(L + .01),
        "log10(TPM + 0.1)": lambda L: np.log10(L + .1), "log2(TPM+4)": lambda L: np.log2(L + 4)}


@pytest.mark.parametrize("have, want", list(itertools.permutations(MADE, 2)))
def test_every_formula_is_true(have, want):
    "The advice, followed to the letter, gives what the model was trained on, and the model takes it."
    L = linear(20, 200)
    given, wanted = MADE[have](L), MADE[want](L)
    formula, message = conversion(have, want), units_disagree(have, want)
    if message is None:
        assert formula is None or "log" in have and "log" in want
        return
    advised = formula.removeprefix("X * ") if formula.startswith("X * ") else formula
    assert advised in message
    followed = eval(formula, NUMPY, {"X": given})
    np.testing.assert_allclose(followed, wanted, atol=2e-3 * max(1, np.abs(wanted).max() / 100))
    names = [f"GENE{j}" for j in range(200)]
    cohort = anndata.AnnData(followed.astype(np.float32), var=pd.DataFrame(index=names), uns={"units": want})
    np.testing.assert_allclose(align_genes(cohort, names, units=want)[0], wanted, rtol=1e-4, atol=2e-3)
    with pytest.raises(InputError, match=re.escape(advised)):
        align_genes(anndata.AnnData(given.astype(np.float32), var=cohort.var, uns={"units": have}), names, units=want)


def test_formulas_of_counts_and_methylation():
    counts = np.random.default_rng(0).poisson(linear(20, 200)).astype(float)
    cpm = counts / counts.sum(axis=1, keepdims=True) * 1e6
    for have, given, want, wanted in (("raw counts", counts, "CPM", cpm),
                                      ("counts", counts, "log2(CPM+1)", np.log2(cpm + 1)),
                                      ("log2(counts+1)", np.log2(counts + 1), "counts", counts)):
        assert conversion(have, want) in units_disagree(have, want)
        np.testing.assert_allclose(eval(conversion(have, want), NUMPY, {"X": given}), wanted, rtol=1e-6, atol=1e-9)
    beta = np.random.default_rng(0).beta(2, 2, size=(5, 9))
    M = eval(conversion("beta values", "M-values"), NUMPY, {"X": beta})
    np.testing.assert_allclose(M, np.log2(beta / (1 - beta)))
    np.testing.assert_allclose(eval(conversion("M-values", "beta values"), NUMPY, {"X": M}), beta)


def test_no_formula_where_there_is_none():
    for have, want in (("z-scores", "log2(x+1)"), ("counts", "log2(FPKM+1)"), ("counts", "TPM"),
                       ("log2(TPM+1)", "counts"), ("vst", "TPM"), ("log2(x+1)", "z-scores"), ("ranks", "TPM")):
        assert conversion(have, want) is None
        assert not re.search(r"X|\*\*", units_disagree(have, want)), units_disagree(have, want)
    assert units_disagree("z-scores", "z-scores per sample") and units_disagree("furlongs", "TPM") is None


def test_a_guessed_base_is_called_a_guess():
    X = frame_of(np.log2(linear() + 1))
    with pytest.raises(InputError, match="The base is a guess: if they are ln.x.1. already, state units='ln.x.1.'. "
                       "If not: multiply them by 0.6931"):
        align_genes(X, X.columns, units="ln(x+1)")


# ---------------------------------------------------------------- what cannot be

POSSIBLE = {"log2(FPKM+1)": lambda L: np.log2(L + 1), "log2(x+0.001)": lambda L: np.log2(L + .001),
            "TPM": lambda L: L, "counts": np.round, "z-scores": lambda L: (L - L.mean(axis=0)) / L.std(axis=0),
            "fractions": lambda L: L / L.max(), "binary": lambda L: (L > 20).astype(float)}


@pytest.mark.parametrize("n", [1, 3, 40])
def test_what_is_possible_passes_and_what_is_not_does_not(n):
    L = linear()
    for units, made in POSSIBLE.items(): assert impossible_for(made(L)[:n], units) is None, units
    for units, other in (("log2(FPKM+1)", "TPM"), ("log2(FPKM+1)", "z-scores"), ("log2(FPKM+1)", "counts"),
                         ("log2(FPKM+1)", "log2(x+0.001)"), ("TPM", "z-scores"), ("counts", "z-scores"),
                         ("counts", "log2(FPKM+1)"), ("z-scores", "counts"), ("z-scores", "log2(FPKM+1)"),
                         ("fractions", "TPM"), ("binary", "fractions"), ("fractions", "z-scores")):
        assert f"cannot be {units}" in impossible_for(POSSIBLE[other](L)[:n], units), (units, other)


def test_unknown_units_never_pass_where_the_values_cannot_belong():
    rng, names = np.random.default_rng(0), [f"GENE{j}" for j in range(300)]
    odd = rng.normal(400, 300, size=(20, 300)).astype(np.float32)
    assert guess_units(odd) == "unknown"
    cohort = anndata.AnnData(odd, var=pd.DataFrame(index=names), uns={"units": "furlongs"})
    for units in ("log2(FPKM+1)", "counts", "fractions"):
        with pytest.raises(InputError, match="cannot be"): align_genes(cohort, names, units=units)
    assert align_genes(cohort, names, units="unknown")[0].shape == (20, 300)


def test_depth():
    counts = np.random.default_rng(0).poisson(linear())
    assert depth_factor(anndata.AnnData(counts * 4.0), np.median(library_depth(counts))) == 4
    assert (count_logarithm("log2(count+1)") == 2 and count_logarithm("ln(counts+1)") == np.e
            and count_logarithm("log2(normalized_count+1)") is None)


# ---------------------------------------------------------------- nothing crashes

def test_any_matrix_gets_an_answer():
    "Numbers of every kind and shape, holes and infinities: a text, never a warning or another error."
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (1, 30), (30, 1), (2, 2), (3, 150), (0, 5), (5, 0)]
    with np.errstate(all="raise"):
        for trial in range(300):
            shape = shapes[trial % len(shapes)]
            X = rng.choice([rng.normal, rng.gumbel, rng.laplace])(
                rng.choice([0, 1, 8, -5]), rng.choice([1e-3, 1, 5, 1e4]), size=shape).astype(np.float32)
            if trial % 3 == 0: X = np.abs(X)
            if trial % 5 == 0: X = np.round(X)
            if trial % 4 == 0: X[rng.random(shape) < .3] = np.nan
            if trial % 7 == 0: X[rng.random(shape) < .1] = np.inf
            if trial % 11 == 0: X[:] = X.flat[0] if X.size else 0
            units = guess_units(X)
            assert isinstance(units, str) and scale_of(units) in ("unknown", "counts", "linear", "log", "centred",
                                                                  "binary", "fractions", "ranks", "calls", "logit")
            for want in ("log2(x+1)", "counts", "TPM", "z-scores", "fractions", "M-values", "furlongs", None):
                reason = impossible_for(X, want) if X.size else None
                assert reason is None or "\n" not in reason


def test_any_description_gets_an_answer():
    rng, words = np.random.default_rng(0), ["log2", "ln", "(", ")", "+1", "+0.001", "TPM", "counts", "z-score", " ",
                                            "_", "1e-3", "é", "+", "beta", "10"]
    for _ in range(500):
        a, b = ("".join(rng.choice(words, size=rng.integers(0, 6))) for _ in range(2))
        message = units_disagree(a, b)
        assert message is None or "\n" not in message
        assert isinstance(cannot_be_negative(a), bool)

def test_units_that_nobody_stated_are_guessed_and_said(simulated):
    from cancer_dl.data.genes import align_genes
    from cancer_dl.data.labels import labelled
    from cancer_dl.data.shift import aligned
    cohort = simulated(n_samples=60, n_genes=40, n_classes=2, seed=0)
    assert not [w for w in labelled(cohort).warnings if "units" in w]
    del cohort.uns["units"]
    data = labelled(cohort)
    assert data.units == guess_units(cohort.X) != "unknown"
    assert [w for w in data.warnings if f"cohort.uns['units'] = '{data.units}'" in w]
    text = align_genes(cohort, cohort.var_names, units="log2(FPKM+1)")[1]["text"]
    assert "the values look like" in text and "the cohort says" not in text
    for given in (cohort, cohort.to_df()):  # as a bundle reads it
        text = aligned(given, cohort.var_names, units="log2(FPKM+1)").report["text"]
        assert "the values look like" in text and "the cohort says" not in text

def test_the_advice_names_the_logarithm_of_the_model(simulated):
    from cancer_dl.data.shift import aligned, impossible_values, look_at, training_profile
    from cancer_dl.data.units import units_disagree
    cohort = simulated(n_samples=60, n_genes=40, n_classes=2, seed=0)
    profile = training_profile(cohort.X, None)
    counts = cohort.copy()
    counts.X = np.round(100 * 2.0 ** cohort.X)
    look = look_at(aligned(counts, list(cohort.var_names), .8, None), profile)
    assert "np.log2(X + 0.25)" in impossible_values(look, profile, "log2(x+0.25)")
    assert "np.log2(X + 1)" in impossible_values(look, profile, "unknown")
    assert "log2(x + 0.25)" in units_disagree("counts", "log2(x+0.25)")


def test_profiles_of_zeros_are_answers_in_0_1_data_and_are_counted_where_they_are_dropped(tmp_path):
    X = np.zeros((8, 60), np.float32)
    X[np.arange(6), np.arange(6)] = 1
    obs = pd.DataFrame({"cancer_type": list("AAABBBBA")}, index=[f"s{i}" for i in range(8)])
    table = frame_of(X)
    table.to_parquet(tmp_path / "calls.parquet")
    kept = read_cohort(tmp_path / "calls.parquet", obs)
    assert kept.n_obs == 8 and "2 of 8 samples are zero for every gene and are kept" in kept.uns["notes"][0]
    dropped = read_cohort(tmp_path / "calls.parquet", obs, empty="drop")
    write_cohort(dropped, tmp_path / "dropped.h5ad")
    for cohort in (dropped, read_cohort(tmp_path / "dropped.h5ad")):
        data = labelled(cohort)
        assert data.dropped == {"zero for every gene": 2}
        assert "1 A" in data.warnings[0] and "1 B" in data.warnings[0] and "empty='keep'" in data.warnings[0]
    (table * 7.5 + (table.index == "s0")[:, None]).to_parquet(tmp_path / "levels.parquet")
    with pytest.raises(InputError, match="empty='drop', or state empty='keep'"):
        read_cohort(tmp_path / "levels.parquet", obs)


def test_what_was_neither_stated_nor_guessed_is_called_so():
    X = np.tile(np.array([[-3e7, .5, 4e9]], np.float32), (6, 20)) * np.arange(1, 7, dtype=np.float32)[:, None]
    cohort = anndata.AnnData(X, obs=pd.DataFrame(index=[f"s{i}" for i in range(6)]))
    found = describe_cohort(cohort)
    found.update(units="unknown", units_source="guessed")
    assert "unknown (neither stated nor recognised)" in cohort_report(found) + found._repr_html_()
    assert "(guessed)" not in cohort_report(found)
    cohort.uns["roles"] = {"patient": {"text": "not known"}}
    assert _decisions(cohort) == {"patients": "not known: each sample counts as a patient"}
