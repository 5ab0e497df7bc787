"""Write README.md from nbs/index.ipynb: its Markdown cells, its code cells that are not hidden,
and what these printed and drew."""
import base64
import json
import posixpath
import re
from pathlib import Path

IMAGES = "nbs/images"

def from_root(text: str) -> str:
    "Relative links of a notebook in nbs/, as they are seen from the folder above."
    return re.sub(r"(?<=\]\()(?![\w+.-]+:|[#/])([^)\s]+)",
                  lambda link: posixpath.normpath(posixpath.join("nbs", link[0])), text)

def shown(cell: dict) -> tuple[list, dict]:
    "What a cell printed and drew, as Markdown, and its figures: {name: PNG}."
    text = "".join("".join(o.get("text", "")) for o in cell["outputs"] if o["output_type"] == "stream").strip()
    drawn = [o["data"] for o in cell["outputs"] if "image/png" in o.get("data", {})]
    figures = {f"{cell['id']}-{i}.png": data for i, data in enumerate(drawn)}
    parts = [f"```\n{text}\n```"]*bool(text)
    parts += [f"![{''.join(data['text/plain']).strip()}]({IMAGES}/{name})" for name, data in figures.items()]
    return parts, {name: base64.b64decode("".join(data["image/png"])) for name, data in figures.items()}

def readme(index: Path) -> tuple[str, dict]:
    "The text of README.md, and the figures in it: {name: PNG}."
    parts, figures = [], {}
    for cell in json.loads(index.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown": parts.append(from_root(source))
        elif source and not re.match(r"#\|\s*hide", source):
            after, drawn = shown(cell)
            parts += [f"```python\n{source}\n```", *after]
            figures |= drawn
    return "\n\n".join(parts) + "\n", figures

if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    text, figures = readme(root/"nbs/index.ipynb")
    (root/IMAGES).mkdir(exist_ok=True)
    for old in (root/IMAGES).glob("index-*.png"):
        if old.name not in figures: old.unlink()
    for name, picture in figures.items(): (root/IMAGES/name).write_bytes(picture)
    (root/"README.md").write_text(text, encoding="utf-8")
