"A recipe at small size, run inside of a test: the same cells as `cancer_dl run`, without a kernel and a page."
import json
from pathlib import Path

import matplotlib.pyplot as plt
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell

from cancer_dl.parameters import check_parameters, find_recipe


def run_small(name, parameters: dict, out) -> dict:
    "What the recipe wrote as results.json; its notebook with outputs lies beside it."
    out, recipe = Path(out), find_recipe(name)
    out.mkdir(parents=True)
    notebook = read_nb(recipe)
    first = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    given = {**check_parameters(name, parameters), "out": str(out)}
    first.source += "".join(f"\n{key} = {value!r}" for key, value in given.items())
    shell = CaptureShell(out)
    try: shell.run_all(notebook, exc_stop=True)
    finally: plt.close("all")
    write_nb(notebook, out/f"{recipe.stem}.ipynb")
    return json.loads((out/"results.json").read_text(encoding="utf-8"))
