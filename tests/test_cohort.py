"""Reading cohorts: what must be read, and what must be refused with the place and the remedy."""
import errno
import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import cancer_dl.data.table as chapter
from refusing import refused

from cancer_dl.core import InputError
from cancer_dl.data.checkup import cohort_report, describe_cohort
from cancer_dl.data.cohort import read_cohort, write_cohort
from cancer_dl.data.genes import align_genes, collapse_genes, read_gene_map
from cancer_dl.data.samples import NORMAL, labels_of, parse_barcodes, patients_of
from cancer_dl.data.sheet import read_sample_table
from cancer_dl.data.table import detect_orientation
from cancer_dl.data.units import guess_units

SAMPLES = [f"TCGA-A7-A{i:03d}-{code}" for i, code in enumerate(["01A", "11A", "01A", "01A", "06A", "01A"])]
GENES = ["TP53", "EGFR", "MYC", "KRAS"]


@pytest.fixture
def frame():
    values = np.random.default_rng(0).gamma(3, 1.3, size=(len(SAMPLES), len(GENES))).round(3)
    return pd.DataFrame(values, index=pd.Index(SAMPLES, name="sample_id"), columns=GENES)


@pytest.fixture
def labels():
    return pd.DataFrame({"cancer_type": ["A", "A", "B", "B", "A", "B"]}, index=pd.Index(SAMPLES, name="sample_id"))


@pytest.fixture
def cohort(frame, labels):
    return anndata.AnnData(frame.to_numpy(np.float32), obs=labels.copy(), var=pd.DataFrame(index=GENES),
                           uns={"units": "log2(x+1)"})


def text(path, content):
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    return path


# ---------------------------------------------------------------- reading

@pytest.mark.parametrize("name,separator", [("expression.csv", ","), ("expression.tsv", "\t"),
                                            ("expression.csv.gz", ","), ("expression.tsv.gz", "\t"),
                                            ("expression.txt", ";")])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("as_folder", [False, True])
def test_text_in_both_orientations(tmp_path, frame, labels, name, separator, flipped, as_folder):
    (frame.T if flipped else frame).to_csv(tmp_path/name, sep=separator)
    labels.to_csv(tmp_path/"samples.csv")
    cohort = read_cohort(tmp_path) if as_folder else read_cohort(tmp_path/name, tmp_path/"samples.csv")
    assert cohort.X.dtype == np.float32 and cohort.X.flags.c_contiguous
    np.testing.assert_array_equal(cohort.X, frame.to_numpy(np.float32))
    assert cohort.obs_names.tolist() == SAMPLES and cohort.var_names.tolist() == GENES
    assert cohort.obs["cancer_type"].tolist() == labels["cancer_type"].tolist()


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_parquet_in_both_orientations(tmp_path, frame, labels, flipped, dtype):
    frame = frame.round().astype(dtype)
    (frame.T if flipped else frame).to_parquet(tmp_path/"expression.parquet")
    cohort = read_cohort(tmp_path/"expression.parquet", labels)
    np.testing.assert_array_equal(cohort.X, frame.to_numpy(np.float32))


def test_parquet_with_the_ids_in_a_column(tmp_path, frame):
    frame.reset_index().to_parquet(tmp_path/"x.parquet", index=False)
    np.testing.assert_array_equal(read_cohort(tmp_path/"x.parquet").X, frame.to_numpy(np.float32))


def test_many_columns_and_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(chapter, "_LINES_BYTES", 3000)
    monkeypatch.setattr(chapter, "_BLOCK_BYTES", 40_000)
    X = np.random.default_rng(1).normal(size=(83, 1203)).astype(np.float32)
    frame = pd.DataFrame(X, index=[f"s{i}" for i in range(83)], columns=[f"g{j}" for j in range(1203)])
    frame.to_csv(tmp_path/"a.csv", float_format="%.9g")
    frame.T.to_csv(tmp_path/"b.tsv.gz", sep="\t", float_format="%.9g")
    frame.to_parquet(tmp_path/"c.parquet")
    table = pd.DataFrame(index=frame.index)
    for name in ("a.csv", "b.tsv.gz", "c.parquet"):
        np.testing.assert_array_equal(read_cohort(tmp_path/name, table).X, X)


def test_the_fast_and_the_slow_parser_agree(monkeypatch, tmp_path, frame):
    frame.iloc[2, 1] = np.nan
    frame.to_csv(tmp_path/"a.csv")
    fast = read_cohort(tmp_path/"a.csv", missing="keep").X
    monkeypatch.setattr(chapter, "_parse_column", lambda text: ())
    np.testing.assert_array_equal(fast, read_cohort(tmp_path/"a.csv", missing="keep").X)


def test_dialects(tmp_path, frame):
    "R's write.table and write.csv, a byte order mark, CRLF, a GCT file, comment lines, a tab too many."
    values = frame.T
    header, body = ("\t".join(f'"{s}"' for s in SAMPLES),
                    "\n".join(f'"{g}"\t' + "\t".join(map(str, values.loc[g])) for g in GENES))
    plain = ("id\t" + "\t".join(SAMPLES) + "\n"
             + "\n".join(f"{g}\t" + "\t".join(map(str, values.loc[g])) for g in GENES) + "\n")
    forms = {"r.tsv": f"{header}\n{body}\n", "rna.csv": f'""\t{header}\n{body}', "bom.tsv": "\ufeff" + plain,
             "comment.tsv": "# version 3\n\n" + plain, "gct.tsv": "#1.2\n4\t6\n"
             + "\n".join("\t".join([line.split("\t")[0], "Description" if i == 0 else "na", *line.split("\t")[1:]])
                         for i, line in enumerate(plain.strip().split("\n"))),
             "crlf.tsv": plain.replace("\n", "\r\n"),
             "trailing.tsv": "\n".join(line + "\t" for line in plain.strip().split("\n")),
             "no end.tsv": plain.rstrip("\n"), "blank.tsv": plain.replace("\n", "\n\n")}
    for name, content in forms.items():
        (tmp_path/name).write_bytes(content.encode("utf-8"))
        cohort = read_cohort(tmp_path/name)
        np.testing.assert_array_equal(cohort.X, frame.to_numpy(np.float32), err_msg=name)
        assert cohort.obs_names.tolist() == SAMPLES and cohort.var_names.tolist() == GENES, name


def test_annotation_columns_beside_the_ids(tmp_path):
    path = text(tmp_path/"cbio.txt", "Hugo_Symbol\tEntrez_Gene_Id\tS1\tS2\nTP53\t7157\t1\t2\nEGFR\t1956\t3\t4.5\n")
    cohort = read_cohort(path, orientation="genes x samples")
    assert cohort.var["Entrez_Gene_Id"].tolist() == ["7157", "1956"] and cohort.X.tolist() == [[1, 3], [2, 4.5]]
    path = text(tmp_path/"cumida.csv", "samples,type,p1_at,p2_at\n834,ependymoma,1,2.5\n835,normal,3,4.5\n")
    cohort = read_cohort(path, orientation="samples x genes")
    assert (cohort.obs["type"].to_dict() == {"834": "ependymoma", "835": "normal"}
            and cohort.X.tolist() == [[1, 2.5], [3, 4.5]])


def test_row_numbers_saved_beside_the_ids(tmp_path, frame):
    frame.reset_index().to_csv(tmp_path/"a.csv")
    frame.T.reset_index(names="gene").to_csv(tmp_path/"b.csv")
    for name in ("a.csv", "b.csv"):
        cohort = read_cohort(tmp_path/name)
        assert cohort.obs_names.tolist() == SAMPLES and cohort.var_names.tolist() == GENES


def test_quotes(tmp_path):
    path = text(tmp_path/"a.csv", '"gene","S,1","S2"\n"HLA-A, I","1","2.5"\n"B""q",3,"4"\n')
    cohort = read_cohort(path, orientation="genes x samples")
    assert (cohort.obs_names.tolist() == ["S,1", "S2"] and cohort.var_names.tolist() == ["HLA-A, I", 'B"q']
            and cohort.X.tolist() == [[1, 3], [2.5, 4]])
    path = text(tmp_path/"c.csv", 'gene,S1,"S2\n'.replace("\n", "\rx\n") + 'A,1,2\n')
    assert read_cohort(path, orientation="genes x samples").n_obs == 2
    path = text(tmp_path/"d.csv", "gene,S1,S2\nA,1,2\nB,3," + '"' + "4" * 200_000 + "\n")
    refused(lambda: read_cohort(path, orientation="genes x samples"), "d.csv")
    path = text(tmp_path/"b.csv", 'gene,S1,S2\nA,1,2\nB,"3,4\nC,5,6\n')
    refused(lambda: read_cohort(path, orientation="genes x samples"), "line 3", "row 'B'")


def test_gdc_star_counts(tmp_path):
    lines = ["gene_id\tgene_name\tgene_type\t" + "\t".join(SAMPLES[:2]), "N_unmapped\t\t\t9\t9",
             "N_noFeature\t\t\t9\t9",
             "ENSG00000141510.18\tTP53\tprotein_coding\t10\t20", "ENSG00000002586.20\tCD99\tprotein_coding\t5\t6",
             "ENSG00000002586.20_PAR_Y\tCD99\tprotein_coding\t0\t1"]
    path = text(tmp_path/"star.tsv", "\n".join(lines))
    assert read_cohort(path).var_names.tolist() == ["ENSG00000141510", "ENSG00000002586", "ENSG00000002586_PAR_Y"]
    refused(lambda: read_cohort(path, gene_map="gene_name"), "CD99 (2 times)", "duplicates='first'")
    cohort = read_cohort(path, gene_map="gene_name", duplicates="sum")
    assert cohort.var_names.tolist() == ["TP53", "CD99"] and cohort.X.tolist() == [[10, 5], [20, 7]]
    assert cohort.uns["units"] == "counts" and cohort.var["source_id"].iloc[0] == "ENSG00000141510.18"


@pytest.mark.parametrize("rule,expected", [("first", [1, 2]), ("mean", [2, 2]), ("max", [3, 2]), ("sum", [4, 2]),
                                           ("highest_mean", [3, 2])])
def test_rules_for_duplicate_genes(rule, expected):
    X, names, source = collapse_genes(np.array([[1, 2, 3]], np.float32), ["a", "b", "a"], rule)
    assert X.tolist() == [expected] and names == ["a", "b"]


def test_gene_maps_of_every_kind(tmp_path):
    pairs = {"ENSG00000141510": "TP53"}
    table = pd.DataFrame({"chrom": ["17"], "symbol": ["TP53"], "ensembl_gene_id": ["ENSG00000141510.3"]})
    table.to_csv(tmp_path/"map.csv.gz", index=False)
    table[["ensembl_gene_id", "symbol"]].to_csv(tmp_path/"map.tsv", index=False, sep="\t")
    for given in (pairs, pd.Series(pairs), table, tmp_path/"map.csv.gz", str(tmp_path/"map.tsv")):
        assert read_gene_map(given) == pairs
    refused(lambda: read_gene_map(pd.DataFrame({"id": ["a"]})), "one column only")
    refused(lambda: read_gene_map(tmp_path/"nap.csv"), "there is no such file")


def test_wrong_gene_map(tmp_path, frame):
    frame.to_csv(tmp_path/"a.csv")
    refused(lambda: read_cohort(tmp_path/"a.csv", gene_map={"ENSG00000141510": "TP53"}), "knows none of the genes",
            "right map")


def test_orientation_is_never_guessed():
    assert detect_orientation(["a", "b"], ["c"]) is None
    assert detect_orientation(["A1BG", "TP53", "MYC"], ["a"]) == "genes x samples"
    assert detect_orientation(["GTEX-1117F-0226", "GTEX-1117F-0426"], ["a"]) == "samples x genes"
    refused(lambda: detect_orientation(["a", "b"], ["a", "c"], samples=["a"]), "not clear which side")
    refused(lambda: detect_orientation(SAMPLES, SAMPLES), "both sides")


def test_ids_that_nearly_agree(tmp_path, frame):
    """Joined where no row is meant twice, and the way is noted;
    refused where nothing agrees or a row would be meant twice."""
    frame.to_csv(tmp_path/"a.csv")
    table = pd.DataFrame({"x": range(6)}, index=[s[:12] for s in SAMPLES])
    for cut, how in ((12, "by the patient"), (15, "by the sample")):
        read = read_cohort(tmp_path/"a.csv", table.set_axis([s[:cut] for s in SAMPLES]))
        assert read.obs["x"].tolist() == list(range(6)) and read.uns["roles"]["sheet"]["matched"] == how
    table.index = [s.replace("-", ".").lower() for s in SAMPLES]
    read = read_cohort(tmp_path/"a.csv", table)
    assert read.obs["x"].tolist() == list(range(6)) and "case and separators" in read.uns["roles"]["sheet"]["text"]
    table.index = [f"p{i}" for i in range(6)]
    refused(lambda: read_cohort(tmp_path/"a.csv", table), "No id of the sample table", "right two files")
    frame.set_axis([s[:12] for s in SAMPLES]).to_csv(tmp_path/"patients.csv")
    twice = pd.DataFrame({"x": range(12)}, index=[s[:12] + code for s in SAMPLES for code in ("-01A", "-11A")])
    refused(lambda: read_cohort(tmp_path/"patients.csv", twice), "No id of the sample table", "cut to the patient")


def test_wrong_orientation_is_refused(tmp_path, frame, labels, cohort):
    frame.T.to_csv(tmp_path/"a.csv")
    refused(lambda: read_cohort(tmp_path/"a.csv", labels, orientation="samples x genes"),
            "its names say genes x samples")
    refused(lambda: read_cohort(tmp_path/"a.csv", orientation="samples x genes"), "its names say genes x samples")
    refused(lambda: read_cohort(tmp_path/"a.csv", orientation="sideways"), "orientation called 'sideways'")
    cohort.T.write_h5ad(tmp_path/"t.h5ad")
    refused(lambda: read_cohort(tmp_path/"t.h5ad"), "has genes where samples should be", "Transpose it")
    np.testing.assert_array_equal(read_cohort(tmp_path/"t.h5ad", orientation="genes x samples").X, cohort.X)


# ---------------------------------------------------------------- broken files

@pytest.mark.parametrize("name,content,parts", [
    ("a.csv", b"", ["is empty (0 bytes)"]),
    ("a.csv", b"  \n\n ", ["nothing but blank space"]),
    ("a.tsv", bytes(range(256)) * 20, ["binary data"]),
    ("a.tsv", b"\x7fELF\x02\x01\x01\0\0\0\0", ["binary data"]),
    ("a.tsv", b"<html><body>Sign in</body></html>", ["is a web page", "Download it again"]),
    ("a.tsv", b"\n  <!DOCTYPE html>\n<html>", ["is a web page"]),
    ("a.tsv", b"<?xml version='1.0'?><Error>AccessDenied</Error>", ["is a web page"]),
    ("a.csv", b"PK\x03\x04rest of a workbook", ["Excel workbook"]),
    ("a.csv", "gene\tS1".encode("utf-16"), ["UTF-16"]),
    ("a.csv", b"gene S1 S2\nTP53 1 2\n", ["neither tabs, commas nor semicolons", "separated by spaces"]),
    ("a.csv", b"gene|S1|S2\nTP53|1|2\n", ["separated by '|'"]),
    ("a.csv", b"gene,S1,S2\n", ["header but no values"]),
    ("a.csv", b"gene,S1,S2\nTP53,1,2\nEGFR,1\n", ["line 3", "'EGFR'", "1 values", "2 columns"]),
    ("a.csv", b"gene,S1,S2\nTP53,1,2\nEGFR,1,2,3\n", ["line 3", "3 values"]),
    ("a.csv", b"gene,S1,S2\nTP53,1,2\nEGFR\n", ["line 3", "0 values"]),
    ("a.csv", b"gene,S1,S2\nTP53,1,2\nEGFR,3,high\n",
     ["line 3", "row 'EGFR'", "column 'S2'", "'high' is not a number"]),
    ("a.tsv", b"gene\tS1\tS2\nTP53\t1\t2,5\n", ["line 2", "'2,5'", "decimal points"]),
    ("a.tsv", b"gene\tS1\tS2\nTP53\t1\t1,234,567\n", ["thousands separators"]),
    ("a.tsv.gz", gzip.compress(np.random.default_rng(0).bytes(9000).hex().encode(), mtime=0)[:3000],
     ["truncated", "Get it again"]),
    ("a.tsv.gz", gzip.compress(b"gene\tS1\nTP53\t1\n", mtime=0)[:-8] + b"12345678", ["damaged"]),
    ("a.tsv.gz", b"\x1f\x8b\x08\0garbage that is no deflate stream", ["damaged"]),
    ("a.tsv.gz", gzip.compress(b"", mtime=0), ["nothing in it"]),
    ("a.parquet", b"PAR1 and then nothing", ["cannot be read as parquet"]),
    ("a.parquet", b"gene,S1\nTP53,1\n", ["cannot be read as parquet"]),
    ("a.h5ad", b"\x89HDF\r\n\x1a\n and then nothing", ["cannot be read as .h5ad"]),
    ("a.h5ad", b"not hdf5", ["cannot be read as .h5ad"]),
])
def test_broken_files(tmp_path, name, content, parts):
    path = text(tmp_path/name, content)
    refused(lambda: read_cohort(path, orientation="genes x samples"), path, *parts)


def test_gzip_cut_in_the_middle_of_the_values(tmp_path):
    rows = "\n".join(f"g{i}\t" + "\t".join(f"{v:.3f}" for v in np.random.default_rng(i).random(200))
                     for i in range(300))
    whole = gzip.compress(("id\t" + "\t".join(f"s{j}" for j in range(200)) + "\n" + rows).encode(), mtime=0)
    path = text(tmp_path/"a.tsv.gz", whole[:len(whole) // 2])
    refused(lambda: read_cohort(path, orientation="genes x samples"), path, "truncated")


def test_parquet_with_damaged_data(tmp_path, frame):
    pd.concat([frame] * 200).set_axis([f"s{i}" for i in range(1200)]).to_parquet(tmp_path/"a.parquet",
                                                                                 compression="gzip")
    whole = bytearray((tmp_path/"a.parquet").read_bytes())
    whole[200:len(whole) // 2] = os.urandom(len(whole) // 2 - 200)
    path = text(tmp_path/"a.parquet", bytes(whole))
    refused(lambda: read_cohort(path, orientation="samples x genes"), path, "damaged")


def test_a_changed_byte_in_a_parquet_file_of_ours_is_found(tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    folder = write_cohort(anndata.AnnData(X, obs=pd.DataFrame(index=[f"s{i}" for i in range(200)])), tmp_path/"c")
    whole = bytearray((folder/"expression.parquet").read_bytes())
    at = whole.find(X[100:101, 2].tobytes())
    assert at > 0
    whole[at] ^= 1
    (folder/"expression.parquet").write_bytes(bytes(whole))
    refused(lambda: read_cohort(folder), "expression.parquet", "damaged")


def test_h5ad_cut_in_the_middle(tmp_path, cohort):
    cohort.write_h5ad(tmp_path/"a.h5ad")
    whole = (tmp_path/"a.h5ad").read_bytes()
    refused(lambda: read_cohort(text(tmp_path/"b.h5ad", whole[:len(whole) // 2])), "cannot be read as .h5ad")


def test_text_in_parquet(tmp_path, frame):
    frame.assign(EGFR=["1", "2", "high", "3", "4", "5"]).to_parquet(tmp_path/"a.parquet")
    refused(lambda: read_cohort(tmp_path/"a.parquet"), "row 'TCGA-A7-A002-01A'", "column 'EGFR'",
            "'high' is not a number")
    frame.assign(EGFR=list("123456")).to_parquet(tmp_path/"a.parquet")
    refused(lambda: read_cohort(tmp_path/"a.parquet"), "column 'EGFR'", "Convert the column to float")


def test_h5ad_without_x(tmp_path):
    anndata.AnnData(obs=pd.DataFrame(index=SAMPLES), var=pd.DataFrame(index=GENES)).write_h5ad(tmp_path/"a.h5ad")
    refused(lambda: read_cohort(tmp_path/"a.h5ad"), "has no X")


def test_sparse_h5ad(tmp_path, cohort):
    import scipy.sparse
    anndata.AnnData(scipy.sparse.csr_matrix(cohort.X), obs=cohort.obs, var=cohort.var).write_h5ad(tmp_path/"a.h5ad")
    again = read_cohort(tmp_path/"a.h5ad")
    assert isinstance(again.X, np.ndarray)
    np.testing.assert_array_equal(again.X, cohort.X)


def test_missing_paths(tmp_path, frame):
    frame.to_csv(tmp_path/"expression.csv")
    refused(lambda: read_cohort(tmp_path/"expresion.csv"), "there is no such file", "Did you mean", "expression.csv")
    refused(lambda: read_cohort(tmp_path/"nowhere"/"a.csv"), "does not exist either")
    refused(lambda: read_cohort(tmp_path/"expression.csv", tmp_path/"samples.csv"),
            "samples.csv: there is no such file")
    (tmp_path/"empty").mkdir()
    refused(lambda: read_cohort(tmp_path/"empty"), "holds no expression matrix", "nothing")
    frame.to_parquet(tmp_path/"expression.parquet")
    refused(lambda: read_cohort(tmp_path), "holds several files", "expression.csv, expression.parquet")


# ---------------------------------------------------------------- ids and values

@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("form", ["csv", "tsv.gz", "flipped.csv", "parquet", "h5ad"])
def test_duplicate_samples(tmp_path, frame, cohort, form):
    path = tmp_path/f"a.{form}"
    double = pd.concat([frame, frame.iloc[:1]])
    if form == "h5ad":
        anndata.AnnData(double.to_numpy(np.float32), obs=pd.DataFrame(index=double.index),
                        var=cohort.var).write_h5ad(path)
    elif form == "parquet": double.to_parquet(path)
    else: (double.T if "flipped" in form else double).to_csv(path, sep="\t" if "tsv" in form else ",")
    refused(lambda: read_cohort(path), path, f"{SAMPLES[0]} (2 times)", "one profile a sample")


def test_duplicate_rows_of_the_sample_table(tmp_path, frame, labels):
    frame.to_csv(tmp_path/"a.csv")
    pd.concat([labels, labels.iloc[:1]]).to_csv(tmp_path/"s.csv")
    refused(lambda: read_cohort(tmp_path/"a.csv", tmp_path/"s.csv"), "s.csv", f"{SAMPLES[0]} (2 times)",
            "one row a sample")


@pytest.mark.parametrize("flipped", [False, True])
def test_duplicate_genes(tmp_path, frame, flipped):
    double = pd.concat([frame, frame[["EGFR"]]], axis=1)
    (double.T if flipped else double).to_csv(tmp_path/"a.csv")
    refused(lambda: read_cohort(tmp_path/"a.csv"), "EGFR (2 times)", "duplicates='first'")
    assert read_cohort(tmp_path/"a.csv", duplicates="mean").n_vars == 4
    refused(lambda: read_cohort(tmp_path/"a.csv", duplicates="median"), "rule for duplicate genes called 'median'")


@pytest.mark.parametrize("name", ["", "NA", "nan"])
def test_genes_without_a_name(tmp_path, frame, name):
    frame.rename(columns={"MYC": name}).T.to_csv(tmp_path/"a.csv")
    refused(lambda: read_cohort(tmp_path/"a.csv"), "1 gene(s) have no name", "number 3 of 4")


@pytest.mark.parametrize("bad,written", [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("form", ["csv", "parquet", "h5ad"])
def test_missing_and_infinite_values(tmp_path, frame, bad, written, form):
    frame.iloc[2, 1] = bad
    path = tmp_path/f"a.{form}"
    if form == "csv": frame.to_csv(path)
    elif form == "parquet": frame.to_parquet(path)
    else:
        anndata.AnnData(frame.to_numpy(np.float32), obs=pd.DataFrame(index=SAMPLES),
                        var=pd.DataFrame(index=GENES)).write_h5ad(path)
    refused(lambda: read_cohort(path), path, "1 value(s) are", f"sample {SAMPLES[2]}, gene EGFR ({written})",
            "missing='zero'")
    assert read_cohort(path, missing="zero").X[2, 1] == 0
    assert "EGFR" not in read_cohort(path, missing="drop_genes").var_names
    assert SAMPLES[2] not in read_cohort(path, missing="drop_samples").obs_names
    seen = describe_cohort(read_cohort(path, refuse=False))
    assert seen["missing_values"] == np.isnan(bad) and np.isfinite([seen["minimum"], seen["maximum"]]).all()
    if np.isnan(bad):
        assert np.isnan(read_cohort(path, missing="keep").X[2, 1]) and "infinite" not in seen["suspicious"]
    else:
        assert (seen["suspicious"]["infinite"] == {"values": 1, "first": f"sample {SAMPLES[2]}, gene EGFR ({written})"}
                and "negative" not in seen["suspicious"])
        refused(lambda: read_cohort(path, missing="keep"), "infinite", "log(0)")


@pytest.mark.parametrize("empty", ["", "NA", "NaN", "null", "N/A"])
def test_ways_to_write_nothing(tmp_path, empty):
    path = text(tmp_path/"a.csv", f"gene_id,S1,S2\nx,1,{empty}\ny,{empty},2.5\n")
    refused(lambda: read_cohort(path), "2 value(s) are missing (50.00%; 2 samples, 2 genes)", "would leak")
    np.testing.assert_array_equal(read_cohort(path, missing="zero").X, [[1, 0], [0, 2.5]])


def test_negative_counts(tmp_path, frame):
    frame.iloc[3, 2] = -4
    frame.to_csv(tmp_path/"a.csv")
    for units in ("counts", "FPKM", "log2(FPKM+1)"):
        refused(lambda: read_cohort(tmp_path/"a.csv", units=units), "1 value(s) are negative",
                f"sample {SAMPLES[3]}, gene MYC (-4)", units)
    assert read_cohort(tmp_path/"a.csv", units="log2(x+0.001)").X[3, 2] == -4


def test_stated_logarithm_that_is_none(tmp_path, frame):
    (frame * 1000).to_csv(tmp_path/"a.csv")
    refused(lambda: read_cohort(tmp_path/"a.csv", units="log2(FPKM+1)"), "said to be log2(FPKM+1)", "look like",
            "take log2(x+1)")


def test_all_zero_samples(tmp_path, frame):
    frame.iloc[[1, 4]] = 0
    frame.to_csv(tmp_path/"a.csv")
    refused(lambda: read_cohort(tmp_path/"a.csv"), "2 sample(s) are zero", SAMPLES[1], SAMPLES[4], "empty='drop'")
    assert read_cohort(tmp_path/"a.csv", empty="drop").n_obs == 4
    assert (describe_cohort(read_cohort(tmp_path/"a.csv", empty="keep"))["suspicious"]["all_zero"]
            == [SAMPLES[1], SAMPLES[4]])


# ---------------------------------------------------------------- sample tables and labels

def test_labels_for_unknown_samples(tmp_path, frame, labels):
    frame.to_csv(tmp_path/"expression.csv")
    pd.concat([labels, pd.DataFrame({"cancer_type": ["C"]}, index=["TCGA-XX-0001-01A"])]).to_csv(
        tmp_path/"samples.csv", index_label="sample_id")
    refused(lambda: read_cohort(tmp_path), "samples.csv has 1 sample(s)", "TCGA-XX-0001-01A", "unmatched='drop'")
    assert read_cohort(tmp_path, unmatched="drop").n_obs == 6


def test_samples_without_a_row_have_no_label(tmp_path, frame, labels):
    frame.to_csv(tmp_path/"expression.csv")
    labels.iloc[:4].assign(age=[1.5, 2, 3, 4], ok=[True, False, True, True]).to_csv(tmp_path/"samples.csv")
    cohort = read_cohort(tmp_path)
    refused(lambda: labels_of(cohort, "cancer_type"), "2 of 6 samples have no label", "--drop-unlabelled")
    assert labels_of(cohort, "cancer_type", drop_unlabelled=True)[0].tolist() == [True, False, True, True, False, False]
    assert np.isnan(cohort.obs["age"].iloc[5]) and describe_cohort(cohort)["samples_without_row"] == 2
    assert read_cohort(write_cohort(cohort, tmp_path/"again.h5ad")).n_obs == 6


def test_sample_table_columns_keep_their_kind(tmp_path):
    path = text(tmp_path/"s.csv",
                "barcode,plate,age,stage,flag,grade,name\ns1,0012,61.5,NA,True,1,x\ns2,0100,,II,False,,nan\n")
    table = read_sample_table(path)
    assert (table["plate"].tolist() == ["0012", "0100"] and table["stage"].tolist() == ["NA", "II"]
            and table["name"].tolist() == ["x", "nan"])
    assert table["age"].iloc[0] == 61.5 and np.isnan(table["age"].iloc[1])
    assert table["flag"].tolist() == [True, False] and table["grade"].tolist() == ["1", ""]


@pytest.mark.parametrize("content,parts", [
    (b"", ["is empty"]), (b"<html>login</html>", ["web page"]),
    (b"sample_id,x\n,1\n", ["row 2", "sample id", "is empty"]),
    (b"sample_id,x\na,1\nb,2,3,4\n", ["cannot be read as a table of samples", "line 3"]),
    (b"PAR1....", ["parquet"]),
])
def test_broken_sample_tables(tmp_path, frame, content, parts):
    frame.to_csv(tmp_path/"a.csv")
    path = text(tmp_path/"s.csv", content)
    refused(lambda: read_cohort(tmp_path/"a.csv", path), path, *parts)


@pytest.mark.parametrize("nothing", ["", "NA", "nan", "None", None, np.nan])
def test_nothing_is_no_label(cohort, nothing):
    cohort.obs["type"] = pd.Series(["A", "B", "A", nothing, "B", "A"], index=cohort.obs_names, dtype=object)
    refused(lambda: labels_of(cohort, "type"), "1 of 6 samples", SAMPLES[3])
    for as_kind in (object, "category"):
        cohort.obs["type"] = cohort.obs["type"].astype(as_kind)
        keep, y = labels_of(cohort, "type", drop_unlabelled=True)
        assert keep.sum() == 5 and y.tolist() == ["A", "B", "A", "B", "A"] and y.dtype.kind == "U"
    cohort.obs["type"] = pd.Series([nothing] * 6, index=cohort.obs_names, dtype=object)
    refused(lambda: labels_of(cohort, "type", drop_unlabelled=True), "empty for all 6 samples")


def test_label_columns_that_cannot_be_learned(cohort):
    refused(lambda: labels_of(cohort, "cancer"), "no label column 'cancer'", "Did you mean cancer_type")
    refused(lambda: labels_of(cohort, "zzz"), "Its columns are: cancer_type")
    refused(lambda: labels_of(anndata.AnnData(cohort.X), "zzz"), "no sample table at all")
    cohort.obs["one"] = "A"
    refused(lambda: labels_of(cohort, "one"), "one class only ('A', 6 samples)")
    refused(lambda: labels_of(cohort, "cancer_type", min_class_size=4), "2 class(es)", "A (2), B (3)",  # one is normal
            "use fewer folds")


def test_normals(cohort):
    cohort.obs["sample_type"] = parse_barcodes(cohort.obs_names)["sample_type"].to_numpy()
    assert labels_of(cohort, "cancer_type")[0].tolist() == [True, False, True, True, True, True]
    assert labels_of(cohort, "cancer_type", normals="keep")[0].all()
    keep, y = labels_of(cohort, "cancer_type", normal_class=True)
    assert keep.all() and y.tolist() == ["A", NORMAL, "B", "B", "A", "B"]
    assert set(labels_of(cohort, "sample_type")[1]) == {"primary", "normal", "metastatic"}
    cohort.obs.loc[SAMPLES[1], "cancer_type"] = ""  # a normal needs no cancer type
    assert (labels_of(cohort, "cancer_type")[0].sum() == 5
            and labels_of(cohort, "cancer_type", normal_class=True)[0].all())
    del cohort.obs["sample_type"]  # the ids tell as well
    assert labels_of(cohort, "cancer_type")[0].sum() == 5
    cohort.obs_names = list("abcdef")
    refused(lambda: labels_of(cohort, "cancer_type", normal_class=True), "needs the column 'sample_type'")


def test_numbers_as_labels(cohort):
    cohort.obs["grade"] = [1.0, 2, 1, 2, np.nan, 1]
    assert labels_of(cohort, "grade", drop_unlabelled=True)[1].tolist() == ["1", "2", "1", "2", "1"]
    cohort.obs["flag"] = [True, False] * 3
    assert set(labels_of(cohort, "flag")[1]) == {"True", "False"}


def test_patients(cohort):
    assert patients_of(cohort).tolist() == [s[:12] for s in SAMPLES]
    cohort.obs["patient"] = ["p", "", "q", "q", "NA", "r"]
    assert patients_of(cohort).tolist() == ["p", SAMPLES[1][:12], "q", "q", SAMPLES[4][:12], "r"]
    other = anndata.AnnData(np.ones((2, 1), np.float32), obs=pd.DataFrame(index=["x", "y"]))
    assert patients_of(other).tolist() == ["x", "y"]


# ---------------------------------------------------------------- writing

@pytest.mark.parametrize("target", ["out.h5ad", "out", "deep/er/out"])
def test_round_trip(tmp_path, cohort, target):
    cohort.var["chromosome"], cohort.var["start"] = ["17", "7", "8", "12"], [1, 2, 3, 4]
    cohort.obs["note"] = ["NA", "", "a,b", 'c"d', "e", "f"]
    cohort.uns["truth"] = pd.DataFrame({"class": ["A"], "gene": ["TP53"]})
    for _ in range(2):  # the second time it replaces
        again = read_cohort(write_cohort(cohort, tmp_path/target, overwrite=True))
    np.testing.assert_array_equal(again.X, cohort.X)
    assert again.obs["note"].astype(str).tolist() == cohort.obs["note"].tolist()
    assert (again.var["start"].tolist() == [1, 2, 3, 4]
            and again.var["chromosome"].astype(str).tolist() == ["17", "7", "8", "12"])
    assert again.uns["units"] == "log2(x+1)" and again.uns["units_source"] == "stated"
    assert len(list((tmp_path/target).parent.iterdir())) == 1, "something was left behind"


def test_a_guess_stays_a_guess(tmp_path, frame):
    frame.to_csv(tmp_path/"a.csv")
    again = read_cohort(write_cohort(read_cohort(tmp_path/"a.csv"), tmp_path/"b"))
    assert again.uns["units_source"] == "guessed"


def test_a_folder_of_something_else_is_not_replaced(tmp_path, cohort):
    (tmp_path/"thesis").mkdir()
    (tmp_path/"thesis"/"chapter1.tex").write_text("years of work")
    refused(lambda: write_cohort(cohort, tmp_path/"thesis"), "holds something else", "chapter1.tex")
    refused(lambda: write_cohort(cohort, tmp_path/"thesis", overwrite=True), "holds something else", "chapter1.tex")
    assert (tmp_path/"thesis"/"chapter1.tex").read_text() == "years of work"


@pytest.mark.parametrize("target", ["out.h5ad", "out"])
def test_a_cohort_is_replaced_only_on_request(tmp_path, cohort, target):
    write_cohort(cohort, tmp_path/target)
    refused(lambda: write_cohort(cohort, tmp_path/target), "overwrite=True")
    if target == "out":
        (tmp_path/"out"/"notes.txt").write_text("mine")
        (tmp_path/"out"/"models").mkdir()
    half = cohort[:2].copy()
    write_cohort(half, tmp_path/target, overwrite=True)
    assert read_cohort(tmp_path/target).n_obs == 2
    if target == "out": assert (tmp_path/"out"/"notes.txt").read_text() == "mine" and (tmp_path/"out"/"models").is_dir()


def test_a_cohort_that_somebody_made_by_hand_is_never_replaced(tmp_path, cohort):
    for name in ("expression.csv", "expression.parquet"):
        folder = tmp_path/name.replace(".", "_")
        folder.mkdir()
        for file in (name, "samples.csv", "cohort.json"): (folder/file).write_text("mine")
        refused(lambda: write_cohort(cohort, folder, overwrite=True), "was not written by cancer_dl")
        assert {p.read_text() for p in folder.iterdir()} == {"mine"}
    (tmp_path/"x.h5ad").write_text("no HDF5")
    refused(lambda: write_cohort(cohort, tmp_path/"x.h5ad", overwrite=True), "no .h5ad file")


@pytest.mark.parametrize("target", ["out.h5ad", "out"])
def test_folder_that_cannot_be_written(tmp_path, cohort, target):
    (tmp_path/"file").write_text("")
    refused(lambda: write_cohort(cohort, tmp_path/"file"/target), "Choose another output path")


@pytest.mark.parametrize("target", ["out.h5ad", "out"])
def test_folder_that_may_not_be_written(tmp_path, cohort, monkeypatch, target):
    if os.geteuid():
        (tmp_path/"locked").mkdir(mode=0o500)
        return refused(lambda: write_cohort(cohort, tmp_path/"locked"/target), "you may not write there",
                       "Choose another output folder")
    def deny(*args, **kwargs): raise PermissionError(errno.EACCES, "Permission denied")  # root may write anywhere
    monkeypatch.setattr("tempfile.mkdtemp", deny)
    refused(lambda: write_cohort(cohort, tmp_path/target), "you may not write there", "Choose another output folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target,function",
                         [("out.h5ad", "anndata.AnnData.write_h5ad"), ("out", "pyarrow.parquet.write_table")])
@pytest.mark.parametrize("number,words", [(errno.ENOSPC, "no space is left"), (errno.EACCES, "you may not write there"),
                                          (errno.EROFS, "read-only")])
def test_disk_errors(tmp_path, cohort, monkeypatch, target, function, number, words):
    write_cohort(cohort, tmp_path/target)
    before = sorted(p for p in tmp_path.rglob("*"))
    def fail(*args, **kwargs): raise OSError(number, os.strerror(number))
    monkeypatch.setattr(function, fail)
    refused(lambda: write_cohort(cohort, tmp_path/target, overwrite=True), words, "Nothing was changed")
    assert sorted(p for p in tmp_path.rglob("*")) == before
    np.testing.assert_array_equal(read_cohort(tmp_path/target).X, cohort.X)


@pytest.mark.parametrize("target", ["out.h5ad", "out"])
def test_a_disk_that_is_really_full(tmp_path, target):
    disk = tmp_path/"disk"
    disk.mkdir()
    if os.name == "nt" or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)],
                                         capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        X = np.random.default_rng(0).normal(size=(300, 1000)).astype(np.float32)
        cohort = anndata.AnnData(X, obs=pd.DataFrame(index=[f"s{i}" for i in range(300)]))
        refused(lambda: write_cohort(cohort, disk/target), "no space is left")
        assert list(disk.iterdir()) == []
    finally: subprocess.run(["umount", str(disk)], check=True)


# ---------------------------------------------------------------- aligning

def test_align_reorders_fills_and_reports(frame):
    X, report = align_genes(frame, ["MYC", "NEW", "TP53", "EGFR", "KRAS"], fill=np.arange(5))
    np.testing.assert_array_equal(X[:, [0, 2]], frame[["MYC", "TP53"]].to_numpy(np.float32))
    assert (X[:, 1] == 1).all() and report["missing"] == ["NEW"] and report["share"] == 0.8 and "NEW" in report["text"]
    assert X.dtype == np.float32 and X.flags.c_contiguous


def test_align_refuses_and_says_why(frame, cohort):
    refused(lambda: align_genes(frame, ["TP53", "EGFR", "AAA", "BBB"]), "2 of the 4 genes", "50%", "at least 80%")
    ensembl = [f"ENSG{i:011d}" for i in range(4)]
    refused(lambda: align_genes(frame.set_axis(ensembl, axis=1), GENES), "genes are Ensembl ids",
            "model wants gene symbols", "gene_map")
    refused(lambda: align_genes(frame, ensembl), "genes are gene symbols", "model wants Ensembl ids")
    refused(lambda: align_genes(frame.rename(columns=str.capitalize), GENES), "differ in case")
    precursors = [f"hsa-mir-{i}" for i in range(40)]
    for names, said in (([n.replace("mir", "miR") for n in precursors], "usual spelling of mature miRNAs"),
                        ([f"{n}-{arm}p".replace("mir", "miR") for n in precursors for arm in (3, 5)],
                         "take the table of precursors")):
        refused(lambda: align_genes(pd.DataFrame(np.ones((2, len(names))), columns=names), precursors), said)
    places = [f"chr{c}:{i}-{i + 5}Mb" for c in (1, 2) for i in range(0, 100, 5)]
    for change, said in ((lambda n: n[3:], "'chr' in front"), (lambda n: n[:-2], "'Mb' behind")):
        names = [change(n) for n in places]
        refused(lambda: align_genes(pd.DataFrame(np.ones((2, len(names))), columns=names), places), said)
    refused(lambda: align_genes(frame.rename(columns=lambda g: g + "|123"), GENES), "Entrez id after '|'")
    refused(lambda: align_genes(frame.set_axis(["HLA.A", "HLA.B", "HLA.C", "NKX2.1"], axis=1),
                                ["HLA-A", "HLA-B", "HLA-C", "NKX2-1"]), "check.names")
    refused(lambda: align_genes(cohort, GENES, cohort_units="raw counts", units="log2(FPKM+1)"), "raw counts",
            "trained on log2(FPKM+1)", "TPM or FPKM")
    refused(lambda: align_genes(cohort, GENES, cohort_units="log2(x+0.001)", units="log2(FPKM+1)"),
            "log2(2**X - 0.001 + 1)")
    assert ("the cohort says log2(x+1), the model was trained on log2(FPKM+1)"
            in align_genes(cohort, GENES, units="log2(FPKM+1)")[1]["text"])
    refused(lambda: align_genes(cohort, GENES, units="counts"), "Undo the logarithm")
    refused(lambda: align_genes(frame.assign(MYC="x"), GENES), "holds text")


def test_align_guesses_raw_counts(frame):
    counts = (frame * 1000).round()
    refused(lambda: align_genes(counts, GENES, units="log2(x+1)"), "values are counts")
    assert align_genes(counts, GENES, units="log2(x+1)", cohort_units="log2(x+1)")[0].shape == (6, 4)


def test_align_versions_and_duplicates(frame):
    versioned = frame.set_axis([f"ENSG{i:011d}.{i + 1}" for i in range(4)], axis=1)
    X, report = align_genes(versioned, [f"ENSG{i:011d}" for i in (3, 1, 0, 2)])
    np.testing.assert_array_equal(X, frame.to_numpy(np.float32)[:, [3, 1, 0, 2]])
    assert report["names"] == "Ensembl versions stripped"
    refused(lambda: align_genes(frame.set_axis(["TP53", "TP53", "MYC", "KRAS"], axis=1), ["TP53", "MYC"]),
            "Genes occur twice", "TP53")


def test_align_looks_at_the_genes_it_needs_only(frame):
    frame.iloc[1, 3] = np.nan
    assert align_genes(frame, GENES[:3])[0].shape == (6, 3)
    refused(lambda: align_genes(frame, GENES), "missing or infinite", SAMPLES[1], "KRAS")


# ---------------------------------------------------------------- describing

def test_units_of_shapes_and_scales():
    rng = np.random.default_rng(0)
    assert guess_units(rng.random((5, 8))) == "fractions"
    assert guess_units(np.full((2, 2), np.nan)) == "unknown"
    assert guess_units(rng.uniform(3, 14, size=(50, 50))) == "log2(x)"
    assert guess_units(rng.normal(size=(200, 50))) == "z-scores"
    assert guess_units(rng.normal(size=(200, 50)) * 5) == "centred"


def test_report_names_what_is_odd():
    rng = np.random.default_rng(0)
    X = np.log2(rng.gamma(2, 20, size=(40, 60)) * (rng.random((40, 60)) > 0.2) + 1).astype(np.float32)
    X[3], X[5, 10:], X[9, 4] = X[8], 0, np.nan
    cohort = anndata.AnnData(
        X, obs=pd.DataFrame({"cancer_type": ["A", "B"] * 19 + ["", "A"]}, index=[f"s{i}" for i in range(40)]),
        var=pd.DataFrame(index=["1-Mar", *(f"G{i}" for i in range(59))]), uns={"units": "log2(x+1)"})
    d = describe_cohort(cohort)
    json.dumps(d)
    assert d["missing_values"] == 1 and d["labels"]["cancer_type"] == {"classes": {"A": 20, "B": 19}, "missing": 1}
    assert d["suspicious"]["identical"] == [["s3", "s8"]] and d["suspicious"]["outlying"][0].startswith("s5 ")
    report = cohort_report(cohort)
    for part in ("s3 = s8", "1-Mar", "A 20, B 19; 1 without", "1 values in 1 genes", "s5"): assert part in report


def test_no_tensorflow_is_imported():
    code = "import sys, cancer_dl.data.cohort; assert not {'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("flipped", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_memory_stays_below_three_matrices(tmp_path, monkeypatch, flipped):
    "Python's and numpy's own allocations; bench/read_cohort.py measures the whole process at full size."
    monkeypatch.setattr(chapter, "_BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr(chapter, "_LINES_BYTES", 1 << 18)
    X = np.random.default_rng(0).integers(0, 999, size=(500, 6000)).astype(np.float32)
    frame = pd.DataFrame(X, index=[f"s{i}" for i in range(500)], columns=[f"g{j}" for j in range(6000)])
    (frame.T if flipped else frame).to_csv(tmp_path/"a.csv")
    tracemalloc.start()
    try:
        read = read_cohort(tmp_path/"a.csv", orientation=chapter.ORIENTATIONS[flipped])
        peak = tracemalloc.get_traced_memory()[1]
    finally: tracemalloc.stop()
    np.testing.assert_array_equal(read.X, X)
    assert peak < 3 * X.nbytes


@pytest.mark.slow
def test_the_measurement_runs():
    bench = Path(__file__).parent.parent/"bench"/"read_cohort.py"
    out = subprocess.run([sys.executable, str(bench), "--samples", "80", "--genes", "300"], check=True,
                         capture_output=True, text=True).stdout
    assert ([line.split("|")[1].strip() for line in out.strip().splitlines()[2:]]
            == ["text, genes x samples", "text, samples x genes", "parquet", "h5ad"])


def agreeing(tmp_path, names, **options):
    "What the check-up says of genes of these names, and whether they can be read for training."
    from cancer_dl.data.checkup import describe_cohort
    values = np.random.default_rng(0).gamma(2, 2, (12, len(names))).round(3)
    pd.DataFrame(values.T, columns=[f"S{i}" for i in range(12)], index=names).to_csv(tmp_path/"m.tsv", sep="\t",
                                                                                     index_label="gene")
    sheet = pd.DataFrame({"cancer_type": ["A", "B"] * 6}, index=[f"S{i}" for i in range(12)])
    try: readable = read_cohort(tmp_path/"m.tsv", sheet, **options) is not None
    except InputError: readable = False
    return describe_cohort(read_cohort(tmp_path/"m.tsv", sheet, refuse=False, **options))["ready"], readable


@pytest.mark.parametrize("names", [["1-Mar", "1-Mar"], ["2020-09-01", "2020-09-01"], ["", "MYC"], ["?", "MYC"],
                                   ["1-Mar", "2-Mar"], ["EGFR", "MYC"]])
def test_the_check_up_is_ready_where_training_is(names, tmp_path):
    ready, readable = agreeing(tmp_path, ["TP53", "KRAS", *names])
    assert ready.startswith("yes") == readable
    if not readable:
        assert "--unnamed drop" in ready
        assert agreeing(tmp_path, ["TP53", "KRAS", *names], unnamed="drop") == (agreeing(tmp_path, ["TP53", "KRAS"])[0],
                                                                                True)


def test_negatives_that_become_zero_are_no_obstacle(tmp_path):
    from cancer_dl.data.checkup import cohort_report
    values = 2**np.random.default_rng(1).uniform(0, 12, (40, 50)); values[::7, 3] = -2
    frame = pd.DataFrame(values, index=[f"S{i}" for i in range(40)], columns=[f"G{j}" for j in range(50)])
    frame.to_csv(tmp_path/"m.csv", index_label="sample_id")
    sheet = pd.DataFrame({"cancer_type": ["A", "B"] * 20}, index=frame.index)
    report = cohort_report(read_cohort(tmp_path/"m.csv", sheet, refuse=False))
    assert "set to 0 when it is trained on" in report and "ready to train yes" in report
    assert read_cohort(tmp_path/"m.csv", sheet).X.min() == 0
    frame.iloc[0, 0] = -90000
    frame.to_csv(tmp_path/"m.csv", index_label="sample_id")
    assert "ready to train yes" not in cohort_report(read_cohort(tmp_path/"m.csv", sheet, refuse=False, units="FPKM"))
    with pytest.raises(InputError): read_cohort(tmp_path/"m.csv", sheet, units="FPKM")


@pytest.mark.parametrize("name", ["exon_length", "Gene start (bp)", "mean", "NCBI GeneID", "baseMean", "GC_content"])
def test_lengths_and_statistics_of_genes_are_no_samples(name, tmp_path):
    values = np.random.default_rng(1).gamma(2, 2, (30, 12)).round(3)
    frame = pd.DataFrame(values, index=[f"G{j}" for j in range(29)] + ["TP53"], columns=[f"S{i}" for i in range(12)])
    for place in (0, 6, 12):
        with_more = frame.copy()
        with_more.insert(place, name, range(900, 930))
        with_more.to_csv(tmp_path/"m.tsv", sep="\t", index_label="gene")
        read = read_cohort(tmp_path/"m.tsv", orientation="genes x samples")
        assert list(read.obs_names) == list(frame.columns) and read.uns["units"].startswith("log2") and name in read.var
        # a sample of that name, says the sheet
        known = pd.DataFrame({"cancer_type": "A"}, index=[*frame.columns, name])
        if name == "mean": assert read_cohort(tmp_path/"m.tsv", known).n_obs == 13
