"""What the stages found, as the report's sections read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rffd.files import read_csv, read_json

METRICS = ("catalog", "explore", "split", "backbone", "search", "train", "evaluate")


@dataclass(frozen=True)
class Findings:
    """What the stages found: `metrics` by stage, `details` of evaluate, `explained` of explain (both as written),
    the epochs' `history`, the folders with pictures, and `source`, where the images came from."""

    metrics: Mapping[str, Mapping[str, Any]]
    details: Mapping[str, Any]
    explained: Mapping[str, Any]
    history: Sequence[Mapping[str, str]]
    plots: Path
    explanation: Path
    source: str


def read_findings(metrics: Path, plots: Path, evaluation: Path, explanation: Path, source: str) -> Findings:
    """Read what the report is made from."""
    return Findings(
        metrics={name: read_json(metrics / f"{name}.json") for name in METRICS},
        details=read_json(evaluation / "details.json"),
        explained=read_json(explanation / "details.json"),
        history=read_csv(plots / "train" / "curves.csv"),
        plots=plots,
        explanation=explanation,
        source=source,
    )
