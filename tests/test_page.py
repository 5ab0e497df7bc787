"Pages: the answer first, text escaped, nothing from the network, every image described, tags that nest, no warnings."
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
matplotlib.use("Agg")
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cancer_dl import explain, explain_page
from cancer_dl.classify import Evaluation, prediction_table
from cancer_dl.data.labels import Labelled
from cancer_dl.data.checkup import describe_cohort
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.interpret.expression import differential_expression
from cancer_dl.interpret.markers import marker_table
from cancer_dl.interpret.sanity import Sanity
from cancer_dl.page import Number, document, figure, first_screen, fold, section, shown, table
from cancer_dl.pages import drop_warnings, notebook_page
from cancer_dl.plot import class_bars
from cancer_dl.report import (Story, checkup_report, evaluation_report, prediction_report, training_report,
                              training_screen)
from cancer_dl.runs import run_recipe
from cancer_dl.sweep import summary_page
from cancer_dl.train.verdict import largest_class
from cancer_dl.train.fit import History

pytestmark = pytest.mark.usefixtures("as_drawn")

ROOT = Path(__file__).resolve().parent.parent
EVIL = '<script>alert("x")</script> & </main>'
EMPTY = {"meta", "img", "br", "input", "link", "hr", "use", "path", "rect", "circle", "stop"}
ONLY_TEXT = {"h1", "h2", "h3", "p", "title", "summary", "dt"}  # may hold no block

class Checked(HTMLParser):
    "Nesting, images, addresses and ids of a page."
    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.images, self.addresses, self.ids, self.scripts = [], [], [], [], [], 0

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "img": self.images.append(given)
        if tag == "svg" and given.get("role") == "img": self.images.append({"alt": given.get("aria-label")})
        self.scripts += tag == "script"
        self.addresses += [given[name] for name in ("src", "href", "srcset", "xlink:href") if name in given]
        if given.get("id"): self.ids.append(given["id"])
        if tag in ("div", "p", "table", "figure", "section", "ul", "dl") and self.open and self.open[-1] in ONLY_TEXT:
            self.wrong.append((self.open[-1], tag))
        if tag not in EMPTY: self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in EMPTY: self.open.pop()

    def handle_endtag(self, tag):
        if tag in EMPTY: return
        if not self.open or self.open[-1] != tag: self.wrong.append(tag)
        else: self.open.pop()

def check(page: str, limit: float = 1.5e6) -> Checked:
    "What is true of every page of the package."
    found = Checked()
    found.feed(page)
    assert page.startswith("<!DOCTYPE html>") and '<html lang="en">' in page and "<title>" in page
    assert (found.open, found.wrong) == ([], [])
    assert all((image.get("alt") or "").strip() for image in found.images)
    assert (not [a for a in found.addresses if re.match(r"(https?:)?//", a)]
            and not re.search(r"url\((?!#)|@import", page))
    assert found.scripts == 0 and len(found.ids) == len(set(found.ids))
    assert "prefers-color-scheme: dark" in page and "@media print" in page
    assert len(page) < limit and "UserWarning" not in page
    return found

def in_order(page: str, *parts):
    places = [page.index(part) for part in parts]
    assert places == sorted(places), list(zip(parts, places))

def result_of(n_classes: int, n: int = 400, name=lambda k: f"class {k}", right: float = .8,
              seed: int = 0) -> Evaluation:
    "An evaluation of random samples, most of them right."
    rng = np.random.default_rng(seed)
    classes = np.array(sorted(map(name, range(n_classes))))
    true = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)])
    called = np.where(rng.random(n) < right, true, rng.integers(n_classes, size=n))
    ids = np.array([f"s{i}" for i in range(n)])
    data = Labelled(np.zeros((n, 2), np.float32), classes[true], ids, ids, np.array(["A", "B"]), "log2(TPM+1)",
                    "type", False)
    return Evaluation(data, classes, np.eye(n_classes)[called] * .8 + .2 / n_classes)

HISTORY = History({"loss": [1., .5, .4], "accuracy": [.5, .7, .8], "val_loss": [1., .6, .5],
                   "val_accuracy": [.5, .6, .7]}, [1., 1., 1.], 2, True)
LEARNERS = pd.DataFrame({"learner": ["network", EVIL], "accuracy": [.8, .79],
                         "accuracy_interval": [[.7, .9], [.7, .88]], "n": [60, 60]})

# -- the pieces

def test_text_is_escaped_wherever_it_goes():
    screen = first_screen(EVIL, [(EVIL, EVIL, None, EVIL)], [EVIL], [(EVIL, {EVIL: [EVIL, EVIL]})])
    parts = [section(EVIL, EVIL, [EVIL], pd.DataFrame({EVIL: [EVIL]})), fold(EVIL, EVIL + "\n"),
             table([{EVIL: EVIL}], EVIL, strong=EVIL)]
    page = document(EVIL, screen, *parts, figure(class_bars({"a": 1}), EVIL, alt=EVIL), sub=EVIL)
    check(page)
    assert "alert" in page and "<script" not in page and page.count("</main>") == 1

@pytest.mark.parametrize("value, text", [(None, ""), (float("nan"), ""), (pd.NA, ""), (np.float32(.5), "0.500"),
                                         (np.int64(12345), "12,345"), (np.bool_(False), "no"),
                                         (0.0, "0.000"), (2e-7, "2.0e-07"), (123456.7, "123,457"), (float("inf"), "∞"),
                                         ("x", "x")])
def test_values_are_shown_as_people_read_them(value, text): assert shown(value) == text

def test_a_column_of_counts_with_gaps_stays_whole():
    assert ('<td class="n">12</td>' in table(pd.DataFrame({"n": [12, np.nan]}))
            and '<td class="n">1.000</td>' in table({"share": [1.0, 0.0]}))

def test_names_of_rows_are_shown_and_mere_numbers_of_rows_are_not():
    frame = pd.DataFrame({"n": [3, 5, 8]}, index=["train", "validation", "test"])
    assert "validation" in table(frame) and table(frame.reset_index(drop=True).iloc[[2, 0]]).count("<td") == 2

def test_figures_have_twice_the_dots_and_a_width():
    drawn = figure(class_bars({"a": 1}), alt="bars")
    import base64
    png = base64.b64decode(re.search(r"base64,([^\"]+)", drawn)[1])
    assert abs(int.from_bytes(png[16:20], "big") - 2 * int(re.search(r' width="(\d+)"', drawn)[1])) <= 1
    assert figure(png, alt="again").count(f'width="{round(int.from_bytes(png[16:20], "big") / 2)}"') == 1

def test_control_characters_do_not_reach_a_page():
    page = document("a\x00b\ud800", first_screen("x\x1b[31m"))
    assert "\x00" not in page and "\x1b" not in page and page.encode("utf-8")

def test_a_first_screen_brings_its_style_into_a_notebook():
    shown_there = first_screen("Yes.", [Number("Accuracy", .9)])._repr_html_()
    assert (shown_there.startswith("<style>") and ".cdl .verdict" in shown_there
            and not re.search(r"^body|:root", shown_there.split("</style>")[0], re.M))

# -- reports

def test_the_training_page_gives_the_answer_first():
    story = Story("ER <in> expO", {"samples": 246, "genes": 657}, ["107 samples without a label were left out."],
                  {"positive": 161, EVIL: 85}, "5 x 5-fold.",
                  {"epochs": 50}, "cancer_dl train cohort --label er --out model", {"MODEL_CARD.md": "for people"})
    page = training_report(story, result_of(3, name=lambda k: f"{k} {EVIL}"), "The two cannot be told apart.", LEARNERS,
                           HISTORY, ["Label and source go together."], "network")
    check(page)
    in_order(page, "ER &lt;in&gt; expO", "cannot be told apart", "Balanced accuracy", "Label and source go together",
             "107 samples", "Who is taken for whom",
             "What was read", "Always guessing the largest, positive, is right for 65.4% of all 246 samples",
             "5 x 5-fold",
             "Class by class", "3 epochs", "cancer_dl train cohort --label er", "MODEL_CARD.md")
    in_order(page, "Balanced accuracy", "Beside other learners", "Who is taken for whom")

@pytest.mark.parametrize("n_classes", [2, 10, pytest.param(34, marks=pytest.mark.slow)])
def test_training_pages_stay_small(n_classes):
    page = training_report(Story("t"),
                           result_of(n_classes, 1500, name=lambda k: f"a class with a name of forty letters {k:03}"),
                           "v", LEARNERS, HISTORY)
    assert len(check(page, 1.0e6).images) == 4

def test_small_classes_and_cut_training_are_named():
    result = result_of(3, 200)
    result.data.y[result.data.y == "class 2"] = "class 1"
    result.data.y[:4] = "class 2"
    screen = training_screen(result, "v", warnings=["Training ended at its last epoch, 20."])
    assert any("class 2 (4)" in w for w in screen.warnings) and any("last epoch, 20" in w for w in screen.warnings)

def test_metrics_of_two_classes_are_cards_of_their_own():
    metrics = dict(accuracy=.8, accuracy_interval=[.7, .9], auroc=.93, auroc_interval=[.9, .96], n=60)
    names = [n.name for n in training_screen(result_of(2), "v", metrics=metrics).numbers]
    assert names == ["Accuracy", "AUROC"]

def test_one_rule_names_the_largest_of_classes_that_are_as_large():
    result = result_of(3)
    sizes = pd.DataFrame(result.class_table()).set_index("class")["n"]
    assert largest_class({"NB": 6, "EWS": 6, "BL": 3}) == ("EWS", 6)
    page = training_report(Story("t", labels={k: 5 for k in reversed(list(sizes.index))}), result, "v")
    named = [k for k in sizes.index if sizes[k] == sizes.max()]
    assert f"guessing “{min(named)}”" in page and f"the largest, {min(sizes.index)}," in page

def test_the_pages_of_evaluation_prediction_and_checkup():
    page = evaluation_report(Story("model on cohort"), result_of(4), genes={"text": "657 of 657 genes were found."},
                             warnings=["12 samples were trained on."])
    check(page)
    in_order(page, "Right for", "12 samples were trained on", "657 of 657")
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    predictions = prediction_table([f"s{i}" for i in range(50)], probability, ["a", "b", EVIL], min_score=.6)
    page = prediction_report(Story("p"), predictions, warnings=["A shift of 3 standard deviations."])
    check(page)
    unsure = (predictions["prediction"] == "uncertain").sum()
    assert f"{unsure} answers are uncertain" in page
    cohort = simulate_cohort(n_samples=60, n_genes=30, n_classes=3, seed=0)
    cohort.obs["batch"] = np.where(np.arange(60) < 30, "one", EVIL)
    page = checkup_report(Story("Check-up"), describe_cohort(cohort), "Ready to train.",
                          ["batch and label go together"], cohort, ["cancer_type", "batch"])
    check(page)
    in_order(page, "Ready to train.", "batch and label go together", "principal components",
             "Columns that could be labels")

def test_predictions_that_are_all_uncertain_have_a_page():
    predictions = prediction_table(["a", "b"], np.array([[.5, .5], [.5, .5]]), ["x", "y"], min_score=.9)
    page = prediction_report(Story("p"), predictions)
    check(page)
    assert "0 classes are named, 2 answers are uncertain" in page

# -- explanations

def explained(n_classes=3, passed=True, jaccard=.6, sanity=True):
    rng = np.random.default_rng(0)
    genes, classes = np.array([f"G{i}" for i in range(40)]), np.array([f"c{k}" for k in range(n_classes)])
    y = np.repeat(np.arange(n_classes), 20)
    X = rng.normal(5, 1, (len(y), 40)).astype(np.float32)
    for k in range(n_classes): X[y == k, 3*k:3*k + 3] += 4
    effect = np.full((n_classes, 40), .1, np.float32)
    for k in range(n_classes): effect[k, 3*k:3*k + 4] = [1, .9, .8, .7]
    if n_classes == 2: effect[:] = effect.max(axis=0)
    frequency = np.where(np.arange(40) % 3 == 0, 0., 1.)[None].repeat(n_classes, 0)
    steady = dict(jaccard=np.full(n_classes, jaccard), jaccard_top=np.full(n_classes, .7),
                  rank_correlation=np.full(n_classes, .5), frequency=frequency, n_runs=3)
    de = differential_expression(X, y, n_classes)
    data = Labelled(X, classes[y], np.arange(len(y)).astype(str), np.arange(len(y)).astype(str), genes,
                    "log2(TPM+1)", "t", False)
    checks = {name: dict(passed=passed or name != "labels", value=1., limit=.5, text="…")
              for name in ("prediction", "labels", "gene_order")}
    return explain.Explanation(classes, genes, effect,
                               pd.DataFrame(marker_table(effect, genes, classes, stability=steady, de=de)), de,
                               "expected", .5, data,
                               Sanity(checks, {}, [], dict(method="expected")) if sanity else None, steady)

@pytest.mark.parametrize("options, light, word", [
    (dict(), "green", "share 60%"), (dict(jaccard=.3), "amber", "only 30%"), (dict(passed=False), "red", "REJECTED"),
    (dict(sanity=False), "grey", "not made")])
def test_the_light_has_a_reason_and_red_a_remedy(options, light, word):
    out = explained(**options)
    assert explain.traffic_light(out)[0] == light
    page = explain_page.report_page(out, {})
    check(page)
    assert f'<span class="light">{light}</span>' in page and word in page
    in_order(page, word, "Before you rely on it", "<section><h2>Markers")
    assert ("--components" in page) == (light in ("red", "amber"))

@pytest.mark.slow
def test_the_remedy_on_red_works():
    "The markers of a network that has hardly been trained are rejected; those of one on components are not."
    from cancer_dl.classify import train_classifier
    cohort = simulate_cohort(n_samples=90, n_genes=1000, n_classes=4, seed=0, difficulty=2)
    lights, pages = [], []
    for options in (dict(model="mlp", epochs=2, learning_rate=1e-5), dict(components=11, epochs=50)):
        out = explain.explain_bundle(train_classifier(cohort, seed=0, judge="holdout", **options).bundle,
                                     cohort, n_runs=2, seed=0)
        lights.append(explain.traffic_light(out)[0])
        pages.append(explain_page.report_page(out, {}))
    assert lights == ["red", "green"] and "--components 10" in pages[0] and "What to try" not in pages[1]

def test_markers_stand_beside_their_ranks_elsewhere_and_unsteady_ones_are_folded():
    page = explain_page.report_page(explained(), {})
    ranks = explain.other_ranks(explained())
    assert (sorted(ranks["rank by t-test"][0][:3]) == [1, 2, 3]
            and sorted(ranks["rank by logistic regression"][1][3:6]) == [1, 2, 3])
    in_order(page, "rank by t-test", ">G1<", "more that no retrained network found again", ">G0<")

def test_two_classes_have_one_table_with_a_direction():
    page = explain_page.report_page(explained(2), {})
    check(page)
    assert "higher in" in page and page.count(">G1<") == 1
    higher = {gene: re.search(rf"<td[^>]*>{gene}</td><td[^>]*>(\w+)</td>", page)[1]
              for gene in ("G1", "G2", "G4", "G5")}
    assert higher == {"G1": "c0", "G2": "c0", "G4": "c1", "G5": "c1"}

# -- notebooks

WARNED = [
    ("/a/b.py:3: UserWarning: Tight layout not applied.\n  plt.tight_layout()\n", ""),
    ("/a/b.py:3: UserWarning: two\nlines of it\n  call()\nkept\n", "kept"),
    ("<ipython-input-1>:1: FutureWarning: x\n", ""),
    ("sys:1: DtypeWarning: Columns (1) have mixed types.\n", ""),
    ("WARNING:matplotlib.font_manager:findfont: Font family 'X' not found.\n", ""),
    ("findfont: Font family ['X'] not found. Falling back to DejaVu Sans.\n", ""),
    ("[IPKernelApp] WARNING | Kernel is running over TCP\n", ""),
    ("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
     "I0000 00:00:1.2 1 a.cc:1] GPU\n", ""), ("2026-01-01 10:00:00.123456: W tensorflow/core/x.cc:1] slow\n", ""),
    ("\r 10%|#  | 1/10 [00:01<00:09]\r100%|###| 10/10 [00:10<00:00]\n", ""),
    ("a:1: UserWarning: x\nTraceback (most recent call last):\n  File \"a\"\nValueError: bad\n",
     "Traceback (most recent call last):\n  File \"a\"\nValueError: bad"),
    ("ERROR:root:no memory\n", "ERROR:root:no memory"),
    ("2026-01-01 10:00:00.1: E external/x.cc:2] failed\n", "2026-01-01 10:00:00.1: E external/x.cc:2] failed"),
    ("The warning light of the sequencer was on.\n", "The warning light of the sequencer was on."),
]

@pytest.mark.parametrize("text, kept", WARNED)
def test_warnings_are_dropped_and_errors_are_not(text, kept): assert drop_warnings(text) == kept

def toy(*cells): return new_notebook(cells=[new_markdown_cell("# A job\n\n> What it does."), *cells])

def test_a_tagged_cell_comes_first_and_code_is_folded():
    answer = first_screen("It works.", [("Accuracy", .9, (.8, .95))])
    page = notebook_page(
        toy(new_markdown_cell("## The story"),
            new_code_cell("x = 1 < 2", outputs=[new_output("stream", name="stdout", text="<b>one</b>\n")]),
            new_markdown_cell("## Left out of the page", metadata={"tags": ["summary"]}),
            new_code_cell("answer", metadata={"tags": ["summary"]}, outputs=[new_output(
                "execute_result", data={"text/html": answer._repr_html_(), "text/plain": "It works."})])))
    found = check(page)
    in_order(page, "<h1>A job", "What it does", "It works.", "Show the code", "The story", "&lt;b&gt;one&lt;/b&gt;")
    assert page.count("It works.") == 1 and "Left out of the page" not in page and page.count("<style>") == 1
    assert ('id="show-code"' in page and '<label for="show-code">' in page
            and page.index('class="code"') > page.index("The story") and found.ids == ["show-code"])

def test_every_kind_of_output_is_shown_and_described():
    import base64
    png = base64.b64encode(base64.b64decode(re.search(r"base64,([^\"]+)",
                                                      figure(class_bars({"a": 1}), alt="x"))[1])).decode()
    frame = pd.DataFrame({"gene": ["A<B"], "p": [.5]})
    data = [{"image/png": png, "text/plain": "<Figure>"}, {"text/html": frame._repr_html_()},
            {"text/html": frame.style.background_gradient()._repr_html_()}, {"text/markdown": "**bold**"},
            {"text/plain": "a < b"}, {"text/html": '<img src="data:,"><script>x()</script>'},
            {"image/svg+xml": '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><g></g></svg>'},
            {"application/javascript": "alert(1)"}]
    cells = [new_code_cell("class_bars(x)", outputs=[new_output("display_data", data=d)]) for d in data]
    said = new_output("display_data", data={"image/png": png},
                      metadata={"image/png": {"alt": "My own words", "width": 240}})
    page = notebook_page(toy(new_markdown_cell("## Genes"), *cells, new_code_cell("y", outputs=[said])))
    found = check(page.replace('xmlns="http://www.w3.org/2000/svg"', ""))
    assert [i["alt"] for i in found.images] == ["class bars in the part “Genes”", "figure",
                                                "class bars in the part “Genes”", "My own words"]
    assert (found.images[-1]["width"] == "240" and "#T_" in page.split("</style>")[0]
            and page.count('class="scroll"') == 2)
    assert ("<strong>bold</strong>" in page and "a &lt; b" in page and "alert(1)" not in page
            and 'border="1"' not in page)

def test_errors_stay_on_the_page():
    error = new_output("error", ename="KeyError", evalue="'x'", traceback=["\x1b[31mKeyError\x1b[0m: '<x>'"])
    page = notebook_page(toy(new_code_cell("f()", outputs=[
        new_output("stream", name="stderr", text="a:1: UserWarning: b\n  c\nCould not read <file>\n"), error])))
    check(page)
    assert "KeyError: &#39;&lt;x&gt;&#39;" in page or "KeyError: '&lt;x&gt;'" in page
    assert "Could not read &lt;file&gt;" in page

def test_a_notebook_without_title_or_code_has_a_page():
    check(notebook_page(new_notebook(cells=[new_markdown_cell("Only text.")])))
    check(notebook_page(new_notebook()))

def test_formulas_need_no_network():
    page = notebook_page(toy(new_markdown_cell("For $k$ classes, $$\\frac{a}{b}$$ and `$HOME`; it costs $5 or $6.")))
    assert "mathjax" not in page.lower() and "<code>$HOME</code>" in page and "$5 or $6" in page and "$k$" not in page

def test_a_recipe_that_warns_has_a_page_without_warnings(tmp_path):
    work = """
    import json, logging, pathlib, sys, warnings
    import matplotlib.pyplot as plt
    """, """
    warnings.warn("an argument will be renamed")
    logging.getLogger("some.library").warning("nothing to worry about")
    print("The sheet has 3 columns.", file=sys.stderr)
    plt.rcParams["font.family"] = "No Such Font"
    fig, ax = plt.subplots(figsize=(3, 2)); ax.plot([0, 1]); ax.legend();
    """, 'pathlib.Path(out, "results.json").write_text("{}")'
    import textwrap
    cells = [new_code_cell('out = "runs/noisy"', metadata={"tags": ["parameters"]}),
             *(new_code_cell(textwrap.dedent(c).strip()) for c in work)]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Noisy"), *cells]), tmp_path/"noisy.ipynb")
    run_recipe(tmp_path/"noisy.ipynb", {}, tmp_path/"o", verbose=False)
    notebook, page = (tmp_path/"o"/"noisy.ipynb").read_text(), (tmp_path/"o"/"noisy.html").read_text()
    noise = ["will be renamed", "nothing to worry about", "findfont", "No artists"]
    story = re.sub(r'<div class="code".*?</pre></div>', "", page, flags=re.S)  # the code itself may speak of warnings
    assert all(word in notebook for word in noise[:3]), "the test must make the noise that it looks for"
    assert (not [word for word in noise if word in story] and "Warning" not in story
            and "The sheet has 3 columns." in story)
    image = check(page).images[0]
    png = re.search(r'base64,([^"]+)', image["src"])[1]
    import base64
    assert abs(int.from_bytes(base64.b64decode(png)[16:20], "big") / float(image["width"]) - 2) < .02

# -- sweeps, the package

def test_the_summary_of_a_sweep_is_such_a_page():
    frame = pd.DataFrame({"run": ["a=1", EVIL, "a=3"], "status": ["finished", "finished", "failed"],
                          "seconds": [1., 2., None], "error": [None, None, f"KeyError {EVIL}"],
                          "recipe_version": "x", "param.a": [1, 2, 3], "accuracy": [.5, .9, None]})
    page = summary_page(frame, "toy", "accuracy", ["param.a"])
    check(page)
    in_order(page, "2 of 3 runs finished", "largest with a = 2", "<svg", "Before you rely on it", "<section><h2>Runs")
    assert 'class="failed"' in page and "toy.failed.ipynb" in page
    assert "0 of 1 runs finished" in summary_page(frame.iloc[2:], "toy", None, [])

def test_templates_travel_in_the_wheel(tmp_path):
    done = subprocess.run([sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ({"conf.json", "index.html.j2", "page.css", "screen.css"}
            <= {p.name for p in (tmp_path/"cancer_dl"/"templates"/"page").iterdir()})
    assert json.loads((tmp_path/"cancer_dl"/"templates"/"page"/"conf.json").read_text())["base_template"] == "base"
