"""What should I use? The table of the README is the one that the paper page printed, and steps are shuffled whole."""
import json
import re
from pathlib import Path

import numpy as np
import pytest

from cancer_dl.core import InputError
from cancer_dl.data.ordered import shuffle_steps

ROOT = Path(__file__).resolve().parent.parent

def cells(name): return json.loads((ROOT/"nbs"/name).read_text(encoding="utf-8"))["cells"]

def rows(text): return [line.strip() for line in text.splitlines() if line.startswith("| ")]

def test_the_first_page_has_the_table_that_was_measured():
    "Whoever runs the page anew copies what it prints under 'What should I use?' into the first page."
    printed = ["".join("".join(o.get("text", "")) for o in cell.get("outputs", [])) for cell in
               cells("papers/cnn_vs_rnn.ipynb") if "def readme_row" in "".join(cell["source"])]
    measured = rows(printed[0])
    assert len(printed) == 1 and len(measured) == 7  # the head, and six kinds of data
    index = "\n\n".join("".join(c["source"]) for c in cells("index.ipynb"))
    for page in (index, (ROOT/"README.md").read_text(encoding="utf-8")):
        assert rows(page.split("## CNN, RNN or neither?")[1])[:7] == measured

def test_verdicts_of_the_page_and_its_table_agree():
    "'A tie' stands only where no interval lies above zero, and a network only where one does."
    printed = next(c for c in cells("papers/cnn_vs_rnn.ipynb") if "def readme_row" in "".join(c["source"]))
    for row in rows("".join(printed["outputs"][0]["text"]))[1:]:
        _, use, evidence = (part.strip() for part in row.strip("|").split(" | "))
        name, low = re.match(r"(.+?) -?[\d.]+, .*\(([+-][\d.]+) to ", evidence).groups()
        assert (float(low) > 0) == (name in use.split(", ")), row

@pytest.mark.parametrize("seed", [0, 1])
def test_steps_are_exchanged_and_padding_stays(seed):
    rng = np.random.default_rng(seed)
    tokens = np.zeros((200, 9), np.int32)
    tokens[:, 0] = 1
    for row in tokens:
        n = rng.integers(0, 9)
        row[1:1 + n] = rng.choice(np.arange(2, 20), n, replace=False)
    before, found = tokens.copy(), shuffle_steps(tokens, seed, keep=(1,))
    np.testing.assert_array_equal(tokens, before)  # what was given is not changed
    np.testing.assert_array_equal(found == 0, tokens == 0)
    np.testing.assert_array_equal(found[:, 0], 1)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(tokens, axis=1))
    assert found.dtype == tokens.dtype and (found != tokens).any(axis=1).mean() > .6

def test_each_step_comes_to_each_place_alike():
    windows = np.tile(np.arange(4.)[None, :, None], (4000, 1, 2))
    found = shuffle_steps(windows, 3)
    np.testing.assert_array_equal(found[..., 0], found[..., 1])  # a step stays whole
    for place in range(4):
        share = np.bincount(found[:, place, 0].astype(int), minlength=4) / 4000
        assert np.abs(share - .25).max() < .03
    with pytest.raises(InputError, match="length, width"): shuffle_steps(np.zeros(5))
