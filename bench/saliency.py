"""Seconds for the guided gene effect of a whole cohort, against one epoch of plain `model.fit`, in one run.

    python bench/saliency.py               11,053 samples, 7,100 genes, 34 classes
    python bench/saliency.py --write       also write the table to bench/saliency.md
    python bench/saliency.py --samples 2000 --genes 710     a smaller one

Both run in turn in one process, `--rounds` times, so that a machine whose speed drifts treats them alike; medians are
given.
"""
import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
CLASSES, BATCH = 34, 128

def seconds(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started

def measure(samples, genes, rounds):
    import numpy as np
    from cancer_dl.core import keras_module
    from cancer_dl.interpret.saliency import attribute, gene_effect
    from cancer_dl.models.zoo import build_model
    keras = keras_module()
    rng = np.random.default_rng(0)
    X, y = (rng.random((samples, genes), dtype=np.float32) * np.float32(8),
            rng.integers(0, CLASSES, samples).astype("int32"))
    plain = keras.Sequential([keras.Input((genes, 1)), keras.layers.Conv1D(32, 71, strides=71, activation="relu"),
                              keras.layers.MaxPooling1D(2),
                              keras.layers.Flatten(), keras.layers.Dense(128, activation="relu"),
                              keras.layers.Dense(CLASSES, activation="softmax")])
    plain.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model, scores = build_model("cnn1d", genes, CLASSES), {}
    train = samples * 4 // 5
    rows = {
        f"plain keras.Model.fit, one epoch, {samples:,} samples": lambda: plain.fit(X[:, :, None], y, batch_size=BATCH,
                                                                                    epochs=1, verbose=0),
        f"plain keras.Model.fit, one epoch, {train:,} samples (a fold)": lambda:
        plain.fit(X[:train, :, None], y[:train], batch_size=BATCH, epochs=1, verbose=0),
        "gene effect, guided": lambda: gene_effect(model, X, y),
        "gene effect, gradient": lambda: gene_effect(model, X, y, method="gradient"),
        "all scores kept (`attribute`), guided": lambda: scores.update(last=attribute(model, X, y)),
    }
    first = {name: seconds(run) for name, run in rows.items()}
    found = {name: [] for name in rows}
    for _ in range(rounds):
        for name, run in rows.items(): found[name].append(seconds(run))
    return first, found

def machine():
    name = platform.processor() or platform.machine()
    try: name = next(l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))
    except (OSError, StopIteration): pass
    return f"{name}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=11_053)
    parser.add_argument("--genes", type=int, default=7_100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write bench/saliency.md")
    a = parser.parse_args()
    first, found = measure(a.samples, a.genes, a.rounds)
    from cancer_dl.core import backend_name
    medians = {name: statistics.median(values) for name, values in found.items()}
    epoch, guided = next(iter(medians.values())), medians["gene effect, guided"]
    lines = [f"Measured with `python bench/saliency.py` on {machine()}, {backend_name()} backend, {a.rounds} rounds.",
             "", f"| {a.samples:,} x {a.genes:,}, {CLASSES} classes | seconds (median) | min to max | times a plain "
             "epoch | first call, with compilation |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {medians[name]:.3f} | {min(v):.3f} to {max(v):.3f} "
              f"| {medians[name] / epoch:.2f} | {first[name]:.2f} |" for name, v in found.items()]
    lines += ["", f"The guided gene effect of all samples takes **{guided / epoch:.2f}** times as long as one epoch of "
              "plain `model.fit` on the same samples."]
    print("\n".join(lines))
    if a.write:
        Path(__file__).with_suffix(".md").write_text("# Saliency\n\n" + "\n".join(lines) + "\n", encoding="utf-8")

if __name__ == "__main__": main()
