"""The default on copy number beside its parts and plain learners: one split by patient, a fifth tested.

    python bench/copy_number.py            prints the table
    python bench/copy_number.py --write    also writes bench/copy_number.md

All learners but the published one see the same views of the profiles (`AmplitudeViews`). Probabilities are kept in a
cache folder as they are made (--cache), so an interrupted run goes on.
Needs the cohort `tcga_cnv_bins` in the folder CANCER_DL_DATA (default ../shared/data).
"""
import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from cancer_dl.classify import default_pipeline
from cancer_dl.core import atomic_path, data_dir
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.labels import labelled
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.data.views import AmplitudeViews
from cancer_dl.train.baselines import baselines
from cancer_dl.train.validate import compare_patients

DEFAULT = "default (mlp+genome_cnn)"

def learners(data):
    "What is compared, by name."
    def network(**options):
        return default_pipeline(data.units, len(data.genes), names=data.genes, n_samples=len(data.y), random_state=0,
                                **options)
    trees = LGBMClassifier(n_estimators=100, num_leaves=15, colsample_bytree=0.2, n_jobs=1, random_state=0,
                           verbose=-1)
    heard = dict(chromosomes=None, input_dropout=0.2)
    return {DEFAULT: network(), "bins silenced in place of chromosomes": network(model_params=heard),
            "mlp": network(model="mlp"), "genome_cnn": network(model="genome_cnn"),
            "1D-CNN (Mostavi 2020)": network(model="cnn1d"),
            "logistic regression": make_pipeline(AmplitudeViews(), ZScaler(),
                                                 LogisticRegression(C=0.01, max_iter=500)),
            "RBF SVM": make_pipeline(AmplitudeViews(), ZScaler(), SVC(C=10)),
            "gradient boosting": baselines(0, ("gradient boosting",), views=True)["gradient boosting"],
            "LightGBM": make_pipeline(AmplitudeViews(), trees)}

def predicted(name, learner, data, train, test, cache):
    "Called classes, probabilities (or NaN) and processor seconds, from the cache where they are there."
    path = cache / f"{name.split(' (')[0].replace(' ', '_')}.npz"
    if not path.exists():
        started = time.process_time()
        learner.fit(data.X[train], data.y[train])
        seconds = time.process_time() - started
        called = learner.predict(data.X[test])
        none = np.full((len(test), 1), np.nan)
        p = learner.predict_proba(data.X[test]) if hasattr(learner, "predict_proba") else none
        with atomic_path(path) as new, open(new, "wb") as file:
            np.savez(file, called=called.astype(str), p=p, classes=np.asarray(learner.classes_, str), seconds=seconds)
    return np.load(path)

def row(name, found, y, patients, own):
    "A line of the table."
    right = found["called"] == y
    p, place = found["p"], np.searchsorted(found["classes"], y)
    loss = "" if np.isnan(p).all() else f"{-np.log(np.clip(p[np.arange(len(y)), place], 1e-12, 1)).mean():.3f}"
    difference = ""
    if name != DEFAULT:
        compared = compare_patients((own["called"] == y).astype(float), right.astype(float), patients)
        low, high = compared["interval"]
        difference = f"{compared['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
    f1 = f1_score(y, found["called"], average="macro")
    return f"| {name} | {right.mean():.4f} | {f1:.3f} | {loss} | {difference} | {float(found['seconds']):.0f} |"

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "cancer_dl_copy_number")
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    folder = data_dir("tcga_cnv_bins")
    if folder is None: raise SystemExit("The cohort tcga_cnv_bins is not there. Set CANCER_DL_DATA.")
    data = labelled(read_cohort(folder), "cancer_type", False, True, min_class_size=5, small_classes="drop")
    a.cache.mkdir(parents=True, exist_ok=True)
    train, test = next(StratifiedGroupKFold(5, shuffle=True, random_state=7).split(data.X, data.y, data.patients))
    y, patients = data.y[test].astype(str), data.patients[test]
    found = {name: predicted(name, learner, data, train, test, a.cache) for name, learner in learners(data).items()}
    text = ["# Copy number: the default, its parts and plain learners", "",
            f"Written by `python bench/copy_number.py --write`. {len(data.y):,} tumours of {len(set(data.y))} types, "
            f"{data.X.shape[1]} bins of 5 million bases; {len(train):,} to learn from, {len(test):,} of other patients "
            "tested, one split. All see the same views, but for the published 1D-CNN, which gets the bins as they are. "
            "Differences with 95 % intervals over patients.", "",
            "| learner | accuracy | macro F1 | log loss | default minus it | processor seconds to train |",
            "|---|---|---|---|---|---|",
            *(row(name, result, y, patients, found[DEFAULT]) for name, result in found.items())]
    print("\n".join(text))
    if a.write:
        with atomic_path(Path(__file__).with_name("copy_number.md")) as path: path.write_text("\n".join(text) + "\n",
                                                                                            encoding="utf-8")

if __name__ == "__main__": main()
