"""Degradations do what they are called, and the sweep scores every picture under every one of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rffd import parallel, robustness, variants
from rffd.params import ParamError, build
from rffd.preprocessing import PreprocessParams, prepare

LEVELS = {
    "jpeg": [90, 30],
    "resize": [0.5],
    "blur": [1.0],
    "noise": [10],
    "brightness": [0.5, 1.5],
    "messenger": [1, 2],
    "messenger_scale": 0.8,
    "messenger_quality": 70,
}
CONTRACT = PreprocessParams(image_size=24, jpeg_quality=None, face_margin=None)


def picture(size: int = 200, seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(40, 200, (8, 8, 3), dtype=np.uint8)).resize((size, size))
    fine = np.asarray(coarse, dtype=float) + random.normal(scale=8, size=(size, size, 3))
    return Image.fromarray(np.clip(fine, 0, 255).astype(np.uint8))


def distance(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)).mean())


def detail(image: Image.Image) -> float:
    return float(np.abs(np.diff(np.asarray(image, dtype=float), axis=1)).mean())


def degraded(name: str, image: Image.Image) -> Image.Image:
    params = build(robustness.RobustnessParams, LEVELS, "evaluate.robustness")
    return robustness.degradations(params)[name].picture(image, np.random.default_rng(0))


def test_every_level_is_a_point() -> None:
    params = build(robustness.RobustnessParams, LEVELS, "evaluate.robustness")
    assert list(robustness.degradations(params)) == [
        *("jpeg 90", "jpeg 30", "resize 0.5", "blur 1.0", "noise 10.0", "brightness 0.5", "brightness 1.5"),
        *("messenger 1", "messenger 2"),
    ]
    none = build(robustness.RobustnessParams, LEVELS | {"jpeg": []}, "evaluate.robustness")
    assert "jpeg 90" not in robustness.degradations(none)


def test_degradations_do_what_they_are_called() -> None:
    image = picture()
    assert 0 < distance(degraded("jpeg 90", image), image) < distance(degraded("jpeg 30", image), image)
    assert degraded("resize 0.5", image).size == image.size and detail(degraded("resize 0.5", image)) < detail(image)
    assert detail(degraded("blur 1.0", image)) < 0.3 * detail(image)
    assert detail(degraded("noise 10.0", image)) > detail(image)
    dark, light = (np.asarray(degraded(f"brightness {level}", image)).mean() for level in (0.5, 1.5))
    assert dark == pytest.approx(np.asarray(image).mean() / 2, rel=0.02) and light > 1.3 * np.asarray(image).mean()
    once, twice = degraded("messenger 1", image), degraded("messenger 2", image)
    assert (once.size, twice.size) == ((160, 160), (128, 128))
    assert detail(twice.resize((200, 200))) < detail(once.resize((200, 200))) < detail(image)


def test_noise_has_its_deviation() -> None:
    flat = Image.new("RGB", (300, 300), (128, 128, 128))
    values = np.asarray(robustness.noise(flat, 10, np.random.default_rng(0)), dtype=float)
    assert values.std() == pytest.approx(10, rel=0.02) and values.mean() == pytest.approx(128, abs=0.1)


def test_blur_is_relative_to_the_size() -> None:
    small, large = picture(100).resize((200, 200)), picture(100).resize((800, 800))
    after = [robustness.blur(image, 1.0).resize((50, 50)) for image in (small, large)]
    assert distance(*after) < 1.5


def raw_folder(folder: Path, count: int) -> list[str]:
    paths = [f"real_{i}.png" for i in range(count)]
    folder.mkdir()
    for i, path in enumerate(paths):
        picture(60 + i, seed=i).save(folder / path)
    return paths


def mean_level(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2, 3), dtype=float)


def test_the_sweep_equals_one_picture_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = raw_folder(tmp_path / "raw", 11)
    params = build(robustness.RobustnessParams, LEVELS, "evaluate.robustness")
    changes = robustness.degradations(params) | {
        "plain": variants.Variant(),
        "zero": variants.Variant(pixels=np.zeros_like),
    }
    batches = []

    def score(images: np.ndarray) -> np.ndarray:
        batches.append(len(images))
        return mean_level(images)

    found = variants.score_variants(paths, tmp_path / "raw", CONTRACT, changes, score, seed=3)
    monkeypatch.setattr(parallel, "cores", lambda: 5)
    again = variants.score_variants(paths, tmp_path / "raw", CONTRACT, changes, mean_level, seed=3)
    for name in changes:
        assert (found[name] == again[name]).all(), name  # the noise too
    assert batches == [len(changes)] * len(paths)
    for i, path in enumerate(paths):
        image = Image.open(tmp_path / "raw" / path)
        plain = prepare(image, CONTRACT).pixels
        jpeg = prepare(robustness.reencode(image, 30), CONTRACT).pixels
        assert found["plain"][i] == mean_level(plain[None])[0] and found["jpeg 30"][i] == mean_level(jpeg[None])[0]
    assert (found["zero"] == 0).all() and not (found["noise 10.0"] == found["plain"]).any()


def test_no_picture_at_all(tmp_path: Path) -> None:
    found = variants.score_variants([], tmp_path, CONTRACT, {"plain": variants.Variant()}, mean_level, seed=0)
    assert found["plain"].shape == (0,)


def table(labels: np.ndarray, plain: np.ndarray, **points: np.ndarray) -> list[dict]:
    named = {name.replace("_", " "): p for name, p in points.items()}
    return robustness.robustness_table(
        labels, plain, named, [str(i) for i in range(len(labels))], resamples=200, seed=0
    )


def test_table_keeps_real_and_fake_apart() -> None:
    labels, plain = np.array([0, 1] * 20), np.array([0.1, 0.9] * 20)
    rows = table(labels, plain, jpeg_30=np.full(40, 0.8), blur_1=plain)
    assert [(row["kind"], row["level"]) for row in rows] == [("none", None), ("jpeg", 30), ("blur", 1)]
    assert (rows[0]["specificity"], rows[0]["recall"], rows[0]["flips"]) == (1, 1, 0)
    assert (rows[1]["specificity"], rows[1]["recall"], rows[1]["auc"], rows[1]["flips"]) == (0, 1, 0.5, 0.5)
    assert rows[1]["flips_ci95"][0] < 0.5 < rows[1]["flips_ci95"][1]
    assert rows[1]["specificity_ci95"][1] == pytest.approx(0.1684, abs=1e-4)  # none right of 20 groups
    assert (rows[2]["flips"], rows[2]["flips_ci95"][0]) == (0, 0)


def test_table_of_one_class() -> None:
    rows = table(np.zeros(10, dtype=int), np.linspace(0.1, 0.9, 10), jpeg_30=np.full(10, 0.2))
    assert rows[0]["recall"] is None and rows[0]["recall_ci95"] is None and rows[0]["auc"] is None
    assert rows[1]["specificity"] == 1.0


@pytest.mark.parametrize("bad", [{"jpeg": [0]}, {"resize": [2.0]}, {"messenger": [1, 1]}, {"messenger_scale": 0.0}])
def test_impossible_levels(bad: dict) -> None:
    with pytest.raises(ParamError, match=r"evaluate\.robustness\."):
        build(robustness.RobustnessParams, LEVELS | bad, "evaluate.robustness")


def test_threads_keep_the_order_and_raise_what_was_raised() -> None:
    assert list(parallel.in_threads(lambda x: x * x, range(50), workers=3)) == [x * x for x in range(50)]
    assert list(parallel.in_threads(str, [])) == []
    with pytest.raises(ZeroDivisionError):
        list(parallel.in_threads(lambda x: 1 // x, [1, 0, 2]))
