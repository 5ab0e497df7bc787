"The compiled epoch on every backend and on several devices, each in a process of its own."
import functools
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

JAX = pytest.param("jax", marks=pytest.mark.slow)  # half a minute a process; test_backends always runs one

PROGRAM = textwrap.dedent("""
    import os, sys, json
    devices, precisions = int(sys.argv[1]), sys.argv[2:]
    if devices > 1 and os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0],
                                                   [tf.config.LogicalDeviceConfiguration()] * devices)
    import numpy as np
    from cancer_dl.core import keras_module
    from cancer_dl.train.backends import device_report, epoch_order, trainer_for, precision
    keras = keras_module()
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(70, 12)).astype("float32"), rng.integers(0, 3, 70).astype("int32")
    weight = rng.random(70).astype("float32")

    def network():
        keras.utils.set_random_seed(3)
        inputs = keras.Input((12,))
        hidden = keras.layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2(.01))(inputs)
        model = keras.Model(inputs, keras.layers.Dense(3)(hidden))
        start = np.random.default_rng(5)
        model.set_weights([start.normal(size=w.shape, scale=.4) for w in model.get_weights()])
        return model

    def optimizer():
        adam = keras.optimizers.Adam(.01)
        return keras.optimizers.LossScaleOptimizer(adam) if name == "float16" else adam

    def objective(y, z, mask=None):
        ops = keras.ops
        picked = ops.take_along_axis(ops.log_softmax(z), ops.cast(y, "int32")[:, None], axis=1)[:, 0]
        return -picked, ops.equal(ops.cast(ops.argmax(z, axis=1), "int32"), ops.cast(y, "int32"))

    for name in precisions:
        with precision(name): trainer = trainer_for(network, optimizer, objective, devices=devices)
        data = trainer.load(X, y, weight)
        logs = [trainer.epoch(data, *epoch_order(70, 16, np.random.default_rng(e))) for e in range(3)]
        print("RESULT", json.dumps(dict(logs=logs, score=trainer.score(data, chunk=32), n=trainer.n_devices,
                                        backend=device_report()["backend"],
                                        state=[w.tolist() for w in trainer.get_state()])))
""")

@functools.cache
def results_of(backend, devices, precisions):
    "What a process prints for each precision; it imports a backend once for all of them."
    pytest.importorskip(backend)
    env = dict(os.environ, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3")
    if backend == "jax" and devices > 1: env["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(devices), *precisions], env=env,
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return dict(zip(precisions, map(json.loads, run.stdout.split("RESULT ")[1:])))

def train(backend, devices=1, precision="float32"):
    usual = ("float32", "bfloat16") if devices == 1 else ("float32",)
    return results_of(backend, devices, usual if precision in usual else (precision,))[precision]

def assert_same(a, b, tolerance):
    for x, y in zip(a["state"], b["state"]): np.testing.assert_allclose(x, y, atol=tolerance)
    np.testing.assert_allclose(a["logs"], b["logs"], atol=tolerance)
    np.testing.assert_allclose(a["score"], b["score"], atol=tolerance)

@pytest.fixture(scope="module")
def reference(): return train("tensorflow")

@pytest.mark.parametrize("backend", [JAX, "torch"])
def test_backends_give_the_same_weights(reference, backend):
    result = train(backend)
    assert result["backend"] == backend
    assert_same(result, reference, 2e-5)

@pytest.mark.parametrize("backend", ["tensorflow", JAX])
def test_two_devices_give_the_weights_of_one(reference, backend):
    result = train(backend, devices=2)
    assert result["n"] == 2
    assert_same(result, reference, 2e-5)

@pytest.mark.parametrize("backend", ["tensorflow", JAX, "torch"])
@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_half_precision_stays_near_full(reference, backend, precision):
    result = train(backend, precision=precision)
    assert_same(result, reference, 0.08)
    assert np.abs(np.array(result["state"][0]) - np.array(reference["state"][0])).max() > 0

def test_too_many_devices_is_explained():
    from cancer_dl.core import InputError
    from cancer_dl.train.backends import trainer_for
    with pytest.raises(InputError, match="97 devices were asked for"):
        trainer_for(None, None, None, devices=97)
