"""The pages around the book: the map and the sidebar know every notebook, links lead somewhere,
requirements are explained."""
import ast
import configparser
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/"scripts"))
NOTEBOOKS = sorted(p.relative_to(ROOT/"nbs").as_posix() for pattern in (
    "[0-9]*.ipynb", "recipes/*.ipynb", "tutorials/*.ipynb", "networks/*.ipynb", "papers/*.ipynb")
                   for p in (ROOT/"nbs").glob(pattern))

def links_of(path): return re.findall(r"(?<=\]\()(?![\w+.-]+:|[#/])([^)\s#]+)", path.read_text(encoding="utf-8"))

def pages(contents):
    for entry in contents:
        if isinstance(entry, str): yield entry
        else: yield from pages(entry["contents"])

def test_the_sidebar_lists_every_notebook():
    contents = yaml.safe_load((ROOT/"nbs/sidebar.yml").read_text())["website"]["sidebar"]["contents"]
    assert sorted(pages(contents)) == sorted(["index.ipynb", *NOTEBOOKS]), "add the notebook to nbs/sidebar.yml"

def test_the_map_lists_every_notebook():
    mapped = {link.removeprefix("nbs/") for link in links_of(ROOT/"README.md")}
    assert set(NOTEBOOKS) <= mapped, ("add the notebook to the map in nbs/index.ipynb and run "
                                      "python scripts/make_readme.py")

@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name):
    assert not [link for link in links_of(ROOT/name) if not (ROOT/link).exists()]

def test_extras_and_development_requirements_are_explained():
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT/"settings.ini", encoding="utf-8")
    text = (ROOT/"CONTRIBUTING.md").read_text(encoding="utf-8")
    for group in [key for key in settings["DEFAULT"] if key.endswith("_requirements")]:
        assert f"`{group.removesuffix('_requirements')}`" in text, group
        for requirement in settings["DEFAULT"][group].split():
            name = re.split(r"[<>=\[]", requirement)[0]
            assert re.search(rf"`{re.escape(name)}[`\[]", text), f"CONTRIBUTING.md does not say why {name} is needed"

def test_links_of_the_first_page_are_seen_from_the_root():
    from make_readme import from_root
    assert from_root("[a](10_x.ipynb) [b](../LICENSE) [c](https://e.org/x) [d](#e) [f](recipes/g.ipynb#h)") == \
        "[a](nbs/10_x.ipynb) [b](LICENSE) [c](https://e.org/x) [d](#e) [f](nbs/recipes/g.ipynb#h)"

@pytest.mark.parametrize("paper", sorted((ROOT/"nbs/papers").glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_a_paper_imports_is_there(paper):
    "Papers run with `make test-all`; a name that was moved or renamed is noticed before."
    cells = ["".join(c["source"]) for c in json.loads(paper.read_text(encoding="utf-8"))["cells"]
             if c["cell_type"] == "code"]
    found: dict = {}
    for cell in cells:
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.ImportFrom): exec(ast.unparse(node), found)
    assert any(name in found for name in ("simulate_cohort", "simulate_states", "simulate_profiles"))
