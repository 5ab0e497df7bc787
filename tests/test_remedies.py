"""Every remedy that a message names exists where it is named;
what is wrong with the words of a command comes before Keras."""
import ast
import functools
import inspect
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

import cancer_dl
from cancer_dl import cli
from cancer_dl.classify import train_classifier
from cancer_dl.data.labels import SMALL_CLASSES
from cancer_dl.core import InputError
from cancer_dl.data.cohort import read_cohort, write_cohort
from cancer_dl.data.simulate import simulate_cohort
from cancer_dl.parameters import FILES_READ, check_parameters, list_recipes, recipe_parameters
from cancer_dl.runs import run_recipe
from cancer_dl.train.assess import HOW
from cancer_dl.train.bundle import save_bundle

PACKAGE = Path(cancer_dl.__file__).parent
# of pandas and numpy, in examples; `key=value`
OTHERS = {"sep", "index_col", "header", "index", "columns", "values", "return_inverse", "key",
          "enable_metadata_routing"}  # of scikit-learn
ARGUMENT = re.compile(r"(?<![\w.-])(?<!--set )([a-z_]+)=(?='|\w|…|\(|\[)")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])\b")


def words_of(node):
    "A text, or an f-string with `x` for what is filled in."
    if isinstance(node, ast.Constant) and isinstance(node.value, str): return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join("x" if isinstance(v, ast.FormattedValue) else words_of(v) for v in node.values)
    return None


def messages(path):
    "Sentences of a module: texts with a space that are no docstring and no formula."
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Module)
    skip = {id(n.body[0].value) for n in ast.walk(tree)
            if isinstance(n, kinds) and n.body and isinstance(n.body[0], ast.Expr)}
    skip |= {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in ast.walk(n) if v is not n}
    for node in ast.walk(tree):
        text = None if id(node) in skip else words_of(node)
        if text and " " in text and "<" not in text and "X.sum" not in text: yield f"{path.name}:{node.lineno}", text


@functools.cache
def all_messages():
    "Of every module."
    return [m for path in sorted(PACKAGE.rglob("*.py")) if path.name != "_modidx.py" for m in messages(path)]


def commands():
    "Every command by its words: click's description."
    found = {}
    def walk(group, words):
        for name, command in group.commands.items():
            if hasattr(command, "commands"): walk(command, (*words, name))
            else: found[(*words, name)] = command
    walk(typer.main.get_command(cli.app), ())
    return found


def arguments_of_the_package() -> set:
    "Names of the arguments of all public functions, methods and classes."
    names = set()
    for info in pkgutil.walk_packages([str(PACKAGE)], "cancer_dl."):
        if info.name.rpartition(".")[2].startswith("_"): continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            for part in (thing, *(vars(thing).values() if inspect.isclass(thing) else ())):
                try: names |= set(inspect.signature(part).parameters)
                except (TypeError, ValueError): pass
    return names


def test_every_argument_that_a_message_names_exists():
    known = arguments_of_the_package() | OTHERS
    named = [(place, name) for place, text in all_messages() for name in ARGUMENT.findall(text)]
    assert len(named) > 40 and "missing" in {name for _, name in named}
    unknown = [(place, name) for place, name in named
               if name not in known and not place.startswith(("device.py", "page.py", "template"))]
    assert not unknown, unknown


def test_every_option_that_a_message_names_exists():
    known = {o.removeprefix("--") for command in commands().values() for p in command.params
             for o in (*p.opts, *p.secondary_opts)} | {"help", "debug", "version"}
    named = [(place, name) for place, text in all_messages() for name in OPTION.findall(text)
             if not place.startswith(("device.py", "page.py"))]
    assert len(named) > 20
    assert not [pair for pair in named if pair[1] not in known]


READING = [name for name, p in inspect.signature(read_cohort).parameters.items()
           if p.kind is p.KEYWORD_ONLY and name not in ("refuse", "verbose")]


def test_every_command_that_reads_a_cohort_has_all_rules_of_reading():
    assert {"missing", "duplicates", "unnamed", "unmatched", "empty", "gene_map"} <= set(READING)
    for words in (("train",), ("predict",), ("evaluate",), ("explain",), ("data", "info")):
        assert {*READING, "samples"} <= {p.name for p in commands()[words].params}, words


@pytest.mark.parametrize("recipe", [r for r in list_recipes() if not r.startswith("papers/")
                                    and r not in ("timeseries", "mutations")])  # these read no cohort
def test_every_recipe_has_all_rules_of_reading_and_explains_its_parameters(recipe):
    parameters = recipe_parameters(recipe)
    assert {*READING, "samples"} <= set(parameters)
    if recipe not in ("batch", "benchmark"):  # one learns no classes, the folds of the other say how small one may be
        assert "min_class_size" in parameters
    assert not [name for name, p in parameters.items() if not p["help"]]
    assert "keep" in parameters["missing"]["help"]
    lines = list(cli._parameter_lines(recipe, list_recipes(), parameters))
    for name in parameters: assert name == "out" or any(line.split()[:1] == [name] for line in lines)


@pytest.mark.parametrize("command, recipe, text, said", [
    (None, None, "State missing='zero'.", "State missing='zero'."),
    ("train", None, "State missing='zero', 'drop_genes'.", "State --missing 'zero', 'drop_genes'."),
    ("train", None, "with normal_class=True (--normal-class) or filter_genes=False.",
     "with --normal-class or --no-filter."),
    ("train", None, "Allow more, with epochs=100 (--epochs 100).", "Allow more, with --epochs 100."),
    ("train", None, "Write survival=('time', 'event') (--survival time,event).", "Write --survival time,event."),
    (None, None, "Write survival=('time', 'event').", "Write survival=('time', 'event')."),
    ("evaluate", None, "Write label='time,event' (--label time,event).", "Write --label 'time,event'."),
    ("data_batch", None, "Give it as numbers=['age'] (--keep-number age), or", "Give it as --keep-number age, or"),
    ("train", None, "--set model=mlp: no", "--set model=mlp: no"),
    ("predict", None, "predict with rescale='cohort'.", "predict with --rescale 'cohort'."),
    ("predict", None, "train with components=9 (--components 9)", "train with --components 9"),
    ("data_info", None, "map them (read_cohort with gene_map=…).", "map them (--gene-map …)."),
    ("data_simulate", None, "replace it with overwrite=True. Nothing", "replace it with --overwrite. Nothing"),
    ("run", "train", "replace it with overwrite=True. Nothing", "replace it with --overwrite. Nothing"),
    ("run", "train", "State missing='zero'.", "State -p missing 'zero'."),
    ("run", "train", "with drop_unlabelled=True (--drop-unlabelled).", "with -p drop_unlabelled True."),
    ("run", "train", "Leave them out with --min-class-size 2 or --normal-class",
     "Leave them out with -p min_class_size 2 or -p normal_class True"),
    ("run", "subtypes", "leave them (canonical=False).", "leave them (-p canonical False)."),
    ("run", "crossval", "train with components=9 (--components 9)", "train with -p components 9"),
    ("sweep_command", None, "or use --backend loky.", "or use --backend loky.")])
def test_messages_name_what_the_command_takes(monkeypatch, command, recipe, text, said):
    monkeypatch.setitem(cli._state, "command", command)
    monkeypatch.setitem(cli._state, "recipe", recipe)
    assert cli._as_typed(text) == said


def test_choices_that_are_checked_early_are_those_of_the_library():
    source = inspect.getsource(cli)
    for values in (HOW, SMALL_CLASSES):
        assert f"[{', '.join(f'{chr(34)}{v}{chr(34)}' for v in sorted(values, key=list(values).index))}]" in source


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A cohort, one without the label, and a bundle."
    folder = tmp_path_factory.mktemp("made")
    cohort = simulate_cohort(n_samples=120, n_genes=60, n_classes=3)
    write_cohort(cohort, folder/"c")
    save_bundle(train_classifier(cohort, judge="holdout", epochs=1, model="mlp").bundle, folder/"b")
    save_bundle(train_classifier(cohort, judge="holdout", epochs=1, model="mlp").bundle, folder/"b.zip")
    cohort.obs = cohort.obs.drop(columns="cancer_type")
    write_cohort(cohort, folder/"bare")
    return folder


WRONG = {"train": "train nowhere --out o|train c --out o --label nope|train c --out o --judge maybe|train c --out o "
         "--small-classes maybe|train c --out o --missing maybe|train c --out o --model maybe|train c --out o --set "
         "optimizer=maybe|train c --out o --set loss=maybe|train c --out o --set precision=float8",
         "predict": "predict b nowhere --out p.csv|predict nowhere c --out p.csv|predict b.zip nowhere "
         "--out p.csv|predict b c --out p.csv --rescale maybe|"
         "predict b c --out p.csv --min-score 3|predict b c --out p.csv --missing maybe",
         "evaluate": "evaluate b nowhere --out o|evaluate b c --out o --label nope|evaluate b bare --out o|evaluate "
         "b.zip bare --out o|evaluate b c --out o --rescale maybe",
         "explain": "explain b nowhere --out o|explain b c --out o --label nope|explain b bare --out o|explain b c "
         "--out o --method maybe|explain b c --out o --gene-sets no.gmt",
         "run": "run train -p cohort nowhere --out o|run trian --out o|run train -p nonsense 1 --out "
         "o|run explain -p bundle nowhere --out o",
         "sweep": "sweep nowhere.yaml --out o|sweep grid.yaml --out o"}


@pytest.mark.slow
@pytest.mark.parametrize("command", WRONG)
def test_wrong_input_is_refused_before_keras_is_loaded(made, command):
    "In one process, since a process costs seconds: not one of these commands may load Keras."
    (made/"grid.yaml").write_text("recipe: trian\ngrid: {epochs: [1]}\n")
    calls = [line.split() for line in WRONG[command].split("|")]
    code = ("import sys\nfrom cancer_dl.cli import main\n"
            f"for words in {calls!r}:\n"
            "    try: main(words)\n"
            "    except SystemExit as end: "
            "print(end.code, 'keras' in sys.modules or 'tensorflow' in sys.modules, *words)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=made)
    assert [line for line in done.stdout.splitlines() if " normals " not in line and " normal tissue "
            not in line] == [f"2 False {' '.join(words)}" for words in calls], done.stdout + done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("Error: ") == len(calls)


def test_files_of_a_recipe_are_looked_for_before_it_starts(made):
    for name in set(FILES_READ) & {"cohort", "samples"}:
        with pytest.raises(InputError, match=f"parameter {name} .* no such file"):
            check_parameters("train", {name: "nowhere.csv"})
    assert check_parameters("train", {"gene_map": "symbol", "cohort": str(made/"c")})["gene_map"] == "symbol"
    with pytest.raises(InputError, match="gene_map"): check_parameters("train", {"gene_map": "nowhere.tsv"})


@pytest.mark.slow
def test_a_recipe_takes_missing_values_and_a_failed_one_says_what_it_left(made, tmp_path):
    cohort = read_cohort(made/"c")
    cohort.X[np.random.default_rng(0).random(cohort.shape) < .03] = np.nan
    write_cohort(cohort, tmp_path/"holed")
    with pytest.raises(InputError, match=r"missing='zero'.*The notebook up to that point: .*train.failed.ipynb"):
        run_recipe("train", {"cohort": str(tmp_path/"holed"), "epochs": 1, "compare": False}, tmp_path/"o",
                   verbose=False)
    found = run_recipe("train", {"cohort": str(tmp_path/"holed"), "epochs": 1, "compare": False, "judge": "holdout",
                                 "missing": "keep"}, tmp_path/"o", verbose=False)
    assert 0 <= found["accuracy"] <= 1
