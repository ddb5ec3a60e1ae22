"""How answers are printed: a table for people, JSON or CSV for programs, each line as soon as it is known."""

import csv
import json
import os
from collections.abc import Callable
from typing import Any, TextIO

from rffd.names import REGIONS
from rffd.prediction import Prediction

DIGITS = 6  # of a probability, for programs


def shown(path: str) -> str:
    """A path that any terminal or JSON reader takes, also if its bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def as_json(answer: Prediction) -> dict[str, Any]:
    """The object that `rffd predict --json` prints for one picture; other programs rely on it."""
    return {
        "path": shown(answer.path),
        "verdict": answer.verdict,
        "probability": round(answer.probability, DIGITS),
        "regions": answer.regions,
        "region_probabilities": {name: round(value, DIGITS) for name, value in answer.region_probabilities.items()},
    }


class Table:
    """Lines for people; the path stands last, so that no column's width need be known before the end."""

    def __init__(self, stream: TextIO):
        self.stream, self.started = stream, False

    def write(self, answer: Prediction) -> None:
        """Print one line, and the heading before the first."""
        if not self.started:
            self.started = True
            print(f"{'verdict':8} {'fake':>6}  {'regions called replaced':33}  picture", file=self.stream)
        regions = ", ".join(name.replace("_", " ") for name in answer.regions)
        # a name may hold what would steer the terminal
        path = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown(answer.path))
        line = f"{answer.verdict:8} {answer.probability:6.1%}  {regions:33}  {path}"
        print(line, file=self.stream, flush=True)

    def close(self) -> None:
        """Nothing stands below the table."""


class Csv:
    """Comma-separated, heading first; regions separated by spaces, then each region's probability."""

    def __init__(self, stream: TextIO):
        self.writer = csv.writer(stream, lineterminator="\n")
        self.writer.writerow(["path", "verdict", "probability", "regions", *REGIONS])

    def write(self, answer: Prediction) -> None:
        """Print one line."""
        row = as_json(answer)
        regions = row.pop("region_probabilities").values()
        row["regions"] = " ".join(row["regions"])
        self.writer.writerow([*row.values(), *regions])

    def close(self) -> None:
        """A CSV just ends."""


class Json:
    """One list of objects, one object a line."""

    def __init__(self, stream: TextIO):
        self.stream, self.opening = stream, "["

    def write(self, answer: Prediction) -> None:
        """Print one object."""
        print(f"{self.opening}\n  {json.dumps(as_json(answer), ensure_ascii=False)}", end="", file=self.stream)
        self.opening = ","

    def close(self) -> None:
        """End the list, an empty one too."""
        print("[]" if self.opening == "[" else "\n]", file=self.stream)


FORMATS: dict[str, Callable[[TextIO], Table | Csv | Json]] = {"table": Table, "csv": Csv, "json": Json}
