"The rules of the house: notebooks and library agree, chapters import only earlier ones, imports stay light."
import ast
import functools
import configparser
import importlib
import inspect
import json
import pydoc
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted(ROOT.glob("nbs/[0-9]*.ipynb"))

@functools.cache
def cells(path): return json.loads(path.read_text(encoding="utf-8"))["cells"]

def module_of(path):
    for cell in cells(path):
        found = re.search(r"^#\|\s*default_exp\s+(\S+)", "".join(cell["source"]), re.M)
        if found: return found[1]

NUMBER = {module_of(p): int(p.name.split("_")[0]) for p in CHAPTERS}

def imported(path):
    "Modules of the package that the exported cells of a chapter import."
    source = "\n".join("".join(c["source"]) for c in cells(path)
                       if c["cell_type"] == "code" and re.match(r"#\|\s*exports?\b", "".join(c["source"])))
    for node in ast.walk(ast.parse(source)):
        names = ([node.module] if isinstance(node, ast.ImportFrom) and node.module
                 else [a.name for a in node.names] if isinstance(node, ast.Import) else [])
        yield from (n.removeprefix("cancer_dl.") for n in names if n.startswith("cancer_dl."))

def test_every_chapter_makes_a_module():
    assert len(CHAPTERS) >= 15 and None not in NUMBER

@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_imports_only_earlier_chapters(path):
    own = NUMBER[module_of(path)]
    late = [name for name in imported(path) if NUMBER[name] >= own]
    assert not late, f"{path.name} imports {late}"

@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_reads_like_one(path):
    content = cells(path)
    first = "".join(content[0]["source"])
    assert content[0]["cell_type"] == "markdown" and re.match(r"# .+\n\n> .+", first), (
        "a chapter opens with a title and one line that begins with >")
    outputs = [o for c in content if c["cell_type"] == "code" for o in c["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"], "a committed output is an error"
    assert not [o for o in outputs if o.get("name") == "stderr"], "a committed output is noise on standard error"

@pytest.mark.parametrize("path", [*CHAPTERS, *ROOT.glob("nbs/recipes/*.ipynb"), *ROOT.glob("nbs/papers/*.ipynb"),
                                  *ROOT.glob("nbs/tutorials/*.ipynb"),
                                  *ROOT.glob("nbs/networks/*.ipynb"), ROOT/"nbs/index.ipynb"], ids=lambda p: p.stem)
def test_no_machine_paths(path):
    text = "".join("".join(c["source"]) + json.dumps(c.get("outputs", [])) for c in cells(path))
    assert not re.search(r"[^.\w](/work/|/tmp/|/root/|/home/)", text)

def imports(node): return isinstance(node, (ast.Import, ast.ImportFrom))

@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_cells_that_import_do_nothing_else(path):
    "nbdev executes every cell with an import when it makes the documentation, without the cells around it."
    mixed = []
    for cell in cells(path):
        if cell["cell_type"] != "code": continue
        source = "".join(cell["source"])
        exported, tree = re.search(r"^#\|\s*exports?\b", source, re.M), ast.parse(source)
        # an exported function may import where it needs to
        within = any(map(imports, tree.body if exported else ast.walk(tree)))
        if within and not all(map(imports, tree.body)): mixed.append(cell["id"])
    assert not mixed, f"{path.name}: give the imports of {mixed} a cell of their own"

# chapters whose lines are still to be wrapped
def not_yet_short() -> set:
    "Chapters that pyproject.toml still excuses from the longest line."
    rules = tomllib.loads((ROOT/"pyproject.toml").read_text(
        encoding="utf-8"))["tool"]["ruff"]["lint"]["per-file-ignores"]
    return {Path(name).stem for name, codes in rules.items() if name.startswith("nbs/") and "E501" in codes}

@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_lines_of_code_are_short(path):
    """At most 120 columns, in exported cells, examples and tests;
    a chapter leaves the list in pyproject.toml when it is clean."""
    long = [f"{c['id']}: {line}" for c in cells(path) if c["cell_type"] == "code"
            for line in "".join(c["source"]).splitlines() if len(line) > 120]
    if path.stem in not_yet_short(): assert long, f"{path.stem} is clean: take it out of pyproject.toml"
    else: assert not long, f"{path.name}: wrap these lines at 120 columns: {long}"

def test_recipes_have_one_cell_of_parameters():
    for path in [*ROOT.glob("nbs/recipes/*.ipynb"), *ROOT.glob("nbs/papers/*.ipynb")]:
        assert sum("parameters" in c["metadata"].get("tags", []) for c in cells(path)) == 1, path.name

def test_notebooks_and_library_agree(tmp_path):
    "Export and clean in a copy; nothing may change."
    copy = tmp_path/"copy"
    ignore = shutil.ignore_patterns(".git", ".venv", "_docs", "_proc", "runs", "__pycache__", "*.egg-info",
                                    ".ipynb_checkpoints")
    shutil.copytree(ROOT, copy, ignore=ignore)
    for command in ("nbdev_export", "nbdev_clean"):
        done = subprocess.run([Path(sys.executable).parent/command], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    def content(root):
        return {p.relative_to(root): p.read_text(encoding="utf-8") for folder in ("cancer_dl", "nbs")
                for p in (root/folder).rglob("*") if p.suffix in (".py", ".ipynb")
                and not {"runs", "__pycache__", ".ipynb_checkpoints", "_proc"} & set(p.parts)}
    before, after = content(ROOT), content(copy)
    assert set(before) == set(after)
    assert not [str(p) for p in before if before[p] != after[p]], "run nbdev_export and nbdev_clean, and commit"

def test_readme_is_the_index():
    sys.path.insert(0, str(ROOT/"scripts"))
    from make_readme import readme
    text, figures = readme(ROOT/"nbs/index.ipynb")
    assert (ROOT/"README.md").read_text(encoding="utf-8") == text, "run python scripts/make_readme.py"
    assert {p.name: p.read_bytes() for p in (ROOT/"nbs/images").glob("index-*.png")} == figures, (
        "run python scripts/make_readme.py")

HEAVY = ("tensorflow", "keras", "jax", "torch", "pandas", "anndata", "sklearn", "matplotlib", "papermill", "scipy")

@pytest.mark.parametrize("module, allowed",
                         [("cancer_dl", ()), ("cancer_dl.cli", ()), ("cancer_dl.core", ()),
                          ("cancer_dl.classify", ("pandas", "anndata", "sklearn", "matplotlib", "scipy"))])
def test_imports_stay_light(module, allowed):
    "Seconds depend on the machine; what is imported does not."
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = ast.literal_eval(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                            check=True).stdout)
    assert set(found) <= set(allowed)

def test_bands_20_to_40_see_arrays():
    for path in CHAPTERS:
        if 20 <= int(path.name[:2]) < 50:
            source = "\n".join("".join(c["source"]) for c in cells(path)
                               if re.match(r"#\|\s*exports?\b", "".join(c["source"])))
            assert not re.search(r"^\s*(import|from) (pandas|anndata)", source, re.M), path.name

def test_reasons_for_requirements_are_written_down():
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT/"settings.ini", encoding="utf-8")
    text = (ROOT/"CONTRIBUTING.md").read_text(encoding="utf-8")
    for requirement in settings["DEFAULT"]["requirements"].split():
        name = re.split(r"[<>=\[]", requirement)[0]
        assert f"`{name}`" in text, f"CONTRIBUTING.md does not say why {name} is needed"

# where a distribution's module has another name
MODULE_OF = {"scikit-learn": "sklearn", "pyyaml": "yaml", "pillow": "PIL"}
# imported only where somebody asks for them
OPTIONAL = {"jax", "torch", "ray", "distributed", "shap", "umap", "openpyxl", "lightgbm", "lifelines", "sksurv"}

def test_what_is_imported_is_required():
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT/"settings.ini", encoding="utf-8")
    required = {MODULE_OF.get(name, name)
                for name in (re.split(r"[<>=\[]", r)[0] for r in settings["DEFAULT"]["requirements"].split())}
    used = set()
    for path in (ROOT/"cancer_dl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = ([a.name for a in node.names] if isinstance(node, ast.Import)
                     else [node.module] if isinstance(node, ast.ImportFrom) and not node.level else [])
            used |= {name.split(".")[0] for name in names}
    assert used - set(sys.stdlib_module_names) - {"cancer_dl"} - OPTIONAL <= required

MODULES = sorted(".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT/"cancer_dl").rglob("*.py")
                 if p.name not in ("__init__.py", "_modidx.py"))

# of commands, --help shows the options
@pytest.mark.parametrize("name", [name for name in MODULES if name != "cancer_dl.cli"])
def test_help_explains_every_public_name(name):
    from cancer_dl.document import undocumented
    module = importlib.import_module(name)
    assert module.__all__
    missing = undocumented(module)
    assert not missing, f"write a comment beside these arguments, or a first line under these names: {missing}"

def test_names_of_the_package_show_their_arguments():
    "As `help(cancer_dl.NAME)` prints them, for the names that are loaded when they are first used."
    import cancer_dl
    for name in cancer_dl.__all__[1:]:
        thing = getattr(cancer_dl, name)
        own = inspect.isfunction(thing) or "__init__" in vars(thing)
        text = pydoc.plain(pydoc.render_doc(thing))
        for argument in inspect.signature(thing).parameters if own else ():
            assert re.search(rf"^[ |]*\*{{0,2}}{argument}( :.*)?\n[ |]+[^ |\n]", text,
                             re.M), f"help({name}) says nothing about {argument}"

def test_every_option_of_every_command_is_explained():
    import typer.main
    from cancer_dl.cli import app
    commands = [("", typer.main.get_command(app))]
    for path, command in commands:
        commands += [(f"{path} {name}", child) for name, child in getattr(command, "commands", {}).items()]
        assert command.help and command.help.strip(), path
        assert not [p.name for p in command.params if p.name != "help" and not getattr(p, "help", None)], path
    assert len(commands) > 10

@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_cells_have_ids_of_their_own(path):
    ids = [cell["id"] for cell in cells(path)]
    assert not {one for one in ids if ids.count(one) > 1}

@functools.cache
def defined(file) -> frozenset:
    "Names that a module defines itself, at any depth."
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    return frozenset([node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
                     + [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)])

@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_names_are_imported_from_where_they_are_defined(path):
    passed_on = []
    for cell in cells(path):
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or not re.search(r"^\s*from cancer_dl\.", source, re.M): continue
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("cancer_dl."): continue
            file = ROOT.joinpath(*node.module.split(".")).with_suffix(".py")
            if not file.exists(): continue  # a folder of chapters
            passed_on += [f"{node.module}.{a.name}" for a in node.names if a.name not in defined(file)]
    assert not passed_on, f"{path.name} imports {passed_on} from a chapter that only imports them itself"

def test_a_star_import_says_nothing_of_older_names():
    import warnings

    import cancer_dl
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        for name in cancer_dl.__all__: getattr(cancer_dl, name)
    for name, home in cancer_dl._OLD.items():
        with pytest.warns(FutureWarning): getattr(cancer_dl, name)
        assert name not in cancer_dl.__all__ and name not in dir(cancer_dl) and home
