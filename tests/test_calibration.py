"""Calibration, reliability and the unsure band, on cases whose answer is known."""

import numpy as np
import pytest
from scipy.optimize import minimize

from rffd import calibration
from rffd.metrics import scores


def overconfident(factor: float, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `factor` times too large, and labels drawn from the true probabilities."""
    random = np.random.default_rng(seed)
    z = random.normal(scale=2, size=n)
    return z * factor, (random.random(n) < calibration.probability(z)).astype(int)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("offset", [-2.0, 0.0, 0.7])
def test_calibration_undoes_overconfidence_and_partiality(factor: float, offset: float) -> None:
    logits, labels = overconfident(factor)
    found = calibration.fit_calibration(logits + offset, labels)
    assert found.temperature == pytest.approx(factor, rel=0.08)
    assert found.offset == pytest.approx(offset, abs=0.1 * factor)


def test_calibration_has_the_lowest_loss() -> None:
    logits, labels = overconfident(2.0, 300)

    def loss(values: np.ndarray) -> float:
        p = calibration.probability(logits, calibration.Calibration(*values))
        return float(scores(labels, p)["log_loss"][0])

    best = minimize(loss, (1.0, 1.0), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12}).x
    assert tuple(calibration.fit_calibration(logits, labels)) == pytest.approx(tuple(best), abs=1e-3)


def test_calibration_moves_no_rank_and_the_temperature_alone_no_answer() -> None:
    logits, labels = overconfident(3.0, 500)
    some = [calibration.Calibration(), calibration.Calibration(3.0), calibration.Calibration(3.0, 0.5)]
    before, cooled, moved = (scores(labels, calibration.probability(logits, one)) for one in some)
    for name in ("accuracy", "f1", "recall", "auc", "eer"):
        assert before[name] == pytest.approx(cooled[name])
    assert cooled["ece"] < before["ece"]
    assert moved["auc"] == pytest.approx(before["auc"]) and moved["recall"] < before["recall"]


def test_calibration_where_there_is_none() -> None:
    none = calibration.UNCALIBRATED
    assert calibration.fit_calibration(np.array([1.0, -2.0]), np.array([1, 1])) == none
    assert calibration.fit_calibration(np.zeros(0), np.zeros(0)) == none
    always_right = calibration.fit_calibration(np.array([-1.0, 1.0]), np.array([0, 1]))
    assert always_right == pytest.approx((0.05, 0), abs=1e-6)
    assert calibration.fit_calibration(np.array([1.0, -1.0]), np.array([0, 1])).temperature == pytest.approx(20)


def test_calibration_of_a_model_that_knows_nothing_gives_the_share_of_fakes() -> None:
    fitted = calibration.fit_calibration(np.zeros(100), np.repeat([0, 1], [90, 10]))
    assert calibration.probability(np.zeros(1), fitted)[0] == pytest.approx(0.1, abs=1e-4)


def test_probability_does_not_overflow() -> None:
    assert list(calibration.probability(np.array([-1e5, 0, 1e5]))) == [0, 0.5, 1]
    assert calibration.probability(np.array([np.log(3)]))[0] == pytest.approx(0.75)


def test_reliability_counts_every_image_once() -> None:
    y, p = np.array([0, 1, 1, 0, 1]), np.array([0.0, 0.05, 0.95, 0.55, 1.0])
    rows = calibration.reliability(y, p, 10)
    assert [row["count"] for row in rows] == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert (rows[0]["predicted"], rows[0]["observed"]) == (0.025, 0.5)
    assert rows[1]["observed"] is None and rows[1]["observed_ci95"] is None


def test_wilson_by_hand() -> None:
    assert calibration.wilson(8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)  # Newcombe 1998, method 3
    assert calibration.wilson(0, 20) == pytest.approx([0, 0.1611], abs=1e-4)
    assert calibration.wilson(0, 0) is None


def test_risk_coverage_by_hand() -> None:
    y, p = np.array([1, 0, 1, 0]), np.array([0.9, 0.2, 0.3, 0.8])  # .9 right, .2 and .8 tied in confidence, .3 wrong
    rows = calibration.risk_coverage(y, p)
    assert [(round(row["confidence"], 6), row["coverage"]) for row in rows] == [(0.9, 0.25), (0.8, 0.75), (0.7, 1.0)]
    assert [row["risk"] for row in rows] == pytest.approx([0, 1 / 3, 2 / 4])
    assert calibration.risk_coverage(np.zeros(0), np.zeros(0)) == []


def test_band_keeps_its_promise_where_it_was_chosen() -> None:
    logits, labels = overconfident(1.0, 1000)
    p = calibration.probability(logits)
    band = calibration.unsure_band(labels, p, 0.05)
    assert band["reached"] and 0 < band["low"] < 0.5 < band["high"] < 1
    answered = (p < band["low"]) | (p >= band["high"])
    assert ((p >= 0.5) != labels)[answered].mean() <= 0.05
    verdicts = calibration.verdicts(p, band)
    assert [v != "unsure" for v in verdicts] == list(answered)
    assert {v for v, q in zip(verdicts, p, strict=True) if q > 0.99} == {"fake"}
    wider = calibration.unsure_band(labels, p, 0.01)
    assert wider["high"] > band["high"] and wider["low"] < band["low"]


def test_band_leaves_the_fewest_unanswered_whichever_class_is_the_surer() -> None:
    labels = np.r_[np.zeros(40), np.ones(40), np.arange(20) % 2]
    p = np.r_[np.linspace(0.05, 0.3, 40), np.linspace(0.7, 0.8, 40), np.linspace(0.82, 0.98, 20)]  # sure and wrong
    band = calibration.unsure_band(labels, p, 0.05)
    answered = (p < band["low"]) | (p >= band["high"])
    assert band["reached"] and 0.3 < band["low"] <= 0.5 and band["high"] > 0.9  # symmetric, there would be none
    best = max(
        sum(inside)
        for low in np.arange(0, 0.51, 0.02)
        for high in np.arange(0.5, 1.01, 0.02)
        if (inside := (p < low) | (p >= high)).sum() >= 20 and ((p >= 0.5) != labels)[inside].mean() <= 0.05
    )
    assert answered.sum() >= best and ((p >= 0.5) != labels)[answered].mean() <= 0.05


def test_no_band_is_chosen_by_a_handful() -> None:
    labels, p = np.array([1] * 10 + [0, 1] * 20), np.array([0.99] * 10 + [0.6] * 40)
    band = calibration.unsure_band(labels, p, 0.05)  # ten sure answers, all right: too few for 5 %
    assert (band["low"], band["high"], band["reached"]) == (0.0, 1.0, False)
    assert set(calibration.verdicts(p, band)) == {"unsure"}
    assert calibration.unsure_band(labels, p, 0.1)["reached"]


def test_nobody_is_unsure_of_a_perfect_model() -> None:
    labels, p = np.array([0, 1] * 20), np.array([0.4, 0.6] * 20)
    band = calibration.unsure_band(labels, p, 0.05)
    assert (band["low"], band["high"]) == (0.5, 0.5)
    assert calibration.verdicts(np.array([0.499, 0.5]), band) == ["real", "fake"]


def test_threshold_keeps_the_false_positives_down() -> None:
    labels = np.array([0] * 20 + [1] * 5)
    p = np.r_[np.arange(20) / 40, 0.3, 0.46, 0.6, 0.7, 0.8]
    threshold = calibration.choose_threshold(labels, p, 0.05)  # one real of 20, that at .475
    assert 0.45 < threshold < 0.46  # half-way between the real that it leaves out and the fake above
    assert ((p >= threshold) & (labels == 0)).sum() == 1
    assert ((p >= threshold) & (labels == 1)).sum() == 4
    assert calibration.choose_threshold(np.ones(3), p[:3], 0.05) is None


def test_threshold_with_all_tied_calls_nothing_fake() -> None:
    p = np.full(10, 0.4)
    assert calibration.choose_threshold(np.array([0, 1] * 5), p, 0.05) > 0.4
