"""Pairs that show the same photograph: what is found, what is not, and that nothing hangs on the workers.

Drawn portraits, alike in everything but the photograph, are paired exactly in `test_catalog.py`.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rffd.candidates import candidates
from rffd.errors import RffdError
from rffd.features import extract_all
from rffd.files import read_csv
from rffd.pairing import PairParams, find_pairs
from rffd.params import ParamError, read_params
from tests.shared import ciplab


def params(**changed) -> PairParams:
    known = read_params("pair", PairParams)
    return PairParams(**{name: changed.get(name, getattr(known, name)) for name in known.__dataclass_fields__})


def photograph(seed: int, size: int = 400) -> np.ndarray:
    """A picture [size, size, 3] uint8 of blobs and lines that no other seed repeats."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), rng.integers(60, 200, 3), dtype=np.uint8)
    for _ in range(160):
        centre = tuple(int(v) for v in rng.integers(0, size, 2))
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        axes = tuple(int(v) for v in rng.integers(3, 30, 2))
        cv2.ellipse(image, centre, axes, float(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 1)


def save(path: Path, image: np.ndarray, quality: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=quality)


def pairs_of(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["a"], row["b"]): row for row in read_csv(folder / "pairs.csv")}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Six photographs and what may be done to one, paired."""
    raw, target = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("pairs")
    for i in range(6):
        save(raw / f"real/real_{i:05d}.jpg", photograph(i))
    one, two, three = photograph(0), photograph(1), photograph(2)
    save(raw / "real/real_00010.jpg", one[:, ::-1], 70)  # mirrored
    save(raw / "real/real_00011.jpg", cv2.resize(two[60:340, 40:330], (200, 193), interpolation=cv2.INTER_AREA), 50)
    forged = three.copy()
    forged[150:250, 120:260] = cv2.resize(photograph(50)[100:300, 100:300], (140, 100))
    save(raw / "fake/mid_1_0011.jpg", forged)
    donated = photograph(60)
    donated[100:220, 100:220] = cv2.resize(photograph(3)[50:200, 90:240], (120, 120), interpolation=cv2.INTER_AREA)
    save(raw / "fake/mid_2_1100.jpg", donated)
    (raw / "real/real_00012.jpg").write_bytes(b"<html>")
    find_pairs(raw, target, params(), workers=1)
    return raw, target


def test_finds_every_shared_photograph_and_nothing_else(found):
    kinds = {ends: (row["kind"], row["mirrored"]) for ends, row in pairs_of(found[1]).items()}
    assert kinds == {
        ("real/real_00000.jpg", "real/real_00010.jpg"): ("reals", "1"),
        ("real/real_00001.jpg", "real/real_00011.jpg"): ("reals", "0"),
        ("fake/mid_1_0011.jpg", "real/real_00002.jpg"): ("base", "0"),
        ("fake/mid_2_1100.jpg", "real/real_00003.jpg"): ("donor", "0"),
    }


def test_the_transformation_takes_b_to_a(found):
    pairs = pairs_of(found[1])
    for ends, corner, goal in (
        (("real/real_00000.jpg", "real/real_00010.jpg"), (100, 50), (299, 50)),
        (("real/real_00001.jpg", "real/real_00011.jpg"), (0, 0), (40, 60)),
        (("fake/mid_2_1100.jpg", "real/real_00003.jpg"), (90, 50), (100, 100)),
    ):
        row = {name: float(pairs[ends][name]) for name in ("scale", "rotation", "tx", "ty", "mirrored")}
        x, y = (-corner[0] if row["mirrored"] else corner[0]), corner[1]
        moved = row["scale"] * np.exp(1j * np.deg2rad(row["rotation"])) * (x + 1j * y) + row["tx"] + 1j * row["ty"]
        assert abs(moved - complex(*goal)) < 1.5


def test_the_mask_is_what_was_replaced(found):
    _, target = found
    assert [path.name for path in sorted((target / "masks").iterdir())] == ["mid_1_0011.png"]
    mask = np.asarray(Image.open(target / "masks/mid_1_0011.png"))
    truth = np.zeros((400, 400), bool)
    truth[150:250, 120:260] = True
    assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255} and mask.shape == truth.shape
    assert (truth & (mask > 0)).sum() / (truth | (mask > 0)).sum() > 0.85
    assert pairs_of(target)["fake/mid_1_0011.jpg", "real/real_00002.jpg"]["mask"] == "mid_1_0011.png"


def test_the_result_hangs_on_neither_workers_nor_chance(found, tmp_path):
    raw, target = found
    find_pairs(raw, tmp_path / "again", params(), workers=2)
    for name in ("pairs.csv", "masks/mid_1_0011.png"):
        assert (tmp_path / "again" / name).read_bytes() == (target / name).read_bytes()


def test_candidates_are_the_same_however_little_is_read_and_compared_at_a_time(found, tmp_path, monkeypatch):
    """Memory is bounded by the size of a part, and no part is larger than it says."""
    paths = sorted(path.relative_to(found[0]).as_posix() for path in found[0].glob("*/*.jpg"))
    features = extract_all(found[0], paths, tmp_path, side=400, contrast=0.01, limit=600, workers=1)
    whole = list(candidates(features, ratio=0.5, votes=3, workers=1))
    mapped, memmap = [], np.memmap

    def told(*args, **kwargs):
        array = memmap(*args, **kwargs)
        mapped.append(array.nbytes)
        return array

    for module in ("features", "candidates"):
        monkeypatch.setattr(f"rffd.{module}.PART", 250)
    monkeypatch.setattr("rffd.candidates.SIMILAR", 2_000)
    monkeypatch.setattr(np, "memmap", told)
    assert len(features) > 1_000 and list(candidates(features, ratio=0.5, votes=3, workers=1)) == whole
    assert max(mapped) == 250 * 128
    rows = np.random.default_rng(0).integers(0, len(features), 700)
    assert np.array_equal(features.gather(rows), features.descriptors(0, len(features))[rows])


def test_no_images_is_an_error_and_one_has_no_pair(tmp_path):
    with pytest.raises(RffdError, match="raw: no images; run `dvc repro acquire`"):
        find_pairs(tmp_path / "raw", tmp_path / "pairs", params(), workers=1)
    assert not (tmp_path / "pairs").exists()
    (tmp_path / "raw/real").mkdir(parents=True)
    Image.effect_noise((96, 96), 60).save(tmp_path / "raw/real/a.png")
    find_pairs(tmp_path / "raw", tmp_path / "pairs", params(), workers=1)
    assert pairs_of(tmp_path / "pairs") == {} and (tmp_path / "pairs/masks").is_dir()


def test_impossible_values_are_one_line():
    with pytest.raises(ParamError, match=r"pair\.ratio.*between 0 and 1"):
        params(ratio=1.5)


ALONE = ("easy_106_0011", "hard_102_1001", "hard_199_0011", "hard_83_1111", "mid_18_1111", "mid_427_1010")


@pytest.mark.slow
def test_photographs_pair_by_what_was_looked_at(tmp_path):
    """A mouth, an eye, a nose taken over, mirrored too, from the weakest pairs found among all of them."""
    origin = ciplab()
    truth = {
        ("fake/easy_108_1111.jpg", "fake/easy_214_0011.jpg"),
        ("fake/easy_13_1010.jpg", "fake/easy_18_0011.jpg"),
        ("fake/easy_230_1010.jpg", "real/real_00980.jpg"),
        ("fake/mid_243_0011.jpg", "real/real_00209.jpg"),
        ("fake/easy_184_0110.jpg", "real/real_00704.jpg"),
        ("fake/easy_101_0010.jpg", "real/real_00771.jpg"),
        ("fake/easy_131_1001.jpg", "real/real_01045.jpg"),
        ("fake/mid_316_1111.jpg", "real/real_00585.jpg"),
    }
    reals = sorted((origin / "training_real").glob("*7.jpg"))[:12]
    fakes = (f"{name}.jpg" for name in ALONE)
    others = [*(f"real/{path.name}" for path in reals), *(f"fake/{name}" for name in fakes)]
    for path in {path for pair in truth for path in pair} | set(others):
        label, name = path.split("/")
        (tmp_path / "raw" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / path).symlink_to(origin / f"training_{label}" / name)
    find_pairs(tmp_path / "raw", tmp_path / "pairs", params(), workers=1)
    assert set(pairs_of(tmp_path / "pairs")) == truth
    assert {path.stem for path in (tmp_path / "pairs/masks").iterdir()} == {"easy_131_1001", "mid_316_1111"}
