"""Processor seconds an epoch of networks that read steps, beside the 1D-CNN and plain Keras, in one run.

    python bench/recurrent.py --write                    the table of seconds, into bench/recurrent.md
    python bench/recurrent.py --write BUNDLE BUNDLE …    the same, and accuracy of bundles trained on copy number by
        cancer_dl train tcga_cnv_bins --label cancer_type --model gru --units "log2 ratio" --judge holdout
                        --no-compare --out BUNDLE

Of the 8,842 samples of the 1D-CNN's paper only `--samples` are used; an epoch grows in proportion to them, so the
ratios hold for all. Processor seconds are given, because the machine may be shared: the median of all epochs but the
first, which compiles.
"""
import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

GENES, CLASSES, BATCH = 7_100, 33, 128
NETWORKS = ("cnn1d", "gru", "lstm", "cnn_rnn", "cnn_attention", "transformer")

def ours(name, X, y, epochs):
    "An epoch of the package's own loop."
    from cancer_dl.train.fit import CheckedOptions, fit_by_name
    marks = []
    import keras
    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None): marks.append(time.process_time())
    options = CheckedOptions(epochs=epochs + 1, batch_size=BATCH, patience=None)
    fit_by_name(name, X, y, CLASSES, training=options, seed=0, callbacks=[Clock()])
    return np.diff(marks).tolist()

def plain(name, X, y, epochs):
    "`model.fit` of Keras on the same network."
    from cancer_dl.models.zoo import build_model
    model, marks = build_model(name, GENES, CLASSES), []
    model.compile("adam", "sparse_categorical_crossentropy")
    for _ in range(epochs + 1):
        model.fit(X, y, batch_size=BATCH, epochs=1, verbose=0)
        marks.append(time.process_time())
    return np.diff(marks).tolist()

def seconds(n_samples, epochs):
    "Rows of the first table."
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_samples, GENES)).astype("float32"), rng.integers(0, CLASSES, n_samples)
    found = {name: statistics.median(ours(name, X, y, epochs)) for name in NETWORKS}
    found["gru, plain Keras fit"] = statistics.median(plain("gru", X, y, epochs))
    lines = ["| network | processor seconds an epoch | times the 1D-CNN |", "|---|---:|---:|"]
    for name, value in found.items():
        lines.append(f"| {name} | {value:.2f} | {value / found['cnn1d']:.1f} |")
    return lines

def accuracy(bundles):
    "Rows of the second table."
    lines = ["| network | samples | accuracy on unseen patients | 95 % interval | weights |",
             "|---|---:|---:|---|---:|"]
    for path in bundles:
        from cancer_dl.train.bundle import load_bundle
        bundle = load_bundle(path)
        m = json.loads((Path(path)/"bundle.json").read_text())["metrics"]
        lines.append(f"| {bundle.model.name} | {m['n']:,} | {m['accuracy']:.3f} | {m['accuracy_interval'][0]:.3f} to "
                     f"{m['accuracy_interval'][1]:.3f} | {bundle.model.count_params():,} |")
    return lines

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*")
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = ["# Networks that read steps", "",
            f"`python bench/recurrent.py`: {options.samples:,} samples x {GENES:,} genes in patches of 71, {CLASSES} "
            f"classes, batches of {BATCH}, TensorFlow; the size of the paper is 8,842 samples.", "",
            "## Seconds an epoch", "", *seconds(options.samples, options.epochs)]
    if options.bundles:
        text += ["", "## Copy number in genome order", "", "33 types of TCGA, bins of 5 Mb (`tcga_cnv_bins`), "
                 "trained by `cancer_dl train` with its defaults and judged on a fifth of the patients.", "",
                 *accuracy(options.bundles)]
    print("\n".join(text))
    if options.write: Path(__file__).with_suffix(".md").write_text("\n".join(text) + "\n")

if __name__ == "__main__": main()
