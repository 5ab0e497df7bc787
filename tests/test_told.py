"What a person is told who gives the wrong file, copies, batches, normals or training samples."
import json
import re

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cancer_dl.classify import evaluate_bundle, train_classifier
from cancer_dl.data.labels import labelled
from cancer_dl.core import InputError
from cancer_dl.data.checkup import cohort_report, describe_cohort, training_notes
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.genes import kind_of_names
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.plot import precision_recall_dots
from cancer_dl.report import answer_lines, checkup_page, evaluation_report, page_of, story_of_evaluation
from refusing import refused

QUICK = dict(epochs=2, model="mlp", model_params={"dense": 8}, seed=0, judge="holdout", refit=False)


def made_up(n=80, n_genes=120, seed=0, **columns):
    "Two classes of own patients, with columns of one's own."
    rng = np.random.default_rng(seed)
    y = np.repeat(["A", "B"], n // 2)
    X = rng.gamma(2, 2, (n, n_genes)).astype(np.float32) + 2*(y == "A")[:, None]*(np.arange(n_genes) < 10)
    obs = pd.DataFrame({"kind": y, **columns}, index=[f"s{i}" for i in range(n)])
    return AnnData(X.astype(np.float32), obs, pd.DataFrame(index=[f"gene_{i}" for i in range(n_genes)]),
                   uns={"units": "log2(x+1)"})


# ---------------------------------------------------------------- the wrong file

@pytest.mark.parametrize("name", ["samples.csv", "samples.tsv"])
def test_the_sample_sheet_of_a_folder_is_no_matrix(name, tmp_path):
    ids = [f"TCGA-A7-A{i:03}-01" for i in range(12)]
    sheet = pd.DataFrame({"cancer_type": ["BRCA", "LUAD"]*6, "purity": np.linspace(.2, .9, 12)},
                         index=pd.Index(ids, name="sample_id"))
    sheet.to_csv(tmp_path/name, sep="\t" if name.endswith("tsv") else ",")
    pd.DataFrame(np.ones((12, 3)), index=sheet.index, columns=["TP53", "EGFR", "MYC"]).to_csv(tmp_path/"expression.csv")
    refused(lambda: read_cohort(tmp_path/name), f"{name} is the sample sheet", f"Give the folder: {tmp_path}")
    assert read_cohort(tmp_path).shape == (12, 3) and read_cohort(tmp_path/"expression.csv", tmp_path/name).n_obs == 12


def test_a_table_of_text_is_a_sheet(tmp_path):
    ids = pd.Index([f"TCGA-A7-A{i:03}-01" for i in range(12)], name="sample_id")
    texts = {"cancer_type": ["BRCA", "LUAD"]*6, "sex": ["f", "m"]*6, "stage": ["II", "III", "IV"]*4}
    numbers = {g: np.arange(1., 13)/7 for g in ("TP53", "EGFR", "MYC", "KRAS")}
    pd.DataFrame({**texts, "purity": numbers["TP53"]}, index=ids).to_csv(tmp_path/"clinical.csv")
    refused(lambda: read_cohort(tmp_path/"clinical.csv"), "looks like a sample sheet: 3 of its columns are text",
            "(purity)", "samples=FILE")
    pd.DataFrame({**texts, "purity": numbers["TP53"]},
                 index=pd.Index(list("abcdefghijkl"), name="id")).to_csv(tmp_path/"own.csv")
    refused(lambda: read_cohort(tmp_path/"own.csv"), "looks like a sample sheet")
    # four genes beside three columns of text
    pd.DataFrame({**texts, **numbers}, index=ids).to_csv(tmp_path/"panel.csv")
    assert read_cohort(tmp_path/"panel.csv").n_vars == 4
    wide = pd.DataFrame({"gene_name": ["TP53", "EGFR"], "chr": ["17", "7"], "strand": ["-", "+"], "note": ["u", "v"],
                         "S1": [1., 2], "S2": [3., 4]},
                        index=pd.Index(["ENSG00000141510", "ENSG00000146648"], name="gene_id"))
    wide.to_csv(tmp_path/"annotated.csv")  # annotation of genes is no sheet
    assert read_cohort(tmp_path/"annotated.csv").shape == (2, 2)


def test_one_gene_is_refused():
    with pytest.raises(InputError, match="1 gene.*'gene_0'.*at least 2"):
        train_classifier(made_up()[:, :1].copy(), "kind", **QUICK)


# ---------------------------------------------------------------- copies and batches

def near(cohort, pairs):
    "Copies with a little noise, under ids of their own."
    X = cohort.X.copy()
    for i, j in pairs: X[j] = X[i] + np.random.default_rng(0).normal(0, .003, X.shape[1])
    return AnnData(X, cohort.obs.copy(), cohort.var.copy(), uns=dict(cohort.uns))


def test_near_copies_are_one_patient_and_that_is_said():
    cohort = near(made_up(), [(0, 1), (41, 42)])
    data = labelled(cohort, "kind")
    assert (data.patients[0] == data.patients[1] and data.patients[41] == data.patients[42]
            and len(set(data.patients)) == 78)
    assert "2 pair(s)" in data.warnings[0] and "counted as one patient" in data.warnings[0]
    assert (describe_cohort(cohort)["ready"].startswith("first: 2 profile(s)")
            and any("s0 = s1" in line for line in training_notes(cohort, "kind")))
    trained = train_classifier(cohort, "kind", **QUICK)
    for pair in ({0, 1}, {41, 42}): assert len(pair & set(trained.parts["test"])) in (0, 2)
    page = re.sub(r"<style>.*?</style>|data:[^\"')]*", "", page_of(trained), flags=re.S)
    kept = str(trained.bundle.facts), page  # both are passed on
    assert "2 pair(s)" in "\n".join(answer_lines(trained)) and all("2 pair(s)" in said for said in kept)
    assert not [s for said in kept for s in ("s0", "s1", "s41", "s42") if re.search(rf"\b{s}\b", said)]


def test_near_copies_of_one_patient_need_no_word():
    cohort = near(made_up(), [(0, 1)])
    cohort.obs["patient"] = ["p0", "p0", *(f"p{i}" for i in range(2, 80))]
    assert labelled(cohort, "kind").warnings == () and len(set(labelled(made_up(), "kind").patients)) == 80


def test_sparse_panels_of_zeros_and_ones_are_no_copies():
    X = (np.random.default_rng(0).random((60, 200)) < .004).astype(np.float32)
    cohort = AnnData(X, pd.DataFrame({"kind": ["A", "B"]*30}, index=[f"s{i}" for i in range(60)]),
                     uns={"units": "binary"})
    assert labelled(cohort, "kind").warnings == () and "one patient" not in " ".join(describe_cohort(cohort)["dangers"])


def test_a_label_that_goes_with_the_batch_is_told():
    batch = ["x"]*38 + ["y"]*42
    trained = train_classifier(made_up(batch=batch), "kind", **QUICK)
    said = [w for w in trained.warnings if "'kind' goes with 'batch' (Cramér's V 0.9" in w]
    assert len(said) == 1 and said[0] in "\n".join(answer_lines(trained)) and "goes with" in page_of(trained)
    mixed = train_classifier(made_up(batch=["x", "y"]*40), "kind", **QUICK)
    assert not [w for w in mixed.warnings if "goes with" in w]


# ---------------------------------------------------------------- normals and training samples

def test_normals_for_a_model_without_a_class_for_them():
    cohort = simulate_cohort(n_samples=240, n_genes=80, n_classes=3, seed=0)
    n = int((cohort.obs["sample_type"] == "normal").sum())
    without, with_class = train_classifier(cohort, **QUICK), train_classifier(cohort, normal_class=True, **QUICK)
    probability, report = without.bundle.predict_cohort(cohort)
    assert n and f"{n} of the 240 samples are normal tissue" in report["warnings"][0] and len(probability) == 240
    assert not [w for w in with_class.bundle.predict_cohort(cohort)[1]["warnings"] if "normal tissue" in w]
    tumours = cohort[cohort.obs["sample_type"] != "normal"].copy()
    assert not [w for w in without.bundle.predict_cohort(tumours)[1]["warnings"] if "normal tissue" in w]


def test_a_label_that_normals_share_is_no_surprise():
    cohort = made_up(sample_type=["normal", "primary"]*40)
    bundle = train_classifier(cohort, "kind", **QUICK).bundle
    assert "40 normal samples" in bundle.facts["provenance"]["normals"]
    assert not [w for w in bundle.predict_cohort(cohort)[1]["warnings"] if "normal tissue" in w]


def test_the_headline_says_what_was_in_training():
    cohort = made_up()
    trained = train_classifier(cohort, "kind", **QUICK)
    known, report = evaluate_bundle(trained.bundle, cohort[trained.data.samples[trained.parts["train"]]].copy())
    n = len(known.data.y)
    page = evaluation_report(story_of_evaluation(known, "model"), known, warnings=report["warnings"])
    assert f"but {n} of the {n} were in training" in page and "says nothing about new patients" in page
    assert report["warnings"][0].startswith(f"{n} of the {n} samples (100%) are not new to the model: "
                                            "it was trained on them. The metrics")
    new, _ = evaluate_bundle(trained.bundle, AnnData(
        cohort.X[:40] + .1, cohort.obs[:40].set_axis([f"new{i}" for i in range(40)]), cohort.var, uns=cohort.uns))
    assert "in training" not in evaluation_report(story_of_evaluation(new, "model"), new)
    assert story_of_evaluation(new, "er83", cohort="nki").title == f"er83 on nki: {new.data.label}"


def test_the_filter_is_disclosed():
    cohort = made_up(n_genes=2100)
    cohort.X[:, 300:] *= .01
    trained = train_classifier(cohort, "kind", **QUICK)
    used = trained.n_used
    assert 200 < used <= 300 and f"genes      2,100 genes, of which {used} used" in answer_lines(trained)
    assert (f"2,100 genes, of which {used} used" in page_of(trained)
            and f"({used} of 2,100 genes)" in trained.bundle.facts["provenance"]["preprocessing"])


def test_signs_at_one_are_drawn_whole():
    ax = precision_recall_dots(["a", "b"], [1, .5], [1, .75])
    assert ax.get_xlim()[1] == 1 and not any(c.get_clip_on() for c in ax.collections)


# ---------------------------------------------------------------- the check-up

@pytest.mark.parametrize("names, kind", [
    ([f"gene_{i}" for i in range(40)], "names of its own"), ([f"f{i}" for i in range(40)], "names of its own"),
    ([f"X{i}" for i in range(1, 900)], "names of its own"), ([f"Feature {i}" for i in range(9)], "names of its own"),
    (["F2", "F5", "C3", "TP53", "EGFR"], "gene symbols"), (["KRT1", "KRT5", "KRT14"], "gene symbols"),
    (["HLA-A", "C1orf112", "AC012345.6", "KRT17|3872"], "gene symbols"),
    ([f"mirna_{i}" for i in range(40)], "other names"),
    (["ABCB1_mut", "TP53_mut", "loss_cnaPANCAN71_(EXT2)", "loss_cnaPANCAN72"], "other names"),
    (["cg00000029", "cg00000165"], "CpG sites"), (["chr1:0-5Mb", "chr22:45-50Mb"], "places on the genome")])
def test_names_of_its_own(names, kind): assert kind_of_names(names) == kind


def test_what_is_offered_as_a_label():
    rng = np.random.default_rng(0)
    cohort = made_up(age=rng.integers(30, 58, 80), cluster=np.arange(80) % 6, grade=np.arange(80) % 3)
    d = describe_cohort(cohort, "my 'own'/cohort")
    assert list(d["labels"]) == ["kind", "cluster", "grade"] and "age" not in cohort_report(d)
    assert d["ready"] == "yes: cancer_dl train my 'own'/cohort --label kind --out BUNDLE"
    assert "Ready to train: cancer_dl train" in checkup_page(cohort, d)


def test_notes_on_labels_are_few():
    rng = np.random.default_rng(0)
    cohort = made_up(**{f"c{k}": np.r_[["once"], rng.choice(["u", "v", "w"], 79)] for k in range(9)})
    lines = cohort_report(cohort).splitlines()
    assert (sum("fewer than 3 patients" in line for line in lines) == 5
            and any("and 4 more notes on labels" in line for line in lines))
    assert len(json.loads(json.dumps(describe_cohort(cohort)["rare"]))) == 9
