"""Sample sheets of every kind, who is a patient and a normal in every spelling, and repeats that nobody names."""
import json

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from refusing import refused
from cancer_dl.core import InputError
from cancer_dl.data.checkup import alike_samples, cohort_report, cramers_v, describe_cohort, training_notes
from cancer_dl.data.cohort import read_cohort, write_cohort
from cancer_dl.data.labels import labelled
from cancer_dl.data.samples import (NORMAL, decide_patients, decide_types, label_notes, labels_of, parse_barcodes,
                                    patients_of, repeat_warnings, sample_type_word, types_in_column)
from cancer_dl.data.sheet import label_text, read_sample_table
from cancer_dl.data.split import assert_no_leakage, holdout
from cancer_dl.outcomes import outcomes_of


def named(ids, n_genes=1, **columns):
    "A cohort of zeros with these ids and columns."
    return anndata.AnnData(np.zeros((len(ids), n_genes), np.float32), obs=pd.DataFrame(columns,
                                                                                index=list(map(str, ids))))


# ---------------------------------------------------------------- the bar: random labels per patient stay at chance

def _tcga(i, r): return f"TCGA-{'ABCDEFGH'[i % 8]}{i % 10}-{1000 + i}-01{'ABC'[r]}-11R-A{r}23-07"
def _target(i, r):
    return f"TARGET-20-PA{''.join(chr(65 + (i // 26**k) % 26) for k in range(4))}-{('09A', '40A', '03A')[r]}-01R"
def _gtex(i, r): return f"GTEX-{1000 + i}F-{(226, 426, 1126)[r]:04d}-SM-5G{r}Z{i % 10}"

SPELLINGS = {
    "TCGA": _tcga, "dots": lambda i, r: _tcga(i, r).replace("-", "."), "underscores": lambda i,
             r: _tcga(i, r).replace("-", "_"),
    "lower case": lambda i, r: _tcga(i, r).lower(), "16 characters": lambda i, r: _tcga(i, r)[:16],
    "12 and .1": lambda i, r: _tcga(i, 0)[:12] + ("", ".1", ".2")[r], "12 and _1": lambda i,
             r: _tcga(i, 0)[:12] + ("", "_1", "_2")[r],
    "15 and -1": lambda i, r: _tcga(i, 0)[:15] + ("", "-1", "-2")[r], "15 and .x": lambda i,
             r: _tcga(i, 0)[:15] + (".x", ".y", "")[r],
    "X in front": lambda i, r: "X" + _tcga(i, r).replace("-", "."), "a prefix": lambda i, r: f"BRCA.{_tcga(i, r)}",
    "file names": lambda i, r: _tcga(i, r) + ".genes.results", "TARGET": _target, "TARGET dots": lambda i,
             r: _target(i, r).replace("-", "."),
    "GTEx": _gtex, "GTEx dots": lambda i, r: _gtex(i, r).replace("-", ".").lower(), "CPTAC": lambda i,
             r: f"C3L-{10000 + i}{('-01', '-02', '.N')[r]}",
    "HCMI": lambda i, r: f"HCM-BROD-{1000 + i}-C71-{('01A', '85A', '06A')[r]}", "GENIE": lambda i,
             r: f"GENIE-MSK-P-{1000000 + i}-T{r:02d}-IM6",
    "mixed": lambda i, r: (_tcga, lambda i, r: _tcga(i, r).replace("-", "."), lambda i,
                           r: _tcga(i, r).lower()[:15])[r](i, r),
}
COLUMNS = ("patient", "patient_id", "Patient", "PATIENT_ID", "Patient ID", "case_id", "cases.submitter_id",
           "case_submitter_id", "donor", "icgc_donor_id",
           "submitted_donor_id", "subject", "SUBJID", "participant", "individual", "_PATIENT", "bcr_patient_barcode",
           "PatientID", "donor id:ch1",
           "characteristics_ch1.patient", "subject_id", "USUBJID")


def held_out(cohort) -> float:
    "Accuracy of logistic regression on the half of the patients that it has not seen."
    keep, y = labels_of(cohort, "kind")
    patients = patients_of(cohort)[keep]
    train, test = holdout(y, patients, (0.5, 0.5), seed=1)
    assert_no_leakage(patients, train, test)
    return float((LogisticRegression(C=0.1).fit(cohort.X[train] - 5,
                                                y[train]).predict(cohort.X[test] - 5) == y[test]).mean())


@pytest.fixture(scope="module")
def people():
    "120 patients with three samples each: expression that is the patient's own, and a label that says nothing."
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(120), 3)
    X = (rng.normal(5, 2, size=(120, 150))[person] + rng.normal(0, 0.2, size=(360, 150))).astype(np.float32)
    return X, rng.permutation(np.repeat(["A", "B", "C"], 40))[person], person


def _bound(people):
    return 1/3 + 4 * (1/3 * 2/3 / (people[2].max() / 2)) ** 0.5  # chance, and four standard errors of 60 patients


def _read(tmp_path, X, ids, **columns):
    pd.DataFrame(X, index=ids, columns=[f"GENE{j}" for j in range(X.shape[1])]).T.to_csv(tmp_path/"m.csv")
    pd.DataFrame(columns, index=pd.Index(ids, name="sample_id")).to_csv(tmp_path/"s.csv")
    return read_cohort(tmp_path/"m.csv", tmp_path/"s.csv", units="log2(x)", missing="keep")


def test_the_bar_can_fail(people):
    "With a patient in both parts the same classifier is far above the bound."
    X, y, person = people
    assert held_out(anndata.AnnData(X, obs=pd.DataFrame({"kind": y},
                                                        index=[f"S{i}" for i in range(360)]))) > 0.75 > _bound(people)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_random_labels_stay_at_chance_for_ids(tmp_path, people, spelling):
    X, y, person = people
    cohort = _read(tmp_path, X, [SPELLINGS[spelling](i, r % 3) for r, i in enumerate(person)], kind=y)
    assert len(set(patients_of(cohort))) == 120
    assert held_out(cohort) < _bound(people)


@pytest.mark.parametrize("column", COLUMNS)
def test_random_labels_stay_at_chance_for_columns(tmp_path, people, column):
    X, y, person = people
    cohort = _read(tmp_path, X, [f"S{i}" for i in range(360)], **{"kind": y, column: [f"p{i}" for i in person]})
    assert len(set(patients_of(cohort))) == 120 and column in cohort.obs
    assert held_out(cohort) < _bound(people)


def test_stated_column_and_mixed_sources(tmp_path, people):
    X, y, person = people
    ids = [_tcga(i, r % 3) if i % 2 else f"S{r}" for r, i in enumerate(person)]
    mixed = _read(tmp_path, X, ids, kind=y, case_id=["" if i % 2 else f"case {i}" for i in person])
    assert len(set(patients_of(mixed))) == 120 and held_out(mixed) < _bound(people)
    assert mixed.uns["roles"]["patient"]["text"] == "column 'case_id' for 180 samples, TCGA barcode for 180 samples"
    pd.DataFrame(X, index=[f"S{i}" for i in range(360)],
                 columns=[f"GENE{j}" for j in range(150)]).T.to_csv(tmp_path/"m.csv")
    table = pd.DataFrame({"kind": y, "who": [f"p{i}" for i in person]}, index=[f"S{i}" for i in range(360)])
    stated = read_cohort(tmp_path/"m.csv", table, units="log2(x)", patient="who")
    assert held_out(stated) < _bound(people) and stated.uns["roles"]["patient"]["stated"] == "who"
    refused(lambda: read_cohort(tmp_path/"m.csv", table, units="log2(x)", patient="whom"), "no column 'whom'",
            "Did you mean who")


def test_uuids_with_barcodes_in_a_column():
    obs = pd.DataFrame({"cases.samples.submitter_id": ["TCGA-02-0001-01A", "TCGA-02-0001-11A", "TCGA-02-0003-01A"],
                        "file": ["a", "b", "c"]},
                       index=["1b9b1c3e-0000-4000-8000-000000000001", "X2b9b1c3e.0000.4000.8000.000000000002", "3b"])
    assert decide_patients(obs, obs.index)[0].tolist() == ["TCGA-02-0001", "TCGA-02-0001", "TCGA-02-0003"]
    kinds, decision = decide_types(obs, obs.index)
    assert kinds.tolist() == ["primary", "normal",
                              "primary"] and "ids in column 'cases.samples.submitter_id'" in decision["text"]


def test_one_patient_in_two_spellings_is_one():
    cohort = named([f"S{i}" for i in range(4)], patient=["TCGA-02-0001", "tcga.02.0001", "TCGA_02_0001_01A",
                                                         "TCGA-02-0003"])
    assert patients_of(cohort).tolist() == ["TCGA-02-0001"] * 3 + ["TCGA-02-0003"]
    assert patients_of(named("abc", patient=[7.0, 7.0, np.nan])).tolist() == ["7", "7", "c"]


def test_columns_that_are_no_patients():
    n = 40
    for columns in ({"case": ["yes", "no"] * 20}, {"patient": ["case", "control"] * 20},
                    {"case": ["BRCA", "brca"] * 20}, {"subject": [True, False] * 20}):
        assert len(set(patients_of(named([f"S{i}" for i in range(n)], **columns)))) == n


def test_conflicts_are_reported_and_samples_stay_together():
    ids = ["TCGA-02-0001-01A", "TCGA-02-0001-01B", "TCGA-02-0003-01A", "TCGA-02-0004-01A"]
    patient, decision = decide_patients(pd.DataFrame({"patient_id": ["a", "b", "c", "c"]}, index=ids), ids)
    assert patient[0] == patient[1] and patient[2] == patient[3] and len(decision["conflicts"]) == 2
    cohort = named(ids, patient_id=["a", "b", "c", "c"], cancer_type=list("ABAB"))
    assert sum("several patients to one id" in line for line in training_notes(cohort, "cancer_type")) == 1
    assert decide_patients(cohort.obs, ids, "patient_id")[0].tolist() == ["a", "b", "c", "c"]


def test_parts_of_barcodes():
    parsed = parse_barcodes(["TCGA-02-0001-10", "TCGA-02-0001.10", "TCGA-02-0001-1", "TCGA-02-0001-01",
                             "TCGA-02-00012-01", "XTCGA", "ATCGA-02-0001-01", "TCGA-02-0001-"])
    assert parsed["sample_type"].tolist() == ["normal", None, None, "primary", None, None, None, None]
    assert parsed["patient"].tolist() == ["TCGA-02-0001"] * 4 + [None] * 3 + ["TCGA-02-0001"]


# ---------------------------------------------------------------- sample types

@pytest.mark.parametrize("name,tumour,normal", [
    ("sample_type", "Primary Tumor", "Solid Tissue Normal"),
                                                ("sample_type.samples", "Primary Solid Tumor", "Blood Derived Normal"),
                                                ("Sample Type", "Tumor", "Normal"),
    ("_sample_type", "Recurrent Tumor", "Normal Tissue"), ("tissue_type", "Tumor", "Normal"),
                                                ("SAMPLE_TYPE", "Primary", "Normal"), ("sample_type_id", 1, 11),
    ("sample_type_id", "01", "11"), ("sample_type", "01A", "11A"), ("tumor_normal", "T", "N"),
                                                ("shortLetterCode", "TP", "NT"), ("sample_type", "Metastatic", "NAT"),
    ("sample_type", "tumour", "adjacent normal"), ("tissue type:ch1", "lung adenocarcinoma", "Healthy"),
                                                ("condition", "cancer", "normal adjacent tissue"),
    ("is_tumor", True, False), ("type", "Tumour", "non-tumour")])
def test_normals_are_found(tmp_path, name, tumour, normal):
    n = 30
    values = [normal if i % 5 == 0 else tumour for i in range(n)]
    X = np.random.default_rng(0).normal(5, 1, size=(n, 4))
    pd.DataFrame(X, index=[f"S{i}" for i in range(n)], columns=["TP53", "EGFR", "MYC",
                                                                "KRAS"]).to_csv(tmp_path/"expression.csv")
    pd.DataFrame({"cancer_type": ["A", "B"] * 15, name: values},
                 index=pd.Index([f"S{i}" for i in range(n)], name="sample_id")).to_csv(tmp_path/"samples.csv")
    cohort = read_cohort(tmp_path, units="log2(x)")
    keep, y = labels_of(cohort, "cancer_type")
    assert keep.sum() == 24 and cohort.uns["roles"]["sample_type"]["normals"] == 6
    assert (labels_of(cohort, "cancer_type", normal_class=True)[1] == NORMAL).sum() == 6
    assert "6 of 30 samples are normal tissue and are left out" in label_notes(cohort, "cancer_type")[0]
    assert "sample types" in cohort_report(cohort) and "6 normals" in cohort_report(cohort)
    if name == "sample_type": assert str(cohort.obs["sample_type_original"].iloc[0]) == normal
    else: assert name in cohort.obs


@pytest.mark.parametrize("kind,texts", [
    ("normal", ("adjacent to tumor", "tumor adjacent", "Adjacent Tissue Tumor", "tumor-free margin", "Tumor negative",
                "tumour free tissue", "Cancer free control", "lymphoma free", "free of tumor", "paracarcinoma tissue",
                "tissue surrounding the tumor", "adjacent to invasive ductal carcinoma", "tumor matched normal",
                "lung adenocarcinoma, adjacent normal")),
    ("", ("Tumor stroma", "adjacent tumor", "tumor, adjacent", "tumor and adjacent tissue", "tumor adjacent to pleura",
          "primary tumor, adjacent normal not available", "tumor with normal contamination", "tumor negative for HER2",
          "tumor with adjacent normal", "Tumor adjacent to normal tissue", "cancer-free survival",
          "primary tumor with tumor-free margins", "tumor-associated macrophages")),
    ("tumour", ("paired tumor", "paraganglioma", "HER2 negative breast cancer", "Tumor, HER2 negative",
                "cell-free tumor DNA", "soft tissue sarcoma", "gastrointestinal stromal tumor",
                "near-haploid leukemia")),
    ("primary", ("primary tumor, metastasis-free",)), ("metastatic", ("distant metastatic tumor",))])
def test_tissue_beside_a_tumour_is_no_tumour(kind, texts):
    assert {text: sample_type_word(text) for text in texts} == {text: kind or text.lower() for text in texts}


def test_words_that_are_no_normals():
    for words in (["Normal-like", "Basal"], ["control", "case"], ["Control Analyte", "Primary Tumor"],
                  ["non-normal", "x"], ["1", "2"], ["0", "1"], ["T", "N", "M"]):
        assert "normal" not in types_in_column(words, "sample_type")[0]
    kinds, decision = decide_types(pd.DataFrame({"sample_type": ["Control", "Tumor"]}), ["a", "b"])
    assert "healthy tissue or a technical control" in decision["unclear"][0]
    assert decide_types(pd.DataFrame({"tissue": ["lung", "breast"]}), ["a", "b"])[0].tolist() == ["", ""]
    assert decide_types(pd.DataFrame({"pam50": ["Normal", "LumA"]}), ["a", "b"])[0].tolist() == ["", ""]


def test_one_foreign_id_does_not_switch_the_rule_off(tmp_path):
    ids = [*(f"TCGA.02.{i:04d}.{'11A' if i % 4 == 0 else '01A'}" for i in range(20)), "my own sample"]
    pd.DataFrame(np.random.default_rng(0).normal(5, 1, (21, 3)), index=ids, columns=["TP53", "EGFR",
                                                                                "MYC"]).to_csv(tmp_path/"m.csv")
    cohort = read_cohort(tmp_path/"m.csv", pd.DataFrame({"cancer_type": ["A", "B", "A"] * 7}, index=ids),
                         units="log2(x)")
    assert (labels_of(cohort, "cancer_type")[0].sum() == 16 and cohort.obs["patient"].iloc[0] == "TCGA-02-0000"
            and cohort.obs["patient"].iloc[20] == "")


def test_a_class_of_normals_needs_normals():
    cohort = named(range(6), cancer_type=list("ABABAB"), sample_type=["Primary Tumor"] * 5 + ["Metastatic"])
    refused(lambda: labels_of(cohort, "cancer_type", normal_class=True), "No sample is normal",
            "Primary Tumor (5), Metastatic (1)", "--sample-type COLUMN")
    assert labels_of(cohort, "cancer_type", normal_class=True,
                     min_classes=1)[0].all()  # a bundle with normals, used on a cohort without
    one = named(range(4), cancer_type=["A"] * 4, sample_type=["normal", "normal", "primary", "primary"])
    refused(lambda: labels_of(one, "cancer_type"), "one class only", "2 normals were left out", "--normal-class")
    kept = named(range(4), stage=["I", "II"] * 2, sample_type=["normal", "primary"] * 2)
    assert labels_of(kept, "stage")[0].all() and "keep their label in 'stage' (I 2)" in label_notes(kept, "stage")[0]


def test_barcode_and_column_that_disagree(tmp_path):
    ids = ["TCGA-02-0001-01A", "TCGA-02-0001-11A", *(f"TCGA-02-{i:04d}-01A" for i in range(2, 8))]
    cohort = named(ids, sample_type=["Primary Tumor"] * 8, cancer_type=list("ABABABAB"))
    cohort.X = np.random.default_rng(0).normal(5, 1, (8, 1)).astype(np.float32)
    report = cohort_report(cohort)
    assert ("TCGA-02-0001-11A is primary in the column and normal by its id" in report
            and report.splitlines()[-1].startswith("ready to train first: Sample types: column"))
    obs = cohort.obs.assign(patient=[f"P{i}" for i in range(8)], days=np.arange(1, 9), died=1)
    bare = anndata.AnnData(cohort.X, obs=obs)  # nobody has read it from a file
    told = dict(labels=labelled(bare).warnings,
                survival=outcomes_of(bare, survival=("days", "died"), least=4).warnings)
    for said in map("\n".join, told.values()):
        assert "column 'sample_type' and the ids disagree about 1 samples. The column stands" in said
        assert "column 'patient' gives several patients to one id: 1 times. Samples" in said
        assert "0001" not in said  # it goes into a bundle


def test_roles_survive_writing(tmp_path):
    ids = ["TCGA.02.0001.01A", "TCGA.02.0001.11A", "S3", "S4"]
    pd.DataFrame(np.random.default_rng(0).normal(5, 1, (4, 3)), index=ids, columns=["TP53", "EGFR",
                                                                                "MYC"]).to_csv(tmp_path/"m.csv")
    table = pd.DataFrame({"who": ["a", "b", "c", "c"], "kind": ["cancer", "normal", "normal", "cancer"],
                          "sample_id": list("wxyz")}, index=ids)
    cohort = read_cohort(tmp_path/"m.csv", table, units="log2(x)", patient="who", sample_type="kind")
    for target in ("out", "out.h5ad"):
        again = read_cohort(write_cohort(cohort, tmp_path/target))
        assert patients_of(again).tolist() == ["a", "b", "c",
                                               "c"] and again.obs["sample_type"].astype(str).tolist() == ["primary",
                                                                                "normal", "normal", "tumour"]
        assert again.obs_names.tolist() == ids and again.uns["roles"]["patient"]["stated"] == "who"
        json.dumps(describe_cohort(again))


# ---------------------------------------------------------------- repeats

@pytest.mark.parametrize("ids", [
    [f"P{i:03d}_{t}" for i in range(10) for t in ("T", "N")], [f"S{i}_rep{r}" for i in range(10) for r in (1, 2)],
                                 [f"pt{i}.{r}" for i in range(10) for r in "ab"],
    [f"{i:03d}{t}" for i in range(10) for t in "TN"],
                                 [f"patient{i}-tumor" for i in range(10)] + [f"patient{i}-normal" for i in range(10)],
    [f"MCF{i}_{r}" for i in range(10) for r in (1, 2, 3)], [f"P{i}.{t}" for i in range(10) for t in ("pre", "post")],
                                 [f"P{i} visit {v}" for i in range(9) for v in (1, 2)]])
def test_repeats_are_reported(ids):
    cohort = named(ids, cancer_type=["A", "B"] * (len(ids) // 2))
    assert len(repeat_warnings(cohort)) == 1 and "--patient COLUMN" in repeat_warnings(cohort)[0]
    assert any("look like repeats" in line
               for line in training_notes(cohort, "cancer_type")) and "look like repeats" in cohort_report(cohort)
    cohort.obs["patient"] = [i[:-1] for i in ids]
    assert not repeat_warnings(named(ids, patient=[str(i // 2) for i in range(len(ids))]))


@pytest.mark.parametrize("ids", [
    [f"S{i}" for i in range(1, 101)], [f"GSM{71019 + i}" for i in range(60)],
                                 [f"GSM{71019 + i}.CEL" for i in range(60)], [f"sample_{i:03d}" for i in range(99)],
    [f"MB-{i:04d}" for i in range(99)], [f"TCGA-02-{i:04d}-01A" for i in range(50)],
                                 [f"SRR{i}" for i in range(1000, 1050)],
                                 [f"LUAD_{i}" for i in range(30)] + [f"LUSC_{i}" for i in range(30)],
    [f"{r}{c}" for r in "ABCDEFGH" for c in range(1, 13)], [f"{c}{r}" for r in "ABCDEFGH" for c in range(1, 13)],
                                 [f"plate{p}_{r}{c}" for p in (1, 2) for r in "ABCDEFGH" for c in range(1, 13)],
    [f"ACH-{i:06d}" for i in range(40)], [f"HT{i}_{t}" for i, t in enumerate(["LUNG", "BREAST", "SKIN"] * 10)],
                                 [f"DO{i}" for i in range(40)],
                                 [f"site{s}-{i:03d}" for s in range(4) for i in range(25)],
    [f"2021-{m:02d}-{d:02d}" for m in range(1, 5) for d in range(1, 20)], [str(i) for i in range(683665, 683705)],
                                 [f"V{i}" for i in range(1, 60)]])
def test_plain_numbering_is_no_repeat(ids): assert repeat_warnings(named(ids)) == []


def test_ignored_columns_of_ids():
    ids = [f"S{i}" for i in range(60)]
    assert "--patient 'code'" in repeat_warnings(named(ids, code=[f"K{i // 3}" for i in range(60)]))[0]
    for columns in ({"age": np.arange(60) % 30 + 40}, {"plate": [f"A{i // 3}" for i in range(60)]},
                    {"batch": [f"B{i // 4}" for i in range(60)]}, {"stage": ["T1", "T2", "T3"] * 20},
                    {"barcode": [f"K{i}" for i in range(60)]}, {"months": [f"{i % 25}" for i in range(60)]},
                    {"tss": [f"tss_{i % 20}" for i in range(60)]}):
        assert repeat_warnings(named(ids, **columns)) == []


# ---------------------------------------------------------------- labels

def test_words_for_nothing():
    words = ["'--", "--", "not reported", "[Unknown]", "[Not Evaluated]", "[Not Available]", "[Discrepancy]",
             "Not Applicable", "unknown", pd.NA, pd.NaT, None, np.nan, "  ", "NA", "#N/A", "<NA>"]
    assert set(label_text(words)) == {""} and label_text(["+", "-", "NA"]).tolist() == ["+", "-", ""]
    cohort = named(range(6), kind=["A", "B", "'--", "A", "B", "[Not Available]"])
    refused(lambda: labels_of(cohort, "kind"), "2 of 6 samples have no label")


def test_one_thing_one_label():
    for column, expected in (([1, "1.0", 1.0], ["1"] * 3), ([True, 1.0, "TRUE", 0], ["True"] * 3 + ["False"]),
                             (["1", "01"], ["1", "01"]), ([1.0, 2.0], ["1", "2"]),
                             (["1.10", "1.1"], ["1.10", "1.1"]), ([1.5, 2.0], ["1.5", "2"]),
                             (pd.array([True, None], dtype="boolean"), ["True", ""]), (["yes", "1"], ["yes", "1"])):
        assert label_text(column).tolist() == expected


def test_columns_that_hold_no_classes():
    n, rng = 100, np.random.default_rng(0)
    cohort = named([f"S{i}" for i in range(n)], age=rng.integers(30, 90, n), weight=rng.normal(70, 9, n).round(1),
                   uuid=[f"u{i}" for i in range(n)],
                   cluster=np.arange(n) % 15, grade=[1.0, 2.0, 3.0, 4.0] * 25, row=np.arange(n))
    for label, word in (("age", "a measurement, not a class"), ("weight", "a measurement"), ("uuid", "it holds ids"),
                        ("row", "it holds ids")): refused(lambda: labels_of(cohort, label), word)
    assert len(set(labels_of(cohort, "cluster")[1])) == 15 and set(labels_of(cohort, "grade")[1]) == set("1234")


def test_labels_that_differ_by_case(tmp_path):
    n = 24
    cohort = named([f"S{i}" for i in range(n)], a=["BRCA", "brca"] * 12, b=["Breast  ca", "Breast ca"] * 12,
                   c=["LumA", "LumB"] * 12)
    for label in "ab": assert "differ by case or spaces only" in label_notes(cohort, label)[0]
    suspicious = cohort_report(cohort).split("ready to train")[0]
    assert label_notes(cohort, "c") == [] and suspicious.count("differ by case or spaces only") == 2


# ---------------------------------------------------------------- sheets

EXPECTED = {"S1": "BRCA", "S2": "LUAD", "S3": "BRCA"}
PLAIN = "sample_id\ttype\tage\nS1\tBRCA\t61.5\nS2\tLUAD\t47\nS3\tBRCA\t50\n"

SHEETS = {
    "tab": PLAIN.encode(), "comma": PLAIN.replace("\t", ",").encode(),
          "semicolon": PLAIN.replace("\t", ";").replace(".", ",").encode(), "pipe": PLAIN.replace("\t", "|").encode(),
    "spaces": PLAIN.replace("\t", "   ").encode(), "one space": PLAIN.replace("\t", " ").encode(),
          "sep=": ("sep=;\n" + PLAIN.replace("\t", ";")).encode(),
    "carriage returns": PLAIN.replace("\n", "\r").encode(), "both": PLAIN.replace("\n", "\r\n").encode(),
          "blank lines": PLAIN.replace("\n", "\n\n").encode(), "utf-8 mark": PLAIN.encode("utf-8-sig"),
    "utf-16": PLAIN.encode("utf-16"), "utf-16 bare": PLAIN.encode("utf-16-le"),
          "R": b"type\tage\nS1\tBRCA\t61.5\nS2\tLUAD\t47\nS3\tBRCA\t50\n",
    "R quoted": b'"type" "age"\n"S1" "BRCA" 61.5\n"S2" "LUAD" 47\n"S3" "BRCA" 50\n',
          "R patient first": b"patient\ttype\nS1\tp1\tBRCA\nS2\tp2\tLUAD\nS3\tp3\tBRCA\n",
    "cBioPortal": b"#Patient\tSample\tType\n#id\tid\twhat\n#STRING\tSTRING\tSTRING\n#1\t1\t1\n"
    b"PATIENT_ID\tSAMPLE_ID\ttype\np1\tS1\tBRCA\np2\tS2\tLUAD\np3\tS3\tBRCA\n",
    "# before the header": ("#" + PLAIN).encode(), "trailing tabs": PLAIN.replace("\n", "\t\n").encode(),
          "pandas index": b",Unnamed: 0,type\n0,S1,BRCA\n1,S2,LUAD\n2,S3,BRCA\n",
    "odd name": b"no,bcr_id,type\n7,S1,BRCA\n8,S2,LUAD\n9,S3,BRCA\n",
          "id is another": b"id,tube,type\n1,S1,BRCA\n2,S2,LUAD\n3,S3,BRCA\n",
          "quoted comma": b'id,note,type\nS1,"a, b",BRCA\nS2,"c",LUAD\nS3,,BRCA\n',
    "quoted newline": b'id,note,type\nS1,"a\nb",BRCA\nS2,"c",LUAD\nS3,,BRCA\n',
          "commas in tabs": b"id\tfirst, last\ttype\nS1\ta, b, c\tBRCA\nS2\td, e, f\tLUAD\nS3\tg\tBRCA\n",
    "equal doubles": b"id,type,type\nS1,BRCA,BRCA\nS2,LUAD,LUAD\nS3,BRCA,BRCA\n",
          "lower case ids": PLAIN.replace("S", "s").encode(), "blank fields": (PLAIN + "\t\t\n").encode(),
}


def matrix(tmp_path, ids=("S1", "S2", "S3")):
    pd.DataFrame(np.arange(1, 4 * len(ids) + 1).reshape(4, -1) / 2, index=["TP53", "EGFR", "MYC", "KRAS"],
                 columns=list(ids)).to_csv(tmp_path/"m.csv")
    return tmp_path/"m.csv"


@pytest.mark.parametrize("kind", SHEETS)
def test_sheets_that_people_have(tmp_path, kind):
    (tmp_path/"s.txt").write_bytes(SHEETS[kind])
    assert read_cohort(matrix(tmp_path), tmp_path/"s.txt", units="log2(x)").obs["type"].to_dict() == EXPECTED


def test_letters_of_western_europe(tmp_path):
    for encoding in ("cp1252", "utf-8", "utf-16"):
        (tmp_path/"s.csv").write_bytes("id;type\nS1;bénigne – §\nS2;Größe\nS3;ñ\n".encode(encoding))
        assert read_cohort(matrix(tmp_path), tmp_path/"s.csv", units="log2(x)").obs["type"].tolist() == ["bénigne – §",
                                                                                "Größe", "ñ"]


@pytest.mark.parametrize("content,parts", [
    (b"sample_id,patient,type\nS1,p,duct carcinoma, NOS\nS2,p,duct carcinoma, NOS\nS3,q,lobular, mixed\n",
     ["line 2", "'S1'", "4 fields", "3 columns", "must be quoted"]),
    (b"patient,type\nS1,duct carcinoma, NOS\nS2,duct carcinoma, NOS\nS3,lobular, mixed\n", ["line 2", "3 fields"]),
    (b"id,type,age\nS1,BRCA,1\nS2,LUAD\nS3,BRCA,3\n", ["line 3", "'S2'", "2 fields", "would move to the left"]),
                                           (b"id,type,age\nS1,BRCA,1\nS2,LUAD,2,3\n", ["line 3", "4 fields"]),
    (b"id,type,type\nS1,BRCA,LUAD\nS2,LUAD,LUAD\n", ["'type' occurs twice", "columns 2 and 3"]),
                                           (b'id,type\nS1,"BRCA\nS2,LUAD\n', ["quote", "not closed"]),
    (b"id,type\nS1,A\nS1,B\n", ["S1 (2 times)", "one row a sample"]),
                                           (b"\xd0\xcf\x11\xe0 old", [".xls", "Save it as .xlsx"]),
                                           (b"PK\x03\x04 a zip", ["zip"]), (b"#only\n#comments\n", ["no header"]),
    (b"\xff\xfea", ["UTF-16", "cut off"])])
def test_sheets_that_would_move_labels(tmp_path, content, parts):
    (tmp_path/"s.csv").write_bytes(content)
    refused(lambda: read_cohort(matrix(tmp_path), tmp_path/"s.csv", units="log2(x)"), *parts)


def test_workbooks_and_parquet(tmp_path):
    table = pd.DataFrame({"type": ["BRCA", "LUAD", "BRCA"], "grade": [1, 2, 3],
                          "day": pd.to_datetime(["2020-01-02"] * 3)}, index=pd.Index(["S1", "S2", "S3"], name="tube"))
    with pd.ExcelWriter(tmp_path/"s.xlsx") as book:
        pd.DataFrame({"what": ["read me"]}).to_excel(book, sheet_name="notes", index=False)
        table.to_excel(book, sheet_name="clinical", startrow=2)
        book.sheets["clinical"].cell(1, 1, "Table S1: patients")
    table.to_parquet(tmp_path/"s.parquet")
    for name in ("s.xlsx", "s.parquet"):
        cohort = read_cohort(matrix(tmp_path), tmp_path/name, units="log2(x)")
        assert (cohort.obs["type"].to_dict() == EXPECTED
                and cohort.obs["grade"].tolist() == [1, 2,
                                        3] and "2020-01-02" in str(cohort.obs["day"].iloc[0]))
    assert cohort.uns["roles"]["sheet"]["column"] == "tube"
    refused(lambda: read_cohort(matrix(tmp_path, ("A", "B", "C")), tmp_path/"s.xlsx", units="log2(x)"), "No worksheet",
            "notes, clinical")
    (tmp_path/"bad.xlsx").write_bytes((tmp_path/"s.xlsx").read_bytes()[:-300])
    refused(lambda: read_cohort(matrix(tmp_path), tmp_path/"bad.xlsx"), "bad.xlsx")


def test_a_workbook_without_openpyxl(tmp_path, monkeypatch):
    pd.DataFrame({"type": ["A"]}, index=["S1"]).to_excel(tmp_path/"s.xlsx")
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    refused(lambda: read_sample_table(tmp_path/"s.xlsx"), "cancer_dl[excel]", "save the sheet as CSV")


def test_a_clinical_table_with_a_row_a_patient(tmp_path):
    ids = ["TCGA-02-0001-01A-11R", "TCGA-02-0001-11A-11R", "TCGA-02-0003-01A-11R"]
    table = pd.DataFrame({"bcr_patient_barcode": ["TCGA-02-0003", "TCGA-02-0001"], "stage": ["I", "II"],
                          "sample_type": ["Primary Tumor"] * 2})
    cohort = read_cohort(matrix(tmp_path, ids), table, units="log2(x)")
    assert cohort.obs["stage"].tolist() == ["II", "II", "I"] and cohort.obs["sample_type"].tolist() == ["primary",
                                                                                "normal", "primary"]
    assert ("compared by the patient" in cohort.uns["roles"]["sheet"]["text"]
            and "compared by the patient" in cohort_report(cohort))
    assert any("compared by the patient" in line for line in training_notes(cohort, "stage"))


# ---------------------------------------------------------------- the check-up

def test_batches_and_near_copies():
    rng = np.random.default_rng(0)
    n = 120
    X = rng.gamma(2, 2, size=(n, 80)).astype(np.float32)
    X[7] = X[3] + rng.normal(0, 0.01, 80)
    kind = np.array(["A", "B"] * 60)
    cohort = anndata.AnnData(X, obs=pd.DataFrame({"cancer_type": kind, "batch": np.where(kind == "A", "x", "y"),
                                                  "centre": rng.integers(0, 30, n).astype(str), "same": "one",
                                                  "rare": ["r"] + ["s", "t"] * 59 + ["s"]},
                                                 index=[f"S{i}" for i in range(n)]), uns={"units": "log2(x+1)"})
    d = describe_cohort(cohort)
    json.dumps(d)
    assert ([p[:2] for p in d["suspicious"]["alike"]] == [["S3",
                                                           "S7"]]
            and d["rare"]["rare"] == {"r": 1} and d["constant_labels"] == ["same"])
    assert d["confounded"][0][:2] == ["cancer_type", "batch"] and d["ready"].startswith("first: 1 profile(s)")
    report = cohort_report(cohort)
    for part in ("S3 ~ S7", "cancer_type goes with batch (Cramér's V 1.00)", "r (1) have fewer than 3 patients",
                 "one value only, so no label: same"): assert part in report
    cohort.X[7] = rng.gamma(2, 2, size=80)
    assert describe_cohort(cohort)["ready"] == "yes: cancer_dl train COHORT --label cancer_type --out BUNDLE"
    assert np.isnan(cramers_v(["a"] * 5, list("xyxyx"))) and alike_samples(X[:, :20]) == []

@pytest.mark.parametrize("ask", ["patients_of", "normal_samples", "labels_of", "labelled", "describe_cohort",
                                 "write_cohort", "train_classifier", "train_multitask", "train_outcome",
                                 "train_tandem", "tune_classifier", "evaluate_bundle"])
def test_a_table_in_place_of_a_cohort_is_refused_with_the_line_that_mends_it(ask, tmp_path):
    from types import SimpleNamespace
    from cancer_dl import classify, multitask, outcomes, tandem, tuning
    from cancer_dl.data import checkup, cohort, labels, samples
    X = pd.DataFrame(np.ones((4, 3)), index=list("abcd"), columns=["TP53", "MYC", "EGFR"])
    y, bundle = pd.Series(list("uvuv"), index=X.index), SimpleNamespace(features=list(X), facts={})
    call = dict(patients_of=lambda: samples.patients_of(X), normal_samples=lambda: samples.normal_samples(X),
                labels_of=lambda: samples.labels_of(X, "k"), labelled=lambda: labels.labelled(X, "k"),
                describe_cohort=lambda: checkup.describe_cohort(X),
                write_cohort=lambda: cohort.write_cohort(X, tmp_path/"c"),
                train_classifier=lambda: classify.train_classifier(X, label=y),
                train_multitask=lambda: multitask.train_multitask(X, ["k", "l"]),
                train_outcome=lambda: outcomes.train_outcome(X, value="k"), train_tandem=lambda: tandem.train_tandem(X),
                tune_classifier=lambda: tuning.tune_classifier(X, "k"),
                evaluate_bundle=lambda: classify.evaluate_bundle(bundle, X, "k"))[ask]
    if ask == "evaluate_bundle": bundle.facts.update(label="k", normal_class=False)
    with pytest.raises(InputError, match=r"ad\.AnnData\(X, obs=S\)"): call()

def test_labels_in_place_of_a_column_are_refused(simulated):
    cohort = simulated(n_samples=60, n_genes=40, n_classes=2, seed=0)
    with pytest.raises(InputError, match="cohort.obs"): labels_of(cohort, cohort.obs["cancer_type"])
