import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rffd import look
from rffd.catalog import COLUMNS
from rffd.errors import RffdError
from rffd.exploration import (
    Exploration,
    ExploreParams,
    chosen,
    counts,
    explore,
    figures,
    patterns,
    pretrained_normalisation,
    together,
)
from rffd.exploration_charts import draw_charts
from rffd.exploration_sheets import averages_sheet, draw_sheets, registered_pairs
from rffd.files import write_csv
from rffd.params import ParamError
from rffd.preprocessing import PreprocessParams

PARAMS = ExploreParams(
    seed=0, reals=4, fakes=2, pairs=2, augmented=3, audit_images=None, audit_quality=50, resamples=100
)
CONTRACT = PreprocessParams(image_size=32, jpeg_quality=None, face_margin=None)


def row(path, bits="", **kwargs):
    label = path.split("/")[0]
    difficulty = path.split("/")[1].split("_")[0] if bits and label == "fake" else ""
    return dict.fromkeys(COLUMNS, "") | {
        "path": path, "label": label, "difficulty": difficulty, "bits": bits, "status": "ok", "group": path,
        "width": "64", "height": "64", "bytes": "1000", "jpeg": "q-1",
    } | kwargs  # fmt: skip


FAKES = [row(f"fake/{d}_{i}_{b}.jpg", b) for i, (d, b) in enumerate(
    [("easy", "1100"), ("easy", "1111"), ("mid", "0011"), ("mid", "1100"), ("hard", "0001")]
)]  # fmt: skip
REALS = [row(f"real/real_{i:05}.jpg", "0000") for i in range(3)]


def test_counts_follow_the_names():
    found = counts([*FAKES, *REALS, row("fake/holiday.jpg")])
    assert found["class"] == {"real": 3, "fake": 6}
    assert found["difficulty"] == {"easy": 2, "mid": 2, "hard": 1}
    assert found["region"] == {"left_eye": 3, "right_eye": 3, "nose": 2, "mouth": 3}


def test_regions_are_counted_together_and_by_pattern():
    assert patterns([*FAKES, *REALS]) == {"1100": 2, "0001": 1, "0011": 1, "1111": 1}
    table = together(FAKES)
    assert np.diag(table).tolist() == [3, 3, 2, 3] and (table == table.T).all()
    assert table[0, 1] == 3 and table[2, 3] == 2 and table[0, 3] == 1


def test_one_more_image_changes_at_most_one_of_the_chosen():
    rows = [row(f"real/real_{i:05}.jpg") for i in range(50)]
    before = {r["path"] for r in chosen(rows, 0, 8)}
    after = {r["path"] for r in chosen([*rows, row("real/new.jpg")], 0, 8)}
    assert len(before) == 8 and len(before & after) >= 7
    assert before != {r["path"] for r in chosen(rows, 1, 8)}


@pytest.fixture
def project(tmp_path):
    """Reals of level 100 and fakes of level 150, whose names and headers tell; one registered pair."""
    rows = []
    generator = np.random.default_rng(0)
    backbone = tmp_path / "backbone"
    backbone.mkdir()
    (backbone / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    for i in range(60):
        name = f"fake/{('easy', 'mid', 'hard')[i % 3]}_{i}_1010.png" if i < 30 else f"real/real_{i:05}.png"
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        picture = np.clip(generator.normal(150 if i < 30 else 100, 20, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "raw" / name)
        rows.append(row(name, "1010" if i < 30 else "0000", jpeg="q-2" if i < 15 else "q-1"))
    write_csv(tmp_path / "catalog.csv", sorted(rows, key=lambda r: r["path"]), COLUMNS)
    masks = tmp_path / "pairs" / "masks"
    masks.mkdir(parents=True)
    Image.fromarray(np.uint8(np.pad(np.full((20, 20), 255), 22))).save(masks / "easy_0_1010.png")
    return tmp_path


def pairs_file(project, **pair):
    columns = ["a", "b", "kind", "scale", "rotation", "tx", "ty", "mirrored", "mask"]
    values = {"a": "fake/easy_0_1010.png", "b": "real/real_00040.png", "kind": "base", "scale": 1, "rotation": 0,
              "tx": 0, "ty": 0, "mirrored": "False", "mask": "easy_0_1010.png"} | pair  # fmt: skip
    write_csv(project / "pairs" / "pairs.csv", [values, values | {"mask": "", "a": "fake/mid_1_1010.png"}], columns)


def look_at(project, **kwargs) -> Exploration:
    where = (project / "raw", project / "pairs", project / "catalog.csv", project / "backbone")
    return explore(*where, kwargs.pop("params", PARAMS), CONTRACT, **kwargs)


def test_channels_averages_and_the_audit_are_those_of_the_pixels(project):
    found = look_at(project, workers=1)
    assert found.channels["real"][0] == pytest.approx(np.full(3, 100 / 255), abs=0.005)
    assert found.channels["fake"][0] == pytest.approx(np.full(3, 150 / 255), abs=0.005)
    assert found.channels["real"][1].max() < 20 / 255, "noise is averaged by the resize"
    assert found.averages["fake"].mean() == pytest.approx(150, abs=1)
    numbers = figures(found)
    assert numbers["normalised_mean"] == pytest.approx((125 / 255 - 0.5) / 0.25, abs=0.01)
    assert numbers["audit_header_original_auc"] == pytest.approx(0.75, abs=0.03), (
        "half of the fakes have a header of their own"
    )
    assert numbers["audit_header_reencoded_auc"] == 0.5 and numbers["audit_header_reencoded_auc_ci95"] == [0.5, 0.5]
    assert numbers["audit_pixels_original_auc"] > 0.95 and numbers["audit_pixels_prepared_auc"] > 0.95
    assert numbers["audit_quality"] == 50
    assert numbers["masks"] == 1 and numbers["masks_by_regions"] == [0, 1, 0, 0]
    assert numbers["changed_area_by_regions"] == [None, round(20 * 20 / 64**2, 4), None, None]
    assert all(isinstance(value, int | float | list) for value in numbers.values())


def test_the_number_of_workers_changes_nothing(project):
    one, two = look_at(project, workers=1), look_at(project, workers=2)
    assert figures(one) == figures(two)
    assert all(np.array_equal(one.averages[label], two.averages[label]) for label in ("real", "fake"))


def test_the_audit_can_be_bounded(project):
    from dataclasses import replace

    bounded = replace(PARAMS, audit_images=50)
    found = look_at(project, params=bounded, workers=1)
    assert len(found.rows) == 60 and 0.5 <= found.audit["header_original"][0] <= 1
    with pytest.raises(ParamError, match="audit_images"):
        replace(PARAMS, audit_images=3)


def test_every_picture_is_drawn_and_again_to_the_byte(project):
    pairs_file(project)
    found = look_at(project, workers=1)
    for name in ("a", "b"):
        draw_charts(found, project / name)
        draw_sheets(found, project / "raw", project / "pairs", PARAMS, project / name)
    names = sorted(path.name for path in (project / "a").iterdir())
    expected = ("audit", "averages", "changed", "channels", "counts", "fakes", "pairs", "reals", "regions", "sizes")
    assert names == [f"{name}.png" for name in expected]
    for name in names:
        assert (project / "a" / name).read_bytes() == (project / "b" / name).read_bytes(), name


def test_names_that_tell_nothing_and_sizes_that_differ_are_drawn_too(project):
    found = look_at(project, workers=1)
    plain = [r | {"difficulty": "", "bits": "", "width": str(60 + i)} for i, r in enumerate(found.rows)]
    found = Exploration(plain, found.channels, found.averages, found.pretrained, found.audit, 50, {0: [0.1]})
    write_csv(project / "pairs" / "pairs.csv", [], ["a", "b", "mask"])
    draw_charts(found, project / "plain")
    draw_sheets(found, project / "raw", project / "pairs", PARAMS, project / "plain")
    assert (project / "plain" / "fakes.png").exists() and not (project / "plain" / "pairs.png").exists()


@pytest.mark.parametrize("mirrored", ["False", "True"])
def test_a_pair_takes_the_bases_pixels_to_the_fakes_whichever_comes_first(project, mirrored):
    pairs_file(project, scale=2, rotation=90, tx=10, ty=20, mirrored=mirrored)
    (there,) = registered_pairs(project / "pairs")
    sign = -1 if mirrored == "True" else 1
    assert (there.fake, there.base) == ("fake/easy_0_1010.png", "real/real_00040.png")
    assert there.matrix @ (1, 0, 1) == pytest.approx((10, 20 + 2 * sign))
    assert there.matrix @ (0, 1, 1) == pytest.approx((8, 20))
    pairs_file(
        project,
        a="fake/mid_3_1010.png",
        b="fake/easy_0_1010.png",
        scale=2,
        rotation=90,
        tx=10,
        ty=20,
        mirrored=mirrored,
    )
    (back,) = registered_pairs(project / "pairs")
    assert (back.fake, back.base) == ("fake/easy_0_1010.png", "fake/mid_3_1010.png")
    assert back.matrix @ (*(there.matrix @ (5, 7, 1)), 1) == pytest.approx((5, 7))


def test_the_averages_difference_has_the_colour_of_the_brighter_class():
    dark, bright = np.full((20, 20, 3), 90.0), np.full((20, 20, 3), 120.0)
    for label, real, fake in (("real", bright, dark), ("fake", dark, bright)):
        page = np.asarray(averages_sheet({"real": real, "fake": fake}))
        colour = tuple(int(look.COLOURS[label][i : i + 2], 16) for i in (1, 3, 5))
        third = page[100:300, -300:-100].reshape(-1, 3)
        assert (third == colour).all()


def test_what_is_missing_is_said_in_one_line(project):
    write_csv(project / "catalog.csv", REALS, COLUMNS)
    with pytest.raises(RffdError, match="both classes"):
        look_at(project)
    with pytest.raises(RffdError, match="preprocessor_config"):
        pretrained_normalisation(Path("/nowhere"))


def test_augmentations_are_shown_each_by_itself(project):
    from rffd.augment import NO_AUGMENTATION
    from rffd.exploration_augmentations import alone, augmentations_sheet, views

    params = NO_AUGMENTATION.__class__(**{**NO_AUGMENTATION.__dict__, "flip": 0.5, "noise": 0.1, "crop": 0.8})
    square = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(views(square, NO_AUGMENTATION, 32, 0, 1)[0], square)
    flipped = views(square, alone(params, "flip"), 32, 0, 2)
    assert all(np.abs(view.astype(int) - square[:, ::-1]).max() <= 1 for view in flipped)
    (project / "backbone" / "config.json").write_text('{"image_size": 24}')
    page = augmentations_sheet(project / "raw/real/real_00040.png", project / "backbone", CONTRACT, params, 0, 3)
    rows = (page.height - 2 * 16 - 34 + 8) // (132 + 18 + 8)
    assert rows == 4, "prepared and flip; noise; crop; all together"
