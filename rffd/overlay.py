"""Laying one picture over another and asking where the pixels agree.

Two people's eyes have alike features in alike places, but not the same lashes: agreement is the correlation
of fine detail (a band of a few pixels) in small windows, which light, colour and compression leave alone.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

FINE, COARSE = 1.0, 3.0  # pixels: the band of detail that is compared
WINDOW = 4.5  # pixels: deviation of the window in which it is
SAME = 0.85  # correlation from which on a window shows the same; unrelated ones reach .7
FLAT = 1.0  # detail's mean square, grey levels squared, under which a window tells nothing
REACH = 8  # pixels about the features that are aligned finely


@dataclass(frozen=True)
class Overlay:
    """`a` and `b`, laid over it, [H, W] float32, where they overlap (`inside`, bool); `scale` from the image a."""

    a: np.ndarray
    b: np.ndarray
    inside: np.ndarray
    scale: float


def lay(a: np.ndarray, b: np.ndarray, matrix: np.ndarray, side: int) -> Overlay:
    """Lay `b` over `a` by `matrix` [2, 3]; pictures [H, W(, 3)] uint8; a's longer side is brought to `side` at most."""
    scale = min(1.0, side / max(a.shape[:2]))
    size = (round(a.shape[1] * scale), round(a.shape[0] * scale))
    small = cv2.resize(a, size, interpolation=cv2.INTER_AREA)
    shrink = min(1.0, scale * float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    inner = (max(1, round(b.shape[1] * shrink)), max(1, round(b.shape[0] * shrink)))
    reduced = cv2.resize(b, inner, interpolation=cv2.INTER_AREA) if shrink < 1 else b
    whole = _scaling(size, a) @ np.vstack([matrix, [0, 0, 1]]) @ np.linalg.inv(_scaling(inner[:2], b))
    laid = cv2.warpAffine(reduced, whole[:2], size, flags=cv2.INTER_CUBIC)
    inside = cv2.warpAffine(np.full(reduced.shape[:2], 255, np.uint8), whole[:2], size) > 250
    return Overlay(small.astype(np.float32), laid.astype(np.float32), inside, scale)


def agreement(overlay: Overlay) -> tuple[np.ndarray, np.ndarray]:
    """The local correlation of detail [H, W], -1 to 1, and where there is detail to judge by (bool)."""
    a, b = (_blur(x, FINE) - _blur(x, COARSE) for x in (overlay.a, overlay.b))
    aa, bb, ab = _blur(a * a, WINDOW), _blur(b * b, WINDOW), _blur(a * b, WINDOW)
    return ab / np.sqrt(aa * bb + 1), overlay.inside & (np.minimum(aa, bb) > FLAT)


def refined(overlay: Overlay, points: np.ndarray) -> Overlay:
    """The overlay with `b` moved by a small affine transformation that fits it better about `points` of image a.

    A donated region may have been stretched to fit. Source: Evangelidis and Psarakis, ECC, 2008.
    """
    near = np.zeros(overlay.a.shape, np.uint8)
    cv2.fillConvexPoly(near, cv2.convexHull(_places(overlay, points)), 1)
    near = cv2.dilate(near, np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)) & overlay.inside
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if len(rows) < 2 * REACH or len(columns) < 2 * REACH:
        return overlay
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)
    try:
        _, warp = cv2.findTransformECC(
            _blur(overlay.a[box], FINE), _blur(overlay.b[box], FINE), np.eye(2, 3, dtype=np.float32),
            cv2.MOTION_AFFINE, stop, near[box], 1,
        )  # fmt: skip
    except cv2.error:  # it doesn't converge where nothing agrees
        return overlay
    move = np.array([[1, 0, columns[0]], [0, 1, rows[0]], [0, 0, 1]], dtype=np.float64)
    warp = (move @ np.vstack([warp, [0, 0, 1]]) @ np.linalg.inv(move))[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(overlay.b, warp, overlay.a.shape[::-1], flags=flags)
    return replace(overlay, b=moved)


def sharing(overlay: Overlay, points: np.ndarray) -> tuple[np.ndarray, float]:
    """Which of `points` [n, 2] of image a lie where both show the same, and the share of the overlap that does."""
    same, detail = agreement(overlay)
    whole = float((same[detail] > SAME).mean()) if detail.any() else 0.0
    at = _places(overlay, points)
    views = (same, agreement(refined(overlay, points))[0])
    return np.array(max((view[at[:, 1], at[:, 0]] > SAME for view in views), key=np.sum)), whole


def _places(overlay: Overlay, points: np.ndarray) -> np.ndarray:
    height, width = overlay.a.shape
    return np.clip(np.round((points + 0.5) * overlay.scale - 0.5), 0, [width - 1, height - 1]).astype(np.int32)


def _scaling(size: tuple[int, int], image: np.ndarray) -> np.ndarray:
    """Pixel centres of `image` to those of the same picture at `size` (width, height)."""
    x, y = size[0] / image.shape[1], size[1] / image.shape[0]
    return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])


def _blur(image: np.ndarray, deviation: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), deviation)
