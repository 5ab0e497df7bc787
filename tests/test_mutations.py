"Mutations: reading, pseudo-time, targets, baselines, bundles, and the commands."
import gzip
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import cancer_dl
from refusing import refused
from sklearn.base import clone

from cancer_dl.core import InputError
from cancer_dl.data.maf import MutationTable, read_mutations, simulate_mutations, stage_groups, write_mutations
from cancer_dl.data.pseudotime import MutationTokens, frequent_genes, gene_shares, mutation_matrix
from cancer_dl.models.blocks import BlockSpec
from cancer_dl.models.mutation_lstm import progression_lstm
from cancer_dl.models.zoo import build_model
from cancer_dl.mutation_scores import explain_mutations
from cancer_dl.mutations import (_class_row, describe_mutations, hits, next_gene_baselines, predict_mutations, prefixes,
                                 read_drug_targets, samples_with_stage, train_mutations)
from recipes import run_small
from cancer_dl.train.bundle import load_bundle, save_bundle

HEADER = ["Hugo_Symbol", "Chromosome", "Start_Position", "NCBI_Build", "Variant_Classification",
          "Tumor_Seq_Allele2", "Tumor_Sample_Barcode", "t_depth", "t_ref_count", "t_alt_count"]

def row(gene="TP53", position="7", build="GRCh38", kind="Missense_Mutation", sample="TCGA-AA-0001-01A", depth="100",
        ref="60", alt="40"):
    return [gene, "17", position, build, kind, "A", sample, depth, ref, alt]

@pytest.fixture
def maf(tmp_path):
    def write(*rows, header=HEADER, name="a.maf"):
        text = "\n".join(["#version 2.4", "\t".join(header), *("\t".join(r) for r in rows)]) + "\n"
        path = tmp_path/name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path
    return write

@pytest.fixture(scope="module")
def table(): return simulate_mutations(240, n_genes=12, noise=0, seed=0)

@pytest.fixture(scope="module")
def stage(table): return train_mutations(table, "stage", epochs=15)

@pytest.fixture(scope="module")
def forecast(table): return train_mutations(table, "next", epochs=2)


# reading

def test_a_maf_is_read_plain_and_zipped(maf):
    rows = row(), row("KRAS", "8", sample="TCGA-AA-0002-01A"), row("TTN", "9", kind="Silent"), row()
    for name in ("a.maf", "b.maf.gz"):
        found = read_mutations(maf(*rows, name=name))
        assert found.mutations["gene"].tolist() == ["TP53", "KRAS"]  # silent and repeated rows are gone
        assert found.mutations["frequency"].tolist() == [0.4, 0.4]
        assert found.patients.tolist() == ["TCGA-AA-0001", "TCGA-AA-0002"]
        assert any("repeat" in n for n in found.notes) and any("do not change" in n for n in found.notes)

def test_depth_may_be_the_sum_of_reads_or_not_known(maf):
    found = read_mutations(maf(row(depth=""), row("KRAS", "8", depth="", ref="", alt="")))
    assert found.mutations["frequency"].iloc[0] == 0.4 and np.isnan(found.mutations["frequency"].iloc[1])

@pytest.mark.parametrize("rows, said", [
    ((), "no mutation below it"),
    ((row(depth="0", alt="0"),), "the depth is zero"),
    ((row(), row("KRAS", depth="30")), "row 2 below the header (TCGA-AA-0001-01A, KRAS: alt count 40"),
    ((row(alt="-1"),), "is negative"),
    ((row(alt="many"),), "is no number"),
    ((row(), row(position="8", build="hg19")), "mixes genome builds"),
    ((row(kind="missense_variant"),), "'missense_variant' is no classification"),
    ((row(kind="Silent"),), "no mutation that changes a protein"),
    ((row(sample=""),), "has no sample")])
def test_what_cannot_be_right_is_refused(maf, rows, said): refused(lambda: read_mutations(maf(*rows)), said)

def test_grch37_and_hg19_are_one_build(maf):
    assert len(read_mutations(maf(row(build="GRCh37"), row(position="8", build="hg19"))).mutations) == 2

def test_missing_columns_are_named(maf):
    refused(lambda: read_mutations(maf(header=["Hugo_Symbol", *HEADER[1:6], "x", *HEADER[7:]])),
            "no column for the sample", "Tumor_Sample_Barcode")

def test_samples_of_a_folder(table, tmp_path):
    folder = write_mutations(table, tmp_path/"t")
    samples = pd.read_csv(folder/"samples.csv", dtype=str)
    for change, said in ((samples.iloc[1:], "1 samples of"), (samples.assign(stage="T2"), "'T2' in column stage"),
                         (pd.concat([samples, samples[:1]]), "twice"),
                         (samples.rename(columns=dict(sample_id="x")), "no column sample_id")):
        change.to_csv(folder/"samples.csv", index=False)
        refused(lambda: read_mutations(folder), said)
    refused(lambda: read_mutations(tmp_path), "holds no mutations.parquet")

def test_two_samples_of_a_patient_stay_together(maf):
    found = read_mutations(maf(row(), row("KRAS", sample="TCGA-AA-0001-06A")))
    assert any("1 patient(s) with several samples" in n for n in found.notes) and len(set(found.patients)) == 1

def test_words_for_stages():
    assert stage_groups(["Stage IVA", "iiic", "3", "Stage 0", "i/ii nos", "NA"]).tolist() == ["IV", "III", "III", "0",
                                                                                              "", ""]

# pseudo-time

def test_shares_count_patients_and_not_samples(table):
    twice = table.take(np.r_[np.arange(10), 0])
    twice.samples.index = [*twice.samples.index[:10], "again"]
    pd.testing.assert_frame_equal(gene_shares(twice), gene_shares(table.take(np.arange(10))))

def test_test_patients_have_no_say_in_genes_and_order(table):
    train, rest = np.arange(100), np.arange(100, 240)
    genes = frequent_genes(gene_shares(table.take(train)), 6, 2)
    changed = simulate_mutations(240, n_genes=12, noise=0, seed=0)
    other = changed.mutations["sample"].isin(set(table.samples.index[rest]))
    changed.mutations.loc[other, "gene"] = "G11"
    assert frequent_genes(gene_shares(changed.take(train)), 6, 2) == genes
    X = mutation_matrix(table, genes)
    assert np.array_equal(MutationTokens().fit(X.iloc[train]).rank_,
                          MutationTokens().fit(mutation_matrix(changed, genes).iloc[train]).rank_)

def test_shuffled_frequencies_change_tokens_of_the_sample_only(table):
    X = mutation_matrix(table).to_numpy()
    step = MutationTokens("population", 16).fit(X)
    assert np.array_equal(step.transform(X), step.transform((X > 0) * np.float32(0.5)))
    step = MutationTokens(length=16).fit(X)
    assert not np.array_equal(step.transform(X), step.transform((X > 0) * np.float32(0.5)))
    assert np.array_equal(np.sort(step.transform(X)), np.sort(step.transform((X > 0) * np.float32(0.5))))

# targets

def test_order_decides_the_stage_and_the_network_reads_it(stage):
    assert [v.answer for v in stage.verdicts] == ["better", "better"]
    assert stage.comparison.loc["progression_lstm", "balanced_accuracy"] > 0.75
    assert stage.comparison.loc["genes without order", "balanced_accuracy"] < 0.7

def test_without_its_order_the_network_knows_no_more_than_chance(stage, table):
    test = table.take(stage.test)
    X, truth = mutation_matrix(test, stage.bundle.features).to_numpy(), test.samples["stage"].to_numpy()
    mixed = np.where(X > 0, np.random.default_rng(0).uniform(0.1, 0.5, X.shape), 0).astype(np.float32)
    right, lost = ((stage.bundle.predict(x) == truth).mean() for x in (X, mixed))
    assert right > 0.75 and lost < right - 0.15

def test_no_test_patient_taught(stage, table):
    said = predict_mutations(stage.bundle, table.take(stage.test))
    assert not any("taught" in w for w in said[1])
    assert any("taught" in w for w in predict_mutations(stage.bundle, table)[1])

def test_forecasts_leave_out_what_is_mutated(forecast, table):
    said, _ = predict_mutations(forecast.bundle, table)
    has = mutation_matrix(table, forecast.bundle.features) > 0
    p = said.filter(regex="^p_").to_numpy()
    assert p[has.to_numpy()].max() == 0 and np.allclose(p.sum(axis=1)[~has.all(axis=1)], 1)

def test_a_markov_chain_beats_frequency_where_the_truth_is_a_chain(forecast):
    assert forecast.comparison.loc["Markov", "top3"] > forecast.comparison.loc["frequency", "top3"] + 0.05
    assert {v.second for v in forecast.verdicts} == {"frequency", "Markov", "genes without order"}

def test_top_k_counts_ties_once():
    p, truth = np.full((4, 4), 0.25), np.arange(4)
    assert [hits(p, truth, k).sum() for k in (1, 2, 4)] == [1, 2, 4]

def test_baselines_are_distributions():
    rows = np.array([[1, 2, 3, 4, 0], [1, 3, 4, 0, 0]]*10)
    seen, came, _ = prefixes(rows)
    for name, p in next_gene_baselines(seen, came, seen, 4).items():
        assert np.allclose(p.sum(axis=1), 1), name

def test_load_is_judged_beside_counting(table):
    found = train_mutations(table, "load", epochs=1)
    assert found.bundle.facts["n_parameters"] == 152 and "threshold" in found.bundle.facts["provenance"]
    assert found.comparison.loc["number of genes", "accuracy"] > 0.9  # all genes are in the panel: counting is all
    same = table.take(np.arange(240))
    same.samples = same.samples.assign(n_mutations=5)
    refused(lambda: train_mutations(same, "load"), "none has a high load")

def test_a_flawless_auroc_of_few_patients_is_no_certainty():
    y = np.array(["high", "low"] * 12)
    said = np.column_stack([y == "high", y == "low"]).astype(float)
    row = _class_row(y, y, said, ["high", "low"], np.arange(24))
    assert row["auroc"] == 1 == row["auroc_upper"] and np.isclose(row["auroc_lower"], .025**(1 / 12))

def test_stages_that_are_missing_or_rare(table):
    some = table.take(np.arange(100))
    some.samples = some.samples.assign(stage=["", *["IV"]*5, *some.samples["stage"][6:]])
    refused(lambda: samples_with_stage(some), "1 of the 100 samples")
    kept, notes = samples_with_stage(some, True)
    assert len(kept) == 94 and "stage IV" in notes[1]
    some.samples = some.samples.assign(stage="")
    refused(lambda: samples_with_stage(some), "No sample has a stage")

def test_the_check_up_sees_what_is_suspicious(table):
    odd = table.take(np.arange(60))
    odd.mutations = odd.mutations.assign(frequency=0.9)
    odd.samples = odd.samples.assign(n_mutations=[900, *odd.samples["n_mutations"][1:]])
    said = " ".join(describe_mutations(odd)["suspicious"])
    assert "hypermutated" in said and "germline" in said and "two different allele frequencies" in said

# bundles, drugs, commands

def test_a_bundle_is_the_same_after_loading(stage, table, tmp_path):
    again = load_bundle(save_bundle(stage.bundle, tmp_path/"b.zip"))
    pd.testing.assert_frame_equal(*(predict_mutations(b, table)[0] for b in (again, stage.bundle)))
    assert "from mutations" in again._repr_html_() and "expression of" not in again.facts["card"]

def test_a_bundle_of_another_kind_is_refused(stage, table):
    other = replace(stage.bundle, facts={**stage.bundle.facts, "units": "log2(TPM+1)"})
    refused(lambda: predict_mutations(other, table), "not from mutations")

def test_drug_tables(tmp_path):
    (tmp_path/"a.tsv").write_text("Drug\tGene\nA\tKRAS\nA\tKRAS\n\tTP53\n")
    assert read_drug_targets(tmp_path/"a.tsv").values.tolist() == [["A", "KRAS"]]
    for text, said in (("drug,target\nA,KRAS\n", "no column gene"), ("drug,gene\n,\n", "no row with a drug")):
        (tmp_path/"b.csv").write_text(text)
        refused(lambda: read_drug_targets(tmp_path/"b.csv"), said)
    refused(lambda: read_drug_targets(tmp_path/"c.csv"), "no such file")

def test_the_commands(forecast, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mutations(table.take(np.arange(120)), tmp_path/"t")
    save_bundle(forecast.bundle, tmp_path/"b")
    (tmp_path/"drugs.csv").write_text("drug,gene\nA,G02\nB,G03\n")
    described = json.loads(cancer_dl("mutations", "info", "t", "--json")[1])
    assert described["samples"] == 120 and set(described["frequent"]["G00"]) == {"overall", "I", "III"}
    code, out, err = cancer_dl("mutations", "predict", "b", "t", "--out", "p.csv", "--drugs", "drugs.csv",
                               "--treatments", "d.csv")
    assert code == 0 and "no advice" in out, err
    said = pd.read_csv(tmp_path/"p.csv")
    assert list(said.columns[:4]) == ["sample_id", "prediction", "score", "top2"] and len(said) == 120
    ranked = pd.read_csv(tmp_path/"d.csv")
    assert set(ranked["drug"]) <= {"A", "B"} and (ranked.groupby("sample_id")["score"].diff().dropna() <= 0).all()

def test_nothing_is_written_where_drugs_cannot_be_ranked(forecast, table, tmp_path):
    "Nor is a file of other origin replaced, unless that is asked for."
    write_mutations(table.take(np.arange(20)), tmp_path/"t")
    save_bundle(forecast.bundle, tmp_path/"b")
    (tmp_path/"drugs.csv").write_text("drug,gene\nA,NOWHERE\n")
    words = ("mutations", "predict", tmp_path/"b", tmp_path/"t", "--out", tmp_path/"p.csv", "--treatments",
             tmp_path/"d.csv")
    code, out, err = cancer_dl(*words, "--drugs", tmp_path/"drugs.csv")
    assert code == 2 and "No gene of the drug table" in err
    assert not (tmp_path/"p.csv").exists() and not (tmp_path/"d.csv").exists()
    (tmp_path/"drugs.csv").write_text("drug,gene\nA,G02\n")
    for _ in range(2): assert cancer_dl(*words, "--drugs", tmp_path/"drugs.csv")[0] == 0
    explain = ("mutations", "explain", tmp_path/"b", tmp_path/"t", "--out")
    for place, call in (("p.csv", words), ("d.csv", words), ("p.csv", (*explain, tmp_path/"p.csv"))):
        before = (tmp_path/place).read_text()
        if call is words: (tmp_path/place).write_text(before := "sample_id,note\na,b\n")
        code, out, err = cancer_dl(*call)
        assert code == 2 and "--overwrite" in err and (tmp_path/place).read_text() == before
        if call is words: assert cancer_dl(*call, "--overwrite", "--drugs", tmp_path/"drugs.csv")[0] == 0
    for _ in range(2): assert cancer_dl(*explain, tmp_path/"x.csv")[0] == 0

def test_a_bundle_of_mutations_takes_no_cohort(forecast, tmp_path):
    "Also where the genes are named alike and the numbers could be mutations."
    save_bundle(forecast.bundle, tmp_path/"b")
    genes = forecast.bundle.features
    frame = pd.DataFrame(np.random.default_rng(0).integers(0, 2, (30, len(genes))), [f"S{i}" for i in range(30)], genes)
    (tmp_path/"cohort").mkdir()
    frame.rename_axis("sample_id").to_csv(tmp_path/"cohort"/"expression.csv")
    pd.DataFrame({"sample_id": frame.index, "next": "a"}).to_csv(tmp_path/"cohort"/"samples.csv", index=False)
    refused(lambda: forecast.bundle.predict_cohort(frame), "reads mutations", "cancer_dl mutations predict")
    for words in (("predict", "p.csv"), ("evaluate", "e"), ("explain", "x"), ("tandem", "predict", "p.csv")):
        code, out, err = cancer_dl(*words[:-1], tmp_path/"b", tmp_path/"cohort", "--out", tmp_path/words[-1])
        assert code == 2 and "cancer_dl mutations predict" in err and not (tmp_path/words[-1]).exists(), err

def test_commands_refuse_in_one_paragraph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"empty.maf").write_text("\t".join(HEADER) + "\n")
    for words in (("train", "empty.maf", "--target", "next", "--out", "b"), ("info", "nowhere"),
                  ("train", "empty.maf", "--target", "stages", "--out", "b")):
        code, out, err = cancer_dl("mutations", *words)
        assert code == 2 and err.count("\n") == 1 and err.startswith("Error: ")

@pytest.mark.slow
def test_training_from_the_command_line(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mutations(table.take(np.arange(90)), tmp_path/"t")
    words = ("mutations", "train", "t", "--target", "stage", "--out", "b", "--epochs", "1", "--set", "units=4")
    code, out, err = cancer_dl(*words)
    assert code == 0 and "genes without order" in out, err
    assert load_bundle(tmp_path/"b").facts["estimator"]["model_params"]["units"] == 4
    assert "--overwrite" in cancer_dl(*words)[2]

# ---------------------------------------------------------------- what exports leave behind

COLUMNS = ("Tumor_Sample_Barcode", "Hugo_Symbol", "Variant_Classification", "t_alt_count", "t_depth", "stage")

def _maf(folder, rows):
    file = folder/"table.maf"
    file.write_text("\n".join("\t".join(map(str, row)) for row in (COLUMNS, *rows)) + "\n")
    return file

def test_blanks_around_ids_move_no_mutation(tmp_path):
    rows = [(f"S{i}" + " "*(i < 2), "TP53" if i < 3 else "KRAS", "Missense_Mutation", 10, 40, "I") for i in range(5)]
    table = read_mutations(_maf(tmp_path, rows))
    assert list(table.samples.index) == ["S0", "S1", "S2", "S3", "S4"] and (table.samples["n_mutations"] == 1).all()
    found = mutation_matrix(table)
    assert (found["TP53"] > 0).tolist() == [True]*3 + [False]*2
    with pytest.raises(InputError, match="S0 .*belong to no sample"):
        mutation_matrix(MutationTable(table.mutations.assign(sample=table.mutations["sample"] + " "), table.samples))

def test_a_stage_stands_in_any_row_and_once(tmp_path):
    rows = [("S0", "TP53", "Missense_Mutation", 10, 40, ""), ("S0", "KRAS", "Missense_Mutation", 9, 40, "IIIA"),
            ("S1", "TP53", "Missense_Mutation", 10, 40, "NA")]
    assert list(read_mutations(_maf(tmp_path, rows)).samples["stage"]) == ["III", ""]
    with pytest.raises(InputError, match="sample S0 say different things in column stage"):
        read_mutations(_maf(tmp_path, [*rows, ("S0", "EGFR", "Missense_Mutation", 9, 40, "IV")]))

def test_stage_4s_is_no_stage_iv(tmp_path):
    rows = [(f"S{i}", "TP53", "Missense_Mutation", 10, 40, stage) for i, stage in enumerate(("4S", "Stage IVS", "IVA"))]
    table = read_mutations(_maf(tmp_path, rows))
    assert list(table.samples["stage"]) == ["", "", "IV"] and any("2 samples are of stage 4S" in n for n in table.notes)

def test_copies_and_rows_without_reads(tmp_path):
    rows = [("S0", "TP53", "Missense_Mutation", 10, 40, "I")]*2 + [("S0", "KRAS", "Missense_Mutation", 0, 40, "I")]
    table = read_mutations(_maf(tmp_path, rows))
    assert len(table.mutations) == 1
    assert any("exact copies" in note for note in table.notes) and any("no read" in note for note in table.notes)

def test_one_mutation_written_in_several_ways_counts_once(tmp_path):
    columns = ("Tumor_Sample_Barcode", "Hugo_Symbol", "Variant_Classification", "Chromosome", "Start_Position",
               "Tumor_Seq_Allele2")
    places = [("17", "7577120", "A"), ("chr17", "7577120", "a"), ("17", "7577120.0", "A"), ("Chr17", "7577121", "A"),
              ("X", "7577120", "A"), ("17", "7577120", "T")]
    rows = [("S0", "TP53", "Missense_Mutation", *place) for place in places]
    (tmp_path/"m.maf").write_text("\n".join("\t".join(row) for row in (columns, *rows)) + "\n")
    table = read_mutations(tmp_path/"m.maf")
    assert len(table.mutations) == 4 and any("2 rows repeat a mutation" in note for note in table.notes)

@pytest.mark.parametrize("rows, frequencies, said", [  # of one gene: (kind, start, end, ref, alt, t_alt_count)
    ([("Missense_Mutation", p, "", "", p, n) for p in ("", ".") for n in (12, 25)], [.12, .25, .12, .25], None),
    ([("Missense_Mutation", 5, 5, "C", "A", n) for n in (0, 12)], [.12], "no read"),
    ([(kind, 5, 5, "C", "A", 12) for kind in ("Silent", "Missense_Mutation", "Intron")], [.12], "2 rows repeat"),
    ([("Missense_Mutation", 5, 5, "C", "A", n) for n in ("", 12)], [.12], "1 rows repeat"),
    ([("Frame_Shift_Del", 5, 5, "C", "-", 12), ("In_Frame_Del", 5, 7, "CAT", "-", 5)], [.12, .05], None),
    ([("Frame_Shift_Del", 5, end, "C", "-", 12) for end in ("", "5")], [.12], "1 rows repeat")])
def test_no_mutation_is_lost_to_another_one(tmp_path, rows, frequencies, said):
    columns = ["Hugo_Symbol", "Tumor_Sample_Barcode", "Chromosome", "t_depth", "Variant_Classification",
               "Start_Position", "End_Position", "Reference_Allele", "Tumor_Seq_Allele2", "t_alt_count"]
    lines = [columns, *(["TP53", "S1", 17, 100, *row] for row in rows)]
    (tmp_path/"m.maf").write_text("\n".join("\t".join(map(str, line)) for line in lines) + "\n")
    table = read_mutations(tmp_path/"m.maf")
    assert table.mutations["frequency"].tolist() == frequencies
    assert any(said in note for note in table.notes) if said else not table.notes

def test_one_cancer_type_is_told_from_the_whole_table(table):
    types = np.where(np.arange(len(table)) < 30, "COAD", "LUAD")
    whole = replace(table, samples=table.samples.assign(cancer_type=types), notes=["2 rows were odd"])
    some = whole.of_type("COAD")
    assert len(some) == 30 and some.notes[0].startswith("30 of the") and some.notes[1] == ("Of the whole table: 2 rows "
                                                                                          "were odd")
    refused(lambda: whole.of_type("COADREAD"), "COAD")
    refused(lambda: table.of_type("COAD"), "column cancer_type")

def test_a_sample_with_every_gene_mutated_has_no_next(forecast, table):
    genes, first = list(forecast.bundle.features), table.samples.index[0]
    every = pd.DataFrame(dict(sample=first, gene=genes, classification="Missense_Mutation", frequency=.3))
    two = table.take(np.arange(2))
    full = replace(two, mutations=pd.concat([two.mutations[two.mutations["sample"] != first], every]))
    said, warnings = predict_mutations(forecast.bundle, full)
    assert said.iloc[0]["prediction"] == "" and np.isnan(said.iloc[0]["score"]) and said.iloc[1]["prediction"] != ""
    assert any("no gene is left to forecast" in w for w in warnings)
    assert first not in set(explain_mutations(forecast.bundle, full)[0]["sample"])
    refused(lambda: explain_mutations(forecast.bundle, full.take([0])), "no answer to explain")

def test_ids_that_are_numbers(tmp_path):
    pd.DataFrame({"sample": [1, 2], "gene": ["TP53", "KRAS"], "classification": "Missense_Mutation"}).to_parquet(
        tmp_path/"m.parquet")
    assert list(read_mutations(tmp_path/"m.parquet").samples.index) == ["1", "2"]

# ---------------------------------------------------------------- which mutation decided

@pytest.fixture(scope="module")
def explained(stage, table): return explain_mutations(stage.bundle, table.take(stage.test))[0]

def test_the_drivers_have_the_largest_scores(explained):
    strength = explained.assign(**{c: explained[c].abs() for c in ("attribution", "deletion")}).groupby("gene")
    for column in ("attribution", "deletion"):
        assert set(strength[column].mean().nlargest(2).index) == {"G00", "G01"}

def test_deletion_is_the_prediction_of_a_table_without_the_mutation(explained, stage, table):
    for row in explained.iloc[[0, 3, -1]].itertuples():
        one = table.take(table.samples.index == row.sample)
        rest = replace(one, mutations=one.mutations[one.mutations["gene"] != row.gene])
        said, _ = predict_mutations(stage.bundle, rest)
        assert row.deletion == pytest.approx(row.score - said.iloc[0][f"p_{row.prediction}"], abs=1e-5)

def test_rows_are_the_mutations_in_their_order(explained, stage, table):
    assert list(explained) == ["sample", "order", "gene", "attribution", "deletion", "prediction", "score"]
    first = explained["sample"].iloc[0]
    own = table.mutations[table.mutations["sample"] == first].sort_values("frequency", ascending=False, kind="stable")
    shown = explained[explained["sample"] == first]
    assert shown["order"].tolist() == list(range(1, len(own) + 1))
    frequency = own.set_index("gene")["frequency"][shown["gene"]].to_numpy()
    assert (np.diff(frequency) <= 0).all()

def test_forecasts_and_loads_are_explained(forecast, table):
    some = table.take(np.arange(20))
    scores, _ = explain_mutations(forecast.bundle, some)
    named = some.mutations.groupby("sample")["gene"].agg(set)
    assert not any(row.prediction in named[row.sample] for row in scores.itertuples())  # a gene that is to come
    load, _ = explain_mutations(train_mutations(table, "load", epochs=1).bundle, some)
    assert len(load) == len(some.mutations) and (load.groupby("sample")["order"].max() == named.map(len)).all()

def test_attention_stands_beside_the_scores(stage, table):
    network = build_model("lstm_attention", {"tokens": BlockSpec("tokens", (24,), stage.bundle.steps.n_tokens)}, 2,
                          embed=4, units=4, dense=0)
    some = table.take(np.arange(6))
    scores, _ = explain_mutations(replace(stage.bundle, network=network), some)
    assert list(scores)[3:6] == ["attribution", "deletion", "attention"]
    assert (scores.groupby("sample")["attention"].sum() < 1).all()  # the rest is at the start

def test_more_mutations_than_are_read(stage, table):
    rows = table.mutations[table.mutations["sample"] == table.samples.index[0]]
    narrow = replace(stage.bundle, steps=clone(stage.bundle.steps).set_params(length=3))
    narrow.steps.fit(mutation_matrix(table, stage.bundle.features))
    narrow.network = progression_lstm({"tokens": BlockSpec("tokens", (3,), narrow.steps.n_tokens)}, 2, 4, 4)
    scores, warned = explain_mutations(narrow, table.take(np.arange(1)))
    assert len(scores) == 2 and any(f"{len(rows) - 2:,} mutations" in w for w in warned)

def test_the_explain_command(forecast, table, tmp_path):
    write_mutations(table.take(np.arange(12)), tmp_path/"t")
    save_bundle(forecast.bundle, tmp_path/"b")
    code, out, err = cancer_dl("mutations", "explain", tmp_path/"b", tmp_path/"t", "--out", tmp_path/"e.csv")
    assert code == 0 and "12 samples" in out, err
    written = pd.read_csv(tmp_path/"e.csv")
    assert list(written)[:5] == ["sample", "order", "gene", "attribution", "deletion"]
    for words, said in (((tmp_path/"b", tmp_path/"gone"), "no such file"), ((tmp_path/"t", tmp_path/"t"), "bundle")):
        code, _, err = cancer_dl("mutations", "explain", *words, "--out", tmp_path/"f.csv")
        assert code == 2 and err.count("\n") == 1 and said in err and not (tmp_path/"f.csv").exists()

def test_the_recipe_reads_a_table_and_keeps_the_bundle(tmp_path):
    write_mutations(simulate_mutations(120, seed=3), tmp_path/"table")
    results = run_small("mutations", dict(table=str(tmp_path/"table"), target="stage", epochs=2), tmp_path/"out")
    assert results["samples"] == 120 and results["learner"] == "progression_lstm" and results["verdicts"]
    compared = pd.read_csv(tmp_path/"out"/"comparison.csv", index_col="learner")
    assert compared.loc["largest class", "balanced_accuracy"] == pytest.approx(.5)
    said, _ = predict_mutations(load_bundle(tmp_path/"out"/"bundle"), read_mutations(tmp_path/"table"))
    assert len(said) == 120
