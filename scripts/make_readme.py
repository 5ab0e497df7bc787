"Write README.md from nbs/index.ipynb: its Markdown cells, and its code cells that are not hidden."
import json
import re
from pathlib import Path

def readme(index: Path) -> str:
    parts = []
    for cell in json.loads(index.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown": parts.append(source)
        elif source and not re.match(r"#\|\s*hide", source):
            parts.append(f"```python\n{source}\n```")
            text = "".join("".join(o.get("text", "")) for o in cell["outputs"] if o["output_type"] == "stream").strip()
            if text: parts.append(f"```\n{text}\n```")
    return "\n\n".join(parts) + "\n"

if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    (root/"README.md").write_text(readme(root/"nbs/index.ipynb"), encoding="utf-8")
