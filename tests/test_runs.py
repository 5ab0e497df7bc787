"""Recipes and sweeps: errors that reach the person, runs that are finished or not there,
sweeps that are killed and resumed."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import venv
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pandas as pd
import pytest

import cancer_dl.sweep as sweep_module
from cancer_dl import parameters, runs
from folders import names
from cancer_dl.core import InputError
from cancer_dl.parameters import check_parameters, find_recipe, list_recipes, recipe_parameters
from cancer_dl.runs import RunError, answer_of, command_of, run_recipe
from cancer_dl.sweep import failure_report, read_sweep, sweep, sweep_lines

PARAMETERS = """
    out = "runs/toy"
    a = 1
    b = "x"
    rate = 0.5
    wait = 0.0
    log = ""
"""
WORK = """
    import json, os, pathlib, sys, time
    from cancer_dl.core import InputError
    if log: print("a", a, "started", file=open(log + ".started", "a"), flush=True)
    time.sleep(wait)
"""
RESULT = """
    if log: print(a, file=open(log + ".ended", "a"), flush=True)
    pathlib.Path(out, "sub").mkdir()
    pathlib.Path(out, "sub", "table.csv").write_text("a\\n1\\n")
    pathlib.Path(out, "results.json").write_text(json.dumps({"accuracy": a/10, "out": out, "python": sys.executable,
        "threads": os.environ.get("OMP_NUM_THREADS"), "pid": os.getpid(), "nested": {"b": b}}))
"""


def write_recipe(path, *cells, parameters=PARAMETERS, tag="parameters"):
    v4 = nbformat.v4
    code = [v4.new_code_cell(textwrap.dedent(c).strip()) for c in (parameters, *cells)]
    if tag: code[0].metadata["tags"] = [tag]
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell("# Toy\n\n> A toy."), *code]), path)
    return path


@pytest.fixture
def toy(tmp_path):
    return write_recipe(tmp_path/"toy.ipynb", WORK, RESULT)


# -- what a recipe is

def test_recipes_of_the_package_are_well_formed():
    for name, line in list_recipes().items():
        assert line and "out" in recipe_parameters(name)


def test_a_missing_recipe_is_named_with_the_nearest(monkeypatch, toy):
    monkeypatch.setattr(parameters, "_recipe_files", lambda: {"train": toy, "papers/mostavi": toy})
    assert find_recipe("train") == toy and find_recipe("papers/mostavi") == toy
    with pytest.raises(InputError, match="Did you mean train"): find_recipe("trian")
    with pytest.raises(InputError, match="no notebook at"): find_recipe("nowhere/train.ipynb")


@pytest.mark.parametrize("tagged", [0, 2])
def test_exactly_one_cell_is_tagged(tmp_path, tagged):
    path = write_recipe(tmp_path/"r.ipynb", "x = 1", tag=None)
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells[1:1 + tagged]: cell.metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    with pytest.raises(InputError, match=f"has {tagged} cells tagged"): run_recipe(path, {}, tmp_path/"o")
    assert not (tmp_path/"o").exists()


@pytest.mark.parametrize("content", ["", "{", "\x00\x01", "[]"])
def test_a_file_that_is_no_notebook(tmp_path, content):
    (tmp_path/"r.ipynb").write_text(content)
    with pytest.raises(InputError, match="not a notebook"): recipe_parameters(tmp_path/"r.ipynb")


def test_out_is_required_and_not_a_parameter(tmp_path, toy):
    path = write_recipe(tmp_path/"r.ipynb", parameters="a = 1")
    with pytest.raises(InputError, match="no parameter `out`"): recipe_parameters(path)
    with pytest.raises(InputError, match="--out"): check_parameters(toy, {"out": "x"})


def test_parameters_take_the_type_of_their_default(toy):
    assert check_parameters(toy, {"rate": "1e-3", "a": "7", "b": "no"}) == {"rate": 1e-3, "a": 7, "b": "no"}
    assert check_parameters(toy, {"rate": None, "b": 5}) == {"rate": None, "b": "5"}
    with pytest.raises(InputError, match="a number, such as 1"): check_parameters(toy, {"a": "seven"})
    with pytest.raises(InputError, match="a number"): check_parameters(toy, {"a": True})
    with pytest.raises(InputError, match="no parameter rte. Did you mean rate"): check_parameters(toy, {"rte": 1})


# -- one run

def test_success_leaves_everything_and_no_litter(tmp_path, toy, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = run_recipe(toy, {"a": 3}, "deep/er/out")
    out = tmp_path/"deep"/"er"/"out"
    assert results["accuracy"] == .3 and results["pid"] != os.getpid()
    assert names(out) == ["results.json", "run.json", "sub", "toy.html", "toy.ipynb"]
    assert names(out.parent) == ["out"]
    assert json.loads((out/"results.json").read_text())["out"] == str(out)  # not the hidden folder
    notebook = nbformat.read(out/"toy.ipynb", 4)
    assert notebook.metadata.kernelspec.name == "python3" and ".new-" not in (out/"toy.ipynb").read_text()
    assert ".new-" not in (out/"toy.html").read_text()


@pytest.mark.slow
def test_a_second_run_replaces_its_own_files_only(tmp_path, toy):
    out = tmp_path/"o"
    out.mkdir()
    (out/"mine.txt").write_text("keep me")
    run_recipe(toy, {}, out)
    (out/"sub"/"mine.txt").write_text("keep me too")
    before = sorted((p, p.stat().st_mtime_ns) for p in out.rglob("*"))
    with pytest.raises(InputError, match="holds an earlier run already.*overwrite=True"): run_recipe(toy, {}, out)
    assert sorted((p, p.stat().st_mtime_ns) for p in out.rglob("*")) == before
    other = write_recipe(tmp_path/"other.ipynb",
                         "import json, pathlib; pathlib.Path(out, 'results.json').write_text('{}')")
    assert run_recipe(other, {}, out, overwrite=True) == {}
    assert names(out) == ["mine.txt", "other.html", "other.ipynb", "results.json", "run.json", "sub"]
    assert names(out/"sub") == ["mine.txt"]


def test_an_input_error_arrives_as_its_paragraph(tmp_path):
    path = write_recipe(tmp_path/"r.ipynb", WORK,
                        "raise InputError(f'There is no cohort at {b}. Give its path.')", RESULT)
    with pytest.raises(InputError) as caught: run_recipe(path, {"b": "x/y"}, tmp_path/"o")
    assert (str(caught.value) == "There is no cohort at x/y. Give its path. "
            f"The notebook up to that point: {tmp_path/'o'/'r.failed.ipynb'}")
    assert names(tmp_path/"o") == ["r.failed.ipynb"]
    outputs = [o for c in nbformat.read(tmp_path/"o"/"r.failed.ipynb", 4).cells if c.cell_type == "code"
               for o in c.outputs]
    assert [o.ename for o in outputs if o.output_type == "error"] == ["InputError"]


def test_other_errors_name_the_cell_and_the_notebook(tmp_path):
    path = write_recipe(tmp_path/"r.ipynb", WORK, "1/0")
    with pytest.raises(RunError,
                       match=r"stopped at In \[4\] with ZeroDivisionError: division by zero\. The notebook") as caught:
        run_recipe(path, {}, tmp_path/"o")
    assert caught.value.notebook == tmp_path/"o"/"r.failed.ipynb" and caught.value.notebook.exists()


def test_a_full_disk_inside_a_recipe_is_an_input_error(tmp_path):
    path = write_recipe(tmp_path/"r.ipynb",
                        "import errno, os; raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), out + '/big.npz')")
    with pytest.raises(InputError, match="Cannot write /.*/o/big.npz: no space is left"):
        run_recipe(path, {}, tmp_path/"o")


@contextlib.contextmanager
def disk_of(folder, size):
    "A small disk of its own, where this user may mount one."
    folder.mkdir()
    if not shutil.which("mount") or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
                                                   capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try: yield folder
    finally: subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("size, kept", [("4k", []), *(pytest.param(*case, marks=pytest.mark.slow) for case in (
    ("20k", []), ("120k", []), ("200k", ["o", "o/r.failed.ipynb"])))])
def test_a_real_full_disk_at_each_stage(tmp_path, size, kept):
    "No room for the job, for the executed notebook, for what the recipe writes, for the page."
    path = write_recipe(tmp_path/"r.ipynb", "import pathlib; pathlib.Path(out, 'big.bin').write_bytes(bytes(100_000))",
                        "pathlib.Path(out, 'results.json').write_text('{}'); print('x'*50_000)")
    with disk_of(tmp_path/"disk", size) as disk:
        with pytest.raises(InputError, match=f"Cannot write {disk}/deep/o[^ ]*: no space is left") as caught:
            run_recipe(path, {}, disk/"deep"/"o")
        assert (sorted(str(p.relative_to(disk/"deep")) for p in (disk/"deep").rglob("*")) == kept
                and (disk/"deep").exists() == bool(kept))
        assert ("failed.ipynb" in str(caught.value)) == bool(kept) != ("Nothing was changed" in str(caught.value))
        for file in (disk/"deep").rglob("*.ipynb"): nbformat.validate(nbformat.read(file, 4))


def test_a_note_that_finds_no_room_is_printed(tmp_path, capsys):
    runs._leave({"kind": "OSError", "message": "[Errno 28] No space\nleft"}, tmp_path/"no folder"/"note.json")
    (tmp_path/"note.json").write_text('{"kind": "OSEr')
    log = "noise\n" + capsys.readouterr().out + "more noise"
    assert runs._note_in(tmp_path/"note.json", log)["message"] == "[Errno 28] No space\nleft"
    assert runs._note_in(tmp_path/"note.json", "noise") is None


def test_a_kernel_that_dies(tmp_path):
    path = write_recipe(tmp_path/"r.ipynb", "import os, signal; print('so far'); os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(RunError, match="kernel died"): run_recipe(path, {}, tmp_path/"o")
    assert names(tmp_path/"o") == ["r.failed.ipynb"]


@pytest.mark.parametrize("cell, message", [
    pytest.param("pass", "wrote no results.json", marks=pytest.mark.slow),
    pytest.param("open(out + '/results.json', 'w').write('{')", "not JSON", marks=pytest.mark.slow),
    ("open(out + '/results.json', 'w').write('[1]')", "not a JSON object")])
def test_results_must_be_written(tmp_path, cell, message):
    path = write_recipe(tmp_path/"r.ipynb", cell)
    with pytest.raises(RunError, match=message): run_recipe(path, {}, tmp_path/"o")
    assert not (tmp_path/"o"/"results.json").exists()


def test_a_folder_that_cannot_be_made(tmp_path, toy):
    (tmp_path/"file").write_text("")
    with pytest.raises(InputError, match="Cannot write"): run_recipe(toy, {}, tmp_path/"file"/"o")


@pytest.mark.slow
def test_braces_and_spaces_in_paths(tmp_path, toy):
    odd = tmp_path/"a {b} c"
    odd.mkdir()
    path = write_recipe(odd/"r {x}.ipynb", WORK, RESULT)
    assert run_recipe(path, {}, odd/"o {1}")["accuracy"] == .1


@pytest.mark.slow
def test_the_kernel_is_this_python_whatever_jupyter_knows(tmp_path, toy, monkeypatch):
    "Another interpreter's kernel under the name python3, a home that cannot be written, nothing activated."
    spec = tmp_path/"jupyter"/"kernels"/"python3"
    spec.mkdir(parents=True)
    (spec/"kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "foreign",
                                                "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path/"jupyter"))
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert run_recipe(toy, {}, tmp_path/"o")["python"] == sys.executable


@pytest.mark.slow
def test_an_environment_without_a_kernelspec(tmp_path, toy):
    "A bare virtual environment, not activated, that borrows the packages of this one."
    venv.create(tmp_path/"bare", with_pip=False, symlinks=True)
    python = tmp_path/"bare"/"bin"/"python"
    paths = os.pathsep.join(p for p in sys.path if p)
    code = ("from cancer_dl.runs import run_recipe; "
            f"print(run_recipe({str(toy)!r}, {{}}, {str(tmp_path/'o')!r})['python'])")
    done = subprocess.run([python, "-c", code], env={"PATH": "/usr/bin:/bin", "PYTHONPATH": paths,
                                                     "HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.stdout.strip() == str(python), done.stderr


@pytest.mark.slow
def test_modules_in_the_working_folder_do_not_shadow(tmp_path, toy, monkeypatch):
    (tmp_path/"papermill.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert run_recipe(toy, {}, tmp_path/"o")["accuracy"] == .1


# -- sweeps

def grid_of(toy, a, **parameters):
    return {"recipe": str(toy), "parameters": parameters, "grid": {"a": a}}


@pytest.mark.parametrize("spec, message", [
    ({"recipe": "x", "girds": {}}, "Did you mean grid"),
    ({"grid": {"a": [1]}}, "names no recipe"),
    ({"recipe": "x", "grid": {"a": 1}}, "a list of values for a"),
    ({"recipe": "x", "grid": [1]}, "must hold `name: value`"),
    ({"recipe": "x", "list": [1]}, "must be a list of runs"),
    ({"recipe": "x", "repeats": 0}, "at least 1"),
    ({"recipe": "x", "repeats": 2, "parameters": {"seed": 1}}, "sets `seed` twice"),
])
def test_a_sweep_that_is_not_one(spec, message):
    with pytest.raises(InputError, match=message): read_sweep(spec)


def test_yaml_errors_name_the_line(tmp_path):
    (tmp_path/"g.yaml").write_text("recipe: toy\ngrid: {a: [1, 2\n")
    with pytest.raises(InputError, match=r"g.yaml is not YAML: line 3"): sweep(tmp_path/"g.yaml", tmp_path/"s")
    with pytest.raises(InputError, match="cannot be read"): sweep(tmp_path/"none.yaml", tmp_path/"s")
    assert not (tmp_path/"s").exists()


def test_a_sweep_an_extension_and_a_failure(tmp_path, toy):
    log = tmp_path/"log"
    failing = write_recipe(tmp_path/"toy.ipynb", WORK, "if a == 2 and b == 'x': raise KeyError('gene')", RESULT)
    (tmp_path/"g.yaml").write_text(f"recipe: {failing}\nparameters: {{log: {log}}}\ngrid:\n  a: [1, 2]\n"
                                   f"list:\n  - {{a: 2, b: 'y'}}\n")
    table = sweep(tmp_path/"g.yaml", tmp_path/"s", jobs=2, verbose=False)
    assert list(table["status"]) == ["finished", "failed", "finished"]
    assert sorted((tmp_path/"log.ended").read_text().split()) == ["1", "2"]
    report = failure_report(table)
    assert "1 of 3 runs failed" in report and "KeyError" in report and report.count("toy.failed.ipynb") == 1
    saved = pd.read_parquet(tmp_path/"s"/"results.parquet")
    assert list(saved["param.a"]) == [1, 2, 2] and saved["accuracy"].isna().sum() == 1 and "nested.b" in saved
    assert table["threads"].dropna().unique().tolist() == [str(max(1, sweep_module._cores()//2))]
    page = (tmp_path/"s"/"summary.html").read_text()
    assert "2 of 3 runs finished" in page and "<svg" in page and "toy.failed.ipynb" in page
    table = sweep({"recipe": str(failing), "parameters": {"log": str(log), "b": "y"}, "grid": {"a": [2, 3]}},
                  tmp_path/"s", verbose=False)
    assert list(table["status"]) == ["finished"]*2 and failure_report(table) == ""
    assert sorted((tmp_path/"log.ended").read_text().split()) == ["1", "2", "3"]  # a=2, b=y was not run again
    assert names(tmp_path/"s") == ["results.parquet", "runs", "summary.html"]


@pytest.mark.slow
def test_runs_that_are_half_there_are_run_again(tmp_path, toy):
    log = tmp_path/"log"
    sweep(grid_of(toy, [1, 2], log=str(log)), tmp_path/"s", jobs=2, verbose=False)
    first, second = sorted((tmp_path/"s"/"runs").iterdir())
    (first/"results.json").unlink()
    (second/"results.json").write_text('{"accura')
    table = sweep(grid_of(toy, [1, 2], log=str(log)), tmp_path/"s", jobs=2, verbose=False)
    assert list(table["accuracy"]) == [.1, .2]
    assert sorted((tmp_path/"log.ended").read_text().split()) == ["1", "1", "2", "2"]


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed(tmp_path, toy):
    log, started = tmp_path/"log", tmp_path/"log.started"
    spec = grid_of(toy, [1, 2, 3], log=str(log), wait=.4)
    spec["grid"]["wait"] = [.4]
    code = f"from cancer_dl.sweep import sweep; sweep({spec!r}, {str(tmp_path/'s')!r}, jobs=2)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL)
    done = lambda: {p.parent.name for p in (tmp_path/"s"/"runs").glob("[!.]*/results.json")}
    give_up = time.monotonic() + 120
    while not (done() and started.exists() and len(started.read_text().splitlines()) > len(done())):
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = done()
    finished = {json.loads((tmp_path/"s"/"runs"/name/"run.json").read_text())["parameters"]["a"] for name in before}
    stamps = {name: (tmp_path/"s"/"runs"/name/"results.json").stat().st_mtime_ns for name in before}
    assert 1 <= len(before) < 3 and (tmp_path/"s"/".lock").exists()
    table = sweep(spec, tmp_path/"s", jobs=2, verbose=False)
    assert list(table["status"]) == ["finished"]*3 and sorted(table["accuracy"]) == [.1, .2, .3]
    counts = (tmp_path/"log.ended").read_text().split()
    assert all(counts.count(str(a)) == 1 for a in finished), (finished, counts)
    assert stamps == {name: (tmp_path/"s"/"runs"/name/"results.json").stat().st_mtime_ns for name in before}
    assert not list((tmp_path/"s").rglob(".*")) and len(names(tmp_path/"s"/"runs")) == 3


def why_again(spec, out):
    return " ".join(sweep_module._again_words(sweep_module._again(sweep_module._plan(read_sweep(spec), out)[0])))


def test_what_has_changed_since_is_run_again(tmp_path, monkeypatch):
    "The file that is read, another recipe of that name, a copy of the folder beside other data, the version."
    monkeypatch.chdir(tmp_path)
    (tmp_path/"x.csv").write_text("1")
    cell = ("import json; json.dump({'score': float(open(cohort).read())}, open(out + '/results.json', 'w'))",)
    recipe = write_recipe(tmp_path/"r.ipynb", *cell, parameters="out = 'o'\ncohort = 'x.csv'\nk = 0")
    spec, out, told = {"recipe": str(recipe), "grid": {"k": [1]}}, tmp_path/"s", []
    assert sweep(spec, out, verbose=False, say=told.extend)["score"].tolist() == [1] and not told
    (tmp_path/"x.csv").write_text("1")  # another date, the same contents
    assert why_again(spec, out) == ""
    shutil.copytree(out, tmp_path/"there"/"s")
    (tmp_path/"there"/"x.csv").write_text("1")
    monkeypatch.chdir(tmp_path/"there")
    assert why_again(spec, tmp_path/"there"/"s") == ""
    (tmp_path/"there"/"x.csv").write_text("7")
    assert "cohort (x.csv) has other contents" in why_again(spec, tmp_path/"there"/"s")
    monkeypatch.chdir(tmp_path)
    other = write_recipe(tmp_path/"there"/"r.ipynb", *cell, "k", parameters="out = 'o'\ncohort = 'x.csv'\nk = 0")
    assert f"of another version of {other}" in why_again({**spec, "recipe": str(other)}, out)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_version", lambda: "99")
        assert "and is 99" in why_again(spec, out)
    (tmp_path/"x.csv").write_text("5")
    table = sweep(spec, out, verbose=False, say=told.extend)
    assert table["score"].tolist() == [5] and why_again(spec, out) == ""
    assert told == table.attrs["again"] == ["1 finished run is run again, since cohort (x.csv) has other contents."]


def test_checksums_of_a_folder_leave_out_the_results_in_it(tmp_path, toy):
    (tmp_path/"cohort"/"s").mkdir(parents=True)
    (tmp_path/"cohort"/"x.csv").write_text("1")
    read = lambda: runs.origin_of(toy, {"cohort": [str(tmp_path/"cohort")]}, tmp_path/"cohort"/"s")["read"]["cohort"]
    before = read()
    (tmp_path/"cohort"/"s"/"results.json").write_text("{}")
    (tmp_path/"cohort"/".lock").write_text("1")
    assert read() == before
    (tmp_path/"cohort"/"y.csv").write_text("")
    assert read() != before


@pytest.mark.slow
def test_runs_end_with_their_sweep(tmp_path, toy):
    "Only the sweep itself is killed; its runs must not go on."
    log = tmp_path/"log"
    spec = grid_of(toy, [1], log=str(log), wait=2)
    process = subprocess.Popen([sys.executable, "-c",
                                f"from cancer_dl.sweep import sweep; sweep({spec!r}, {str(tmp_path/'s')!r})"],
                               stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 60
    while not (tmp_path/"log.started").exists():
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(.05)
    process.kill()
    process.wait()
    time.sleep(3.5)
    assert not (tmp_path/"log.ended").exists()


def test_sweep_module_at_a_time(tmp_path, toy):
    folder = tmp_path/"s"
    folder.mkdir()
    with sweep_module._only_one(folder):
        with pytest.raises(InputError, match=f"Another sweep is at work.*process {os.getpid()}@"):
            sweep(grid_of(toy, [1]), folder, verbose=False)
    assert not (folder/"results.parquet").exists()


def test_backends_and_jobs_are_checked(tmp_path, toy):
    with pytest.raises(InputError, match="no backend called 'dusk'. Did you mean dask"):
        sweep(grid_of(toy, [1]), tmp_path/"s", backend="dusk")
    with pytest.raises(InputError, match="jobs is 0"): sweep(grid_of(toy, [1]), tmp_path/"s", jobs=0)
    for backend in ("dask", "ray"):
        if find_spec({"dask": "distributed", "ray": "ray"}[backend]) is None:
            with pytest.raises(InputError, match=f"The {backend} backend needs"):
                sweep(grid_of(toy, [1]), tmp_path/"s", backend=backend, verbose=False)


@pytest.mark.skipif(find_spec("distributed") is None, reason="dask is not installed")
def test_dask(tmp_path, toy):
    table = sweep(grid_of(toy, [1, 2]), tmp_path/"s", jobs=2, backend="dask", verbose=False)
    assert list(table["status"]) == ["finished"]*2


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_ray(tmp_path, toy):
    table = sweep(grid_of(toy, [1, 2]), tmp_path/"s", jobs=2, backend="ray", verbose=False)
    assert list(table["status"]) == ["finished"]*2

@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_that_has_ended_but_was_not_asked_for_is_not_alive():
    from cancer_dl.core import is_running as _alive
    child = subprocess.Popen([sys.executable, "-c", ""])
    give_up = time.monotonic() + 60
    while (Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
           and time.monotonic() < give_up):
        time.sleep(.02)
    assert not _alive(child.pid) and _alive(os.getpid())
    child.wait()


# -- values, and folders of others

VALUES = PARAMETERS + """
    flag = True
    many = [1, 2.5]
    words = ["a"]
    nothing = None
"""


@pytest.fixture
def typed(tmp_path): return write_recipe(tmp_path/"typed.ipynb", WORK, parameters=VALUES)


@pytest.mark.parametrize("name, value, expected", [
    ("a", "12", 12), ("a", "0012", 12), ("a", "1e3", 1000), ("a", " 7 ", 7),
    ("a", "12345678901234567890", 12345678901234567890), ("a", "null", None), ("a", 7, 7),
    ("rate", "-.5", -.5), ("rate", "1E-3", .001), ("rate", 2, 2.0), ("rate", "None", None), ("b", "0012", "0012"),
    ("b", "inf", "inf"), ("b", "no", "no"), ("b", "on", "on"), ("b", "2024-05-01", "2024-05-01"),
    ("b", True, "true"), ("b", "a: b", "a: b"), ("b", "1:30", "1:30"), ("flag", "no", False), ("flag", "On", True),
    ("flag", "TRUE", True), ("flag", False, False), ("many", "1, 0.5", [1, .5]), ("many", "[3]", [3]), ("many", 4, [4]),
    ("words", "no, 0012, 2024-05-01", ["no", "0012", "2024-05-01"]), ("nothing", "0012", "0012"), ("nothing", "5", 5),
    ("nothing", "None", None)])
def test_values_are_what_they_look_like(typed, name, value, expected):
    found = check_parameters(typed, parameters.parse_parameters([(name, value)]) if isinstance(value, str)
                             else {name: value})[name]
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "name, value", [(n, v) for n in ("a", "rate") for v in ("inf", "-inf", "nan", "1e999", "1_0", "0x1", "on",
                                                            "2024-05-01", float("inf"), float("nan"), True, [1], "")] +
    [("flag", v) for v in ("1", "maybe", 1, "")] + [("many", "1, x"), ("many", [1, float("inf")]), ("many", "1, inf"),
                                                    ("words", [float("nan")]), ("b", "\udcff"), ("nothing", "&a [*a]")])
def test_values_that_are_refused(typed, name, value):
    with pytest.raises(InputError) as caught: check_parameters(typed, {name: value})
    assert "\n" not in str(caught.value) and "None, but" not in str(caught.value)


def test_yaml_keeps_what_people_use(tmp_path):
    text = ("base: &base {a: 1, b: x}\nruns:\n  - {<<: *base, a: 2}\n  - *base\nf: 1e-3\ng: -2\nh: ~\ni: true\n"
            "j: 'true'\nk: |\n  two\n  lines\n")
    (tmp_path/"p.yaml").write_text("\ufeff" + text, encoding="utf-8")
    assert parameters.read_yaml(tmp_path/"p.yaml") == {"base": {"a": 1, "b": "x"},
                                                       "runs": [{"a": 2, "b": "x"}, {"a": 1, "b": "x"}], "f": .001,
                                                       "g": -2, "h": None, "i": True, "j": "true", "k": "two\nlines\n"}


@pytest.mark.slow
def test_a_finished_sweep_started_again_with_two_jobs(tmp_path, toy):
    "With nothing to do there were no processes to do it, which was an error, and the table could never be written."
    first = sweep(grid_of(toy, [1, 2]), tmp_path/"s", jobs=2, verbose=False)
    (tmp_path/"s"/"results.parquet").unlink()
    (tmp_path/"s"/"summary.html").unlink()
    again = sweep(grid_of(toy, [1, 2]), tmp_path/"s", jobs=2, verbose=False)
    assert list(again["accuracy"]) == list(first["accuracy"]) == [.1, .2] and list(again["status"]) == ["finished"]*2
    assert {"results.parquet", "summary.html"} <= set(names(tmp_path/"s"))


def test_a_sweep_keeps_what_is_not_its_own(tmp_path, toy):
    for name in ("results.parquet", "summary.html"):
        (tmp_path/name).mkdir()
        (tmp_path/name/name).write_text("mine")
        with pytest.raises(InputError, match=name): sweep(grid_of(toy, [1]), tmp_path/name, verbose=False)
        assert names(tmp_path/name) == [name] and (tmp_path/name/name).read_text() == "mine"


@pytest.mark.slow
def test_a_run_costs_nobody_a_file(tmp_path, toy):
    out = tmp_path/"o"
    (out/"sub").mkdir(parents=True)
    for name in ("results.json", "toy.html", "sub/table.csv"):
        (out/name).write_text("mine")
        with pytest.raises(InputError, match="not written by"): run_recipe(toy, {}, out, overwrite=True)
        assert (out/name).read_text() == "mine"
        (out/name).unlink()
    (out/"run.json").write_text(json.dumps({"cancer_dl": "0", "files": ["../victim", "run.json", 7, "/etc/passwd"]}))
    (tmp_path/"victim").write_text("mine")
    run_recipe(toy, {}, out, overwrite=True)
    assert ((tmp_path/"victim").read_text() == "mine" and (out/"results.json").exists()
            and not list(tmp_path.rglob(".*")))


def test_a_run_that_fails_leaves_the_earlier_one_and_says_so(tmp_path):
    path = write_recipe(tmp_path/"r.ipynb", WORK, "if a == 2: 1/0", RESULT)
    run_recipe(path, {}, tmp_path/"o")
    before = {p: p.read_bytes() for p in (tmp_path/"o").rglob("*") if p.is_file()}
    with pytest.raises(RunError,
                       match="The notebook up to that point: .*r.failed.ipynb. The earlier run there was not touched."):
        run_recipe(path, {"a": 2}, tmp_path/"o", overwrite=True)
    assert ({p: p.read_bytes() for p in before} == before and names(tmp_path/"o")
            == sorted([*{p.relative_to(tmp_path/"o").parts[0] for p in before}, "r.failed.ipynb"]))
    run_recipe(path, {"a": 3}, tmp_path/"o", overwrite=True)
    assert "r.failed.ipynb" not in names(tmp_path/"o")


def test_an_input_of_a_run_is_not_in_its_output(tmp_path, toy):
    (tmp_path/"o"/"cohort").mkdir(parents=True)
    for value in (tmp_path/"o", tmp_path/"o"/"cohort"):
        with pytest.raises(InputError, match="read by this very command"):
            run_recipe(toy, {"b": str(value)}, tmp_path/"o", overwrite=True)


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
@pytest.mark.slow
def test_a_run_that_is_killed_leaves_the_earlier_one(tmp_path, toy):
    run_recipe(toy, {"a": 1}, tmp_path/"o")
    code = (f"from cancer_dl.runs import run_recipe; run_recipe({str(toy)!r}, {{'a': 2, 'wait': 30.0, 'log': "
            f"{str(tmp_path/'log')!r}}}, {str(tmp_path/'o')!r}, overwrite=True)")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 120
    while not (tmp_path/"log.started").exists():
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(.05)
    process.kill()
    process.wait()
    assert (json.loads((tmp_path/"o"/"results.json").read_text())["accuracy"] == .1
            and len(list(tmp_path.glob(".o.new-*"))) == 1)
    time.sleep(1)  # its kernel ends within .3 s
    run_recipe(toy, {"a": 3}, tmp_path/"o", overwrite=True)
    assert (json.loads((tmp_path/"o"/"results.json").read_text())["accuracy"] == .3
            and not list(tmp_path.glob(".o.new-*")))

# ---------------------------------------------------------------- the answer at the end

SUMMARY = """
    from cancer_dl.page import first_screen
    first_screen(f"The <network> is right for a = {a}.", [("Accuracy", a/10, (a/20, .9), "guessing gives 0.500")],
                 ["3 samples were left out."], [], "amber")
"""


def with_summary(path):
    "A recipe whose last cell is the answer."
    write_recipe(path, WORK, RESULT, SUMMARY)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata["tags"] = ["summary"]
    nbformat.write(notebook, path)
    return path


def test_the_answer_of_a_run_is_that_of_its_page(tmp_path):
    recipe = with_summary(tmp_path/"told.ipynb")
    run_recipe(recipe, {"a": 4}, tmp_path/"out")
    answer = answer_of(tmp_path/"out")
    assert answer == ["amber: The <network> is right for a = 4.",
                      "Accuracy: 0.400 (0.200 to 0.900); guessing gives 0.500",
                      "Before you rely on it: 3 samples were left out."]
    page = (tmp_path/"out"/"told.html").read_text()
    assert "The &lt;network&gt; is right for a = 4." in page and "0.200 to 0.900" in page


def test_a_run_without_such_a_cell_is_told_by_its_results(tmp_path, toy):
    run_recipe(toy, {"a": 7}, tmp_path/"out")
    assert answer_of(tmp_path/"out")[0] == "accuracy: 0.700"


def swept(values, varied=("param.model", "param.seed"), **columns):
    rows = [{"run": f"r{i}", "status": "finished", "seconds": 1., "error": None, **row} for i, row in enumerate(values)]
    table = pd.DataFrame(rows).assign(**columns)
    table.attrs.update(metric="accuracy", varied=list(varied))
    return table


def test_seeds_are_repeats_and_settings_are_counted():
    rows = [{"param.model": model, "param.seed": seed, "accuracy": value,
             "accuracy_interval": f"[{value - .1:.2f}, {value + .05:.2f}]"}
            for model, values in dict(mlp=(.8, .7), cnn1d=(.9, .6), tiny=(.3, .4)).items()
            for seed, value in enumerate(values)]
    lines = sweep_lines(swept(rows))
    assert lines[0] == "finished   6 of 6 runs"
    # the luckiest single run was cnn1d's
    assert lines[1] == "largest    accuracy 0.750 (0.600 to 0.850), mean of 2 seeds from 0.700 to 0.800: model = mlp"
    assert "model = cnn1d" in lines[2] and "0.500 to 0.950" in lines[2] and "1 other setting lies within" in lines[4]
    assert lines[-1].startswith("Warning: 3 settings were tried.") and "nested" in lines[-1]


def test_one_setting_is_not_chosen_of_many():
    rows = [{"param.seed": seed, "accuracy": .8, "accuracy_interval": "[0.7, 0.9]"} for seed in range(3)]
    assert sweep_lines(swept(rows, ["param.seed"])) == ["finished   3 of 3 runs", "largest    accuracy 0.800 "
                                                        "(0.700 to 0.900), mean of 3 seeds from 0.800 to 0.800"]
    failed = swept(rows, ["param.seed"]).assign(status="failed")
    assert sweep_lines(failed) == ["finished   0 of 3 runs"]
    without = swept([{"param.a": a, "accuracy": a / 10} for a in (1, 2)], ["param.a"])
    assert sweep_lines(without)[1] == "largest    accuracy 0.200: a = 2"


@pytest.mark.slow
def test_run_and_sweep_end_with_the_answer_and_the_paths(tmp_path, capsys, monkeypatch):
    from cancer_dl.cli import main
    def said(*words):
        with pytest.raises(SystemExit) as end: main([str(word) for word in words])
        found = capsys.readouterr()
        assert end.value.code == 0, found.err
        return found.out
    recipe = with_summary(tmp_path/"told.ipynb")
    lines = said("run", recipe, "-p", "a", 4, "--out", tmp_path/"r").splitlines()
    assert (lines[0] == "answer     amber: The <network> is right for a = 4."
            and lines[1].strip().startswith("Accuracy: 0.400 (0.200 to 0.900)"))
    assert (lines[3:5] == [f"page       {tmp_path/'r'/'told.html'}", f"results    {tmp_path/'r'/'results.json'}"]
            and lines[-1].startswith("folder "))
    monkeypatch.setattr(runs, "run_recipe", lambda *_, verbose, **__: None if not verbose else print("a bar"))
    assert said("run", recipe, "-p", "a", 4, "--out", tmp_path/"r", "--overwrite", "--quiet") == ""
    monkeypatch.undo()
    (tmp_path/"g.yaml").write_text(f"recipe: {recipe}\ngrid:\n  a: [4, 6]\n")
    lines = said("sweep", tmp_path/"g.yaml", "--out", tmp_path/"s").splitlines()
    assert (lines[:2] == ["finished   2 of 2 runs", "largest    accuracy 0.600: a = 6"]
            and "Warning: 2 settings were tried" in lines[3])
    assert lines[-2:] == [f"page       {tmp_path/'s'/'summary.html'}", f"table      {tmp_path/'s'/'results.parquet'}"]
    assert "2 settings were tried" in (tmp_path/"s"/"summary.html").read_text()
    assert said("sweep", tmp_path/"g.yaml", "--out", tmp_path/"s", "--quiet") == ""

def test_the_command_of_a_run_gives_its_parameters_again(toy):
    import shlex
    from cancer_dl.parameters import check_parameters, parse_parameters
    given = dict(a=3)
    words = shlex.split(command_of(toy, given, "a folder/o"))
    assert words[:3] == ["cancer_dl", "run", str(toy)] and words[-2:] == ["--out", "a folder/o"]
    pairs = list(zip(words[4:-2:3], words[5:-2:3]))
    assert check_parameters(toy, parse_parameters(pairs)) == given
    assert (command_of("robustness", dict(levels=[0, 1.5], normal_class=True, cohort="my files/é", samples=None), "o")
            == "cancer_dl run robustness -p levels '[0, "
            "1.5]' -p normal_class true -p cohort 'my files/é' -p samples null --out o")
