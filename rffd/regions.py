"""Where the four regions lie, on average: for fakes whose exact mask isn't known, and for pointing scores.

Measured on 81 registered forgeries, as ellipses in fractions of a frontal detector's face box; the box itself
has its centre at (297, 342) and a side of 397 in frames of 600 pixels (standard deviations 40, 34 and 48).
"""

import functools

import numpy as np

from rffd.face import FACE_BOX
from rffd.names import REGIONS

# Region bits (left eye, right eye, nose, mouth) to centre x, y, width, height in the face box. Neighbouring
# regions are replaced as one blob, so a pair's blob is larger than its parts.
_BLOBS = {
    (1, 0, 0, 0): (0.28, 0.40, 0.34, 0.24),
    (0, 1, 0, 0): (0.71, 0.39, 0.35, 0.25),
    (0, 0, 1, 0): (0.50, 0.58, 0.33, 0.32),
    (0, 0, 0, 1): (0.50, 0.82, 0.46, 0.28),
    (1, 1, 0, 0): (0.51, 0.365, 0.77, 0.36),
    (0, 0, 1, 1): (0.50, 0.71, 0.48, 0.48),
    (1, 1, 1, 1): (0.50, 0.57, 0.70, 0.81),
}


@functools.lru_cache(maxsize=256)
def prior_mask(bits: tuple[int, int, int, int], size: int, face_margin: float | None) -> np.ndarray:
    """The average mask of a fake with `bits`, [size, size] float32: 1 inside, 0 outside, soft at the edge.

    `face_margin` is the preprocessing's: None for the whole frame, else the square is the face box with that
    share of its side added all round.
    """
    y, x = np.mgrid[0:size, 0:size] + 0.5
    left, top, side = face_square(size, face_margin)
    x, y = (x - left) / side, (y - top) / side
    mask = np.zeros((size, size))
    for cx, cy, width, height in region_blobs(bits):
        radius = np.sqrt(((x - cx) / (width / 2)) ** 2 + ((y - cy) / (height / 2)) ** 2)
        mask = np.maximum(mask, np.clip((1.15 - radius) / 0.3, 0, 1))
    return mask.astype(np.float32)


def face_square(size: int, face_margin: float | None) -> tuple[float, float, float]:
    """Where the face box lies in a prepared square of `size` pixels: left, top and side, in pixels."""
    if face_margin is None:
        side = FACE_BOX[2]
        left, top = FACE_BOX[0] - side / 2, FACE_BOX[1] - side / 2
    else:
        side = 1 / (1 + 2 * face_margin)
        left = top = (1 - side) / 2
    return left * size, top * size, side * size


def region_blobs(bits: tuple[int, int, int, int]) -> list[tuple[float, float, float, float]]:
    """The ellipses (centre x, y, width, height, in the face box) whose union a fake with `bits` has replaced."""
    return [
        ellipse for blob, ellipse in _BLOBS.items() if all(have >= need for have, need in zip(bits, blob, strict=True))
    ]


def region_masks(size: int, face_margin: float | None) -> np.ndarray:
    """The four single regions' average masks, [4, size, size] float32, in the order of `REGIONS`."""
    return np.stack([prior_mask(tuple(int(i == k) for i in range(4)), size, face_margin) for k in range(len(REGIONS))])
