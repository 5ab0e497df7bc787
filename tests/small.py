"How networks are made quicker where many are trained, in `make test`; `make test-all` has them as they are shipped."
import sys


def as_traced():
    "TensorFlow runs graphs as they were traced: to optimise one takes longer than to train a small network."
    if "tensorflow" not in sys.modules: return
    import tensorflow as tf
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

def of_one_member(suited):
    "`suited_settings`, but dense networks hold one member of each kind, and are compiled in a quarter of the time."
    return lambda name, *size: {k: name.count("+") + 1 if k == "members" else v for k, v in suited(name, *size).items()}
