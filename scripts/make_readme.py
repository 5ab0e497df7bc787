"Write README.md from nbs/index.ipynb: its Markdown cells, and its code cells that are not hidden."
import json
import posixpath
import re
from pathlib import Path

def from_root(text: str) -> str:
    "Relative links of a notebook in nbs/, as they are seen from the folder above."
    return re.sub(r"(?<=\]\()(?![\w+.-]+:|[#/])([^)\s]+)", lambda link: posixpath.normpath(posixpath.join("nbs", link[0])), text)

def readme(index: Path) -> str:
    parts = []
    for cell in json.loads(index.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown": parts.append(from_root(source))
        elif source and not re.match(r"#\|\s*hide", source):
            parts.append(f"```python\n{source}\n```")
            text = "".join("".join(o.get("text", "")) for o in cell["outputs"] if o["output_type"] == "stream").strip()
            if text: parts.append(f"```\n{text}\n```")
    return "\n\n".join(parts) + "\n"

if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    (root/"README.md").write_text(readme(root/"nbs/index.ipynb"), encoding="utf-8")
