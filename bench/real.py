"""Accuracy on real cohorts: the 1D-CNN beside plain learners, 5-fold by patient, the same folds for all.

    python bench/real.py            prints the tables
    python bench/real.py --write    also writes bench/real.md

Needs the cohorts `tcga_mirna` and `tcga_paired_rnaseq` in the folder CANCER_DL_DATA (default ../shared/data).
"""
import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from cancer_dl.classify import default_pipeline
from cancer_dl.data.labels import labelled
from cancer_dl.core import data_dir
from cancer_dl.data.cohort import read_cohort
from cancer_dl.train.baselines import baselines
from cancer_dl.train.validate import compare_folds, cross_validate

# label, normals as one class
COHORTS = {"tcga_mirna": ("cancer_type", True), "tcga_paired_rnaseq": ("cancer_type", True)}

def learners(data):
    def network(**options):
        return default_pipeline(data.units, len(data.genes), random_state=0, model="cnn1d", **options)
    return {
        "1D-CNN": network(),
        "1D-CNN, as published (half of the genes blind, no smoothing)": network(label_smoothing=0,
                                                                                model_params={"pool": "published"}),
        "1D-CNN, no label smoothing": network(label_smoothing=0),
        "1D-CNN, dropout 0.5": network(model_params={"dropout": 0.5}),
        "1D-CNN on 200 principal components": network(components=200),
        "1D-CNN, stopped on validation loss": network(validation_fraction=0.15),
        **baselines(),
    }

def table(name, folds, repeats):
    label, normals = COHORTS[name]
    data = labelled(read_cohort(data_dir(name)), label, normal_class=normals, drop_unlabelled=True,
                    min_class_size=folds)
    results = {}
    for learner, estimator in learners(data).items():
        started = time.perf_counter()
        results[learner] = cross_validate(estimator, data.X, data.y, data.patients, n_splits=folds, n_repeats=repeats)
        print(f"  {name}, {learner}: {results[learner].repeat_accuracy.mean():.4f} "
              f"in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    first = results["1D-CNN"]
    X = data.X
    lines = [f"## {name}", "", f"{X.shape[0]:,} samples x {X.shape[1]:,} features, {len(first.classes)} classes "
             f"(normals pooled), {data.units}; {repeats} x {folds}-fold by patient, the same folds for all.", "",
             "| learner | accuracy (95 % over patients) | balanced accuracy | macro F1 | 1D-CNN minus it (95 %, "
             "corrected t) | seconds a fold |", "|---|---|---|---|---|---|"]
    for learner, result in results.items():
        s = result.summary()
        c = compare_folds(first, result)
        difference = ("" if result is first
                      else f"{c['difference']:+.4f} ({c['interval'][0]:+.4f} to {c['interval'][1]:+.4f})")
        lines.append(f"| {learner} | {s['accuracy']:.4f} ({s['accuracy_interval'][0]:.4f} "
                     f"to {s['accuracy_interval'][1]:.4f}) | {s['balanced_accuracy']:.4f} | {s['macro_f1']:.4f} "
                     f"| {difference} | {s['seconds'] / len(result.folds):.1f} |")
    worst = sorted(zip(*[first.class_table()[k] for k in ("recall", "class", "n")]))[:5]
    return lines + ["", "Lowest recall of the 1D-CNN: " + ", ".join(f"{c} {r:.2f} (n = {n})"
                                                                         for r, c, n in worst) + "."]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    missing = [name for name in COHORTS if data_dir(name) is None]
    if missing:
        raise SystemExit(f"These cohorts are not there: {', '.join(missing)}. "
                         "Set CANCER_DL_DATA to the folder that holds them.")
    lines = ["# Accuracy on real cohorts", "", "Written by `python bench/real.py --write`. "
             "No learner is tuned; every step is fitted on training folds only.", ""]
    for name in COHORTS: lines += [*table(name, a.folds, a.repeats), ""]
    print("\n".join(lines))
    if a.write: Path(__file__).with_name("real.md").write_text("\n".join(lines), encoding="utf-8")

if __name__ == "__main__": main()
