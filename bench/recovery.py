"""Which scores find the true markers of a full-size simulated cohort: every attribution method on two networks, and
plain methods.

python bench/recovery.py --write        writes bench/recovery.md and bench/recovery.csv (11,053 samples, 7,100 genes, 34
                                        classes)
"""
import argparse
import csv
import importlib.util
import re
import time
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline

from cancer_dl.data.samples import labels_of, patients_of
from cancer_dl.data.preprocess import ExpressionFilter, PCAReducer, ZScaler
from cancer_dl.data.simulate import simulate_cohort, truth_of
from cancer_dl.data.split import holdout
from cancer_dl.interpret.recovery import compare, mean_interval, plain_scores, recovery, truth_matrix
from cancer_dl.interpret.saliency import METHODS, attribute, gene_effect_of_scores, linear_head
from cancer_dl.train.estimator import CancerClassifier

OPTIONS = {"integrated": dict(steps=10), "smoothgrad": dict(draws=5), "expected": dict(draws=16),
           "shap": dict(draws=20)}
RECOMMENDED, KINDS = "components: expected, net", ("additive", "combination")
# which networks are explained; options of CancerClassifier
SILENCED = dict(input_dropout=0.3, dropout=0)
NETWORKS = {"genes": {"model": "cnn1d"}, "components": {"model": "mlp", "model_params": SILENCED},
            "components, 1D-CNN": {"model": "cnn1d"}}
ON_COMPONENTS = {"mlp": {"model": "mlp", "model_params": SILENCED},
                 "mlp without input dropout": {"model": "mlp", "model_params": {"input_dropout": 0, "dropout": 0}},
                 "cnn1d": {"model": "cnn1d"}}
# the two best methods: all that is measured of further seeds, and of a further network
BEST = ["gradient_x_input", "expected"]

def said(text, began): print(f"{time.time() - began:6.0f} s  {text}", flush=True)

def some_of_each(y, most, seed=0):
    "Row numbers of at most `most` samples of each class."
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(y == k))[:most] for k in range(y.max() + 1)]))

def methods():
    "The attribution methods that can run here."
    return [name for name in METHODS if name != "shap" or importlib.util.find_spec("shap")]

def effects(network, X, y, most, knocked, names, parts, seed):
    "Gene effect by every method and part."
    found = {}
    for name in names:
        rows = some_of_each(y, knocked if name == "knockout" else most, seed)
        options = OPTIONS.get(name, {}) | (dict(background=X[some_of_each(y, 30, seed)]) if name == "shap" else {})
        scores = attribute(network, X[rows], y[rows], name, seed=seed, **options)
        for part in parts: found[f"{name}, {part}"] = gene_effect_of_scores(scores, y[rows], y.max() + 1, part)
    return found

def networks(X, y, held_out, components, seed, names):
    "(name, network on genes, accuracy on held-out patients) of networks on genes and on principal components."
    train, (steps, Z) = np.setdiff1d(np.arange(len(X)), held_out), components
    for name in names:
        inputs = X if name == "genes" else Z
        fitted = CancerClassifier(**(NETWORKS | ON_COMPONENTS)[name], random_state=seed).fit(inputs[train], y[train])
        network = fitted.model_ if name == "genes" else linear_head(steps, fitted.model_, X.shape[1])
        yield name, network, fitted.score(inputs[held_out], y[held_out])

def cohort_of(a):
    return simulate_cohort(a.samples, a.genes, seed=a.cohort_seed, difficulty=a.difficulty,
                           **({"n_classes": a.classes} if a.classes else {}))

def load(a, cohort=None):
    "z-scores, class numbers, class names, truths, and the rows of held-out patients."
    cohort = cohort_of(a) if cohort is None else cohort
    keep, label = labels_of(cohort, "cancer_type", normal_class=True)
    cohort = cohort[keep]
    classes, y = np.unique(label, return_inverse=True)
    truths = {kind: (lambda t: truth_matrix(t["class"], t.gene, classes,
                                            cohort.var_names))(truth_of(cohort, "cancer_type", kind)) for kind in KINDS}
    return (ZScaler().fit_transform(np.asarray(cohort.X, np.float32)), y, classes, truths,
            holdout(y, patients_of(cohort), sizes=(.8, .2), seed=0)[1])

def measure(a):
    "(marks, accuracies)."
    began = time.time()
    X, y, classes, truths, held_out = load(a)
    train = np.setdiff1d(np.arange(len(X)), held_out)
    said("cohort", began)
    scores = plain_scores(X[train], y[train], len(classes), a.plain, trees=a.trees)
    said("plain methods", began)
    steps = make_pipeline(PCAReducer(a.components), ZScaler()).fit(X[train])
    components, accuracy, sums = (steps, steps.transform(X)), {}, {}
    said("components", began)
    for seed in range(a.seeds):
        for name, network, right in networks(X, y, held_out, components, seed, ("components",) if seed else NETWORKS):
            accuracy.setdefault(name, []).append(right)
            names = BEST if seed or name not in ("genes", "components") else methods()
            for method, effect in effects(network, X[train], y[train], a.most, a.knocked, names, a.parts, seed).items():
                sums.setdefault(f"{name}: {method}", []).append(effect)
            said(f"network on {name}, seed {seed}, accuracy {right:.3f}", began)
    scores |= {name: found[0] for name, found in sums.items()}
    scores |= {f"{name}, mean of {len(found)} networks": np.mean(found, axis=0) for name, found in sums.items()
               if len(found) > 1}
    scores["chance"] = np.random.default_rng(0).random(truths["additive"].shape)
    again = [recovery({"x": effect}, truths) for effect in sums[RECOMMENDED]]
    seeds = {RECOMMENDED: {kind: [of(marks, "x", kind).mean() for marks in again] for kind in KINDS}}
    return recovery(scores, truths, classes), accuracy, seeds

def of(marks, method, kind, column="average_precision"):
    return marks[column][(marks["method"] == method) & (marks["kind"] == kind)]

def report(marks, accuracy, seeds, a):
    "The lines of bench/recovery.md."
    order = sorted(dict.fromkeys(marks["method"]), key=lambda m: -of(marks, m, "combination").mean())
    base = {kind: of(marks, order[0], kind, "base_rate").mean() for kind in KINDS}
    lines = (
        [f"{a.samples:,} samples, {a.genes:,} genes, seed {a.cohort_seed}, difficulty {a.difficulty:g}; everything is "
         "learned on 80 % of the patients. Mean average precision over classes, 95 % bootstrap interval over classes.",
         f"Base rate (share of true markers): additive {base['additive']:.4f}, combination {base['combination']:.4f}.",
         "", "| scores | additive | combination | precision of the first k, combination |", "|---|---|---|---|"])
    for m in order:
        cells = ["{:.3f} ({:.3f} to {:.3f})".format(*mean_interval(of(marks, m, kind))) for kind in KINDS]
        lines.append(f"| {m} | {' | '.join(cells)} | {of(marks, m, 'combination', 'precision_at_k').mean():.3f} |")
    lines += ["", *(f"- Accuracy on held-out patients, network on {name}: {', '.join(f'{v:.3f}' for v in values)} "
                    f"({len(values)} seeds)." for name, values in accuracy.items())]
    for name, kinds in seeds.items():
        lines += [f"- `{name}` with each of the seeds, {kind}: {', '.join(f'{v:.3f}' for v in values)}."
                  for kind, values in kinds.items()]
    for kind in KINDS:
        c = compare(marks, RECOMMENDED, "t-test", kind)
        lines.append(f"- `{RECOMMENDED}` against the t-test, {kind}: "
                     f"difference {c['difference']:.3f} ({c['lower']:.3f} to {c['upper']:.3f}), "
                     f"better in {c['wins']} of {c['classes']} classes, p = {c['p']:.1e} (Wilcoxon, one-sided).")
    return lines

def sweep(a):
    "Lines of a table: recommended score and t-test on small cohorts of other difficulties and seeds."
    lines = ["", "## Other difficulties and seeds", "", "2,500 samples, 800 genes, 8 types; "
             "`python bench/recovery.py --sweep`. Mean average precision: recommended / t-test / base rate.", "",
             "| difficulty | seed | additive | combination |", "|---|---|---|---|"]
    for difficulty in (.5, 1, 2):
        for seed in range(3):
            small = argparse.Namespace(**vars(a) | dict(samples=2500, genes=800, classes=8, cohort_seed=seed,
                                                        difficulty=difficulty))
            X, y, classes, truths, held_out = load(small)
            train, steps = np.setdiff1d(np.arange(len(X)), held_out), make_pipeline(PCAReducer(60), ZScaler())
            fitted = CancerClassifier("mlp", random_state=seed).fit(steps.fit_transform(X[train]), y[train])
            scores = attribute(linear_head(steps, fitted.model_, X.shape[1]), X[train], y[train], "expected")
            marks = recovery(plain_scores(X[train], y[train], len(classes), ["t-test"]) | {
                RECOMMENDED: gene_effect_of_scores(scores, y[train], len(classes), "net")}, truths)
            cells = [f"{of(marks, RECOMMENDED, k).mean():.3f} / {of(marks, 't-test', k).mean():.3f} "
                     f"/ {of(marks, 't-test', k, 'base_rate').mean():.3f}" for k in KINDS]
            lines.append(f"| {difficulty:g} | {seed} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines

FILTERED = (0, 7)  # seeds of cohorts; the second had no part in the choice of the network

def filtered(a):
    """Lines of a table: what the paper's filter of genes, which `cancer_dl train` applies to large cohorts,
    does to networks on components."""
    lines = ["", "## With the paper's filter of genes", "", f"{a.samples:,} samples, {a.genes:,} genes; "
             f"`python bench/recovery.py --filter`. Expected gradients, net, of networks on {a.components} principal "
             "components of all genes, or of those with a mean of at least 0.5 and a standard deviation of at least "
             "0.8 in training. Mean over the seeds of the network, with the lowest and highest. Markers that the "
             "filter removes count as not found. Cohort 7 had no part in the choice of the perceptron and its sizes.",
             "", "| cohort | genes | network | accuracy on held-out patients | additive | combination |",
             "|---|---|---|---|---|---|"]
    for cohort_seed in FILTERED: lines += _filtered_rows(argparse.Namespace(**vars(a) | dict(cohort_seed=cohort_seed)))
    return lines

def _filtered_rows(a):
    "Rows of one cohort, mean over seeds of the network."
    cohort = cohort_of(a)
    X, y, classes, truths, held_out = load(a, cohort)
    train, lines = np.setdiff1d(np.arange(len(X)), held_out), []
    kept = ExpressionFilter().fit(np.asarray(cohort.X, np.float32)[train]).get_support()
    share = {kind: truth[:, kept].sum() / truth.sum() for kind, truth in truths.items()}
    for name, genes in {"all": np.ones(len(kept), bool),
                        f"{kept.sum():,}, with {share['additive']:.0%} of the additive markers "
                        f"and {share['combination']:.0%} of the others": kept}.items():
        Z = np.ascontiguousarray(X[:, genes])
        steps = make_pipeline(PCAReducer(a.components), ZScaler()).fit(Z[train])
        components, found = (steps, steps.transform(Z)), {}
        for seed in range(a.seeds):
            for network_name, network, right in networks(Z, y, held_out, components, seed, ON_COMPONENTS):
                effect = np.zeros((len(classes), len(kept)), np.float32)
                effect[:, genes] = effects(network, Z[train], y[train], a.most, a.knocked, ["expected"], ["net"],
                                           seed)["expected, net"]
                marks = recovery({"x": effect}, truths)
                found.setdefault(network_name, []).append([right, *(of(marks, "x", kind).mean() for kind in KINDS)])
        for network_name, values in found.items():
            lines.append(f"| {a.cohort_seed} | {name} | {network_name} | " + " | ".join(
                f"{m:.3f} ({low:.3f} to {high:.3f})"
                for m, low, high in zip(np.mean(values, 0), np.min(values, 0), np.max(values, 0))) + " |")
            print(lines[-1], flush=True)
    return lines

def together(a):
    """Lines of a table: the list of `together_only`, as `cancer_dl train --components` and `cancer_dl explain` make it,
    against the truth."""
    from cancer_dl.classify import train_classifier
    from cancer_dl.explain import explain_bundle
    lines = ["", "## The list of genes that act only together", "", f"{a.samples:,} samples, {a.genes:,} genes; "
             f"`python bench/recovery.py --together`. `train_classifier(components={a.components})` on 70 % of the "
             "patients, `explain_bundle` with three retrained networks on the whole cohort: `together.csv`. "
             "By lot: true ones in a list of that length, drawn at random.", "",
             "| cohort | genes | accuracy on held-out patients | genes listed | true combination markers among them | "
             "of | by lot | additive markers among them |", "|---|---|---|---|---|---|---|---|"]
    for seed in FILTERED:
        cohort = cohort_of(argparse.Namespace(**vars(a) | dict(cohort_seed=seed)))
        true = {kind: (lambda t: set(zip(t["class"], t["gene"])))(truth_of(cohort, "cancer_type", kind))
                for kind in KINDS}
        for name, filter_genes in (("filtered", True), ("all", False)):
            trained = train_classifier(cohort, normal_class=True, components=a.components,
                                       filter_genes=filter_genes, seed=0)
            found = explain_bundle(trained.bundle, cohort, n_runs=3, sanity=False)
            pairs = list(zip(found.together["class"], found.together["gene"]))
            hits = {kind: sum(pair in true[kind] for pair in pairs) for kind in KINDS}
            by_lot = len(pairs) * len(true["combination"]) / found.effect.size
            lines.append(f"| {seed} | {name}, {len(found.genes):,} | {trained.evaluation.metrics()['accuracy']:.3f} "
                         f"| {len(pairs)} | **{hits['combination']}** | {len(true['combination'])} "
                         f"| {by_lot:.1f} | {hits['additive']} |")
            print(lines[-1], flush=True)
    return lines

def put(title, lines):
    "Replace or add a section of bench/recovery.md."
    page = Path(__file__).with_suffix(".md")
    sections = re.split(r"\n(?=## )", page.read_text(encoding="utf-8").rstrip())
    kept = [s.rstrip() for s in sections if not s.startswith(f"## {title}")]
    page.write_text("\n\n".join([*kept, "\n".join(lines).strip()]) + "\n", encoding="utf-8")

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in dict(samples=11_053, genes=7_100, classes=0, cohort_seed=0, seeds=3, components=200, most=40,
                              knocked=1, trees=60).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--difficulty", type=float, default=1.0)
    parser.add_argument("--plain", nargs="*", default=["t-test", "random forest", "lasso"])
    parser.add_argument("--parts", nargs="*", default=["positive", "absolute", "net"])
    parser.add_argument("--write", action="store_true", help="write bench/recovery.md and bench/recovery.csv")
    parser.add_argument("--sweep", action="store_true", help="small cohorts of several difficulties and seeds instead; "
                        "with --write added to bench/recovery.md")
    parser.add_argument("--filter", action="store_true", help="networks on components with and without the paper's "
                        "filter of genes instead; with --write added to bench/recovery.md")
    parser.add_argument("--together", action="store_true", help="the list of genes that act only together, "
                        "against the truth, instead; with --write added to bench/recovery.md")
    a = parser.parse_args()
    if a.sweep:
        lines = sweep(a)
        if a.write: put("Other difficulties", lines)
        return
    if a.together:
        lines = together(a)
        if a.write: put("The list of genes", lines)
        return
    if a.filter:
        lines = filtered(a)
        if a.write: put("With the paper's filter", lines)
        return
    marks, *rest = measure(a)
    lines = report(marks, *rest, a)
    print("\n".join(lines))
    if not a.write: return
    here = Path(__file__)
    here.with_suffix(".md").write_text(
        "# Recovery of true markers\n\nMeasured with `python bench/recovery.py --write`.\n\n" + "\n".join(lines) + "\n",
        encoding="utf-8")
    with open(here.with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(marks)
        writer.writerows([*(v if isinstance(v, str) else f"{v:.5g}" for v in row)]
                         for row in zip(*(c.tolist() for c in marks.values())))

if __name__ == "__main__": main()
