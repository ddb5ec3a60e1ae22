"""The sample: the same bytes each time, every defect in the number asked for, and no shortcut to the label."""

import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rffd.images import UnreadableImage, read_image
from rffd.names import parse_name
from rffd.params import ParamError
from rffd.portrait import Grid, draw_traits
from rffd.sample import MISMATCH, PATTERNS, Defects, Item, SampleParams, draw_item, draw_sample, other_person, plan

NONE = {"header_tells": 0, "unreadable": 0, "duplicates": 0, "near_duplicates": 0, "three_bits": 0}


def params(real=30, fake=30, size=96, seed=5, shared=0.25, **defects) -> SampleParams:
    return SampleParams(
        real=real, fake=fake, size=size, seed=seed, shared=shared, defects=Defects(**{**NONE, **defects})
    )


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*/*.jpg"))
    }


def test_same_bytes_whatever_the_number_of_processes(tmp_path):
    draw_sample(params(), tmp_path / "one", workers=1)
    draw_sample(params(), tmp_path / "two", workers=2)
    draw_sample(params(seed=6), tmp_path / "other", workers=1)
    one, other = hashes(tmp_path / "one"), hashes(tmp_path / "other")
    assert one == hashes(tmp_path / "two")
    assert len(one) == 60 and len(set(one.values())) == 60
    assert not set(one.values()) & set(other.values())


def test_names_difficulties_and_bits_follow_the_dataset():
    items = plan(params(real=1000, fake=1000))
    names = [parse_name(Path(item.path), item.path.split("/")[0]) for item in items]
    assert Counter(name.difficulty for name in names) == {None: 1000, "easy": 250, "mid": 500, "hard": 250}
    bits = Counter("".join(map(str, name.bits)) for name in names if name.difficulty)
    assert set(bits) <= set(PATTERNS) and bits["1111"] > bits["0011"] > bits["0110"]
    assert items == sorted(items, key=lambda item: item.path)
    bases = Counter(item.base for item in items)
    assert sum(item.base < 1000 for item in items if item.path.startswith("fake")) == 250
    assert max(bases.values()) >= 3  # some fakes share a photograph with one another too


def test_every_file_has_one_table_one_size_and_no_other_marker(tmp_path):
    draw_sample(params(), tmp_path, workers=1)
    heads = set()
    for path in tmp_path.glob("*/*.jpg"):
        with Image.open(path) as image:
            tables = tuple(tuple(table) for table in image.quantization.values())
            heads.add((image.size, image.mode, tables, tuple(sorted(image.info)), bool(image.getexif())))
    assert len(heads) == 1


def test_defects_come_in_the_number_asked_for(tmp_path):
    asked = {"header_tells": 4, "unreadable": 5, "duplicates": 3, "near_duplicates": 2, "three_bits": 1}
    draw_sample(params(real=50, fake=40, **asked), tmp_path, workers=1)
    paths = sorted(tmp_path.glob("*/*.jpg"))
    assert Counter(path.parent.name for path in paths) == {"real": 50, "fake": 40}
    unreadable, tables = 0, Counter()
    for path in paths:
        try:
            read_image(path)
            with Image.open(path) as image:
                tables[path.parent.name, tuple(image.quantization[0])] += 1
        except UnreadableImage:
            unreadable += 1
    assert unreadable == 5
    assert sorted(tables.values()) == [4, 36, 45]
    readable = Counter(path.read_bytes() for path in paths if path.stat().st_size > 100)
    assert sorted(readable.values())[-3:] == [2, 2, 2] and sum(n - 1 for n in readable.values()) == 3
    assert sum(len(path.stem.split("_")[2]) == 3 for path in paths if path.parent.name == "fake") == 1
    plain = {item.path: item for item in plan(params(real=50, fake=40))}
    moved = [item for item in plan(params(real=50, fake=40, **asked)) if item.base < 50 and item.path in plain]
    near = [item for item in moved if item.base != plain[item.path].base and item.own == plain[item.path].own]
    assert len(near) == 2


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"shared": 1.5}, "shared"), ({"size": 8}, "size"), ({"unreadable": -1}, "unreadable"), ({"real": 0}, "real")],
)
def test_impossible_values_are_named(wrong, named):
    with pytest.raises(ParamError, match=named):
        params(**wrong)


def test_more_defects_than_images_are_refused():
    with pytest.raises(ParamError, match="at most"):
        plan(params(real=4, fake=4, shared=0, duplicates=3))


def test_a_fake_is_its_base_outside_of_the_regions_and_differs_inside():
    """Same base, crop and noise: what differs is what was replaced; a paste leaves the rest alone."""
    fake = Item("fake/easy_1_1000.jpg", 7, 7)
    forged, base = (
        np.asarray(read_image(draw_item(item, 160, 0)), np.float32) for item in (fake, Item("real/r.jpg", 7, 7))
    )
    change = cv2.GaussianBlur(np.abs(forged - base).mean(2), (0, 0), 2)
    half = change.shape[1] // 2
    assert change[:, :half].max() > 8  # the eye at the picture's left
    assert change[:, half + 25 :].max() < 3
    assert 0.004 < (change > 4).mean() < 0.10


def test_mismatch_shrinks_with_difficulty_and_traits_stay_uniform():
    rng = np.random.default_rng(0)
    gaps = {}
    for difficulty, mismatch in MISMATCH.items():
        pairs = [(t, other_person(t, mismatch, rng)) for t in (draw_traits(rng) for _ in range(800))]
        gaps[difficulty] = np.mean([abs(a["light_x"] - b["light_x"]) for a, b in pairs])
        values = np.array([b["light_x"] for _, b in pairs])
        assert values.min() >= 0 and values.max() <= 1 and abs(values.mean() - 0.5) < 0.04
        assert abs(values.std() - 12**-0.5) < 0.03
        assert all(a["hair"] == b["hair"] for a, b in pairs)
    assert gaps["easy"] > gaps["mid"] > gaps["hard"] > 0.1


def test_faces_lie_where_the_dataset_has_them():
    """The face box's centre is near the picture's and fills about two thirds of it."""
    grid = Grid.canvas(160)
    assert grid.x.shape[1] == grid.y.shape[0] == 218
    assert grid.unit == pytest.approx(112)


def statistics(rgb: np.ndarray) -> list[float]:
    """Colour moments and percentiles, a histogram of lightness, Laplacian and noise energy at four scales."""
    lab, hsv = (cv2.cvtColor(rgb, code).astype(np.float32) for code in (cv2.COLOR_RGB2LAB, cv2.COLOR_RGB2HSV))
    found: list[float] = []
    for channel in np.concatenate([rgb.astype(np.float32), lab, hsv], axis=2).transpose(2, 0, 1):
        scaled = (channel - channel.mean()) / (channel.std() + 1e-6)
        found += [channel.mean(), channel.std(), (scaled**3).mean(), (scaled**4).mean()]
        found += np.percentile(channel, [5, 25, 50, 75, 95]).tolist()
    grey = np.ascontiguousarray(lab[..., 0])
    found += np.histogram(grey, 16, (0, 256))[0].tolist()
    for _ in range(4):
        edges, rest = np.abs(cv2.Laplacian(grey, cv2.CV_32F)), np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1))
        found += [edges.mean(), edges.std(), np.median(edges), rest.mean(), np.median(rest), np.percentile(rest, 90)]
        grey = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return [float(value) for value in found]


@pytest.mark.slow
def test_no_statistic_over_the_whole_picture_tells_fakes(tmp_path):
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    draw_sample(params(real=1000, fake=1000, size=160, seed=2024), tmp_path)
    paths = sorted(tmp_path.glob("*/*.jpg"))
    labels = np.array([path.parent.name == "fake" for path in paths])
    full, centre = [], []
    for path in paths:
        pixels = np.asarray(read_image(path))
        full.append([path.stat().st_size, *statistics(pixels)])
        centre.append(statistics(np.ascontiguousarray(pixels[40:-40, 40:-40])))
    for features in (full, centre):
        trees = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.08, max_leaf_nodes=12, random_state=0)
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        scores = cross_val_predict(trees, np.array(features), labels, cv=folds, method="predict_proba")[:, 1]
        assert roc_auc_score(labels, scores) <= 0.60
