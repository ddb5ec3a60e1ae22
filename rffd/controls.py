"""Is it the forgery that the detector sees? Controls that a shortcut would fail.

- What the file alone gives away (its header, size and JPEG tables), with no look at the pixels.
- The subset of test images whose JPEG tables are the reals' usual ones: no tell is left in the tables.
- Every test image re-encoded alike: no trace of how it was saved before.
- The face blanked out: what is left must not tell real from fake (the AUC's interval holds 0.5).
- Small shifts, mirroring and rescaling: the answer should stay.
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from sklearn.ensemble import GradientBoostingClassifier

from rffd.face import FACE_BOX
from rffd.metrics import Figures, figures, shares
from rffd.params import require
from rffd.preprocessing import PreprocessParams, reencode
from rffd.variants import Variant

CATEGORIES = ("jpeg", "mode", "orientation")  # columns of the catalogue
NUMBERS = ("width", "height", "bytes")
RARE = 5  # a category seen less often in training counts as "other"


@dataclass(frozen=True, kw_only=True)
class ControlParams:
    """How the controls change the test images."""

    jpeg_quality: int
    blank_margin: float
    shift: float
    rescale: list[float]

    def __post_init__(self) -> None:
        where = "evaluate.controls"
        require(1 <= self.jpeg_quality <= 100, f"{where}.jpeg_quality", self.jpeg_quality, "from 1 to 100")
        require(0 <= self.blank_margin <= 1, f"{where}.blank_margin", self.blank_margin, "from 0 to 1")
        require(0 < self.shift <= 0.25, f"{where}.shift", self.shift, "above 0, at most 0.25 (a share of the side)")
        require(all(0.05 <= s <= 4 for s in self.rescale), f"{where}.rescale", self.rescale, "factors from 0.05 to 4")
        require(len(set(self.rescale)) == len(self.rescale), f"{where}.rescale", self.rescale, "factors that differ")


def control_variants(params: ControlParams, contract: PreprocessParams) -> dict[str, Variant]:
    """The controls that need the model: `reencoded`, `face blanked`, and the small changes."""
    shift = params.shift
    return {
        "reencoded": Variant(picture=lambda image, random: reencode(image, params.jpeg_quality)),
        "face blanked": Variant(
            pixels=functools.partial(blank_face, margin=params.blank_margin, face_margin=contract.face_margin)
        ),
        "shifted right": Variant(picture=lambda image, random: shifted(image, shift, 0)),
        "shifted down": Variant(picture=lambda image, random: shifted(image, 0, shift)),
        "mirrored": Variant(picture=lambda image, random: ImageOps.mirror(image)),
        **{
            f"rescaled {factor:g}": Variant(picture=functools.partial(_rescaled, factor=factor))
            for factor in params.rescale
        },
    }


def blank_face(pixels: np.ndarray, margin: float, face_margin: float | None) -> np.ndarray:
    """Fill the face with the mean colour of what is left, [S, S, 3] uint8.

    On a full frame it is the average face box grown by `margin` of its side all round, so that faces off the
    centre are covered too; on a crop it is the face box that the crop was made from.
    """
    size = pixels.shape[0]
    if face_margin is None:
        half = FACE_BOX[2] * (0.5 + margin)
        box = (FACE_BOX[0] - half, FACE_BOX[1] - half, FACE_BOX[0] + half, FACE_BOX[1] + half)
    else:
        rim = face_margin / (1 + 2 * face_margin)
        box = (rim, rim, 1 - rim, 1 - rim)
    left, top, right, bottom = (round(min(max(edge, 0), 1) * size) for edge in box)
    outside = np.ones((size, size), dtype=bool)
    outside[top:bottom, left:right] = False
    blanked = pixels.copy()
    blanked[~outside] = pixels[outside].mean(axis=0).round() if outside.any() else 128
    return blanked


def shifted(image: Image.Image, right: float, down: float) -> Image.Image:
    """Move the picture by shares of its width and height; its edge fills the gap."""
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    rows = np.clip(np.arange(height) - max(1, round(down * height)) * (down > 0), 0, height - 1)
    columns = np.clip(np.arange(width) - max(1, round(right * width)) * (right > 0), 0, width - 1)
    return Image.fromarray(pixels[rows][:, columns])


def _rescaled(image: Image.Image, random: np.random.Generator, factor: float) -> Image.Image:
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def metadata_probabilities(
    train: Sequence[Mapping[str, str]], others: Sequence[Mapping[str, str]], seed: int, *, tables_only: bool = False
) -> np.ndarray | None:
    """Probability of fake, [N] for the rows `others`, from the catalogue's columns about the file alone.

    Boosted trees fitted on the rows `train`; `tables_only` leaves them the JPEG signature. None where training
    has one class.
    """
    labels = np.array([row["label"] == "fake" for row in train])
    if len(np.unique(labels)) < 2 or not others:
        return None
    categories = ("jpeg",) if tables_only else CATEGORIES
    numbers = () if tables_only else NUMBERS
    known = {name: [v for v, n in sorted(Counter(r[name] for r in train).items()) if n >= RARE] for name in categories}

    def features(rows: Sequence[Mapping[str, str]]) -> np.ndarray:
        columns = [[float(row[name] == value) for row in rows] for name in categories for value in known[name]]
        columns += [[float(row[name] or 0) for row in rows] for name in numbers]
        if numbers:
            areas = [max(1.0, float(row["width"] or 0) * float(row["height"] or 0)) for row in rows]
            columns.append([float(row["bytes"] or 0) / area for row, area in zip(rows, areas, strict=True)])
        return np.array(columns, dtype=float).reshape(len(columns), len(rows)).T

    if not features(train[:1]).shape[1]:  # nothing common enough to learn from
        return np.full(len(others), labels.mean())
    trees = GradientBoostingClassifier(n_estimators=60, max_depth=3, subsample=0.8, random_state=seed)
    return trees.fit(features(train), labels).predict_proba(features(others))[:, 1]


def usual_tables(train: Sequence[Mapping[str, str]]) -> str | None:
    """The JPEG signature most common among the training reals; None without one."""
    counts = Counter(row["jpeg"] for row in train if row["label"] == "real" and row["jpeg"])
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def control_figures(
    train: Sequence[Mapping[str, str]],
    test: Sequence[Mapping[str, str]],
    labels: np.ndarray,
    plain: np.ndarray,
    changed: Mapping[str, np.ndarray],
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """All controls on the test set.

    `train`, `test`: catalogue rows; `labels`, `plain` and `changed` (by the names of `control_variants`): [N]
    labels and calibrated probabilities in the order of `test`.
    """
    members = np.asarray(groups, dtype=str)

    def brief(probabilities: np.ndarray | None, inside: np.ndarray | None = None) -> Figures | None:
        keep = np.ones(len(labels), dtype=bool) if inside is None else inside
        if probabilities is None or not keep.any():
            return None
        found = figures(labels[keep], probabilities[keep], list(members[keep]), resamples=resamples, seed=seed)
        kept = ("accuracy", "recall", "specificity", "auc")
        return {"count": int(keep.sum())} | {
            f"{name}{end}": found[f"{name}{end}"] for name in kept for end in ("", "_ci95")
        }

    usual = usual_tables(train)
    blanked = brief(changed["face blanked"])
    spread: Any = blanked["auc_ci95"] if blanked else None
    small = [name for name in changed if name not in ("reencoded", "face blanked")]
    flips = np.stack([(changed[name] >= 0.5) != (plain >= 0.5) for name in small]) if small else np.zeros((0, 0))
    inside = np.ones(len(labels), dtype=bool)
    rows = shares(flips, inside, groups, resamples=resamples, seed=seed) if small else []
    return {
        "model": brief(plain),
        "file_header_only": brief(metadata_probabilities(train, test, seed)),
        "jpeg_tables_only": brief(metadata_probabilities(train, test, seed, tables_only=True)),
        "standard_tables": {"jpeg": usual, **(brief(plain, np.array([row["jpeg"] == usual for row in test])) or {})}
        if usual
        else None,
        "reencoded": brief(changed["reencoded"]),
        "face_blanked": blanked and {**blanked, "at_chance": spread[0] <= 0.5 <= spread[1] if spread else None},
        "flips": {
            name: {
                **{key: row[key] for key in ("count", "share", "share_ci95")},
                "mean_change": round(float(np.abs(changed[name] - plain).mean()), 6) if len(plain) else None,
            }
            for name, row in zip(small, rows, strict=True)
        },
    }
