"""The audit: a planted shortcut is found at its true strength, chance stays chance, and groups are respected."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sklearn.metrics import roc_auc_score

from rffd import shortcuts
from rffd.audit import NOTHING_KNOWN, AuditParams, auc_interval, pixel_statistics, shortcut_auc
from rffd.files import sha256

PARAMS = AuditParams(seed=0, folds=5, resamples=200)


def alone(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def noise(seed: int, size: tuple[int, int] = (96, 64), mean: int = 128, spread: int = 30) -> Image.Image:
    values = np.random.default_rng(seed).normal(mean, spread, (size[1], size[0], 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def test_the_auc_is_sklearns_ties_included():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 300), rng.integers(0, 9, 300).astype(float)
    auc, low, high = auc_interval(scores, labels, alone(300), np.zeros(300, int), seed=0, resamples=400)
    assert auc == pytest.approx(roc_auc_score(labels, scores))
    assert low < auc < high and 0.08 < high - low < 0.18  # 4 standard errors of about .033


def test_only_images_of_one_fold_are_compared():
    labels, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    scores = np.array([0.0, 1.0, 10.0, 11.0])
    assert auc_interval(scores, labels, alone(4), folds, seed=0, resamples=10)[0] == 1.0
    assert auc_interval(scores, labels, alone(4), labels, seed=0, resamples=10) == NOTHING_KNOWN


def test_repeating_images_within_groups_does_not_narrow_the_interval():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    scores = labels + rng.normal(0, 2, 200)
    single = auc_interval(scores, labels, alone(200), np.zeros(200, int), seed=0, resamples=500)
    five = (np.repeat(scores, 5), np.repeat(labels, 5))
    grouped = auc_interval(*five, np.repeat(alone(200), 5), np.zeros(1000, int), seed=0, resamples=500)
    careless = auc_interval(*five, alone(1000), np.zeros(1000, int), seed=0, resamples=500)
    assert grouped == pytest.approx(single)
    assert careless[2] - careless[1] < 0.6 * (single[2] - single[1])


def test_a_header_that_marks_a_quarter_of_the_fakes_has_its_exact_auc():
    labels = np.r_[np.zeros(400, int), np.ones(400, int)]
    header = np.r_[np.zeros(400), np.ones(100), np.zeros(300)]
    auc, low, high = shortcut_auc(header, labels, alone(800), 0, resamples=200)
    assert auc == pytest.approx(0.625, abs=0.002) and low > 0.6 and high < 0.66


def test_noise_is_chance():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 600)
    auc, low, high = shortcut_auc(rng.normal(size=(600, 8)), labels, alone(600), 0, resamples=200)
    assert low < 0.5 < high and abs(auc - 0.5) < 0.07


def test_what_is_learnt_from_a_partner_in_the_group_does_not_count():
    """Each group has a mark of its own and one label: without the groups, the mark would give it away."""
    rng = np.random.default_rng(3)
    groups, marks = np.repeat(np.arange(60), 10), np.repeat(rng.permutation(60) * 100.0, 10)
    labels = np.repeat(rng.permutation(60) % 2, 10)
    kept = shortcut_auc(marks, labels, groups.astype(str), 0, resamples=200)
    leaked = shortcut_auc(marks, labels, alone(600), 0, resamples=200)
    assert leaked[0] > 0.95 and kept[1] < 0.5 < kept[2] + 0.05


@pytest.mark.parametrize(("reals", "fakes"), [(1, 20), (20, 1), (0, 9), (0, 0)])
def test_too_few_groups_say_nothing(reals, fakes):
    labels = np.r_[np.zeros(reals, int), np.ones(fakes, int)]
    assert shortcut_auc(np.arange(reals + fakes), labels, alone(reals + fakes), 0) == NOTHING_KNOWN


def test_one_group_that_holds_nearly_all_is_survived():
    labels = np.array([0, 1] * 20)
    shortcut_auc(np.arange(40), labels, ["all"] * 36 + ["a", "b", "c", "d"], 0, resamples=100)


def test_the_same_data_give_the_same_figures():
    rng = np.random.default_rng(4)
    features, labels = rng.normal(size=(200, 5)), rng.integers(0, 2, 200)
    assert len({shortcut_auc(features, labels, alone(200), 7, resamples=100) for _ in range(2)}) == 1


def test_statistics_see_brightness_sharpness_noise_and_block_edges():
    base = pixel_statistics(noise(0))
    assert base.shape == (41,) and np.isfinite(base).all()
    assert pixel_statistics(noise(0, mean=160))[0] == pytest.approx(base[0] + 32, abs=2)
    laplacian, grain, blocks = 35, 36, 37
    soft = pixel_statistics(noise(0).filter(ImageFilter.GaussianBlur(1.5)))
    assert soft[laplacian] < base[laplacian] - 1 and soft[grain] < base[grain] - 1
    colours = np.random.default_rng(5).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    tiles = Image.fromarray(colours.repeat(8, axis=0).repeat(8, axis=1))
    assert pixel_statistics(tiles)[blocks] > 5 > 1.2 > base[blocks] > 0.8


@pytest.mark.parametrize("size", [(16, 16), (17, 300), (5000, 40), (2500, 2500)])
def test_statistics_serve_every_size(size):
    assert np.isfinite(pixel_statistics(Image.new("RGB", size, (9, 99, 199)))).all()


def rows_with(count: int, tell: int) -> list[dict]:
    rows = []
    for i in range(count):
        label = "fake" if i % 2 else "real"
        header = "q-other" if i < 2 * tell and label == "fake" else "q-usual"
        row = {"path": f"{label}/{i}.jpg", "label": label, "jpeg": header, "bytes": 1000 + (i * 7919) % 501}
        rows.append(row | {"width": 64, "height": 64, "group": f"{label}/{i}.jpg", "status": "ok"})
    return rows


def test_a_planted_tell_is_found_named_and_drawn(tmp_path):
    rows = rows_with(400, tell=60)
    rows.append(rows[0] | {"path": "real/x.jpg", "status": "set aside", "jpeg": "", "width": "", "height": ""})
    statistics = np.random.default_rng(6).normal(size=(401, 4))
    statistics[-1] = np.nan
    found = shortcuts.audit(rows, statistics, "q-usual", PARAMS)
    assert list(found) == list(shortcuts.SHORTCUTS)
    assert found["header"][0] == pytest.approx(0.65, abs=0.01) and found["shape"] == (0.5, 0.5, 0.5)
    (warning,) = [text for text in shortcuts.warnings(found) if "the JPEG header tells" in text]
    assert "AUC 0.650" in warning and "preprocess.jpeg_quality" in warning and "\n" not in warning
    assert not any("width" in text for text in shortcuts.warnings(found))
    numbers = shortcuts.as_metrics(found)
    assert numbers["shortcut_header_auc"] == round(found["header"][0], 4)
    assert numbers["shortcut_header_auc_ci95"] == [round(end, 4) for end in found["header"][1:]]
    assert [row["shortcut"] for row in shortcuts.table(found)] == list(shortcuts.SHORTCUTS.values())
    for name in ("a.png", "b.png"):
        shortcuts.plot(found, tmp_path / name)
    assert sha256(tmp_path / "a.png") == sha256(tmp_path / "b.png")


def test_without_other_headers_there_is_no_second_pixel_audit():
    found = shortcuts.audit(rows_with(60, tell=0), np.zeros((60, 3)), "q-usual", PARAMS)
    assert "pixels_usual" not in found and shortcuts.warnings({"header": (0.5, 0.5, 0.5)}) == []
