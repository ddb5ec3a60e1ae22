"""From raw scores to probabilities that mean what they say, and to an honest "unsure".

Two numbers are fitted on validation: the logit at which the answer turns, and the temperature that divides what lies
beyond it. Both can be folded into the published weights, and leave the ranking alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rffd.metrics import rounded

COLDEST, HOTTEST = 0.05, 20.0  # a model that is always right, or no better than chance, would have no bound
FARTHEST = 100.0  # from the logits seen, for the offset: where one class is rare and the model knows nothing


class Calibration(NamedTuple):
    """What stands between a logit (fake's minus real's) and its probability: (logit - offset) / temperature."""

    temperature: float = 1.0
    offset: float = 0.0


UNCALIBRATED = Calibration()


def probability(logits: np.ndarray, calibration: Calibration = UNCALIBRATED) -> np.ndarray:
    """Probability of fake from `logits` [N], the fake logit minus the real one."""
    z = (np.asarray(logits, dtype=float) - calibration.offset) / calibration.temperature
    return 0.5 * (1 + np.tanh(z / 2))  # a sigmoid that can't overflow


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """The calibration of the lowest log loss (Platt 1999), its temperature between 0.05 and 20; none if a class is
    missing.

    The loss is convex in the slope 1 / temperature and in the offset at each slope, so both derivatives are bisected.
    """
    z, y = np.asarray(logits, dtype=float), np.asarray(labels, dtype=float)
    if len(np.unique(y)) < 2:
        return UNCALIBRATED

    def offset(slope: float) -> float:
        return _bisect(
            lambda o: float(np.mean(y - probability(slope * (z - o)))),
            float(z.min()) - FARTHEST,
            float(z.max()) + FARTHEST,
        )

    def rise(slope: float) -> float:
        o = offset(slope)
        return float(np.mean((probability(slope * (z - o)) - y) * (z - o)))

    slope = _bisect(rise, 1 / HOTTEST, 1 / COLDEST)
    return Calibration(round(1 / slope, 6), round(offset(slope), 6))


def _bisect(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where `rising` passes zero between `low` and `high`, or the end that is nearer to it."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> list[dict[str, Any]]:
    """One row a bin of equal width: `low`, `high`, `count`, mean `predicted`, share of fakes `observed`.

    `observed_ci95` is Wilson's interval; an empty bin has None.
    """
    y, p = np.asarray(labels), np.asarray(probabilities)
    index = np.minimum((p * bins).astype(int), bins - 1)
    rows = []
    for i in range(bins):
        inside = index == i
        count, fakes = int(inside.sum()), int(y[inside].sum())
        row: dict[str, Any] = {
            "low": i / bins,
            "high": (i + 1) / bins,
            "count": count,
            "predicted": None,
            "observed": None,
        }
        if count:
            row |= {"predicted": rounded(p[inside].mean()), "observed": rounded(fakes / count)}
        rows.append(row | {"observed_ci95": wilson(fakes, count)})
    return rows


def wilson(hits: int, count: int) -> list[float] | None:
    """The 95 % score interval of a share (Wilson 1927); None without observations."""
    if not count:
        return None
    z, share = 1.959964, hits / count
    centre, scale = share + z * z / (2 * count), 1 + z * z / count
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    ends = max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
    return [round(float(end), 6) for end in ends]


def confidence(probabilities: np.ndarray) -> np.ndarray:
    """The probability of the answer given, whichever it is: 0.5 to 1."""
    return np.maximum(probabilities, 1 - np.asarray(probabilities))


def risk_coverage(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float]]:
    """What is wrong among the surest answers (El-Yaniv and Wiener 2010), from the surest to all.

    One row a distinct confidence: the images at least that sure are answered, `coverage` is their share and
    `risk` the share of wrong answers among them.
    """
    p = np.asarray(probabilities)
    wrong, sure = (p >= 0.5) != np.asarray(labels), confidence(p)
    order = np.argsort(-sure, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True)) if len(p) else np.zeros(0, dtype=int)
    errors = np.cumsum(wrong[order])
    return [
        {"confidence": float(sure[order][i]), "coverage": (i + 1) / len(p), "risk": errors[i] / (i + 1)} for i in ends
    ]


def unsure_band(labels: np.ndarray, probabilities: np.ndarray, target_error: float) -> dict[str, Any]:
    """The band of probabilities around 0.5 to be left unanswered, chosen on validation.

    It is the one that leaves the fewest unanswered with at most `target_error` of the answers wrong, and at least
    1 / `target_error` answers (5 %: 20), so that it isn't chosen by a handful. Its ends are chosen apart, since a
    detector may be surer of one class than of the other. Below `low` the answer is real, from `high` on fake.
    `reached` is False where no band does: then it is 0 to 1.
    """
    y, p = np.asarray(labels).astype(bool), np.asarray(probabilities, dtype=float)
    levels = np.unique(p)
    cuts = np.round((levels[1:] + levels[:-1]) / 2, 6)
    lows: np.ndarray = np.r_[0.0, cuts[cuts < 0.5], 0.5]
    highs: np.ndarray = np.r_[0.5, cuts[cuts > 0.5], 1.0]
    fakes, reals = np.sort(p[y]), np.sort(p[~y])
    missed, alarms = np.searchsorted(fakes, lows), len(reals) - np.searchsorted(reals, highs)
    called_real, called_fake = (
        missed + np.searchsorted(reals, lows),
        alarms + len(fakes) - np.searchsorted(fakes, highs),
    )
    best: tuple[tuple[int, int], float, float] = ((0, 0), 0.0, 1.0)
    for low, wrong, count in zip(lows, missed, called_real, strict=True):
        answers, errors = count + called_fake, wrong + alarms
        good = (errors <= target_error * answers) & (answers * target_error >= 1)
        if good.any():
            chosen = np.where(good, answers * (len(p) + 1) - errors, -1).argmax()  # the most; of equals, the rightest
            found = (int(answers[chosen]), -int(errors[chosen]))
            best = max(best, (found, float(low), float(highs[chosen])), key=lambda each: each[0])
    return {"low": best[1], "high": best[2], "reached": best[0][0] > 0, "target_error": target_error}


def verdicts(probabilities: np.ndarray, band: dict[str, Any]) -> list[str]:
    """`real`, `fake` or `unsure` for each probability."""
    low, high = band["low"], band["high"]
    return ["real" if p < low else "fake" if p >= high else "unsure" for p in np.asarray(probabilities)]


def choose_threshold(labels: np.ndarray, probabilities: np.ndarray, max_fpr: float) -> float | None:
    """The lowest threshold at which at most `max_fpr` of the reals are called fake; None without reals.

    It lies half-way to the highest probability that it leaves out, so that it doesn't hang on one image.
    """
    p, real = np.asarray(probabilities), np.asarray(labels) == 0
    if not real.any():
        return None
    levels = np.unique(p)
    rates = 1 - np.searchsorted(np.sort(p[real]), levels, side="left") / real.sum()
    allowed = np.flatnonzero(rates <= max_fpr + 1e-12)
    if not len(allowed):
        return 1.0
    first = allowed[0]
    return rounded(levels[first] if first == 0 else (levels[first - 1] + levels[first]) / 2)
