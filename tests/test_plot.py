"Figures: every one at many sizes, without a warning, with all its text inside the canvas and nothing over anything else."
import io
import itertools
import json
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.text import Text
from PIL import Image

from cancer_dl import plot
from cancer_dl.core import InputError
from cancer_dl.plot import (TCGA_ORDER, TCGA_ORGANS, alt_text, class_bars, class_markers, class_order, class_palette, class_scatter,
                            confusion_heatmap, figure_png, interval_bars, interval_curves, label_and_batch, new_axes,
                            precision_recall_dots, save_figure, short_names, theme, training_curve, value_histogram)

ROOT = Path(__file__).resolve().parent.parent
GALLERY = json.loads((ROOT/"nbs/tutorials/gallery.ipynb").read_text(encoding="utf-8"))


def gallery() -> dict:
    "The names that the gallery's cells of code define, up to its figures."
    found = {}
    for cell in GALLERY["cells"]:
        if cell["id"] in ("gallery-01", "gallery-03", "gallery-05"): exec("".join(cell["source"]), found)
    return found

G = gallery()
FIGURES, SIZES = G["FIGURES"], [(2, False), (10, False), (34, False), (2, True), (10, True), (34, True)]


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def texts(figure) -> list:
    "What is written on a figure: words and their boxes in pixels, a little smaller than drawn."
    renderer, found = figure.canvas.get_renderer(), []
    for text in figure.findobj(Text):
        shown = text.get_visible() and text.get_text().strip()
        owner = text.axes
        if not shown or (owner is not None and not owner.axison and text in [*owner.get_xticklabels(), *owner.get_yticklabels()]): continue
        box = text.get_window_extent(renderer)
        if box.width > 0 and box.height > 0: found.append((text.get_text(), box))
    return list({(words, tuple(box.extents.round(1))): (words, box) for words, box in found}.values())


def seen_ticks(figure):
    "Labels of ticks outside the limits are not drawn, though matplotlib keeps them."
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            low, high = sorted(limits)
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                inside = low - 1e-9 <= tick.get_loc() <= high + 1e-9
                if not inside: tick.label1.set_visible(False); tick.label2.set_visible(False)


def check_geometry(figure, overlap=1.5):
    figure.canvas.draw()
    seen_ticks(figure)
    canvas, words = figure.bbox, texts(figure)
    assert words, "a figure without a word"
    for name, box in words:
        assert box.x0 >= canvas.x0 - 1 and box.y0 >= canvas.y0 - 1 and box.x1 <= canvas.x1 + 1 and box.y1 <= canvas.y1 + 1, f"{name!r} leaves the canvas"
    for (a, p), (b, q) in itertools.combinations(words, 2):
        wide, high = min(p.x1, q.x1) - max(p.x0, q.x0), min(p.y1, q.y1) - max(p.y0, q.y0)
        assert wide <= overlap or high <= overlap, f"{a!r} lies over {b!r}"
    for ax in figure.axes:
        area, legend = ax.get_window_extent(), ax.get_legend()
        assert area.width > 60 or ax.get_label() == "<colorbar>", f"an axes has {area.width:.0f} pixels only"
        assert area.height > 30
        if legend:
            box = legend.get_window_extent()
            for other in figure.axes:
                space = other.get_window_extent()
                assert min(box.x1, space.x1) - max(box.x0, space.x0) <= 1 or min(box.y1, space.y1) - max(box.y0, space.y0) <= 1, "the legend covers an axes"
    width, height = figure.get_size_inches()
    assert 2 <= width <= 15 and 1 <= height <= 16, f"{width:.1f} x {height:.1f} inches"


@pytest.mark.parametrize("n, long", SIZES, ids=lambda v: str(v))
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_at_every_size(name, n, long):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = FIGURES[name](G["problem"](n, long))
        figure = np.ravel(axes)[0].figure
        check_geometry(figure)
        picture = figure_png(axes)
    assert len(picture) < 100_000
    said = alt_text(axes)
    assert said.endswith(".") and len(said) > 30 and not said.startswith("Figure:"), "no sentence for those who cannot see it"
