"""What drawing for pre-training is made of: float32 arrays, [3, h, w] for pictures, [h, w] for shapes."""

from collections.abc import Sequence

import cv2
import numpy as np


def lay(view: np.ndarray, colour: Sequence[float] | np.ndarray, alpha: np.ndarray) -> None:
    """Cover `view` [3, h, w] by `colour` where `alpha` [h, w] is 1, in place."""
    for plane, value in zip(view, colour, strict=True):
        plane += (np.float32(value) - plane) * alpha


def bell(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    """1 at `centre`, 1/e at `width` from it."""
    away = (x - np.float32(centre)) * np.float32(1 / width)
    return np.exp(-away * away)


def clip(values: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(values, np.float32(0)), np.float32(1))


def vector(values: np.ndarray) -> np.ndarray:
    """Three numbers for three planes, float32 [3, 1, 1]."""
    return np.asarray(values, np.float32)[:, None, None]


def power(values: np.ndarray, exponent: float) -> np.ndarray:
    """|values| to a power, by the fast functions."""
    return np.exp(np.float32(exponent) * np.log(np.abs(values) + np.float32(1e-6)))


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in picture])


def cloud(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    """Smooth noise of deviation about 1; `grain` pixels from lump to lump."""
    cells = max(2, round(size / grain))
    return cv2.resize(
        rng.standard_normal((cells, cells), dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )
