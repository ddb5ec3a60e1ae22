"""On which images the detector fails: the share of right answers by what is known of them.

Each row has its count and its interval, because a stratum of twenty images says little. Strata that aren't
known (names outside the dataset's grammar) are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rffd.metrics import shares
from rffd.names import DIFFICULTIES, REGIONS


def strata(rows: Sequence[Mapping[str, str]], paired: np.ndarray) -> list[tuple[str, str, str, np.ndarray]]:
    """`by`, `value`, `label` and members [N] of every stratum, real and fake apart.

    `rows` have label, difficulty, bits and jpeg; `paired` [N] says which share a photograph with another
    image of the catalogue.
    """
    labels = np.array([row["label"] for row in rows], dtype=str)
    fake = labels == "fake"
    bits = [row["bits"] for row in rows]
    found = [("all", label, label, labels == label) for label in ("real", "fake")]
    for value in DIFFICULTIES:
        found.append(("difficulty", value, "fake", fake & np.array([row["difficulty"] == value for row in rows])))
    for i, region in enumerate(REGIONS):
        found.append(("region", region, "fake", fake & np.array([len(b) == 4 and b[i] == "1" for b in bits])))
    for count in range(1, len(REGIONS) + 1):
        inside = np.array([len(b) == 4 and b.count("1") == count for b in bits])
        found.append(("regions replaced", str(count), "fake", fake & inside))
    tables = np.array([row["jpeg"] for row in rows], dtype=str)
    mixed = [("jpeg", value, tables == value) for value in sorted(set(tables) - {""})]
    mixed += [("pairing", "paired", paired), ("pairing", "not paired", ~paired)]
    for by, value, inside in mixed:
        found += [(by, value, label, (labels == label) & inside) for label in ("real", "fake")]
    return [stratum for stratum in found if stratum[3].any()]


def breakdown(
    rows: Sequence[Mapping[str, str]],
    paired: np.ndarray,
    probabilities: np.ndarray,
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One row a stratum that isn't empty: `by`, `value`, `label`, `count`, `groups`, `right`, `right_ci95`.

    `right` is the share called what they are at probability 0.5: recall for fakes, specificity for reals.
    """
    found = strata(rows, np.asarray(paired, dtype=bool)) if rows else []
    if not found:
        return []
    right = (np.asarray(probabilities) >= 0.5) == np.array([row["label"] == "fake" for row in rows])
    inside = np.stack([members for *_, members in found])
    figures = shares(np.broadcast_to(right, inside.shape), inside, groups, resamples=resamples, seed=seed)
    return [
        {
            "by": by,
            "value": value,
            "label": label,
            "count": figure["count"],
            "groups": figure["groups"],
            "right": figure["share"],
            "right_ci95": figure["share_ci95"],
        }
        for (by, value, label, _), figure in zip(found, figures, strict=True)
    ]


def worst(
    paths: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, count: int
) -> dict[str, list[dict[str, Any]]]:
    """The surest wrong answers: `false_positives` and `false_negatives`, each with path and probability."""
    p = np.asarray(probabilities)
    result = {}
    for name, members, sign in (
        ("false_positives", (labels == 0) & (p >= 0.5), -1),
        ("false_negatives", (labels == 1) & (p < 0.5), 1),
    ):
        order = sorted(np.flatnonzero(members).tolist(), key=lambda i: (sign * p[i], paths[i]))
        result[name] = [{"path": paths[i], "probability": round(float(p[i]), 6)} for i in order[:count]]
    return result
