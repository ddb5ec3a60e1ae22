"""How one image lies on another: the transformation that most of their alike features agree on (RANSAC)."""

from dataclasses import dataclass

import cv2
import numpy as np

from rffd.features import MIRROR, Features, unit

CLEAR = 0.7  # the nearest feature's squared distance is under this share of the second nearest's
ALIKE = 0.8  # similarity that a feature must have with the one it is laid on
TURN, STRETCH = 0.35, 0.35  # radians and log scale by which a single feature may err about the transformation
LEVER = 0.25  # how far that moves a place, as a share of its distance from the feature
FEWEST = 4


@dataclass(frozen=True)
class Match:
    """`matrix` [2, 3] takes pixels of b to pixels of a, mirroring them first if `mirrored`.

    `matches`: features alike before any geometry; `points` [n, 2]: where in a those lie that agree with the
    matrix, `alike` [n] how similar their features are; `residual`: their median error in pixels of a.
    """

    matrix: np.ndarray
    mirrored: bool
    matches: int
    points: np.ndarray
    alike: np.ndarray
    residual: float

    @property
    def scale(self) -> float:
        """Pixels of a that a pixel of b takes."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    @property
    def rotation(self) -> float:
        """Degrees that b, mirrored first if it is, is turned by to lie on a; clockwise as seen."""
        sign = -1 if self.mirrored else 1
        return float(np.degrees(np.arctan2(self.matrix[1, 0] * sign, self.matrix[0, 0] * sign)))


def match(features: Features, a: int, b: int, mirrored: bool, tolerance: float) -> Match | None:
    """The similarity transformation from image b to image a, or None; `tolerance` in pixels of a."""
    (pa, da), (pb, db) = ((points.astype(np.float64), unit(own)) for points, own in map(features.of, (a, b)))
    if min(len(pa), len(pb)) < FEWEST:
        return None
    if mirrored:
        db = db[:, MIRROR]
        pb[:, 0], pb[:, 3] = -pb[:, 0], np.pi - pb[:, 3]
    similar = da @ db.T
    i, j = _alike(similar)
    if len(i) < FEWEST:
        return None
    chosen = _agreeing(pa[i], pb[j], tolerance)
    if chosen.sum() < FEWEST:
        return None
    ends = pb[j][chosen, :2], pa[i][chosen, :2]
    matrix, _ = cv2.estimateAffinePartial2D(*ends, method=cv2.RANSAC, ransacReprojThreshold=tolerance)
    all_i, all_j = np.nonzero(similar > ALIKE)
    for _ in range(3):  # a feature whose best match was another one counts too, once it fits
        if matrix is None or not 0.05 < np.hypot(matrix[0, 0], matrix[1, 0]) < 20:
            return None
        k, m = _laid(similar, all_i, all_j, pa, pb, matrix, tolerance)
        if len(k) < FEWEST:
            return None
        matrix = similarity(pb[m, :2], pa[k, :2])
    if matrix is None:
        return None
    errors = np.linalg.norm(pb[m, :2] @ matrix[:, :2].T + matrix[:, 2] - pa[k, :2], axis=1)
    if mirrored:
        matrix = matrix @ np.diag([-1.0, 1.0, 1.0])
    return Match(matrix, mirrored, len(i), pa[k, :2], similar[k, m], float(np.median(errors)))


def _alike(similar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features that are each other's nearest, and clearly nearer than the second nearest in one direction."""
    rows, best = np.arange(len(similar)), similar.argmax(axis=1)
    mutual = similar.argmax(axis=0)[best] == rows
    rows, best = rows[mutual], best[mutual]
    near = similar[rows, best]
    similar[rows, best] = -1
    second = np.minimum(similar[rows].max(axis=1), similar[:, best].max(axis=0))
    similar[rows, best] = near
    clear = 1 - near < CLEAR * (1 - second)
    return rows[clear], best[clear]


def _agreeing(pa: np.ndarray, pb: np.ndarray, tolerance: float) -> np.ndarray:
    """Which matches agree with the one that most agree with: each alone gives a scale, a turn and a shift."""
    stretch, turn = np.log(pa[:, 2] / pb[:, 2]), pa[:, 3] - pb[:, 3]
    za, zb = pa[:, 0] + 1j * pa[:, 1], pb[:, 0] + 1j * pb[:, 1]
    arm = np.exp(stretch + 1j * turn)[:, None] * (zb[None] - zb[:, None])
    agree = np.abs(za[None] - za[:, None] - arm) < 2 * tolerance + LEVER * np.abs(arm)
    agree &= np.abs(stretch[None] - stretch[:, None]) < STRETCH
    agree &= np.abs(_wrapped(turn[None] - turn[:, None])) < TURN
    return agree[agree.sum(axis=1).argmax()]


def _laid(
    similar: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
    pa: np.ndarray,
    pb: np.ndarray,
    matrix: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the alike features (i, j) that `matrix` lays on each other; each place counts once."""
    moved = pb[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    fits = np.abs(pa[i, :2] - moved[j]).max(axis=1) < tolerance
    i, j = i[fits], j[fits]
    fits = np.abs(np.log(pa[i, 2] / pb[j, 2] / np.hypot(matrix[0, 0], matrix[1, 0]))) < STRETCH
    fits &= np.abs(_wrapped(pa[i, 3] - pb[j, 3] - np.arctan2(matrix[1, 0], matrix[0, 0]))) < TURN
    i, j = i[fits], j[fits]
    order = np.argsort(-similar[i, j], kind="stable")
    i, j = i[order], j[order]
    for points in (pa, pb):  # of each place the most alike one
        places = points[i if points is pa else j, :2]
        first = np.sort(np.unique(np.round(places), axis=0, return_index=True)[1])
        i, j = i[first], j[first]
    return i, j


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """The least-squares similarity [2, 3] that takes points `source` [n, 2] to `target` [n, 2]."""
    zs, zt = source @ [1, 1j], target @ [1, 1j]
    spread = np.sum(np.abs(zs - zs.mean()) ** 2)
    if spread < 1e-6:
        return None
    arm = np.sum(np.conj(zs - zs.mean()) * (zt - zt.mean())) / spread
    shift = zt.mean() - arm * zs.mean()
    return np.array([[arm.real, -arm.imag, shift.real], [arm.imag, arm.real, shift.imag]])


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi
