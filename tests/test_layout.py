"Layouts: every gene has one cell, the way back is exact, nothing is learned from samples that are transformed."
import json

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from cancer_dl.core import InputError
from cancer_dl.data import layout as L
from cancer_dl.data.layout import (GeneOrder, GridLayout, chromosomal_order, correlation_graph, correlation_order,
                                   edge_distance, grid_of_coordinates, grid_of_order, neighbour_correlation,
                                   network_graph, spectral_coordinates)
from cancer_dl.data.freeze import freeze, thaw

P = 137


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 12)) @ rng.normal(size=(12, P)) + rng.normal(size=(60, P))
    values[:, 5] = 3  # a gene without variation
    return pd.DataFrame(values.astype("float32"), columns=[f"G{i}" for i in rng.permutation(P)])


@pytest.fixture(scope="module")
def tables(X):
    rng = np.random.default_rng(1)
    names = X.columns.to_numpy()
    positions = pd.DataFrame({"symbol": names[:100], "chrom": rng.choice(["1", "2", "chrX", "GL000"], 100),
                              "start": rng.integers(1, 10**8, 100)})
    network = pd.DataFrame({"a": rng.choice(names[:110], 400), "b": rng.choice(names[:110], 400)})
    return dict(positions=positions, network=network)


@pytest.mark.parametrize("method", L.METHODS)
@pytest.mark.parametrize("path", L.PATHS)
@pytest.mark.parametrize("shape", [None, (12, 12), (1, P), (P, 1), (35, 4)])
def test_every_gene_has_a_cell_and_returns(X, tables, method, path, shape):
    grid = GridLayout(shape, method, path, **tables).fit(X)
    assert len(np.unique(grid.place_)) == P and grid.place_.min() >= 0 and grid.place_.max() < grid.n_cells_
    cells = grid.transform(X)
    assert cells.dtype == np.float32 and cells.flags.c_contiguous and cells.shape == (60, grid.n_cells_)
    assert np.array_equal(grid.inverse_transform(cells), X)
    assert np.array_equal(grid.to_genes(cells.reshape(60, *grid.shape_)), X)
    names = grid.get_feature_names_out()
    assert len(set(names)) == grid.n_cells_
    assert np.array_equal(cells[:, names == "G7"][:, 0], X["G7"])
    padding = np.array([name.startswith("padding_") for name in names])
    assert padding.sum() == grid.n_cells_ - P and not cells[:, padding].any()


@pytest.mark.parametrize("method", L.METHODS)
def test_order_permutes(X, tables, method):
    order = GeneOrder(method, **tables).fit(X)
    assert sorted(order.place_) == list(range(P))
    out = pd.DataFrame(order.transform(X), columns=order.get_feature_names_out())
    assert np.array_equal(out[X.columns], X)
    again = clone(order).fit(X)
    assert np.array_equal(order.place_, again.place_)


@pytest.mark.parametrize("method", L.METHODS)
def test_freeze_and_thaw(X, tables, method):
    for fitted in (GeneOrder(method, **tables).fit(X), GridLayout((12, 12), method, image=True, **tables).fit(X)):
        bare = fitted.without_tables()
        assert bare.positions is None and fitted.positions is tables["positions"]
        spec, arrays = freeze(bare)
        copy = thaw(json.loads(json.dumps(spec)), arrays)
        assert np.array_equal(copy.transform(X), fitted.transform(X))
        assert list(copy.get_feature_names_out()) == list(fitted.get_feature_names_out())


def test_transform_learns_nothing(X):
    grid = GridLayout(order="correlation").fit(X.iloc[:30])
    alone = grid.transform(X.iloc[[40]])
    assert np.array_equal(alone[0], grid.transform(X)[40])


def test_alphabetical_rows_is_the_published_reshape(X):
    grid = GridLayout((10, 14), "alphabetical", "rows", image=True).fit(X)
    expected = np.zeros((60, 140), np.float32); expected[:, :P] = X[sorted(X.columns)]
    assert np.array_equal(grid.transform(X), expected.reshape(60, 10, 14))


def test_chromosomal_order_by_hand(tmp_path):
    table = pd.DataFrame({"symbol": list("abcdef"), "chrom": ["chr2", "10", "X", "2", "1", "KI270"],
                          "start": [5, 1, 1, 3, 9, 1]})
    names = ["z", "f", "c", "a", "b", "d", "e"]
    expected = list("edabc") + ["f", "z"]
    for name in ("p.csv", "p.csv.gz", "p.tsv", "p.parquet"):
        path = tmp_path/name
        if name.endswith("parquet"): table.to_parquet(path)
        else: table.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
        assert [names[i] for i in chromosomal_order(names, str(path))] == expected


def test_chromosomes_read_as_numbers():
    table = pd.DataFrame({"chromosome": [2., 10., 1.], "start": [1, 1, 1]}, index=list("abc"))
    assert [list("abc")[i] for i in chromosomal_order(list("abc"), table)] == ["c", "a", "b"]


def test_correlation_order_finds_blocks_whatever_the_branch(monkeypatch):
    rng = np.random.default_rng(0)
    block = rng.permutation(np.repeat(np.arange(8), 10))
    X = rng.normal(size=(100, 8))[:, block] + rng.normal(0, .4, (100, 80))
    for optimal, tree in ((1500, 8000), (10, 8000), (10, 10)):
        monkeypatch.setattr(L, "OPTIMAL_MOST", optimal); monkeypatch.setattr(L, "TREE_MOST", tree)
        order = correlation_order(X)
        assert sorted(order) == list(range(80))
        if tree > 80: assert (np.diff(block[order]) != 0).sum() == 7


@pytest.mark.parametrize("n", [150, 500])
def test_spectral_coordinates_of_a_ring(n):
    ring = sparse.diags([np.ones(n - 1)]*2 + [np.ones(1)]*2, [-1, 1, n - 1, 1 - n], format="csr")
    xy = spectral_coordinates(ring)
    angle = np.unwrap(np.arctan2(xy[:, 1], xy[:, 0]))
    steps = np.diff(angle)
    assert np.allclose(np.abs(steps), 2*np.pi/n, rtol=1e-2) and len(set(np.sign(steps))) == 1


def test_network_layout_brings_linked_genes_together():
    number = np.arange(225).reshape(15, 15)
    edges = np.concatenate([np.c_[number[:, :-1].ravel(), number[:, 1:].ravel()],
                            np.c_[number[:-1].ravel(), number[1:].ravel()]])
    names = np.array([f"N{i}" for i in range(225)])
    network = pd.DataFrame(names[edges], columns=["source", "target"])
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 225)), columns=names)
    grid = GridLayout((15, 15), "network", network=network).fit(X)
    random = GridLayout((15, 15), "random").fit(X)
    graph = network_graph(names, network)
    assert edge_distance(graph, grid.place_, (15, 15)) < .45*edge_distance(graph, random.place_, (15, 15))


def test_unknown_genes_sit_beside_their_correlate():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 40)); X[:, 39] = X[:, 10] + rng.normal(0, .01, 50); X[:, 38] = 1.
    names = [f"N{i}" for i in range(40)]
    network = pd.DataFrame({"a": names[:37], "b": names[1:38]})
    order = GeneOrder("network", genes=names, network=network).fit(X)
    assert abs(order.place_[39] - order.place_[10]) == 1
    assert order.place_[38] == 39, "a constant gene that the network does not know comes last"


def test_network_columns_weights_and_direction():
    table = pd.DataFrame({"score": [1, 2, 3, 4], "source": ["a", "b", "c", "a"], "target": ["b", "a", "c", "c"],
                          "weight": [.5, .9, 1, 0]})
    with pytest.raises(InputError, match="Only 0"): network_graph(["x", "y"], table)
    assert network_graph(["a", "b", "c"], table).toarray().tolist() == [[0, .9, 0], [.9, 0, 0], [0, 0, 0]]


def test_correlation_graph_is_symmetric_and_without_loops(X):
    graph = correlation_graph(X.to_numpy(), k=5)
    assert (graph != graph.T).nnz == 0 and not graph.diagonal().any()
    degree = np.diff(graph.indptr)
    assert degree[np.arange(P) != 5].min() >= 5
    rho = np.abs(np.corrcoef(X.drop(columns=X.columns[5]).to_numpy().T))
    best = rho[0] - np.eye(P - 1)[0]
    assert np.isclose(graph[0].max(), best.max(), atol=1e-5)


def test_neighbour_correlation_against_corrcoef(X):
    place = np.random.default_rng(0).permutation(144)[:P]
    rho = np.abs(np.corrcoef(np.delete(X.to_numpy(), 5, axis=1).T)); rho = np.insert(np.insert(rho, 5, 0, 0), 5, 0, 1)
    row, column = np.divmod(place, 12)
    touch = (np.abs(row[:, None] - row) + np.abs(column[:, None] - column)) == 1
    assert np.isclose(neighbour_correlation(X.to_numpy(), place, (12, 12)), rho[touch].mean(), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (6, 5), (7, 5), (13, 4)])
def test_paths_meet_every_cell_once_and_step_to_a_neighbour(shape):
    n = shape[0]*shape[1]
    for path in L.PATHS:
        place = grid_of_order(np.arange(n), shape, path)
        assert sorted(place) == list(range(n))
        if path == "snake":
            xy = np.stack(np.divmod(place, shape[1]), axis=1)
            assert (np.abs(np.diff(xy, axis=0)).sum(axis=1) == 1).all()


def test_coordinates_that_tie_or_are_infinite_still_get_cells_of_their_own():
    xy = np.zeros((30, 2)); xy[20:] = np.inf
    assert sorted(grid_of_coordinates(xy, (5, 7))) == list(range(30))


def test_in_a_pipeline(X):
    pipe = make_pipeline(StandardScaler(), GridLayout((12, 12), "correlation", image=True)).fit(X)
    assert pipe.transform(X).shape == (60, 12, 12)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("method", ["correlation", "spectral", "random", "given"])
def test_few_genes(p, method):
    X = np.random.default_rng(0).normal(size=(10, p))
    grid = GridLayout(order=method).fit(X)
    assert np.allclose(grid.inverse_transform(grid.transform(X)), X)


def test_all_genes_constant():
    X = np.ones((5, 9))
    for method in ("correlation", "spectral"): assert sorted(GeneOrder(method).fit(X).place_) == list(range(9))


@pytest.mark.parametrize("make, message", [
    (lambda X: GridLayout((3, 3)).fit(X), r"137 genes do not fit.*shape=\(46, 3\)"),
    (lambda X: GridLayout((3,)).fit(X), "height, width"),
    (lambda X: GridLayout((3.5, 99)).fit(X), "whole numbers"),
    (lambda X: GridLayout(order="corelation").fit(X), "Did you mean correlation"),
    (lambda X: GridLayout(path="zigzag").fit(X), "path over the grid"),
    (lambda X: GridLayout(order="network").fit(X), "needs a gene network"),
    (lambda X: GridLayout(order="chromosomal", positions="no/such.csv").fit(X), "There is no file no/such.csv"),
    (lambda X: GridLayout(order="chromosomal", positions=pd.DataFrame({"a": [1]})).fit(X), "chromosome and start"),
    (lambda X: GridLayout(order="network", network=pd.DataFrame({"a": ["G1"]})).fit(X), "two columns"),
    (lambda X: GridLayout(order="alphabetical").fit(X.to_numpy()), "needs gene names"),
    (lambda X: GridLayout(genes=["a"]).fit(X), "1 gene names"),
    (lambda X: GridLayout().fit(X).to_genes(np.zeros((2, 5))), "do not end in the 144 cells"),
    (lambda X: GridLayout().fit(X.assign(G3=np.nan)), "NaN"),
])
def test_bad_input(X, make, message):
    with pytest.raises(InputError, match=message): make(X)


def test_broken_table(tmp_path):
    (tmp_path/"n.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="Cannot read .*n.parquet as a gene network"):
        network_graph(["a"], tmp_path/"n.parquet")


def test_tables_are_refused_when_frozen(X, tables):
    with pytest.raises(InputError): freeze(GeneOrder("network", **tables).fit(X))


@pytest.mark.parametrize("step",
                         [GeneOrder(), GeneOrder("spectral"), GridLayout(), GridLayout(order="random", path="rows")])
def test_scikit_learn_contract(step):
    failed = [r for r in check_estimator(step, on_fail=None) if r["status"] == "failed"]
    assert not failed, failed
