"""Names of genes: maps of every kind, what spreadsheets do, names that occur twice or not at all,
and the order that a model wants."""
import gzip
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest

from refusing import refused
from cancer_dl.core import InputError
from cancer_dl.data.checkup import cohort_report, describe_cohort
from cancer_dl.data.cohort import read_cohort
from cancer_dl.data.genes import (DUPLICATES, NAMELESS, align_genes, collapse_genes, excel_dates, made_unique,
                                  name_genes, other_symbol, read_gene_map, strip_versions)

SYMBOLS = ["TP53", "EGFR", "MYC", "KRAS", "NKX2-1", "HLA-A"]
IDS = [f"ENSG{i:011d}" for i in range(100, 106)]
PAIRS = dict(zip(IDS, SYMBOLS))


def named(names, X=None, gene_map=None, duplicates="error", unnamed="error", **columns):
    X = np.arange(2.0 * len(names)).reshape(2, -1) if X is None else X
    var = pd.DataFrame({"name": names, **columns}, index=list(map(str, range(len(names)))))
    return name_genes(anndata.AnnData(np.asarray(X, np.float32),
                                      obs=pd.DataFrame(index=[f"s{i}" for i in range(len(X))]), var=var),
                      gene_map, duplicates, "m.csv", unnamed)


# ---------------------------------------------------------------- spreadsheets

WRITTEN = {"MARCH1": ["1-Mar", "01-Mar", "Mar-1", "Mar-01", "1-mar", "MAR-01", "1-Mar-23", "1-Mar-2023", "1/Mar",
                      "1. Mrz", "01. Mär", "Mrz 01", "1 mars", "2023-03-01", "2023/03/01",
                      "01/03/2023", "3/1/2023", "01.03.2023", "2020-03-01 00:00:00", "2020-03-01T00:00:00",
                      "43891", "43891.0", "44256"],
           "SEPT2": ["2-Sep", "Sep-02", "02-Sept", "September 2", "2-set", "2-Sep-23", "2020-09-02", "02/09/2020",
                     "44076"],
           "DEC1": ["1-Dec", "Dec-01", "1. Dez", "1-déc", "1-dic", "12/1/2020", "44166"], "OCT4": ["4-Oct", "4. Okt"],
           "AGO2": ["2-ago"], "MEI1": ["1-mei"]}


@pytest.mark.parametrize("gene, written", [(g, w) for g, ws in WRITTEN.items() for w in ws])
def test_dates_in_every_fashion(gene, written):
    assert f"{gene} " in excel_dates(["TP53", "EGFR", "MYC", written])[written] + " "


def test_one_march_is_two_genes_and_twelve_march_is_none():
    assert excel_dates(["1-Mar"])["1-Mar"] == "MARCH1 (MARCHF1) or MARC1 (MTARC1)"
    assert excel_dates(["8-Mar"])["8-Mar"] == "MARCH8 (MARCHF8)"
    assert excel_dates(["20-Jul"])["20-Jul"] == "a symbol that reads as a date"
    assert ("RIKEN" in excel_dates(["2.31E+13", "Actb"])["2.31E+13"]
            and "RIKEN" in excel_dates(["5E+12", "Actb"])["5E+12"])


def test_genes_that_are_no_dates():
    honest = ["MARCH1", "MARCHF1", "SEPTIN2", "SEPT2", "DEC1", "NOV", "APR", "OCT4", "NKX2-1", "HLA-A", "MT-CO1",
              "RP11-34P13.7", "7SK", "5S_rRNA", "2310009E13Rik", "hsa-let-7a-1",
              "hsa-mir-21", "AC010642.2", "1007_s_at", "ILMN_1343291", "ENSG00000141510.18", "A_23_P100001",
              "cg00000029", "uc001aaa.3", "chr1:100-200", "TP53.1", "X1", "1", "H3-3A", "12-LOX", "C1orf1"]
    assert excel_dates(honest) == {}
    assert excel_dates([str(n) for n in range(43800, 44300)]) == {}  # Entrez ids
    assert excel_dates([f"{a}-{n}" for a in ("sep", "mar", "dec", "lin", "daf") for n in range(1, 12)]) == {}  # a worm


def test_dates_are_never_merged():
    names = ["1-Mar", "TP53", "1-Mar", "2-Sep"]
    for rule in DUPLICATES:
        refused(lambda: named(names, duplicates=rule), "1-Mar may be MARCH1 (MARCHF1) or MARC1 (MTARC1)",
                "unnamed='drop'")
        left = named(names, duplicates=rule, unnamed="drop")
        assert (left.var_names.tolist() == ["TP53", "2-Sep"] and left.X.tolist() == [[1, 3], [5, 7]]
                and "left out: 1-Mar" in left.uns["notes"][0])
    kept = named(names, unnamed="keep")
    assert (kept.var_names.tolist() == ["1-Mar", "TP53", "1-Mar (2)", "2-Sep"]
            and set(excel_dates(kept.var_names)) == {"1-Mar", "1-Mar (2)", "2-Sep"})


def test_data_info_lists_them(tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).gamma(3, 1.3, size=(6, 8)),
                         index=[f"TCGA-AA-000{i}-01" for i in range(6)],
                         columns=["TP53", "EGFR", "MYC", "1-Mar", "1-Mar", "2020-09-02", "", ""])
    frame.T.to_csv(tmp_path/"m.csv")
    seen = read_cohort(tmp_path/"m.csv", refuse=False)
    d = describe_cohort(seen)
    assert (list(d["suspicious"]["excel_dates"]) == ["1-Mar", "1-Mar (2)", "2020-09-02"]
            and len(d["suspicious"]["nameless"]) == 2)
    for part in ("MARCH1 (MARCHF1) or MARC1 (MTARC1)", "SEPT2 (SEPTIN2)", "without a name: 2"):
        assert part in cohort_report(seen)
    refused(lambda: read_cohort(tmp_path/"m.csv"), "2 gene(s) have no name", "unnamed='drop'")
    assert read_cohort(tmp_path/"m.csv", unnamed="drop").var_names.tolist() == ["TP53", "EGFR", "MYC", "2020-09-02"]


# ---------------------------------------------------------------- one form for names

@pytest.mark.parametrize("written", [lambda s, i: f"{s}|{i + 7000}", lambda s, i: f"{s} ({i + 7000})",
                                     lambda s, i: f"{IDS[i]}.{i + 1}|{s}", lambda s, i: f"{IDS[i]}_{s}",
                                     lambda s, i: f"{s}_{IDS[i]}", lambda s, i: f"{s} ({IDS[i]})",
                                     lambda s, i: f"{s}|{IDS[i]}.12", lambda s, i: f"{IDS[i]}:{s}"])
def test_two_names_in_one(written):
    names = [written(s, i) for i, s in enumerate(SYMBOLS)]
    cohort = named(names)
    assert cohort.var_names.tolist() == SYMBOLS and cohort.var["source_id"].tolist() == names
    assert cohort.var["other_id"].tolist() in (IDS, [str(7000 + i) for i in range(6)])
    assert named(SYMBOLS).var_names.tolist() == SYMBOLS and "other_id" not in named(SYMBOLS).var


def test_firehose_reads_without_a_flag_and_serves_old_models():
    raw = ["?|100130426", "?|100133144", "TP53|7157", "SLC35E2|728661", "SLC35E2|9906", "EGFR|1956"]
    cohort = named(raw)
    assert cohort.var_names.tolist() == ["?|100130426", "?|100133144", "TP53", "SLC35E2|728661", "SLC35E2|9906", "EGFR"]
    X, report = align_genes(cohort, ["EGFR|1956", "TP53|7157"])  # a bundle of 0.1.0 has the whole names
    assert X.tolist() == [[5, 2], [11, 8]] and report["share"] == 1


def test_a_map_may_know_the_other_half_of_a_name():
    names = [f"{s}|{i}" for i, s in enumerate(SYMBOLS)]
    assert (named(names, gene_map={str(i): f"NEW{i}" for i in range(6)}).var_names.tolist()
            == [f"NEW{i}" for i in range(6)])


def test_ids_that_became_floats_and_old_par_genes():
    assert named(["7157.0", "1956.0"]).var_names.tolist() == ["7157", "1956"]
    assert strip_versions(
        ["ENST00000269305.9", "ENSMUSG00000059552.14", "ENSGR0000182378.8", "ENSG00000182378.14_PAR_Y"]) == [
            "ENST00000269305", "ENSMUSG00000059552", "ENSG00000182378_PAR_Y", "ENSG00000182378_PAR_Y"]


def test_numbers_that_r_added():
    assert (made_unique(["A", "A.1", "A.2", "B.1", "C", "C.3", "ENSG00000141510", "ENSG00000141510.1"])
            == {"A.1": "A", "A.2": "A"})
    X = [[1, 2, 3], [4, 6, 9]]
    assert named(["TP53", "TP53.1", "AC1.2"], X).var_names.tolist() == ["TP53", "TP53.1", "AC1.2"]
    summed = named(["TP53", "TP53.1", "AC1.2"], X, duplicates="sum")
    assert (summed.var_names.tolist() == ["TP53", "AC1.2"] and summed.X[:, 0].tolist() == [3, 10]
            and "taken for repeats" in summed.uns["notes"][0])


@pytest.mark.parametrize("nothing", sorted(NAMELESS - {""}) + ["", "  "])
def test_genes_without_a_name(nothing):
    refused(lambda: named(["TP53", nothing, "EGFR"], entrez=["1", "2", "3"]),
            "1 gene(s) have no name, the first is number 2 of 3", "unnamed='drop'", "unnamed='id'", "entrez")
    assert named(["TP53", nothing, "EGFR"], unnamed="drop").var_names.tolist() == ["TP53", "EGFR"]
    assert (named(["TP53", nothing, "EGFR"], unnamed="id", entrez=["1", "2.0", "3"]).var_names.tolist()
            == ["TP53", "2", "EGFR"])
    assert named(["TP53", nothing, "EGFR"], unnamed="id", entrez=["1", "", "3"]).var_names.tolist() == ["TP53", "EGFR"]
    refused(lambda: named(["TP53", nothing], unnamed="guess"), "no rule for genes without a name")


def test_a_gene_that_looks_like_nothing_to_pandas(tmp_path):
    (tmp_path/"m.tsv").write_text("gene\tTCGA-AA-0001-01\tTCGA-AA-0002-01\nNAN\t1.5\t2\nTRUE\t3\t4\nTP53\t1\t2\n")
    assert read_cohort(tmp_path/"m.tsv").var_names.tolist() == ["NAN", "TRUE", "TP53"]


# ---------------------------------------------------------------- names that occur twice

def test_no_rule_lets_a_missing_value_win():
    X = np.array([[np.nan, 5, 9], [1, 4, 9], [1, np.nan, 9]], np.float32)
    expected = {"mean": [5, 2.5, 1], "max": [5, 4, 1], "sum": [5, 5, 1], "highest_mean": [5, 4, np.nan],
                "first": [np.nan, 1, 1]}
    for rule, values in expected.items():
        out, names, column = collapse_genes(X, ["a", "a", "b"], rule)
        np.testing.assert_array_equal(out[:, 0], values)
        assert names == ["a", "b"] and out.dtype == np.float32
    nothing = np.full((3, 2), np.nan, np.float32)
    for rule in ("mean", "max", "sum", "highest_mean", "first"):
        assert np.isnan(collapse_genes(nothing, ["a", "a"], rule)[0]).all()
    nothing[:, 1] = -3
    assert collapse_genes(nothing, ["a", "a"], "highest_mean")[2].tolist() == [1]


def test_ties_go_to_the_first_and_rules_warn_of_nothing():
    with np.errstate(all="raise"):
        assert collapse_genes(np.ones((4, 3), np.float32), list("aab"), "highest_mean")[2].tolist() == [0, 2]
        holes = np.array([[np.inf, 1], [np.nan, np.nan]], np.float32)
        for rule in DUPLICATES[1:]: collapse_genes(holes, ["a", "a"], rule)


# ---------------------------------------------------------------- maps

def table_of(*columns): return pd.DataFrame(dict(columns))


MAPS = {
    "biomart": table_of(("Gene stable ID", IDS), ("Gene stable ID version", [f"{i}.7" for i in IDS]),
                        ("Gene name", SYMBOLS)),
    "biomart_entrez": table_of(("Gene stable ID", IDS), ("NCBI gene (formerly Entrezgene) ID", range(6)),
                               ("Gene description", ["a long text, with comma"] * 6), ("HGNC symbol", SYMBOLS)),
    "biomaRt_in_R": table_of(("ensembl_gene_id", IDS), ("external_gene_name", SYMBOLS),
                             ("chromosome_name", list("XY1234"))),
    "xena": table_of(("#id", [f"{i}.7" for i in IDS]), ("gene", SYMBOLS), ("chrom", ["chr1"] * 6),
                     ("chromStart", range(6)), ("chromEnd", range(9, 15)), ("strand", list("+-+-+-"))),
    "hgnc": table_of(("hgnc_id", [f"HGNC:{i}" for i in range(6)]), ("symbol", SYMBOLS), ("name", ["tumor protein"] * 6),
                     ("prev_symbol", [""] * 6), ("entrez_id", range(6)), ("ensembl_gene_id", IDS)),
    "gencode": table_of(("seqname", ["chr1"] * 6), ("gene_type", ["protein_coding"] * 6),
                        ("gene_id", [f"{i}.7" for i in IDS]), ("gene_name", SYMBOLS)),
    "swapped": table_of(("Symbol", SYMBOLS), ("Ensembl", IDS)),
    "affymetrix": table_of(("Probe Set ID", IDS), ("Gene Title", ["tumor protein"] * 6), ("Gene Symbol", SYMBOLS)),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("form",
                         ["tsv", "csv", "semicolon", "gz", "no header", "crlf", "bom", "latin1", "frame", "indexed"])
def test_maps_of_every_kind(tmp_path, name, form):
    table, path = MAPS[name], tmp_path/f"map.{'csv' if form in ('csv', 'semicolon') else 'tsv'}"
    text = table.to_csv(index=False, sep={"csv": ",", "semicolon": ";"}.get(form, "\t"), header=form != "no header")
    if form == "crlf": text = text.replace("\n", "\r\n")
    if form == "latin1": text = text.replace("tumor", "tumör")
    path.write_bytes(text.encode("latin-1" if form == "latin1" else "utf-8-sig" if form == "bom" else "utf-8"))
    if form == "gz": path.write_bytes(gzip.compress(path.read_bytes()))
    given = table if form == "frame" else table.set_index(table.columns[0]) if form == "indexed" else path
    wanted = [f"{i}.3" for i in IDS]
    assert read_gene_map(given, wanted) == PAIRS
    assert named(wanted, gene_map=given).var_names.tolist() == SYMBOLS


def test_gtf_and_gff(tmp_path):
    gtf = "#!genome-build GRCh38\n" + "".join(
        f'1\thavana\tgene\t1\t9\t.\t+\t.\tgene_id "{i}"; gene_version "7"; gene_name "{s}"; gene_source "havana";\n'
        f'1\thavana\texon\t1\t9\t.\t+\t.\tgene_id "{i}"; gene_name "WRONG";\n' for i, s in PAIRS.items())
    gff = "##gff-version 3\n" + "".join(f"1\thavana\tgene\t1\t9\t.\t+\t.\tID=gene:{i};Name={s};biotype=x;gene_id={i}\n"
                                        for i, s in PAIRS.items())
    for file, content in (("a.gtf", gtf), ("a.gff3", gff), ("annotation.txt", gtf)): (tmp_path/file).write_text(content)
    (tmp_path/"b.gtf.gz").write_bytes(gzip.compress(gtf.encode()))
    for file in ("a.gtf", "a.gff3", "annotation.txt", "b.gtf.gz"): assert read_gene_map(tmp_path/file) == PAIRS, file


def test_probes_entrez_and_a_map_without_header(tmp_path):
    (tmp_path/"probes.txt").write_text("# made by hand\n1007_s_at\tDDR1 /// MIR4640\n1053_at\tRFC2\n117_at\t---\n")
    assert read_gene_map(tmp_path/"probes.txt", ["1007_s_at", "1053_at", "117_at"]) == {"1053_at": "RFC2"}
    (tmp_path/"entrez.csv").write_text("7157,TP53\n1956,EGFR\n")
    assert read_gene_map(tmp_path/"entrez.csv") == {"7157": "TP53", "1956": "EGFR"}
    (tmp_path/"spaces.txt").write_text("id symbol\nENSG00000000100 TP53\n")
    assert read_gene_map(tmp_path/"spaces.txt") == {IDS[0]: "TP53"}


def test_many_rows_and_several_symbols():
    table = pd.DataFrame({"Gene stable ID": [IDS[0], IDS[0], IDS[1], IDS[1], IDS[2], IDS[3]],
                          "Gene name": ["TP53", "TP53", "EGFR", "ERBB", "MYC,MYC", "A;B"]})
    assert read_gene_map(table) == {IDS[0]: "TP53", IDS[2]: "MYC"}
    cohort = named(IDS[:4], gene_map=table)
    assert cohort.var_names.tolist() == ["TP53", IDS[1], "MYC", IDS[3]]
    assert cohort.uns["notes"] == ["the gene map names 2 of 4 genes (50%)",
                                   "2 ids of the gene map stand for several symbols and keep their id"]
    spoilt = named(IDS[:2], gene_map={IDS[0]: "1-Mar", IDS[1]: "EGFR"})
    assert (spoilt.var_names.tolist() == [IDS[0], "EGFR"]
            and "went through a spreadsheet: 1-Mar" in spoilt.uns["notes"][1])


def test_directions():
    refused(lambda: named(SYMBOLS, gene_map=MAPS["xena"]), "as symbols", "need no map")
    refused(lambda: named(SYMBOLS, gene_map=MAPS["hgnc"]), "as symbols")
    # a table of two columns, in the order that it says
    assert named(SYMBOLS, gene_map=MAPS["swapped"]).var_names.tolist() == IDS
    refused(lambda: named(["x", "y"], gene_map=MAPS["xena"]), "knows none of the genes", "right map")


@pytest.mark.parametrize("content, words", [
    (b"symbol\nTP53\nEGFR\n", "one column only"), (b"", "empty"), (b"# only\n# comments\n", "comments only"),
    (b"id\tsymbol\n", "no rows"), (b"<html><body>login</body></html>", "web page"),
    (b"PK\x03\x04" + b"x" * 50, "Excel workbook"), (b"id\tsymbol\nA\t" + b"x" * 2_000_000 + b"\n", "line 2"),
    (b'id,symbol\nA,"' + b"y" * 200_000 + b'"\n', "cannot be read"),
    (b"id,symbol\nA,B\n\0\1\2\3\4\5", "binary"), (b"\x1f\x8b" + b"broken", "gzip")])
def test_files_that_are_no_map(tmp_path, content, words):
    (tmp_path/"map.csv").write_bytes(content)
    refused(lambda: read_gene_map(tmp_path/"map.csv", ["A"]), words)


def test_open_quotes_and_ragged_lines(tmp_path):
    (tmp_path/"map.tsv").write_text(f"id\tsymbol\tdescription\n{IDS[0]}\tTP53\t5\" end\n{IDS[1]}\tEGFR\n"
                                    f"{IDS[2]}\n\n{IDS[3]}\tKRAS\tx\ty\n")
    assert read_gene_map(tmp_path/"map.tsv") == {IDS[0]: "TP53", IDS[1]: "EGFR", IDS[3]: "KRAS"}


def test_any_file_is_a_map_or_an_input_error(tmp_path):
    rng, pieces = (np.random.default_rng(0),
                   [b"ENSG00000000100", b"TP53", b",", b"\t", b"\n", b'"', b"'", b";", b"#", b"1", b"\r", b" ", b"\xe9",
                    b"\xef\xbb\xbf", b"gene_id", b"///", b"\\", b"NA"])
    for trial in range(300):
        (tmp_path/"map.txt").write_bytes(b"".join(rng.choice(pieces, size=rng.integers(1, 60)).tolist()))
        try: found = read_gene_map(tmp_path/"map.txt", IDS)
        except InputError as error: assert "\n" not in str(error)
        else: assert all(isinstance(k, str) and isinstance(v, str) and v for k, v in found.items())


# ---------------------------------------------------------------- aligning

def test_genes_renamed_in_2020_are_found_and_announced():
    assert ([other_symbol(g) for g in ("SEPT9", "SEPTIN9", "MARCH10", "MARC1", "DELEC1", "MARC3", "SEPTIN", "DEC2")]
            == ["SEPTIN9", "SEPT9", "MARCHF10", "MTARC1", "DEC1", None, None, None])
    frame = pd.DataFrame([[1.5, 2.5, 3.5, 4.5]], columns=["SEPT9", "MARCHF10", "TP53", "SEPTIN7"])
    X, report = align_genes(frame, ["SEPTIN9", "MARCH10", "TP53", "SEPTIN7"])
    assert (X.tolist() == [[1.5, 2.5, 3.5, 4.5]] and report["renamed"] == {"SEPTIN9": "SEPT9", "MARCH10": "MARCHF10"}
            and "SEPTIN9 as SEPT9" in report["text"])
    both = pd.DataFrame([[1.5, 2.5]], columns=["SEPT9", "TP53"])
    # what the model wants under both names is not used twice
    X, report = align_genes(both, ["SEPTIN9", "SEPT9", "TP53"], min_share=.5, fill=9)
    assert X.tolist() == [[9, 1.5, 2.5]] and report["missing"] == ["SEPTIN9"]
    doubled = pd.DataFrame([[1.5, 2.5, 3.5]], columns=["SEPT9", "SEPT9", "TP53"])
    refused(lambda: align_genes(doubled, ["SEPTIN9", "TP53"]), "occur twice")


def test_a_model_that_wants_a_spoilt_gene_is_told():
    frame = pd.DataFrame([[1.5, 2.5, 3.5]], columns=["1-Mar", "EGFR", "TP53"])
    assert ("1-Mar (MARCH1 (MARCHF1) or MARC1 (MTARC1)) may be among the missing"
            in align_genes(frame, ["MTARC1", "EGFR", "TP53"], min_share=.5)[1]["text"])
    assert "spreadsheet" not in align_genes(frame, ["EGFR", "TP53", "MYC"], min_share=.5)[1]["text"]


def test_the_column_that_holds_the_names_is_named():
    cohort = anndata.AnnData(np.ones((2, 6), np.float32), var=pd.DataFrame({"gene_name": SYMBOLS}, index=IDS),
                             uns={"units": "log2(x+1)"})
    refused(lambda: align_genes(cohort, SYMBOLS), "column 'gene_name'", "gene_map='gene_name'")
    refused(lambda: align_genes(cohort[:, :3], ["ENSG00000000199"]), "Nearest to ENSG00000000199")


def test_a_read_fuzzed_with_names_refuses_or_reads():
    rng = np.random.default_rng(0)
    pool = [*SYMBOLS, *IDS, "", "nan", "1-Mar", "1-Mar", "TP53.1", "TP53|7157", "?|1", "ENSG00000000100.3_PAR_Y",
            "43891", "2020-03-01", "N_unmapped", "é", "|", "A (1)", " TP53 "]
    for trial in range(400):
        names = rng.choice(pool, size=rng.integers(1, 12)).tolist()
        options = dict(duplicates=str(rng.choice(DUPLICATES)), unnamed=str(rng.choice(["error", "drop", "id", "keep"])),
                       gene_map=PAIRS if trial % 2 else None)
        X = np.where(rng.random((3, len(names))) < .2, np.nan, rng.random((3, len(names))))
        try: cohort = named(names, X, **options)
        except InputError as error: assert "\n" not in str(error)
        else:
            assert (cohort.var_names.is_unique and len(cohort.var_names) <= len(names)
                    and not set(cohort.var_names) & NAMELESS)
            align_genes(anndata.AnnData(np.nan_to_num(cohort.X), var=cohort.var), cohort.var_names[:3])


def test_a_damaged_map_is_one_paragraph_on_the_command_line(tmp_path):
    pd.DataFrame(np.ones((2, 3)) * [1, 2, 3.5], index=["TCGA-AA-0001-01", "TCGA-AA-0002-01"],
                 columns=IDS[:3]).to_csv(tmp_path/"m.csv")
    (tmp_path/"map.csv").write_text('id,symbol\nA,"' + "y" * 200_000 + '"\n')
    run = subprocess.run([sys.executable, "-c", "from cancer_dl.cli import main; main()", "data", "info",
                          str(tmp_path/"m.csv"), "--gene-map", str(tmp_path/"map.csv")], capture_output=True, text=True)
    assert (run.returncode == 2 and run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1
            and "fault" not in run.stderr)
