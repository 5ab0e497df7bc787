"""What limits the default network: samples, classes that are alike, or labels that every learner contradicts.

    python bench/limits.py                         tcga_mirna and tcga_paired_rnaseq; prints the tables
    python bench/limits.py --only tcga_cnv_bins    another cohort of bench/cohorts.py
    python bench/limits.py --write                 also writes bench/limits.md

Folds by patient, learners and the cache of finished results (--cache) are those of bench/cohorts.py.
Needs the cohorts in the folder CANCER_DL_DATA (default ../shared/data).
"""
import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from cohorts import COHORTS, DEFAULT, SEED, check_there, learners, read, result
from sklearn.base import clone

from cancer_dl.core import atomic_path
from cancer_dl.data.split import holdout, patient_folds
from cancer_dl.train.validate import share_interval

COMPARED = (DEFAULT, "logistic regression", "RBF SVM", "1D-CNN (Mostavi 2020)")
GROWING = (DEFAULT, "logistic regression")
SHARES = (0.25, 0.5)

def with_interval(right, patients):
    "A share of samples with its 95 % interval over patients."
    number = np.unique(patients, return_inverse=True)[1]
    low, high = share_interval(np.bincount(number, right), np.bincount(number))
    return f"{np.mean(right):.4f} ({low:.4f} to {high:.4f})"

def part_of_training(data, train, share, seed):
    "Some of the training patients, the same share of each class."
    part = holdout(data.y[train], groups=data.patients[train], sizes=(share, 1 - share), seed=seed)[0]
    return train[part]

def first_folds(data, own, n_folds):
    "The first folds of a cross-validation that is already there."
    n_splits = max(record["fold"] for record in own.folds)
    folds = list(patient_folds(data.y, data.patients, n_splits, 1, SEED))[:n_folds]
    assert [len(fold.test) for fold in folds] == [record["n_test"] for record in own.folds[:n_folds]]
    return folds

def learning_curve(name, data, known, results, n_folds):
    "Accuracy of the first folds, trained on a share of their training patients."
    folds = first_folds(data, results[DEFAULT], n_folds)
    tested = np.concatenate([fold.test for fold in folds])
    rows = {}
    for learner in GROWING:
        for share in SHARES:
            right = []
            for fold in folds:
                train = part_of_training(data, fold.train, share, seed=fold.fold)
                fitted = clone(known[learner]).fit(data.X[train], data.y[train])
                right.append(fitted.predict(data.X[fold.test]) == data.y[fold.test])
            rows[learner, share] = np.concatenate(right)
            print(f"  {name}, {learner}, {share:.0%}: {rows[learner, share].mean():.4f}", file=sys.stderr, flush=True)
        rows[learner, 1.0] = (results[learner].predicted[0] == results[learner].y)[tested]
    shares = (*SHARES, 1.0)
    lines = ["| learner | " + " | ".join(f"{share:.0%} of the training patients" for share in shares) + " |",
             "|---|" + "---|" * len(shares)]
    for learner in GROWING:
        cells = " | ".join(with_interval(rows[learner, share], data.patients[tested]) for share in shares)
        lines.append(f"| {learner} | {cells} |")
    from_half = rows[DEFAULT, 1.0].mean() - rows[DEFAULT, 0.5].mean()
    from_quarter = rows[DEFAULT, 0.5].mean() - rows[DEFAULT, 0.25].mean()
    return [*lines, "", f"On the test samples of {n_folds} folds ({len(tested):,}). The second half of the patients "
            f"brought the default {from_half:+.4f}; the second quarter, {from_quarter:+.4f}."]

def confused(own, patients, most=8):
    "The pairs of classes that are taken for one another most often."
    y, called, names = own.y, own.predicted[0], list(own.classes)
    pairs = Counter(tuple(sorted(pair)) for pair in zip(y[y != called], called[y != called]))
    errors, merged = (y != called).sum(), np.arange(len(names))
    lines = ["| classes | errors | of all errors | accuracy if these and those above were one class |",
             "|---|---|---|---|"]
    for (a, b), n in pairs.most_common(most):
        merged[merged == merged[b]] = merged[a]
        lines.append(f"| {names[a]} and {names[b]} | {n} | {n / errors:.1%} | "
                     f"{with_interval(merged[y] == merged[called], patients)} |")
    second = np.argsort(-own.probability, axis=1)[:, 1]
    return [*lines, "", f"{errors:,} errors of {len(y):,} samples. Of the errors, "
            f"{np.mean((second == y)[y != called]):.0%} have the truth as the second most probable class."]

def contradicted(results, data, most=6):
    "Samples for which every learner calls the same other class."
    own = results[DEFAULT]
    called = np.stack([r.predicted[0] for r in results.values()])
    same = (called == called[0]).all(axis=0) & (called[0] != own.y)
    cases = Counter(zip(own.y[same], called[0][same]))
    listed = ", ".join(f"{own.classes[a]} called {own.classes[b]} {n}" for (a, b), n in cases.most_common(most))
    errors = called[0] != own.y
    of_errors = same.sum() / max(errors.sum(), 1)
    return [f"For {same.sum():,} samples ({same.mean():.1%}; {of_errors:.0%} of the errors of the default), "
            f"{', '.join(results)} all call the same other class: {listed}. Either the profiles are those of "
            "the other class or the label is wrong; another learner on the same profiles will hardly gain them. "
            "Without them, the most that mended labels could bring, the default's accuracy would be "
            f"{with_interval((~errors)[~same], data.patients[~same])}."]

def chapter(name, cache, n_folds):
    "What limits one cohort, as lines of Markdown."
    data = read(name)
    known = learners(data)
    results = {n: result(name, data, n, known[n], cache) for n in COMPARED}
    own = results[DEFAULT]
    accuracies = "; ".join(f"{n} {with_interval(r.predicted[0] == r.y, data.patients)}" for n, r in results.items())
    return [f"## {name}", "", f"{len(data.y):,} samples of {len(own.classes)} classes. Accuracy, first repeat of the "
            f"folds: {accuracies}.", "", "### More patients", "",
            *learning_curve(name, data, known, results, n_folds), "",
            "### Classes that are alike", "", *confused(own, data.patients), "", "### Labels", "",
            *contradicted(results, data), ""]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(COHORTS), default=["tcga_mirna", "tcga_paired_rnaseq"])
    parser.add_argument("--folds", type=int, default=2, help="of the learning curve")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "cancer_dl_cohorts")
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    check_there(a.only)
    lines = [line for name in a.only for line in chapter(name, a.cache, a.folds)]
    text = "\n".join(["# What limits the default", "", "Written by `python bench/limits.py --write`: cross-validation "
                      "by patient, intervals of 95 % over patients.", "", *lines])
    print(text)
    if a.write:
        with atomic_path(Path(__file__).with_suffix(".md")) as path: path.write_text(text, encoding="utf-8")

if __name__ == "__main__": main()
