"""From scores to an answer: real, fake, or unsure, and which regions are called replaced."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rffd.errors import RffdError
from rffd.files import read_json
from rffd.names import REGIONS
from rffd.params import build, require

FILE = "verdict.json"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a calibrated probability of fake is an answer.

    Up to `low` the verdict is real, from `high` on fake, between them unsure (as `rffd/calibration.py` chose them
    on validation). A region is called replaced from `region` on, unless the verdict is real. `temperature` is what
    the classifier's weights were divided by, after `offset` was taken from its bias of fake.
    """

    low: float
    high: float
    region: float
    temperature: float
    offset: float

    def __post_init__(self) -> None:
        require(0 <= self.low <= 0.5 <= self.high <= 1, f"{FILE}.low, high", (self.low, self.high), "around 0.5")
        require(0 < self.region < 1, f"{FILE}.region", self.region, "between 0 and 1")
        require(self.temperature > 0, f"{FILE}.temperature", self.temperature, "above 0")

    def verdict(self, probability: float) -> str:
        """`real`, `fake` or `unsure` for a calibrated probability of fake."""
        if self.low < probability < self.high:
            return "unsure"
        return "fake" if probability >= 0.5 else "real"

    def replaced(self, probability: float, scores: np.ndarray) -> list[str]:
        """The regions called replaced, from their probabilities [4], in the order of `REGIONS`."""
        if self.verdict(probability) == "real":
            return []
        return [name for name, score in zip(REGIONS, scores, strict=True) if score >= self.region]

    def as_json(self) -> dict[str, Any]:
        """What stands in the package's `verdict.json`."""
        return asdict(self)


def read_rule(folder: Path) -> Rule:
    """Read the package's `verdict.json`."""
    try:
        return build(Rule, read_json(folder / FILE), FILE)
    except (OSError, ValueError) as error:
        raise RffdError(f"{folder}: not a package of this project ({FILE}: {error})") from error


def fake_probability(logits: np.ndarray) -> np.ndarray:
    """[N, 2] logits (real, fake) to the probability of fake [N] float64."""
    margin = logits[:, 1].astype(np.float64) - logits[:, 0]
    return np.exp(-np.logaddexp(0.0, -margin))
