"""What a run came to: a short table against the targets and the committed figures, and what to do next."""

import json
import subprocess
from pathlib import Path
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table
from ruamel.yaml import YAML

from rffd.errors import RffdError
from rffd.files import read_json

FIGURES = {"accuracy": "accuracy", "f1": "F1", "recall": "recall", "auc": "AUC"}
NEXT = (
    ("rffd predict PHOTO", "a verdict (once: source .venv/bin/activate)"),
    ("dvc exp run -S train.learning_rate=3e-5", "try a value; make compare shows both"),
    ("make real", "real photographs and backbone: README.md"),
)
TOLERANCE = 0.03  # kinds of machine round differently; over a training that moves figures by about this much


def summarise(dvc_yaml: Path, targets: dict[str, float]) -> None:
    """Print the headline of the last run of the pipeline in `dvc_yaml`; `targets` by the figures' names."""
    try:
        pipeline = YAML(typ="safe").load(dvc_yaml)
    except FileNotFoundError:
        raise RffdError(f"{dvc_yaml}: not found; run from the project's root") from None
    metrics = _path(pipeline["stages"]["evaluate"]["metrics"][0])
    if not metrics.is_file():
        raise RffdError(f"{metrics}: not there yet; run `make repro`")
    now, committed = read_json(metrics), _committed(metrics)
    console = Console(highlight=False)
    console.print(_table(now, committed, targets))
    console.print(_comparison(now, committed))
    report = _path(pipeline["stages"]["report"]["outs"][0])
    package = pipeline["artifacts"]["detector"]["path"]
    plots = sorted({_path(p).parts[0] for s in pipeline["stages"].values() for p in s.get("plots", [])})
    console.print(
        f"\nreport    {report}   (open it in a browser)\npictures  {', '.join(plots)}/\npackage   {package}/\n\nnext"
    )
    for command, meaning in NEXT:
        console.print(f"  {command:44} {meaning}", soft_wrap=True)


def _table(now: dict[str, Any], committed: dict[str, Any] | None, targets: dict[str, float]) -> Table:
    table = Table(title="Real and Fake Face Detection", title_justify="left")
    columns: dict[str, JustifyMethod] = {"": "left", "validation": "right", "test": "right", "95 % interval": "left",
                                         "target": "left", "committed": "right"}  # fmt: skip
    for name, justify in columns.items():
        table.add_column(name, justify=justify)
    for key, label in FIGURES.items():
        low, high = now["test"].get(f"{key}_ci95") or (None, None)
        table.add_row(
            label,
            _figure(now["val"][key]),
            _figure(now["test"][key]),
            f"{_figure(low)} – {_figure(high)}",
            _verdict(now, key, targets.get(key)),
            _figure(committed["test"].get(key)) if committed else "none",
        )
    return table


def _verdict(now: dict[str, Any], key: str, target: float | None) -> str:
    if target is None:
        return ""
    values = [now[split][key] for split in ("val", "test")]
    met = all(value is not None and value > target for value in values)
    return f"{target:.2f} {'met' if met else 'not met'}"


def _comparison(now: dict[str, Any], committed: dict[str, Any] | None) -> str:
    if committed is None:
        return "No committed figures to compare with."
    if now == committed:
        return "The same as the committed figures, to the last digit."
    shared = [(now[s][k], committed[s][k]) for s in ("val", "test") for k in FIGURES if k in committed.get(s, {})]
    gap = max((abs(a - b) for a, b in shared if a is not None and b is not None), default=0.0)
    if gap <= TOLERANCE:
        return (
            f"Within {gap:.3f} of the committed figures (tolerance {TOLERANCE}): kinds of machine round differently. "
            "Nothing to commit."
        )
    return (
        f"Note: up to {gap:.3f} from the committed figures (tolerance {TOLERANCE}). If you changed something, commit "
        "dvc.lock and metrics/ with it; if not, keep them as they are (git restore dvc.lock metrics)."
    )


def _committed(path: Path) -> dict[str, Any] | None:
    shown = subprocess.run(["git", "show", f"HEAD:./{path.as_posix()}"], capture_output=True, text=True, check=False)
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def _path(entry: str | dict[str, Any]) -> Path:
    return Path(entry if isinstance(entry, str) else next(iter(entry)))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
