"""Figures: every one at many sizes, without a warning,
with all its text inside the canvas and nothing over anything else."""
import base64
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
from cancer_dl.plot import (TCGA_ORDER, TCGA_ORGANS, alt_text, class_bars, class_markers, class_order, class_palette,
                            class_scatter,
                            confusion_heatmap, figure_png, interval_bars, interval_curves, label_and_batch, new_axes,
                            precision_recall_dots, save_figure, short_names, training_curve, value_histogram)

pytestmark = pytest.mark.usefixtures("as_drawn")

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
    "What is written on a figure: words and their boxes in pixels."
    renderer, found = figure.canvas.get_renderer(), {}
    for text in figure.findobj(Text):
        if not text.get_visible() or not text.get_text().strip(): continue
        box = text.get_window_extent(renderer)
        if box.width > 0 and box.height > 0: found[text.get_text(), tuple(box.extents.round(1))] = text.get_text(), box
    return list(found.values())


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
        assert (box.x0 >= canvas.x0 - 1 and box.y0 >= canvas.y0 - 1 and box.x1 <= canvas.x1 + 1
                and box.y1 <= canvas.y1 + 1), f"{name!r} leaves the canvas"
    x0, y0, x1, y1 = np.array([box.extents for _, box in words]).T
    over = ((np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0) > overlap)
            & (np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0) > overlap))
    pairs = [(words[i][0], words[j][0]) for i, j in np.argwhere(np.triu(over, 1))]
    assert not pairs, f"text lies over text: {pairs[:3]}"
    for ax in figure.axes:
        area, legend = ax.get_window_extent(), ax.get_legend()
        assert area.width > 60 or ax.get_label() == "<colorbar>", f"an axes has {area.width:.0f} pixels only"
        assert area.height > 30
        if legend:
            box = legend.get_window_extent()
            for other in figure.axes:
                space = other.get_window_extent()
                assert min(box.x1, space.x1) - max(box.x0, space.x0) <= 1 or min(box.y1, space.y1) - max(
                    box.y0, space.y0) <= 1, "the legend covers an axes"
    width, height = figure.get_size_inches()
    assert 2 <= width <= 15 and 1 <= height <= 16, f"{width:.1f} x {height:.1f} inches"


@pytest.mark.parametrize("n, long", [pytest.param(*s, marks=() if s in ((2, False), (34, True)) else pytest.mark.slow)
                                     for s in SIZES],
                         ids=lambda v: str(v))
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_at_every_size(name, n, long):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = FIGURES[name](G["problem"](n, long))
        check_geometry(np.ravel(axes)[0].figure)
        if not long: assert len(figure_png(axes)) <= 60_000
    said = alt_text(axes)
    assert said.endswith(".") and len(said) > 30 and not said.startswith("Figure:"), (
        "no sentence for those who cannot see it")
    if name in ("confusion_heatmap", "class_dots", "class_bars", "gene_effect_heatmap"): assert f"{n} classes" in said


def test_the_check_of_geometry_finds_what_is_wrong():
    ax = new_axes(4, 2)
    ax.text(.5, .5, "one"); ax.text(.51, .5, "two")
    with pytest.raises(AssertionError, match="text lies over text"): check_geometry(ax.figure)
    ax = new_axes(4, 2)
    ax.plot([0, 1], label="line"); ax.legend()
    with pytest.raises(AssertionError, match="legend covers"): check_geometry(ax.figure)
    ax = new_axes(4, 2)
    ax.figure.text(.98, .5, "outside of the canvas")
    with pytest.raises(AssertionError, match="leaves the canvas"): check_geometry(ax.figure)


def test_the_gallery_has_every_figure():
    "A public function that takes ax or axes is a figure, but for the tools that others draw with."
    import inspect
    tools = {"new_axes", "describe", "alt_text", "legend_outside", "save_figure", "figure_png"}
    drawing = {n for n in plot.__all__
               if callable(getattr(plot, n)) and {"ax", "axes"} & set(inspect.signature(getattr(plot, n)).parameters)}
    assert drawing - tools == set(FIGURES)
    shown = "".join("".join(cell["source"]) for cell in GALLERY["cells"])
    assert all(f'sheet("{name}")' in shown for name in FIGURES)


def test_the_gallery_is_small_and_says_what_it_shows():
    assert (ROOT/"nbs/tutorials/gallery.ipynb").stat().st_size < 1_000_000
    pictures = [o for cell in GALLERY["cells"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == len(FIGURES)
    assert all(len(o["metadata"]["image/png"]["alt"]) > 30 for o in pictures)


STRANGE = ["_control", "5 $ and $6", "雪", "two\nlines", "", "tab\there", "x"*300, "A&B <b>", "100 %", r"back\slash"]

@pytest.mark.parametrize("name", FIGURES)
def test_strange_names_draw_without_a_warning(name):
    p = G["problem"](10)
    p |= dict(names=STRANGE, label=np.array(STRANGE, object)[p["y"]], batch=np.array(STRANGE, object)[p["y"] % 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = FIGURES[name](p)
        check_geometry(np.ravel(axes)[0].figure)


def test_names_stay_different():
    assert short_names(["x"*300 + "a" + "y"*300, "x"*300 + "b" + "y"*300])[1].endswith(" (2)")
    assert short_names(["雪", "月", "雪"]) == ["?", "? (2)", "?"]
    assert max(map(len, short_names(["n"*500]))) == 42


@pytest.mark.parametrize("classes", [["only"], [0, 1], np.array([3, 1, 2]), ["a", "NORMAL"]], ids=str)
def test_few_and_numbered_classes(classes):
    n = len(classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = confusion_heatmap(np.eye(n)*5, classes)
        for axes in (ax, precision_recall_dots(classes, np.full(n, .5), np.full(n, .5)),
                     class_bars(dict(zip(classes, np.full(n, 3))))):
            np.ravel(axes)[0].figure.canvas.draw()
    assert [t.get_text() for t in ax.texts] == ["5"]*n


def test_nothing_is_divided_by_zero():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = confusion_heatmap(np.zeros((3, 3)), list("abc"))
        assert "accuracy 0.00 of 0 samples" in alt_text(ax)
        confusion_heatmap([[1, np.nan], [0, 2]], ["a", "b"])
        precision_recall_dots(["a", "b"], [np.nan, 1], [0, 1]).figure.canvas.draw()
        class_bars({"a": 0, "b": 0}).figure.canvas.draw()
        class_bars({}).figure.canvas.draw()
        value_histogram([np.nan, np.inf]).figure.canvas.draw()
        value_histogram([2, 2, 2]).figure.canvas.draw()
        training_curve({"loss": [1.]})[0].figure.canvas.draw()
        training_curve({})[0].figure.canvas.draw()
        class_scatter(np.zeros((0, 2)), []).figure.canvas.draw()


def test_dots_do_not_hide_each_other():
    ax = precision_recall_dots(["a"], [.8], [.8])
    below, above = sorted(ax.collections[1:], key=lambda c: c.get_zorder())
    assert below.get_sizes()[0] > 2*above.get_sizes()[0], "the upper sign covers the lower one"
    assert below.get_offsets().tolist() == above.get_offsets().tolist()


def test_a_smaller_axes_takes_long_names():
    "Into an axes that is given, names are cut rather than the data squeezed out."
    axes = new_axes(10, 4, columns=2)
    p = G["problem"](10, long=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        confusion_heatmap(p["matrix"], p["names"], ax=axes[0])
        precision_recall_dots(p["names"], p["value"], p["value"], ax=axes[1])
        axes[0].figure.canvas.draw()
    assert min(ax.get_window_extent().width for ax in axes) > 120


def test_classes_keep_their_colour():
    many = class_palette([*TCGA_ORDER, "NORMAL"])
    assert len(set(many.values())) == 34 and many["NORMAL"] == plot.GREY
    assert class_palette(["LUSC", "BRCA"]) == {name: many[name] for name in ("LUSC", "BRCA")}
    names = ["plate 10", "plate 2", "plate 1"]
    assert class_palette(names) == class_palette(names[::-1])
    assert class_palette(["plate 2"], among=names)["plate 2"] == class_palette(names)["plate 2"]
    looks = set(zip(class_palette([f"c{i}" for i in range(34)]).values(),
                    class_markers([f"c{i}" for i in range(34)]).values()))
    assert len(looks) == 34
    assert len(class_palette([f"c{i}" for i in range(80)])) == 80
    assert class_palette(["normal", "tumour"])["normal"] == plot.GREY


def test_organ_systems_stay_together():
    names = sorted(TCGA_ORDER)
    organ = {kind: organ for organ, kinds in TCGA_ORGANS.items() for kind in kinds}
    ordered = [organ[names[i]] for i in class_order(names)]
    assert len(set(ordered)) == 1 + sum(a != b for a, b in itertools.pairwise(ordered)) == 11
    from cancer_dl.data.simulate import TCGA_TYPES
    tissues = [TCGA_TYPES.tissue[names[i]] for i in class_order(names)]
    assert len(set(tissues)) - 1 == sum(a != b for a, b in itertools.pairwise(tissues)), "a tissue is torn apart"


def test_similar_classes_become_neighbours():
    rng, n = np.random.default_rng(3), 12
    hidden = rng.permutation(n)
    matrix = np.eye(n)*100
    for a, b in zip(hidden, hidden[1:]): matrix[a, b] = matrix[b, a] = 20  # a chain
    order = class_order([f"class {chr(97 + i)}" for i in range(n)], matrix)
    place = np.argsort(order)
    assert np.mean([abs(place[a] - place[b]) for a, b in zip(hidden, hidden[1:])]) < 1.6
    assert sorted(order) == list(range(n))


def test_the_theme_leaves_no_trace():
    before = dict(matplotlib.rcParams)
    confusion_heatmap(np.eye(2), ["a", "b"])
    training_curve({"loss": [2, 1]})
    with pytest.raises(InputError): interval_bars(["a"], [.5], [.6], [.7])
    assert dict(matplotlib.rcParams) == before


def test_a_figure_looks_the_same_in_any_settings():
    def drawn(): return figure_png(confusion_heatmap([[3, 1], [0, 4]], ["a", "b"]))
    plain = drawn()
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "axes.facecolor": "black", "lines.linewidth": 9}):
        assert drawn() == plain


def test_saved_figures(tmp_path):
    ax = confusion_heatmap([[3, 1], [0, 4]], ["a", "b"])
    small, large = (Image.open(save_figure(ax, tmp_path/f"{dpi}.png", dpi=dpi)) for dpi in (80, 160))
    assert large.info["Description"] == alt_text(ax) and "a taken for b: 1 of 4" in alt_text(ax)
    assert abs(large.width/small.width - 2) < .15 and large.mode == "P"
    for ending in ("svg", "pdf"):
        assert save_figure(ax, tmp_path/f"f.{ending}").stat().st_size > 1000
    (tmp_path/"file").write_text("in the way")
    with pytest.raises(InputError): save_figure(ax, tmp_path/"file"/"f.png")


def test_a_figure_of_anybodys_making_is_saved_whole(tmp_path):
    figure, ax = plt.subplots(figsize=(2, 2))
    figure.text(1.2, .5, "outside")
    assert Image.open(io.BytesIO(figure_png(figure))).width > 400
    assert alt_text(figure) == "A figure."


def test_colours_of_areas_survive_the_palette():
    "White stays white and each of 34 classes keeps its own colour in the legend."
    p = G["problem"](34)
    image = Image.open(io.BytesIO(figure_png(class_scatter(p["points"], p["label"])))).convert("RGB")
    drawn = {"#%02x%02x%02x" % colour for _, colour in image.getcolors(image.width*image.height)}
    assert "#ffffff" == "#%02x%02x%02x" % image.getpixel((0, 0))
    wanted = set(class_palette(p["names"]).values())
    far = [c for c in wanted
           if min(sum(abs(int(c[i:i+2], 16) - int(d[i:i+2], 16)) for i in (1, 3, 5)) for d in drawn) > 12]
    assert not far, f"colours that were lost: {far}"


def test_committed_figures_of_the_chapter_are_small_and_have_their_sentence():
    cells = json.loads((ROOT/"nbs/01_plot.ipynb").read_text(encoding="utf-8"))["cells"]
    pictures = [o for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) > 12
    for o in pictures:
        image, said = base64.b64decode(o["data"]["image/png"]), o["metadata"]["image/png"]
        assert len(image) <= 60_000 and said["alt"] and Image.open(io.BytesIO(image)).width >= 1.4*said["width"]


def test_many_points_stay_a_small_file():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 33, 9000)
    ax = class_scatter(rng.normal(0, 3, (33, 2))[y] + rng.normal(0, 1, (9000, 2)), np.array(TCGA_ORDER)[y])
    assert len(figure_png(ax)) < 130_000


def test_curves_without_intervals():
    ax = interval_curves({"a": ([1, 2], [.5, .6], None, None)}, ylim=(0, 1))
    assert not ax.collections and ax.get_ylim() == (0, 1)


def test_label_and_batch_stand_side_by_side_or_not():
    points = np.random.default_rng(0).normal(size=(40, 2))
    wide = label_and_batch(points, ["a", "b"]*20, ["x"]*40)[0].figure.get_size_inches()
    tall = label_and_batch(points, ["a"*40, "b"*40]*20, ["x"*40]*40)[0].figure.get_size_inches()
    assert wide[0] > 2*wide[1] and tall[1] > 5


def test_drawing_is_imported_late():
    code = ("import sys, cancer_dl.plot; "
            "print([m for m in ('matplotlib', 'seaborn', 'pandas', 'scipy', 'sklearn', 'PIL') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=True).stdout.strip() == "[]"


def test_a_notebook_gets_the_sentence_and_twice_the_density(monkeypatch):
    monkeypatch.setattr(plot, "_pictures_of_notebook", lambda: None)  # of a recipe that ran in this process
    ax = class_bars({"a": 3, "b": 5})
    shown, beside = ax.figure._repr_mimebundle_()
    picture = Image.open(io.BytesIO(base64.b64decode(shown["image/png"])))
    assert beside["image/png"]["alt"] == alt_text(ax) == shown["text/plain"]
    assert abs(picture.width/beside["image/png"]["width"] - 2) < .02
