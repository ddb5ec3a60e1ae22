"""Measures of heat maps, against cases worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from rffd.localisation import (
    SHARES,
    area_under,
    best_share,
    control,
    curve,
    enlarge,
    ious,
    judged,
    mean_region_auc,
    orders,
    pixel_auc,
    pointing,
    points_inside,
    region_auc,
    region_heat,
    summary,
    truth,
)
from rffd.regions import region_masks
from tests.planted import CORNERS, SIZE, SQUARE, planted_store

DRAWS = {"resamples": 200, "seed": 0}


def test_pixel_auc_by_hand_with_ties():
    mask = np.array([[True, False], [True, False]])
    # pairs (inside, outside): 3>1, 3>2, 2>1 and the tie 2=2 for half
    assert pixel_auc(np.array([[3, 1], [2, 2]], dtype=np.float32), mask) == pytest.approx(3.5 / 4)
    assert pixel_auc(np.ones((2, 2)), mask) == 0.5
    assert pixel_auc(np.ones((2, 2)), np.ones((2, 2), dtype=bool)) is None


def test_pixel_auc_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    heat, mask = random.integers(0, 9, (20, 20)), random.random((20, 20)) < 0.2
    assert pixel_auc(heat, mask) == pytest.approx(roc_auc_score(mask.ravel(), heat.ravel()))


def test_iou_by_hand():
    heat = np.arange(100, dtype=np.float32).reshape(10, 10)  # the hottest 10 pixels are the last row
    mask = np.zeros((10, 10), dtype=bool)
    mask[9] = True
    found = dict(zip(SHARES, ious(heat, mask), strict=True))
    assert found[0.05] == pytest.approx(5 / 10)  # five of the ten
    assert found[0.2] == pytest.approx(10 / 20)  # all ten, and ten others
    assert ious(-heat, mask)[0] == 0


def test_the_share_that_counts_as_hot():
    def scored(best: int) -> dict:
        return {"ious": np.eye(len(SHARES))[best], "area": 0.3}

    assert best_share([scored(3), scored(3), scored(5)]) == SHARES[3]
    assert best_share([{"ious": None, "area": 0.11}, {"ious": None, "area": 0.13}]) == 0.12


def test_pointing_takes_the_hottest_pixel():
    mask = np.zeros((4, 4), dtype=bool)
    mask[1, 2] = True
    heat = np.zeros((4, 4))
    heat[1, 2] = 1
    assert points_inside(heat, mask)
    heat[3, 3] = 2
    assert not points_inside(heat, mask)


def test_enlarging_keeps_a_hot_patch_in_its_place():
    heat = np.zeros((8, 8), dtype=np.float32)
    heat[2, 5] = 1
    row, column = np.unravel_index(enlarge(heat, 32).argmax(), (32, 32))
    assert (row // 4, column // 4) == (2, 5)


def test_truth_is_the_mask_else_the_average_region_else_nothing(tmp_path):
    with_masks = planted_store(tmp_path / "masks", 8, 0)
    without = planted_store(tmp_path / "bits", 8, 0, masks=False)
    top, left = CORNERS[0]
    mask, registered = truth(with_masks, 1)
    assert registered and mask.sum() == SQUARE**2 and mask[top, left]
    mask, registered = truth(without, 1)  # bits 1000: the left eye, in the upper left quarter of the face
    rows, columns = np.nonzero(mask)
    assert not registered and rows.mean() < SIZE * 0.6 and columns.mean() < SIZE / 2
    assert truth(without, 0) == (None, False)


def test_curves_of_a_score_that_reads_one_patch():
    images = np.full((1, 8, 8, 3), 100, dtype=np.uint8)
    images[0, :2, :2] = 255  # patch (0, 0) of a 4 x 4 grid holds the evidence

    def score(pixels: np.ndarray) -> np.ndarray:
        return (pixels[:, :2, :2] == 255).all(axis=(1, 2, 3)).astype(float)

    right, wrong = np.zeros((1, 4, 4)), np.ones((1, 4, 4))
    right[0, 0, 0], wrong[0, 0, 0] = 1, 0
    np.testing.assert_array_equal(curve(score, images, orders(right), 4, insert=False), [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(curve(score, images, orders(right), 4, insert=True), [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(curve(score, images, orders(wrong), 4, insert=False), [1, 1, 1, 1, 0])
    assert area_under([1, 0, 0, 0, 0]) == pytest.approx(0.125)


def test_orders_put_the_hottest_first_and_equals_in_place():
    assert orders(np.array([[[1, 3], [3, 0]]])).tolist() == [[[2, 0], [1, 3]]]


def test_figures_by_region_count_what_they_should(tmp_path):
    store = planted_store(tmp_path / "store", 16, 0)
    rows = [i for i in range(16) if store.labels[i]]
    heats = np.zeros((len(rows), 8, 8), dtype=np.float32)
    for k, i in enumerate(rows):  # perfect for left eyes, elsewhere the corner is hottest
        top, left = CORNERS[0] if store.bits[i, 0] else (0, 0)
        heats[k, top // 4, left // 4] = 1
    measured = list(judged(store, rows, heats))
    found = pointing(measured, store, **DRAWS)
    expected = {"count": 2, "pointing": 1.0, "pointing_ci95": [1.0, 1.0], "chance": 16 / 1024}  # an area of 4 x 4
    assert found["by_region"]["left_eye"] == expected
    assert found["by_region"]["mouth"]["pointing"] == 0.0
    assert found["by_number"]["1"]["count"] == 8 and found["by_number"]["4"]["pointing"] is None
    total = summary(measured, store, 0.02, **DRAWS)
    assert total["masks"] == 8 and total["pointing"] == 0.25
    assert summary([], store, 0.02, **DRAWS)["pixel_auc"] is None


def test_region_heat_is_in_deviations_of_the_picture():
    heat = np.zeros((60, 60), dtype=np.float32)
    heat[region_masks(60, None)[3] > 0.5] = 2  # the mouth, a bit of which lies on the nose
    found = region_heat(heat, None)
    assert found.argmax() == 3 and found[3] == pytest.approx((2 - heat.mean()) / heat.std(), rel=1e-5)
    np.testing.assert_allclose(region_heat(heat * 7 + 3, None), found, rtol=1e-4)
    assert region_heat(np.ones((60, 60)), None).tolist() == [0] * 4


def test_region_auc_compares_each_region_with_itself(tmp_path):
    store = planted_store(tmp_path / "store", 16, 0)
    rows = [i for i in range(16) if store.labels[i]]  # each region is replaced in two of the eight

    def measured(heats: np.ndarray) -> list[dict]:
        return [{"row": i, "regions": heat} for i, heat in zip(rows, heats, strict=True)]

    usual_place = np.tile([9.0, 1.0, 5.0, 3.0], (8, 1))
    assert mean_region_auc(measured(usual_place), store)[0] == 0.5
    bits = store.bits[rows]
    assert mean_region_auc(measured(usual_place + 0.1 * bits), store)[0] == 1.0
    heats = usual_place + 0.1 * bits
    heats[0, 0] -= 1  # one of the two left eyes is colder than all six others
    np.testing.assert_allclose(region_auc(measured(heats), store), [[0.5, 1, 1, 1]])
    weights = np.ones((2, 8))
    weights[1, 0] = 0
    np.testing.assert_allclose(region_auc(measured(heats), store, weights)[:, 0], [0.5, 1])


def test_a_control_that_does_as_well_does_not_fail(tmp_path):
    store = planted_store(tmp_path / "store", 40, 0)
    rows = [i for i in range(40) if store.labels[i]]

    def measured(strength: float) -> list[dict]:
        random = np.random.default_rng(0)
        return [{"row": i, "pixel_auc": 0.9, "regions": strength * store.bits[i] + random.normal(size=4)} for i in rows]

    good, poor = measured(9), measured(0)
    assert control(good, [poor, poor], store, **DRAWS)["fails"] is True
    assert control(good, [good, good], store, **DRAWS)["fails"] is False
    half = control(good, [good, poor], store, **DRAWS)
    assert half["region_auc"] + half["region_auc_lead"] == pytest.approx(mean_region_auc(good, store)[0], abs=1e-5)
    assert half["pixel_auc"] == pytest.approx(0.9) and half["pixel_auc_lead"] == 0
    assert control([], [], store, **DRAWS)["fails"] is None
