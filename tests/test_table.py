"""Files that people really have: formats, labels among genes, shifted headers, damaged binaries, bombs, replaced
files."""
import gzip
import io
import json
import os
import tracemalloc
import zipfile

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import scipy.sparse

import cancer_dl.data.binary as binary
import cancer_dl.data.table as table
import cancer_dl.data.text as texts
from refusing import refused

from cancer_dl.core import data_dir
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.formats import SAMPLE_LIKE, is_annotation, looks_like
from cancer_dl.data.table import ORIENTATIONS, read_text
from cancer_dl.data.text import FileStates, decode, skip_preamble

SAMPLES, GENES = ["S1", "S2", "S3"], ["TP53", "EGFR", "MYC", "KRAS"]
X = np.array([[1, 2.5, 0, 7], [3, 4, 5.25, 1], [0.5, 6, 2, 2]], np.float32)  # samples x genes


def lines_of(rows, separator="\t", end="\n"): return end.join(separator.join(map(str, row)) for row in rows) + end


def genes_down(corner="gene_id", before=(), after=(), genes=GENES):
    "Rows of a table with genes down the side; `before` and `after` are columns (name, values)."
    head = [corner, *(n for n, _ in before), *SAMPLES, *(n for n, _ in after)]
    return [head, *([g, *(v[i] for _, v in before), *X[:, i], *(v[i] for _, v in after)] for i, g in enumerate(genes))]


def samples_down(corner="sample_id", before=(), after=()):
    head = [corner, *(n for n, _ in before), *GENES, *(n for n, _ in after)]
    return [head, *([s, *(v[i] for _, v in before), *X[i], *(v[i] for _, v in after)] for i, s in enumerate(SAMPLES))]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def same(cohort, samples=SAMPLES, genes=GENES):
    assert cohort.obs_names.tolist() == list(samples) and cohort.var_names.tolist() == list(genes)
    np.testing.assert_array_equal(cohort.X, X)
    assert cohort.X.dtype == np.float32 and cohort.X.flags.c_contiguous
    return cohort


# ---------------------------------------------------------------- packing and encodings

PLAIN = lines_of(genes_down())


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items(): archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("name,content", [
    ("a.tsv", PLAIN.encode("utf-16")), ("a.txt", PLAIN.encode("utf-16-le")), ("a.csv", PLAIN.encode("utf-32")),
    ("a.tsv", b"\xef\xbb\xbf" + PLAIN.encode()), ("a.txt", PLAIN.replace("\n", "\r").encode()),
    ("a.txt", PLAIN.replace("\n", "\r\r\n").encode()),
    ("a.tsv", gzip.compress(PLAIN.encode(), mtime=0)),  # gzip without .gz
    ("a.tsv.gz", PLAIN.encode()), ("a.gz", gzip.compress(PLAIN.encode("utf-16"), mtime=0)),
    ("a.zip", zipped({"x/m.tsv": PLAIN, "__MACOSX/x/._m.tsv": b"\0\5\x16\7", "x/.DS_Store": b"\0"})),
    ("a.zip", zipped({"m.tsv.gz": gzip.compress(PLAIN.encode(), mtime=0)})),
    ("a.csv", "sep=;\n" + lines_of(genes_down(), ";")), ("a.csv", '"sep=,"\n' + lines_of(genes_down(), ",")),
    ("a.csv", "sep=|\n" + lines_of(genes_down(), "|")),
    ("a.csv", lines_of([*genes_down(), [""] * 4, [""] * 4], ",")),  # empty rows of a spreadsheet
    ("a.csv", lines_of([[*row, "", ""] for row in genes_down()], ",")),
    ("a.csv", "\n".join(",".join(map(str, row)) + ",," * (i > 0) for i, row in enumerate(genes_down()))),
    ("a.txt", "\n".join(" ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in row) for row in
                        [genes_down()[0][1:], *genes_down()[1:]])),  # R's write.table as it is by default
])
def test_however_a_matrix_is_packed(tmp_path, name, content):
    same(read_cohort(write(tmp_path/name, content)))


def test_line_breaks_within_quotes(tmp_path):
    content = 'gene_id,"S\n1",S2,S3\n"TP53\r\n(7157)",' + ",".join(map(str, X[:, 0])) + "\nEGFR,1,2,3\n"
    raw = read_text(write(tmp_path/"a.csv", content))
    assert raw.columns == ["S 1", "S2", "S3"] and raw.rows == ["TP53 (7157)", "EGFR"]
    np.testing.assert_array_equal(raw.values.matrix(False)[0], X[:, 0])
    broken = write(tmp_path/"b.csv", 'gene_id,S1,S2\n5"UTR,1,2\nA,1,high\n')  # a stray quote joins nothing
    refused(lambda: read_text(broken), "line 3, row 'A', column 'S2'")


def test_latin_1_names(tmp_path):
    path = write(tmp_path/"a.csv", lines_of([["gene_id", "bénin", "grave"], ["TP53", 1, 2]], ",").encode("latin-1"))
    assert read_cohort(path).obs_names.tolist() == ["bénin", "grave"]
    assert decode("M\u00e9tastase \u2013 \u20ac".encode("cp1252")) == "M\u00e9tastase \u2013 \u20ac"


@pytest.mark.parametrize("content,parts", [
    (zipped({"a.tsv": PLAIN, "b.tsv": PLAIN}), ["zip archive of 2 files", "a.tsv, b.tsv", "Unpack"]),
    (zipped({"__MACOSX/._a": b"x"}), ["zip archive of 0 files"]),
    (zipped({"[Content_Types].xml": "x", "xl/workbook.xml": "x"}), ["Excel workbook"]),
    (zipped({"a.tsv": PLAIN})[:-30], ["damaged", "Get it again"]),
    (PLAIN.encode("utf-16")[:40] + b"\xd8" * 9, ["damaged", "UTF-16"]),
    (b"\x80\x04\x95 pickle", ["Python pickle"]), (gzip.compress(b"X\n\0\0\0\2", mtime=0), ["R object"]),
    (b"%%MatrixMarket matrix coordinate\n1 1 1\n", ["Matrix Market"]), (b"##fileformat=VCFv4.2\n#CHROM\n", ["VCF"]),
    (b'{"a": 1}', ["JSON"]), (b"^DATABASE = GeoMiame\n", ["SOFT", "series matrix"]),
    (b"PK\3\4 cut off", ["zip", "damaged"]),
])
def test_what_is_no_text_table(tmp_path, content, parts):
    path = write(tmp_path/"a.tsv", content)
    refused(lambda: read_cohort(path), path, *parts)


def test_a_zip_that_is_damaged_or_locked(tmp_path):
    whole = bytearray(zipped({"a.tsv": os.urandom(4000).hex()}))
    whole[300:310] = bytes(10)
    refused(lambda: read_text(write(tmp_path/"a.zip", bytes(whole))), "damaged")
    locked = bytearray(zipped({"a.tsv": PLAIN}))
    for at in (locked.find(b"PK\3\4") + 6, locked.find(b"PK\1\2") + 8): locked[at] |= 1  # the flag for encryption
    refused(lambda: read_text(write(tmp_path/"b.zip", bytes(locked))), "cannot be unpacked here")


@pytest.mark.parametrize("bomb", ["zeros", "blank lines", "one line", "zip"])
def test_bombs_are_refused_before_they_grow(tmp_path, monkeypatch, bomb):
    monkeypatch.setenv("CANCER_DL_MAX_UNPACKED", "2")
    monkeypatch.setattr(table, "_BLOCK_BYTES", 1 << 20)
    body = {"blank lines": b"\n" + b" " * 799, "one line": b"0" * 800}.get(bomb, b"x" + b"\t0" * 400 + b"\n")
    # 24 MB
    content = b"gene_id" + b"".join(b"\tS%d" % j for j in range(400)) + b"\nx" + b"\t1" * 400 + b"\n" + body * 30_000
    path = write(tmp_path/"a.gz", zipped({"a.tsv": content}) if bomb == "zip" else gzip.compress(content, mtime=0))
    del content
    tracemalloc.start()
    try:
        refused(lambda: read_text(path), "grows from", "CANCER_DL_MAX_UNPACKED")
        assert tracemalloc.get_traced_memory()[1] < 45 << 20
    finally: tracemalloc.stop()
    monkeypatch.setenv("CANCER_DL_MAX_UNPACKED", "much")
    refused(lambda: read_text(path), "Give a number of MB")


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "_LONGEST_LINE", 1 << 20)
    refused(lambda: read_text(write(tmp_path/"a.csv", b"gene_id,S1\nA,1\nB," + b"1" * (3 << 20))),
            "has a line of more than 1 MB")


def test_a_wide_header_is_no_bomb(tmp_path):
    names = [f"sample_number_{j:07d}" for j in range(60_000)]
    path = write(tmp_path/"a.txt", "gene_id\t" + "\t".join(names) + "\rTP53\t" + "\t".join("1" for _ in names) + "\r")
    assert read_text(path).columns == names


# ---------------------------------------------------------------- formats

def gct(rows, version="1.2", n=None):
    return f"#{version}\n{n or f'{len(GENES)}{chr(9)}{len(SAMPLES)}'}\n" + lines_of(rows)


def test_gct_1_2(tmp_path):
    rows = genes_down("Name", [("Description", ["a", "b", "c", "d"])])
    cohort = same(read_cohort(write(tmp_path/"a.gct", gct(rows))))
    assert cohort.var["Description"].tolist() == ["a", "b", "c", "d"]
    refused(lambda: read_cohort(write(tmp_path/"cut.gct", gct(rows[:-1]))), "says that it has 4 rows, but 3 were found")
    refused(lambda: read_cohort(write(tmp_path/"b.gct", gct(rows, n="4\t9"))), "says that it has 9 samples")
    refused(lambda: read_cohort(write(tmp_path/"c.gct", gct(rows, n="many"))), "second line ('many')")
    refused(lambda: read_cohort(write(tmp_path/"d.gct", gct(rows[:1]))), "without values")


def test_gct_of_gtex_with_row_numbers(tmp_path):
    names, samples = ([f"ENSG{i:011d}.{i}" for i in range(4)],
                      ["GTEX-1117F-0226-SM-5GZZ7", "GTEX.1117F.0426.SM.5EGHI", "GTEX_111CU_1"])
    rows = [["id", "Name", "Description", *samples], *([i, names[i], GENES[i], *X[:, i]] for i in range(4))]
    cohort = read_cohort(write(tmp_path/"gene_tpm_lung.gct.gz", gzip.compress(gct(rows).encode(), mtime=0)))
    same(cohort, samples, [n.split(".")[0] for n in names])
    assert cohort.var["Description"].tolist() == GENES


def test_gct_1_3_has_annotation_on_both_sides(tmp_path):
    rows = genes_down("id", [("symbol", GENES)], genes=["p1", "p2", "p3", "p4"])
    rows[1:1] = [["tissue", "na", "lung", "colon", "lung"], ["dose", "na", 1, 2, 3]]
    cohort = same(read_cohort(write(tmp_path/"a.gct", gct(rows, "1.3", "4\t3\t1\t2"))), genes=["p1", "p2", "p3", "p4"])
    assert cohort.obs["tissue"].tolist() == ["lung", "colon", "lung"] and cohort.obs["dose"].tolist() == ["1", "2", "3"]
    assert cohort.var["symbol"].tolist() == GENES


def series(values, end=True):
    gsm = ["GSM1001", "GSM1002", "GSM1003"]
    q = lambda *fields: "\t".join([fields[0], *(f'"{f}"' for f in fields[1:])]) + "\n"
    return (q("!Series_title", "Tumours") + "\n" + q("!Sample_title", "t1", "t2", "n1")
            + q("!Sample_geo_accession", *gsm)
            + q("!Sample_characteristics_ch1", "tissue: lung", "tissue: lung", "tissue: colon")
            + q("!Sample_characteristics_ch1", "Age: 61", "grade: II", "") + "!series_matrix_table_begin\n"
            + q('"ID_REF"', *gsm) + "".join(q(f'"{g}"') [:-1] + "\t" + "\t".join(map(str, v)) + "\n" for g, v in values)
            + "!series_matrix_table_end\n" * end)


def test_geo_series_matrix(tmp_path):
    values = list(zip(["1007_s_at", "1053_at", "117_at", "121_at"], X.T))
    cohort = read_cohort(write(tmp_path/"GSE1_series_matrix.txt.gz", gzip.compress(series(values).encode(), mtime=0)))
    same(cohort, ["GSM1001", "GSM1002", "GSM1003"], [g for g, _ in values])
    assert (cohort.obs["tissue"].tolist() == ["lung", "lung", "colon"]
            and cohort.obs["title"].tolist() == ["t1", "t2", "n1"])
    assert cohort.obs["age"].tolist() == ["61", "", ""] and cohort.obs["grade"].tolist() == ["", "II", ""]
    refused(lambda: read_cohort(write(tmp_path/"cut.txt", series(values, end=False))),
            "cut.txt ends without the line", "cut off")
    refused(lambda: read_cohort(write(tmp_path/"rna.txt", series([]))), "without values", "supplementary")
    refused(lambda: read_cohort(write(tmp_path/"no.txt", "!Series_title\tx\n!Sample_title\ty\n")), "has no table")


def test_firehose(tmp_path):
    ids = [f"TCGA-A7-A00{i}-01A-11R-A034-07" for i in range(3)]
    genes = [f"{g}|{i}" for i, g in enumerate(GENES)]
    one = [["Hybridization REF", *ids], ["gene_id", *["normalized_count"] * 3],
           *([g, *X[:, i]] for i, g in enumerate(genes))]
    same(read_cohort(write(tmp_path/"a.txt", lines_of(one))), ids, GENES)
    kinds = ["raw_count", "scaled_estimate", "transcript_id"]
    three = [["Hybridization REF", *(i for i in ids for _ in range(3))], ["gene_id", *kinds * 3],
             *([g, *(v for x in X[:, i] for v in (x, x / 1e6, "uc001aaa.3,uc010nxq.1"))] for i, g in enumerate(genes))]
    cohort = same(read_cohort(write(tmp_path/"b.txt", lines_of(three))), ids, GENES)
    assert any("columns of raw_count were taken" in note for note in cohort.uns["read_notes"])
    odd = [row.replace("raw_count", "one").replace("scaled_estimate", "two") for row in lines_of(three).splitlines()]
    refused(lambda: read_cohort(write(tmp_path/"c.txt", "\n".join(odd))),
            "several kinds of columns (one, two, transcript_id)")


def test_cbioportal(tmp_path):
    entrez = ("Entrez_Gene_Id", [7157, 1956, 4609, 3845])
    cohort = same(read_cohort(write(tmp_path/"a.txt", lines_of(genes_down("Hugo_Symbol", [entrez])))))
    assert cohort.var["Entrez_Gene_Id"].tolist() == ["7157", "1956", "4609", "3845"]
    after = same(read_cohort(write(tmp_path/"b.txt", lines_of(genes_down("Hugo_Symbol", after=[entrez])))))
    assert after.var["Entrez_Gene_Id"].tolist() == ["7157", "1956", "4609", "3845"] and "read_notes" in after.uns
    gistic = [("Locus ID", [1, 2, 3, 4]), ("Cytoband", ["17p13.1", "7p11.2", "8q24.21", "12p12.1"])]
    same(read_cohort(write(tmp_path/"c.txt", lines_of(genes_down("Gene Symbol", gistic)))))
    text = b"#Patient\tSample\n#long\tlong\n#STRING\tSTRING\n#1\t1\nPATIENT_ID\tSAMPLE_ID\nP\tS\n"
    assert skip_preamble(text) == (b"PATIENT_ID\tSAMPLE_ID\nP\tS\n", 4)


def test_depmap(tmp_path):
    ids, genes = [f"ACH-{i:06d}" for i in (1, 2, 7)], [f"{g} ({i})" for i, g in enumerate(GENES)]
    old = [["", *genes], *([i, *x] for i, x in zip(ids, X))]
    same(read_cohort(write(tmp_path/"old.csv", lines_of(old, ","))), ids, GENES)
    head = ["", "SequencingID", "ModelID", "IsDefaultEntryForModel", "ModelConditionID", "IsDefaultEntryForMC"]
    def new(models):
        return [[*head, *genes], *([i, f"CDS-{i}", m, "Yes", f"MC-{i}", "Yes", *X[i]] for i, m in enumerate(models))]
    cohort = same(read_cohort(write(tmp_path/"new.csv", lines_of(new(ids), ","))), ids, GENES)
    assert cohort.obs["SequencingID"].tolist() == ["CDS-0", "CDS-1", "CDS-2"]
    twice = read_cohort(write(tmp_path/"twice.csv", lines_of(new([ids[0], ids[0], ids[2]]), ",")),
                        orientation=ORIENTATIONS[0])
    same(twice, ["CDS-0", "CDS-1", "CDS-2"], GENES)  # two profiles of a model keep ids of their own
    assert twice.obs["ModelID"].tolist() == [ids[0], ids[0], ids[2]]


@pytest.mark.parametrize("head,row,words", [
    ("target_id length eff_length est_counts tpm", "ENST1 10 9 1 2", "kallisto"),
    ("Name Length EffectiveLength TPM NumReads", "ENST1 10 9 1 2", "salmon"),
    ("gene_id transcript_id(s) length effective_length expected_count TPM FPKM", "G T 10 9 1 2 3", "RSEM"),
    ("gene_id gene_name gene_type unstranded stranded_first stranded_second tpm_unstranded", "G T p 9 1 2 3", "STAR"),
    ("N_unmapped 5 6 7", "N_multimapping 5 6 7", "ReadsPerGene"),
    ("ENSG00000000003.15 2345", "ENSG00000000005.6 0", "HTSeq"), ("A1BG 12", "A2M 5", "HTSeq"),
    ("AAR2 12", "AARS1 5", "HTSeq"), ("miRNA_ID read_count reads_per_million_miRNA_mapped cross-mapped",
                                      "hsa-let-7a-1 5 6.5 N", "miRNA file of the GDC"),
    ("Gene_ID Gene_Name Reference Strand Start End Coverage FPKM TPM", "G g 1 + 1 2 3 4 5", "StringTie"),
    ("gene baseMean log2FoldChange lfcSE stat pvalue padj", "G 1 2 3 4 5 6", "DESeq2"),
    ("gene logFC AveExpr t P.Value adj.P.Val B", "G 1 2 3 4 5 6", "limma"),
    ("Hugo_Symbol Chromosome Variant_Classification", "TP53 17 Missense", "MAF"),
    ("Status a.bam b.bam", "Assigned 5 6", "summary of featureCounts"),
    ("sample gene value", "S1 TP53 3", "long table"), ("Gene Tissue nTPM", "TP53 lung 3", "long table"),
    ("TCGA-A7-A0CE-01A 1.5 2.5", "TCGA-A7-A0CF-01A 1 2", "no header"),
])
def test_files_that_are_no_matrix(tmp_path, head, row, words):
    path = write(tmp_path/"a.tsv", lines_of([head.split(), row.split(), row.replace("1", "2").split()]))
    refused(lambda: read_cohort(path, orientation=ORIENTATIONS[1]), path, words)


def test_feature_counts(tmp_path):
    rows = genes_down("Geneid", [("Chr", ["1;1", "7", "8", "X"]), ("Start", ["1;9", 2, 3, 4]), ("End", [3, 4, 5, 6]),
                                 ("Strand", ["+;+", "-", "+", "-"]),
                                 ("Length", [500, 600, 700, 800])])
    rows[0][6:] = [f"/data/run1/S{i}Aligned.sortedByCoord.out.bam" for i in (1, 2, 3)]
    cohort = same(read_cohort(write(tmp_path/"counts.txt",
                                    '# Program:featureCounts v2.0.1; Command:"featureCounts" "-a"\n' + lines_of(rows))))
    assert cohort.var["Length"].tolist() == ["500", "600", "700", "800"] and cohort.var["Chr"].tolist()[0] == "1;1"
    rows[0][6:] = ["a/S.bam", "b/S.bam", "c/S.bam"]  # names that would become the same stay as they are
    assert (read_text(write(tmp_path/"d.txt", "# Program:featureCounts\n" + lines_of(rows))).columns
            == ["a/S", "b/S", "c/S"])


def test_nf_core_and_header_with_a_hash(tmp_path):
    same(read_cohort(write(tmp_path/"a.tsv", lines_of(genes_down("gene_id", [("gene_name", list("abcd"))])))))
    same(read_cohort(write(tmp_path/"b.tsv", lines_of(genes_down("gene_id", [("transcript_id(s)", ["T,U"] * 4)])))))
    same(read_cohort(write(tmp_path/"c.tsv", "# Constructed from biom file\n" + lines_of(genes_down("#OTU ID"))),
                     orientation=ORIENTATIONS[1]))


def test_detection_columns_are_left_out(tmp_path):
    rows = [["ID_REF", "S1", "Detection Pval", "S2", "Detection Pval", "S3", "Detection Pval"],
            *([g, *(v for x in X[:, i] for v in (x, 0.01))] for i, g in enumerate(GENES))]
    assert "detection" in str(same(read_cohort(write(tmp_path/"a.txt", lines_of(rows)))).uns["read_notes"])


# ---------------------------------------------------------------- labels among the genes

LABELS = ["class", "label", "Label", "target", "subtype", "y", "group", "status", "outcome", "cancer_type",
          "Sample Type", "Tumor_Stage",
          "OS.status", "age", "treatment", "length", "Entrez_Gene_Id", "TPM", "NumReads", "est_counts"]


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("place", ["left", "right", "middle"])
@pytest.mark.parametrize("form", ["csv", "parquet", "h5ad"])
def test_a_numeric_label_is_no_gene(tmp_path, name, place, form):
    at = {"left": 0, "middle": 2, "right": 4}[place]
    frame = pd.DataFrame(X, index=pd.Index(SAMPLES), columns=GENES)
    frame.insert(at, name, [0, 1, 1])
    path = tmp_path/f"a.{form}"
    if form == "csv": frame.to_csv(path)
    elif form == "parquet": frame.to_parquet(path)
    else:
        anndata.AnnData(frame.to_numpy(np.float32), obs=pd.DataFrame(index=SAMPLES),
                        var=pd.DataFrame(index=frame.columns)).write_h5ad(path)
    cohort = same(read_cohort(path, orientation=ORIENTATIONS[0]))
    assert cohort.obs[name].tolist() == ["0", "1", "1"]
    assert name in str(cohort.uns["read_notes"])


@pytest.mark.parametrize("name", ["class", "target", "status", "cancer_type", "grade"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_row_of_labels_is_no_gene(tmp_path, name, form):
    frame = pd.DataFrame(X.T, index=GENES, columns=SAMPLES)
    frame = pd.concat([frame.iloc[:2], pd.DataFrame([[0, 1, 1]], index=[name], columns=SAMPLES), frame.iloc[2:]])
    path = tmp_path/f"a.{form}"
    frame.to_csv(path) if form == "csv" else frame.to_parquet(path)
    cohort = same(read_cohort(path, orientation=ORIENTATIONS[1]))
    assert cohort.obs[name].tolist() == ["0", "1", "1"] and name in str(cohort.uns["read_notes"])


def test_rows_of_text_are_annotation_of_the_samples(tmp_path):
    rows = genes_down()
    rows[1:1] = [["histology", "ductal", "lobular", "ductal"], ["grade", "1", "x", ""]]
    cohort = same(read_cohort(write(tmp_path/"a.tsv", lines_of(rows))))
    assert (cohort.obs["histology"].tolist() == ["ductal", "lobular", "ductal"]
            and cohort.obs["grade"].tolist() == ["1", "x", ""])
    across = samples_down()
    across.insert(2, ["batch", "a", "b", "c", "d"])
    refused(lambda: read_cohort(write(tmp_path/"b.tsv", lines_of(across)), orientation=ORIENTATIONS[0]),
            "line 3, row 'batch'", "is not a number")
    twice = [*genes_down(), genes_down()[0]]
    refused(lambda: read_cohort(write(tmp_path/"c.tsv", lines_of(twice))), "line 6 repeats the header")


def test_text_columns_anywhere_are_annotation(tmp_path):
    odd = [("my column", ["red", "blue", "red"]), ("seen", ["2020-01-31", "2021-02-28", "2020-05-05"]),
           ("ok", [True, False, True])]
    cohort = same(read_cohort(write(tmp_path/"a.csv", lines_of(samples_down(after=odd), ","))))
    assert cohort.obs["my column"].tolist() == ["red", "blue", "red"] and "seen" in cohort.obs and "ok" in cohort.obs
    mixed = [("code", ["a", "b", "7"])]
    refused(lambda: read_cohort(write(tmp_path/"b.csv", lines_of(samples_down(after=mixed), ","))), "column 'code'",
            "is not a number")
    late = (lines_of(samples_down(after=[("code", ["a", "b", "c"])]), ",")
            + "".join(f"S{i},1,2,3,4,a\n" for i in range(4, 40)) + "S99,1,2,3,4,5\n")
    refused(lambda: read_cohort(write(tmp_path/"c.csv", late)),
            "column 'code' holds text ('a') and numbers (row 'S99': 5)")
    commas = [("S9", ["2,5", "3,5", "4,5", "5,5"])]
    refused(lambda: read_cohort(write(tmp_path/"d.tsv", lines_of(genes_down(after=commas)))), "'2,5'", "decimal points")
    frame = pd.DataFrame(X, index=SAMPLES, columns=GENES).assign(
        seen=pd.to_datetime("2020-01-31"), tumour=[True, False, True], site=pd.Categorical(list("aba")))
    frame.to_parquet(tmp_path/"a.parquet")
    assert same(read_cohort(tmp_path/"a.parquet")).obs["tumour"].tolist() == ["True", "False", "True"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_row_numbers_are_no_gene(tmp_path, form):
    rng, n = np.random.default_rng(0), 30
    frame = pd.DataFrame(rng.random((n, 3)).astype(np.float32), index=[f"S{i}" for i in range(n)],
                         columns=["a", "b", "c"])
    for name in ("Unnamed: 0", "Unnamed: 0.1", "X.1", "nr"):
        odd = frame.copy()
        odd.insert(1, name, range(n))
        odd.to_csv(tmp_path/"a.csv") if form == "csv" else odd.to_parquet(tmp_path/"a.parquet")
        cohort = read_cohort(tmp_path/f"a.{form}", orientation=ORIENTATIONS[0])
        assert cohort.var_names.tolist() == ["a", "b", "c"], name
        np.testing.assert_array_equal(cohort.X, frame.to_numpy())


def test_samples_may_have_any_name(tmp_path):
    "Names that are labels among genes are samples where the genes are rows, or where the sample table says so."
    frame = pd.DataFrame(X.T, index=GENES, columns=["control", "target", "group"])
    frame.to_csv(tmp_path/"a.csv")
    cohort = read_cohort(tmp_path/"a.csv", orientation=ORIENTATIONS[1])
    assert cohort.obs_names.tolist() == ["control", "target", "group"]
    rows = pd.DataFrame(X, index=["s", "status", "group"], columns=GENES)
    rows.to_csv(tmp_path/"b.csv")
    assert read_cohort(tmp_path/"b.csv", orientation=ORIENTATIONS[0]).obs_names.tolist() == ["s", "status", "group"]


def test_no_gene_is_taken_for_a_label():
    "Symbols, miRNA, probes, bins and CpG sites, with those of the cohorts that are here."
    names = ["MET", "KIT", "CAT", "REST", "STAR", "T", "TBXT", "SET", "IMPACT", "AGER", "ENDOU", "STARD3", "TPM1",
             "CLASRP", "CHRD", "AGE1", "hsa-let-7a-1", "hsa-mir-21", "1007_s_at", "AFFX-BioB-5_at", "cg00000029",
             "chr1_1000_2000", "chr1:1000-2000", "17p13.1", "HLA-A", "NKX2-1", "C1orf112",
             "1-Mar", "ENSG00000000003.15", "7157", "AKT_pS473", "PC", "GC", "TYMS", "ID1", "NAMPT", "TARS1", "SEX1",
             "GROUP1", "ILMN_1343291", "A_23_P100001"]
    for folder in ("tcga_mirna", "micro_golub_leukemia", "nci60_islp", "gdsc_v17"):
        if (found := data_dir(folder)) and (found/"expression.parquet").exists():
            names += pa.parquet.read_schema(found/"expression.parquet").names[1:]
    assert not [n for n in names if n != "sample_id" and is_annotation(n, among_genes=True)]


def test_annotation_names_twice(tmp_path):
    rows = samples_down(before=[("batch", [1, 2, 3]), ("batch", [4, 5, 6])])
    refused(lambda: read_cohort(write(tmp_path/"a.csv", lines_of(rows, ","))),
            "a.csv: the annotation column 'batch' occurs twice")
    rows = samples_down()
    rows[0][2] = rows[0][1]
    refused(lambda: read_cohort(write(tmp_path/"b.csv", lines_of(rows, ","))), "TP53 (2 times)")


# ---------------------------------------------------------------- shifts

@pytest.mark.parametrize("corner", ["gene_id", "Gene Symbol", "sample", "id", "", "Hugo_Symbol", "ID_REF", "probe",
                                    "Name", "ids"])
def test_a_header_that_is_one_name_short_is_refused(tmp_path, corner):
    for rows in (genes_down(corner), samples_down(corner)):
        rows[0].pop(2)
        path = write(tmp_path/"a.tsv", lines_of(rows))
        for orientation in ORIENTATIONS:
            refused(lambda: read_cohort(path, orientation=orientation), path, "A name is missing in the header")


def test_names_of_r(tmp_path):
    for rows, orientation in ((genes_down(), ORIENTATIONS[1]), (samples_down(), ORIENTATIONS[0])):
        same(read_cohort(write(tmp_path/"a.tsv", lines_of([rows[0][1:], *rows[1:]])), orientation=orientation))
    numbered = [genes_down()[0], *([i + 1, *row] for i, row in enumerate(genes_down()[1:]))]
    same(read_cohort(write(tmp_path/"b.tsv", lines_of(numbered)), orientation=ORIENTATIONS[1]))
    entrez = genes_down(genes=["7157", "1956", "4609", "3845"])
    same(read_cohort(write(tmp_path/"c.tsv", lines_of([entrez[0][1:], *entrez[1:]])), orientation=ORIENTATIONS[1]),
         genes=["7157", "1956", "4609", "3845"])
    tumour = samples_down("tumour")
    tumour[0].pop()
    refused(lambda: read_cohort(write(tmp_path/"d.tsv", lines_of(tumour)), orientation=ORIENTATIONS[0]),
            "A name is missing")


def test_a_name_that_is_empty_at_the_end(tmp_path):
    rows = genes_down()
    shifted = [[*rows[0][1:], ""], *rows[1:]]
    refused(lambda: read_cohort(write(tmp_path/"a.csv", lines_of(shifted, ",")), orientation=ORIENTATIONS[1]),
            "column 4 has values, but no name")
    for extra in (2, -1):
        bad = [list(r) for r in rows]
        bad[2] = bad[2][:extra] if extra < 0 else [*bad[2], 1, 2]
        refused(lambda: read_cohort(write(tmp_path/"b.csv", lines_of(bad, ","))), "line 3, row 'EGFR'", "3 columns")
        bad = [[*r, t] for r, t in zip(rows, ["site", "a", "b", "c", "d"])]
        bad[2] = bad[2][:2] + bad[2][3:]
        refused(lambda: read_cohort(write(tmp_path/"c.csv", lines_of(bad, ","))), "line 3, row 'EGFR'")


# ---------------------------------------------------------------- which side

@pytest.mark.parametrize("ids", [
    ["TCGA.A7.A0CE.01A", "TCGA.A7.A0CF.11A"], ["tcga-a7-a0ce", "tcga-a7-a0cf"], ["TCGA_A7_A0CE_01", "TCGA_A7_A0CF_01"],
    ["GTEX.1117F.0226", "GTEX_1117F_0226"], ["TARGET.20.PABHHB.09A", "TARGET-10-X-01A"], ["ACH-000001", "ACH.000002"],
    ["C3L-00001", "C3N.00002"], ["11BR001", "X01BR002"], ["CPT0000640003", "01CO005"], ["GSM12345", "GSM12346"],
    ["SRR1039508", "ERR188044"], ["MB-0001", "MB-0002"], ["MMRF_1021_1", "MMRF_1030_1"], ["DO220842", "SP117556"]])
def test_ids_of_the_large_projects_are_samples(ids):
    assert looks_like(ids) == "samples" and all(SAMPLE_LIKE.match(i) for i in ids)


def test_symbols_are_not_taken_for_samples():
    for gene in ("SP1", "SP100", "SP140L", "DOCK1", "MB", "MBD2", "ACHE", "PD1", "PRMT5", "CPT1A", "SAMD9", "GSN",
                 "K17", "PR1", "HCM"):
        assert not SAMPLE_LIKE.match(gene), gene


# ---------------------------------------------------------------- parquet

def test_parquet_with_odd_notes_of_pandas(tmp_path):
    frame = pd.DataFrame(X, index=pd.Index(SAMPLES, name="sample_id"), columns=GENES)
    frame.to_parquet(tmp_path/"a.parquet")
    table = pa.parquet.read_table(tmp_path/"a.parquet")
    for notes in (b"{", b"[]", b"null", b'{"index_columns": 5}', b'{"index_columns": [{"kind": "range"}]}',
                  b'{"index_columns": ["gone"]}', b'{"index_columns": null}', b"\xff\xfe"):
        pa.parquet.write_table(table.replace_schema_metadata({b"pandas": notes}), tmp_path/"b.parquet")
        same(read_cohort(tmp_path/"b.parquet", orientation=ORIENTATIONS[0]))


def test_parquet_columns_of_every_kind(tmp_path):
    columns = {"sample_id": pa.array(SAMPLES).dictionary_encode(), "f16": pa.array(X[:, 0].astype(np.float16)),
               "f64": pa.array(X[:, 1].astype(float)),
               "dict": pa.array(X[:, 2]).dictionary_encode(), "i8": pa.array([7, 1, 2], pa.int8())}
    pa.parquet.write_table(pa.table(columns), tmp_path/"a.parquet")
    same(read_cohort(tmp_path/"a.parquet", orientation=ORIENTATIONS[0]), genes=["f16", "f64", "dict", "i8"])
    for kind, values in (("list", [[1], [2], [3]]), ("struct", [{"a": 1}] * 3), ("binary", [b"a", b"b", b"c"])):
        pa.parquet.write_table(pa.table({**columns, "odd": values}), tmp_path/"b.parquet")
        refused(lambda: read_cohort(tmp_path/"b.parquet", orientation=ORIENTATIONS[0]), "b.parquet", "column 'odd'")
    pa.parquet.write_table(pa.Table.from_arrays([*columns.values(), pa.array([1, 2, 3])], names=[*columns, "f64"]),
                           tmp_path/"c.parquet")
    refused(lambda: read_cohort(tmp_path/"c.parquet", orientation=ORIENTATIONS[0]), "c.parquet", "f64 (2 times)")
    pa.parquet.write_table(pa.table({"a": [1.0], "b": [2.0]}), tmp_path/"d.parquet")
    refused(lambda: read_cohort(tmp_path/"d.parquet", orientation=ORIENTATIONS[0]), "no column of row names")
    pa.parquet.write_table(pa.table({"sample_id": pa.array([], pa.string()), "b": pa.array([], pa.float32())}),
                           tmp_path/"e.parquet")
    refused(lambda: read_cohort(tmp_path/"e.parquet", orientation=ORIENTATIONS[0]), "0 rows and 1 columns")


def test_parquet_in_pieces_and_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(binary, "_PIECE_BYTES", 5000)
    Z = np.random.default_rng(0).random((5000, 23)).astype(np.float32)
    frame = pd.DataFrame(Z, index=[f"s{i}" for i in range(len(Z))], columns=[f"g{j}" for j in range(23)])
    frame.to_parquet(tmp_path/"a.parquet", row_group_size=700)
    for orientation, expected in zip(ORIENTATIONS, (Z, Z.T)):
        read = read_cohort(tmp_path/"a.parquet", orientation=orientation)
        np.testing.assert_array_equal(read.X, expected)
        assert read.X.flags.c_contiguous


# ---------------------------------------------------------------- h5ad

def store(path, matrix, **more):
    anndata.AnnData(matrix, obs=pd.DataFrame({"kind": pd.Categorical(["a", "b", "a"])}, index=SAMPLES),
                    var=pd.DataFrame(index=GENES), **more).write_h5ad(path)
    return path


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", ">f8", "bool"])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.csr_array])
def test_h5ad_of_every_kind_of_number(tmp_path, monkeypatch, dtype, form):
    monkeypatch.setattr(binary, "_PIECE_BYTES", 40)
    if form is not np.asarray and dtype == ">f8": dtype = "float64"  # scipy knows no other byte order
    cohort = read_cohort(store(tmp_path/"a.h5ad", form(X.astype(dtype))))
    np.testing.assert_array_equal(cohort.X, X.astype(dtype).astype(np.float32))
    assert cohort.obs["kind"].tolist() == ["a", "b", "a"] and cohort.X.flags.c_contiguous


def test_h5ad_chunks_and_compression(tmp_path, monkeypatch):
    monkeypatch.setattr(binary, "_PIECE_BYTES", 3000)
    Z = np.random.default_rng(0).random((120, 77))
    for chunks in ((7, 5), (120, 1), (1, 77), (120, 77)):
        store_path = tmp_path/"a.h5ad"
        anndata.AnnData(Z, obs=pd.DataFrame(index=[f"s{i}" for i in range(120)]),
                        var=pd.DataFrame(index=[f"g{j}" for j in range(77)])).write_h5ad(store_path)
        with h5py.File(store_path, "a") as file:
            attrs = dict(file["X"].attrs)
            del file["X"]
            file.create_dataset("X", data=Z, chunks=chunks, compression="gzip").attrs.update(attrs)
        np.testing.assert_array_equal(read_cohort(store_path).X, Z.astype(np.float32))


def damaged(change):
    def act(path):
        with h5py.File(path, "a") as file: change(file)
    return act


def replaced(name, values):
    def change(file):
        del file[name]
        file[name] = values
    return change


def entry(name, at, value):
    def change(file): file[name][at] = value
    return change


@pytest.mark.parametrize("change,parts", [
    (entry("X/indptr", 1, 2**31 - 1), ["indptr falls"]), (entry("X/indptr", 1, -5), ["indptr falls"]),
    (entry("X/indptr", 3, 99), ["indptr runs from 0 to 99"]),
    (entry("X/indptr", 0, 1), ["indptr runs from 1"]), (entry("X/indptr", slice(1, 3), [5, 7]), ["more than 4 values"]),
    (entry("X/indices", 0, 4), ["line 0 has index 4, but there are 4"]),
    (entry("X/indices", 0, -1), ["line 0 has index -1"]),
    (entry("X/indices", 1, 0), ["line 0 has two values at index 0"]),
    (replaced("X/indices", np.zeros(3, np.int32)), ["values and 3 indices"]),
    (replaced("X/indptr", np.zeros(9, np.int32)), ["9 entries instead of 4"]),
    (replaced("X/indptr", np.array([0.0, 3, 7, 11])), ["no whole numbers"]),
    (replaced("X/data", np.zeros((11, 1))), ["three lists"]), (replaced("X/indices", "text"), ["three lists"]),
    (lambda f: f["X"].attrs.__setitem__("shape", [3, 40]), ["shape is (3, 40)"]),
    (lambda f: f["X"].attrs.__setitem__("encoding-type", "coo_matrix"), ["stored as 'coo_matrix'"]),
    (lambda f: f["X"].__delitem__("data"), ["three lists"]),
])
def test_sparse_h5ad_that_does_not_hold_together(tmp_path, change, parts):
    path = store(tmp_path/"a.h5ad", scipy.sparse.csr_matrix(X))
    damaged(change)(path)
    refused(lambda: read_cohort(path), path, *parts)


def test_unsorted_indices_are_read_right(tmp_path):
    path = store(tmp_path/"a.h5ad", scipy.sparse.csr_matrix(X))
    def turn(file):
        n = file["X/indptr"][1]
        for name in ("data", "indices"): file["X"][name][:n] = file["X"][name][:n][::-1]
    damaged(turn)(path)
    same(read_cohort(path))


@pytest.mark.parametrize("change,parts", [
    (replaced("X", np.zeros((2, 4), np.float32)), ["X has the shape (2, 4)"]),
    (replaced("X", np.array(["a", "b"], "S1")), ["not numbers"]),
    (entry("obs/kind/codes", 0, 7), ["cannot be read as .h5ad"]),
    (lambda f: f["obs"].attrs.__setitem__("encoding-version", "9.9"), ["cannot be read as .h5ad"]),
    (lambda f: f.__delitem__("var"), ["it has no var"]),
    (replaced("X", h5py.SoftLink("/obs/kind/codes")), ["'/X' is a link"]),
    (replaced("X", h5py.ExternalLink("/etc/passwd", "/X")), ["'/X' is a link to"]),
    (replaced("obs/kind", h5py.ExternalLink("other.h5", "/X")), ["'/obs/kind' is a link"]),
])
def test_h5ad_that_cannot_be_trusted(tmp_path, change, parts):
    path = store(tmp_path/"a.h5ad", X)
    damaged(change)(path)
    refused(lambda: read_cohort(path), path, *parts)


def test_h5ad_whose_values_lie_elsewhere(tmp_path):
    path = store(tmp_path/"a.h5ad", X)
    (tmp_path/"secret").write_bytes(X.tobytes())
    def outside(file):
        attrs = dict(file["X"].attrs)
        del file["X"]
        file.create_dataset("X", X.shape, X.dtype, external=[(str(tmp_path/"secret"), 0, X.nbytes)]).attrs.update(attrs)
    damaged(outside)(path)
    refused(lambda: read_cohort(path), "lie in another file")


def test_values_in_layers_or_raw_only(tmp_path):
    cohort = anndata.AnnData(obs=pd.DataFrame(index=SAMPLES), var=pd.DataFrame(index=GENES), layers={"counts": X})
    cohort.write_h5ad(tmp_path/"a.h5ad")
    refused(lambda: read_cohort(tmp_path/"a.h5ad"), "has no X", "layers['counts']")


def test_layers_are_not_read(tmp_path):
    path = store(tmp_path/"a.h5ad", X, layers={"other": scipy.sparse.csr_matrix(X)})
    damaged(entry("layers/other/indptr", 1, 10**6))(path)
    same(read_cohort(path))


def test_claims_that_no_machine_can_hold(tmp_path):
    path = store(tmp_path/"a.h5ad", X)
    n = 3_000_000
    with h5py.File(path, "w") as file:  # 3,000,000 x 3,000,000 values that were never written
        for name in ("obs", "var"):
            group = file.create_group(name)
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "i",
                                "column-order": np.array([], "S1")})
            group.create_dataset("i", (n,), "S1", chunks=(n,), compression="gzip").attrs.update(
                {"encoding-type": "string-array", "encoding-version": "0.2.0"})
        file.create_dataset("X", (n, n), "f4", chunks=(1000, 1000),
                            compression="gzip").attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    refused(lambda: read_cohort(path), "a.h5ad")
    refused(lambda: binary.make_room(path, n, n, 10**9), "more than the")


# ---------------------------------------------------------------- files that change

def test_a_matrix_that_is_replaced_while_it_is_read(tmp_path, monkeypatch):
    import cancer_dl.data.cohort as cohorts
    frame, table = (pd.DataFrame(X, index=SAMPLES, columns=GENES),
                    pd.DataFrame({"cancer_type": list("ABA")}, index=pd.Index(SAMPLES, name="sample_id")))
    frame.to_csv(tmp_path/"expression.csv")
    table.to_csv(tmp_path/"samples.csv")
    (tmp_path/"notes.txt").write_text("x")
    read = cohorts.read_text
    def slow(path, verbose=False):
        raw = read(path, verbose)
        (tmp_path/"notes.txt").write_text("another file of the folder may change")
        if swap:
            frame.iloc[::-1].to_csv(tmp_path/"new.csv")
            os.replace(tmp_path/"new.csv", tmp_path/swap)
        return raw
    monkeypatch.setattr(cohorts, "read_text", slow)
    swap = None
    same(read_cohort(tmp_path))
    for swap in ("expression.csv", "samples.csv"):
        refused(lambda: read_cohort(tmp_path), swap, "changed while the cohort was read")


def test_file_states(tmp_path):
    path = write(tmp_path/"a", b"1")
    states = FileStates(path, None, pd.DataFrame(), str(path))
    states.check()
    path.unlink()
    refused(states.check, "a changed while")


# ---------------------------------------------------------------- the rest

def test_junk_in_a_folder(tmp_path):
    pd.DataFrame(X, index=SAMPLES, columns=GENES).to_csv(tmp_path/"expression.csv")
    pd.DataFrame({"t": list("aba")}, index=pd.Index(SAMPLES, name="sample_id")).to_csv(tmp_path/"samples.csv")
    for name in ("._expression.csv", "._samples.csv", ".DS_Store", "Thumbs.db"):
        (tmp_path/name).write_bytes(b"\0\5\x16\7")
    same(read_cohort(tmp_path))


def test_the_fast_way_is_taken_where_it_can_be(tmp_path, monkeypatch):
    "A plain matrix with annotation at the left must not be cut into fields."
    def never(*args): raise AssertionError("slow")
    monkeypatch.setattr(table, "_pick", never)
    monkeypatch.setattr(table, "_parse_slowly", never)
    for rows in (genes_down("gene_id", [("gene_name", list("abcd"))]), samples_down()):
        assert read_text(write(tmp_path/"a.tsv", lines_of(rows))).values.matrix(False).size == 12


def test_pandas_notes_are_read_once(tmp_path, monkeypatch):
    "They are as long as the header of a wide table: reading them for every column would be quadratic."
    frame = pd.DataFrame(np.zeros((2, 600), np.float32), index=["a", "b"], columns=[f"g{j}" for j in range(600)])
    frame.to_parquet(tmp_path/"a.parquet")
    calls, loads = [], json.loads
    monkeypatch.setattr(binary.json, "loads", lambda *a, **k: calls.append(1) or loads(*a, **k))
    assert binary.read_parquet(tmp_path/"a.parquet").values.matrix(False).shape == (2, 600)
    assert len(calls) <= 3


@pytest.mark.parametrize("form", ["csv", "quoted.csv", "parquet", "h5ad", "sparse.h5ad"])
@pytest.mark.filterwarnings("error")
def test_values_beyond_float32_are_refused_without_a_warning(tmp_path, form):
    big = X.astype(float)
    big[1, 1] = 1e300
    frame, path = pd.DataFrame(big, index=pd.Index(SAMPLES, name="sample_id"), columns=GENES), tmp_path/f"a.{form}"
    if form == "csv": frame.to_csv(path)
    elif form == "quoted.csv": frame.to_csv(path, quoting=1)
    elif form == "parquet": frame.to_parquet(path)
    else: store(path, big if form == "h5ad" else scipy.sparse.csr_matrix(big))
    refused(lambda: read_cohort(path, orientation=ORIENTATIONS[0]), path, "1 value(s) are infinite", "gene EGFR")


def test_a_table_of_text_only(tmp_path):
    rows = [["gene_id", "S1", "S2"], ["site", "a", "b"], ["kind", "c", "d"]]
    refused(lambda: read_cohort(write(tmp_path/"a.csv", lines_of(rows, ",")), orientation=ORIENTATIONS[1]),
            "2 lines of text and none of numbers")
    refused(lambda: read_cohort(write(tmp_path/"b.csv", lines_of([rows[0], ["TP53", "a", "1"]], ",")),
                                orientation=ORIENTATIONS[1]), "'a' is not a number")
