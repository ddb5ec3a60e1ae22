"""Scores against scikit-learn and by hand, and intervals against what is known of them."""

import time

import numpy as np
import pytest
from sklearn import metrics as sk

from rffd import metrics

REFERENCE = {
    "accuracy": lambda y, p, w: sk.accuracy_score(y, p >= 0.5, sample_weight=w),
    "f1": lambda y, p, w: sk.f1_score(y, p >= 0.5, sample_weight=w),
    "f1_real": lambda y, p, w: sk.f1_score(y, p >= 0.5, pos_label=0, sample_weight=w),
    "f1_macro": lambda y, p, w: sk.f1_score(y, p >= 0.5, average="macro", sample_weight=w),
    "precision": lambda y, p, w: sk.precision_score(y, p >= 0.5, sample_weight=w),
    "recall": lambda y, p, w: sk.recall_score(y, p >= 0.5, sample_weight=w),
    "specificity": lambda y, p, w: sk.recall_score(y, p >= 0.5, pos_label=0, sample_weight=w),
    "auc": lambda y, p, w: sk.roc_auc_score(y, p, sample_weight=w),
    "average_precision": lambda y, p, w: sk.average_precision_score(y, p, sample_weight=w),
    "mcc": lambda y, p, w: sk.matthews_corrcoef(y, p >= 0.5, sample_weight=w),
    "log_loss": lambda y, p, w: sk.log_loss(y, p, sample_weight=w),
    "brier": lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w),
}


def drawn(seed: int, n: int = 150, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    p = 1 / (1 + np.exp(-(y - 0.5 + random.normal(size=n))))
    return y, np.round(p, 1) if ties else p


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", REFERENCE)
def test_scores_are_scikit_learns(name: str, ties: bool) -> None:
    for seed in range(5):
        y, p = drawn(seed, ties=ties)
        assert metrics.scores(y, p)[name][0] == pytest.approx(REFERENCE[name](y, p, None))


@pytest.mark.parametrize("name", REFERENCE)
def test_weights_count_an_image_several_times(name: str) -> None:
    y, p = drawn(3, ties=True)
    weights = np.random.default_rng(0).integers(0, 4, (7, len(y)))
    found = metrics.scores(y, p, weights=weights)[name]
    assert found.shape == (7,)
    for i, w in enumerate(weights):
        assert found[i] == pytest.approx(REFERENCE[name](y, p, w)), i
        again = metrics.scores(np.repeat(y, w), np.repeat(p, w))[name][0]
        assert found[i] == pytest.approx(again)


def test_rates_read_off_the_roc() -> None:
    y, p = drawn(1, 400, ties=True)
    fpr, tpr, _ = sk.roc_curve(y, p, drop_intermediate=False)
    found = metrics.scores(y, p)
    assert found["tpr_at_fpr_5"][0] == pytest.approx(tpr[fpr <= 0.05].max())
    crossing = np.interp(0, fpr - (1 - tpr), fpr)
    assert found["eer"][0] == pytest.approx(crossing)
    assert np.isnan(found["tpr_at_fpr_1"][0])  # about 200 reals: 1 % is two of them


@pytest.mark.parametrize(("reals", "five", "one"), [(59, False, False), (60, True, False), (300, True, True)])
def test_a_rate_needs_three_false_positives(reals: int, five: bool, one: bool) -> None:
    y = np.r_[np.zeros(reals), np.ones(10)]
    found = metrics.scores(y, np.linspace(0.1, 0.9, len(y)))
    assert (np.isfinite(found["tpr_at_fpr_5"][0]), np.isfinite(found["tpr_at_fpr_1"][0])) == (five, one)


def test_by_hand() -> None:
    # reals .1 .4 .6, fakes .4 .9: pairs won 4 of 6, tied 1
    y, p = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.6, 0.4, 0.9])
    found = {name: value[0] for name, value in metrics.scores(y, p).items()}
    assert found["auc"] == pytest.approx(4.5 / 6)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert (found["recall"], found["specificity"], found["precision"]) == pytest.approx((1 / 2, 2 / 3, 1 / 2))
    assert found["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    # bins .1-.2: |.1 - 0|; .4-.5: |.8 - 1|; .6-.7: |.6 - 0|; .9-1: |.9 - 1|
    assert found["ece"] == pytest.approx((0.1 + 0.2 + 0.6 + 0.1) / 5)
    assert found["brier"] == pytest.approx((0.01 + 0.16 + 0.36 + 0.36 + 0.01) / 5)


def test_threshold_includes_itself() -> None:
    found = metrics.scores(np.array([0, 1]), np.array([0.5, 0.5]))
    assert (found["recall"][0], found["specificity"][0]) == (1, 0)
    found = metrics.scores(np.array([0, 1]), np.array([0.5, 0.5]), threshold=0.6)
    assert (found["recall"][0], found["specificity"][0]) == (0, 1)


def test_all_tied_is_chance() -> None:
    y = np.array([0, 1] * 80)
    found = metrics.scores(y, np.full(160, 0.3))
    assert (found["auc"][0], found["eer"][0], found["average_precision"][0]) == (0.5, 0.5, 0.5)
    assert (found["tpr_at_fpr_5"][0], found["mcc"][0], found["f1"][0]) == (0, 0, 0)
    assert np.isnan(found["precision"][0])  # nothing was called fake


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only(label: int) -> None:
    found = metrics.figures(
        np.full(6, label), np.linspace(0.2, 0.8, 6), [str(i) for i in range(6)], resamples=50, seed=0
    )
    for name in ("auc", "average_precision", "eer", "mcc", "tpr_at_fpr_5"):
        assert found[name] is None and found[f"{name}_ci95"] is None
    assert found["accuracy"] == 0.5
    assert (found["recall"] is None, found["specificity"] is None) == (label == 0, label == 1)


def test_no_image_at_all() -> None:
    found = metrics.figures(np.zeros(0), np.zeros(0), [], resamples=10, seed=0)
    assert set(found.values()) == {None}
    assert metrics.shares(np.zeros((2, 0)), np.zeros(0), [], resamples=10, seed=0)[0]["share"] is None


def test_perfect_and_saturated() -> None:
    found = metrics.scores(np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert (found["auc"][0], found["eer"][0], found["ece"][0], found["mcc"][0]) == (1, 0, 0, 1)
    wrong = metrics.scores(np.array([1, 0]), np.array([0.0, 1.0]))
    assert np.isfinite(wrong["log_loss"][0]) and wrong["auc"][0] == 0 and wrong["eer"][0] == 1


def test_groups_are_drawn_whole() -> None:
    groups = ["b", "a", "b", "c", "a", "b"]
    weights = np.concatenate(list(metrics.resample(groups, 500, seed=0)))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()  # three groups drawn each time
    assert weights.mean() == pytest.approx(1, abs=0.05)


def test_resamples_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [str(i // 2) for i in range(40)]
    whole = np.concatenate(list(metrics.resample(groups, 64, seed=5)))
    monkeypatch.setattr(metrics, "BLOCK", 300)
    blocks = list(metrics.resample(groups, 64, seed=5))
    assert len(blocks) > 5 and (np.concatenate(blocks) == whole).all()


def test_interval_of_a_mean_is_the_textbooks() -> None:
    y, _ = drawn(0, 400)
    p = np.where(np.random.default_rng(1).random(400) < 0.8, y, 1 - y).astype(float)
    found = metrics.figures(y, p, [str(i) for i in range(400)], resamples=2000, seed=0)
    half = 1.96 * np.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 400)
    low, high = found["accuracy_ci95"]
    assert (low, high) == pytest.approx((found["accuracy"] - half, found["accuracy"] + half), abs=0.006)


def test_shared_photographs_widen_the_interval() -> None:
    y, p = drawn(2, 100)
    alone = metrics.figures(np.tile(y, 4), np.tile(p, 4), [str(i) for i in range(400)], resamples=1000, seed=0)
    together = metrics.figures(np.tile(y, 4), np.tile(p, 4), [str(i % 100) for i in range(400)], resamples=1000, seed=0)
    narrow, wide = (np.diff(found["auc_ci95"])[0] for found in (alone, together))
    assert wide > 1.7 * narrow  # four copies of each image are no more evidence than one


def test_nothing_wrong_among_twenty_is_no_certainty() -> None:
    rows = metrics.shares(np.ones((2, 30)), np.ones(30), [str(i % 20) for i in range(30)], resamples=50, seed=0)
    assert rows[0] == {"count": 30, "groups": 20, "share": 1.0, "share_ci95": [pytest.approx(0.8316, abs=1e-4), 1.0]}
    none = metrics.shares(np.zeros((1, 20)), np.ones(20), [str(i) for i in range(20)], resamples=50, seed=0)
    assert none[0]["share_ci95"] == [0.0, pytest.approx(0.1684, abs=1e-4)]


def test_empty_stratum() -> None:
    hits, inside = np.ones((2, 4)), np.array([[1, 1, 0, 0], [0, 0, 0, 0]])
    some, none = metrics.shares(hits, inside, list("abcd"), resamples=20, seed=0)
    assert some["count"] == 2
    assert none == {"count": 0, "groups": 0, "share": None, "share_ci95": None}


def test_two_splits_within_ten_seconds() -> None:
    start = time.process_time()
    for seed in (0, 1):
        y, p = drawn(seed, 410)
        found = metrics.figures(y, p, [str(i) for i in range(410)], resamples=2000, seed=0)
    assert time.process_time() - start < 10
    assert found == metrics.figures(y, p, [str(i) for i in range(410)], resamples=2000, seed=0)
