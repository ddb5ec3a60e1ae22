"""What the answers survive: compression, resizing, blur, noise, light, and a messenger's two passes.

Real and fake apart, because a detector that calls every blurred picture fake keeps its recall and is useless.
Pictures are changed as photographs, before they are prepared for the model.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from rffd.metrics import bootstrap, interval, rounded, scores, share_interval
from rffd.params import require
from rffd.preprocessing import reencode
from rffd.variants import Variant


@dataclass(frozen=True, kw_only=True)
class RobustnessParams:
    """Levels of each degradation; an empty list leaves that curve out."""

    jpeg: list[int]
    resize: list[float]
    blur: list[float]
    noise: list[float]
    brightness: list[float]
    messenger: list[int]
    messenger_scale: float
    messenger_quality: int

    def __post_init__(self) -> None:
        where = "evaluate.robustness"
        limits = {"resize": (0.05, 1), "blur": (0, 10), "noise": (0, 128), "brightness": (0.05, 4), "messenger": (1, 5)}
        for name, (low, high) in {"jpeg": (1, 100), **limits}.items():
            values = getattr(self, name)
            require(all(low <= v <= high for v in values), f"{where}.{name}", values, f"levels from {low} to {high}")
            require(len(set(values)) == len(values), f"{where}.{name}", values, "levels that differ")
        scale, quality = self.messenger_scale, self.messenger_quality
        require(0.05 <= scale <= 1, f"{where}.messenger_scale", scale, "from 0.05 to 1")
        require(1 <= quality <= 100, f"{where}.messenger_quality", quality, "from 1 to 100")


def resize_and_back(image: Image.Image, scale: float) -> Image.Image:
    """Shrink both sides to `scale` of themselves, then enlarge to the old size."""
    return _scaled(image, scale).resize(image.size, Image.Resampling.BICUBIC)


def blur(image: Image.Image, percent: float) -> Image.Image:
    """Gaussian blur whose sigma is `percent` of the shorter side: the same look at every size."""
    return image.filter(ImageFilter.GaussianBlur(percent / 100 * min(image.size)))


def noise(image: Image.Image, levels: float, random: np.random.Generator) -> Image.Image:
    """Gaussian noise of standard deviation `levels` (of 255), one draw a pixel and channel, in whole levels."""
    pixels = np.asarray(image)
    steps = np.round(levels * _quantiles()).astype(np.int16)  # looked up: four times as fast as drawing normals
    draws = steps[random.integers(len(steps), size=pixels.shape, dtype=np.uint16)]
    return Image.fromarray(np.clip(pixels + draws, 0, 255).astype(np.uint8))


@functools.cache
def _quantiles() -> np.ndarray:
    """The standard normal's quantiles at the middles of 65,536 equal steps."""
    normal, count = NormalDist(), 65_536
    return np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])


def messenger(image: Image.Image, passes: int, scale: float, quality: int) -> Image.Image:
    """What chat services do to a picture each time it is passed on: shrink, and compress anew."""
    for _ in range(passes):
        image = reencode(_scaled(image, scale), quality)
    return image


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC)


def degradations(params: RobustnessParams) -> dict[str, Variant]:
    """Every point of every curve, named `kind level`."""
    scale, quality = params.messenger_scale, params.messenger_quality
    changes: dict[str, tuple[list[Any], Callable[..., Image.Image]]] = {
        "jpeg": (params.jpeg, lambda image, random, level: reencode(image, level)),
        "resize": (params.resize, lambda image, random, level: resize_and_back(image, level)),
        "blur": (params.blur, lambda image, random, level: blur(image, level)),
        "noise": (params.noise, lambda image, random, level: noise(image, level, random)),
        "brightness": (params.brightness, lambda image, random, level: ImageEnhance.Brightness(image).enhance(level)),
        "messenger": (params.messenger, lambda image, random, level: messenger(image, level, scale, quality)),
    }
    return {
        f"{kind} {level}": Variant(picture=functools.partial(change, level=level))
        for kind, (levels, change) in changes.items()
        for level in levels
    }


def robustness_table(
    labels: np.ndarray,
    plain: np.ndarray,
    degraded: Mapping[str, np.ndarray],
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One row a point: `kind`, `level`, and `specificity` (reals), `recall` (fakes), `auc`, `flips`, with intervals.

    `plain` [N] and `degraded` (by `kind level`, [N] each) are calibrated probabilities. The first row is the
    untouched test set. `flips` is the share of images whose answer isn't the plain one.
    """
    points = {"none ": plain, **degraded}

    def measure(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        values = {}
        for name, p in points.items():
            for score, value in _point(labels, plain, p, weights).items():
                values[f"{name}/{score}"] = value
        return values

    estimate, drawn = measure(None), bootstrap(measure, groups, resamples=resamples, seed=seed)
    members, rows = np.asarray(groups, dtype=str), []
    of = {"specificity": labels == 0, "recall": labels == 1, "flips": labels >= 0}
    for name in points:
        kind, level = name.split(" ")
        row: dict[str, Any] = {"kind": kind, "level": float(level) if level else None}
        for score in ("specificity", "recall", "auc", "flips"):
            value, spread = float(estimate[f"{name}/{score}"][0]), drawn.get(f"{name}/{score}", np.zeros(0))
            row[score] = rounded(value)
            if name == "none " and score == "flips":
                row["flips_ci95"] = None  # nothing was changed, so there is nothing to be unsure of
            elif score in of:
                row[f"{score}_ci95"] = share_interval(value, len(np.unique(members[of[score]])), spread)
            else:
                row[f"{score}_ci95"] = interval(spread)
        rows.append(row)
    return rows


def _point(
    labels: np.ndarray, plain: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None
) -> dict[str, np.ndarray]:
    w = np.ones((1, len(labels))) if weights is None else weights
    found = scores(labels, probabilities, weights=w)
    flipped = ((plain >= 0.5) != (probabilities >= 0.5)).astype(float)
    total = w.sum(axis=1)
    share = np.divide(w @ flipped, total, out=np.full(len(w), np.nan), where=total > 0)
    return {name: found[name] for name in ("specificity", "recall", "auc")} | {"flips": share}
