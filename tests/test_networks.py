"""The page of every network: there is one, and its cells run (`.notest` keeps nbdev from a process for each)."""
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from cancer_dl.models.zoo import REGISTRY

PAGES = Path(__file__).resolve().parent.parent/"nbs"/"networks"
NAMES = [name for name, card in REGISTRY.items() if card.build.__module__.startswith("cancer_dl.")]

def test_every_network_has_a_page():
    assert {page.stem for page in PAGES.glob("*.ipynb")} == set(NAMES)

@pytest.mark.parametrize("name", NAMES)
def test_the_page_runs(name, monkeypatch):
    monkeypatch.chdir(PAGES)
    found: dict = {}
    for cell in json.loads((PAGES/f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code": exec(text, found)
        else: assert "TODO" not in text
    assert found["model_card"](name).description and plt.get_fignums()
    plt.close("all")
