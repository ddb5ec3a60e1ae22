"""Train, validation and test: balanced, never dividing a shared photograph, and stable when images come or go.

A group is placed by its anchor, its first usable member. Within a stratum (label, difficulty, usual JPEG header or not,
alone or shared) groups are ordered by a hash of the seed and the group's name and cut at quantiles. The order
of two groups never changes, so a new image moves a boundary by less than one group.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rffd.catalog import OK, usual_signature
from rffd.errors import RffdError
from rffd.names import LABELS
from rffd.params import require

SPLITS = ("train", "val", "test")
COLUMNS = ["path", "split"]

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SplitParams:
    """The section `split`. With `folds` and `fold`, test is one of `folds` equal parts and `test` is not used."""

    seed: int
    val: float
    test: float
    folds: int | None
    fold: int | None

    def __post_init__(self) -> None:
        require(0 < self.val < 1, "split.val", self.val, "between 0 and 1 (a share of the whole)")
        require(0 < self.test < 1, "split.test", self.test, "between 0 and 1 (a share of the whole)")
        both = (self.folds is None) == (self.fold is None)
        require(both, "split.fold", self.fold, f"given together with split.folds (now {self.folds}), or both null")
        if self.folds is not None and self.fold is not None:
            require(self.folds >= 2, "split.folds", self.folds, "2 or more")
            require(1 <= self.fold <= self.folds, "split.fold", self.fold, f"from 1 to split.folds ({self.folds})")
        left = 1 - self.val - self.test_share
        require(
            left > 0, "split.val", self.val, f"less, for with test ({self.test_share:.3g}) nothing is left to train"
        )

    @property
    def test_share(self) -> float:
        """The share of the whole that is test."""
        return 1 / self.folds if self.folds else self.test


def split(rows: Sequence[Row], params: SplitParams) -> dict[str, str]:
    """The split of each usable row of the catalogue, by path, in the catalogue's order.

    Refuses in one line if a split would lack one of the labels.
    """
    members: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == OK:
            members.setdefault(row["group"], []).append(row)
    usual = usual_signature(rows)
    strata: dict[tuple[str, ...], list[str]] = {}
    for group, images in members.items():
        strata.setdefault(_stratum(images, usual), []).append(group)
    placed = {}
    for stratum, names in strata.items():
        phase = _uniform(params.seed, "stratum", *stratum)
        names.sort(key=lambda name: (_uniform(params.seed, "group", name), name))
        for i, name in enumerate(names):
            placed[name] = _side((i + phase) / len(names), params)
    result = {row["path"]: placed[row["group"]] for row in rows if row["status"] == OK}
    _check(rows, result, params)
    return result


def counts(rows: Sequence[Row], splits: Mapping[str, str]) -> dict[str, int]:
    """Images and fakes in each split, under the names they have in metrics/split.json."""
    images, fakes = Counter(splits.values()), Counter(splits[r["path"]] for r in rows if _is_used(r, splits, "fake"))
    numbers = {f"split_{name}": images[name] for name in SPLITS}
    return numbers | {f"split_{name}_fake": fakes[name] for name in SPLITS}


def _stratum(images: Sequence[Row], usual: str) -> tuple[str, ...]:
    anchor = min(images, key=lambda row: row["path"])
    header = "usual" if anchor["jpeg"] == usual else "other"
    return anchor["label"], anchor["difficulty"], header, "alone" if len(images) == 1 else "shared"


def _side(position: float, params: SplitParams) -> str:
    """The split at `position` (0-1) in a stratum: test, then val, then train, from where the fold begins."""
    if params.folds and params.fold:
        parts = position * params.folds
        if int(parts) == params.fold - 1:
            return "test"
        past = (parts - params.fold) % params.folds / params.folds
    else:
        if position < params.test:
            return "test"
        past = position - params.test
    return "val" if past < params.val else "train"


def _uniform(*key: object) -> float:
    """A number in [0, 1) that depends on nothing but `key`."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:6]) / 2**48


def _is_used(row: Row, splits: Mapping[str, str], label: str) -> bool:
    return row["label"] == label and row["path"] in splits


def _check(rows: Sequence[Row], splits: Mapping[str, str], params: SplitParams) -> None:
    for label in LABELS:
        there = Counter(splits[row["path"]] for row in rows if _is_used(row, splits, label))
        for name in SPLITS:
            if not there[name]:
                raise RffdError(
                    f"split: no {label} image falls to {name} ({there.total()} usable, val {params.val:g}, "
                    f"test {params.test_share:.3g}); raise that share, change split.seed or add images"
                )
