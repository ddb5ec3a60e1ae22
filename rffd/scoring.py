"""What the model says of a split, joined with what the catalogue knows of its images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rffd.calibration import verdicts
from rffd.errors import RffdError
from rffd.names import REGIONS
from rffd.parallel import in_threads
from rffd.progress import progress
from rffd.store import Store

PREDICTION_COLUMNS = [
    *("path", "split", "label", "group", "difficulty", "bits", "jpeg", "status", "logit", "probability", "verdict"),
    *(f"region_{name}" for name in REGIONS),
]


class Scored(Protocol):
    """What the model says of N squares: `logits` [N, 2] (real, fake) and `regions` [N, 4] probabilities."""

    logits: np.ndarray
    regions: np.ndarray


Look = Callable[[np.ndarray], Scored]  # [N, S, S, 3] uint8


@dataclass(frozen=True)
class Split:
    """A split's images with their catalogue rows; `logits` [N] fake minus real, `regions` [N, 4] probabilities."""

    name: str
    rows: list[dict[str, str]]
    labels: np.ndarray
    groups: list[str]
    logits: np.ndarray
    regions: np.ndarray


def score_split(name: str, store: Store, catalog: Mapping[str, dict[str, str]], look: Look, batch: int = 32) -> Split:
    """Score a store in batches, several at a time, and join it with the catalogue."""
    missing = [path for path in store.paths if path not in catalog]
    if missing:
        raise RffdError(f"{store.folder}: {missing[0]} isn't in the catalogue; run `dvc repro`")
    logits, regions = [np.zeros(0)], [np.zeros((0, len(REGIONS)))]
    starts = range(0, len(store), batch)
    with progress(f"evaluate: {name}", len(store)) as advance:
        for found in in_threads(lambda start: look(np.asarray(store.images[start : start + batch])), starts):
            logits.append(margin(found.logits))
            regions.append(found.regions)
            advance(len(found.logits))
    rows = [catalog[path] for path in store.paths]
    return Split(name, rows, store.labels, list(store.groups), np.concatenate(logits), np.concatenate(regions))


def margin(logits: np.ndarray) -> np.ndarray:
    """[N, 2] logits to [N], fake minus real, to six decimals: what predictions.csv holds is what was measured."""
    return np.round(logits[:, 1].astype(float) - logits[:, 0], 6)


def prediction_rows(split: Split, calibrated: np.ndarray, band: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row an image, in the split's order."""
    answers = verdicts(calibrated, dict(band))
    kept = ("path", "label", "group", "difficulty", "bits", "jpeg", "status")
    return [
        {name: row[name] for name in kept}
        | {"split": split.name, "logit": float(split.logits[i]), "probability": float(calibrated[i])}
        | {"verdict": answers[i]}
        | {f"region_{name}": round(float(split.regions[i, k]), 6) for k, name in enumerate(REGIONS)}
        for i, row in enumerate(split.rows)
    ]
