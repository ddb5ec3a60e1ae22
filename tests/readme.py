"""The README's table of figures, written from the committed metrics.

Run: python -m tests.readme   (writes it into README.md; tests/test_readme.py holds it true)
"""

import json
import re

from tests.pipeline_code import ROOT

MARKED = re.compile(r"(<!-- headline:begin -->\n).*?(<!-- headline:end -->)", re.DOTALL)


def table() -> str:
    """The committed headline as a Markdown table."""
    headline = json.loads((ROOT / "metrics" / "evaluate.json").read_text(encoding="utf-8"))
    lines = ["| | validation | test | 95 % interval, test |", "|---|---|---|---|"]
    for key, label in (("accuracy", "accuracy"), ("f1", "F1"), ("recall", "recall"), ("auc", "AUC")):
        low, high = headline["test"][f"{key}_ci95"]
        values = f"{headline['val'][key]:.3f} | {headline['test'][key]:.3f}"
        lines.append(f"| {label} | {values} | {low:.3f} – {high:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    text = MARKED.sub(lambda match: match[1] + table() + match[2], readme.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8")
