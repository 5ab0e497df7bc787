"""What `train` leaves beside a bundle: every answer to a tested sample, and every metric; and nothing of it inside."""
import zipfile

import numpy as np
import pandas as pd
import pytest
from test_two_classes import command, small_cohort

from cancer_dl.classify import places_of_tables
from cancer_dl.cli import _is_table
from cancer_dl.core import InputError
from cancer_dl.data.genes import align_genes
from cancer_dl.data.maf import read_mutations
from cancer_dl.data.units import units_disagree
from cancer_dl.train.bundle import load_bundle
from cancer_dl.train.task import concordance


def named_cohort(folder):
    "A cohort of two classes whose samples and patients have telling names, with a value and two more labels."
    small_cohort(folder, {"ALL": 26, "AML": 22})
    sheet = pd.read_csv(folder/"samples.csv")
    rng = np.random.default_rng(0)
    matrix = pd.read_csv(folder/"expression.csv", index_col=0)
    sheet["dose"] = (matrix["GENE1"] * 2 + rng.normal(size=len(sheet))).to_numpy()
    sheet["days"], sheet["status"] = rng.integers(10, 900, len(sheet)), (np.arange(len(sheet)) % 4 > 0).astype(int)
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
    for kind, path in places_of_tables(folder/"model.zip").items():  # the next training may replace them
        assert _is_table(path, {"predictions": "held-out answers", "comparison": "comparisons"}[kind])
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
    levels = accuracy["difference_level"].iloc[1:]
    assert levels.max() > .95 and all(f"{100 * level:.4g} %" in page for level in levels)  # with Holm's correction
    assert "goes with the Holm-adjusted p" in page and "smaller class, so it is wider" in page
    assert ("p is the larger of two" in page) == ("over folds" in page)
    command("train", cohort, "--label", "label", "--epochs", 1, "--no-compare", "--judge", "holdout", "--overwrite",
            "--out", tmp_path/"model.zip")
    held = pd.read_csv(tmp_path/"model_predictions.csv")
    assert set(held["fold"]) == {"held out"} and 5 < len(held) < 20
    def split_of(name): return load_bundle(tmp_path/name).facts["provenance"]["split"]
    assert split_of("model.zip").endswith("trained on all 48 samples")
    command("train", cohort, "--label", "label", "--epochs", 1, "--no-compare", "--judge", "holdout", "--no-refit",
            "--out", tmp_path/"part")
    assert split_of("part").endswith("no patient in two parts")


@pytest.mark.parametrize("words, truth, said", [(("--value", "dose"), ["value"], "prediction"),
                                                (("--survival", "days,status"), ["time", "event"], "log_hazard"),
                                                pytest.param(("--label", "label", "--label", "site"),
                                                             ["label_label", "site_label"], "site_prediction",
                                                             marks=pytest.mark.slow)])
def test_other_questions_leave_their_answers_too(cohort, tmp_path, words, truth, said):
    answers, compared, page = trained(cohort, tmp_path, *words)
    first = page[page.index('class="verdict'):].partition("</p>")[0]
    assert "p = " not in first and "p &lt;" not in first and ("on all 48" in first or "tested" in first)
    assert {"sample", "patient", "repeat", "fold", said, *truth} <= set(answers)
    of = 24 if said == "log_hazard" else 48  # one sample of a patient, or all
    assert answers["patient"].str.match("PERSON").all() and len(answers) % of == 0
    assert compared["difference"].notna().any() and compared[["estimate", "lower", "upper"]].notna().all(axis=None)
    if said == "prediction":
        r2 = 1 - ((answers["value"] - answers[said])**2).sum() / ((answers["value"] - answers["value"].mean())**2).sum()
        assert compared.loc[0, "estimate"] == pytest.approx(r2, abs=1e-6)
        command("train", cohort, *words, "--epochs", 1, "--no-compare", "--overwrite", "--out", tmp_path/"model.zip")
    if said == "log_hazard":
        for name in ("", "_linear Cox (ridge)"):  # hazards are hazards, and places are compared
            place = answers[f"place_in_fold{name}"]
            assert place.between(0, 1).all() and not answers[f"log_hazard{name}"].between(0, 1).all()
            own = answers.groupby("fold")[f"log_hazard{name}"]
            np.testing.assert_allclose((own.rank() - .5) / own.transform("size"), place, atol=1e-5)
            learner = compared["learner"].iloc[0] if not name else name[1:]
            row = compared[(compared["learner"] == learner) & (compared["metric"] == "concordance")].iloc[0]
            assert concordance(answers["time"], answers["event"], place) == pytest.approx(row["estimate"])


def test_a_table_of_other_origin_beside_the_bundle_is_kept(cohort, tmp_path):
    (tmp_path/"model_predictions.csv").write_text("mine\n1\n")
    with pytest.raises(AssertionError, match="held-out answers.*--overwrite"):
        command("train", cohort, "--label", "label", "--out", tmp_path/"model")
    assert (tmp_path/"model_predictions.csv").read_text() == "mine\n1\n" and not (tmp_path/"model").exists()


# -- genes that another cohort has too

def test_a_bundle_on_the_genes_of_another_cohort_can_be_used_on_it(cohort, tmp_path):
    other = small_cohort(tmp_path/"other", {"ALL": 12, "AML": 9}, seed=5)
    matrix = pd.read_csv(other/"expression.csv", index_col=0)
    matrix.iloc[:, :25].rename(columns={"GENE1": "TP53"}).to_csv(other/"expression.csv")
    command("train", cohort, "--label", "label", "--epochs", 1, "--no-compare", "--out", tmp_path/"all")
    with pytest.raises(AssertionError, match="Shared are GENE0, .*missing from the cohort are GENE1.*--genes-of"):
        command("evaluate", tmp_path/"all", other, "--label", "label", "--out", tmp_path/"measured")
    said = command("train", cohort, "--label", "label", "--epochs", 1, "--no-compare", "--genes-of", other,
                   "--out", tmp_path/"shared")
    assert "24 of 40 are in other too" in said
    command("evaluate", tmp_path/"shared", other, "--label", "label", "--out", tmp_path/"measured")
    assert "<h1>shared on other: label</h1>" in (tmp_path/"measured"/"report.html").read_text()
    with pytest.raises(AssertionError, match="another assay .genes, not copy number."):
        command("predict", "tcga-cnv", other, "--conformal", .9, "--out", tmp_path/"p.csv")


def test_another_assay_is_no_question_of_a_map():
    genes = pd.DataFrame(np.ones((3, 40)), columns=[f"{a}{b}" for a in ("TP", "KRT", "ESR", "MYC") for b in range(10)])
    with pytest.raises(InputError, match="another assay .genes, not miRNA.") as refusal:
        align_genes(genes, [f"hsa-mir-{i}" for i in range(20)])
    assert "gene_map" not in str(refusal.value)


def test_centred_values_are_shown_the_way_that_works():
    assert "--rescale cohort" in units_disagree("z-scores", "log2(TPM+1)")
    assert "--rescale" not in units_disagree("z-scores", "TPM")


def test_several_matrices_are_shown_the_way_that_works(tmp_path):
    for name in ("mrna", "mirna"): pd.DataFrame({"A": [1.0]}, ["s"]).to_csv(tmp_path/f"{name}.csv")
    (tmp_path/"samples.csv").write_text("sample_id\ns\n")
    for words in ((tmp_path,), (tmp_path/"mrna.csv", tmp_path/"mirna.csv")):
        with pytest.raises(AssertionError, match="join_blocks"):
            command("train", *words, "--label", "x", "--out", tmp_path/"m")


# -- rows and samples are named

def test_a_row_of_a_maf_with_too_many_fields_is_refused(tmp_path):
    head = "Hugo_Symbol\tTumor_Sample_Barcode\tVariant_Classification\n"
    row = "TP53\tTCGA-AA-0001-01\tMissense_Mutation"
    (tmp_path/"a.maf").write_text(f"{head}{row}\n{row}\tR175H\n")
    with pytest.raises(InputError, match="more fields than the 3 columns of the header in row 2"):
        read_mutations(tmp_path/"a.maf")
    (tmp_path/"b.maf").write_text(f"{head}{row}\t\n{row.replace('0001', '0002')}\n")  # a tab at the end of a line
    assert len(read_mutations(tmp_path/"b.maf").samples) == 2


def test_what_is_kept_names_the_sample_that_lacks_it(tmp_path):
    cohort = small_cohort(tmp_path/"c", {"ALL": 12, "AML": 12})
    sheet = pd.read_csv(cohort/"samples.csv")
    sheet["batch"] = np.arange(24) % 2
    sheet.loc[3, "label"] = ""
    sheet.to_csv(cohort/"samples.csv", index=False)
    with pytest.raises(AssertionError, match="'label' shall be kept, and 1 of 24 samples .* the first is S003"):
        command("data", "batch", cohort, "--batch", "batch", "--keep", "label", "--out", tmp_path/"out")
