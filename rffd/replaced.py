"""What was replaced in a fake whose untouched base is known: where the two differ once laid over each other.

A forger's tool changes more than the region: it shifts colours about the seam, and the file is compressed
again. So colours are compared after a smooth correction, against the differences usual in this picture.
"""

import cv2
import numpy as np

from rffd.overlay import lay

SIDE = 600  # pixels: longer side at which pictures are compared
SMOOTH = 2.0  # pixels at SIDE: noise and a misfit of half a pixel go
HIGH, LOW = 16.0, 11.0  # grey levels over the usual: a region has some of HIGH and reaches out to LOW
LIGHT = 60.0  # pixels at SIDE: deviation of the smooth correction of light and colour
CLOSE, OPEN = 0.035, 0.012  # shares of the longer side: gaps that are filled, threads that are cut
SMALLEST = 0.002  # share of the picture: smaller blobs are the compression's
MOST = 0.5  # share of the picture: where more differs, the whole was edited, and nothing says what was replaced
EDGE = 0.01  # share of the longer side at the overlap's border that isn't judged


def replaced(fake: np.ndarray, base: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The mask [H, W] uint8 of the fake, 255 where replaced; `matrix` [2, 3] takes base's pixels to fake's.

    `fake` [H, W, 3] and `base` [h, w, 3] uint8.
    """
    over = lay(fake, base, matrix, SIDE)
    unit = max(over.a.shape[:2]) / SIDE
    inside = _morph(over.inside, cv2.MORPH_ERODE, EDGE * SIDE * unit)
    if not inside.any():
        return np.zeros(fake.shape[:2], np.uint8)
    a, b = (cv2.GaussianBlur(image, (0, 0), SMOOTH * unit) for image in (over.a, over.b))
    trusted = inside
    for _ in range(3):  # the correction is learned where nothing was replaced, as far as is known by then
        apart = cv2.absdiff(a - b, _smooth(a - b, trusted, LIGHT * unit))
        difference = cv2.max(cv2.max(apart[..., 0], apart[..., 1]), apart[..., 2])
        usual = float(np.median(difference[trusted])) if trusted.any() else 0.0
        changed = inside & (difference > LOW + usual)
        trusted = inside & ~_morph(changed, cv2.MORPH_DILATE, 0.02 * SIDE * unit)
    mask = _morph(changed, cv2.MORPH_OPEN, OPEN * SIDE * unit / 2)
    mask = _morph(mask, cv2.MORPH_CLOSE, CLOSE * SIDE * unit)
    mask = _filled(mask)
    mask = _morph(mask, cv2.MORPH_OPEN, OPEN * SIDE * unit)
    mask = _kept(mask, difference > HIGH + usual)
    if mask.mean() > MOST:
        mask[:] = False
    size = (fake.shape[1], fake.shape[0])
    return np.where(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5, 255, 0).astype(
        np.uint8
    )


def _smooth(difference: np.ndarray, trusted: np.ndarray, deviation: float) -> np.ndarray:
    """The difference's low frequencies [H, W, 3], from trusted pixels alone."""
    weight = trusted.astype(np.float32)[..., None]
    both = np.concatenate([difference * weight, weight], axis=2)
    step = max(1, int(deviation // 4))  # low frequencies are the same on a coarser grid, at a fraction of the cost
    coarse = cv2.resize(both, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    mean = coarse[..., :3].sum(axis=(0, 1)) / max(float(coarse[..., 3].sum()), 1e-6)
    near = cv2.GaussianBlur(coarse, (0, 0), deviation / step)
    low = (near[..., :3] + 0.02 * mean) / (near[..., 3:] + 0.02)  # the mean, where nothing near is trusted
    return cv2.resize(low, difference.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _filled(mask: np.ndarray) -> np.ndarray:
    """The mask with its holes filled."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED) > 0


def _kept(mask: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """The mask's blobs that are large enough and somewhere strongly different."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    seeds = np.bincount(labels[strong], minlength=count)
    good = (stats[:, cv2.CC_STAT_AREA] >= SMALLEST * mask.size) & (seeds > 0.02 * stats[:, cv2.CC_STAT_AREA])
    good[0] = False
    return good[labels]


def _morph(mask: np.ndarray, operation: int, diameter: float) -> np.ndarray:
    width = max(1, round(diameter)) | 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return cv2.morphologyEx(mask.astype(np.uint8), operation, element, borderValue=0) > 0
