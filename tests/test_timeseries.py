"Series in time: reading, simulation, the dual-attention network, forecasts, and edges."
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from recipes import run_small

from cancer_dl.core import InputError, keras_module
from cancer_dl.data.regulation import TOPOLOGIES, draw_regulation, integrate, simulate_series
from cancer_dl.data.series import make_series, read_edges, read_series, write_series
from cancer_dl.models.dual_attention import attention_model, dual_attention
from cancer_dl.runs import run_recipe
from cancer_dl.timeseries import (cut_series, edge_recovery, edge_scores, fit_series, judge_forecasts,
                                  split_series)


@pytest.fixture(scope="module")
def series(): return simulate_series("feed_forward", 6, n_series=80, n_steps=10, seed=2)


@pytest.fixture(scope="module")
def fitted(series): return fit_series(series, epochs=20)


@pytest.fixture(scope="module")
def scores(series, fitted): return edge_scores(series.take(fitted.parts[0] + fitted.parts[1]), fitted)


# -- a table of series

TABLE = pd.DataFrame({"series": ["a"] * 3 + ["b"] * 3, "time": [0, 1, 2] * 2, "x": [1, 2, 4, 3, 1, 5],
                      "y": [5, 3, 1, 2, 2, 4]})


def changed(column, row, value): return TABLE.astype(object).where(
    ~((TABLE.index.to_numpy()[:, None] == row) & (TABLE.columns == column)), value)


@pytest.mark.parametrize("table, said", [
    (TABLE[:1], "series a has one step only"),
    (TABLE.drop(columns="y"), "1 gene"),
    (changed("x", 1, None), "x has no finite value in series a at time 1"),
    (changed("x", 1, "high"), "row 3, column x: 'high' is no number"),
    (TABLE.assign(y=7), "y never changes"),
    (changed("time", 1, 0), "time 0 occurs twice in series a"),
    (changed("time", 2, 5), "series a has a step of 4 where most have 1"),
    (changed("time", 1, ""), "without a time"),
    (changed("series", 4, ""), "the name of the series is empty"),
    (TABLE.drop(columns="series"), "Expected were series and time"),
    (TABLE[:0], "row"),
])
def test_a_table_that_cannot_be_trusted_is_refused_in_one_paragraph(tmp_path, table, said):
    table.to_csv(tmp_path/"t.csv", index=False)
    with pytest.raises(InputError, match=said) as error: read_series(tmp_path/"t.csv")
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize("edges, said", [
    (pd.DataFrame({"regulator": ["x"], "target": ["q"]}), "do not have: q"),
    (pd.DataFrame({"from": ["x"], "target": ["y"]}), "regulator and target were expected"),
    (pd.DataFrame({"regulator": ["x"], "target": ["x"]}), "no edge between two different genes"),
    (pd.DataFrame({"regulator": ["x"] * 2, "target": ["y"] * 2, "sign": [1, -1]}), "two signs"),
    (pd.DataFrame({"regulator": ["x"], "target": ["y"], "sign": ["up"]}), "the sign is 'up'"),
])
def test_edges_that_do_not_fit_are_refused(edges, said):
    with pytest.raises(InputError, match=said): read_edges(edges, ["x", "y"])


def test_one_series_has_one_name():
    names = (("A", range(3)), ("A ", range(3, 6)), (1, range(4)), (2.0, range(4)))
    rows = [(name, t, t*1.0, t*t) for name, times in names for t in times]
    table = pd.DataFrame(rows, columns=["series", "time", "g1", "g2"]).astype({"series": object})
    assert list(read_series(table).names) == ["A", "1", "2"] and len(read_series(table)) == 3
    for gone in (None, np.nan, "", "NA"):
        with pytest.raises(InputError, match="row 2: the name of the series is empty"):
            read_series(table.assign(series=[gone, *table["series"][1:]]))

def test_order_of_rows_and_gzip_change_nothing(tmp_path, series):
    table = pd.read_csv(write_series(series, tmp_path/"s.csv"))
    table.sample(frac=1, random_state=0).to_csv(tmp_path/"s.tsv.gz", sep="\t", index=False)
    again = read_series(tmp_path/"s.tsv.gz")
    for name in series.names: np.testing.assert_allclose(again.take([name]).values, series.take([name]).values)
    assert again.genes == series.genes and again.edges is None
    with pytest.raises(InputError, match="not known"): again.truth()


# -- simulation

@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_topology_is_finite_comes_to_rest_and_is_reproducible(topology):
    net = draw_regulation(topology, 7, seed=1)
    assert not np.diag(net.signs).any() and net.signs.any()
    start = np.random.default_rng(0).uniform(0, 2, (100, 7))
    levels = integrate(net, start, 31, 1, .1, np.random.default_rng(1), dt=.05)
    assert np.isfinite(levels).all() and (levels >= 0).all() and levels.max() < 6
    assert np.abs(levels[:, 15:22].mean((0, 1)) - levels[:, 24:].mean((0, 1))).max() < .1
    one, two = (simulate_series(topology, 7, 6, 4, seed=3) for _ in range(2))
    assert (one.values == two.values).all() and one.edges.equals(two.edges)


# -- the network

def test_no_window_mixes_series_and_no_series_is_in_two_parts(series):
    windows = cut_series(series, 3)
    for name in series.names[:3]:
        own = series.take([name]).values
        found = windows.X[windows.series == name]
        assert len(found) == 7
        np.testing.assert_array_equal(found[:, 0], own[:7])
        np.testing.assert_array_equal(windows.y[windows.series == name], own[3:])
    train, watched, test = map(set, split_series(series))
    assert not (train & watched or train & test or watched & test) and len(train | watched | test) == 80


def test_targets_are_trained_as_if_alone():
    "Weights of one target do not change what another forecasts."
    model = dual_attention((3, 4))
    X = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
    before = keras_module().ops.convert_to_numpy(model(X))
    for w in model.weights:
        value = keras_module().ops.convert_to_numpy(w).copy()
        value[1] += .5
        w.assign(value)
    after = keras_module().ops.convert_to_numpy(model(X))
    np.testing.assert_allclose(after[:, [0, 2, 3]], before[:, [0, 2, 3]], atol=1e-6)
    assert np.abs(after[:, 1] - before[:, 1]).max() > 1e-3
    alone = keras_module().ops.convert_to_numpy(model(X[:1]))
    np.testing.assert_allclose(alone, after[:1], atol=1e-5)


@pytest.mark.slow
def test_the_network_beats_persistence_on_series_it_has_not_seen(series, fitted):
    errors, verdicts = judge_forecasts(series, fitted)
    answers = {v.second: v.answer for v in verdicts}
    assert answers["persistence"] == "better"
    assert (errors.lower < errors.error).all() and (errors.error < errors.upper).all() and (errors.series == 20).all()


@pytest.mark.slow
def test_gradients_find_edges_that_correlation_does_not(series, fitted, scores):
    found = edge_recovery(scores, series.truth()).set_index("method")
    assert list(found.index) == ["attention", "gradients", "correlation", "lagged ridge", "Granger", "forest"]
    assert found.auroc["gradients"] > found.auroc["correlation"] + .05 and found.auroc["gradients"] > .7
    assert found.auroc["lagged ridge"] > .85
    shuffled = np.random.default_rng(0)
    rows = np.concatenate([shuffled.permutation(np.flatnonzero(series.series == name)) for name in series.names])
    apart = make_series(series.values[rows], series.series, series.time, series.genes)
    assert edge_recovery(edge_scores(apart), series.truth()).set_index("method").auroc["Granger"] < .9


def test_pairs_that_cannot_be_estimated_have_no_edge():
    "A gene that is there twice, one that rises in the last step only, and an edge without noise."
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    late = np.r_[np.zeros(39), 1.]
    values = np.column_stack([a, a, b, np.r_[0, b[:-1]], late])
    one = make_series(values, ["s"] * 40, range(40), list("abcde"))
    with pytest.warns(UserWarning, match="Granger: 6 of 20 pairs cannot be estimated"):
        found = edge_scores(one)
    assert all(np.isfinite(s).all() for s in found.values())
    assert found["Granger"][0, 1] == found["Granger"][4, 2] == 0 and found["Granger"].argmax() == 2 * 5 + 3
    truth = np.zeros((5, 5), bool)
    truth[2, 3] = True
    assert edge_recovery(found, truth).set_index("method").auroc["Granger"] == 1
    odd = np.where(truth, np.inf, np.nan)
    assert edge_recovery({"odd": odd}, truth).auroc[0] == 1
    few = make_series(np.tile(values, (2, 1)) + np.r_[np.zeros(40), np.ones(40)][:, None], ["s"] * 40 + ["t"] * 40,
                      list(range(40)) * 2, list("abcde")).take(["s"])
    few.values[:, 4] = 0  # constant in this series
    with pytest.warns(UserWarning): assert all(np.isfinite(s).all() for s in edge_scores(few).values())


def test_the_wrong_series_are_refused(series, fitted):
    for what, said in ((lambda: fit_series(series.take(series.names[:5])), "At least 6"),
                       (lambda: fit_series(series, 10), "use a length of 1 to 9"),
                       (lambda: fitted.forecast(simulate_series("chain", 4, 3)), "trained on 6 genes"),
                       (lambda: edge_scores(simulate_series("chain", 4, 3, 3)), "at least 10 are needed"),
                       (lambda: simulate_series("ring"), "topology")):
        with pytest.raises(InputError, match=said): what()


JAX = """
import sys
import numpy as np
from cancer_dl.core import backend_name, keras_module
from cancer_dl.models.dual_attention import attention_model, dual_attention
assert backend_name() == "jax"
found = np.load(sys.argv[1])
model = dual_attention((3, 4))
for w, name in zip(model.weights, sorted(k for k in found if k[0] == "w")): w.assign(found[name])
for network, said in ((model, found["said"]), (attention_model(model), found["attention"])):
    np.testing.assert_allclose(keras_module().ops.convert_to_numpy(network(found["X"])), said, atol=1e-5)
"""


@pytest.mark.slow  # the chapter has the same equations by hand, on the backend in use
def test_jax_says_the_same(tmp_path):
    pytest.importorskip("jax")
    model, X = dual_attention((3, 4)), np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
    to = keras_module().ops.convert_to_numpy
    np.savez(tmp_path/"m.npz", X=X, said=to(model(X)), attention=to(attention_model(model)(X)),
             **{f"w{i:03}": to(w) for i, w in enumerate(model.weights)})
    run = subprocess.run([sys.executable, "-c", JAX, str(tmp_path/"m.npz")], env=dict(os.environ, KERAS_BACKEND="jax"),
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]


def test_the_recipe_reads_a_table_and_writes_its_answer(tmp_path, series):
    write_series(series.take(series.names[:20]), tmp_path/"s.csv")
    series.edges.to_csv(tmp_path/"e.csv", index=False)
    results = run_small("timeseries", dict(table=str(tmp_path/"s.csv"), edges=str(tmp_path/"e.csv"), epochs=1),
                        tmp_path/"out")
    assert results["series"] == 20 and set(results["auroc"]) >= {"gradients", "correlation"}
    edges = pd.read_csv(tmp_path/"out"/"edges.csv")
    assert len(edges) == 30 and edges.score.is_monotonic_decreasing and edges.edge.sum() == len(series.edges)
    with pytest.raises(InputError, match="no such file"):
        run_recipe("timeseries", dict(table="nowhere.csv"), tmp_path/"two", verbose=False)
