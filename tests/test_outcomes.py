"A bundle for a value or for survival, measured: the same model as `predict`, and what it was trained on."
import json

import numpy as np
import pandas as pd
import pytest
from commands import cancer_dl

from cancer_dl.core import InputError
from cancer_dl.data.cohort import read_cohort
from cancer_dl.outcomes import (YES_OR_NO, evaluate_outcome, outcome_baselines, outcome_network, outcomes_of,
                                scale_floor, told_of_samples, train_outcome, write_outcome)
from cancer_dl.train.bundle import save_bundle

N, GENES = 60, 30
QUICK = dict(compare=False, n_splits=2, model="mlp", model_params=dict(dense=8), epochs=3)


def write_cohort(folder, X, table, first="s"):
    folder.mkdir()
    ids = pd.Index([f"{first}{i}" for i in range(len(X))], name="sample_id")
    pd.DataFrame(X, index=ids, columns=[f"G{j}" for j in range(X.shape[1])]).to_csv(folder/"expression.csv")
    table.assign(sample_id=ids).to_csv(folder/"samples.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A cohort in which P1 has the profile of P0, another one on a shifted platform, and a bundle of each kind."
    place, rng = tmp_path_factory.mktemp("outcomes"), np.random.default_rng(0)
    X = rng.normal(6, 1, (N, GENES)).round(3)
    X[1] = X[0]
    table = pd.DataFrame({"patient": [f"P{i}" for i in range(N)], "dose, mg": (X[:, :3].sum(axis=1)).round(3),
                          "days": rng.integers(5, 900, N), "died": np.arange(N) % 2})
    write_cohort(place/"own", X, table)
    write_cohort(place/"shifted", (1.3 * X[:40] + 1).round(3), table[:40].assign(patient=[f"Q{i}" for i in range(40)]),
                 "q")
    cohort = read_cohort(place/"own", units="log2(TPM+1)")
    for name, asked in (("dose", dict(value="dose, mg")), ("survival", dict(survival=("days", "died")))):
        trained = train_outcome(cohort, **asked, **QUICK)
        save_bundle(trained.bundle, place/name)
        (place/f"{name}.data").write_text(trained.data.patients[1])
    return place


@pytest.fixture(scope="module")
def dose(place):
    from cancer_dl.train.bundle import load_bundle
    return load_bundle(place/"dose")


def cohort_of(place, name="own"): return read_cohort(place/name, units="log2(TPM+1)")


def command(place, *words): return cancer_dl(*words, "--units", "log2(TPM+1)")


def renamed(cohort, rows=slice(None), people=True):
    "The same samples under other ids, and of other patients."
    out = cohort[rows].copy()
    out.obs_names = [f"new-{name}" for name in out.obs_names]
    if people: out.obs["patient"] = [f"new-{name}" for name in out.obs["patient"]]
    return out


def test_profiles_are_recognised_under_other_names(place, dose):
    _, _, report = evaluate_outcome(dose, renamed(cohort_of(place)))
    assert f"{N} of the {N} samples (100%) are not new to the model" in report["warnings"][0]
    assert f"{N} of these profiles came under other ids" in report["warnings"][0]


def test_a_patient_who_was_merged_with_another_is_still_known(place, dose):
    assert (place/"dose.data").read_text() == "P0"  # in training P1 counted as P0
    data = outcomes_of(cohort_of(place), value="dose, mg")
    assert data.own_patients[1] == "P1" and data.patients[1] == "P0"
    new = renamed(cohort_of(place), slice(0, 6), people=False)
    new.X = np.asarray(new.X) + 0.01
    _, _, report = evaluate_outcome(dose, new)
    assert "6 of the 6 samples (100%)" in report["warnings"][0]
    assert "6 are other samples of patients in training" in report["warnings"][0]


def partly_seen(place, dose):
    cohort = cohort_of(place)
    new = renamed(cohort, slice(10, 40))
    new.X = np.asarray(new.X) + 0.01
    import anndata
    both = anndata.concat([cohort[:15], new])
    both.uns["units"] = "log2(TPM+1)"
    return both


def test_new_samples_are_measured_by_themselves(place, dose, tmp_path):
    data, result, report = evaluate_outcome(dose, partly_seen(place, dose))
    assert "15 of the 45 samples" in report["warnings"][0] and "other samples are given" in report["warnings"][0]
    write_outcome(data, result, report, tmp_path/"e")
    found = json.loads((tmp_path/"e"/"metrics.json").read_text())
    assert found["seen_in_training"] == dict(samples=15, patients=15, share=pytest.approx(1 / 3, abs=1e-6))
    assert found["n"] == 45 and found["unseen"]["n"] == 30
    assert found["unseen"]["r2"] == pytest.approx(result.metrics(np.arange(15, 45))["r2"])
    assert "new to the model" in (tmp_path/"e"/"report.html").read_text()


@pytest.mark.parametrize("bundle", ["dose", pytest.param("survival", marks=pytest.mark.slow)])
def test_evaluate_measures_the_model_that_predict_uses(place, tmp_path, bundle):
    answers = {}
    for name, more in (("plain", ()), ("rescaled", ("--rescale", "cohort"))):
        code, _, err = command(place, "evaluate", place/bundle, place/"shifted", "--out", tmp_path/name, *more)
        assert code == 0, err
        code, _, err = command(place, "predict", place/bundle, place/"shifted", "--out", tmp_path/f"{name}.csv", *more)
        assert code == 0, err
        answers[name] = pd.read_csv(tmp_path/name/"predictions.csv")["prediction"].to_numpy()
        assert np.allclose(answers[name], pd.read_csv(tmp_path/f"{name}.csv").iloc[:, 1])
    assert not np.allclose(*answers.values())


def test_the_terminal_says_no_result_where_all_was_trained_on(place, tmp_path):
    code, out, err = command(place, "evaluate", place/"dose", place/"own", "--out", tmp_path/"e")
    assert code == 0 and out.startswith("no result  R squared:"), out + err


@pytest.mark.parametrize("words, option", [(("--min-score", 0.5), "--min-score"), (("--top", 2), "--top"),
                                           (("--conformal", 0.9), "--conformal")])
def test_options_about_classes_are_refused(place, tmp_path, words, option):
    code, _, err = command(place, "predict", place/"dose", place/"own", "--out", tmp_path/"p.csv", *words)
    assert code == 2 and f"{option} is about classes, and the bundle predicts a value" in err, err
    assert not (tmp_path/"p.csv").exists()


@pytest.mark.parametrize("words, said", [
    (("evaluate", "survival", "--label", "days"), "Write --label 'time,event'."),
    (("evaluate", "dose", "--label", "dose"), "dose, mg"),
    (("train", "--survival", "days"), "Write --survival time,event.")])
def test_columns_are_named_as_they_are_typed(place, tmp_path, words, said):
    words = [place/w if w in ("dose", "survival") and k == 1 else w for k, w in enumerate(words)]
    at = 2 if words[0] == "evaluate" else 1
    code, _, err = command(place, *words[:at], place/"own", "--out", tmp_path/"x", *words[at:])
    assert code == 2 and said in err and "('" not in err, err


def test_few_patients_are_said_to_be_few(place, dose):
    few = renamed(cohort_of(place), slice(0, 5))
    _, result, report = evaluate_outcome(dose, few)
    assert any("The metrics come from 4 patients only" in w for w in report["warnings"])  # two hold one profile
    m = result.summary()
    assert m["r2_interval"][1] <= 1 and m["rmse_interval"][0] >= 0 and m["spearman_interval"][0] < 0.5


def with_repeats():
    "Sixty samples: four normals of patients with a tumour, and two patients with a further tumour."
    import anndata
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"patient": [f"P{i}" for i in range(54)] + ["P0", "P1", "P2", "P3", "P4", "P5"],
                        "sample_type": ["metastatic"] + ["primary"] * 53 + ["normal"] * 4 + ["primary"] * 2,
                        "days": rng.integers(5, 900, 60).astype(float), "died": np.arange(60) % 2},
                       index=[f"s{i}" for i in range(60)])
    for late, first in ((54, 0), (55, 1), (56, 2), (57, 3), (58, 4)): obs.iloc[late, 2:] = obs.iloc[first, 2:]
    return anndata.AnnData(rng.normal(6, 1, (60, 5)).astype("float32"), obs, uns={"units": "log2(TPM+1)"})


def test_of_survival_a_patient_counts_once_and_normals_do_not():
    cohort = with_repeats()
    data = outcomes_of(cohort, survival=("days", "died"))
    assert len(data.samples) == len(set(data.patients)) == 54 and set(data.samples) == {f"s{i}" for i in range(54)}
    assert data.left_out == {"of normal tissue": 4, "further samples of a patient": 2} and data.differ == 1  # P5
    assert data.n_events == 27
    said = " ".join(told_of_samples(data))
    assert "4 of normal tissue" in said and "counts once" in said and "1 patients have different" in said
    cohort.obs.loc["s4", "sample_type"] = "recurrent"
    kept = set(outcomes_of(cohort, survival=("days", "died")).samples)
    assert "s58" in kept and "s4" not in kept  # the primary tumour, though it comes later


def test_events_are_counted_in_patients():
    cohort = with_repeats()
    cohort.obs["patient"], cohort.obs["sample_type"] = [f"P{i % 30}" for i in range(60)], "primary"
    cohort.obs["died"] = (np.arange(60) % 30 < 9).astype(int)  # 18 samples of 9 patients
    with pytest.raises(InputError, match="Only 9 patients have an event"):
        outcomes_of(cohort, survival=("days", "died"))


def test_a_value_is_one_of_samples_and_normals_are_said():
    data = outcomes_of(with_repeats(), "days")
    assert len(data.samples) == 60 and data.left_out == {}
    assert "4 of the samples are normal tissue and are kept" in told_of_samples(data)[0]


def test_nothing_but_normals_has_no_survival():
    with pytest.raises(InputError, match="All 4 samples are normal tissue"):
        outcomes_of(with_repeats()[54:58], survival=("days", "died"))


def test_negative_times_are_counted_with_the_remedy():
    cohort = with_repeats()
    cohort.obs.loc[["s3", "s7", "s9"], "days"] = -2.0
    with pytest.raises(InputError, match=r"negative for 3 of 56 samples \(-2 for s3\).*--drop-unlabelled"):
        outcomes_of(cohort, survival=("days", "died"))


def test_rare_yes_or_no_features_are_not_blown_up():
    "Both network and baselines divide 0/1 features by no less than a floor; other features as ever."
    rng = np.random.default_rng(0)
    import anndata
    X = (rng.random((60, 8)) < 0.2).astype("float32")
    X[:, 0] = np.arange(60) == 0
    obs = pd.DataFrame({"dose": X[:, 1] + rng.normal(0, .1, 60)}, index=[f"s{i}" for i in range(60)])
    data = outcomes_of(anndata.AnnData(X, obs, uns={"units": "log2(TPM+1)"}), "dose")
    assert scale_floor(data.X) == YES_OR_NO and scale_floor(data.X + 0.5) == 0
    scaler = outcome_network(data)["zscaler"].fit(data.X)
    assert scaler.transform(data.X)[0, 0] == pytest.approx((1 - 1 / 60) / YES_OR_NO, rel=1e-5)
    ridge = outcome_baselines("value", floor=scale_floor(data.X))["ridge regression"]
    assert ridge["zscaler"].floor == YES_OR_NO and ridge["ridgecv"].alphas.max() == 1e6


def test_a_network_that_lost_names_what_to_use():
    from cancer_dl.outcomes import TrainedOutcome
    from cancer_dl.train.verdict import judge
    lost = [judge("mlp", name, dict(difference=d, interval=(d - .05, d + .05), p=.001, test="t"))
            for name, d in (("ridge", -.2), ("trees", -.1))]
    trained = TrainedOutcome(None, None, {"mlp": None}, None)
    trained.__dict__["verdicts"] = lost
    assert trained.verdict().endswith("Use ridge in place of the network.")


@pytest.mark.parametrize("words", [["TR", "TP"], ["02", "01"], ["Recurrent Tumor", "Primary Tumor"], None])
def test_the_primary_tumour_counts_however_it_is_told(words):
    from anndata import AnnData
    rng, n = np.random.default_rng(0), 25
    ids = [f"TCGA-AA-{i:04d}-{code}A" for i in range(n) for code in ("02", "01")]  # the recurrence comes first
    names = ids if words is None else [f"s{i}" for i in range(2 * n)]
    obs = pd.DataFrame({"patient": [i[:12] for i in ids], "days": np.repeat(rng.integers(5, 900, n), 2), "died": 1},
                       index=names)
    if words: obs["sample_type"] = words * n
    data = outcomes_of(AnnData(rng.normal(6, 1, (2 * n, 4)).astype("float32"), obs=obs), survival=("days", "died"))
    assert data.samples.tolist() == names[1::2]
