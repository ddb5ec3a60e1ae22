"""How well a few numbers tell fake from real: an AUC with an interval, shared photographs kept together.

`pixel_statistics` are such numbers for a picture as a whole: what can be known of it without seeing a face.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rffd.params import require

PERCENTILES = (5, 25, 50, 75, 95)
MAX_SIDE = 2048  # pixels; sharpness and noise of larger pictures are those of their centre, so that memory is bounded


@dataclass(frozen=True, kw_only=True)
class AuditParams:
    """The settings of the audit."""

    seed: int
    folds: int
    resamples: int

    def __post_init__(self) -> None:
        require(self.folds >= 2, "catalog.audit.folds", self.folds, "2 or more")
        require(self.resamples >= 100, "catalog.audit.resamples", self.resamples, "100 or more")


Interval = tuple[float, float, float]  # AUC, lower and upper end of its 95 % interval
NOTHING_KNOWN: Interval = (0.5, 0.0, 1.0)


def pixel_statistics(image: Image.Image) -> np.ndarray:
    """Global statistics of an RGB picture [F] float64: colours, contrast, sharpness, noise, JPEG block edges.

    Sharpness, noise and block edges are taken over the whole frame and over its central half.
    """
    values = []
    for channel in (*image.split(), *image.convert("YCbCr").split()[1:]):
        values += _histogram_statistics(np.array(channel.histogram(), dtype=np.float64))
    luma = image.convert("L")
    for share in (1.0, 0.5):
        width, height = (max(16, min(MAX_SIDE, int(side * share))) for side in luma.size)
        left, top = ((luma.width - width) // 16 * 8, (luma.height - height) // 16 * 8)  # on the grid of JPEG blocks
        values += _texture_statistics(np.asarray(luma.crop((left, top, left + width, top + height)), dtype=np.int16))
    return np.array(values)


def _histogram_statistics(counts: np.ndarray) -> list[float]:
    share, levels = counts / counts.sum(), np.arange(256)
    mean = float(share @ levels)
    spread = float(np.sqrt(share @ (levels - mean) ** 2))
    return [mean, spread, *(float(np.searchsorted(np.cumsum(share), p / 100)) for p in PERCENTILES)]


def _texture_statistics(luma: np.ndarray) -> list[float]:
    """Sharpness, noise and block edges of `luma` [H, W] int16, by exact sums."""
    across, down = np.diff(luma, axis=1), np.diff(luma, axis=0)
    twice_across, twice_down = np.diff(across, axis=1), np.diff(down, axis=0)
    laplacian = twice_across[1:-1] + twice_down[:, 1:-1]
    sharpness = np.square(laplacian, dtype=np.int32).mean(dtype=np.float64) - laplacian.mean(dtype=np.float64) ** 2
    # Immerkaer, Fast Noise Variance Estimation, 1996: the part of the second differences that no edge explains
    noise = _mean_size(np.diff(twice_across, 2, axis=0))
    steps = (_mean_size(across, axis=0), _mean_size(down, axis=1))
    on = np.mean([step[7::8].mean() for step in steps])
    off = np.mean([np.delete(step, np.s_[7::8]).mean() for step in steps])
    return [float(np.log1p(sharpness)), float(np.log1p(noise)), float((on + 1) / (off + 1))]


def _mean_size(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    return np.abs(values).sum(axis=axis, dtype=np.int64) / (values.size if axis is None else values.shape[axis])


def shortcut_auc(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    seed: int,
    *,
    folds: int = 5,
    resamples: int = 1000,
) -> Interval:
    """The AUC of boosted trees on `features` [N, F] for `labels` [N] (fake = 1), with its 95 % interval.

    Scores are out of fold, and a group is never on both sides. Too few groups for two folds say nothing:
    0.5 within 0 to 1.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    labels, names = np.asarray(labels), np.asarray(groups)
    folds = min([folds, *(len(set(names[labels == label])) for label in (0, 1))])
    if folds < 2:
        return NOTHING_KNOWN
    features = np.asarray(features, dtype=np.float64).reshape(len(labels), -1)
    scores, fold_of = np.zeros(len(labels)), np.zeros(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # sums in one order, so that the figures don't depend on the number of cores
        for fold, (train, test) in enumerate(splitter.split(features, labels, names)):
            trees = HistGradientBoostingClassifier(
                max_iter=80, max_leaf_nodes=8, min_samples_leaf=10, early_stopping=False, random_state=seed
            )
            fold_of[test] = fold
            if len(set(labels[train])) == 2:  # else a few large groups left nothing to learn from
                scores[test] = trees.fit(features[train], labels[train]).decision_function(features[test])
    return auc_interval(scores, labels, names, fold_of, seed=seed, resamples=resamples)


def auc_interval(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    folds: np.ndarray,
    *,
    seed: int,
    resamples: int,
) -> Interval:
    """The AUC of `scores` [N] for `labels` [N] and its 95 % interval by a bootstrap over groups.

    Where no fold holds both labels: 0.5 within 0 to 1.

    Only images of one fold are compared with one another: each fold has a classifier of its own, and their
    scores have no common scale.
    """
    group_names, member = np.unique(np.asarray(groups), return_inverse=True)
    order = np.lexsort((scores, folds))
    fold, score = folds[order], scores[order]
    new_fold = np.r_[True, np.diff(fold) != 0]
    starts = np.flatnonzero(new_fold | np.r_[True, np.diff(score) != 0])  # of runs of equal scores
    first_run = np.flatnonzero(new_fold[starts])  # of each fold
    fake = np.asarray(labels)[order] == 1

    def auc(weight: np.ndarray) -> float:
        fakes = np.add.reduceat(np.where(fake, weight, 0.0), starts)
        reals = np.add.reduceat(np.where(fake, 0.0, weight), starts)
        reals_by_fold, fakes_by_fold = np.add.reduceat(reals, first_run), np.add.reduceat(fakes, first_run)
        earlier = np.repeat(np.r_[0.0, np.cumsum(reals_by_fold)[:-1]], np.diff(np.r_[first_run, len(starts)]))
        below = np.cumsum(reals) - reals / 2 - earlier  # a tie counts half
        pairs = float(reals_by_fold @ fakes_by_fold)
        return float(fakes @ below) / pairs if pairs else float("nan")

    whole = auc(np.ones(len(order)))
    if np.isnan(whole):
        return NOTHING_KNOWN
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        picks = generator.integers(0, len(group_names), len(group_names))
        drawn.append(auc(np.bincount(picks, minlength=len(group_names))[member[order]].astype(np.float64)))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return whole, float(low), float(high)
