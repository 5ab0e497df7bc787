"The whole estimator on the other backends, each in a process of its own: fit, predict, pipeline, bundle."
import os
import subprocess
import sys
import textwrap

import pytest

from cancer_dl.core import _multiply_in_float32, keras_module

PROGRAM = textwrap.dedent("""
    import importlib.util, sys, tempfile
    class NotInstalled:  # nothing of ours needs TensorFlow where another backend is chosen
        def find_spec(name, *_):
            if name.partition(".")[0] == "tensorflow": raise ImportError(name)
    if importlib.util.find_spec("tensorflow"): sys.meta_path.insert(0, NotInstalled)  # PyTorch too looks for it
    import numpy as np
    from sklearn.pipeline import make_pipeline
    from cancer_dl.classify import evaluate_bundle, train_classifier
    from cancer_dl.core import backend_name, keras_module
    from cancer_dl.data.preprocess import ZScaler
    from cancer_dl.data.simulate import simulate_cohort
    from cancer_dl.train.bundle import load_bundle, save_bundle
    from cancer_dl.train.estimator import CancerClassifier

    assert backend_name() == sys.argv[1]
    keras_module()
    if sys.argv[1] == "jax": assert sys.modules["jax"].config.jax_default_matmul_precision == "highest"
    else: assert not sys.modules["torch"].backends.cudnn.allow_tf32
    cohort = simulate_cohort(n_samples=200, n_genes=60, n_classes=4, seed=0)
    members = dict(members=int(sys.argv[2])) if sys.argv[2:] else {}
    trained = train_classifier(cohort, epochs=25, judge="holdout", refit=False, class_weight="balanced",
                               model_params={"dropout": .2, "l2": 1e-4}, **members)
    accuracy = trained.evaluation.metrics()["accuracy"]
    assert accuracy > .75, accuracy
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_bundle(save_bundle(trained.bundle, folder + "/bundle.zip"))
    test = cohort[cohort.obs_names.isin(trained.evaluation.data.samples)]
    expected = trained.bundle.calibration.apply(trained.evaluation.probability)
    np.testing.assert_allclose(evaluate_bundle(loaded, test)[0].probability, expected, atol=1e-6)
    own = dict(member_settings={"dense": (8, 64), "learning_rate": (.001, .004)}) if members else {}
    again = dict(epochs=4, random_state=1, **members, **own)
    a, b = (CancerClassifier(**again).fit(trained.data.X, trained.data.y)
            .predict_proba(trained.data.X[:5]) for _ in range(2))
    assert (a == b).all(), "the same seed gives other numbers"
    half = CancerClassifier(precision="bfloat16", **again).fit(trained.data.X, trained.data.y)
    assert np.abs(half.predict_proba(trained.data.X[:5]) - a).max() < .1
    print("RESULT", accuracy)
""")

@pytest.mark.parametrize("members", ["2", pytest.param("", marks=pytest.mark.slow)])  # and as it is shipped
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_estimator_works_on(backend, members):
    pytest.importorskip(backend)
    run = subprocess.run([sys.executable, "-c", PROGRAM, backend, *members.split()],
                         env=dict(os.environ, KERAS_BACKEND=backend), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "RESULT" in run.stdout

def test_products_are_whole_float32_unless_asked_otherwise(monkeypatch):
    "On NVIDIA GPUs TensorFlow rounds the factors to 10 bits otherwise; on a CPU the switch is there and has no effect."
    keras_module()
    exact = pytest.importorskip("tensorflow").config.experimental
    assert not exact.tensor_float_32_execution_enabled()
    monkeypatch.setenv("CANCER_DL_TF32", "1")
    exact.enable_tensor_float_32_execution(True)
    _multiply_in_float32.__wrapped__("tensorflow")
    assert exact.tensor_float_32_execution_enabled()
    monkeypatch.delenv("CANCER_DL_TF32")
    _multiply_in_float32.__wrapped__("tensorflow")
    assert not exact.tensor_float_32_execution_enabled()

def test_an_unknown_backend_is_explained():
    code = "from cancer_dl.core import keras_module; keras_module()"
    run = subprocess.run([sys.executable, "-c", code], env=dict(os.environ, KERAS_BACKEND="tensorflw"),
                         capture_output=True, text=True)
    assert "Did you mean tensorflow" in run.stderr
