"""Time and peak memory of reading a cohort as large as TCGA.

    python bench/read_cohort.py                          # 11,000 x 20,000: a few minutes, 3 GB of disk in the temporary
                                                         # folder
    python bench/read_cohort.py --samples 500 --genes 2000
    python bench/read_cohort.py --samples 100000 --genes 2000 --forms parquet h5ad --append bench/read_cohort.md

Writes the same cohort as gzipped text in both orientations, as parquet and as .h5ad, reads each in a fresh process with
`read_cohort`, checks some of the values, and prints a table: seconds of
the clock and of the processors, and the peak resident memory of that process as a multiple of the
float32 matrix, with and without what Python and its libraries take. `--out FILE` also writes the table as markdown,
`--append FILE` adds it to one that is there.
"""
import argparse
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_BODIES = 64  # lines of random values; every line of the file is one of them, turned by some columns


def names(n_samples, n_genes):
    return ([f"TCGA-{i // 1296 % 36:02d}-{i:04d}-01A" for i in range(n_samples)],
            [f"ENSG{i:011d}.{i % 20}" for i in range(n_genes)])


def line_of(i, width):
    "Which body line `i` is made of, and by how many columns it is turned."
    return i % N_BODIES, (i * 7919) % width


def bodies(width, seed=0):
    "Random values like log2(FPKM+1), three decimals, shape (N_BODIES, width)."
    rng = np.random.default_rng(seed)
    values = rng.gamma(3, 1.3, size=(N_BODIES, width)) * (rng.random((N_BODIES, width)) > 0.15)
    return np.round(np.minimum(values, 25), 3)


def write_text(path, rows, columns):
    "A gzipped TSV with a line a row; lines are put together from the bodies without formatting each number again."
    text = [("\t".join(f"{v:g}" for v in body)).encode() for body in bodies(len(columns))]
    starts = [np.r_[0, np.flatnonzero(np.frombuffer(t, np.uint8) == 9) + 1] for t in text]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(("sample\t" + "\t".join(columns) + "\n").encode())
        for i, row in enumerate(rows):
            body, turn = line_of(i, len(columns))
            cut = int(starts[body][turn])
            values = text[body] if turn == 0 else text[body][cut:] + b"\t" + text[body][:cut - 1]
            file.write(row.encode() + b"\t" + values + b"\n")


def matrix(n_rows, n_columns):
    "The same as numbers, float32."
    X, values = np.empty((n_rows, n_columns), np.float32), bodies(n_columns).astype(np.float32)
    for i in range(n_rows):
        body, turn = line_of(i, n_columns)
        X[i] = np.roll(values[body], -turn)
    return X


def generate(form, path, n_samples, n_genes):
    samples, genes = names(n_samples, n_genes)
    if form == "text, genes x samples": return write_text(path, genes, samples)
    if form == "text, samples x genes": return write_text(path, samples, genes)
    import anndata
    import pandas as pd
    from cancer_dl.data.cohort import write_cohort
    cohort = anndata.AnnData(matrix(n_samples, n_genes), obs=pd.DataFrame(index=samples), var=pd.DataFrame(index=genes))
    write_cohort(cohort, path)


def read(form, path, n_samples, n_genes):
    "Read, check, and print seconds and peak memory as JSON."
    from cancer_dl.data.cohort import read_cohort
    base = peak_bytes()
    start, start_cpu = time.perf_counter(), time.process_time()
    cohort = read_cohort(path, verbose=True)  # the ids say which side the samples are on
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = peak_bytes()
    assert cohort.shape == (n_samples, n_genes) and cohort.X.dtype == np.float32 and cohort.X.flags.c_contiguous
    lines = cohort.X.T if form == "text, genes x samples" else cohort.X
    values = bodies(lines.shape[1]).astype(np.float32)
    for i in np.linspace(0, len(lines) - 1, 50).astype(int):
        body, turn = line_of(int(i), lines.shape[1])
        assert np.array_equal(lines[i], np.roll(values[body], -turn)), f"line {i} was read wrongly"
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "base": base}))


def peak_bytes():
    "Peak resident memory of this process since it was started."
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        import resource
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


FORMS = {"text, genes x samples": "genes.tsv.gz", "text, samples x genes": "samples.tsv.gz", "parquet": "folder",
         "h5ad": "cohort.h5ad"}


def size_of(path):
    return sum(f.stat().st_size for f in path.rglob("*")) if path.is_dir() else path.stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=11_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--out", help="write the table here, as markdown")
    parser.add_argument("--append", help="add the table to this file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        what, form, path = args.child
        return (generate if what == "generate" else read)(form, Path(path), args.samples, args.genes)
    base = args.samples * args.genes * 4
    lines = ["| form | file (MB) | seconds | processor seconds | ns a value (processor) | peak memory (MB) | of the "
             "matrix | without Python |",
             "|---|---|---|---|---|---|---|---|"]
    folder = Path(tempfile.mkdtemp(prefix="read_cohort_"))
    try:
        for form in args.forms:
            path = folder/FORMS[form]
            command = [sys.executable, __file__, "--samples", str(args.samples), "--genes", str(args.genes), "--child"]
            print(f"writing {form} …", file=sys.stderr, flush=True)
            subprocess.run([*command, "generate", form, str(path)], check=True)
            print(f"reading {form} …", file=sys.stderr, flush=True)
            found = json.loads(subprocess.run([*command, "read", form, str(path)], check=True, stdout=subprocess.PIPE,
                                              text=True).stdout)
            lines.append(f"| {form} | {size_of(path) / 1e6:,.0f} | {found['seconds']:.1f} "
                         f"| {found['cpu']:.1f} | {found['cpu'] / (base / 4) * 1e9:.0f} | {found['peak'] / 1e6:,.0f} "
                         f"| {found['peak'] / base:.2f} | {(found['peak'] - found['base']) / base:.2f} |")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally: shutil.rmtree(folder, ignore_errors=True)
    import pandas
    import pyarrow
    table = "\n".join(lines)
    print(table)
    command = " ".join([f"--samples {args.samples} --genes {args.genes}"]
                       + (["--forms", *args.forms] if len(args.forms) < len(FORMS) else []))
    text = (f"{args.samples:,} samples x {args.genes:,} genes; the float32 matrix is {base / 1e6:,.0f} MB. Peak memory "
            "is that of the whole process; the last column leaves out what Python and its libraries take before they "
            "read. Seconds of the clock grow with what else the machine does; processor seconds hardly do.\n\n"
            f"{table}\n\nMeasured with `python bench/read_cohort.py {command}` on {os.cpu_count()} cores, "
            f"Python {platform.python_version()}, pandas {pandas.__version__}, pyarrow {pyarrow.__version__}.\n")
    if args.out: Path(args.out).write_text(f"# Reading a cohort\n\n{text}")
    if args.append: Path(args.append).write_text(f"{Path(args.append).read_text()}\n{text}")


if __name__ == "__main__":
    main()
