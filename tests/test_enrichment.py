"Enrichment: files nobody should trust, all small tables, ties, chance, and other programs' answers."
import ast
import gzip
import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import false_discovery_control, fisher_exact, hypergeom, ks_2samp

from cancer_dl.core import InputError, data_dir
from cancer_dl.interpret.enrichment import (by_class, enrichment_heatmap, enrichment_score, fisher, fisher_p,
                                            function_table, gsea_fdr, match_sets,
                                            normalise, prerank, read_gmt, running_sum, running_sum_plot, write_gmt)

GENES = np.array([f"G{i}" for i in range(300)])


def random_sets(rng, n=20, low=5, high=40):
    return {f"s{i}": rng.choice(GENES, rng.integers(low, high), replace=False) for i in range(n)}


# GMT files

def test_gmt_is_read_whatever_the_editor_did(tmp_path):
    text = "A\thttp://a\tTP53\tMYC \tTP53\t\t\r\n\r\nB\t\tEGFR\r\n"
    for name, data in dict(plain=text.encode(), bom=b"\xef\xbb\xbf" + text.encode(),
                           old_mac=text.replace("\r\n", "\r").encode(),
                           packed=gzip.compress(text.encode(), mtime=0)).items():
        (tmp_path/name).write_bytes(data)
        assert {k: v.tolist() for k, v in read_gmt(tmp_path/name).items()} == {"A": ["TP53", "MYC"],
                                                                               "B": ["EGFR"]}, name


@pytest.mark.parametrize("data, said", [
    (b"", "empty"), (b"\n \n", "empty"),
    (b"A\td\tX\nB d Y\n", "Line 2 .* has no tab"), (b"A\td\tX\n\td\tY\n", "Line 2 .* no name"),
    (b"A\td\tX\nB\td\n", "Line 2 .*'B' has no genes"), (b"A\td\tX\nB\td\t\t \n", "Line 2 .*'B' has no genes"),
    (b"A\td\tX\nB\td\tY\nA\td\tZ\n", "Line 3 .* 'A' in line 1"), (b"A\td\tX\nB\td\t\xff\xfe\n", "Line 2 .* UTF-8"),
    (gzip.compress(b"A\td\tX\n"*999, mtime=0)[:40], "gzip"), (b"\x1f\x8bnothing", "gzip")])
def test_a_bad_gmt_names_file_and_line(tmp_path, data, said):
    path = tmp_path/"sets.gmt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as error: read_gmt(path)
    assert "sets.gmt" in str(error.value) and "\n" not in str(error.value)


def test_a_missing_gmt(tmp_path):
    (tmp_path/"hallmark.gmt").write_text("A\td\tX\n")
    with pytest.raises(InputError, match="there is hallmark.gmt"): read_gmt(tmp_path/"hallmrk.gmt")
    with pytest.raises(InputError, match="no file"): read_gmt(tmp_path/"nowhere"/"x.gmt")
    with pytest.raises(InputError, match="no file"): read_gmt(tmp_path)


def test_writing_is_all_or_nothing(tmp_path):
    with pytest.raises(InputError, match="tab"): write_gmt(tmp_path/"a.gmt", {"good": ["X"], "bad\tname": ["Y"]})
    assert not list(tmp_path.iterdir())
    assert write_gmt(tmp_path/"a.gmt.gz", {"A": ["X"]}).read_bytes() == write_gmt(tmp_path/"b.gmt.gz",
                                                                                  {"A": ["X"]}).read_bytes()


# Fisher's exact test

def test_all_tables_of_up_to_nine_genes():
    for N in range(2, 10):
        tables = [(h, K, n) for K in range(N + 1) for n in range(N + 1)
                  for h in range(max(0, n + K - N), min(K, n) + 1)]
        h, K, n = np.array(tables).T
        theirs = [fisher_exact([[h, K - h], [n - h, N - K - n + h]], alternative="greater").pvalue
                  for h, K, n in tables]
        np.testing.assert_allclose(fisher_p(h, K, n, N), theirs, rtol=1e-9)


def test_tails_far_out_and_shapes():
    assert (fisher_p(40, 50, 60, 20_000) == pytest.approx(hypergeom.sf(39, 20_000, 50, 60), rel=1e-9)
            and fisher_p(40, 50, 60, 20_000) < 1e-80)
    assert fisher_p(np.ones((4, 3), int), np.array([[5], [6], [7], [8]]), np.array([2, 3, 4]), 100).shape == (4, 3)


def test_table_against_scipy_one_set_at_a_time():
    rng = np.random.default_rng(0)
    sets, markers = random_sets(rng), rng.choice(GENES, 50, replace=False)
    found = fisher(markers, sets, GENES)
    assert len(found["set"]) == len(sets) and (np.diff(found["p"]) >= 0).all()
    for i, name in enumerate(found["set"]):
        h, K = len(set(sets[name]) & set(markers)), len(sets[name])
        theirs = fisher_exact([[h, K - h], [50 - h, 250 - K + h]], alternative="greater")
        assert ((found["hits"][i], found["size"][i]) == (h, K)
                and set(found["genes"][i]) == set(sets[name]) & set(markers))
        assert (found["p"][i] == pytest.approx(theirs.pvalue)
                and found["odds_ratio"][i] == pytest.approx(theirs.statistic))
    ranked = found["p"]*len(sets)/np.arange(1, len(sets) + 1)
    np.testing.assert_allclose(found["q"], np.minimum.accumulate(ranked[::-1])[::-1].clip(max=1))


def test_sets_that_were_not_hit_count():
    few = fisher(GENES[:10], {"hit": GENES[:8]}, GENES)["q"][0]
    sets = {"hit": GENES[:8], **{f"cold{i}": GENES[100 + i:120 + i] for i in range(99)}}
    assert fisher(GENES[:10], sets, GENES)["q"][0] == pytest.approx(100*few)


def test_what_was_not_tested_changes_nothing_but_the_report():
    rng = np.random.default_rng(1)
    sets, markers = random_sets(rng), rng.choice(GENES, 30)
    plain = fisher(markers, sets, GENES)
    more = fisher([*markers, *markers, "MYC", "TP53"], {k: [*v, *v, "ALB", "KRT5", "TTN"] for k, v in sets.items()},
                  rng.permutation(GENES))
    for column in ("set", "p", "q", "hits", "size", "fold"): assert (plain[column] == more[column]).all()
    assert (more.report["markers_outside"] == ["MYC", "TP53"] and more.report["genes_outside"] == 3
            and (more["given"] == more["size"] + 3).all())
    assert "MYC" in more.summary() and plain.report["markers_outside"] == []


def test_size_limits_apply_to_tested_genes():
    sets = dict(small=[*GENES[:4], "X", "Y"], good=GENES[:5], large=GENES[:60], everything=GENES)
    found = match_sets(sets, GENES, min_size=5, max_size=50)
    assert (found.names.tolist() == ["good"] and found.report["too_small"] == ["small"]
            and found.report["too_large"] == ["large", "everything"])
    assert match_sets(sets, GENES, min_size=0, max_size=10**6).report["too_large"] == ["everything"]


@pytest.mark.parametrize("arguments, said", [
    (([], {"s": GENES[:9]}, GENES), "no markers"), ((["g1"], {"s": GENES[:9]}, GENES), "None of the 1 markers"),
    (("G1", {"s": GENES[:9]}, GENES), "one string"), ((["G1"], {"s": "G1"}, GENES), "is a string"),
    ((["G1"], {}, GENES), "no gene sets"), ((["G1"], {"s": ["tp53"]}, GENES), "in the same way"),
    ((["G1"], {"s": GENES[:3]}, GENES), "min_size"), ((["G1"], {"s": GENES[:9]}, [*GENES, "G7"]), "named twice .G7"),
    ((["G1"], {"s": GENES[:9]}, ["G1"]), "1 genes")])
def test_input_that_cannot_be_tested(arguments, said):
    with pytest.raises(InputError, match=said): fisher(*arguments)


def test_random_markers_give_conservative_p_and_bh_controls():
    rng = np.random.default_rng(2)
    sets = random_sets(rng, n=50, low=10, high=60)
    runs = [fisher(rng.choice(GENES, 40, replace=False), sets, GENES) for _ in range(300)]
    p = np.concatenate([r["p"] for r in runs])
    for level in (.01, .05, .2, .5): assert np.mean(p <= level) <= level*1.05
    assert np.mean(p <= .05) > .01
    assert np.mean([r["q"].min() < .05 for r in runs]) <= .05 + 2*np.sqrt(.05*.95/300)


# Pre-ranked GSEA

def plain_es(scores, inside, weight):
    "The definition, one group of ties after the other."
    w = np.abs(scores[inside])**weight
    share, R = (w/w.sum() if w.sum() else np.full(inside.sum(), 1/inside.sum())), [0.0]
    for value in sorted(set(scores), reverse=True):
        R.append(R[-1] + share[scores[inside] == value].sum() - (scores[~inside] == value).sum()/(~inside).sum())
    return max(R) if max(R) > -min(R) else min(R)


@pytest.mark.parametrize("decimals", [8, 1, 0])
@pytest.mark.parametrize("weight", [0, .5, 1, 2])
def test_es_is_the_definition_with_and_without_ties(decimals, weight):
    rng = np.random.default_rng(3)
    scores, sets = rng.normal(size=300).round(decimals), random_sets(rng)
    found = prerank(scores, sets, GENES, permutations=10, weight=weight)
    for name, es in zip(found["set"], found["es"]):
        plain = plain_es(scores, np.isin(GENES, sets[name]), weight)
        assert abs(es) == pytest.approx(abs(plain), abs=1e-9) and np.abs(
            running_sum(scores, np.isin(GENES, sets[name]), weight)).max() == pytest.approx(abs(plain), abs=1e-9)
    shuffle = rng.permutation(300)
    again = prerank(scores[shuffle], sets, GENES[shuffle], permutations=10, weight=weight)
    np.testing.assert_allclose(dict(zip(found["set"], found["es"]))["s0"],
                               dict(zip(again["set"], again["es"]))["s0"], atol=1e-9)


def test_without_weights_it_is_kolmogorov_and_smirnov():
    rng = np.random.default_rng(4)
    scores, sets = rng.normal(size=300).round(1), random_sets(rng)
    found = prerank(scores, sets, GENES, permutations=10, weight=0)
    for name, es in zip(found["set"], found["es"]):
        inside = np.isin(GENES, sets[name])
        assert abs(es) == pytest.approx(ks_2samp(scores[inside], scores[~inside]).statistic)


def test_chance_against_all_subsets():
    "Eight genes, sets of three: random sets must give the distribution over all 56 subsets."
    scores = np.array([4., 2, 1.5, 1.5, 0, -1, -1, -3])
    exact = np.array([plain_es(scores, np.isin(np.arange(8), s), 1) for s in itertools.combinations(range(8), 3)])
    sets = {"-".join(map(str, s)): GENES[list(s)] for s in itertools.combinations(range(8), 3)}
    found = prerank(scores, sets, GENES[:8], permutations=6000, min_size=3)
    for name, es, nes, p in zip(found["set"], found["es"], found["nes"], found["p"]):
        same = exact[np.sign(exact) == np.sign(es)]
        assert p == pytest.approx(np.mean(np.abs(same) >= abs(es) - 1e-6), abs=.04), name
        assert nes == pytest.approx(es/np.abs(same).mean(), rel=.05)


def test_turned_round_it_turns_round():
    rng = np.random.default_rng(5)
    scores, sets = rng.normal(size=300), random_sets(rng)
    up, down = (dict(zip(r["set"], r["es"]))
                for r in (prerank(s, sets, GENES, permutations=5) for s in (scores, -scores)))
    for name in sets: assert up[name] == pytest.approx(-down[name])


def test_a_planted_set_is_found_and_its_leading_edge_is_its_top():
    rng = np.random.default_rng(6)
    scores, sets = rng.normal(size=300), random_sets(rng, n=60)
    sets["planted"] = GENES[[*range(20), *range(290, 300)]]
    scores[:20] += 4
    scores[290:] = -1
    found = prerank(scores, sets, GENES, permutations=500)
    first = list(found["set"]).index("planted")
    assert found["q"][first] < .05 and 1/501 <= found["p"][first] < .02 and found["nes"][first] == found["nes"].max()
    assert set(found["leading_edge"][first]) <= set(GENES[:20]) and len(found["leading_edge"][first]) >= 18


def test_scores_that_are_all_zero_or_all_positive():
    sets = {"a": GENES[:10], "b": GENES[100:130]}
    flat = prerank(np.zeros(300), sets, GENES, permutations=20)
    np.testing.assert_allclose(flat["es"], 0, atol=1e-12)
    assert np.isfinite(flat["p"]).all() and (flat["q"] == 1).all() and np.isfinite(flat["nes"]).all()
    sparse = np.zeros(300)
    sparse[:8] = np.arange(8) + 1.
    found = prerank(sparse, sets, GENES, permutations=200)
    assert found["set"][found["nes"].argmax()] == "a" and np.isfinite(found["nes"]).all()


def test_seed_decides_and_blocks_do_not_show():
    rng = np.random.default_rng(7)
    scores, sets = rng.normal(size=300), random_sets(rng)
    a, b, c = (prerank(scores, sets, GENES, permutations=150, seed=s) for s in (1, 1, 2))
    assert (a["q"] == b["q"]).all() and (a["p"] != c["p"]).any()


def test_q_is_monotone_and_never_zero():
    rng = np.random.default_rng(8)
    nes, null = np.r_[rng.normal(0, 1, 80), 5, 6], rng.normal(0, 1, (7, 400)).astype(np.float32)
    q = gsea_fdr(nes, null, np.full(7, 12))
    for sign in (1, -1):
        mine = np.flatnonzero(sign*nes > 0)
        assert (np.diff(q[mine][np.argsort(sign*nes[mine])]) <= 0).all()
    assert (q > 0).all() and (q <= 1).all() and q[-1] < .01


def test_a_sign_that_chance_never_gave():
    nes, null_nes, p = normalise(np.array([.5, -.5]), np.full((1, 9), .25, np.float32), np.array([0, 0]))
    assert nes.tolist() == [2, -2] and p.tolist() == [1/10, 1/10] and np.isfinite(null_nes).all()


def test_null_scores_are_the_null():
    rng = np.random.default_rng(9)
    scores, sets, null = rng.normal(size=300), random_sets(rng, n=5), rng.normal(size=(120, 300))
    found = prerank(scores, sets, GENES, null_scores=null)
    for name, es, p in zip(found["set"], found["es"], found["p"]):
        chance = np.array([plain_es(row, np.isin(GENES, sets[name]), 1) for row in null])
        same = chance[np.sign(chance) == np.sign(es)]
        assert p == pytest.approx((1 + (np.abs(same) >= abs(es)).sum())/(1 + len(same)))
    assert found.report["permutations"] == 120 and found.report["null"] == "scores"


@pytest.mark.parametrize("arguments, said", [
    (dict(scores=np.zeros(299)), "300 gene names"),
    (dict(scores=np.r_[np.nan, np.zeros(298), np.inf]), "2 genes are not finite .*G0, G299"),
    (dict(scores=np.zeros((2, 300))), "by_class"), (dict(permutations=0), "at least 1"),
    (dict(null_scores=np.zeros((4, 9))), "null_scores")])
def test_scores_that_cannot_be_ranked(arguments, said):
    with pytest.raises(InputError, match=said):
        prerank(**dict(scores=np.arange(300.), gene_sets={"s": GENES[:9]}, genes=GENES) | arguments)


# Class by class

def test_by_class_is_one_class_at_a_time():
    rng = np.random.default_rng(10)
    effect, sets = rng.random((4, 300)), random_sets(rng)
    found = by_class(effect, sets, GENES, list("ABCD"), threshold=.8)
    for j in range(4):
        one = fisher(GENES[effect[j] > .8], sets, GENES)
        order = [list(found["sets"]).index(s) for s in one["set"]]
        np.testing.assert_allclose(found["p"][order, j], one["p"])
        assert (found["hits"][order, j] == one["hits"]).all() and found["n_markers"][j] == one.report["n_markers"]
    np.testing.assert_allclose(found["q"].ravel(), false_discovery_control(found["p"].ravel()))
    ranked = by_class(effect, sets, GENES, list("ABCD"), method="prerank", permutations=50)
    assert ranked["p"].shape == ranked["q"].shape == ranked["nes"].shape == (20, 4)
    one = prerank(effect[2], sets, GENES, permutations=5)
    for s, es in zip(one["set"], one["es"]): assert ranked["es"][list(ranked["sets"]).index(s), 2] == pytest.approx(es)


def test_top_counts_genes_and_never_takes_zeros():
    effect = np.zeros((3, 300))
    effect[0, :50], effect[1, :10] = np.arange(50) + 1, 1
    found = by_class(effect, {"s": GENES[:20]}, GENES, list("ABC"), top=30)
    assert found["n_markers"].tolist() == [30, 10, 0] and found["p"][0, 2] == 1 and np.isnan(found["fold"][0, 2])
    with pytest.raises(InputError, match="No class has a marker"):
        by_class(effect/100, {"s": GENES[:20]}, GENES, list("ABC"))
    with pytest.raises(InputError, match="top is 0"): by_class(effect, {"s": GENES[:20]}, GENES, list("ABC"), top=0)
    with pytest.raises(InputError, match="transposed"): by_class(effect.T, {"s": GENES[:20]}, GENES, list("ABC"))
    with pytest.raises(InputError, match="3 rows"): by_class(effect, {"s": GENES[:20]}, GENES, list("AB"))
    with pytest.raises(InputError, match="method"):
        by_class(effect, {"s": GENES[:20]}, GENES, list("ABC"), method="gsea")


@pytest.mark.parametrize("method", ["fisher", "prerank"])
def test_table_and_figures(method):
    import matplotlib
    matplotlib.use("Agg")
    rng = np.random.default_rng(11)
    effect, sets = rng.random((3, 300))*.5, random_sets(rng)
    effect[1, :25] = 1
    sets["planted"] = GENES[:25]
    found = by_class(effect, sets, GENES, list("ABC"), method=method, top=30, permutations=200)
    table = function_table(found)
    assert ((table["class"][0], table["set"][0]) == ("B", "planted") and (table["q"] < .05).all()
            and (np.diff(table["q"]) >= 0).all())
    assert all(len(v) == len(table["set"]) for v in table.values())
    ax = enrichment_heatmap(found)
    assert ([t.get_text() for t in ax.get_xticklabels()] == list("ABC")
            and "planted" in [t.get_text() for t in ax.get_yticklabels()])
    enrichment_heatmap(by_class(rng.random((3, 300)), random_sets(rng), GENES, list("ABC"), method=method,
                                permutations=20), q=1e-9)
    running_sum_plot(effect[1], np.isin(GENES, sets["planted"]))
    matplotlib.pyplot.close("all")


# Other programs, real sets

def test_against_gseapy():
    gseapy, pandas = pytest.importorskip("gseapy"), pytest.importorskip("pandas")
    rng = np.random.default_rng(12)
    sets, scores = {k: v.tolist() for k, v in random_sets(rng, n=40, low=5, high=60).items()}, rng.normal(size=300)
    sets["outside"] = [*GENES[:9], "X", "Y"]
    markers = rng.choice(GENES, 25, replace=False).tolist()
    theirs = gseapy.enrich(markers, sets, background=GENES.tolist(), outdir=None, no_plot=True,
                           verbose=False).results.set_index("Term")
    ours = fisher(markers, sets, GENES)
    hit = ours["hits"] > 0
    assert 0 < len(theirs) == hit.sum() < len(sets)
    np.testing.assert_allclose(ours["p"][hit], theirs["P-value"].loc[ours["set"][hit]].astype(float), rtol=1e-9)
    # over those hit
    np.testing.assert_allclose(false_discovery_control(ours["p"][hit]),
                               theirs["Adjusted P-value"].loc[ours["set"][hit]].astype(float), rtol=1e-9)
    assert (ours["q"][hit] >= theirs["Adjusted P-value"].loc[ours["set"][hit]].astype(float).to_numpy() - 1e-12).all()
    theirs = gseapy.prerank(pandas.Series(scores, index=GENES), sets, permutation_num=1000, min_size=5, max_size=500,
                            outdir=None, no_plot=True, threads=1, verbose=False).res2d.set_index("Term")
    ours = prerank(scores, sets, GENES)
    theirs = theirs.loc[ours["set"]]
    np.testing.assert_allclose(ours["es"], theirs["ES"].astype(float), rtol=1e-9)
    np.testing.assert_allclose(ours["nes"], theirs["NES"].astype(float), rtol=.1)
    np.testing.assert_allclose(ours["p"], theirs["NOM p-val"].astype(float), atol=.1)
    assert all(set(a) == set(b.split(";")) for a, b in zip(ours["leading_edge"], theirs["Lead_genes"]))


@pytest.mark.skipif(not data_dir("resources"), reason="no real gene sets here")
def test_real_gene_set_files():
    sizes = {path.name: len(read_gmt(path)) for path in data_dir("resources").glob("*.gmt")}
    assert sizes.get("hallmark_v7.0.gmt", 50) == 50 and sizes.get("kegg_c2cp_v7.5.1.gmt", 186) == 186


def test_import_is_light():
    code = ("import sys, cancer_dl.interpret.enrichment; print([m for m in ('pandas', 'anndata', 'sklearn', "
            "'matplotlib', 'keras', 'tensorflow') if m in sys.modules])")
    assert ast.literal_eval(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                           check=True).stdout) == []


def test_enrichment_score_breaks_the_tie_downwards():
    assert enrichment_score(np.array([.5, 0]), np.array([0, -.5])) == -.5


def test_a_figure_without_an_enriched_set_is_pale_and_says_so():
    found = dict(q=np.array([[.068, .9], [.5, .3]]), p=np.array([[.001, .9], [.2, .1]]), sets=np.array(["A", "B"]),
                 classes=np.array(["x", "y"]), hits=np.ones((2, 2), int), fold=np.ones((2, 2)))
    ax = enrichment_heatmap(found)
    assert ax.get_title() == "no set has q < 0.05"
    assert ax.images[0].get_array().max() < ax.images[0].get_clim()[1] / 1.9
