"""The catalogue's table: its columns, how to read it, and what it comes to. `cataloguing.py` makes it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rffd.errors import RffdError
from rffd.files import read_csv
from rffd.names import LABELS

COLUMNS = [
    *("path", "label", "difficulty", "id", "bits", "width", "height", "bytes", "sha256", "mode", "orientation"),
    *("jpeg", "group", "status", "reason", "note"),
]
OK, SET_ASIDE = "ok", "set aside"

Row = dict[str, Any]


def read_catalog(path: Path) -> list[dict[str, str]]:
    """The catalogue's rows as text; a missing column is one clear line."""
    rows = read_csv(path)
    if rows and (missing := [column for column in COLUMNS if column not in rows[0]]):
        raise RffdError(f"{path}: no column {', '.join(missing)}; run `dvc repro catalog`")
    return rows


def usual_signature(rows: Iterable[Mapping[str, Any]]) -> str:
    """The JPEG signature that most usable reals carry (the first in sort order of several); "" without reals."""
    counts = Counter(row["jpeg"] for row in rows if row["label"] == "real" and row["status"] == OK)
    return min(counts, key=lambda signature: (-counts[signature], signature), default="")


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """What the catalogue comes to, under the names of metrics/catalog.json; shared: with a partner in their group."""
    usable = [row for row in rows if row["status"] == OK]
    size, usual = Counter(row["group"] for row in usable), usual_signature(rows)
    numbers = {"images": len(rows), "images_set_aside": len(rows) - len(usable)}
    for label in LABELS:
        numbers[f"images_{label}"] = sum(row["label"] == label for row in usable)
        numbers[f"unusual_header_{label}"] = sum(row["label"] == label and row["jpeg"] != usual for row in usable)
    numbers["images_shared"] = sum(count for count in size.values() if count > 1)
    numbers["groups_shared"] = sum(count > 1 for count in size.values())
    return numbers
