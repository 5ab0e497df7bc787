"Edge cases of data.preprocess: scikit-learn's contract, memory, bad input, freezing against hostile specs."
import io
import json
import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, QuantileTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from cancer_dl.core import InputError, write_json
from cancer_dl.data import select
from cancer_dl.data.freeze import FREEZABLE, freeze, register_freezable, thaw
from cancer_dl.data.preprocess import (ExpressionFilter, GaussianNoise, Log2Transformer, LogCPM, MedianImputer,
                                       PCAReducer, Padder, QuantileScaler, ZScaler, gene_medians, gene_moments,
                                       has_missing)


def linear(n=60, p=40, seed=0) -> np.ndarray:
    "FPKM-like values with zeros, float32."
    rng = np.random.default_rng(seed)
    return np.maximum(2**rng.normal(4, 3, size=(n, p)) - 1, 0).astype("float32")


X = linear()
LOGGED = np.log2(X + 1)
LABELS = np.arange(60) % 3


@parametrize_with_checks([MedianImputer(), Log2Transformer(units="linear"), LogCPM(units="counts"),
                          LogCPM(1e4, base=2.0), ExpressionFilter(min_mean=None, min_std=0), ZScaler(),
                          ZScaler(clip=1.5), QuantileScaler(), PCAReducer(), PCAReducer(1, whiten=True), Padder(),
                          Padder(n_features=500), GaussianNoise(), GaussianNoise(level=1., clip=False)])
def test_sklearn_contract(estimator, check):
    check(estimator)


STEPS = {
    "MedianImputer": MedianImputer(), "Log2Transformer": Log2Transformer(), "LogCPM": LogCPM(),
    "ExpressionFilter": ExpressionFilter(), "ZScaler": ZScaler(clip=3), "QuantileScaler": QuantileScaler(),
    "PCAReducer": PCAReducer(7, whiten=True), "Padder": Padder(), "GaussianNoise": GaussianNoise(level=.4, seed=5),
    "StandardScaler": StandardScaler(), "MinMaxScaler": MinMaxScaler((-1, 1), clip=True),
    "PCA": PCA(5, svd_solver="full", whiten=True), "VarianceThreshold": VarianceThreshold(1.),
    "QuantileTransformer": QuantileTransformer(n_quantiles=20, random_state=0), "SimpleImputer": SimpleImputer(),
    "FeatureSelector": select.FeatureSelector("anova", k=9),
    "RandomForestSelector": select.RandomForestSelector(9, n_trees=20),
}


def round_trip(step):
    "Freeze, through a JSON file's text and an .npz read without pickle, and thaw."
    spec, arrays = freeze(step)
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    return thaw(json.loads(json.dumps(spec, allow_nan=False)), np.load(file, allow_pickle=False))


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_every_class_of_this_band_is_covered():
    own = {name for name, (cls, _) in FREEZABLE.items() if not cls.__module__.startswith("cancer_dl.")
           or cls.__module__ in ("cancer_dl.data.preprocess", "cancer_dl.data.select")}
    assert own == set(STEPS)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_is_bit_identical(name, as_frame, dtype):
    values = (X if name in ("Log2Transformer", "LogCPM") else LOGGED).astype(dtype)
    values = pd.DataFrame(values, columns=[f"g{i}" for i in range(40)]) if as_frame else values
    step = clone(STEPS[name]).fit(values[:50], LABELS[:50])
    again = round_trip(step)
    assert type(again) is type(step)
    assert repr(again) == repr(step)
    assert same_bits(again.transform(values[50:]), step.transform(values[50:]))
    assert same_bits(again.transform(values[55:56]), step.transform(values[55:56]))
    if name != "SimpleImputer" or as_frame:
        assert list(again.get_feature_names_out()) == list(step.get_feature_names_out())
    assert hasattr(again, "feature_names_in_") == as_frame


@pytest.mark.parametrize("imputer",
                         [SimpleImputer(strategy="constant", fill_value=2.5), SimpleImputer(strategy="most_frequent"),
                          SimpleImputer(strategy="median", keep_empty_features=True)])
def test_imputers_with_holes_survive(imputer):
    holed = LOGGED.copy()
    holed[::3, 4] = np.nan
    imputer.fit(holed)
    assert same_bits(round_trip(imputer).transform(holed), imputer.transform(holed))


def test_pipelines_nested_with_passthrough_and_pandas_output():
    frame = pd.DataFrame(X, columns=[f"g{i}" for i in range(40)])
    pipe = Pipeline([("log", Log2Transformer()), ("nothing", "passthrough"), ("none", None),
                     ("inner", Pipeline([("scale", ZScaler()), ("pca", PCAReducer(6))]))]).fit(frame)
    assert same_bits(round_trip(pipe).transform(frame), pipe.transform(frame))
    pandas = Pipeline([("log", Log2Transformer()), ("scale", ZScaler())]).set_output(transform="pandas").fit(frame)
    again = round_trip(pandas).transform(frame)
    pd.testing.assert_frame_equal(again, pandas.transform(frame))


def test_round_trip_survives_write_json(tmp_path):
    imputer = SimpleImputer().fit(LOGGED)  # its missing_values is NaN, which JSON lacks
    spec, arrays = freeze(imputer)
    write_json(tmp_path/"s.json", spec)
    again = thaw(json.loads((tmp_path/"s.json").read_text()), arrays)
    assert np.isnan(again.missing_values)


def hostile(change):
    frame = pd.DataFrame(LOGGED, columns=[f"g{i}" for i in range(40)])
    spec, arrays = freeze(Pipeline([("pca", PCAReducer(5)), ("scale", ZScaler())]).fit(frame))
    change(spec, arrays)
    thaw(spec, arrays)


def first(spec): return spec["steps"][0][1]


@pytest.mark.parametrize("change, message", [
    (lambda s, a: first(s).update({"class": "builtins.eval"}), "names the class"),
    (lambda s, a: first(s).update({"class": "FunctionTransformer"}), "names the class"),
    (lambda s, a: first(s).update({"class": ["ZScaler"]}), "has no class"),
    (lambda s, a: first(s).pop("class"), "has no class"),
    (lambda s, a: first(s).update({"__reduce__": 1}), "should have the entries"),
    (lambda s, a: first(s).pop("state"), "should have the entries"),
    (lambda s, a: first(s).update(state=[1]), "should have the entries"),
    (lambda s, a: first(s)["state"].update(__class__="x"), "should have the entries"),
    (lambda s, a: first(s)["state"].pop("mean_"), "should have the entries"),
    (lambda s, a: first(s)["state"].update(mean_=None), "is missing"),
    (lambda s, a: first(s)["state"].update(mean_=[1, 2]), "should have the entries"),
    (lambda s, a: first(s)["state"].update(mean_={"array": ["x"]}), "should be an array"),
    (lambda s, a: first(s)["state"].update(mean_={"array": "absent"}), "should be an array"),
    (lambda s, a: first(s)["state"].update(n_components_=10**12), "but k is"),
    (lambda s, a: first(s)["state"].update(n_components_="5"), "whole number"),
    (lambda s, a: first(s)["params"].update(seed={"$import": "os"}), "only numbers, text and lists"),
    (lambda s, a: first(s)["params"].update(n_components=-3), "a parameter of PCAReducer is wrong"),
    (lambda s, a: first(s)["params"].update(evil=1), "parameters that it does not know"),
    (lambda s, a: first(s).update(params=None), "parameters that it does not know"),
    (lambda s, a: first(s).update(n_features_in=True), "positive number"),
    (lambda s, a: first(s).update(n_features_in=39), "but p is 39"),
    (lambda s, a: first(s).update(feature_names_in=["a"]), "but p is 40"),
    (lambda s, a: first(s).update(feature_names_in=[1]*40), "list of names"),
    (lambda s, a: first(s).update(output="polars"), "should be 'pandas'"),
    (lambda s, a: s.update(steps=[]), "pairs of a name and a step"),
    (lambda s, a: s.update(steps=[["a"]]), "pairs of a name and a step"),
    (lambda s, a: s.update(steps=[["a", "eval"]]), "has no class"),
    (lambda s, a: s["steps"].append(s["steps"][1]), "same name"),
    (lambda s, a: s.update(memory="/"), "should have the entries"),
    (lambda s, a: a.update({"0.0.components_": a["0.0.components_"].T}), "but"),
    (lambda s, a: a.update({"0.0.components_": a["0.0.components_"][0]}), "dimensions"),
    (lambda s, a: a.update({"0.0.mean_": a["0.0.mean_"].astype("U")}), "should be an array of float numbers"),
    (lambda s, a: a.update({"0.0.mean_": a["0.0.mean_"].astype("complex")}), "should be an array of float numbers"),
    (lambda s, a: a.update({"0.0.mean_": list(a["0.0.mean_"])}), "should be an array of float numbers"),
    (lambda s, a: a.update(stray=np.ones(2)), "no step uses: stray"),
    (lambda s, a: a.pop("0.0.mean_"), "should be an array"),
])
def test_hostile_specs_are_refused(change, message):
    with pytest.raises(InputError, match=message): hostile(change)


def test_deep_nesting_is_refused():
    spec = {"class": "Pipeline", "steps": [["a", "passthrough"]]}
    for _ in range(500): spec = {"class": "Pipeline", "steps": [["a", spec]]}
    with pytest.raises(InputError, match="too deeply"): thaw(spec, {})


class Bomb:
    def __reduce__(self): return (pytest.fail, ("the pickle was run",))


def test_a_pickle_in_the_npz_is_not_run():
    spec, arrays = freeze(ZScaler().fit(LOGGED))
    file = io.BytesIO()
    np.savez(file, **{**arrays, "0.mean_": np.array([Bomb()]*40, dtype=object)})
    file.seek(0)
    with pytest.raises(InputError, match="cannot be read as plain numbers"):
        thaw(spec, np.load(file, allow_pickle=False))


def test_a_damaged_npz_is_refused():
    spec, arrays = freeze(ZScaler().fit(LOGGED))
    file = io.BytesIO()
    np.savez(file, **arrays)
    data = bytearray(file.getvalue())
    data[150:170] = b"\x00"*20
    with pytest.raises(InputError, match="cannot be read as plain numbers"):
        thaw(spec, np.load(io.BytesIO(bytes(data)), allow_pickle=False))


def test_what_cannot_be_frozen_says_so():
    class ZScaler(StandardScaler): "Same name as ours, another class."
    with pytest.raises(InputError, match="Cannot freeze a ZScaler"): freeze(ZScaler().fit(LOGGED))
    with pytest.raises(InputError, match="Another class called ZScaler"): register_freezable(ZScaler, mean_="float[p]")
    with pytest.raises(InputError, match="not a declaration"): register_freezable(FunctionTransformer, x_="eval")
    with pytest.raises(InputError, match="random_state: it is a RandomState"):
        freeze(PCA(3, random_state=np.random.RandomState(0)).fit(LOGGED))
    with pytest.raises(InputError, match="not supported"):
        freeze(SimpleImputer(add_indicator=True).fit(np.where(LOGGED > 8, np.nan, LOGGED)))
    with pytest.raises(InputError, match="not fitted"): freeze(Pipeline([("a", PCAReducer())]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (700, 3000)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_agree_with_float64(shape, dtype):
    values = (1000 + np.random.default_rng(1).normal(size=shape)).astype(dtype)
    moments, wide = gene_moments(values), values.astype("float64")
    np.testing.assert_allclose(moments["mean"], wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments["std"], wide.std(axis=0), rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(moments["high"], wide.max(axis=0))


def test_constants_are_exactly_zero_whatever_the_number_of_rows():
    for n in [2, 3, 7, 1001]:
        values = np.full((n, 3), np.float32(.1)); values[0, 2] = 5
        scaled = ZScaler().fit(values).transform(values + 1)
        assert (scaled[:, :2] == 0).all() and np.isfinite(scaled).all()


@pytest.mark.parametrize("step, limit", [(Log2Transformer("linear"), 1.1), (LogCPM(units="counts"), 1.2),
                                         (ExpressionFilter(-100, 0), 1.1), (ZScaler(), 1.6), (QuantileScaler(), 1.3),
                                         (PCAReducer(20), 1.3), (Padder(), 1.1), (GaussianNoise(.2, clip=True), 1.3)])
def test_memory_no_float64_copy_of_the_matrix(step, limit):
    values = np.random.default_rng(0).gamma(2, 4, size=(2500, 3000)).astype("float32")
    step.fit(values[:, :3000])
    tracemalloc.start()
    out = step.fit(values).transform(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert out.dtype == np.float32
    assert peak < limit*values.nbytes


@pytest.mark.parametrize("name", STEPS)
def test_learned_on_fit_only(name):
    "A sample's result does not depend on the samples that it is transformed with, nor does transform change the step."
    values = X if name in ("Log2Transformer", "LogCPM") else LOGGED
    step = clone(STEPS[name]).fit(values[:40], LABELS[:40])
    together, before = step.transform(values[40:]), json.dumps(freeze(step)[0])
    np.testing.assert_allclose(together[5:6], step.transform(values[45:46]), rtol=1e-5, atol=1e-6)
    assert json.dumps(freeze(step)[0]) == before


def test_input_is_never_changed_and_may_be_read_only():
    for name, step in STEPS.items():
        values = (X if name in ("Log2Transformer", "LogCPM") else LOGGED).copy()
        copy = values.copy()
        values.setflags(write=False)
        clone(step).fit(values, LABELS).transform(values)
        np.testing.assert_array_equal(values, copy)


def test_anndata_views_integers_and_half_floats():
    cohort = anndata.AnnData(X, obs=pd.DataFrame(index=[f"s{i}" for i in range(60)]))
    step = Log2Transformer().fit(cohort.X)
    np.testing.assert_array_equal(step.transform(cohort[10:20].X), step.transform(X[10:20]))
    assert ZScaler().fit(np.arange(12).reshape(4, 3)).transform(np.arange(12).reshape(4, 3)).dtype == np.float32
    assert ZScaler().fit(LOGGED.astype("float16")).transform(LOGGED.astype("float16")).dtype == np.float32


def test_sparse_input_is_refused():
    with pytest.raises(TypeError, match="dense"): ZScaler().fit(sparse.csr_matrix(LOGGED))


@pytest.mark.parametrize("bad, word", [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_bad_values_are_located(bad, word):
    frame = pd.DataFrame(LOGGED.copy(), columns=[f"g{i}" for i in range(40)])
    frame.iloc[11, 7] = bad
    with pytest.raises(InputError, match=f"contains {word} in row 11, column 7 \\('g7'\\)"): ZScaler().fit(frame)
    step = ZScaler().fit(LOGGED)
    with pytest.raises(InputError, match="row 11, column 7"): step.transform(frame.to_numpy())


def test_reordered_genes_are_refused():
    frame = pd.DataFrame(LOGGED, columns=[f"g{i}" for i in range(40)])
    step = ZScaler().fit(frame)
    with pytest.raises(ValueError, match="feature names"): step.transform(frame.iloc[:, ::-1])


@pytest.mark.parametrize("step", [ZScaler(clip=0), ZScaler(clip="high"), ZScaler(clip=np.nan), PCAReducer(0),
                                  PCAReducer(.5), Padder(0), Padder(None), Padder("wide"),
                                  Padder(n_features=2.5), Padder(n_features=0), GaussianNoise(-1),
                                  GaussianNoise(np.inf), GaussianNoise(seed=None), Log2Transformer("counts")])
def test_wrong_parameters_are_named(step):
    with pytest.raises(InputError): step.fit(LOGGED)


def test_padding_names_never_collide_when_padded_twice():
    twice = Pipeline([("a", Padder(7)), ("b", Padder(n_features=50))]).fit(LOGGED)
    names = list(twice.get_feature_names_out())
    assert len(names) == len(set(names)) == 50


def test_quantile_scaler_is_blind_to_monotone_change():
    step = QuantileScaler().fit(LOGGED)
    np.testing.assert_allclose(step.transform(LOGGED**3 + 7), step.transform(LOGGED), rtol=1e-5)


def test_noise_follows_the_samples_not_their_order():
    step = GaussianNoise(level=.5).fit(LOGGED)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(step.transform(LOGGED)[order], step.transform(LOGGED[order]))
    assert not np.array_equal(step.transform(LOGGED), clone(step).set_params(seed=1).fit(LOGGED).transform(LOGGED))


def test_counts_of_any_depth_are_the_same_sample():
    "The factor of case and depth cancels; a sample alone gives what it gives among others."
    rng = np.random.default_rng(0)
    profile = rng.gamma(0.8, 400, size=(30, 200))
    counts = rng.poisson(profile).astype("float32")
    step = LogCPM().fit(counts)
    for k in (0.2, 4, 20):
        deep = rng.poisson(profile * k).astype("float32")
        assert abs(np.median(step.transform(deep) - step.transform(counts))) < 0.05
        np.testing.assert_allclose(step.transform(deep)[:1], step.transform(deep[:1]), rtol=1e-6)
    assert abs(np.median(np.log2(20 * counts + 1) - np.log2(counts + 1))) > 4  # what a logarithm alone leaves
    again = round_trip(step)
    assert again.depth_ == step.depth_ and same_bits(again.transform(counts), step.transform(counts))


@pytest.mark.parametrize("base", [2.0, np.e, 10.0])
def test_logarithms_of_counts_are_undone_first(base):
    counts = np.random.default_rng(0).poisson(20, size=(10, 50)).astype("float64")
    logs = np.log(counts + 1) / np.log(base)
    step = LogCPM(base=base).fit(logs)
    np.testing.assert_allclose(step.transform(logs), LogCPM().fit(counts).transform(counts), atol=1e-9)
    np.testing.assert_allclose(step.inverse_transform(step.transform(logs))[0] * np.log(base),
                               np.log1p(counts[0] * step.depth_ / counts[0].sum()))


def test_depth_of_nothing():
    step = LogCPM().fit(np.array([[0, 0], [3, 9], [4, 8.]]))
    assert step.depth_ == 12 and (step.transform(np.zeros((1, 2))) == 0).all()
    with pytest.raises(InputError, match="no depth to learn"): LogCPM().fit(np.zeros((3, 2)))
    with pytest.raises(InputError, match="Negative values"): LogCPM().fit(np.array([[1, -3.], [2, 4]]))
    for wrong in (LogCPM(depth=0), LogCPM(base=1), LogCPM(units="tpm")):
        with pytest.raises(InputError): wrong.fit(np.ones((2, 2)))


def holed(dtype="float32", seed=3) -> np.ndarray:
    "Values of which a fifth is missing; gene 5 altogether, gene 6 but for one."
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(X.shape) < .2, np.nan, X).astype(dtype)
    values[:, 5], values[1:, 6] = np.nan, np.nan
    values[0, 6] = 4
    return values


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 59, 60])
def test_medians_are_those_of_numpy_and_scikit_learn(dtype, n):
    values = holed(dtype)[:n]
    known = ~np.isnan(values).all(axis=0)
    np.testing.assert_allclose(gene_medians(values)[known], np.nanmedian(values[:, known], axis=0), rtol=1e-6)
    assert (gene_medians(values)[~known] == 0).all()
    np.testing.assert_array_equal(gene_medians(values, values=7), gene_medians(values))
    oracle = SimpleImputer(strategy="median", keep_empty_features=True).fit(values)
    np.testing.assert_allclose(MedianImputer().fit(values).transform(values), oracle.transform(values), rtol=1e-6)


def test_imputation_learns_nothing_from_test_samples():
    values, changed = holed(), holed()
    changed[50:] = changed[50:]*100 + 3
    first, second = (MedianImputer().fit(v[:50]) for v in (values, changed))
    np.testing.assert_array_equal(first.fill_, second.fill_)
    rows = np.r_[np.arange(50), 50]
    np.testing.assert_array_equal(first.transform(values[rows])[:50], first.transform(values[:50]))


def test_a_gene_without_a_training_value_is_zero_for_every_sample_and_complete_data_stay_as_they_are():
    step = MedianImputer().fit(pd.DataFrame(holed(), columns=[f"g{i}" for i in range(40)]))
    assert not step.known_[5] and step.known_.sum() == 39 and "1 genes without any value" in step.report()
    new = pd.DataFrame(X.copy(), columns=[f"g{i}" for i in range(40)])
    assert (step.transform(new)[:, 5] == 0).all()
    np.testing.assert_array_equal(step.transform(new)[:, 6:], X[:, 6:])
    assert same_bits(MedianImputer().fit(X).transform(X), X) and MedianImputer().fit(X).n_filled_ == 0
    some = step.part(np.array([2, 5, 9]))
    np.testing.assert_array_equal(some.transform(new[["g2", "g5", "g9"]]), step.transform(new)[:, [2, 5, 9]])
    np.testing.assert_array_equal(round_trip(some).transform(new[["g2", "g5", "g9"]]),
                                  step.transform(new)[:, [2, 5, 9]])


def test_the_input_is_not_changed_and_missing_values_are_seen():
    values = holed()
    before = values.copy()
    MedianImputer().fit(values).transform(values)
    np.testing.assert_array_equal(values, before)
    assert has_missing(values) and not has_missing(X) and not has_missing(np.where(X > 9, np.inf, -np.inf))
    with pytest.raises(InputError, match="MedianImputer\\(\\) first"): ZScaler().fit(values)
    infinite = values.copy()
    infinite[40, 2] = np.inf
    with pytest.raises(InputError, match="infinity in row 40, column 2"): MedianImputer().fit(infinite)
