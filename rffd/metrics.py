"""Scores of a real / fake detector, and how sure we are of them.

Every score is computed from weighted images, many weightings at a time: one weighting of ones gives the score
itself, and one a bootstrap resample gives its interval. So a score is written once, and 2,000 resamples are a
few matrix products. Resamples draw whole groups (images that show the same photograph), since images of one
group are not independent.

A score that doesn't exist (recall without a fake, AUC with one class) is NaN here and None in figures.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Figures = dict[str, float | list[float] | None]

BLOCK = 2_000_000  # weights held at once: memory doesn't grow with resamples or images
MIN_FALSE_POSITIVES = 3  # a rate of x is read off the ROC only where x times the reals is this many images
PROPORTIONS = {"accuracy": (0, 1), "recall": (1,), "specificity": (0,)}  # and the classes that each is a share of


def scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    threshold: float = 0.5,
    weights: np.ndarray | None = None,
    bins: int = 10,
) -> dict[str, np.ndarray]:
    """Every score, each as an array [R], for `weights` [R, N] of the images (default: ones, R = 1).

    `labels` [N] (1 = fake), `probabilities` [N] of fake; an image is called fake from `threshold` up.
    `ece` is the expected calibration error over `bins` bins of equal width (Naeini et al. 2015). `eer` is
    where the false positive rate meets the miss rate, interpolated on the ROC. `tpr_at_fpr_5` is the highest
    recall of a threshold that calls at most 5 % of the reals fake; NaN with fewer than 60 reals (1 %: 300).
    """
    y, p = np.asarray(labels, dtype=float), np.asarray(probabilities, dtype=float)
    w = np.ones((1, len(y))) if weights is None else np.asarray(weights, dtype=float)
    called = (p >= threshold).astype(float)
    tp, fp, fn, tn = (w @ part for part in (y * called, (1 - y) * called, y * (1 - called), (1 - y) * (1 - called)))
    total, one_class = w.sum(axis=1), (tp + fn == 0) | (tn + fp == 0)
    product = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    mcc = np.where(product > 0, ratio(tp * tn - fp * fn, product), 0.0)  # calling all the same is no correlation
    f1, f1_real = ratio(2 * tp, 2 * tp + fp + fn), ratio(2 * tn, 2 * tn + fp + fn)
    safe = np.clip(p, np.finfo(float).eps, 1 - np.finfo(float).eps)
    gaps = np.zeros((len(y), bins))
    gaps[np.arange(len(y)), np.minimum((p * bins).astype(int), bins - 1)] = p - y
    return {
        "accuracy": ratio(tp + tn, total),
        "f1": f1,
        "f1_real": f1_real,
        "f1_macro": (f1 + f1_real) / 2,
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        **_ranking(y, p, w),
        "mcc": np.where(one_class, np.nan, mcc),
        "log_loss": ratio(w @ -np.log(np.where(y == 1, safe, 1 - safe)), total),
        "brier": ratio(w @ (p - y) ** 2, total),
        "ece": ratio(np.abs(w @ gaps).sum(axis=1), total),
    }


def _ranking(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
    """The scores that no threshold enters; images of equal probability count as one step of the curve."""
    fpr, tpr, precision = curves(y, p, w)
    steps = np.diff(tpr, axis=1)
    excess = fpr - (1 - tpr)  # rises along the curve from -1 to 1
    after = np.minimum(np.maximum(np.argmax(excess >= 0, axis=1), 1), fpr.shape[1] - 1)[:, None]  # no image: no step
    (x0, x1), (e0, e1) = (
        (np.take_along_axis(a, after - 1, axis=1)[:, 0], np.take_along_axis(a, after, axis=1)[:, 0])
        for a in (fpr, excess)
    )
    defined = np.isfinite(fpr[:, -1]) & np.isfinite(tpr[:, -1])
    values = {
        "auc": (np.diff(fpr, axis=1) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1),
        "average_precision": (steps * np.where(steps > 0, precision[:, 1:], 0)).sum(axis=1),
        "eer": x0 + (x1 - x0) * ratio(-e0, e1 - e0),
    }
    for percent in (5, 1):
        allowed = fpr <= percent / 100 + 1e-12
        enough = (y == 0).sum() * percent >= 100 * MIN_FALSE_POSITIVES
        values[f"tpr_at_fpr_{percent}"] = np.where(allowed, tpr, 0).max(axis=1) if enough else np.full(len(w), np.nan)
    return {name: np.where(defined, value, np.nan) for name, value in values.items()}


def curves(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False positive rate, recall and precision, [R, U + 1] each, from calling nothing fake to calling all fake.

    One step a distinct probability. A rate without its class is NaN; the precision of nothing is NaN.
    """
    y, p = np.asarray(labels, dtype=float), np.asarray(probabilities, dtype=float)
    w = np.ones((1, len(y))) if weights is None else weights
    order = np.argsort(-p, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(p[order]) != 0, True)) if len(p) else np.zeros(0, dtype=int)
    w = w[:, order]
    start = np.zeros((len(w), 1))
    fakes = np.hstack([start, np.cumsum(w * y[order], axis=1)[:, ends]])
    reals = np.hstack([start, np.cumsum(w * (1 - y[order]), axis=1)[:, ends]])
    return ratio(reals, reals[:, -1:]), ratio(fakes, fakes[:, -1:]), ratio(fakes, fakes + reals)


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`top / bottom`, NaN where `bottom` is zero."""
    bottom = np.broadcast_to(np.asarray(bottom, dtype=float), np.shape(top))
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)


def resample(groups: Sequence[str], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Bootstrap weights in blocks [b, N]: how often each image occurs when as many groups are drawn as there are.

    The draws depend on the seed and the groups only, not on the size of the blocks.
    """
    names, members = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count, random, left = len(names), np.random.default_rng(seed), resamples
    while left > 0 and count:
        rows = min(left, max(1, BLOCK // max(len(members), count)))
        draws = random.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(draws.ravel(), minlength=rows * count).reshape(rows, count)[:, members].astype(float)
        left -= rows


def bootstrap(
    function: Callable[[np.ndarray], dict[str, np.ndarray]], groups: Sequence[str], *, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """`function(weights [b, N])`, a dictionary of arrays [b], over all resamples: a dictionary of arrays [R]."""
    parts = [function(weights) for weights in resample(groups, resamples, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def interval(values: np.ndarray) -> list[float] | None:
    """The 95 % percentile interval of resampled values; None if the score is undefined in half of them or more."""
    defined = values[np.isfinite(values)]
    if 2 * len(defined) <= len(values):
        return None
    return [round(float(v), 6) for v in np.percentile(defined, [2.5, 97.5])]


def share_interval(share: float, groups: int, values: np.ndarray) -> list[float] | None:
    """The interval of a share: the bootstrap's, except at 0 and 1, where resamples can't vary.

    There it is the exact binomial one for that many independent groups (Clopper and Pearson 1934): nothing
    wrong among 20 groups still leaves room for an error rate of 17 %.
    """
    if not groups or not np.isfinite(share):
        return None
    if share in (0, 1):
        room = round(float(0.025 ** (1 / groups)), 6)
        return [room, 1.0] if share == 1 else [0.0, round(1 - room, 6)]
    return interval(values)


def shares(
    hits: np.ndarray, inside: np.ndarray, groups: Sequence[str], *, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """The share of `hits` [K, N] among the images `inside` [K, N] (or [N], the same for all), for each of K.

    A dictionary each: `count` of images, `groups` of them, `share`, `share_ci95`; None where the count is 0.
    """
    inside = np.broadcast_to(inside, np.shape(hits)).astype(float)
    hits = np.asarray(hits, dtype=float) * inside
    counts, members = inside.sum(axis=1), np.asarray(groups, dtype=str)
    drawn = bootstrap(
        lambda weights: {"share": ratio(weights @ hits.T, weights @ inside.T)}, groups, resamples=resamples, seed=seed
    )
    rows = []
    for i, share in enumerate(ratio(hits.sum(axis=1), counts)):
        distinct = len(np.unique(members[inside[i] > 0]))
        spread = share_interval(float(share), distinct, drawn["share"][:, i]) if drawn else None
        rows.append({"count": int(counts[i]), "groups": distinct, "share": rounded(share), "share_ci95": spread})
    return rows


def figures(
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: Sequence[str],
    *,
    threshold: float = 0.5,
    bins: int = 10,
    resamples: int,
    seed: int,
) -> Figures:
    """Every score with its 95 % interval: `{"accuracy": 0.8, "accuracy_ci95": [0.75, 0.84], ...}`."""
    point = scores(labels, probabilities, threshold=threshold, bins=bins)
    spread = bootstrap(
        lambda weights: scores(labels, probabilities, threshold=threshold, weights=weights, bins=bins),
        groups,
        resamples=resamples,
        seed=seed,
    )
    result: Figures = {}
    for name, value in point.items():
        share = float(value[0])
        result[name] = rounded(share)
        if not spread or not np.isfinite(share):
            result[f"{name}_ci95"] = None
        elif name in PROPORTIONS:
            inside = np.asarray(groups)[np.isin(labels, PROPORTIONS[name])]
            result[f"{name}_ci95"] = share_interval(share, len(np.unique(inside)), spread[name])
        else:
            result[f"{name}_ci95"] = interval(spread[name])
    return result


def rounded(value: float) -> float | None:
    """Six decimals, more than any figure here deserves; None for what isn't a number."""
    return round(float(value), 6) if np.isfinite(value) else None
