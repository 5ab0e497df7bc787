"Every recipe on labels that mean nothing: no page, table or file says that anything is better."
import json
import re

import numpy as np
import pytest

from cancer_dl.data.cohort import write_cohort
from cancer_dl.data.simulate import simulate_cohort
from recipes import run_small

CLAIM = re.compile(r"\b(better|best|highest|wins?|beats?|superior|outperforms?)\b", re.I)
SMALL = dict(train=dict(epochs=4, judge="holdout"), crossval=dict(models="cnn1d", n_splits=3, epochs=4),
             explain=dict(epochs=4, stability_runs=0, sanity=False),
             robustness=dict(models="cnn1d", epochs=4, levels="0, 1", shares="0, 0.5", repeats=1),
             subtypes=dict(label="cancer_type", cancer_type="", canonical=False, n_splits=3, per_class="",
                           transfer=False))

@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    "120 patients of three types, whose labels were shuffled."
    cohort = simulate_cohort(n_samples=120, n_genes=60, n_classes=3, seed=0)
    cohort = cohort[(cohort.obs["sample_type"] != "normal").to_numpy()].copy()
    cohort.obs["cancer_type"] = np.random.default_rng(0).permutation(cohort.obs["cancer_type"].astype(str))
    folder = tmp_path_factory.mktemp("shuffled")/"cohort"
    write_cohort(cohort, folder)
    return folder

def said(folder) -> str:
    "What the page and the files say: outputs of all cells, prose, and results.json."
    notebook, = folder.glob("*.ipynb")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    prose = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    outputs = [o for c in cells if c["cell_type"] == "code" for o in c["outputs"]]
    texts = ["".join(o.get("text", "")) + "".join(o.get("data", {}).get("text/plain", ""))
             + "".join(o.get("data", {}).get("text/html", "")) for o in outputs]
    return "\n".join([*prose, *texts, (folder/"results.json").read_text(encoding="utf-8")])

@pytest.mark.parametrize("recipe", [name if name == "train" else pytest.param(name, marks=pytest.mark.slow)
                                    for name in SMALL])
def test_nothing_is_better_on_random_labels(recipe, shuffled, tmp_path):
    results = run_small(recipe, dict(SMALL[recipe], cohort=str(shuffled)), tmp_path/"out")
    found = said(tmp_path/"out")
    assert not CLAIM.search(found), [found[m.start() - 60:m.end() + 60] for m in CLAIM.finditer(found)]
    if recipe != "explain":
        assert "cannot be told apart" in results["verdict"] and "every" not in results["verdict"]
        assert (set(results["learners"]) >= {"logistic regression", "RBF SVM"}
                and all(0 <= v <= 1 for v in results["learners"].values()))
        assert results["left_out"] == {}
