"The documentation site: what is shown of a notebook, formulas without a network, warnings as errors."
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1]/"scripts"/"build_docs.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists() or not all(map(importlib.util.find_spec,
                                                                   ("myst_nb", "sphinx_book_theme", "latex2mathml"))),
                                reason="the documentation tools are not installed")


@pytest.fixture
def docs(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.delitem(sys.modules, "build_docs", raising=False)
    import build_docs
    return build_docs


def code(source, **kwargs):
    return {"cell_type": "code", "id": "a", "metadata": {}, "source": source, "outputs": [],
            "execution_count": 1, **kwargs}
def text(source): return {"cell_type": "markdown", "id": "b", "metadata": {}, "source": source}


FUNCTION = '''#| export
def scale(X,  # shape (n_samples, n_genes)
          by: float = 2.0,  # factor, `> 0`
          *, seed=None,
          ) -> "np.ndarray":  # the same *shape*
    "Scale X_i."
    secret = 3  # inside
    return X*by
def _hidden(): pass
'''


def test_what_is_shown_of_a_cell(docs):
    assert docs.convert_cell(code("#| hide\nx = 1"), "m") is None
    assert docs.convert_cell(code("#| export\nimport numpy as np"), "m") is None
    assert docs.convert_cell(code("#| default_exp core"), "m") is None
    assert docs.convert_cell(code("#| exports\nx = 1"), "m")["source"] == "x = 1"
    assert docs.convert_cell(code("#| slow\nx = 1", outputs=["o"]), "m")["outputs"] == ["o"]
    shown = docs.convert_cell(code(FUNCTION), "m")
    assert shown["cell_type"] == "markdown" and "secret" not in shown["source"] and "_hidden" not in shown["source"]
    assert "scale(X, by: float=2.0, *, seed=None)" in shown["source"]
    assert (":param X: shape (n\\_samples, n\\_genes)" in shown["source"]
            and ":param by: factor, `> 0`" in shown["source"])
    assert ":returns: the same \\*shape\\*" in shown["source"] and ":param seed" not in shown["source"]


def make_repository(folder, prose):
    (folder/"nbs").mkdir(parents=True)
    (folder/"cancer_dl").mkdir()
    (folder/"settings.ini").write_text("[DEFAULT]\nlib_name = toy\ntitle = toy\ndescription = A toy\nauthor = us\n"
                                       "copyright = us\nversion = 1\ngit_url = https://github.com/us/toy\n")
    (folder/"README.md").write_text("# Toy\n\nSee [the chapter](nbs/00_core.ipynb) and [the licence](LICENSE), "
                                    "[how to help](CONTRIBUTING.md#the-round), [figures](bench/speed.md).\n")
    (folder/"CONTRIBUTING.md").write_text("# Contributing\n\n## The round\n\nSee [the chapter](nbs/00_core.ipynb).\n")
    (folder/"bench").mkdir()
    (folder/"bench"/"speed.md").write_text("See [Contributing](../CONTRIBUTING.md).\n")
    (folder/"cancer_dl"/"core.py").write_text('"""A toy."""\n' + FUNCTION.replace("#| export\n", ""))
    cells = [text(f"# Core\n\n> One line.\n\n{prose}"), code("#| default_exp core"),
             code(FUNCTION), code("#| hide\nnever_shown = 1"),
             code("1 + 1", outputs=[{"output_type": "execute_result", "execution_count": 1, "metadata": {},
                                     "data": {"text/plain": "2"}}])]
    for i, cell in enumerate(cells): cell["id"] = f"c{i}"
    (folder/"nbs"/"00_core.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4,
                                                          "nbformat_minor": 5}))


def build(folder):
    "Sphinx wants a process of its own."
    code = (f"import sys, pathlib; sys.path.insert(0, {str(SCRIPT.parent)!r}); import build_docs as b; "
            f"b.ROOT = pathlib.Path({str(folder/'repo')!r}); sys.exit(b.build(pathlib.Path({str(folder/'site')!r})))")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_a_site_is_built(tmp_path):
    make_repository(tmp_path/"repo", r"The mean $\bar x_i$ and $$\sum_i x_i^2$$")
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path/"site"/"00_core.html").read_text()
    assert "00 · Core" in page and "<math" in page and "never_shown" not in page and "scale" in page
    for script in ("mathjax", "cdn.jsdelivr", "cdnjs"): assert script not in page.lower()
    first = (tmp_path/"site"/"index.html").read_text()
    assert ("https://github.com/us/toy/blob/main/LICENSE" in first and 'href="CONTRIBUTING.html#the-round"' in first
            and 'href="bench/speed.html"' in first)
    assert ('href="../CONTRIBUTING.html"' in (tmp_path/"site"/"bench"/"speed.html").read_text()
            and 'href="00_core.html"' in (tmp_path/"site"/"CONTRIBUTING.html").read_text())
    assert "blob/main/bench" not in first and "blob/main/CONTRIBUTING" not in first
    assert 'id="cancer_dl.core.scale"' in (tmp_path/"site"/"api"/"cancer_dl.core.html").read_text()
    assert build(tmp_path).returncode == 0  # its own folder is replaced


@pytest.mark.parametrize("prose, message", [pytest.param("See [nothing](00_none.ipynb).", "00_none",
                                                         marks=pytest.mark.slow),
                                            ("At PLACE/x.csv.", "names a folder of this machine")])
def test_warnings_and_private_paths_are_errors(tmp_path, prose, message):
    make_repository(tmp_path/"repo", prose.replace("PLACE", str(tmp_path/"repo")))
    done = build(tmp_path)
    assert done.returncode == 1 and message in done.stderr
    assert not (tmp_path/"site").exists()


def test_a_folder_of_others_is_not_touched(docs, tmp_path):
    (tmp_path/"site").mkdir()
    (tmp_path/"site"/"mine.txt").write_text("")
    assert docs.build(tmp_path/"site") == 2 and (tmp_path/"site"/"mine.txt").exists()
