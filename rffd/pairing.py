"""Finding the images that show the same photograph, whole or in part, whatever was done to it in between.

Candidates come from features alike (`candidates`), a transformation from those that agree on one (`matching`),
and the pair counts if the pixels agree too where they do (`overlay`). A fake that agrees with a real nearly
everywhere lies on its untouched base: the rest is what was replaced (`replaced`).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from rffd.candidates import candidates
from rffd.errors import RffdError
from rffd.features import Features, extract_all, one_thread, read_grey
from rffd.files import replacing, write_csv
from rffd.images import read_image
from rffd.matching import Match, match
from rffd.names import IMAGE_SUFFIXES, LABELS
from rffd.overlay import lay, sharing
from rffd.parallel import spread
from rffd.params import require
from rffd.replaced import replaced

COLUMNS = [
    "a", "b", "kind", "matches", "inliers", "support", "votes", "evidence", "residual", "agreeing",
    "scale", "rotation", "tx", "ty", "mirrored", "mask",
]  # fmt: skip
LOOSE = 3.0  # pixels at `side` by which features may miss each other
TWIN = 0.94  # similarity of features that show the same; two people's reach it now and then
FEWEST = 6  # such features that a pair needs, however well they agree
SMALL = 3  # power by which smaller pictures need more evidence, fitted on portraits of 160 pixels
COVERED = 0.5  # share of the fake that its base must cover


@dataclass(frozen=True, kw_only=True)
class PairParams:
    """How images are looked at, and what a pair needs."""

    side: int
    features: int
    contrast: float
    ratio: float
    votes: int
    agreement: float
    evidence: float
    base: float

    def __post_init__(self) -> None:
        require(100 <= self.side <= 4000, "pair.side", self.side, "from 100 to 4000 pixels")
        require(50 <= self.features <= 10_000, "pair.features", self.features, "from 50 to 10000")
        require(0 <= self.contrast <= 0.2, "pair.contrast", self.contrast, "from 0 to 0.2")
        require(0 < self.ratio < 1, "pair.ratio", self.ratio, "between 0 and 1")
        require(self.votes >= 1, "pair.votes", self.votes, "1 or more")
        require(self.agreement >= 0, "pair.agreement", self.agreement, "0 or more")
        require(self.evidence >= 0, "pair.evidence", self.evidence, "0 or more")
        require(0 < self.base <= 1, "pair.base", self.base, "over 0, at most 1")


class Candidate(NamedTuple):
    """Two images worth a close look, by number and path, with the features that speak for them."""

    a: int
    b: int
    path_a: str
    path_b: str
    mirrored: bool
    votes: int


def find_pairs(raw: Path, target: Path, params: PairParams, workers: int | None = None) -> None:
    """Write `target/pairs.csv` and `target/masks/<stem>.png` for the images in `raw/real` and `raw/fake`.

    A row: paths `a` < `b`; `kind` (base: a fake and its untouched base; donor: a fake and a real that share a
    part; fakes; reals); features `matches` before and `inliers` after geometry, of these `support` agree pixel by
    pixel, with the median error `residual` in pixels of a; `votes`, the features that stand out from the
    collection's; `evidence` = votes * support² / inliers; `agreeing`, the share of the overlap that looks the same;
    the way from b to a: x_a = scale * R(rotation) * x_b + (tx, ty), rotation in degrees, x_b = -x_b first if
    `mirrored`; the mask's name. Unreadable images are passed over.
    """
    paths = sorted(
        file.relative_to(raw).as_posix()
        for label in LABELS
        for file in (raw / label).glob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
    )
    if not paths:
        raise RffdError(f"{raw}: no images; run `dvc repro acquire`")
    with replacing(target) as folder:
        (folder / "masks").mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            features = extract_all(
                raw,
                paths,
                Path(scratch),
                side=params.side,
                contrast=params.contrast,
                limit=params.features,
                workers=workers,
            )
            found = [  # with their paths, or each task would take all paths along
                Candidate(a, b, paths[a], paths[b], mirrored, votes)
                for a, b, mirrored, votes in candidates(
                    features, ratio=params.ratio, votes=params.votes, workers=workers
                )
            ]
            judge = partial(_judge, raw, features, params)
            rows = [row for row in spread(judge, found, "checking pairs", workers=workers) if row is not None]
        rows = _best(rows)
        bases = _bases(rows)
        draw = partial(_draw, raw, folder / "masks")
        for row, drawn in zip(bases, spread(draw, bases, "drawing masks", workers=workers, chunk=4), strict=True):
            row["mask"] = f"{Path(_fake(row)).stem}.png" if drawn else ""
        write_csv(folder / "pairs.csv", ({name: _short(row[name]) for name in COLUMNS} for row in rows), COLUMNS)


@one_thread()
def _judge(raw: Path, features: Features, params: PairParams, candidate: Candidate) -> dict[str, Any] | None:
    a, b, path_a, path_b, mirrored, votes = candidate
    found = match(features, a, b, mirrored, LOOSE * max(int(features.sides[a]) / params.side, 0.5))
    if found is None:
        return None
    twins = found.alike > TWIN

    def enough(support: int, need: float) -> bool:
        agreement = support**2 / len(twins)
        return support >= FEWEST and agreement >= params.agreement and agreement * votes >= need

    if not enough(int(twins.sum()), params.evidence):
        return None
    overlay = lay(_grey(raw / path_a), _grey(raw / path_b), found.matrix, params.side)
    same, agreeing = sharing(overlay, found.points)
    support = int((same & twins).sum())
    base = agreeing >= params.base and float(overlay.inside.mean()) >= COVERED
    side = min(params.side, *(int(features.sides[image]) for image in (a, b)))
    # the less there is of a picture, the more alike are parts of two; all of it is alike in one alone
    if not enough(support, params.evidence * (1.0 if base else (params.side / side) ** SMALL)):
        return None
    return _row(path_a, path_b, found, support, votes, agreeing, base)


def _row(a: str, b: str, found: Match, support: int, votes: int, agreeing: float, base: bool) -> dict[str, Any]:
    labels = {a.split("/")[0], b.split("/")[0]}
    if len(labels) == 1:
        kind = f"{labels.pop()}s"
    else:
        kind = "base" if base else "donor"
    return {
        "a": a,
        "b": b,
        "kind": kind,
        "matches": found.matches,
        "inliers": len(found.points),
        "support": support,
        "votes": votes,
        "evidence": votes * support**2 / len(found.points),
        "residual": found.residual,
        "agreeing": agreeing,
        "scale": found.scale,
        "rotation": found.rotation,
        "tx": float(found.matrix[0, 2]),
        "ty": float(found.matrix[1, 2]),
        "mirrored": int(found.mirrored),
        "mask": "",
        "matrix": found.matrix,
    }


def _best(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a pair: mirrored or not, what has more evidence."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["a"], row["b"])
        if key not in best or row["evidence"] > best[key]["evidence"]:
            best[key] = row
    return [best[key] for key in sorted(best)]


def _bases(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each fake that has one, the pair with the base that it agrees with best; one a mask's name."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        stem = Path(_fake(row)).stem
        if row["kind"] == "base" and (stem not in best or row["agreeing"] > best[stem]["agreeing"]):
            best[stem] = row
    return [best[stem] for stem in sorted(best)]


def _fake(row: dict[str, Any]) -> str:
    return row["a"] if row["a"].startswith("fake/") else row["b"]


@one_thread()
def _draw(raw: Path, folder: Path, row: dict[str, Any]) -> bool:
    """Write the mask of what the fake of a pair replaced; False if nothing stands out."""
    fake, real = (np.asarray(read_image(raw / row[name])) for name in ("a", "b"))  # "fake/" sorts before "real/"
    mask = replaced(fake, real, row["matrix"])
    if not mask.any():
        return False
    Image.fromarray(mask).save(folder / f"{Path(row['a']).stem}.png", optimize=True)
    return True


def _short(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


@lru_cache(maxsize=32)
def _grey(path: Path) -> np.ndarray:
    return read_grey(path)
