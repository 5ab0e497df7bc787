"""Conformal coverage, calibration error and the flag of unfamiliar samples, on patients that a bundle has not seen.

    python bench/familiar.py            prints the tables
    python bench/familiar.py --write    also writes bench/familiar.md

Bundles are trained by `train_classifier` on about half of the patients of 14 tumour types of `tcga_mirna` (HiSeq
only), and measured on the other half. One bundle is judged by a hold-out, one by cross-validation, and of four bundles
one type is left out. Needs the cohort in the folder CANCER_DL_DATA (default ../shared/data).
"""
import argparse
import os
import platform
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from cancer_dl.classify import train_classifier
from cancer_dl.core import data_dir
from cancer_dl.data.cohort import read_cohort
from cancer_dl.train.bundle import conformal_sets
from cancer_dl.train.calibrate import calibration_error

TYPES = "BRCA THCA LUAD KIRC HNSC UCEC PRAD LUSC LIHC CESC KIRP COAD STAD LGG".split()
LEFT_OUT = ["LIHC", "LGG", "KIRP", "PRAD"]
LEVELS = (.9, .95, .98)
SMALL = 280  # samples of the bundle that is judged by cross-validation

READING = """"Unseen" are patients that no part of training, calibration or scale has seen. A coverage is the share of
their samples whose set holds the true type; with n samples its standard error at 0.98 is the square root of
0.98 x 0.02 / n. Where the best class alone is right more often than the level, sets cover more than they promise,
because no set is empty.
"""
FLAGS = """Known types: unseen patients. Genes shuffled: within each sample, the values of all genes in another order.
Permuted: each gene keeps its values, in another order of samples. GA: the same types on the older platform. Normals:
normal tissue, which the bundle was not trained on. Another scale: 0.6 x + 3, as of a microarray. A type left out:
all its tumours.
"""

def cohort_of(rng):
    "Tumours of the chosen types, at most 360 of each on HiSeq; normals and the older platform with them."
    cohort = read_cohort(data_dir("tcga_mirna"))
    cohort = cohort[cohort.obs["cancer_type"].isin(TYPES)].copy()
    rows = rng.permutation(cohort.n_obs)
    place = cohort.obs.iloc[rows].groupby(["cancer_type", "platform", "sample_type"], observed=True).cumcount()
    return cohort[np.sort(rows[place.to_numpy() < 360])].copy()

def halves(cohort, rng):
    "Whether each sample's patient may be trained on."
    patients = np.unique(cohort.obs["patient"])
    return cohort.obs["patient"].isin(rng.permutation(patients)[:len(patients) // 2]).to_numpy()

def calibration_row(name, bundle, unseen):
    "Coverage of every level, size of the sets, calibration error before and after."
    probability = bundle.predict_cohort(unseen)[0].to_numpy()
    y = np.searchsorted(bundle.classes, unseen.obs["cancer_type"].astype(str))
    raw, row = bundle.outputs(unseen.to_df()), dict(bundle=name)
    row |= {"calibrated on": f"{bundle.calibration.facts['patients']} patients", "unseen samples": len(y),
            "accuracy": f"{(probability.argmax(axis=1) == y).mean():.3f}",
            "temperature": f"{bundle.calibration.temperature:.2f}",
            "error before": f"{calibration_error(raw, y):.3f}", "after": f"{calibration_error(probability, y):.3f}"}
    for level in LEVELS:
        if level > bundle.calibration.facts["patients"] / (bundle.calibration.facts["patients"] + 1): continue
        sets = conformal_sets(bundle, probability, level)
        row[f"coverage at {level}"] = f"{sets[np.arange(len(y)), y].mean():.3f} ({sets.sum(axis=1).mean():.2f} classes)"
    return row

def flagged(bundle, cohort, X=None):
    "Share of unfamiliar samples."
    if X is not None:
        cohort = cohort.copy()
        cohort.X = X.astype(np.float32)
    distance = bundle.familiarity.distance(bundle.familiarity.parts(bundle, np.asarray(
        cohort.to_df()[bundle.features], np.float32)))
    return float(np.mean(distance > 1))

def flag_row(name, bundle, unseen, others, left, rng):
    "Shares of unfamiliar samples of every kind."
    X = np.asarray(unseen.X, np.float32)
    shares = {"known types": flagged(bundle, unseen),
              "genes shuffled": flagged(bundle, unseen, rng.permuted(X, axis=1)),
              "permuted": flagged(bundle, unseen, rng.permuted(X, axis=0)),
              "another scale": flagged(bundle, unseen, .6 * X + 3),
              "GA": flagged(bundle, others["GA"]), "normals": flagged(bundle, others["normals"]),
              "a type left out": flagged(bundle, left) if left.n_obs else np.nan}
    return dict(bundle=name) | {k: "" if np.isnan(v) else f"{v:.1%}" for k, v in shares.items()}

def measure(rng):
    "All rows: of calibration, of flags."
    cohort = cohort_of(rng)
    may, obs = halves(cohort, rng), cohort.obs
    tumour, hiseq = (obs["sample_type"] != "normal").to_numpy(), (obs["platform"] == "HiSeq").to_numpy()
    calibration, flags = [], []
    bundles = {"14 types, hold-out": (None, None), f"14 types, cross-validation of {SMALL} samples": (None, SMALL),
               **{f"without {name}, hold-out": (name, None) for name in LEFT_OUT}}
    for name, (left, few) in bundles.items():
        known = (obs["cancer_type"] != left).to_numpy()
        train = np.flatnonzero(may & tumour & hiseq & known)
        if few: train = np.sort(rng.permutation(train)[:few])
        trained = train_classifier(cohort[train].copy(), seed=0)
        unseen = cohort[~may & tumour & hiseq & known].copy()
        others = {"GA": cohort[~may & tumour & ~hiseq & known].copy(),
                  "normals": cohort[~may & ~tumour & hiseq & known].copy()}
        calibration.append(calibration_row(name, trained.bundle, unseen))
        flags.append(flag_row(name, trained.bundle, unseen, others, cohort[tumour & hiseq & ~known].copy(), rng))
        print(calibration[-1], flags[-1], sep="\n", flush=True)
    return pd.DataFrame(calibration).fillna(""), pd.DataFrame(flags).fillna("")

def markdown(table: pd.DataFrame) -> str:
    "A table as Markdown."
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [table.columns, *table.to_numpy()]]
    return "\n".join([lines[0], "|---" * table.shape[1] + "|", *lines[1:]]) + "\n"

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    calibration, flags = map(markdown, measure(np.random.default_rng(0)))
    print(calibration, flags, sep="\n")
    if options.write:
        Path(__file__).with_suffix(".md").write_text(
            f"# Calibration, and samples of an unknown kind\n\nMade by `python bench/familiar.py --write` on "
            f"{platform.machine()}.\n\n## Coverage and calibration error\n\n{READING}\n{calibration}\n"
            f"## Unfamiliar samples\n\n{FLAGS}\n{flags}", encoding="utf-8")

if __name__ == "__main__": main()
