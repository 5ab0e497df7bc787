"""What `train` leaves beside a bundle: every answer to a tested sample, and every metric; and nothing of it inside."""
import zipfile

import numpy as np
import pandas as pd
import pytest
from test_two_classes import command, small_cohort


def named_cohort(folder):
    "A cohort of two classes whose samples and patients have telling names, with a value and two more labels."
    small_cohort(folder, {"ALL": 26, "AML": 22})
    sheet = pd.read_csv(folder/"samples.csv")
    rng = np.random.default_rng(0)
    matrix = pd.read_csv(folder/"expression.csv", index_col=0)
    sheet["dose"] = (matrix["GENE1"] * 2 + rng.normal(size=len(sheet))).to_numpy()
    sheet["days"], sheet["status"] = rng.integers(10, 900, len(sheet)), rng.integers(0, 2, len(sheet))
    sheet["patient"] = [f"PERSON-{i // 2:03d}" for i in range(len(sheet))]
    sheet["site"] = np.array(["here", "there"])[np.arange(len(sheet)) // 2 % 2]
    sheet.to_csv(folder/"samples.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory): return named_cohort(tmp_path_factory.mktemp("answers")/"cohort")


def trained(cohort, folder, *words):
    "Train into a zip; the answers, the comparison, what was said."
    said = command("train", cohort, *words, "--epochs", 2, "--out", folder/"model.zip")
    assert str(folder/"model_predictions.csv") in said and str(folder/"model_comparison.csv") in said
    with zipfile.ZipFile(folder/"model.zip") as file:
        inside = b"".join(file.read(name) for name in file.namelist())
        page = file.read("report.html").decode()
        assert "model_predictions.csv" in page
    assert b"PERSON-" not in inside and b"S001" not in inside
    return (pd.read_csv(folder/"model_predictions.csv", float_precision="round_trip"),
            pd.read_csv(folder/"model_comparison.csv"), page)


def test_accuracy_and_differences_follow_from_the_answers(cohort, tmp_path):
    answers, compared, page = trained(cohort, tmp_path, "--label", "label", "--judge", "crossval")
    assert "<h1>label in cohort</h1>" in page and "SampleSpan (0" not in page
    first = page[page.index('class="verdict'):]
    assert first.index(">Accuracy 0.") < first.index("always saying")
    assert first.index("</p>") < first.index("Beside other learners</h2>") < first.index("p = ")
    assert "of these 48 samples" in page and "of all 48 samples" in page and "jackknife over patients" in page
    assert set(answers["sample"]) == {f"S{i:03d}" for i in range(48)} and answers["patient"].str.match("PERSON").all()
    assert (answers.groupby(["patient", "repeat"])["fold"].nunique() == 1).all()
    np.testing.assert_allclose(answers[["p_ALL", "p_AML"]].sum(axis=1), 1, atol=1e-5)
    right = (answers["prediction"] == answers["label"]).mean()
    accuracy = compared[compared["metric"] == "accuracy"].set_index("learner")
    assert accuracy["estimate"].iloc[0] == pytest.approx(right)
    for other in ("logistic regression", "RBF SVM"):
        own = (answers[f"prediction_{other}"] == answers["label"]).mean()
        assert accuracy.loc[other, "estimate"] == pytest.approx(own)
        assert accuracy.loc[other, "difference"] == pytest.approx(right - own, abs=.02)  # a mean over folds
        assert (accuracy.loc[other, "difference_lower"] <= accuracy.loc[other, "difference"]
                <= accuracy.loc[other, "difference_upper"])
    command("train", cohort, "--label", "label", "--epochs", 1, "--no-compare", "--judge", "holdout", "--overwrite",
            "--out", tmp_path/"model.zip")
    held = pd.read_csv(tmp_path/"model_predictions.csv")
    assert set(held["fold"]) == {"held out"} and 5 < len(held) < 20


@pytest.mark.parametrize("words, truth, said", [(("--value", "dose"), ["value"], "prediction"),
                                                (("--survival", "days,status"), ["time", "event"], "log_hazard"),
                                                (("--label", "label", "--label", "site"), ["label_label", "site_label"],
                                                 "site_prediction")])
def test_other_questions_leave_their_answers_too(cohort, tmp_path, words, truth, said):
    answers, compared, page = trained(cohort, tmp_path, *words)
    first = page[page.index('class="verdict'):].partition("</p>")[0]
    assert "p = " not in first and "p &lt;" not in first and ("on all 48" in first or "tested" in first)
    assert {"sample", "patient", "repeat", "fold", said, *truth} <= set(answers)
    assert answers["patient"].str.match("PERSON").all() and len(answers) % 48 == 0
    assert compared["difference"].notna().any() and compared[["estimate", "lower", "upper"]].notna().all(axis=None)
    if said == "prediction":
        r2 = 1 - ((answers["value"] - answers[said])**2).sum() / ((answers["value"] - answers["value"].mean())**2).sum()
        assert compared.loc[0, "estimate"] == pytest.approx(r2, abs=1e-6)
    command("train", cohort, *words, "--epochs", 1, "--no-compare", "--overwrite", "--out", tmp_path/"model.zip")


def test_a_table_of_other_origin_beside_the_bundle_is_kept(cohort, tmp_path):
    (tmp_path/"model_predictions.csv").write_text("mine\n1\n")
    with pytest.raises(AssertionError, match="held-out answers.*--overwrite"):
        command("train", cohort, "--label", "label", "--out", tmp_path/"model")
    assert (tmp_path/"model_predictions.csv").read_text() == "mine\n1\n" and not (tmp_path/"model").exists()
