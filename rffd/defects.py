"""The defects of real collections, given to a drawn sample on request, so that what finds them can be tried."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rffd.params import require

OTHER_QUALITY = 85  # of JPEG, for fakes that their header betrays
DAMAGES = (lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"<html>404 Not Found</html>\n")


@dataclass(frozen=True, kw_only=True)
class Defects:
    """How many images have each defect: `data.sample.defects`. The set's own counts stay as they are."""

    header_tells: int
    unreadable: int
    duplicates: int
    near_duplicates: int
    three_bits: int

    def __post_init__(self) -> None:
        for name, count in asdict(self).items():
            require(count >= 0, f"data.sample.defects.{name}", count, "0 or more")


def spoil(defects: Defects, reals: list[Any], fakes: list[Any], rng: np.random.Generator) -> None:
    """Give each defect to items of its own (see `sample.Item`), in place.

    Reals that repeat another, or can't be read, are such as share their photograph with no fake.
    """
    free = [i for i in rng.permutation(len(reals)).tolist() if i not in {item.base for item in fakes}]
    hard = [i for i in rng.permutation(len(fakes)).tolist() if "easy" not in fakes[i].path]
    whole = [i for i, item in enumerate(fakes) if item.path.endswith("_1111.jpg")]
    pairs = defects.duplicates + defects.near_duplicates
    needs = {"three_bits": (defects.three_bits, whole), "header_tells": (defects.header_tells, hard)}
    needs["duplicates, near_duplicates, unreadable"] = (2 * pairs + defects.unreadable, free)
    for name, (count, room) in needs.items():
        require(count <= len(room), f"data.sample.defects ({name})", f"for {count} images", f"for {len(room)} at most")
    for k in range(pairs):
        one, other = reals[free.pop()], free.pop()
        reals[other] = replace(reals[other], base=one.base, own=one.own if k < defects.duplicates else other)
    for k, i in enumerate(free[: defects.unreadable]):
        reals[i] = replace(reals[i], damage=k % len(DAMAGES))
    for i in hard[: defects.header_tells]:
        fakes[i] = replace(fakes[i], quality=OTHER_QUALITY)
    for i in whole[: defects.three_bits]:
        fakes[i] = replace(fakes[i], path=fakes[i].path.replace("_1111.", "_111."))


def damaged(data: bytes, damage: int | None) -> bytes:
    """The bytes of a file cut short, empty or of another kind; None leaves them."""
    return data if damage is None else DAMAGES[damage](data)
