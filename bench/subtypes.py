"""Breast-cancer subtypes on real cohorts: the 1D-CNN beside the nearest centroid and plain learners, transfer from a
pan-cancer network, and few patients.

    python bench/subtypes.py                  prints the tables
    python bench/subtypes.py --write          also writes bench/subtypes.md
    python bench/subtypes.py --only mirna     one part: divergence, mirna, curve, jive or paired

Needs the cohorts `brca_divergence`, `tcga_mirna`, `brca_multiomics_jive` and `tcga_paired_rnaseq`, and
`resources/pam50_centroids.csv`, in the folder CANCER_DL_DATA (default ../shared/data). A part takes one to five minutes
on two free cores; --parts DIR keeps finished parts, so that they can be made one by one.
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from cancer_dl.classify import default_pipeline
from cancer_dl.core import InputError, data_dir, write_json
from cancer_dl.data.cohort import read_cohort
from cancer_dl.subtypes import (NETWORK, PUBLISHED, NearestCentroidPAM50, compare_subtypes, compare_transfer,
                                comparison_table, curve_table, few_sample_curve, few_sample_learners, match_genes,
                                read_centroids, subtype_data, subtype_learners, subtype_table, train_pan_cancer)
from cancer_dl.train.validate import compare_folds

FOLDS = 5

def described(name, data, repeats, extra=""):
    counts = ", ".join(f"{k} {n}" for k, n in pd.Series(data.y).value_counts().items())
    return [f"## {name}", "", f"{data.X.shape[0]:,} tumours x {data.X.shape[1]:,} features ({data.units}); {counts}. "
            f"{repeats} x {FOLDS}-fold by patient, the same folds for all. {extra}".strip(), ""]

def compared(results, title):
    table = comparison_table(results)
    first = table["learner"].iloc[0]
    lines = [f"| {title} | accuracy (95 % over patients) | balanced accuracy (95 %) | macro F1 | {first} minus it "
             "(95 %, corrected t) | seconds a fold |", "|---|---|---|---|---|---|"]
    for row in table.itertuples():
        a, b, d = row.accuracy_interval, row.balanced_accuracy_interval, row.difference_interval
        difference = "" if np.isnan(row.difference) else f"{row.difference:+.3f} ({d[0]:+.3f} to {d[1]:+.3f})"
        lines.append(f"| {row.learner} | {row.accuracy:.3f} ({a[0]:.3f} to {a[1]:.3f}) | {row.balanced_accuracy:.3f} "
                     f"({b[0]:.3f} to {b[1]:.3f}) | {row.macro_f1:.3f} | {difference} | "
                     f"{row.seconds / (row.n_repeats * row.n_folds):.1f} |")
    said = ", ".join(f"{row.answer} ({row.learner})" for row in table.iloc[1:].itertuples())
    return lines + ["", f"Verdicts on the accuracy of {table['learner'][0]}, corrected for their number: {said}.", ""]

def by_class(result, name):
    lines = [f"Class by class, {name} (published average precision of the 1D-CNN on 864 tumours with 7,091 genes: "
             f"{PUBLISHED['average precision']:.1%}):",
             "", "| subtype | n | precision | recall | F1 |", "|---|---|---|---|---|"]
    return lines + [f"| {r[1]} | {r[2]} | {r.precision:.3f} | {r.recall:.3f} | {r.f1:.3f} |"
                    for r in subtype_table(result).itertuples()] + [""]

def against_scratch(results):
    scratch, lines = results["transfer: scratch"], []
    for name in ("transfer: frozen", "transfer: fine-tuned"):
        c = compare_folds(results[name], scratch)
        lines.append(f"- {name} minus scratch: accuracy {c['difference']:+.3f} "
                     f"({c['interval'][0]:+.3f} to {c['interval'][1]:+.3f}), p = {c['p']:.2f}")
    return lines

def drawn(curve):
    table = curve_table(curve)
    sizes = list(dict.fromkeys(table["per_class"]))
    lines = ["| balanced accuracy (95 % over repeats) | " + " | ".join(
        f"{n} a subtype ({table[table['per_class'] == n]['n_train'].iloc[0]:.0f} tumours)" for n in sizes) + " |",
             "|---" * (len(sizes) + 1) + "|"]
    for name, part in table.groupby("learner", sort=False):
        lines.append(f"| {name} | "
                     + " | ".join(f"{r.value:.3f} ({r.lower:.3f} to {r.upper:.3f})" for r in part.itertuples()) + " |")
    return lines + [""]

def centroid_learners(centroids, data, min_share):
    named = dict(genes=data.genes, classes=np.unique(data.y), min_share=min_share)
    return {f"nearest centroid, published, centre {centre}": NearestCentroidPAM50(centroids, centre=centre, **named)
            for centre in ("median", "balanced", "none")}

def divergence(repeats):
    data, centroids = (subtype_data(read_cohort(data_dir("brca_divergence")), label="pam50"),
                       read_centroids(data_dir("resources")/"pam50_centroids.csv"))
    found = int((match_genes(centroids.index, data.genes) >= 0).sum())
    try: NearestCentroidPAM50(centroids, genes=data.genes).fit(data.X, data.y)
    except InputError as error: refusal = str(error)
    learners = subtype_learners(data, plain=("logistic regression", "RBF SVM", "gradient boosting"))
    learners = {**learners, **centroid_learners(centroids, data, .3),
                "1D-CNN with hidden layer": default_pipeline(data.units, len(data.genes), model="cnn1d",
                                                             random_state=0)}
    results = compare_subtypes(data, learners, FOLDS, repeats)
    lines = described("brca_divergence, 260 genes", data,
                      repeats, f"It holds {found} of the 50 PAM50 genes; the published centroids are refused at the "
                      f"default share: \"{refusal.split(':')[0]}\". They are shown with min_share=0.3 all the same; "
                      "\"nearest centroid\" alone has centroids of 50 genes from the training folds.")
    return (lines + compared(results, "learner") + by_class(results[NETWORK], NETWORK)
            + by_class(results["logistic regression"], "logistic regression"))

def mirna(repeats):
    cohort = read_cohort(data_dir("tcga_mirna"))
    data = subtype_data(cohort, label="pam50")
    results = {**compare_subtypes(data, subtype_learners(data), FOLDS, repeats),
               **compare_transfer(cohort, data, "all", FOLDS, repeats)}
    tested = compare_transfer(cohort, data, "test", FOLDS, 1)
    base = train_pan_cancer(cohort, data.patients)
    lines = described("tcga_mirna, 578 miRNAs", data, repeats, "Published centroids do not apply: there is no mRNA "
                      "in it. \"nearest centroid\" has centroids of 50 miRNAs from the training folds. "
                      f"The pan-cancer network was trained once on {len(base.patients):,} other patients "
                      f"({len(base.classes)} classes, normals pooled): no patient with a PAM50 label.")
    lines += compared(results, "learner") + against_scratch(results) + [""] + by_class(results[NETWORK], NETWORK)
    lines += (["### A pan-cancer network for every fold", "",
               f"It has seen the training patients as breast cancers, and no test patient; 1 x {FOLDS}-fold.", ""]
              + compared(tested, "learner") + against_scratch(tested) + [""])
    return lines

def curve(repeats):
    cohort = read_cohort(data_dir("tcga_mirna"))
    data = subtype_data(cohort, label="pam50")
    found = few_sample_curve(data, few_sample_learners(data, train_pan_cancer(cohort, data.patients)),
                             n_repeats=repeats)
    return ["### Few patients", "", f"tcga_mirna, {repeats} repeats, 30 % of the patients held out in each; "
            "the pan-cancer network has seen no patient with a PAM50 label.", "", *drawn(found)]

def jive(repeats):
    folder = data_dir("brca_multiomics_jive")
    data = subtype_data(read_cohort(folder/"mrna.parquet", samples=folder/"samples.csv"), label="pam50")
    results = compare_subtypes(
        data, subtype_learners(data, plain=("logistic regression", "RBF SVM", "gradient boosting")), FOLDS, repeats)
    lines = described("brca_multiomics_jive, 645 unnamed mRNA features", data, repeats, "Its genes have no names, "
                      "so published centroids cannot be aligned, nor can a network be transferred.")
    return lines + compared(results, "learner") + by_class(results[NETWORK], NETWORK)

def paired(repeats):
    cohort = read_cohort(data_dir("tcga_paired_rnaseq"))
    table = pd.read_csv(data_dir("tcga_mirna")/"samples.csv", keep_default_na=False)
    call = table[(table["pam50"] != "") & (table["pam50"] != "Normal")].drop_duplicates("patient").set_index(
        "patient")["pam50"]
    cohort.obs["subtype"] = cohort.obs["patient"].astype(str).map(call).to_numpy()
    data, centroids = subtype_data(cohort), read_centroids(data_dir("resources")/"pam50_centroids.csv")
    found = int((match_genes(centroids.index, data.genes) >= 0).sum())
    learners = {**subtype_learners(data), **centroid_learners(centroids, data, .5)}
    results = {**compare_subtypes(data, learners, FOLDS, repeats),
               **compare_transfer(cohort, data, "all", FOLDS, repeats)}
    lines = described("tcga_paired_rnaseq, 3,556 genes, few patients", data, repeats, "PAM50 labels by patient from "
                      f"tcga_mirna, tumours called normal-like left out (two). It holds {found} of the 50 PAM50 genes. "
                      "The pan-cancer network saw the other ten types and the normals of other patients.")
    return lines + compared(results, "learner") + against_scratch(results) + [""]

PARTS = dict(divergence=(divergence, 3, ["brca_divergence", "resources"]), mirna=(mirna, 2, ["tcga_mirna"]),
             curve=(curve, 6, ["tcga_mirna"]), jive=(jive, 3, ["brca_multiomics_jive"]),
             paired=(paired, 3, ["tcga_paired_rnaseq", "tcga_mirna", "resources"]))

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--parts", type=Path,
                        help="folder that keeps the finished parts, so that they can be made one by one")
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    sections = []
    for name, (make, repeats, needed) in PARTS.items():
        kept = a.parts/f"{name}.json" if a.parts else None
        if a.only in (None, name) and not (a.only is None and kept and kept.exists()):
            missing = [n for n in needed if data_dir(n) is None]
            if missing:
                raise SystemExit(f"These are not there: {', '.join(missing)}. "
                                 "Set CANCER_DL_DATA to the folder that holds them.")
            started = time.perf_counter()
            lines = make(repeats)
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
            if kept: write_json(kept, lines)
        elif kept and kept.exists(): lines = json.loads(kept.read_text(encoding="utf-8"))
        else: continue
        sections += lines
    text = "\n".join(["# Breast-cancer subtypes on real cohorts", "",
                      "Written by `python bench/subtypes.py --write`. No learner is tuned; everything, "
                      "centroids and centring included, is learned on training folds only.", "", *sections])
    print(text)
    if a.write: Path(__file__).with_name("subtypes.md").write_text(text.rstrip() + "\n", encoding="utf-8")

if __name__ == "__main__": main()
