"""Deep learning on cancer genomics, as a book that runs.

The way through the package, from a file to a result:

    cohort = read_cohort("my_cohort")                  # or simulate_cohort(); an AnnData, samples x genes
    print(cohort_report(cohort))                       # what is in it, and what is suspicious
    trained = train_classifier(cohort, label="er")     # divided by patient, trained, evaluated
    trained.evaluation.metrics()                       # accuracy and its interval
    save_bundle(trained.bundle, "model")               # network, preprocessing, genes, model card
    load_bundle("model").predict_cohort(new_cohort)    # genes are found by name
    explain_bundle(load_bundle("model"), cohort)       # which genes, and whether to believe it

`CancerClassifier` is a scikit-learn classifier; `cross_validate` measures any classifier by patient, and
`baselines` are the learners that belong beside every network. Names are loaded when they are first used, so
that `import cancer_dl` takes no time; `dir(cancer_dl)` lists them, and each chapter of the book is a module.
"""
__version__ = "0.1.0"

import importlib
import importlib.abc
import importlib.machinery
import sys

_HOME = {  # name: the chapter that it lives in
    "InputError": "core", "set_seed": "core",
    "read_cohort": "data.cohort", "write_cohort": "data.cohort",
    "describe_cohort": "data.checkup", "cohort_report": "data.checkup",
    "labels_of": "data.samples", "patients_of": "data.samples",
    "simulate_cohort": "data.simulate", "fetch_cohort": "data.sources",
    "holdout": "data.split", "repeated_group_kfold": "data.split",
    "model_table": "models.zoo", "register": "models.blocks",
    "CancerClassifier": "train.estimator", "CancerRegressor": "train.estimator", "SurvivalRegressor": "train.estimator",
    "MultitaskClassifier": "train.estimator", "TaskEstimator": "train.estimator",
    "FittedNetwork": "train.fitted", "as_fitted": "train.fitted", "register_task": "train.task", "join_blocks": "data.inputs",
    "cross_validate": "train.validate", "metric_intervals": "train.validate", "compare_folds": "train.validate",
    "baselines": "train.baselines",
    "load_bundle": "train.bundle", "save_bundle": "train.bundle",
    "train_outcome": "outcomes", "train_classifier": "classify", "evaluate_bundle": "classify", "labelled": "data.labels", "default_pipeline": "classify",
    "explain_bundle": "explain", "write_explanation": "explain_page",
    "compare_models": "benchmark",
    "run_recipe": "runs",
}
_OLD = {"plain_learners": "train.baselines"}  # older names: they still work, and no list holds them
__all__ = ["__version__", *_HOME]


def __getattr__(name):
    home = _HOME.get(name) or _OLD.get(name)
    if home is None: raise AttributeError(f"module 'cancer_dl' has no attribute '{name}'; dir(cancer_dl) lists what it has")
    value = getattr(importlib.import_module(f"cancer_dl.{home}"), name)
    if name in _HOME: globals()[name] = value
    return value


def __dir__(): return sorted(__all__)


class _Documented(importlib.abc.MetaPathFinder):
    "Finds the modules of this package as usual, and has their comments written into their docstrings (chapter 02)."
    def find_spec(self, name, path=None, target=None):
        if not name.startswith("cancer_dl.") or name in ("cancer_dl.cli", "cancer_dl.document", "cancer_dl._modidx"): return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader): spec.loader = _Loader(name, spec.origin)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        super().exec_module(module)
        from cancer_dl.document import document
        document(module)


if not any(type(finder).__name__ == "_Documented" for finder in sys.meta_path): sys.meta_path.insert(0, _Documented())
