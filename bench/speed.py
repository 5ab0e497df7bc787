"""Seconds an epoch of the 1D-CNN at the size of Mostavi et al. 2020, ours against others, in one run.

    python bench/speed.py                  all rows, and the 6 x 5-fold cross-validation
    python bench/speed.py --quick          no cross-validation
    python bench/speed.py --write          also write the tables to bench/speed.md (bench/gpu.md where a GPU is used)

Every row is measured in a process of its own, because backends keep threads and memory. The rows run in turn,
`--rounds` times, so that a machine whose speed drifts treats them alike; the median of all epochs is given.
"""
import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SAMPLES, GENES, CLASSES, BATCH = 8_842, 7_100, 34, 128  # 80 % of 11,053 samples
FULL = 11_053

def data():
    import numpy as np
    rng = np.random.default_rng(0)
    X = rng.random((SAMPLES, GENES), dtype=np.float32)
    X *= 8
    return X, rng.integers(0, CLASSES, SAMPLES).astype("int32")

def floor(epochs):
    "The matrix products that an epoch cannot do without, in numpy."
    import numpy as np
    X, _ = data()
    rng = np.random.default_rng(1)
    W1, W2, W3 = (rng.random(shape, dtype=np.float32) for shape in ((71, 32), (1600, 128), (128, CLASSES)))
    def epoch():
        for start in range(0, SAMPLES, BATCH):
            x = X[start:start + BATCH].reshape(-1, 71)
            n = len(x) // 100
            h = x @ W1
            f = np.ascontiguousarray(h.reshape(n, -1)[:, :1600])
            d = f @ W2
            z = d @ W3
            d.T @ z; back = z @ W3.T
            f.T @ back; back = back @ W2.T
            x.T @ np.resize(back, h.shape)
    return timed(epoch, epochs)

def timed(epoch, epochs):
    epoch()
    out = []
    for _ in range(epochs):
        started = time.perf_counter()
        epoch()
        out.append(time.perf_counter() - started)
    return out

def plain_fit(epochs):
    "What most people write: Conv1D, compile, fit."
    import keras
    X, y = data()
    model = keras.Sequential([keras.Input((GENES, 1)), keras.layers.Conv1D(32, 71, strides=71, activation="relu"),
                              keras.layers.MaxPooling1D(2),
                              keras.layers.Flatten(), keras.layers.Dense(128, activation="relu"),
                              keras.layers.Dense(CLASSES, activation="softmax")])
    assert model.count_params() == 211_618
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    X = X[:, :, None]
    return timed(lambda: model.fit(X, y, batch_size=BATCH, epochs=1, verbose=0), epochs)

def plain_fit_same_network(epochs):
    "`model.fit` on our own network, so that only the loop differs."
    from cancer_dl.models.zoo import build_model
    X, y = data()
    model = build_model("cnn1d", GENES, CLASSES)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return timed(lambda: model.fit(X, y, batch_size=BATCH, epochs=1, verbose=0), epochs)

def ours(epochs, **options):
    from cancer_dl.train.fit import CheckedOptions, fit_by_name
    X, y = data()
    training = CheckedOptions(epochs=epochs + 1, patience=None, **options)
    return fit_by_name("cnn1d", X, y, CLASSES, training=training, seed=0)[1].seconds[1:]

def streamed(epochs): return ours(epochs, data="stream")

def half(epochs): return ours(epochs, precision="bfloat16")

def mlp(epochs):
    "scikit-learn's network with one hidden layer of 128: 4 times as many parameters, no convolution."
    import numpy as np
    from sklearn.neural_network import MLPClassifier
    X, y = data()
    model = MLPClassifier((128,), batch_size=BATCH, random_state=0)
    return timed(lambda: model.partial_fit(X, y, classes=np.arange(CLASSES)), epochs)

def sgd(epochs):
    "scikit-learn's linear model by stochastic gradient: one pass over the samples for each of 34 classes."
    import numpy as np
    from sklearn.linear_model import SGDClassifier
    X, y = data()
    model = SGDClassifier(loss="log_loss", random_state=0, n_jobs=-1)
    return timed(lambda: model.partial_fit(X, y, classes=np.arange(CLASSES)), epochs)

def peak_memory(_):
    "Peak memory of a fit above what the backend needs for itself, over the size of the matrix."
    import numpy as np
    from cancer_dl.train.fit import CheckedOptions, fit_by_name
    few = CheckedOptions(epochs=2, patience=None)
    small = np.zeros((200, GENES), np.float32)
    fit_by_name("cnn1d", small, np.arange(200) % CLASSES, CLASSES, training=few, seed=0)
    with open("/proc/self/statm") as file: before = int(file.read().split()[1]) * resource.getpagesize()
    X, y = data()
    fit_by_name("cnn1d", X, y, CLASSES, training=few, seed=0)
    return [(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / X.nbytes]

def members(epochs):
    "The same network in eight members, trained as one program."
    from cancer_dl.train.estimator import CancerClassifier
    X, y = data()
    network = CancerClassifier("cnn1d", members=8, epochs=epochs + 1, patience=None, random_state=0)
    return network.fit(X, y).history_.seconds[1:]

def cross_validation(_): return cross_validated("cnn1d", standardised=True)
def cross_validation_as_is(_): return cross_validated("cnn1d", standardised=False)
def cross_validation_default(_): return cross_validated("mlp", standardised=True)
def cross_validation_half(_): return cross_validated("mlp", standardised=True, precision="bfloat16")

def cross_validated(model, standardised, **options):
    """6 x 5-fold of a network on the simulated cohort at full size:
    seconds, accuracy with interval and spread, mean epochs of a fit, size."""
    import numpy as np
    from sklearn.pipeline import make_pipeline
    from cancer_dl.data.samples import labels_of, patients_of
    from cancer_dl.data.simulate import simulate_cohort
    from cancer_dl.data.preprocess import ZScaler
    from cancer_dl.train.estimator import CancerClassifier
    from cancer_dl.train.validate import cross_validate
    epochs = []
    class Counted(CancerClassifier):
        def fit(self, X, y, **options):
            super().fit(X, y, **options)
            epochs.append(self.history_.n_epochs)
            return self
    network = Counted(model, random_state=0, **options)
    cohort = simulate_cohort(n_samples=FULL, n_genes=GENES, seed=0)
    keep, y = labels_of(cohort, "cancer_type", normal_class=True)
    X, patients = np.asarray(cohort.X[keep]), patients_of(cohort)[keep]
    del cohort
    started = time.perf_counter()
    result = cross_validate(make_pipeline(ZScaler(), network) if standardised else network, X, y, patients)
    seconds, s = time.perf_counter() - started, result.summary()
    return [seconds, s["accuracy"], *s["accuracy_interval"], s["accuracy_sd_repeats"], np.mean(epochs),
            len(result.classes), *X.shape]

ROWS = {
    "bare matrix products, numpy": (floor, None),
    "plain keras.Model.fit, Conv1D": (plain_fit, "tensorflow"),
    "plain keras.Model.fit, our network": (plain_fit_same_network, "tensorflow"),
    "cancer_dl, TensorFlow": (ours, "tensorflow"),
    "cancer_dl, TensorFlow, streamed": (streamed, "tensorflow"),
    "cancer_dl, JAX": (ours, "jax"),
    "cancer_dl, PyTorch": (ours, "torch"),
    "scikit-learn MLPClassifier (128)": (mlp, None),
    "scikit-learn SGDClassifier": (sgd, None),
}
GPU_ROWS = {
    "plain keras.Model.fit, Conv1D, JAX": (plain_fit, "jax"),
    "cancer_dl, JAX": (ours, "jax"),
    "cancer_dl, JAX, bfloat16": (half, "jax"),
    "cancer_dl, JAX, streamed": (streamed, "jax"),
    "cancer_dl, JAX, eight members": (members, "jax"),
    "cancer_dl, JAX, on the CPU": (ours, "jax on the CPU"),
}
CPU_ONLY = " on the CPU"

def measure(function, backend, epochs):
    "Run one function of this file in a process of its own; None where its backend is not installed."
    cpu, backend = bool(backend) and backend.endswith(CPU_ONLY), (backend or "").removesuffix(CPU_ONLY)
    if backend and importlib.util.find_spec(backend) is None: return None
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", TQDM_DISABLE="1",
                       PYTHONPATH=os.pathsep.join([str(Path(__file__).resolve().parent.parent),
                                                   os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
                       **({"KERAS_BACKEND": backend} if backend else {}))
    if cpu: environment["JAX_PLATFORMS"] = "cpu"
    done = subprocess.run([sys.executable, __file__, "--only", function.__name__, "--epochs", str(epochs)],
                          env=environment, capture_output=True, text=True)
    if done.returncode: raise SystemExit(f"{function.__name__} on {backend} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])

def gpu_found():
    "The name of the GPU that JAX sees, or nothing."
    if importlib.util.find_spec("jax") is None: return ""
    asked = "import jax; print(next((d.device_kind for d in jax.devices() if d.platform == 'gpu'), ''))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    return done.stdout.strip().split("\n")[-1]

def machine():
    name = platform.processor() or platform.machine()
    try: name = next(l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))
    except (OSError, StopIteration): pass
    return f"{name}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"

def table(rows, rounds, epochs):
    seconds = {name: [] for name in rows}
    for _ in range(rounds):
        for name, (function, backend) in rows.items():
            found = measure(function, backend, epochs)
            if found is not None: seconds[name] += found
            print(f"  {name}: {'not installed' if found is None else round(statistics.median(found), 3)}",
                  file=sys.stderr, flush=True)
    medians = {name: statistics.median(s) for name, s in seconds.items() if s}
    plain = next(m for name, m in medians.items() if name.startswith("plain"))
    bare = medians.get("bare matrix products, numpy")
    lines = [f"| one epoch, {SAMPLES:,} x {GENES:,}, batch {BATCH} | seconds (median) | min to max | "
             "times faster than plain fit |" + (" times the bare products |" if bare else ""),
             "|---|---|---|---|" + ("---|" if bare else "")]
    for name, s in seconds.items():
        if not s: lines.append(f"| {name} | not installed | | |" + (" |" if bare else ""))
        else:
            lines.append(f"| {name} | {medians[name]:.3f} | {min(s):.3f} to {max(s):.3f} "
                         f"| {plain / medians[name]:.1f} |" + (f" {medians[name] / bare:.2f} |" if bare else ""))
    return lines

def cross_validations(backend, gpu):
    "The cross-validations as a table."
    rows = {"1D-CNN, standardised within each fold": (cross_validation, backend),
            "1D-CNN, log2 values as they are, as published": (cross_validation_as_is, backend)}
    default = "the default, standardised within each fold, as `cancer_dl train` does"
    if gpu: rows |= {default: (cross_validation_default, backend),
                     f"{default}, bfloat16": (cross_validation_half, backend),
                     f"{default}, on the CPU of the same machine": (cross_validation_default, backend + CPU_ONLY)}
    lines = []
    for name, (function, where) in rows.items():
        seconds, accuracy, low, high, sd, epochs, classes, n, p = measure(function, where, 1)
        if not lines:
            lines = [f"| 6 x 5-fold cross-validation ({backend}), "
                     f"simulated cohort of {n:,.0f} x {p:,.0f}, {classes:.0f} classes | seconds for 30 fits | epochs a "
                     "fit | accuracy (interval over patients) | standard deviation over repeats |",
                     "|---|---|---|---|---|"]
        lines.append(f"| {name} | **{seconds:.0f}** | {epochs:.0f} | {accuracy:.4f} "
                     f"({low:.4f} to {high:.4f}) | {sd:.4f} |")
        print(f"  cross-validation, {name}: {seconds:.0f} s, accuracy {accuracy:.4f} ({low:.4f} to {high:.4f})",
              file=sys.stderr, flush=True)
    return lines

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, default=6, help="epochs a round, after one that is not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="no cross-validation")
    parser.add_argument("--write", action="store_true",
                        help="write bench/speed.md, or bench/gpu.md where there is a GPU")
    a = parser.parse_args()
    if a.only: return print(json.dumps([float(v) for v in globals()[a.only](a.epochs)]))
    gpu = gpu_found()
    lines = [f"Measured with `python bench/speed.py` on {machine()}" + (f", with {gpu}." if gpu else "."), "",
             *table(GPU_ROWS if gpu else ROWS, a.rounds, a.epochs)]
    backend = "jax" if gpu else "tensorflow"
    lines += ["", f"Peak memory of a fit ({backend}), above what the backend needs for itself: "
              f"{measure(peak_memory, backend, 1)[0]:.2f} times the float32 matrix."]
    if not a.quick: lines += ["", *cross_validations(backend, gpu)]
    print("\n".join(lines))
    if a.write:
        path = Path(__file__).with_name("gpu.md" if gpu else "speed.md")
        path.write_text(f"# Speed{' on a GPU' if gpu else ''}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")

if __name__ == "__main__": main()
