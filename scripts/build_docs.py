"""Build the documentation site from the executed notebooks: `python scripts/build_docs.py`.

The notebooks are never executed here; their committed outputs are shown. Each chapter becomes a page: cells under
`#| hide` are dropped, cells under `#| exports` are shown, and of cells under `#| export` the public functions are
described by signature, docstring and the comments of their arguments. The same description, module by module, makes the
API pages. Everything is read from the source text, so no module of the package is imported. Warnings are errors.

Formulas become MathML, which browsers draw themselves: the site needs nothing from the network.
"""
import argparse
import ast
import configparser
import importlib.util
import io
import json
import os
import re
import shutil
import sys
import tempfile
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BANDS = [(0, "Foundations"), (3, "Data"), (20, "Models"), (30, "Training"), (40, "Interpretation"),
         (50, "Applications"), (60, "Sequence-shaped problems"), (80, "Runs and command line")]
FOLDERS = [("tutorials", "Tutorials"), ("networks", "Networks"), ("recipes", "Recipes"), ("papers", "Papers")]
STYLE = """
.bd-article-container {max-width: 64rem !important}
.bd-header {display: none !important}
div.cell div.cell_input {border-left: 3px solid #0072b2}
div.cell div.cell_input pre {font-size: .8rem; white-space: pre-wrap}
div.cell div.cell_output pre {font-size: .82rem; white-space: pre-wrap; overflow-wrap: anywhere}
dl.py > dd > p:first-child {margin-top: .3rem}
dl.py.function, dl.py.class, dl.py.method {background: #f7f9fb; border-left: 3px solid #9bb8cc; \
padding: .5rem .8rem; border-radius: 2px}
html[data-theme=dark] dl.py {background: #1d2328}
dl.py dl.py {border: none; padding: 0 0 0 .6rem}
dl.py dt.sig {font-size: .88rem}
.chapter-line {color: var(--pst-color-text-muted); font-size: .9rem}
div.math {overflow-x: auto; padding: .4rem 0; text-align: center; justify-content: center}
math {font-size: 1.08em}
"""


def settings() -> dict:
    parser = configparser.ConfigParser(delimiters=["="])
    parser.read(ROOT/"settings.ini", encoding="utf-8")
    return dict(parser["DEFAULT"])


# -- reading Python source: signatures and the comments of arguments

def comments_of(source: str) -> dict:
    "Comment of each line that ends in one, by line number."
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT}


def docments(node, comments: dict) -> tuple[dict, str]:
    "What the comments say about each argument of a function, and about what it returns."
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs,
                 *filter(None, [node.args.vararg, node.args.kwarg])]
    first_lines = [a.lineno for a in arguments]
    body = node.body[0].lineno
    about = {}
    for a in sorted(arguments, key=lambda a: a.lineno):
        if first_lines.count(a.lineno) > 1: continue
        if a.lineno in comments: about[a.arg] = comments[a.lineno]
    last = max([a.end_lineno for a in arguments], default=node.lineno)
    returned = [comments[n] for n in range(last, body) if n in comments
                and (n > last or last not in first_lines or not about or node.returns and node.returns.lineno == n)]
    returned = [text for text in returned if text not in about.values()]
    return about, returned[-1] if returned else ""


def signature(node) -> str:
    "Arguments of a function as one line."
    text = f"({ast.unparse(node.args)})"
    if text.startswith("(self"): text = "(" + text[5:].removeprefix(", ")
    return text + (f" -> {ast.unparse(node.returns)}" if node.returns is not None else "")


def escape(text: str) -> str:
    "Markdown's special signs outside of `code` made ordinary."
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*<>$\[\]_|~\\])", r"\\\1", p) for p in parts)


def paragraphs(docstring: str | None) -> str:
    return escape("\n".join(line.strip() for line in (docstring or "").strip().splitlines()))


def describe(node, comments: dict, module: str, index: bool, level: int = 0) -> str:
    "A function or class as a Sphinx object description in MyST."
    fence = ":"*(6 - level)
    is_class = isinstance(node, ast.ClassDef)
    init = (next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
            if is_class else node)
    about, returned = docments(init, comments) if init else ({}, "")
    kind = "class" if is_class else "method" if level else "function"
    lines = [f"{fence}{{py:{kind}}} {node.name}{signature(init) if init else ''}"]
    if not level: lines.append(f":module: {module}")
    if not index: lines.append(":no-index:")
    lines += ["", paragraphs(ast.get_docstring(node)), ""]
    lines += [f":param {a}: {escape(text)}" for a, text in about.items()]
    if returned and not is_class: lines.append(f":returns: {escape(returned)}")
    if is_class:
        methods = [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
        lines += ["", *(describe(n, comments, module, index, level + 1) for n in methods)]
    return "\n".join([*lines, fence, ""])


def public(source: str) -> list:
    "Public functions and classes at the top of a module or a cell."
    try: tree = ast.parse(source)
    except SyntaxError: return []
    return [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.name.startswith("_")]


# -- notebooks to pages

def directives(source: str) -> tuple[set, str]:
    "The `#|` flags of a cell, and its code without them."
    lines = source.splitlines()
    flags = {line[2:].split()[0].rstrip(":") for line in lines
             if line.startswith("#|") and len(line) > 2 and line[2:].split()}
    return flags, "\n".join(line for line in lines if not line.startswith("#|")).strip("\n")


def convert_cell(cell: dict, module: str) -> dict | None:
    "A cell as the reader shall see it, or None."
    source = "".join(cell["source"])
    if cell["cell_type"] != "code": return {**cell, "source": source}
    flags, code = directives(source)
    if flags & {"hide", "default_exp"} or not code.strip(): return None
    if "export" in flags:
        comments = comments_of(code)
        text = "\n".join(describe(node, comments, module, index=False) for node in public(code))
        return {"cell_type": "markdown", "metadata": {}, "id": cell["id"], "source": text} if text else None
    return {**cell, "source": code}


def title_of(cells: list) -> str:
    prose = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    found = re.search(r"^# +(.+)$", prose, re.M)
    return found[1].strip() if found else ""


def convert_notebook(path: Path, links) -> dict:
    "A notebook ready for Sphinx: numbered title, a line that says where it belongs, links that lead somewhere."
    notebook = json.loads(path.read_text(encoding="utf-8"))
    relative = path.relative_to(ROOT).as_posix()
    exported = re.search(r"^#\| *default_exp +(\S+)", "\n".join("".join(c["source"]) for c in notebook["cells"]), re.M)
    module = f"cancer_dl.{exported[1]}" if exported else ""
    cells = [c for c in (convert_cell(c, module) for c in notebook["cells"]) if c]
    if not title_of(cells):
        cells.insert(0, {"cell_type": "markdown", "metadata": {}, "id": "title", "source": f"# {path.stem}"})
    number = re.match(r"(\d+)_", path.name)
    for cell in cells:
        if cell["cell_type"] != "markdown": continue
        cell["source"] = links(cell["source"], path.parent)
        if number and re.search(r"^# ", cell["source"], re.M):
            cell["source"] = re.sub(r"^# ", f"# {number[1]} · ", cell["source"], count=1, flags=re.M)
            api = f" · [API](api/{module}.md)" if module else ""
            cell["source"] += ("\n\n<p class=\"chapter-line\">\n\n"
                               f"`{module}` · [notebook]({settings()['git_url']}/blob/main/{relative}){api}\n\n</p>")
            number = None
    return {"cells": cells, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"},
                                         "language_info": {"name": "python", "pygments_lexer": "ipython3"}},
            "nbformat": 4, "nbformat_minor": 5}


def linker(source: Path):
    "A function that repairs relative links: to pages of this site, or else to the repository."
    base = f"{settings()['git_url']}/blob/main/"
    def links(text: str, folder: Path) -> str:
        def repair(match):
            label, target, anchor = match[1], match[2], match[3] or ""
            path = (folder/target).resolve()
            if not path.is_relative_to(ROOT): return match[0]
            if path.is_relative_to(ROOT/"nbs") and path.suffix in (".ipynb", ".md"):
                return f"{label}(/{path.relative_to(ROOT/'nbs').as_posix()}{anchor})"
            if path in texts(): return f"{label}(/{path.relative_to(ROOT).as_posix()}{anchor})"
            if label.startswith("!") and path.is_file():
                (source/"images").mkdir(exist_ok=True)
                shutil.copy(path, source/"images"/path.name)
                return f"{label}(/images/{path.name})"
            return f"{label}({base}{path.relative_to(ROOT).as_posix()}{anchor})"
        return re.sub(r"(!?\[[^\]]*\])\((?!\w+:|#|/)([^)#\s]+)(#[^)\s]*)?\)", repair, text)
    return links


def api_page(path: Path, chapter: str) -> str:
    "The public functions and classes of a module."
    source = path.read_text(encoding="utf-8")
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    text = re.search(r'^"""(.*?)"""', source, re.S)
    comments = comments_of(source)
    head = [f"# {module}", "", escape(text[1].strip()) if text else "", "",
            f"Explained, with examples, in the chapter [](/{chapter})." if chapter else "", "",
            f"```{{py:module}} {module}\n```", ""]
    return "\n".join(head + [describe(node, comments, module, index=True) for node in public(source)])


def write_pages(source: Path) -> None:
    "Write all pages and the index into `source`."
    links = linker(source)
    toctrees, chapters = [], {}
    for path in sorted((ROOT/"nbs").rglob("*.ipynb")):
        if path.name[0] in "._" or ".ipynb_checkpoints" in path.parts: continue
        target = source/path.relative_to(ROOT/"nbs")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(convert_notebook(path, links)), encoding="utf-8")
        exported = re.search(r"default_exp +([\w.]+)", path.read_text(encoding="utf-8"))
        if exported: chapters[exported[1]] = path.name
    numbers = {path.name: int(path.name.split("_")[0]) for path in sorted((ROOT/"nbs").glob("[0-9]*_*.ipynb"))}
    for folder, caption in FOLDERS[:1]:
        toctrees.append((caption, sorted(f"{folder}/{p.name}" for p in (source/folder).glob("*.ipynb"))))
    for (low, caption), (high, _) in zip(BANDS, [*BANDS[1:], (1000, "")]):
        toctrees.append((caption, [n for n, k in numbers.items() if low <= k < high]))
    for folder, caption in FOLDERS[1:]:
        toctrees.append((caption, sorted(f"{folder}/{p.name}" for p in (source/folder).glob("*.ipynb"))))
    (source/"api").mkdir()
    for path in sorted((ROOT/"cancer_dl").rglob("*.py")):
        if path.name.startswith("_"): continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        (source/"api"/f"{module}.md").write_text(api_page(path, chapters.get(module.removeprefix("cancer_dl."), "")),
                                                 encoding="utf-8")
    order = {f"cancer_dl.{module}": name for module, name in chapters.items()}
    toctrees.append(("API", sorted((f"api/{p.name}" for p in (source/"api").glob("*.md")),
                                   key=lambda n: order.get(n[4:-3], "99"))))
    toctrees.append(("Project", copy_texts(source, links)))
    write_index(source, links, toctrees)


def texts() -> list:
    "The texts of the repository and the committed measurements that become pages."
    return [path for path in [*sorted((ROOT/"bench").glob("*.md")), ROOT/"CHANGELOG.md", ROOT/"CONTRIBUTING.md"]
            if path.exists()]


def copy_texts(source: Path, links) -> list:
    "Copy the texts; give their names."
    names = []
    for path in texts():
        name = path.relative_to(ROOT).as_posix()
        (source/name).parent.mkdir(exist_ok=True)
        text = path.read_text(encoding="utf-8")
        if not re.search(r"^# ", text, re.M): text = f"# {path.stem}\n\n{text}"
        (source/name).write_text(links(text, path.parent), encoding="utf-8")
        names.append(name)
    return names


def write_index(source: Path, links, toctrees: list) -> None:
    "The first page: the README's text, and the tables of contents."
    trees = "\n".join(f"```{{toctree}}\n:caption: {caption}\n:hidden:\n\n" + "\n".join("/" + n for n in names)
                      + "\n```\n" for caption, names in toctrees if names)
    if (source/"index.ipynb").exists():
        notebook = json.loads((source/"index.ipynb").read_text(encoding="utf-8"))
        notebook["cells"].append({"cell_type": "markdown", "metadata": {}, "id": "contents", "source": trees})
        return (source/"index.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    readme = ROOT/"README.md"
    text = (links(readme.read_text(encoding="utf-8"), ROOT) if readme.exists()
            else f"# {settings()['lib_name']}\n\n{settings()['description']}.")
    (source/"index.md").write_text(f"{text}\n\n{trees}", encoding="utf-8")


# -- Sphinx

def mathml(text: str, display: str) -> str:
    from latex2mathml.converter import convert
    return convert(text.strip(), display=display)


def inline_math(translator, node):
    from docutils import nodes
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block_math(translator, node):
    from docutils import nodes
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app):
    "This file is a Sphinx extension too: it draws formulas as MathML."
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def configuration() -> dict:
    s = settings()
    return {
        "project": s["title"], "author": s["author"], "copyright": s["copyright"], "release": s["version"],
        "version": s["version"], "extensions": "myst_nb,build_docs", "html_theme": "sphinx_book_theme",
        "html_title": s["title"], "html_math_renderer": "mathml",
        "nb_execution_mode": "off", "nb_merge_streams": True, "nb_ipywidgets_js": {},
        "myst_enable_extensions": ["dollarmath", "amsmath", "colon_fence", "fieldlist", "deflist"],
        "myst_dmath_double_inline": True, "myst_dmath_allow_digits": False, "myst_dmath_allow_space": False,
        "myst_heading_anchors": 3, "myst_update_mathjax": False,
        "suppress_warnings": ["myst.header", "mystnb.unknown_mime_type"],
        "html_static_path": ["_static"], "html_css_files": ["style.css"], "html_copy_source": False,
        "html_show_sourcelink": False, "html_last_updated_fmt": None, "python_use_unqualified_type_names": True,
        "python_maximum_signature_line_length": 90, "add_module_names": False,
        "toc_object_entries_show_parents": "hide",
        "html_theme_options": {"repository_url": s["git_url"], "use_repository_button": True,
                               "use_download_button": False, "use_fullscreen_button": False,
                               "home_page_in_toc": True, "navbar_persistent": [], "show_navbar_depth": 1,
                               "show_toc_level": 2},
    }


def private_paths(folder: Path, *places: Path) -> list:
    "Pages that name a folder of the machine on which they were built."
    names = [str(p) + "/" for p in places if len(p.parts) > 1]
    return [f"{page.relative_to(folder)}: {name}" for page in sorted(folder.rglob("*.html")) for name in names
            if re.search(r"(?<![\w.-])" + re.escape(name), page.read_text(encoding="utf-8"))]


def build(out: Path) -> int:
    "Build the site into `out`; 0 if all went well."
    if out.exists() and any(out.iterdir()) and not (out/".nojekyll").exists():
        print(f"{out} holds files that this script did not write. Choose another folder with --out.", file=sys.stderr)
        return 2
    missing = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme", "latex2mathml")
               if not importlib.util.find_spec(name)]
    if missing:
        print(f"The documentation tools are incomplete ({', '.join(missing)}): pip install -e '.[dev]'",
              file=sys.stderr)
        return 2
    sys.path.insert(0, str(Path(__file__).parent))
    from sphinx.application import Sphinx
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".docs-", dir=out.parent) as scratch:
        source, site = Path(scratch)/"source", Path(scratch)/"site"
        (source/"_static").mkdir(parents=True)
        (source/"_static"/"style.css").write_text(STYLE, encoding="utf-8")
        write_pages(source)
        app = Sphinx(source, None, site, Path(scratch)/"doctrees", "html", confoverrides=configuration(), status=None,
                     warningiserror=True, parallel=os.cpu_count() or 1)
        app.build()
        shutil.rmtree(site/"_sources", ignore_errors=True)
        named = private_paths(site, ROOT, Path(scratch), Path.home())
        if app.statuscode or named:
            for line in named: print(f"names a folder of this machine: {line}", file=sys.stderr)
            return 1
        (site/".nojekyll").touch()
        if out.exists(): shutil.rmtree(out)
        os.rename(site, out)
    print(f"{sum(1 for _ in out.rglob('*.html'))} pages in {out}: open {out/'index.html'}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--out", type=Path, default=ROOT/"_docs", help="folder of the site (default: _docs)")
    sys.exit(build(Path(os.path.abspath(parser.parse_args().out))))
