"""The default network without each of its parts, and with what might help, on the same folds.

    python bench/ablation.py                       everything; prints the tables
    python bench/ablation.py --only sorlie khan    some cohorts, or some rows (a word of their name is enough)
    python bench/ablation.py --minutes 0           what is in the cache, nothing new
    python bench/ablation.py --write               also writes bench/ablation.md

Cohorts, folds by patient and the cache of finished results are those of bench/cohorts.py. An interrupted run goes on
where it stopped. Needs the cohorts in the folder CANCER_DL_DATA (default ../shared/data).
"""
import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from cohorts import DEFAULT, calibrated, check_there, log_loss
from cohorts import read as read_whole
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline

from cancer_dl.benchmark import kept_result
from cancer_dl.classify import CLIP, default_pipeline
from cancer_dl.core import atomic_path, data_dir, keras_module
from cancer_dl.data.labels import part_of
from cancer_dl.data.layout import GeneOrder
from cancer_dl.data.preprocess import ExpressionFilter, LogCPM, QuantileScaler, ZScaler
from cancer_dl.data.views import MOST, SampleSpan
from cancer_dl.interpret.enrichment import read_gmt
from cancer_dl.models.blocks import MATRIX, BlockSpec
from cancer_dl.models.dense import dense_settings
from cancer_dl.models.zoo import builders
from cancer_dl.train.estimator import CancerClassifier, CancerRegressor
from cancer_dl.train.fit import CheckedOptions, TrainingOptions, fit_existing, seeded_layers
from cancer_dl.train.task import Classes
from cancer_dl.train.validate import compare_folds
from cancer_dl.train.verdict import holm

SMALL = ("sorlie", "khan", "nci60", "breast_nki", "golub")
MIRNA, LARGER = "tcga_mirna", "tcga_paired_rnaseq"  # of the first, 2,000 samples
COHORTS = (*SMALL, "brca_divergence", LARGER, MIRNA)
AFFORDED = ("sorlie", "khan", "nci60", "breast_nki", "brca_divergence", LARGER)  # where most additions are measured
SYMBOLS = ("breast_nki", "brca_divergence", LARGER)  # whose features are symbols of genes
COUNTED = "brca_divergence"  # the cohort whose parameters are given
MEMBERS, COPIES, LAST = 4, 8, 10  # networks averaged; masked copies; epochs whose weights are averaged
FAMILIES = {"READ": "COAD", "STAD": "ESCA"}  # classes that count as one in the hierarchical loss

# --- Cohorts ---------------------------------------------------------------------------------------------------------
@cache
def read(name):
    "The labelled samples of a cohort, of the largest 2,000."
    data = read_whole(name)
    if name != MIRNA: return data
    patients = np.random.default_rng(0).permutation(np.unique(data.patients))
    place = np.argsort(patients)[np.searchsorted(np.sort(patients), data.patients)]
    return part_of(data, np.sort(np.argsort(place, kind="stable")[:2000]))

@cache
def patient_of(name):
    "Patient by profile: scikit-learn's `fit` is told of none."
    data = read(name)
    return {x.tobytes(): patient for x, patient in zip(np.asarray(data.X, np.float32), data.patients)}

def plan(data):
    "Folds and repeats."
    smallest = int(np.unique(data.y, return_counts=True)[1].min())
    return dict(n_splits=min(5, smallest), n_repeats=2 if len(data.y) < 100 else 1, seed=7)

# --- Pipelines that differ from the default --------------------------------------------------------------------------
def network(data, **options):
    "The default, but for some options."
    return default_pipeline(data.units, len(data.genes), random_state=0, **options)

def edited(data, without=None, first=None, instead=None, **options):
    "The default with a step left out, one put in front of the z-scores, or another estimator at its end."
    steps = [step for _, step in network(data, **options).steps if without is None or not isinstance(step, without)]
    at = next(i for i, step in enumerate(steps) if isinstance(step, ZScaler))
    return make_pipeline(*steps[:at], *([first] if first else []), *steps[at:-1], instead or steps[-1])

def unclipped(data):
    "The default with z-scores as large as they come."
    pipeline = network(data)
    for _, step in pipeline.steps:
        if isinstance(step, ZScaler): step.set_params(clip=None)
    return pipeline

def ordered_cnn(data, order, random_state=0, **options):
    "The 1D-CNN on genes in some order."
    steps = [step for _, step in network(data, model="cnn1d", **options).steps]
    return make_pipeline(order, *steps[:-1], steps[-1].set_params(random_state=random_state))

# --- Values of each sample scaled ------------------------------------------------------------------------------------
class SampleScaler(TransformerMixin, BaseEstimator):
    "Each sample by its ranks, or with mean 0 and standard deviation 1."
    def __init__(self, ranks=False): self.ranks = ranks

    def fit(self, X, y=None): return self

    def transform(self, X):
        if self.ranks: return (stats.rankdata(X, axis=1) / X.shape[1]).astype(np.float32)
        scale = np.maximum(X.std(axis=1, keepdims=True), 1e-6)
        return ((X - X.mean(axis=1, keepdims=True)) / scale).astype(np.float32)

class PiecewiseLinear(TransformerMixin, BaseEstimator):
    "How far each value has come through each bin of its gene (Gorishniy et al. 2022); bins are quantiles."
    def __init__(self, bins=4): self.bins = bins

    def fit(self, X, y=None):
        self.edges_ = np.quantile(X, np.linspace(0, 1, self.bins + 1), axis=0)
        return self

    def transform(self, X):
        parts = []
        for k, (low, high) in enumerate(zip(self.edges_, self.edges_[1:])):
            done = np.where(high > low, (X - low) / np.maximum(high - low, 1e-9), X >= high)
            parts.append(np.clip(done, None if k == 0 else 0, None if k == self.bins - 1 else 1))
        return np.concatenate(parts, axis=1).astype(np.float32)

# --- Networks that are trained, or asked, in another way -------------------------------------------------------------
class Around(ClassifierMixin, BaseEstimator):
    "The default pipeline, whose estimator a subclass trains in its own way; probabilities are averaged."
    def __init__(self, pipeline, cohort=None): self.pipeline, self.cohort = pipeline, cohort

    def network(self, **options): return clone(self.pipeline[-1]).set_params(**options)

    def fit(self, X, y):
        X, y = np.asarray(X, np.float32), np.asarray(y)
        self.scaling_, self.span_ = clone(self.pipeline[:-2]).fit(X, y), clone(self.pipeline[-2])
        scaled = self.scaling_.transform(X)
        self.classes_, Z = np.unique(y), self.span_.fit_transform(scaled)
        patients = patient_of(self.cohort) if self.cohort else {}
        self.networks_ = self.train(Z, y, scaled, [patients.get(x.tobytes()) for x in X])
        return self

    def train(self, Z, y, scaled, patients): return [self.network().fit(Z, y)]

    def ask(self, scaled):
        Z = self.span_.transform(scaled)
        return np.mean([n.predict_proba(Z) for n in self.networks_], axis=0)

    def predict_proba(self, X): return self.ask(self.scaling_.transform(np.asarray(X, np.float32)))

    def predict(self, X): return self.classes_[self.predict_proba(X).argmax(axis=1)]

class Bagged(Around):
    "Each network on patients drawn with replacement."
    def train(self, Z, y, scaled, patients):
        names, patient = np.unique(patients, return_inverse=True)
        found = []
        for k in range(MEMBERS):
            rng = np.random.default_rng(k)
            while True:
                weight = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[patient]
                if len(np.unique(y[weight > 0])) == len(self.classes_): break
            found.append(self.network(members=1, random_state=k).fit(Z, y, sample_weight=weight.astype(float)))
        return found

class WeightsAveraged(Around):
    "The mean of the weights after each of the last epochs (Izmailov et al. 2018)."
    def train(self, Z, y, scaled, patients):
        last = deque(maxlen=LAST)
        watching = keras_module().callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: last.append(watching.model.get_weights()))
        found = self.network(callbacks=[watching]).fit(Z, y)
        found.set_params(callbacks=None).model_.set_weights([np.mean(each, axis=0) for each in zip(*last)])
        return [found]

def adopted(estimator, model, task):
    "A classifier with the weights that a network has now."
    copy = keras_module().models.clone_model(model)
    copy.set_weights(model.get_weights())
    return clone(estimator).adopt(copy, task)

def training_of(settings):
    "Options of training from a dict that has others too."
    return CheckedOptions(**{k: v for k, v in settings.items() if k in TrainingOptions.__dataclass_fields__})

class Snapshots(Around):
    "One network, whose rate falls along a cosine four times; it is kept at the end of each (Huang et al. 2017)."
    def train(self, Z, y, scaled, patients):
        one = self.network(members=1).fit(Z, y)
        found, targets = [adopted(one, one.model_, one.task_)], one.task_.encode(y)
        for k in range(1, MEMBERS):
            fit_existing(one.model_, Z, targets, training_of(one.settings_), seed=k, task=one.task_)
            found.append(adopted(one, one.model_, one.task_))
        return found

def masked(scaled, share, seed):
    "Some genes of each sample at their mean."
    return np.where(np.random.default_rng(seed).random(scaled.shape) < share, 0, scaled).astype(np.float32)

class MaskedWhenAsked(Around):
    "Test-time augmentation: the mean over copies of the sample, a tenth of the genes of each at their mean."
    def ask(self, scaled): return np.mean([super(MaskedWhenAsked, self).ask(masked(scaled, .1, k))
                                           for k in range(COPIES)], axis=0)

class Pretrained(Around):
    "The hidden layer first learns to complete training samples, three tenths of whose genes are hidden."
    def train(self, Z, y, scaled, patients):
        settings, found = dense_settings(*Z.shape), []
        shown = np.concatenate([self.span_.transform(masked(scaled, .3, k)) for k in range(COPIES)])
        task, inputs = Classes().fit(y), {MATRIX: BlockSpec("matrix", Z.shape[1:])}
        for seed in range(MEMBERS):
            # as many steps as the training of the classifier
            first = CancerRegressor(epochs=settings["epochs"] // COPIES, warmup=1, members=1, random_state=seed,
                                    model_params=dict(input_dropout=0.0, dropout=0.0))
            first.fit(shown, np.tile(Z, (COPIES, 1)))
            with seeded_layers(seed): model, = (make() for make in builders("mlp", inputs, task.head,
                                                                           **settings["model_params"]))
            model.get_layer("hidden").set_weights(first.model_.get_layer("hidden").get_weights())
            fit_existing(model, Z, task.encode(y), training_of(settings), seed=seed, task=task)
            found.append(self.network().adopt(model, task))
        return found

class Mean(ClassifierMixin, BaseEstimator):
    "The mean of the probabilities of several pipelines."
    def __init__(self, pipelines): self.pipelines = pipelines

    def fit(self, X, y):
        self.weights_, self.classes_, self.networks_ = None, np.unique(y), [clone(p).fit(X, y) for p in self.pipelines]
        return self

    def predict_proba(self, X):
        return np.average([n.predict_proba(X) for n in self.networks_], axis=0, weights=self.weights_)

    def predict(self, X): return self.classes_[self.predict_proba(X).argmax(axis=1)]

class Stacked(Mean):
    "Two learners with the weight that had the lowest log loss in inner folds by patient."
    def __init__(self, pipelines, cohort): self.pipelines, self.cohort = pipelines, cohort

    def fit(self, X, y):
        super().fit(X, y)
        patients = [patient_of(self.cohort)[x.tobytes()] for x in np.asarray(X, np.float32)]
        said = np.zeros((2, len(y), len(self.classes_)))
        for train, test in StratifiedGroupKFold(3, shuffle=True, random_state=0).split(X, y, patients):
            for k, p in enumerate(self.pipelines):
                one = clone(p).fit(X[train], y[train])
                said[k][np.ix_(test, np.searchsorted(self.classes_, one.classes_))] = one.predict_proba(X[test])
        number, shares = np.searchsorted(self.classes_, y), np.linspace(0, 1, 21)
        cost = [log_loss(w * said[0] + (1 - w) * said[1], number).mean() for w in shares]
        best = shares[int(np.argmin(cost))]
        self.weights_ = (best, 1 - best)
        return self

# --- A loss that knows families of classes ---------------------------------------------------------------------------
class FamilyClasses(Classes):
    "Half of the loss is that of the family: COAD with READ, ESCA with STAD."
    def __init__(self, classes=None, families=()):
        super().__init__(classes)
        self.families = families

    def fit(self, y): return FamilyClasses(super().fit(y).classes, self.families)

    @property
    def key(self): return (*super().key, self.families)

    def objective(self, training):
        own, ops = super().objective(training), keras_module().ops
        belongs = np.equal.outer(self.families, np.unique(self.families)).astype("float32")
        number = np.unique(self.families, return_inverse=True)[1].astype("int32")
        def objective(y, logits, mask=None):
            loss, hit = own(y, logits, mask)
            p = ops.matmul(ops.softmax(logits), belongs)
            family = ops.take(number, ops.cast(y, "int32"))
            return 0.5 * loss - 0.5 * ops.log(ops.take_along_axis(p, family[:, None], axis=-1)[:, 0] + 1e-9), hit
        return objective

@dataclass(eq=False, repr=False)
class FamilyClassifier(CancerClassifier):
    "A classifier with the loss of `FamilyClasses`."
    families: tuple = field(default=(), kw_only=True)  # of each class, a number

    def _task(self): return FamilyClasses(families=self.families)

def hierarchical(data):
    "The default with that loss."
    names = [str(c) for c in np.unique(data.y)]
    families = tuple(names.index(FAMILIES.get(name, name)) for name in names)
    return edited(data, instead=FamilyClassifier(random_state=0, families=families))

# --- Rows ------------------------------------------------------------------------------------------------------------
def suited(data): return dense_settings(len(data.y) * 4 // 5, len(data.genes))

def silences(data): return bool(suited(data)["model_params"]["input_dropout"])

def smooths(data): return bool(suited(data)["label_smoothing"])

def spans(data): return len(data.y) * 4 // 5 < min(len(data.genes), MOST)

def filters(data): return any(isinstance(step, ExpressionFilter) for _, step in network(data).steps)

@dataclass
class Row:
    "A change of the default."
    name: str
    make: object  # (data, cohort) -> learner
    kind: str = "added"  # or "taken away", "1D-CNN"
    cohorts: tuple = AFFORDED  # on which it is measured
    changes: object = None  # (data) -> whether it is another learner than the default; None: always

def away(name, make, cohorts=COHORTS, changes=None): return Row(name, make, "taken away", cohorts, changes)

def option(**options): return lambda data, cohort: network(data, **options)

def scaled_by(step): return lambda data, cohort: edited(data, first=step)

def resource(name): return str(data_dir("resources") / name)

def along(method, options, **network_options):
    "The 1D-CNN on genes in an order that their names give."
    return lambda data, cohort: ordered_cnn(data, GeneOrder(method, genes=list(map(str, data.genes)), **options()),
                                            **network_options)

@cache
def pathway_network():
    "Pairs of genes by the number of pathways that both are in."
    pairs = Counter(pair for genes in read_gmt(resource("hallmark_v7.0.gmt")).values()
                    for pair in combinations(sorted(set(genes)), 2))
    return pd.DataFrame([(a, b, n) for (a, b), n in pairs.items()], columns=["a", "b", "weight"])

NOT_MIRNA = COHORTS[:-1]
ROWS = [
    away(DEFAULT, option()),
    away("one member in place of four", option(members=1)),
    away("constant rate, no warm-up", option(schedule="constant", warmup=0)),
    away("no input dropout", option(model_params=dict(input_dropout=0.0)), changes=silences),
    away("no label smoothing", option(label_smoothing=0.0), changes=smooths),
    away("no weight decay", option(weight_decay=0.0), NOT_MIRNA),
    away("no clipping of z-scores", lambda data, cohort: unclipped(data), NOT_MIRNA),
    Row("linear path beside the hidden layer", option(model="wide_deep")),
    Row("bagging by patient", lambda data, cohort: Bagged(network(data), cohort)),
    Row("samples by rank", scaled_by(SampleScaler(ranks=True))),
    Row("samples quantile-normalised", scaled_by(QuantileScaler())),
    Row("samples with mean 0 and s.d. 1", scaled_by(SampleScaler())),
    Row("samples at one total (log-CPM)", scaled_by(LogCPM(base=2)), cohorts=("brca_divergence", MIRNA)),
    Row("piecewise-linear embeddings, 4 bins", scaled_by(PiecewiseLinear())),
    Row("class_weight=\"balanced\"", option(class_weight="balanced")),
    Row("focal loss", option(loss="focal")),
    Row("mean of weights, last 10 epochs", lambda data, cohort: WeightsAveraged(network(data))),
    Row("test-time augmentation", lambda data, cohort: MaskedWhenAsked(network(data))),
    Row("snapshots in place of members", lambda data, cohort: Snapshots(network(data))),
    Row("1D-CNN", option(model="cnn1d"), "1D-CNN"),
    Row("1D-CNN, four members", option(model="cnn1d", members=MEMBERS), "1D-CNN"),
    Row("1D-CNN, four members, each with its own random gene order", lambda data, cohort: Mean(
        [ordered_cnn(data, GeneOrder("random", seed=k), random_state=k) for k in range(MEMBERS)]), "1D-CNN"),
    Row("1D-CNN, genes by chromosome", along("chromosomal", lambda: dict(
        positions=resource("gene_positions_hg38.csv.gz"))), "1D-CNN", SYMBOLS),
    Row("1D-CNN, genes by network (STRING)", along("network", lambda: dict(network=resource("ppi_string.parquet"))),
        "1D-CNN", SYMBOLS),
    Row("1D-CNN, four members, genes by network (STRING)", along("network", lambda: dict(
        network=resource("ppi_string.parquet")), members=MEMBERS), "1D-CNN", SYMBOLS),
    Row("1D-CNN, genes by pathway (MSigDB hallmark)", along("network", lambda: dict(network=pathway_network())),
        "1D-CNN", SYMBOLS),
    Row("masked-gene pretraining", lambda data, cohort: Pretrained(network(data))),
    Row("hierarchical loss: COAD with READ, ESCA with STAD", lambda data, cohort: hierarchical(data),
        cohorts=(MIRNA,)),
    Row("stacked with logistic regression", lambda data, cohort: Stacked(
        [network(data), make_pipeline(ZScaler(clip=CLIP), LogisticRegression(C=0.01, max_iter=300))], cohort),
        cohorts=("sorlie", "nci60", "breast_nki")),
    away("genes in place of directions (no SampleSpan)", lambda data, cohort: edited(data, SampleSpan),
         ("sorlie", "khan", "breast_nki"), spans),
    away("no filter of genes", lambda data, cohort: edited(data, ExpressionFilter), NOT_MIRNA, filters),
    away("no dropout of hidden units", option(model_params=dict(dropout=0.0)), AFFORDED),
    Row("mean of weights, last 10 epochs, constant rate",
        lambda data, cohort: WeightsAveraged(network(data, schedule="constant"))),
    Row("eight members", option(members=8)),
    Row("input dropout in small cohorts too", option(model_params=dict(input_dropout=0.2)),
        changes=lambda data: not silences(data)),
    Row("label smoothing in small cohorts too", option(label_smoothing=0.05), changes=lambda data: not smooths(data)),
]
LATER = ("brca_divergence", LARGER)  # additions are measured on them after all else

def jobs(rows, cohorts):
    "Row and cohort, what matters most first."
    def wanted(row, cohort): return cohort in row.cohorts and (row.changes is None or row.changes(read(cohort)))
    found = [(row, cohort) for row in rows for cohort in cohorts if wanted(row, cohort)]
    return sorted(found, key=lambda job: LATER.index(job[1]) + 1 if job[0].kind == "added" and job[1] in LATER else 0)

# --- Measuring -------------------------------------------------------------------------------------------------------
FITS: list = []  # processor seconds and parameters of each fit, in the order they were made

def parameters(fitted) -> int:
    "Numbers that were trained, in all networks of a learner."
    if isinstance(fitted, Pipeline): return parameters(fitted[-1])
    if hasattr(fitted, "networks_"): return sum(map(parameters, fitted.networks_))
    if hasattr(fitted, "model_"): return fitted.model_.count_params()
    return fitted.coef_.size + fitted.intercept_.size

class Counted(ClassifierMixin, BaseEstimator):
    "A learner whose fits are timed."
    def __init__(self, learner): self.learner = learner

    def fit(self, X, y):
        started = time.process_time()
        self.fitted_ = clone(self.learner).fit(X, y)
        FITS.append((time.process_time() - started, parameters(self.fitted_)))
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X): return self.fitted_.predict_proba(X)

    def predict(self, X): return self.fitted_.predict(X)

def measured(row, cohort, folder, minutes, begun):
    "Cross-validation, processor seconds a fit and parameters; None where time is over."
    kept = folder / cohort / "fits.json"
    facts = json.loads(kept.read_text()) if kept.is_file() else {}
    if row.name not in facts and minutes is not None and time.perf_counter() - begun > 60 * minutes: return None
    data = read(cohort)
    kept.parent.mkdir(parents=True, exist_ok=True)
    FITS.clear()
    result = kept_result(row.name, Counted(row.make(data, cohort)), data, plan(data), kept.parent)
    if FITS:
        facts[row.name] = dict(seconds=float(np.mean([s for s, _ in FITS])), parameters=int(FITS[0][1]))
        with atomic_path(kept) as path: path.write_text(json.dumps(facts, indent=1))
    print(f"  {row.name}, {cohort}: {result.repeat_accuracy.mean():.4f}, {facts[row.name]['seconds']:.1f} s a fit",
          file=sys.stderr, flush=True)
    return result, facts[row.name]

def run(rows, cohorts, folder, minutes):
    "Results, with their seconds and scores, by row and cohort."
    keras_module()
    found, begun = {row.name: {} for row in rows}, time.perf_counter()
    for row, cohort in jobs(rows, cohorts):
        result = measured(row, cohort, folder, minutes, begun)
        if result: found[row.name][cohort] = (*result, scores(result[0]))
    return {name: by_cohort for name, by_cohort in found.items() if by_cohort}

# --- Tables ----------------------------------------------------------------------------------------------------------
def scores(result):
    "Accuracy, macro F1, log loss, and log loss after temperature scaling, of one cross-validation."
    f1 = np.mean([f1_score(result.y, called, average="macro") for called in result.predicted])
    return np.array([result.repeat_accuracy.mean(), f1, log_loss(result.probability, result.y).mean(),
                     log_loss(calibrated(result).probability, result.y).mean()])

def number(value, digits):
    "A difference with its sign; no minus before a zero."
    return f"{round(value, digits) + 0.0:+.{digits}f}"

@dataclass
class Compared:
    "A row against another one, on the cohorts that have both."
    cohorts: list
    own: np.ndarray  # scores, (n_cohorts, 4)
    difference: np.ndarray  # of the scores, (n_cohorts, 4)
    verdicts: list  # "win", "tie" or "loss" of each cohort, by the corrected interval of its folds
    seconds: float  # of a fit, as a multiple; geometric mean over cohorts

    def interval(self, k):
        "95 % over cohorts, by Student's t; None of fewer than three."
        d = self.difference[:, k]
        if len(d) < 3: return None
        half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
        return d.mean() - half, d.mean() + half

    def p(self, k):
        "Of no difference over cohorts."
        d = self.difference[:, k]
        return float(stats.ttest_1samp(d, 0).pvalue) if d.std() > 0 else 1.0

    def count(self): return " / ".join(str(self.verdicts.count(kind)) for kind in ("win", "tie", "loss"))

def compared(found, name, other):
    "`Compared`, or None if no cohort has both."
    both = [c for c in found.get(name, {}) if c in found.get(other, {})]
    if not both: return None
    own = np.array([found[name][c][2] for c in both])
    verdicts = []
    for c in both:
        low, high = compare_folds(found[name][c][0], found[other][c][0])["interval"]
        verdicts.append("win" if low > 0 else "loss" if high < 0 else "tie")
    times = [found[name][c][1]["seconds"] / found[other][c][1]["seconds"] for c in both]
    return Compared(both, own, own - [found[other][c][2] for c in both], verdicts,
                    float(np.exp(np.mean(np.log(times)))))

def shown(c, k, digits):
    "A mean difference with its interval."
    ends = c.interval(k)
    return number(c.difference[:, k].mean(), digits) + (f" ({' to '.join(number(e, digits) for e in ends)})" if ends
                                                        else "")

HEAD = ("| row | cohorts | accuracy | macro F1 | log loss | accuracy, minus default's | macro F1, minus default's "
        "| log loss, minus default's | the same after a temperature | wins / ties / losses | seconds, times default's "
        "| parameters |", "|---|---|---|---|---|---|---|---|---|---|---|---|")

def line(found, name, other):
    "A row of the table."
    c = compared(found, name, other)
    accuracy, f1, loss, _ = c.own.mean(axis=0)
    size = f"{found[name][COUNTED][1]['parameters']:,}" if COUNTED in found[name] else ""
    own = f"| {name} | {len(c.cohorts)} | {accuracy:.4f} | {f1:.3f} | {loss:.3f} |"
    if name == other: return f"{own} | | | | | 1.00 | {size} |"
    differences = " | ".join(shown(c, k, 4 if k == 0 else 3) for k in range(4))
    return f"{own} {differences} | {c.count()} | {c.seconds:.2f} | {size} |"

def matrix(found, kinds, k, digits):
    "Differences to the default, rows by cohorts."
    cohorts = [c for c in COHORTS if c in found[DEFAULT]]
    lines = ["| row | " + " | ".join(cohorts) + " |", "|---|" + "---|" * len(cohorts)]
    base = {c: found[DEFAULT][c][2][k] for c in cohorts}
    lines.append(f"| {DEFAULT}, itself | " + " | ".join(f"{base[c]:.{digits}f}" for c in cohorts) + " |")
    for name in (n for n in kinds if n != DEFAULT and n in found):
        cells = [number(found[name][c][2][k] - base[c], digits) if c in found[name] else "" for c in cohorts]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines

ORDERS = [("1D-CNN, four members", "1D-CNN"),
          *((f"1D-CNN, genes by {order}", "1D-CNN")
            for order in ("chromosome", "network (STRING)", "pathway (MSigDB hallmark)")),
          ("1D-CNN, four members, genes by network (STRING)", "1D-CNN, four members"),
          ("1D-CNN, four members, each with its own random gene order", "1D-CNN, four members")]

# --- Reading ---------------------------------------------------------------------------------------------------------
MEASURES = {"accuracy": (0, 1, 4), "log loss": (2, -1, 3),  # column of `scores`, sign of better, digits
            "log loss after a temperature": (3, -1, 3)}

def names_with(rows, k, digits): return "; ".join(f"{name}, {shown(c, k, digits)}" for name, c in rows)

def apart(tested, k, sign):
    "Rows whose interval over cohorts excludes zero: those better and those worse than the default."
    better = [(n, c) for n, c in tested if min(sign * e for e in c.interval(k)) > 0]
    worse = [(n, c) for n, c in tested if max(sign * e for e in c.interval(k)) < 0]
    return better, worse

def reading(found, rows):
    "What the tables say, sentence by sentence."
    every = [(r, compared(found, r.name, DEFAULT)) for r in rows if r.name != DEFAULT and r.name in found]
    lines = []
    for measure, (k, sign, digits) in MEASURES.items():
        for kind, said in (("taken away", "part that was taken away"), ("added", "addition"), ("1D-CNN", "1D-CNN")):
            tested = [(r.name, c) for r, c in every if r.kind == kind and c.interval(k)]
            better, worse = apart(tested, k, sign)
            text = f"- **{measure.capitalize()}, {kind}** ({len(tested)} rows on three cohorts or more). "
            if better: text += f"Better than the default by the interval over cohorts: {names_with(better, k, digits)}."
            else: text += f"No {said} makes it better by the interval over cohorts."
            text += (f" Worse: {names_with(worse, k, digits)}." if worse else " None makes it worse.")
            lines.append(text)
    few = [(r.name, c) for r, c in every if not c.interval(0)]
    if few:
        said = "; ".join(f"{n} ({', '.join(c.cohorts)}), accuracy {shown(c, 0, 4)}, log loss {shown(c, 2, 3)}"
                         for n, c in few)
        lines.append(f"- On one or two cohorts, so without an interval over them: {said}.")
    tested = [(r.name, c) for r, c in every if c.interval(0)]
    for measure, (k, _, _) in MEASURES.items():
        p = holm([c.p(k) for _, c in tested])
        kept = [n for (n, _), value in zip(tested, p) if value < 0.05]
        lines.append(f"- After Holm's correction for {len(tested)} rows, {measure} differs from the default's in: "
                     f"{'; '.join(kept) or 'none'}.")
    for kind, word in (("win", "better"), ("loss", "worse")):
        where = [f"{r.name} ({', '.join(n for n, v in zip(c.cohorts, c.verdicts) if v == kind)})"
                 for r, c in every if kind in c.verdicts]
        lines.append(f"- Accuracy {word} than the default's on a single cohort, by its corrected interval: "
                     f"{'; '.join(where) or 'none'}.")
    n = sum(len(c.cohorts) for _, c in every)
    lines.append("- Where nothing differs, one interval in twenty excludes zero by chance: of "
                 f"{len(tested)} intervals over cohorts about {len(tested) / 20:.1f} for each measure. The {n} "
                 "comparisons on single cohorts use intervals that are never surer than the patients are, so that "
                 "fewer do.")
    return lines

ABOUT = """Written by `python bench/ablation.py --write`, on processors of a shared machine with one thread. The same
folds by patient for all rows, {folds}. Cohorts: {cohorts}. Of `tcga_mirna` 2,000 samples by patient are used, drawn at
random. A row is measured where it is another learner than the default, and only as far as time allowed: parts taken
away on more cohorts than additions, and the larger cohorts last. So compare a row with the default by its differences,
which are on the same cohorts, and not by the means. Intervals are 95 % by Student's t over cohorts, where there are
three or more. Wins, ties and losses are those of the row, by the corrected paired interval of each cohort. Seconds are
processor seconds of a fit in the same run, compiling among them, on a machine that others used too: differences
below a third say nothing. Parameters are those on `{counted}`. A temperature is learned on the other half of the
patients, as in bench/cohorts.py; bundles have one. Of fewer than 100 samples it is learned from so few that a single
error moves it, so that column and matrix are rough there."""

NOTES = {
    "no label smoothing": "Label smoothing and input dropout are parts of the default in larger cohorts only, so their "
                          "rows are short.",
    "hierarchical": "The hierarchical loss has only one cohort with the classes that it is for.",
    "stacked": "Stacking gives one weight to the network and one to a logistic regression with a fixed penalty "
               "(C = 0.01), learned in three inner folds.",
    "test-time": "Test-time augmentation hides a tenth of the genes at random. Other noise may do other things.",
    "masked-gene": "Pretraining hides three tenths of the genes, and sees the training samples only.",
    "log-CPM": "Log-CPM is for counts, and no cohort here has any: the row brings values that were normalised before "
               "(reads per million, TPM of a panel of genes) to one total.",
    "by pathway": "Genes by network or pathway are an order for the same 1D-CNN, from the edges between them (STRING; "
                  "pairs of genes by the number of hallmark sets that both are in). A layer that knows the groups "
                  "would be another network.",
    DEFAULT: "Nothing was tuned in an added row: each stands as a first guess."}

def not_reached(found, rows, cohorts):
    "What the script has and time did not reach."
    late, todo = {}, [(r.name, c) for r, c in jobs(rows, cohorts) if c not in found.get(r.name, {})]
    for name in dict.fromkeys(n for n, _ in todo):
        where = ", ".join(c for n, c in todo if n == name) if name in found else ""
        late.setdefault(where, []).append(name)
    if not late: return "- Every row was measured on all cohorts that the script has for it."
    said = [f"{f'on {where}' if where else 'anywhere'}: {'; '.join(names)}" for where, names in late.items()]
    return "\n".join(f"- Not measured {text}." for text in said)

def text_of(found, rows):
    "The page."
    used = [c for c in COHORTS if c in found[DEFAULT]]
    twice = [c for c in used if plan(read(c))["n_repeats"] == 2]
    folds = f"2 x 5 on {', '.join(twice)} and 1 x 5 on the others" if twice else "1 x 5"
    lines = ["# The default network, part by part", "",
             " ".join(ABOUT.split()).format(folds=folds, counted=COUNTED,
                                            cohorts=", ".join(f"{c} ({len(read(c).y):,})" for c in used))]
    for kind in ("taken away", "added"):
        names = [r.name for r in rows if r.kind == kind and r.name != DEFAULT and r.name in found]
        if names:
            lines += ["", f"## What was {kind}", "", *HEAD,
                      line(found, DEFAULT, DEFAULT), *(line(found, n, DEFAULT) for n in names)]
    cnn = [r.name for r in rows if r.kind == "1D-CNN" and r.name in found]
    if cnn:
        lines += ["", "## Gene orders of the 1D-CNN", "", *HEAD,
                  *(line(found, n, DEFAULT) for n in cnn), "",
                  "What an order is worth is seen against the same network:", ""]
        for n, other in ORDERS:
            if n in found and other in found:
                c = compared(found, n, other)
                lines.append(f"- {n}, minus {other}, on {', '.join(c.cohorts)}: accuracy {shown(c, 0, 4)}, log loss "
                             f"{shown(c, 2, 3)}, wins / ties / losses {c.count()}.")
    names = [r.name for r in rows]
    lines += ["", "## Accuracy, row minus default", "", *matrix(found, names, 0, 4),
              "", "## Log loss, row minus default", "", "Below zero the row is better.", "",
              *matrix(found, names, 2, 3), "", "## Log loss after a temperature, row minus default", "",
              *matrix(found, names, 3, 3), "", "## Reading", "", *reading(found, rows),
              "", "## What is not in the table", "",
              *(f"- {note}" for word, note in NOTES.items() if any(word in name for name in found)),
              not_reached(found, rows, used), ""]
    return "\n".join(lines)

def chosen(words):
    "Rows and cohorts that were asked for; the default is always among them."
    cohorts = [c for c in COHORTS if c in words] or list(COHORTS)
    words = [w for w in words if w not in COHORTS]
    return [r for r in ROWS if not words or r.name == DEFAULT or any(w in r.name for w in words)], cohorts

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="cohorts, and words of rows")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "cancer_dl_ablation")
    parser.add_argument("--minutes", type=float, help="after so many, nothing more is begun")
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    rows, cohorts = chosen(a.only)
    check_there(cohorts)
    text = text_of(run(rows, cohorts, a.cache, a.minutes), rows)
    print(text)
    if a.write:
        with atomic_path(Path(__file__).with_suffix(".md")) as path: path.write_text(text, encoding="utf-8")

if __name__ == "__main__": main()
