"""What training once more, on the patients that were held out too, is worth, and what it does to calibrated answers.

    python bench/refit.py                       all cohorts; prints the table
    python bench/refit.py --only tcga_mirna     some cohorts
    python bench/refit.py --write               also writes bench/refit.md

Outer folds by patient. On the training part of each, `train_classifier(judge="holdout")` with and without `refit`; both
bundles answer for the outer test part. Cohorts are those of bench/cohorts.py, in the folder CANCER_DL_DATA.
"""
import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from anndata import AnnData
from cohorts import check_there, log_loss, read

from cancer_dl.classify import train_classifier
from cancer_dl.core import atomic_path
from cancer_dl.data.split import patient_folds
from cancer_dl.train.validate import compare_patients

COHORTS = {"brca_divergence": 5, "tcga_paired_rnaseq": 5, "tcga_mirna": 2}  # name: outer folds of five that are run
WAYS, LEVEL = {"judged network": False, "trained once more": True}, 0.9

def cohort_of(data, rows):
    "Some labelled samples as a cohort."
    obs = pd.DataFrame({"kind": data.y[rows], "patient": data.patients[rows]}, index=data.samples[rows].astype(str))
    return AnnData(np.asarray(data.X[rows], np.float32), obs, pd.DataFrame(index=data.genes.astype(str)),
                   uns={"units": data.units})

def measured(name):
    "Of each way: right calls, log losses, sets that hold the class, sizes of sets; and the patients. (n_tested,) each."
    data = read(name)
    found, patients = {way: [] for way in WAYS}, []
    for k, (_, _, train, test) in enumerate(patient_folds(data.y, data.patients, 5, 1, 7)):
        if k == COHORTS[name]: break
        patients.append(data.patients[test])
        for way, refit in WAYS.items():
            bundle = train_classifier(cohort_of(data, train), "kind", judge="holdout", refit=refit).bundle
            p = bundle.predict_cohort(cohort_of(data, test))[0].to_numpy()
            y = np.searchsorted(np.asarray(bundle.classes, str), data.y[test])
            sets = bundle.calibration.sets(p, LEVEL)
            found[way].append([p.argmax(axis=1) == y, log_loss(p, y), sets[np.arange(len(y)), y], sets.sum(axis=1)])
        print(f"  {name}, fold {k + 1}", file=sys.stderr, flush=True)
    return {way: np.concatenate(parts, axis=1) for way, parts in found.items()}, np.concatenate(patients), data

def mean_interval(values, patients):
    "The mean over samples and its 95 % interval; samples of one patient count together."
    _, number = np.unique(patients, return_inverse=True)
    error = np.sqrt((np.bincount(number, values - values.mean())**2).sum()) / len(values)
    return values.mean(), values.mean() - 1.96 * error, values.mean() + 1.96 * error

def lines_of(name):
    "The rows of one cohort."
    found, patients, data = measured(name)
    (part, whole), lines = found.values(), []
    for way, (right, loss, covered, size) in found.items():
        lines.append(f"| {name} | {way} | {right.mean():.4f} | {loss.mean():.3f} | {covered.mean():.3f} | "
                     f"{size.mean():.2f} |")
    c = compare_patients(whole[0].astype(float), part[0].astype(float), patients)
    apart = [(c["difference"], *c["interval"]), mean_interval(whole[1] - part[1], patients)]
    said = [f"{mean:+.4f} ({low:+.4f} to {high:+.4f})" for mean, low, high in apart]
    note = (f"- {name}: {len(data.y):,} samples, {len(patients):,} tested. Trained once more, minus judged: accuracy "
            f"{said[0]}, log loss {said[1]}.")
    return lines, note

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    check_there(a.only)
    rows = [lines_of(name) for name in a.only]
    text = ["# Trained once more after a hold-out", "",
            "Written by `python bench/refit.py --write`. The default network. Of the training part of each outer fold "
            "a fifth of the patients is held out; the network that was judged knows four fifths, the one that is "
            "trained once more all of them, with the temperature and the conformal scores of the other. Both answer "
            f"for the outer test part. Sets are those for {LEVEL:.0%}; intervals are 95 %, over the tested patients.",
            "", "| cohort | network | accuracy | log loss | sets that hold the class | classes in a set |",
            "|---|---|---|---|---|---|", *(line for lines, _ in rows for line in lines), "",
            *(note for _, note in rows), ""]
    print("\n".join(text))
    if a.write:
        with atomic_path(Path(__file__).with_suffix(".md")) as path:
            path.write_text("\n".join(text), encoding="utf-8")

if __name__ == "__main__": main()
