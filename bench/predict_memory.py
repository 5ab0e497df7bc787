"""Peak memory of predicting a large cohort.

    python bench/predict_memory.py                       # 100,000 x 2,000: two minutes, 3 GB of disk in the temporary
                                                         # folder
    python bench/predict_memory.py --samples 20000       # smaller
    python bench/predict_memory.py --write               # and write bench/predict_memory.md

A small classifier is trained on 2,000 genes. The command `cancer_dl predict` then runs in a process of its own on 300
samples and on all of them, from parquet and from .h5ad. The table gives the peak resident memory of each, what it is
above that for 300 samples, and that as a multiple of the float32 matrix; reading the cohort without predicting stands
beside it. The bar is 1.5 matrices.
"""
import argparse
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

TELL = """
import atexit
def tell():
    "The peak of this very process (Linux), which a fork from a large parent does not blur."
    with open("/proc/self/status") as file: peak = next(line for line in file if line.startswith("VmHWM")).split()[1]
    with open("PEAK", "w") as file: file.write(peak)
atexit.register(tell)
"""
READ = "import sys; from cancer_dl.data.cohort import read_cohort; read_cohort(sys.argv[1])"
PREDICT = "from cancer_dl.cli import main; main()"


def cohort_of(n_samples, n_genes, seed=0):
    "Values like log2(x+1) with three kinds of samples, float32, made a block at a time."
    from anndata import AnnData
    import pandas as pd
    rng, X = np.random.default_rng(seed), np.empty((n_samples, n_genes), np.float32)
    shift = np.random.default_rng(1).normal(0, 1, (3, n_genes)).astype(np.float32)
    for start in range(0, n_samples, 1000):
        rows = np.arange(start, min(start + 1000, n_samples))
        X[rows] = np.maximum(rng.standard_normal((len(rows), n_genes), np.float32) + 5 + shift[rows % 3], 0)
    obs = pd.DataFrame({"cancer_type": np.array(["A", "B", "C"])[np.arange(n_samples) % 3]},
                       index=[f"S{i}" for i in range(n_samples)])
    return AnnData(X, obs, pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(n_genes)]), uns={"units": "log2(TPM+1)"})


def peak(code, *words):
    "Peak resident memory (bytes) of a Python process that runs `code`."
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder)/"peak"
        subprocess.run([sys.executable, "-c", TELL.replace("PEAK", str(told)) + code, *map(str, words)], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, "TQDM_DISABLE": "1"})
        return int(told.read_text())*1024


def measured(n_samples, n_genes, folder):
    "Rows of the table: (form, samples, peak of reading, peak of predicting)."
    from cancer_dl.classify import train_classifier
    from cancer_dl.data.cohort import write_cohort
    from cancer_dl.train.bundle import save_bundle
    save_bundle(train_classifier(cohort_of(300, n_genes), epochs=3, judge="holdout").bundle, folder/"model")
    for n in (300, n_samples):
        cohort = cohort_of(n, n_genes)
        for form, name in (("parquet", f"c{n}"), ("h5ad", f"c{n}.h5ad")): write_cohort(cohort, folder/name)
        del cohort
    for form, end in (("parquet", ""), ("h5ad", ".h5ad")):
        for n in (300, n_samples):
            path = folder/f"c{n}{end}"
            yield form, n, peak(READ, path), peak(PREDICT, "predict", folder/"model", path, "--out", folder/"p.csv")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--write", action="store_true", help="write bench/predict_memory.md")
    a = parser.parse_args()
    matrix, MB = 4 * a.samples * a.genes, 2**20
    lines = ["# Memory of predicting", "", f"{a.samples:,} samples x {a.genes:,} genes; "
             f"the float32 matrix is {matrix / MB:,.0f} MiB. Peak resident memory of a process, in MiB, Python, "
             "TensorFlow and libraries included. \"Above 300\" is the difference to the same command on 300 samples, "
             "and the last column that difference in matrices (the bar is 1.5).", "",
             "| form | samples | reading alone | predicting | above 300 | in matrices |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        small = None
        for form, n, reading, predicting in measured(a.samples, a.genes, Path(folder)):
            if n == 300: small = predicting
            more = f"{(predicting - small) / MB:,.0f} | {(predicting - small) / matrix:.2f}" if n > 300 else "|"
            lines.append(f"| {form} | {n:,} | {reading / MB:,.0f} | {predicting / MB:,.0f} | {more} |")
    lines += ["", f"Measured with `python bench/predict_memory.py --samples {a.samples} --genes {a.genes}` "
              f"on {os.cpu_count()} cores, Python {platform.python_version()}, "
              f"TensorFlow {version('tensorflow')}, anndata {version('anndata')}, pyarrow {version('pyarrow')}."]
    print("\n".join(lines))
    if a.write: Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__": main()
