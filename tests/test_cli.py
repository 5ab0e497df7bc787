"""The command line as a clumsy or hostile person would use it: what is refused, in which words, and what is left behind
(nothing)."""
import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest

from folders import sign
from cancer_dl.cli import main

ROOT_USER = hasattr(os, "geteuid") and os.geteuid() == 0
# what Python prints on standard error unless told otherwise
SHOWN = (UserWarning, RuntimeWarning, FutureWarning, SyntaxWarning)


# ---------------------------------------------------------------- helpers

def quickly(words):
    """`train` without baselines and by one split, unless a test says how it shall be judged:
    many tests train, few look at this."""
    judged = ("train" in words[:2] and "run" not in words[:2]
              and not {"--judge", "--compare", "--no-compare"} & set(words))
    if not judged or "--help" in words: return list(words)
    return [*words, "--judge", "holdout", "--no-refit", "--no-compare"]


def cancer_dl(*words):
    """Run the command in this process: exit code, standard output,
    standard error (with the warnings that a person would see)."""
    words = quickly([str(word) for word in words])
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
          warnings.catch_warnings(record=True) as caught):
        warnings.simplefilter("always")
        try: main([str(word) for word in words])
        except SystemExit as end: code = end.code
    noise = "".join(f"{w.filename}: {w.category.__name__}: {w.message}\n" for w in caught
                    if issubclass(w.category, SHOWN))
    return SimpleNamespace(code=code or 0, out=out.getvalue(), err=noise + err.getvalue())


def process(*words, cwd=None, **environment):
    "Run the command as a process of its own."
    code = "from cancer_dl.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *quickly([str(word) for word in words])], capture_output=True,
                          text=True, cwd=cwd, env={**os.environ, **environment})
    return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)


def tree(folder):
    "Everything under a folder, with the checksum of every file."
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file()
            else "folder" for p in sorted(Path(folder).rglob("*"))}


def check_paragraph(done, *parts):
    assert done.code == 2, done.out + done.err
    assert "Traceback" not in done.err and "fault of cancer_dl" not in done.err, done.err
    assert done.err.startswith("Error: ") and done.err.strip().count("\n") == 0 and len(done.err) < 1500, done.err
    for part in parts: assert part in done.err, done.err


def refused(folder, words, *parts, run=cancer_dl):
    "The command must end with code 2 and one paragraph that holds `parts`, and leave `folder` as it was."
    before = tree(folder)
    done = run(*words)
    check_paragraph(done, *parts)
    assert tree(folder) == before
    return done.err


def worked(words, run=cancer_dl):
    done = run(*words)
    assert done.code == 0 and done.err == "", done.out + done.err
    return done.out


def write(folder, frame, samples=None, units="log2(FPKM+1)", name="expression.parquet", **options):
    "A cohort folder, written without the library."
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"): frame.to_parquet(folder/name)
    else: frame.to_csv(folder/name, sep="\t" if ".tsv" in name else ",", index_label="sample_id", **options)
    if samples is not None: samples.to_csv(folder/"samples.csv", index_label="sample_id")
    if units: (folder/"cohort.json").write_text(json.dumps({"units": units}))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A small cohort and a bundle that was trained on it."
    home = tmp_path_factory.mktemp("cli")
    worked(["data", "simulate", home/"cohort", "--samples", 300, "--genes", 200, "--classes", 4])
    worked(["train", home/"cohort", "--epochs", 3, "--out", home/"model"])
    frame = pd.read_parquet(home/"cohort"/"expression.parquet")
    samples = pd.read_csv(home/"cohort"/"samples.csv", index_col=0)
    assert frame.shape == (300, 200) and list(samples.index) == list(frame.index)
    return SimpleNamespace(home=home, cohort=home/"cohort", bundle=home/"model", frame=frame, samples=samples)


@pytest.fixture
def tables(made): return made.frame.copy(), made.samples.copy()


def command(name, made, cohort, folder, *more):
    "The words of each command that reads a cohort, writing into `folder`."
    return {"info": ["data", "info", cohort], "train": ["train", cohort, "--epochs", 2, "--out", folder/"new"],
            "predict": ["predict", made.bundle, cohort, "--out", folder/"new.csv"],
            "evaluate": ["evaluate", made.bundle, cohort, "--out", folder/"new"]}[name] + list(more)


# ---------------------------------------------------------------- cohorts that cannot be trusted

def _empty(d, f, s): write(d, f, s, name="expression.csv"); (d/"expression.csv").write_bytes(b"")
def _binary(d, f, s):
    write(d, f, s, name="expression.tsv")
    (d/"expression.tsv").write_bytes(np.random.default_rng(0).bytes(5000))
def _binary_parquet(d, f, s): write(d, f, s); (d/"expression.parquet").write_bytes(np.random.default_rng(0).bytes(5000))
def _cut(path): path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
def _cut_gzip(d, f, s): write(d, f, s, name="expression.tsv.gz"); _cut(d/"expression.tsv.gz")
def _cut_parquet(d, f, s): write(d, f, s); _cut(d/"expression.parquet")
def _html(d, f, s):
    write(d, f, s, name="expression.tsv")
    (d/"expression.tsv").write_text("<!DOCTYPE html>\n<html><body>Please log in</body></html>\n")
def _html_gzip(d, f, s):
    write(d, f, s, name="expression.tsv.gz")
    (d/"expression.tsv.gz").write_bytes(gzip.compress(b"<html>\n<body>404</body></html>\n"))
def _twice(d, f, s): write(d, pd.concat([f, f.iloc[[7]]]), s)
def _twice_in_table(d, f, s): write(d, f, pd.concat([s, s.iloc[[7]]]))
def _genes_twice(d, f, s): write(d, pd.concat([f, f.iloc[:, [3]]], axis=1), s, name="expression.csv")
def _words(d, f, s): f = f.astype(object); f.iloc[5, 9] = "n.d."; write(d, f, s, name="expression.csv")
def _nan(d, f, s): f.iloc[5, 9] = np.nan; write(d, f, s)
def _nan_text(d, f, s): f.iloc[5, 9] = np.nan; write(d, f, s, name="expression.tsv", na_rep="NA")
def _infinite(d, f, s): f.iloc[5, 9] = np.inf; write(d, f, s)
def _negative(d, f, s): f = (2**f - 1).round(); f.iloc[5, 9] = -4; write(d, f, s, units="counts")
def _zero(d, f, s): f.iloc[[5, 8]] = 0; write(d, f, s)
def _no_rows(d, f, s): write(d, f.iloc[:0], s)
def _unknown(d, f, s): write(d, f, s.rename(index={s.index[4]: "TCGA-ZZ-ZZZZ-01A"}))
def _other_ids(d, f, s): write(d, f, s.set_axis([f"patient {i}" for i in range(len(s))]))
def _no_matrix(d, f, s): write(d, f, s); (d/"expression.parquet").unlink()
def _broken_json(d, f, s): write(d, f, s); (d/"cohort.json").write_text("{")
def _wrong_units(d, f, s): write(d, (2**f - 1).round(), s)

BROKEN = [(_empty, ["expression.csv is empty (0 bytes)", "Get it again"]),
          (_binary, ["expression.tsv is not text", "binary"]),
          (_binary_parquet, ["expression.parquet cannot be read as parquet", "Get it again"]),
          (_cut_gzip, ["expression.tsv.gz ends in the middle", "truncated", "Get it again"]),
          (_cut_parquet, ["expression.parquet", "truncated"]),
          (_html, ["expression.tsv is a web page", "Download it again"]),
          (_html_gzip, ["expression.tsv.gz is a web page"]),
          (_twice, ["expression.parquet", "1 sample name(s) occur more than once"]),
          (_twice_in_table, ["samples.csv", "occur more than once"]),
          (_genes_twice, ["expression.csv", "1 gene name(s) occur more than once", "--duplicates"]),
          (_words, ["expression.csv, line 7", "column", "'n.d.' is not a number"]),
          (_nan, ["1 value(s) are missing", "--missing"]), (_nan_text, ["1 value(s) are missing"]),
          (_infinite, ["1 value(s) are infinite"]), (_negative, ["1 value(s) are negative", "counts"]),
          (_zero, ["2 sample(s) are zero for every gene"]), (_no_rows, ["nothing to read"]),
          (_unknown, ["samples.csv has 1 sample(s)", "TCGA-ZZ-ZZZZ-01A"]), (_other_ids, ["No id of", "patient 0"]),
          (_no_matrix, ["holds no expression matrix"]), (_broken_json, ["cohort.json", "not valid JSON"]),
          (_wrong_units, ["units", "log2(FPKM+1)", "counts"])]


# what `data info` lists, where other commands refuse
LISTED = {_nan: "missing        1 values", _nan_text: "missing        1 values",
          _infinite: "infinite values: 1, first sample", _negative: "negative values: 1, first sample",
          _zero: "all zero: 2", _unknown: "samples without a row in the sample table: 1",
          _wrong_units: "units are said to be log2(FPKM+1), the values look like counts"}


@pytest.mark.parametrize("name, every", [("info", 1), ("predict", 1), ("train", 5), ("evaluate", 5), *(
    pytest.param(name, 1, marks=pytest.mark.slow) for name in ("train", "evaluate"))])  # which read by the same lines
def test_cohorts_that_cannot_be_trusted(name, every, tmp_path, made):
    for spoil, parts in BROKEN[::every]:
        cohort = tmp_path/spoil.__name__
        spoil(cohort, made.frame.copy(), made.samples.copy())
        if name == "info" and spoil in LISTED: assert LISTED[spoil] in worked(["data", "info", cohort])
        else: refused(tmp_path, command(name, made, cohort, tmp_path), *parts)


@pytest.mark.parametrize("name", ["info", "train", "predict", "evaluate"])
def test_cohorts_that_are_not_there(name, tmp_path, made):
    (tmp_path/"my_cohort.h5ad").write_bytes(b"nothing of the kind")
    refused(tmp_path, command(name, made, tmp_path/"nowhere", tmp_path),
            f"{tmp_path/'nowhere'}: there is no such file or folder", "Check the path")
    refused(tmp_path, command(name, made, tmp_path/"mycohort.h5ad", tmp_path), "Did you mean", "my_cohort.h5ad")
    refused(tmp_path, command(name, made, tmp_path/"my_cohort.h5ad", tmp_path), "cannot be read as .h5ad")
    refused(tmp_path, command(name, made, made.cohort, tmp_path, "--samples", tmp_path/"nowhere.csv"),
            "nowhere.csv: there is no such file")


def test_rules_that_are_stated_are_followed(tmp_path, tables, made):
    frame, samples = tables
    write(tmp_path/"twice", pd.concat([frame, frame.iloc[:, [3]]], axis=1), samples, name="expression.csv")
    assert "200 (" in worked(["data", "info", tmp_path/"twice", "--duplicates", "mean"])
    refused(tmp_path, ["data", "info", tmp_path/"twice", "--duplicates", "median"], "median", "mean")
    frame.iloc[5, 9], frame.iloc[8] = np.nan, 0
    samples = samples.rename(index={samples.index[4]: "TCGA-ZZ-ZZZZ-01A"})
    write(tmp_path/"gap", frame, samples)
    words = ["predict", made.bundle, tmp_path/"gap", "--out", tmp_path/"p.csv"]
    refused(tmp_path, words, "--unmatched 'drop'")
    refused(tmp_path, words := [*words, "--unmatched", "drop"], "--missing 'zero'")
    refused(tmp_path, [*words, "--missing", "impute"], "impute", "zero")
    refused(tmp_path, words := [*words, "--missing", "zero"], "--empty 'drop'")
    assert "299 samples" in worked([*words, "--empty", "drop"])
    refused(tmp_path, ["data", "info", tmp_path/"gap", "--orientation", "sideways"], "sideways", "samples x genes")


@pytest.mark.parametrize("name", ["train", "predict"])
def test_genes_where_samples_should_be(name, tmp_path, tables, made):
    frame, samples = tables
    write(tmp_path/"flipped", frame.T, samples, name="expression.tsv")
    refused(tmp_path, command(name, made, tmp_path/"flipped", tmp_path, "--orientation", "samples x genes"),
            "expression.tsv was said to be samples x genes", "genes x samples")
    cohort = anndata.AnnData(frame.T.to_numpy(np.float32), obs=pd.DataFrame(index=frame.columns),
                             var=pd.DataFrame(index=frame.index))
    cohort.write_h5ad(tmp_path/"flipped.h5ad")
    if name == "predict":
        assert "by the genes of the model it is genes x samples" in worked(command(name, made,
                                                                                   tmp_path/"flipped.h5ad", tmp_path))
    else:
        refused(tmp_path, command(name, made, tmp_path/"flipped.h5ad", tmp_path), "genes where samples should be",
                "--orientation")
    worked(command(name, made, tmp_path/"flipped", tmp_path))  # found out from the ids


# ---------------------------------------------------------------- labels

def test_labels_that_are_missing(tmp_path, tables):
    frame, samples = tables
    tumours = np.flatnonzero(samples["sample_type"] == "primary")
    samples.iloc[tumours[:17], 0] = None
    samples.iloc[tumours[17:20], 0] = ["NA", " ", "nan"]
    cohort = write(tmp_path/"some", frame, samples)
    words = ["train", cohort, "--epochs", 2, "--out", tmp_path/"model"]
    refused(tmp_path, words, "20 of 300 samples have no label in column 'cancer_type'", samples.index[tumours[0]],
            "--drop-unlabelled")
    worked([*words, "--drop-unlabelled"])
    words = ["evaluate", tmp_path/"model", cohort, "--out", tmp_path/"evaluation"]
    refused(tmp_path, words, "20 of 300 samples have no label", "--drop-unlabelled")
    worked([*words, "--drop-unlabelled"])
    assert json.loads((tmp_path/"evaluation"/"metrics.json").read_text())["n"] == len(tumours) - 20
    samples["cancer_type"] = None
    refused(tmp_path, ["train", write(tmp_path/"none", frame, samples), "--out", tmp_path/"new", "--drop-unlabelled"],
            "empty for all 271 samples")


def test_labels_that_cannot_be_learned(tmp_path, tables):
    frame, samples = tables
    samples["one"], samples["rare"], samples["few_people"] = "BRCA", ["A", "B"]*149 + ["Z"]*2, ["A", "B"]*145 + ["Z"]*10
    samples.iloc[-10:, samples.columns.get_loc("patient")] = "P1"
    cohort = write(tmp_path/"cohort", frame, samples)
    def words(label): return ["train", cohort, "--label", label, "--out", tmp_path/"model"]
    refused(tmp_path, words("one"), "one class only ('BRCA'")
    refused(tmp_path, words("rare"), "one patient only", "Z", "--min-class-size")
    refused(tmp_path, words("few_people"), "one patient only", "Z", "--min-class-size")
    refused(tmp_path, words("cancertype"), "no label column 'cancertype'", "Did you mean cancer_type")
    refused(tmp_path, words(""), "no label column ''")
    (cohort/"samples.csv").unlink()
    refused(tmp_path, words("cancer_type"), "no label column 'cancer_type'")
    refused(tmp_path, ["train", cohort, "--label", "tissue", "--normal-class", "--out", tmp_path/"model"], "tissue")


def test_labels_that_the_bundle_does_not_know(tmp_path, tables, made):
    frame, samples = tables
    samples["cancer_type"] = samples["cancer_type"].replace({"BRCA": "breast"})
    cohort = write(tmp_path/"cohort", frame, samples)
    refused(tmp_path, ["evaluate", made.bundle, cohort, "--out", tmp_path/"e"], "breast", "KIRC", "rename")
    refused(tmp_path, ["evaluate", made.bundle, cohort, "--out", tmp_path/"e", "--label", "cancertype"],
            "Did you mean cancer_type")


# ---------------------------------------------------------------- prediction

def predicted(made, cohort, folder, *more):
    worked(["predict", made.bundle, cohort, "--out", folder/"p.csv", *more])
    return pd.read_csv(folder/"p.csv", index_col="sample_id")


def test_columns_of_predictions(tmp_path, made):
    table = predicted(made, made.cohort, tmp_path)
    classes = json.loads((made.bundle/"bundle.json").read_text())["classes"]
    assert list(table.columns) == ["prediction", "score", "top2", "score2", "top3", "score3",
                                   *(f"p_{c}" for c in classes), "unfamiliar", "distance"]
    assert list(table.index) == list(made.frame.index)
    p = table[[f"p_{c}" for c in classes]]
    assert (np.allclose(p.sum(axis=1), 1, atol=1e-5) and (p.idxmax(axis=1).str[2:] == table["prediction"]).all()
            and np.allclose(p.max(axis=1), table["score"]))
    table = predicted(made, made.cohort, tmp_path, "--top", 1, "--min-score", 0.6)
    assert list(table.columns)[:3] == ["prediction", "score", f"p_{classes[0]}"]
    assert (((table["prediction"] == "uncertain") == (table["score"] < 0.6)).all()
            and (table["prediction"] == "uncertain").any())
    assert (len([c for c in predicted(made, made.cohort, tmp_path, "--top", 99) if c.startswith(("top", "prediction"))])
            == len(classes))


def test_genes_in_another_order_predict_the_same(tmp_path, tables, made):
    frame, samples = tables
    order = np.random.default_rng(0).permutation(frame.shape[1])
    expected = predicted(made, made.cohort, tmp_path)
    more = frame.iloc[:, order].assign(XIST2=1.0, another=2.0)
    pd.testing.assert_frame_equal(predicted(made, write(tmp_path/"reordered", more, None), tmp_path), expected)


def test_genes_that_are_missing_or_renamed(tmp_path, tables, made):
    frame, samples = tables
    half = write(tmp_path/"half", frame.iloc[:, ::2], samples)
    ensembl = write(tmp_path/"ensembl", frame.set_axis([f"ENSG{i:011d}.{i % 9}" for i in range(200)], axis=1), samples)
    for name in ("predict", "evaluate"):
        refused(tmp_path, command(name, made, half, tmp_path), "100 of the 200 genes", "at least 80% are needed")
        refused(tmp_path, command(name, made, ensembl, tmp_path), "0 of the 200 genes", "Ensembl", "--gene-map")
    pd.DataFrame({"id": [f"ENSG{i:011d}" for i in range(200)],
                  "symbol": frame.columns}).to_csv(tmp_path/"map.csv", index=False)
    mapped = predicted(made, ensembl, tmp_path, "--gene-map", tmp_path/"map.csv")
    pd.testing.assert_frame_equal(mapped, predicted(made, made.cohort, tmp_path))
    refused(tmp_path, command("predict", made, ensembl, tmp_path, "--gene-map", tmp_path/"nomap.csv"),
            "nomap.csv: there is no such file", "Did you mean")
    worked(command("predict", made, write(tmp_path/"most", frame.iloc[:, :190], samples), tmp_path))


@pytest.mark.parametrize("units", [None, "counts"])
def test_counts_for_a_bundle_of_logarithms(units, tmp_path, tables, made):
    frame, samples = tables
    counts = write(tmp_path/"counts", (2**frame * 30).round(), samples, units=units)
    for name in ("predict", "evaluate"):
        refused(tmp_path, command(name, made, counts, tmp_path), "counts", "log2(FPKM+1)")


def test_training_on_counts_takes_the_logarithm_along(tmp_path, tables):
    frame, samples = tables
    counts = write(tmp_path/"counts", (2**frame * 30 - 30).round(), samples, units=None)
    logarithms = write(tmp_path/"logarithms", frame, samples)
    worked(["train", counts, "--epochs", 2, "--out", tmp_path/"model"])
    assert "LogCPM" in (tmp_path/"model"/"bundle.json").read_text()
    worked(["predict", tmp_path/"model", counts, "--out", tmp_path/"p.csv"])
    p = pd.read_csv(tmp_path/"p.csv")
    assert p["prediction"].nunique() > 1 and np.isfinite(p["score"]).all()
    refused(tmp_path, ["predict", tmp_path/"model", logarithms, "--out", tmp_path/"q.csv"], "log2(FPKM+1)", "counts")


@pytest.mark.parametrize("option, value, part",
                         [("--min-score", 3, "between 0 and 1"), ("--min-score", "nan", "between 0 and 1"),
                          ("--top", 0, "--top"), ("--top", -2, "--top")])
def test_options_of_predict_that_make_no_sense(option, value, part, tmp_path, made):
    refused(tmp_path, ["predict", made.bundle, made.cohort, "--out", tmp_path/"p.csv", option, value], part)


# ---------------------------------------------------------------- bundles that cannot be trusted

@pytest.fixture
def bundle(made, tmp_path): return Path(shutil.copytree(made.bundle, tmp_path/"bundle"))


def opening(made, bundle, folder): return ["predict", bundle, made.cohort, "--out", folder/"p.csv"]


@pytest.mark.parametrize("name", ["model.keras", "bundle.json", "arrays.npz", "MODEL_CARD.md", "checksums.json"])
@pytest.mark.parametrize("where", [0.02, 0.5, 0.98])
def test_a_changed_byte(name, where, tmp_path, made, bundle):
    content = bytearray((bundle/name).read_bytes())
    content[int(len(content) * where)] ^= 4
    (bundle/name).write_bytes(content)
    refused(tmp_path, opening(made, bundle, tmp_path), str(bundle), "from its source")
    refused(tmp_path, ["evaluate", bundle, made.cohort, "--out", tmp_path/"e"], str(bundle))


@pytest.mark.parametrize("name", ["model.keras", "bundle.json", "arrays.npz", "MODEL_CARD.md", "checksums.json"])
def test_a_file_that_is_missing_empty_or_a_folder(name, tmp_path, made, bundle):
    (bundle/name).write_bytes(b"")
    refused(tmp_path, opening(made, bundle, tmp_path), str(bundle))
    (bundle/name).unlink()
    refused(tmp_path, opening(made, bundle, tmp_path), name)
    (bundle/name).mkdir()
    refused(tmp_path, opening(made, bundle, tmp_path), str(bundle), name)


def edit(bundle, **changes):
    facts = json.loads((bundle/"bundle.json").read_text())
    for key, value in changes.items():
        if value is None: facts.pop(key)
        else: facts[key] = value
    (bundle/"bundle.json").write_text(json.dumps(facts))
    sign(bundle)


def test_a_bundle_from_the_future(tmp_path, made, bundle):
    edit(bundle, schema_version=99)
    refused(tmp_path, opening(made, bundle, tmp_path), "schema version 99", "pip install -U cancer_dl")
    edit(bundle, schema_version="new")
    refused(tmp_path, opening(made, bundle, tmp_path), "no schema version")


@pytest.mark.parametrize("changes", [
    dict(features=None), dict(classes=None), dict(units=None), dict(min_share=None), dict(preprocessing=None),
    dict(label=None),
    dict(features=["TP53"]), dict(classes=["A", "B"]), dict(features=7), dict(classes="ABCD"), dict(min_share="all"),
    dict(preprocessing={"step": "os.system"}), dict(preprocessing=[1]), dict(preprocessing="x"), dict(units=5)],
                         ids=lambda c: "-".join(f"{k}={str(v)[:9]}" for k, v in c.items()))
def test_facts_that_contradict_the_rest(changes, tmp_path, made, bundle):
    "Edited by hand, with matching checksums."
    edit(bundle, **changes)
    refused(tmp_path, opening(made, bundle, tmp_path), str(bundle))


class Bomb:
    "Its pickle makes a file when it is opened."
    def __init__(self, path): self.path = path
    def __reduce__(self): return (open, (str(self.path), "w"))


def test_a_pickle_beside_the_rest(tmp_path, made, bundle):
    (bundle/"scaler.pkl").write_bytes(pickle.dumps(Bomb(tmp_path/"boom")))
    refused(tmp_path, opening(made, bundle, tmp_path), "do not belong there: scaler.pkl")
    sign(bundle)
    refused(tmp_path, opening(made, bundle, tmp_path), "do not belong there: scaler.pkl")


@pytest.mark.parametrize("how", ["object array", "whole file", "instead of the means"])
def test_a_pickle_in_the_arrays(how, tmp_path, made, bundle):
    bomb = np.array([Bomb(tmp_path/"boom")], dtype=object)
    if how == "whole file": (bundle/"arrays.npz").write_bytes(pickle.dumps(bomb[0]))
    else:
        with np.load(bundle/"arrays.npz") as stored: arrays = dict(stored)
        np.savez(bundle/"arrays.npz", **{**arrays, "gene_means" if "means" in how else "more": bomb})
    sign(bundle)
    refused(tmp_path, opening(made, bundle, tmp_path), "arrays.npz")
    assert not (tmp_path/"boom").exists()


@pytest.mark.parametrize("change", ["no means", "few means", "a step's array", "garbage"])
def test_arrays_that_do_not_fit(change, tmp_path, made, bundle):
    with np.load(bundle/"arrays.npz") as stored: arrays = dict(stored)
    step = next(k for k in arrays if k != "gene_means")
    if change == "no means": arrays.pop("gene_means")
    elif change == "few means": arrays["gene_means"] = arrays["gene_means"][:7]
    elif change == "a step's array": arrays[step] = arrays[step][:7]
    np.savez(bundle/"arrays.npz", **arrays)
    if change == "garbage": (bundle/"arrays.npz").write_bytes(b"PK\3\4" + b"\0"*100)
    sign(bundle)
    refused(tmp_path, opening(made, bundle, tmp_path), str(bundle))


def rewrite_network(file, change):
    "Change the configuration inside a .keras file."
    with zipfile.ZipFile(file) as archive: content = {n: archive.read(n) for n in archive.namelist()}
    config = json.loads(content["config.json"])
    change(config)
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items(): archive.writestr(name, data)


def some_layer(config, name="Dense"):
    return [layer for layer in config["config"]["layers"] if layer["class_name"] == name][-1]


def function(module, name): return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _lambda(config):
    some_layer(config).update(class_name="Lambda", config={"name": "x", "function": {
        "class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}})
def _foreign_module(config): some_layer(config).update(module="os", class_name="system", registered_name=None)
def _own_class(config): some_layer(config).update(module="attack", class_name="Layer", registered_name="attack>Layer")
def _function_as_activation(config): some_layer(config)["config"]["activation"] = function("keras.utils", "get_file")
def _unsafe_switch(config):
    some_layer(config)["config"]["kernel_initializer"] = {"module": "keras.config",
                                                          "class_name": "enable_unsafe_deserialization", "config": {}}
def _fetch(config):
    some_layer(config)["config"]["kernel_initializer"] = {"module": "keras.utils", "class_name": "get_file",
                                                          "config": {"fname": "x", "origin": "file:///etc/passwd"},
                                                          "registered_name": None}
def _reads_files(config):
    some_layer(config).update(module="keras.layers", class_name="StringLookup",
                              config={"name": "x", "vocabulary": "/etc/passwd"})
def _torch(config):
    some_layer(config).update(module="keras.layers", class_name="TorchModuleWrapper",
                              config={"name": "x", "module": "gASVAAAA"})


@pytest.mark.parametrize("change", [_lambda, _foreign_module, _own_class, _function_as_activation, _unsafe_switch,
                                    _fetch, _reads_files, _torch])
def test_code_in_the_network(change, tmp_path, made, bundle):
    rewrite_network(bundle/"model.keras", change)
    sign(bundle)
    refused(tmp_path, opening(made, bundle, tmp_path), "not Keras' own", "It was not loaded")


def _units(config): some_layer(config)["config"]["units"] = 3
def _no_layers(config): config["config"]["layers"] = []
def _not_a_model(config): config.clear()


@pytest.mark.parametrize("change", [_units, _no_layers, _not_a_model])
def test_a_network_that_does_not_fit(change, tmp_path, made, bundle):
    rewrite_network(bundle/"model.keras", change)
    sign(bundle)
    refused(tmp_path, opening(made, bundle, tmp_path), str(bundle))


def test_a_network_nested_without_end(tmp_path, made, bundle):
    with zipfile.ZipFile(bundle/"model.keras") as archive: content = {n: archive.read(n) for n in archive.namelist()}
    content["config.json"] = b'{"config":' * 20_000 + b"1" + b"}" * 20_000
    with zipfile.ZipFile(bundle/"model.keras", "w") as archive:
        for name, data in content.items(): archive.writestr(name, data)
    sign(bundle)
    refused(tmp_path, opening(made, bundle, tmp_path), str(bundle))


def test_zips(tmp_path, tables, made):
    worked(["train", made.cohort, "--epochs", 2, "--out", tmp_path/"x.zip"])
    worked(["predict", tmp_path/"x.zip", made.cohort, "--out", tmp_path/"p.csv"])
    good = (tmp_path/"x.zip").read_bytes()
    for share in (0, .3, .999):
        (tmp_path/"x.zip").write_bytes(good[:int(len(good)*share)])
        refused(tmp_path, opening(made, tmp_path/"x.zip", tmp_path)[:3] + ["--out", tmp_path/"q.csv"], "x.zip",
                "neither a bundle folder nor an intact zip")
    content = bytearray(good); content[len(good)//2] ^= 4
    (tmp_path/"x.zip").write_bytes(content)
    refused(tmp_path, ["predict", tmp_path/"x.zip", made.cohort, "--out", tmp_path/"q.csv"], "x.zip")
    for name in ("../escaped.txt", "/escaped.txt", "extra.py"):
        (tmp_path/"x.zip").write_bytes(good)
        with zipfile.ZipFile(tmp_path/"x.zip", "a") as archive: archive.writestr(name, "print('no')")
        refused(tmp_path, ["predict", tmp_path/"x.zip", made.cohort, "--out", tmp_path/"q.csv"],
                "do not belong there", name)
    shutil.make_archive(str(tmp_path/"folder"), "zip", made.home, "model")  # zipped by hand, with its folder
    worked(["predict", tmp_path/"folder.zip", made.cohort, "--out", tmp_path/"q.csv"])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path/"q.csv").set_index("sample_id"),
                                  predicted(made, made.cohort, tmp_path))


def test_a_zip_that_grows_when_it_is_opened(tmp_path, made, bundle):
    (bundle/"MODEL_CARD.md").write_bytes(b" " * 300_000_000)
    sign(bundle)
    with zipfile.ZipFile(tmp_path/"bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for p in sorted(bundle.iterdir()): archive.write(p, p.name)
    shutil.rmtree(bundle)
    refused(tmp_path, opening(made, tmp_path/"bomb.zip", tmp_path), "bomb.zip", "MODEL_CARD.md")


def test_things_that_are_no_bundle(tmp_path, made):
    (tmp_path/"empty").mkdir()
    (tmp_path/"notes.txt").write_text("not a bundle")
    refused(tmp_path, opening(made, tmp_path/"nowhere", tmp_path), "There is no bundle at", "nowhere")
    refused(tmp_path, opening(made, tmp_path/"empty", tmp_path), "is not a bundle: it has no bundle.json")
    refused(tmp_path, opening(made, tmp_path/"notes.txt", tmp_path), "neither a bundle folder nor an intact zip")
    # the wrong way round
    refused(tmp_path, ["predict", made.cohort, made.bundle, "--out", tmp_path/"p.csv"], "is not a bundle")
    refused(tmp_path, ["predict", made.bundle, made.bundle, "--out", tmp_path/"p.csv"], "holds no expression matrix")


# ---------------------------------------------------------------- places that cannot be written

def writers(made, out):
    return [["data", "simulate", out, "--samples", 100, "--genes", 200, "--classes", 2],
            ["train", made.cohort, "--epochs", 2, "--out", out],
            ["train", made.cohort, "--epochs", 2, "--out", f"{out}.zip"],
            ["predict", made.bundle, made.cohort, "--out", f"{out}.csv"],
            ["evaluate", made.bundle, made.cohort, "--out", out], ["run", "train", "--out", out]]


def test_output_under_a_file(tmp_path, made):
    (tmp_path/"file").write_text("mine")
    for words in writers(made, tmp_path/"file"/"deep"/"out"):
        refused(tmp_path, words, "Cannot write", "file", "Choose another output")


def test_output_that_would_replace_something_else(tmp_path, made):
    (tmp_path/"results").mkdir()
    (tmp_path/"results"/"thesis.txt").write_text("years of work")
    (tmp_path/"results.zip").mkdir()
    (tmp_path/"results.zip"/"thesis.txt").write_text("years of work")
    for words in (["train", made.cohort, "--epochs", 2, "--out", tmp_path/"results"],
                  ["train", made.cohort, "--epochs", 2, "--out", tmp_path/"results.zip"],
                  ["predict", made.bundle, made.cohort, "--out", tmp_path/"results"],
                  ["data", "simulate", tmp_path/"results"],
                  ["evaluate", made.bundle, made.cohort, "--out", tmp_path/"results"/"thesis.txt"],
                  ["train", made.cohort, "--epochs", 2, "--out", tmp_path/"results"/"thesis.txt"]):
        refused(tmp_path, words, "results", "Choose")


def test_output_onto_the_input(tmp_path, made, bundle):
    cohort = Path(shutil.copytree(made.cohort, tmp_path/"cohort"))
    matrix = Path(shutil.copy(cohort/"expression.parquet", tmp_path/"expression.parquet"))
    for words in (["train", cohort, "--epochs", 2, "--out", cohort], ["predict", bundle, matrix, "--out", matrix],
                  ["evaluate", bundle, cohort, "--out", bundle],
                  ["predict", bundle, cohort, "--out", bundle/"bundle.json"],
                  ["predict", bundle, cohort, "--out", cohort/"samples.csv"],
                  ["evaluate", bundle, cohort, "--out", cohort],
                  ["train", matrix, "--samples", cohort/"samples.csv", "--epochs", 2, "--out", matrix]):
        refused(tmp_path, words, "Choose another output")


@contextlib.contextmanager
def mounted(folder, options):
    "A small disk of its own, where this user may mount one."
    folder.mkdir()
    if (not ROOT_USER or not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode):
        pytest.skip("no disk can be mounted here")
    try: yield folder
    finally: subprocess.run(["umount", "-l", folder], check=True)  # also while somebody looks into it


def test_output_on_a_disk_that_is_read_only(tmp_path, made):
    with mounted(tmp_path/"disk", "ro,size=1m") as disk:
        for words in writers(made, disk/"out"):
            refused(tmp_path, words, "Cannot write", str(disk), "Choose another output")


def test_output_in_a_folder_that_is_not_writable(tmp_path, made, monkeypatch):
    "As a user without rights would meet it, also where this is root."
    locked = tmp_path/"locked"
    locked.mkdir(mode=0o500)
    true_access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: not (Path(path) == locked and mode & os.W_OK)
                        and true_access(path, mode, **more))
    for words in writers(made, locked/"out")[1:5]:
        refused(tmp_path, words, "Cannot write", "may not write", str(locked), "change its permissions")


@pytest.mark.slow
def test_no_space_left(tmp_path, made):
    with mounted(tmp_path/"disk", "size=20k") as disk:
        for words in writers(made, disk/"out"):
            refused(tmp_path, words, "Cannot write", "no space is left", "another disk")
        (disk/"old").mkdir()
        (disk/"old"/"notes.txt").write_text("mine")
        refused(tmp_path, ["evaluate", made.bundle, made.cohort, "--out", disk/"old"], "no space is left")


@pytest.mark.slow
def test_no_space_for_the_last_file(tmp_path, made, monkeypatch):
    "The disk fills up when most of an evaluation is written."
    import cancer_dl.classify as chapter
    def full(ax, path): raise OSError(errno.ENOSPC, "No space left on device", str(path))
    monkeypatch.setattr(chapter, "save_figure", full)
    refused(tmp_path, ["evaluate", made.bundle, made.cohort, "--out", tmp_path/"new"], "no space is left")
    (tmp_path/"old").mkdir()
    (tmp_path/"old"/"notes.txt").write_text("mine")
    refused(tmp_path, ["evaluate", made.bundle, made.cohort, "--out", tmp_path/"old"], "no space is left")


def test_what_may_be_replaced_is_replaced(tmp_path, made, bundle):
    (bundle/"notes.txt").write_text("mine")
    words = ["train", made.cohort, "--epochs", 2, "--out", bundle]
    refused(tmp_path, words, "holds an earlier bundle already", "--overwrite", "Nothing was changed")
    worked([*words, "--overwrite"])  # an older bundle
    assert (bundle/"notes.txt").read_text() == "mine"
    assert sorted(p.name for p in bundle.iterdir()) == sorted([*(p.name for p in made.bundle.iterdir()), "notes.txt"])
    (tmp_path/"e").mkdir()
    (tmp_path/"e"/"notes.txt").write_text("mine")
    words = ["evaluate", made.bundle, made.cohort, "--out", tmp_path/"e"]
    worked(words)
    refused(tmp_path, words, "holds an earlier evaluation already", "--overwrite")
    worked([*words, "--overwrite"])
    assert ((tmp_path/"e"/"notes.txt").read_text() == "mine"
            and sorted(tree(tmp_path)) == sorted(["bundle", "bundle_comparison.csv", "bundle_predictions.csv", "e",
                                                  *(f"bundle/{p.name}" for p in bundle.iterdir()),
                                                  *(f"e/{p.name}" for p in (tmp_path/"e").iterdir())]))
    for _ in range(2):
        # one table needs no permission
        worked(["predict", made.bundle, made.cohort, "--out", tmp_path/"deep"/"er"/"p.csv"])


def test_a_file_of_other_origin_is_not_replaced(tmp_path, made):
    "A table of predictions may replace one, and nothing else, unless that is asked for; an empty file is nothing."
    predict = ["predict", made.bundle, made.cohort, "--out"]
    (tmp_path/"notes.csv").write_text("sample_id,prediction,my_note\na,b,c\n")
    (tmp_path/"text.csv").write_bytes(b"\xff\x00 no table")
    shutil.copytree(made.cohort, tmp_path/"other")
    worked(["evaluate", made.bundle, made.cohort, "--out", tmp_path/"e"])
    for file in ("notes.csv", "text.csv", "other/samples.csv", "e/predictions.csv", "e/metrics.json"):
        refused(tmp_path, [*predict, tmp_path/file], file, "is there already", "--overwrite")
    refused(tmp_path, ["data", "info", made.cohort, "--html", tmp_path/"notes.csv"], "is there already", "--overwrite")
    (tmp_path/"empty.csv").touch()
    for file in ("empty.csv", "p.csv.gz"):
        for more in ([], ["--top", 1, "--conformal", 0.8]): worked([*predict, tmp_path/file, *more])
    worked([*predict, tmp_path/"notes.csv", "--overwrite"])
    for _ in range(2): worked(["data", "info", made.cohort, "--html", tmp_path/"page.html"])


def test_what_is_written_is_known(tmp_path, made):
    """Each file of an evaluation and an explanation is on the list by which a foreign file of its name is noticed
    before the work."""
    from cancer_dl.classify import EVALUATION
    from cancer_dl.explain_page import EXPLANATION
    worked(["evaluate", made.bundle, made.cohort, "--out", tmp_path/"e"])
    worked(["explain", made.bundle, made.cohort, "--out", tmp_path/"x", "--stability", 0, "--epochs", 2])
    for folder, known in (("e", EVALUATION["known"]), ("x", EXPLANATION["known"])):
        found = {p.name for p in (tmp_path/folder).iterdir()} - {"files.json"}
        assert found and found <= set(known), found - set(known)
    refused(tmp_path, ["explain", made.bundle, made.cohort, "--out", tmp_path/"x"], "earlier explanation",
            "--overwrite")


def test_foreign_files_are_never_lost(tmp_path, made):
    "Files of our names, but made by somebody else."
    for name in ("metrics.json", "confusion.png"):
        (tmp_path/name/"r").mkdir(parents=True)
        (tmp_path/name/"r"/name).write_text("mine")
        refused(tmp_path, ["evaluate", made.bundle, made.cohort, "--out", tmp_path/name/"r", "--overwrite"], name,
                "was not written by cancer_dl")
    write(tmp_path/"hand", made.frame, made.samples)
    refused(tmp_path, ["data", "simulate", tmp_path/"hand", "--overwrite"], "holds something else")
    (tmp_path/"thesis.zip").write_text("no zip")
    refused(tmp_path, ["train", made.cohort, "--epochs", 2, "--out", tmp_path/"thesis.zip", "--overwrite"],
            "is a file, and no bundle")
    refused(tmp_path, ["run", "train", "--out", tmp_path/"hand", "--overwrite"], "it is a cohort")
    (tmp_path/"r").mkdir()
    (tmp_path/"r"/"results.json").write_text("{}")
    refused(tmp_path, ["run", "train", "--out", tmp_path/"r", "--overwrite"], "results.json",
            "was not written by a run")
    (tmp_path/"grid.yaml").write_text("recipe: train\ngrid: {seed: [1]}\n")
    (tmp_path/"r"/"results.parquet").write_text("mine")
    refused(tmp_path, ["sweep", tmp_path/"grid.yaml", "--out", tmp_path/"r"], "results.parquet is no table of a sweep")


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["", "overwrite"])
def test_an_input_inside_the_output(overwrite, tmp_path, made, bundle, monkeypatch):
    "`train m/cohort --out m`, in many spellings."
    (bundle/"notes.txt").write_text("mine")
    cohort = Path(shutil.copytree(made.cohort, bundle/"cohort"))
    (tmp_path/"soft").symlink_to(bundle)
    monkeypatch.chdir(tmp_path)
    for out in (bundle, "bundle", "bundle/", "./bundle", "bundle/cohort/..", "../" + tmp_path.name + "/bundle", "."):
        refused(tmp_path, ["train", cohort, "--epochs", 2, "--out", out, *overwrite], "read by this very command")
    refused(tmp_path, ["train", "soft/cohort", "--epochs", 2, "--out", "bundle", *overwrite],
            "read by this very command")
    refused(tmp_path, ["train", cohort, "--epochs", 2, "--out", "soft", *overwrite], "symbolic link")
    refused(tmp_path, ["evaluate", made.bundle, cohort, "--out", bundle, *overwrite], "read by this very command")
    refused(tmp_path, ["run", "train", "-p", "cohort", cohort, "--out", bundle, *overwrite],
            "read by this very command")
    refused(tmp_path, ["train", made.cohort, "--samples", cohort/"samples.csv", "--epochs", 2, "--out", cohort,
                       *overwrite], "read by this very command")


def test_a_model_may_lie_in_the_folder_of_its_cohort(tmp_path, made, monkeypatch):
    cohort = Path(shutil.copytree(made.cohort, tmp_path/"cohort"))
    monkeypatch.chdir(cohort)
    worked(["train", ".", "--epochs", 2, "--out", "model"])
    worked(["predict", "model", ".", "--out", "predictions.csv"])
    # there is none, but it would be read next time
    refused(tmp_path, ["predict", "model", ".", "--out", "expression.csv"], "read by this very command")


@pytest.mark.skipif(os.name != "posix", reason="devices of POSIX")
def test_output_on_devices_pipes_and_links(tmp_path, made):
    os.mkfifo(tmp_path/"pipe")
    (tmp_path/"real").mkdir()
    (tmp_path/"link").symlink_to("real")
    (tmp_path/"dangling").symlink_to("nowhere")
    null = os.lstat("/dev/null")
    for out in ("/dev/null", "/dev/stdout", "pipe", "link", "dangling"):
        out = tmp_path/out  # an absolute path stays
        for words in writers(made, out):
            if out.name in str(words[-1]) and not str(words[-1]).endswith((".csv", ".zip")):
                check_paragraph(cancer_dl(*words), "Cannot write", str(out))
        check_paragraph(cancer_dl("predict", made.bundle, made.cohort, "--out", out), "Cannot write", str(out))
    assert (os.lstat("/dev/null").st_rdev == null.st_rdev and (tmp_path/"link").is_symlink()
            and (tmp_path/"dangling").is_symlink())
    assert (sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "link", "pipe", "real"]
            and not list((tmp_path/"real").iterdir()))


def test_output_at_home(tmp_path, made, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for words in (["train", made.cohort, "--out", tmp_path], ["evaluate", made.bundle, made.cohort, "--out", "/"],
                  ["data", "simulate", tmp_path], ["run", "train", "--out", tmp_path]):
        refused(tmp_path, words, "home folder, or the root")


def test_a_bundle_that_a_killed_process_left_aside_comes_back(tmp_path, made, bundle):
    "Between two renames, on a disk that cannot exchange names."
    from cancer_dl.core import _host
    aside = tmp_path/f".bundle.new-999999999-{_host()}-abcdefgh"/"old"
    aside.mkdir(parents=True)
    bundle.rename(aside/"bundle")
    worked(["predict", bundle, made.cohort, "--out", tmp_path/"p.csv"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "p.csv"]


# ---------------------------------------------------------------- evaluate, models, data

def test_keys_of_metrics(tmp_path, made):
    worked(["evaluate", made.bundle, made.cohort, "--out", tmp_path/"e"])
    metrics = json.loads((tmp_path/"e"/"metrics.json").read_text())
    assert metrics["n"] == 271
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        low, high = metrics[f"{key}_interval"]
        assert 0 <= low <= metrics[key] <= high <= 1
    table = pd.read_csv(tmp_path/"e"/"predictions.csv", index_col="sample_id")
    assert metrics["accuracy"] == pytest.approx((table["prediction"] == table["label"]).mean(), abs=1e-5)
    assert list(tmp_path.glob("e/*.png"))
    assert (table["label"] == made.samples.loc[table.index, "cancer_type"]).all()


def test_a_cohort_of_one_class_can_be_evaluated(tmp_path, tables, made):
    frame, samples = tables
    rows = (samples["cancer_type"] == "BRCA").to_numpy()
    worked(["evaluate", made.bundle, write(tmp_path/"cohort", frame[rows], samples[rows]), "--out", tmp_path/"e"])
    metrics = json.loads((tmp_path/"e"/"metrics.json").read_text())
    table = pd.read_csv(tmp_path/"e"/"predictions.csv")
    assert metrics["accuracy"] == pytest.approx((table["prediction"] == "BRCA").mean(), abs=1e-5)


def test_normals_need_no_flag_afterwards(tmp_path, made):
    worked(["train", made.cohort, "--normal-class", "--epochs", 2, "--out", tmp_path/"m"])
    worked(["evaluate", tmp_path/"m", made.cohort, "--out", tmp_path/"e"])
    assert json.loads((tmp_path/"e"/"metrics.json").read_text())["n"] == 300
    assert "p_NORMAL" in pd.read_csv(tmp_path/"e"/"predictions.csv")


def test_the_same_seed_gives_the_same_bundle(tmp_path, made):
    for name in "ab":
        worked(["train", made.cohort, "--epochs", 2, "--seed", 5, "--out", tmp_path/name])
        worked(["predict", tmp_path/name, made.cohort, "--out", tmp_path/f"{name}.csv"])
    assert (tmp_path/"a.csv").read_bytes() == (tmp_path/"b.csv").read_bytes()


def test_for_machines(made):
    rows = json.loads(worked(["models", "--json"]))
    assert {"name", "parameters", "paper", "description"} <= set(rows[0]) and "cnn1d" in [row["name"] for row in rows]
    table = worked(["models"])
    assert all(row["name"] in table and row["description"] in table for row in rows)
    about = json.loads(worked(["data", "info", made.cohort, "--json"]))
    assert (about["n_samples"], about["n_genes"], about["units"]) == (300, 200, "log2(FPKM+1)")


def test_simulated_cohorts(tmp_path):
    words = ["data", "simulate", tmp_path/"c", "--samples", 120, "--genes", 150, "--classes", 3, "--seed"]
    first = (worked([*words, 1]), tree(tmp_path))
    assert {"c/expression.parquet", "c/samples.csv", "c/truth.csv"} <= set(first[1])
    assert list(pd.read_csv(tmp_path/"c"/"truth.csv").columns[:4]) == ["class", "gene", "kind", "effect"]
    refused(tmp_path, [*words, 1], "holds an earlier cohort already", "--overwrite")
    assert (worked([*words, 1, "--overwrite"]), tree(tmp_path)) == first
    (tmp_path/"c"/"notes.txt").write_text("mine")
    (tmp_path/"c"/"models").mkdir()
    worked([*words, 2, "--overwrite"])
    assert {k: v for k, v in tree(tmp_path).items() if k in first[1]} != first[1]
    assert (tmp_path/"c"/"notes.txt").read_text() == "mine" and (tmp_path/"c"/"models").is_dir()


@pytest.mark.parametrize("option, value, part", [
    ("--samples", -5, "samples"), ("--samples", 0, "samples"), ("--samples", 9, "samples"), ("--genes", 0, "genes"),
    ("--genes", -1, "genes"),
    ("--classes", 1, "2 to 33"), ("--classes", 99, "2 to 33"), ("--difficulty", "nan", "difficulty"),
    ("--difficulty", "inf", "difficulty"), ("--seed", -1, "seed")])
def test_cohorts_that_cannot_be_simulated(option, value, part, tmp_path):
    refused(tmp_path, ["data", "simulate", tmp_path/"c", option, value], part)


def test_sources_that_do_not_exist(tmp_path):
    refused(tmp_path, ["data", "fetch", "tgca", "--cache", tmp_path/"cache"], "tcga")
    refused(tmp_path, ["data", "fetch", "tcga", "--cache", tmp_path/"cache", "--mirror", tmp_path/"nowhere"], "nowhere")
    assert "tcga" in worked(["data", "fetch", "list"])


# ---------------------------------------------------------------- train

@pytest.mark.parametrize("words, parts", [
    (["--set", "epoch=3"], ["no setting called 'epoch'", "Did you mean epochs"]),
    (["--set", "droput=.5"], ["Did you mean dropout"]), (["--set", "dropout"], ["expected key=value"]),
    (["--set", "=3"], ["expected key=value"]), (["--set", "zzzzzz=3"], ["zzzzzz"]),
    (["--model", "cnn1"], ["Did you mean", "cnn1d"]), (["--model", "perceiver"], ["perceiver", "cnn1d"]),
    (["--set", "model=cnn1d"], ["--model"]), (["--set", "learning_rate=fast"], ["learning_rate", "fast"]),
    (["--set", "learning_rate=-1"], ["learning_rate"]), (["--set", "learning_rate=nan"], ["learning_rate"]),
    (["--set", "batch_size=0"], ["batch_size"]), (["--set", "batch_size=2.5"], ["batch_size"]),
    (["--epochs", 0], ["--epochs"]), (["--set", "epochs=0"], ["epochs=0", "at least 1"]),
    (["--epochs", -3], ["epochs"]), (["--set", "epochs=many"], ["epochs", "many"]),
    (["--set", "patience=-1"], ["patience"]), (["--set", "dropout=2"], ["dropout"]),
    (["--set", "dropout=-0.5"], ["dropout"]), (["--set", "loss=focus"], ["loss", "focus"]),
    (["--set", "optimizer=adm"], ["adm"]), (["--set", "member_settings={'filters': [2]}"], ["'mlp' called 'filters'"]),
    (["--set", "class_weight=heavy"], ["class", "heavy"]), (["--set", "label_smoothing=7"], ["label_smoothing"]),
    (["--set", "monitor=speed"], ["monitor", "speed"]), (["--set", "dense=many"], ["dense", "many"]),
    (["--set", "dense=0"], ["dense"]), (["--set", "callbacks=[1]"], ["callbacks"]),
    (["--set", "verbose=loud"], ["verbose"]), (["--set", "random_state=lucky"], ["random_state"]),
    (["--seed", -1], ["seed"]), (["--set", "random_state=-1"], ["random_state"]),
    (["--set", "model_params=5"], ["model_params"]), (["--set", "validation_fraction=3"], ["validation_fraction"])],
                         ids=lambda w: " ".join(map(str, w)) if isinstance(w, list) else None)
def test_settings_that_make_no_sense(words, parts, tmp_path, made):
    refused(tmp_path, ["train", made.cohort, "--out", tmp_path/"m", *words], *parts)


def test_settings_reach_the_network(tmp_path, made):
    worked(["train", made.cohort, "--epochs", 2, "--set", "dropout=0.25", "--set", "dense=8", "--set",
            "patience=None", "--out", tmp_path/"m"])
    facts = json.loads((tmp_path/"m"/"bundle.json").read_text())
    assert {"dropout": 0.25, "dense": 8}.items() <= facts["estimator"]["model_params"].items()
    assert facts["estimator"]["patience"] is None and len(facts["history"]["loss"]) == 2


# ---------------------------------------------------------------- run and sweep

def test_recipes_and_parameters_that_do_not_exist(tmp_path):
    refused(tmp_path, ["run", "trian", "--out", tmp_path/"r"], "no recipe called 'trian'", "Did you mean train")
    refused(tmp_path, ["run", tmp_path/"mine.ipynb", "--out", tmp_path/"r"], "no notebook at", "mine.ipynb")
    refused(tmp_path, ["run", "train", "-p", "epoch", 3, "--out", tmp_path/"r"], "no parameter epoch",
            "Did you mean epochs")
    refused(tmp_path, ["run", "train", "-p", "epochs", "many", "--out", tmp_path/"r"], "epochs", "many", "a number")
    refused(tmp_path, ["run", "train", "-p", "out", "x", "--out", tmp_path/"r"], "--out")
    refused(tmp_path, ["run", "train", "-p", "epochs", "--out", tmp_path/"r"], "-p", "KEY VALUE")
    refused(tmp_path, ["run", "train", "-y", tmp_path/"nowhere.yaml", "--out", tmp_path/"r"], "nowhere.yaml",
            "cannot be read")
    (tmp_path/"list.yaml").write_text("- 1\n- 2\n")
    refused(tmp_path, ["run", "train", "-y", tmp_path/"list.yaml", "--out", tmp_path/"r"], "list.yaml", "name: value")
    assert "train" in worked(["run"])
    for words in (["-p", "help", ""], ["--help"], ["-h"], ["--help", "-p", "epochs", 3]):
        shown = worked(["run", "train", *words])
        for name, default in (("epochs", "0"), ("label", "'cancer_type'"), ("compare", "True")):
            assert re.search(rf"^  {name} +{default} +\w", shown, re.M), shown
    refused(tmp_path, ["run", "trian", "--help"], "Did you mean train")


@pytest.mark.parametrize("text, parts", [
    ("a: &a [*a]", ["contains itself"]), ("&a {b: *a}", ["contains itself"]),
    ("epochs: 1\nepochs: 2", ["line 2", "`epochs` is there twice"]),
    ("x: " + "["*3000 + "]"*3000, ["nested"]), ("epochs: !!python/object/apply:os.system [ls]", ["tag"]),
    ("epochs: !!timestamp 2024-01-01", ["tag"]),
    ("\n".join(["a0: &a0 [x,x,x,x,x,x,x,x,x]"] + [f"a{i}: &a{i} [{','.join([f'*a{i-1}']*9)}]" for i in range(1, 12)]),
     ["stands for more than"]),
    ("epochs: " + "9"*2_000_000, ["larger than"]), ("epochs: .inf", ["epochs", "a number"]),
    ("epochs: 1e999", ["epochs", "finite"]), ("epochs: 2024-01-01", ["epochs", "a number"]),
    ("epochs: 0x10", ["epochs", "a number"]), ("compare: maybe", ["compare", "true or false"]),
    ("label: \"\\0\"", ["label", "UTF-8"])])
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_parameters_from_hostile_files(command, text, parts, tmp_path):
    (tmp_path/"p.yaml").write_text(text if command == "run" else "recipe: train\nparameters:\n"
                                   + "".join(f"  {line}\n" for line in text.splitlines()))
    words = (["run", "train", "-y", tmp_path/"p.yaml", "--out", tmp_path/"r"] if command == "run"
             else ["sweep", tmp_path/"p.yaml", "--out", tmp_path/"s"])
    refused(tmp_path, words, *(["twice"] if "line 2" in parts else parts))


def test_parameter_files_that_cannot_be_read(tmp_path):
    for name, content, part in (("latin", "label: Krebsgröße".encode("latin-1"), "not UTF-8"),
                                ("wide", "label: x".encode("utf-16"), "not UTF-8"), ("nul", b"label: \0", "not YAML")):
        (tmp_path/name).write_bytes(content)
        refused(tmp_path, ["run", "train", "-y", tmp_path/name, "--out", tmp_path/"r"], part, name)
        refused(tmp_path, ["sweep", tmp_path/name, "--out", tmp_path/"s"], part, name)
    refused(tmp_path, ["run", "train", "-y", tmp_path, "--out", tmp_path/"r"], "it is a folder")


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "NaN", "Infinity", "1e999", "1_000", "0x10", "2024-01-01",
                                   "１２", "", "9"*400 + "e400"])
def test_numbers_that_are_none(value, tmp_path):
    refused(tmp_path, ["run", "train", "-p", "epochs", value, "--out", tmp_path/"r"], "epochs", "a number, such as 0")


def test_the_seed_and_the_size_of_a_sweep(tmp_path):
    for text, part in (("seed: x\nrepeats: 2", "`seed`"), ("repeats: 1000000000", "at most"),
                       ("grid: {" + ", ".join(f"{k}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" for k in (
                           "epochs", "n_samples", "n_genes", "components", "seed", "label")) + "}", "1,000,000 runs")):
        (tmp_path/"grid.yaml").write_text("recipe: train\n" + text)
        refused(tmp_path, ["sweep", tmp_path/"grid.yaml", "--out", tmp_path/"s"], part)


@pytest.mark.parametrize("text, parts", [
    ("recipe: train\ngrid: [1, 2", ["line"]), ("", ["must hold"]), ("grid: {seed: [1]}", ["recipe"]),
    ("recipe: trian\ngrid: {seed: [1]}", ["Did you mean train"]),
    ("recipe: train\ngrid: {sed: [1]}", ["sed", "seed"]), ("recipe: train\ngird: {seed: [1]}", ["gird", "grid"]),
    ("recipe: train\ngrid: {seed: 1}", ["seed"]),
    ("recipe: train\ngrid: {seed: []}", ["seed"]), ("recipe: train\ngrid: {epochs: [few]}", ["epochs", "few"]),
    ("recipe: 7\ngrid: {seed: [1]}", ["recipe"])])
def test_grids_that_are_none(text, parts, tmp_path):
    (tmp_path/"grid.yaml").write_text(text)
    refused(tmp_path, ["sweep", tmp_path/"grid.yaml", "--out", tmp_path/"s"], *parts)


def test_options_of_sweep(tmp_path):
    (tmp_path/"grid.yaml").write_text("recipe: train\ngrid: {seed: [1]}\n")
    refused(tmp_path, ["sweep", tmp_path/"nowhere.yaml", "--out", tmp_path/"s"], "nowhere.yaml")
    refused(tmp_path, ["sweep", tmp_path, "--out", tmp_path/"s"], str(tmp_path))
    refused(tmp_path, ["sweep", tmp_path/"grid.yaml", "--out", tmp_path/"s", "--jobs", 0], "jobs")
    refused(tmp_path, ["sweep", tmp_path/"grid.yaml", "--out", tmp_path/"s", "--backend", "locky"], "Did you mean loky")
    refused(tmp_path, ["sweep", tmp_path/"grid.yaml", "--out", tmp_path/"grid.yaml"], "grid.yaml")


# ---------------------------------------------------------------- help, usage, debug

DOCUMENTED = {("data", "simulate"): "--samples --genes --classes --seed", ("data", "info"): "COHORT",
              ("data", "fetch"): "NAME --cache",
              ("train",): "COHORT --label --model --normal-class --drop-unlabelled --epochs --seed --set --out",
              ("predict",): "BUNDLE COHORT --out --top --min-score",
              ("evaluate",): "BUNDLE COHORT --label --out", ("models",): "--json",
              ("run",): "RECIPE -p -y --out --quiet", ("sweep",): "GRID --out --jobs --backend --quiet",
              ("data",): "simulate info fetch", (): "data train predict evaluate models run sweep --debug --version"}


@pytest.mark.parametrize("words", DOCUMENTED, ids=" ".join)
def test_help_mentions_what_is_documented(words):
    shown = worked([*words, "--help"])
    assert not [option for option in DOCUMENTED[words].split() if option not in shown]
    assert worked([*words, "-h"]) == shown


@pytest.mark.parametrize("words, parts", [(["tarin"], ["tarin"]), (["train"], ["COHORT"]), (["train", "c"], ["--out"]),
                                          (["train", "c", "--out", "o", "--epochs", "many"], ["--epochs", "integer"]),
                                          (["train", "c", "--out", "o", "--epoch", "3"], ["--epoch"]),
                                          (["predict", "b"], ["COHORT"]), (["data", "inof", "c"], ["inof"]),
                                          (["predict", "b", "c", "d", "--out", "o"], ["d"])])
def test_words_that_are_not_understood(words, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(tmp_path, words, *parts, "See cancer_dl", "--help.")


def test_debug_shows_where(tmp_path, made):
    shown = cancer_dl("--debug", "data", "info", tmp_path/"nowhere")
    assert (shown.code == 2 and "Traceback (most recent call last)" in shown.err and "in data_info" in shown.err
            and "there is no such file or folder" in shown.err.splitlines()[-1])
    refused(tmp_path, ["data", "info", tmp_path/"nowhere"])  # and not the next time


def test_a_fault_of_ours_is_named_as_such(tmp_path, made, monkeypatch):
    import cancer_dl.data.cohort as chapter
    monkeypatch.setattr(chapter, "read_cohort", lambda *a, **k: 1/0)
    done = cancer_dl("data", "info", made.cohort)
    assert done.code == 1 and "ZeroDivisionError" in done.err and "--debug" in done.err and "Traceback" not in done.err


def test_errors_of_python_that_reach_the_top_are_explained(tmp_path, made, monkeypatch):
    import cancer_dl.data.cohort as chapter
    def raising(error):
        def fail(*a, **k): raise error
        monkeypatch.setattr(chapter, "read_cohort", fail)
    for error, part in [(IsADirectoryError(errno.EISDIR, "Is a directory", "x/y"), "Cannot use x/y: is a directory"),
                        (PermissionError(errno.EACCES, "Permission denied", "x/y"), "permission denied"),
                        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "not UTF-8"),
                        (RecursionError("deep"), "nested too deeply"), (MemoryError(), "Not enough memory")]:
        raising(error)
        refused(tmp_path, ["data", "info", made.cohort], part)


def test_no_warning_beside_an_error(tmp_path, made, monkeypatch):
    import cancer_dl.data.cohort as chapter
    from cancer_dl.core import InputError
    def noisy(*args, **kwargs):
        warnings.warn("a note of pandas", FutureWarning)
        np.log(np.array([-1.0, 0.0]))
        raise InputError("The file is broken. Get it again.")
    monkeypatch.setattr(chapter, "read_cohort", noisy)
    for words in (["data", "info", made.cohort], ["train", made.cohort, "--out", tmp_path/"m"],
                  ["predict", made.bundle, made.cohort, "--out", tmp_path/"p.csv"]):
        assert refused(tmp_path, words) == "Error: The file is broken. Get it again.\n"
    shown = cancer_dl("--debug", "data", "info", made.cohort)
    assert "a note of pandas" in shown.err and "RuntimeWarning" in shown.err


def test_errors_of_the_input_come_before_tensorflow(tmp_path, tables, made):
    frame, samples = tables
    (tmp_path/"in").mkdir()
    one = write(tmp_path/"in"/"one", frame, samples.assign(cancer_type="BRCA"))
    broken = write(tmp_path/"in"/"broken", frame.assign(bad=np.nan), samples)
    asked = [["train", one, "--out", tmp_path/"m"],
             ["train", made.cohort, "--label", "nothing", "--out", tmp_path/"m"],
             ["predict", made.bundle, broken, "--out", tmp_path/"p.csv"],
             ["evaluate", made.bundle, broken, "--out", tmp_path/"e"],
             ["evaluate", made.bundle, made.cohort, "--label", "nothing", "--out", tmp_path/"e"],
             ["explain", made.bundle, broken, "--out", tmp_path/"x"],
             ["predict", tmp_path/"nowhere", made.cohort, "--out", tmp_path/"p.csv"]]
    code = f"""import sys
from cancer_dl.cli import main
for words in {[[str(word) for word in words] for words in asked]}:
    try: main(words)
    except SystemExit as end: print(end.code, "tensorflow" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split("\n")[:-1] == ["2 False"] * len(asked), (done.stdout, done.stderr)


# ---------------------------------------------------------------- as processes

@pytest.mark.slow
def test_processes(tmp_path, made):
    "Nothing but the paragraph on standard error, nothing but the answer on standard output."
    (tmp_path/"in").mkdir()
    one = write(tmp_path/"in"/"one", made.frame, made.samples.assign(cancer_type="BRCA"))
    refused(tmp_path, ["train", one, "--out", tmp_path/"m"], "one class only", run=process)
    worked(["train", made.cohort, "--epochs", 2, "--out", "my model"], run=lambda *w: process(*w, cwd=tmp_path))
    shown = process("--debug", "data", "info", tmp_path/"nowhere")
    assert shown.code == 2 and "Traceback (most recent call last)" in shown.err and "InputError" in shown.err


def test_the_console_script(made):
    script = Path(sys.executable).parent/"cancer_dl"
    if not script.exists(): pytest.skip("the package is not installed")
    done = subprocess.run([script, "data", "info", made.cohort], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and "300" in done.stdout
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("cancer_dl ")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_early():
    code = "from cancer_dl.cli import main; main()"
    done = subprocess.run(f'{sys.executable} -c "{code}" models | true', shell=True, capture_output=True, text=True)
    assert done.stderr == ""


# ---------------------------------------------------------------- what the terminal says

def test_the_terminal_names_the_option_the_normals_and_the_path(tmp_path, tables, made):
    frame, samples = tables
    for words in (["evaluate", made.bundle], ["explain", made.bundle]):
        renamed = write(tmp_path/"renamed", frame, samples.rename(columns={"cancer_type": "diagnosis"}))
        refused(tmp_path, [*words, renamed, "--out", tmp_path/"new"], "cancer_type", "--label COLUMN")
    normals = int((samples["sample_type"] == "normal").sum())
    assert (normals and f"Warning: {normals} of the 300 samples are normal tissue"
            in worked(["predict", made.bundle, made.cohort, "--out", tmp_path/"p.csv"]))
    assert list(pd.read_csv(tmp_path/"p.csv").columns[:3]) == ["sample_id", "prediction", "score"]
    said = worked(["evaluate", made.bundle, made.cohort, "--out", tmp_path/"e"])
    assert f"left out   {normals} normals" in said and "were in training" in (tmp_path/"e"/"report.html").read_text()
    said = worked(["data", "info", write(tmp_path/"a cohort", frame), "--samples", made.cohort/"samples.csv"])
    assert (f"train '{tmp_path}/a cohort' --samples {made.cohort}/samples.csv --label cancer_type" in said
            and "COHORT" not in said)


def test_the_sample_sheet_cannot_be_trained_on(tmp_path, tables):
    cohort = write(tmp_path/"c", *tables)
    refused(tmp_path, ["train", cohort/"samples.csv", "--out", tmp_path/"new"], "is the sample sheet",
            f"Give the folder: {cohort}")
