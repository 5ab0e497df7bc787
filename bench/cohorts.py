"""The default network beside published networks and tuned baselines, on every development cohort.

    python bench/cohorts.py                      all cohorts; prints the tables
    python bench/cohorts.py --only tcga_mirna    some cohorts; of the others, what bench/cohorts.csv has
    python bench/cohorts.py --write              also writes bench/cohorts.csv, bench/cohorts.md and bench/cohorts.png

Repeated cross-validation by patient, the same folds for all learners. Baselines choose their settings inside the
training folds. Predictions are kept in a cache folder as they are made (--cache), so an interrupted run goes on.
Needs the cohorts in the folder CANCER_DL_DATA (default ../shared/data).
"""
import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from cancer_dl.benchmark import kept_result
from cancer_dl.classify import default_pipeline
from cancer_dl.core import atomic_path, data_dir
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.labels import labelled
from cancer_dl.data.preprocess import ZScaler
from cancer_dl.data.units import scale_of
from cancer_dl.data.views import AmplitudeViews
from cancer_dl.plot import rank_diagram, save_figure
from cancer_dl.train.baselines import baselines
from cancer_dl.train.calibrate import calibration_error
from cancer_dl.train.validate import compare_folds, compare_log_loss
from cancer_dl.train.verdict import rank_learners

# name: (path, label, normals as one class, file of the matrix)
COHORTS = {
    "tcga_mirna": ("tcga_mirna", "cancer_type", True),
    "tcga_cnv_bins": ("tcga_cnv_bins", "cancer_type", False),
    "tcga_paired_rnaseq": ("tcga_paired_rnaseq", "type_or_normal_tissue", False),
    "tcga_rsem_small": ("tcga_rsem_small_cohorts", "cancer_type", False),
    "brca_divergence": ("brca_divergence", "pam50", False),
    "brca_jive_mrna": ("brca_multiomics_jive/mrna.parquet", "pam50", False),
    "brca_jive_mirna": ("brca_multiomics_jive/mirna.parquet", "pam50", False),
    "brca_mixomics_mrna": ("brca_multiomics_mixomics/mrna.parquet", "subtype", False),
    "breast_nki": ("breast_nki_genefu", "er", False),
    "sorlie": ("micro_sorlie_breast_subtypes", "label", False),
    "golub": ("micro_golub_leukemia", "label", False),
    "khan": ("khan_srbct_islp", "label", False),
    "pomeroy": ("micro_pomeroy_brain", "label", False),
    "nci60": ("nci60_islp", "label", False),
    "bladder": ("bladderbatch", "cancer", False),
}
DEFAULT = "default"
SEED = 7  # of the folds
COLUMNS = ["cohort", "samples", "features", "classes", "units", "folds", "repeats", "learner", "accuracy", "macro_f1",
           "log_loss", "log_loss_calibrated", "calibration_error", "difference", "lower", "upper", "loss_difference",
           "loss_lower", "loss_upper", "seconds", "date"]

def check_there(names):
    "End with a message where the folder of a cohort is missing."
    gone = [n for n in names if data_dir(COHORTS[n][0].split("/")[0]) is None]
    if gone: raise SystemExit(f"These cohorts are not there: {', '.join(gone)}. Set CANCER_DL_DATA.")

def read(name):
    "The labelled samples of a cohort."
    path, label, normals = COHORTS[name]
    folder, *file = path.split("/")
    found = data_dir(folder)
    cohort = read_cohort(found / file[0], found / "samples.csv") if file else read_cohort(found)
    return labelled(cohort, label, normals, True, min_class_size=5, small_classes="drop")

def tuned(model, grid, data):
    "A baseline that chooses its settings inside the training folds."
    views = [AmplitudeViews()] if scale_of(data.units) == "centred" else []
    steps = make_pipeline(*views, ZScaler(), model)
    name = steps.steps[-1][0]
    # accuracy of three folds; patients with several samples are few, and may leak into the choice of a baseline only
    if all(len(values) == 1 for values in grid.values()):
        return steps.set_params(**{f"{name}__{key}": value for key, (value,) in grid.items()})
    return GridSearchCV(steps, {f"{name}__{key}": values for key, values in grid.items()}, cv=3)

def learners(data):
    "What is compared, by name."
    def network(**options):
        return default_pipeline(data.units, len(data.genes), names=data.genes, n_samples=len(data.y) * 4 // 5,
                                random_state=0, **options)
    few = len(data.y) < 1500
    views = scale_of(data.units) == "centred"
    logistic = {"C": [1e-3, 1e-2, 1e-1, 1.0] if few else [0.03]}  # of thousands, one value
    found = {
        DEFAULT: network(),
        "1D-CNN (Mostavi 2020)": network(model="cnn1d"),
        "2D-hybrid-CNN (Mostavi 2020)": network(model="cnn2d_hybrid"),
        "logistic regression": tuned(LogisticRegression(max_iter=200), logistic, data),
        "RBF SVM": tuned(SVC(), {"C": [1, 10, 100] if few else [10]}, data),
        "nearest neighbours": tuned(KNeighborsClassifier(), {"n_neighbors": [1, 5, 15] if few else [5]}, data),
        "random forest": make_pipeline(*([AmplitudeViews()] * views), RandomForestClassifier(500, random_state=0)),
        "gradient boosting": baselines(0, ("gradient boosting",), views=views)["gradient boosting"],
    }
    slow = () if few else ("nearest neighbours", "random forest", "gradient boosting", "2D-hybrid-CNN (Mostavi 2020)")
    return {name: learner for name, learner in found.items() if name not in slow}

def plan(n):
    "Folds and repeats."
    return (5, 5) if n < 200 else (5, 2) if n < 1500 else (5, 1)

def result(name, data, learner, estimator, cache):
    "The cross-validation of one learner, from the cache where it is there."
    n_splits, n_repeats = plan(len(data.y))
    smallest = int(np.unique(data.y, return_counts=True)[1].min())
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    folds = dict(n_splits=min(n_splits, smallest), n_repeats=n_repeats, seed=SEED)
    found = kept_result(learner, estimator, data, folds, folder)
    print(f"  {name}, {learner}: {found.repeat_accuracy.mean():.4f} in {time.perf_counter() - started:.0f} s",
          file=sys.stderr, flush=True)
    return found

def log_loss(p, y): return -np.log(np.clip(p[np.arange(len(y)), y], 1e-12, 1))

def scaled(p, temperature):
    "Probabilities at another temperature."
    z = np.log(np.clip(p, 1e-12, 1)) / temperature
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)

def tempered(p, y, side):
    "Probabilities after temperature scaling, each half's learned on the other half."
    out = np.zeros_like(p, dtype=float)
    for part in (0, 1):
        other = side != part
        cost = lambda t: log_loss(scaled(p[other], np.exp(t)), y[other]).mean()
        best = minimize_scalar(cost, bounds=(-3, 3), method="bounded").x
        out[~other] = scaled(p[~other], np.exp(best))
    return out

def calibrated(result, seed=0):
    "The cross-validation after temperature scaling, learned on the other half of the patients."
    half = np.random.default_rng(seed).permutation(len(set(result.groups))) % 2
    side = half[np.unique(result.groups, return_inverse=True)[1]]
    return replace(result, probability=tempered(result.probability, result.y, side),
                   each=None if result.each is None else np.stack([tempered(p, result.y, side) for p in result.each]))

def rows_of(name, cache):
    "What was measured on one cohort: a row a learner."
    data = read(name)
    results = {n: result(name, data, n, e, cache) for n, e in learners(data).items()}
    folds, repeats = plan(len(data.y))
    shared = dict(cohort=name, samples=data.X.shape[0], features=data.X.shape[1], classes=len(results[DEFAULT].classes),
                  units=data.units, folds=folds, repeats=repeats)
    found, even = [], {n: calibrated(r) for n, r in results.items() if r.probability is not None}
    for n, r in results.items():
        f1 = np.mean([f1_score(r.y, called, average="macro") for called in r.predicted])
        row = dict(shared, learner=n, accuracy=r.repeat_accuracy.mean(), macro_f1=f1)
        if r.probability is not None:
            row["log_loss"] = log_loss(r.probability, r.y).mean()
            row["log_loss_calibrated"] = log_loss(even[n].probability, r.y).mean()
            row["calibration_error"] = calibration_error(even[n].probability, r.y)
        if n != DEFAULT:
            c = compare_folds(results[DEFAULT], r)
            row |= dict(difference=c["difference"], lower=c["interval"][0], upper=c["interval"][1])
            if n in even and even[n].each is not None:  # results kept by an earlier version have the mean only
                c = compare_log_loss(even[DEFAULT], even[n])
                row |= dict(loss_difference=c["difference"], loss_lower=c["interval"][0], loss_upper=c["interval"][1])
        found.append(dict(row, seconds=np.mean([f["seconds"] for f in r.folds]), date=f"{date.today()}"))
    return pd.DataFrame(found, columns=COLUMNS)

def with_new(old, new):
    "All rows, those of a cohort that was measured anew in place of its earlier ones; in the order of `COHORTS`."
    rows = pd.concat([part for part in (old[~old["cohort"].isin(new["cohort"])], new) if len(part)])
    return rows.sort_values("cohort", key=lambda names: names.map(list(COHORTS).index), kind="stable")

def table(rows):
    "The table of one cohort, as lines of Markdown."
    one = rows.iloc[0]
    lines = [f"## {one.cohort}", "",
             f"{one.samples:,} samples x {one.features:,} features, {one.classes} classes, {one.units}; "
             f"{one.repeats} x {one.folds}-fold by patient; {one.date}.", "",
             "| learner | accuracy | macro F1 | log loss | log loss, calibrated | calibration error | "
             "default minus it (95 %, corrected t) | its log loss, calibrated (95 %) | seconds a fold |",
             "|---|---|---|---|---|---|---|---|---|"]
    number = lambda value, form: "" if pd.isna(value) else format(value, form)
    for r in rows.itertuples():
        def apart(value, low, high): return "" if pd.isna(value) else f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
        cells = (r.learner, f"{r.accuracy:.4f}", f"{r.macro_f1:.3f}", number(r.log_loss, ".3f"),
                 number(r.log_loss_calibrated, ".3f"), number(r.calibration_error, ".3f"),
                 apart(r.difference, r.lower, r.upper), apart(r.loss_difference, r.loss_lower, r.loss_upper),
                 f"{r.seconds:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]

def summary(rows):
    "Mean ranks, and wins, ties and losses of the default."
    accuracy = rows.pivot(index="cohort", columns="learner", values="accuracy").dropna()
    found = rank_learners({n: accuracy[n].to_numpy() for n in accuracy})
    lines = ["| learner | mean rank | accuracy: default wins | ties | loses | log loss: default wins | ties | loses |",
             "|---|---|---|---|---|---|---|---|"]
    def counted(better, worse, all_): return f"{better} | {all_ - better - worse} | {worse}" if all_ else " | | "
    for n, rank in sorted(zip(found["names"], found["ranks"]), key=lambda pair: pair[1]):
        own = rows[(rows["learner"] == n) & rows["difference"].notna()]
        said = [counted((own["lower"] > 0).sum(), (own["upper"] < 0).sum(), len(own)),
                counted((own["loss_upper"] < 0).sum(), (own["loss_lower"] > 0).sum(), own["loss_difference"].count())]
        lines.append(f"| {n} | {rank:.2f} | {' | '.join(said)} |")
    said = (f"Friedman test over {len(accuracy)} cohorts: p = {found['p']:.2g}; critical difference of mean ranks "
            f"(Nemenyi, 5 %): {found['critical_difference']:.2f}.")
    lines += ["", said + " Where a learner gives no probabilities, log loss is left empty. Calibrated: one "
              "temperature, learned on the other half of the patients. Differences of log losses are those of the "
              "calibrated ones, below zero where the default is better. Wins and losses are those of the paired "
              "interval of each cohort. The default is a perceptron; on tcga_cnv_bins half of its members are "
              "convolutions along the genome."]
    return lines, found

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(COHORTS))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "cancer_dl_cohorts")
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    names = list(COHORTS) if a.only is None else a.only  # --only without a name: what is in cohorts.csv
    check_there(names)
    here = Path(__file__)
    rows = pd.read_csv(here.with_suffix(".csv"), float_precision="round_trip").reindex(columns=COLUMNS)
    for name in names: rows = with_new(rows, rows_of(name, a.cache))
    lines, found = summary(rows)
    text = ["# Networks and baselines over cohorts", "",
            "Written by `python bench/cohorts.py --write`. Up to 1,500 samples, logistic regression, SVM and nearest "
            "neighbours choose their settings inside the training folds; nothing else is tuned. Above 1,500 samples "
            "only the learners that were near on the smaller cohorts are run, and mean ranks are over the others. "
            "Each cohort has the date on which it was measured; seconds are of a machine that did other things too.",
            "", *lines, "",
            "![Mean ranks](cohorts.png)", "", *(line for n in rows["cohort"].unique()
                                                for line in table(rows[rows["cohort"] == n]))]
    print("\n".join(text))
    if a.write:
        with atomic_path(here.with_suffix(".csv")) as path: rows.to_csv(path, index=False, float_format="%.6g")
        with atomic_path(here.with_suffix(".md")) as path: path.write_text("\n".join(text), encoding="utf-8")
        save_figure(rank_diagram(found["names"], found["ranks"], found["critical_difference"], highlight=DEFAULT),
                    here.with_suffix(".png"))

if __name__ == "__main__": main()
