"""How networks, folds and figures are made quicker where there are many, in `make test`.

`make test-all` has them as they are shipped."""
import functools
import gc
import sys

from cancer_dl.plot import _figure_of

FEW_DOTS = 24  # an inch: everything is drawn, and hardly anything is painted
FEW_REPEATS = 2, 2  # times that the folds of small cohorts are drawn, in place of `assess.REPEATS`


def collect_rarely():
    "What the imports made stays, and Python looks for circles of garbage less often: a twentieth of the time."
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)

def as_traced():
    "TensorFlow runs graphs as they were traced: to optimise one takes longer than to train a small network."
    if "tensorflow" not in sys.modules: return
    import tensorflow as tf
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

def of_one_member(suited):
    "`suited_settings`, but dense networks hold one member of each kind, and are compiled in a quarter of the time."
    return lambda name, *size: {k: name.count("+") + 1 if k == "members" else v for k, v in suited(name, *size).items()}

def with_few_dots(figure_png):
    "`plot.figure_png`, but coarse, and nothing is moved to make room for words, which takes half of the time."
    @functools.wraps(figure_png)
    def coarse(fig_or_ax, dpi=160, limit=60_000):
        figure = _figure_of(fig_or_ax)
        layout = figure.get_layout_engine()
        if layout is not None: figure.set_layout_engine("none")
        try: return figure_png(figure, min(dpi, FEW_DOTS), limit)
        finally:
            if layout is not None: figure.set_layout_engine(layout)
    return coarse
