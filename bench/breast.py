"""Trained on one breast cohort, judged on another: status of the oestrogen receptor, all learners alike.

    python bench/breast.py            prints the table
    python bench/breast.py --write    also writes bench/breast.md

Genes that both cohorts have; each cohort is standardised by itself, without labels, as `--rescale cohort` does.
Needs `breast_nki_genefu` and `brca_divergence` in the folder CANCER_DL_DATA (default ../shared/data).
"""
import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from cancer_dl.classify import default_pipeline
from cancer_dl.core import atomic_path, data_dir
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.labels import labelled
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.train.baselines import baselines
from cancer_dl.train.validate import compare_patients

COHORTS = {"NKI (arrays)": ("breast_nki_genefu", {"1": "positive", "0": "negative"}),
           "TCGA (sequencing)": ("brca_divergence", {"Positive": "positive", "Negative": "negative"})}
DEFAULT, SEEDS = "default", 5

def read(name):
    "Values, status, patients and genes of a cohort."
    folder, words = COHORTS[name]
    found = data_dir(folder)
    if found is None: raise SystemExit(f"The cohort {folder} is not there. Set CANCER_DL_DATA.")
    data = labelled(read_cohort(found), "er", False, True)
    return data.X, np.array([words[str(v)] for v in data.y]), data.patients, list(data.genes)

def learners(n_genes, seed):
    "What is compared, by name; plain learners choose their settings inside the training cohort."
    network = lambda model=None: default_pipeline("z-scores", n_genes, model=model, random_state=seed)
    tuned = lambda learner, **grid: GridSearchCV(learner, grid, cv=5)
    return {DEFAULT: network(), "1D-CNN (Mostavi 2020)": network("cnn1d"),
            "logistic regression": tuned(LogisticRegression(max_iter=1000), C=[1e-3, 1e-2, 1e-1, 1]),
            "RBF SVM": tuned(SVC(random_state=seed), C=[1, 10, 100]),
            "nearest neighbours": tuned(KNeighborsClassifier(), n_neighbors=[1, 5, 15]),
            "random forest": RandomForestClassifier(500, random_state=seed),
            "gradient boosting": baselines(seed, ("gradient boosting",))["gradient boosting"]}

def judged(name, X, y, X_test, y_test, n_genes):
    "Share of right calls of each sample over the seeds, and means of the other measures."
    right, balanced, auroc = [], [], []
    for seed in range(SEEDS):
        learner = learners(n_genes, seed)[name].fit(X, y)
        score = (learner.predict_proba(X_test)[:, 1] if hasattr(learner, "predict_proba")
                 else learner.decision_function(X_test))
        called = learner.predict(X_test)
        right.append(called == y_test)
        balanced.append(balanced_accuracy_score(y_test, called))
        auroc.append(roc_auc_score(y_test == "positive", score))
    return np.mean(right, axis=0), np.mean(balanced), np.mean(auroc)

def table(first, second):
    "The rows of one direction."
    (X, y, _, genes), (X_test, y_test, patients, others) = read(first), read(second)
    shared = [g for g in genes if g in set(others)]
    scaled = lambda values, names: ZScaler().fit_transform(values[:, [names.index(g) for g in shared]])
    X, X_test = scaled(X, genes), scaled(X_test, others)
    lines = [f"## Learned on {first}, judged on {second}", "",
             f"{len(y)} samples to learn from ({(y == 'positive').mean():.0%} positive), {len(y_test)} judged "
             f"({(y_test == 'positive').mean():.0%} positive), {len(shared)} shared genes, means of {SEEDS} seeds.", "",
             "| learner | accuracy | balanced accuracy | AUROC | default minus it |", "|---|---|---|---|---|"]
    found = {name: judged(name, X, y, X_test, y_test, len(shared)) for name in learners(len(shared), 0)}
    for name, (right, balanced, auroc) in found.items():
        c = compare_patients(found[DEFAULT][0], right, patients)
        said = "" if name == DEFAULT else f"{c['difference']:+.4f} ({c['interval'][0]:+.4f} to {c['interval'][1]:+.4f})"
        lines.append(f"| {name} | {right.mean():.4f} | {balanced:.4f} | {auroc:.4f} | {said} |")
    return [*lines, ""]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    first, second = COHORTS
    text = ["# From one breast cohort to another", "",
            "Written by `python bench/breast.py --write`. Status of the oestrogen receptor. Each cohort is "
            "standardised by itself. Intervals are 95 %, over the judged patients, of accuracy; they do not hold "
            "what another training cohort would change.", "", *table(first, second), *table(second, first)]
    print("\n".join(text))
    if a.write:
        with atomic_path(Path(__file__).with_name("breast.md")) as path:
            path.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")

if __name__ == "__main__": main()
