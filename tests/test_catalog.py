"""The catalogue: every file has its row, what is set aside says why, and a new image touches its own group only."""

import dataclasses
import io
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import stages.catalog
from rffd.catalog import COLUMNS, figures, read_catalog, usual_signature
from rffd.cataloguing import CatalogParams, describe_images, jpeg_signature, read_pairs
from rffd.errors import RffdError
from rffd.files import read_json, write_csv
from rffd.grouping import groups
from rffd.pairing import PairParams, find_pairs
from rffd.params import read_params
from rffd.sample import draw_sample, plan
from rffd.shortcuts import audit
from rffd.sources import DataParams
from tests.shared import ciplab


def picture(seed: int, size: tuple[int, int] = (48, 32)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def filled(raw: Path, files: dict[str, bytes]) -> Path:
    for label in ("real", "fake"):
        (raw / label).mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        (raw / path).write_bytes(data)
    return raw


def described(raw: Path, pairs=(), **options) -> dict[str, dict]:
    rows, statistics = describe_images(raw, pairs, **options)
    assert len(rows) == len(statistics) and [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert all(list(row) == COLUMNS for row in rows)
    return {row["path"]: row for row in rows}


def test_a_row_tells_name_header_and_bytes(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = filled(
        tmp_path,
        {
            "fake/mid_101_0110.jpg": encoded(picture(1), exif=exif),
            "fake/easy_116_111.jpg": encoded(picture(2).convert("CMYK")),
            "fake/other.png": encoded(picture(3).convert("L"), "PNG"),
            "real/real_00042.jpg": encoded(picture(4)),
        },
    )
    rows = described(raw)
    turned = rows["fake/mid_101_0110.jpg"]
    assert (turned["difficulty"], turned["id"], turned["bits"]) == ("mid", 101, "0110")
    assert (turned["width"], turned["height"], turned["orientation"], turned["mode"]) == (32, 48, 6, "RGB")
    assert turned["bytes"] == (raw / turned["path"]).stat().st_size and len(turned["sha256"]) == 64
    assert turned["group"] == turned["path"] and turned["status"] == "ok" and turned["reason"] == ""
    short = rows["fake/easy_116_111.jpg"]
    assert short["bits"] == "1111" and short["mode"] == "CMYK" and "three bits" in short["note"]
    plain = rows["fake/other.png"]
    assert (plain["difficulty"], plain["id"], plain["bits"], plain["mode"], plain["jpeg"]) == ("", "", "", "L", "png")
    assert rows["real/real_00042.jpg"]["bits"] == "0000" and rows["real/real_00042.jpg"]["id"] == 42


def test_every_unusable_file_has_a_row_with_its_reason(tmp_path):
    good = encoded(picture(1, (200, 200)))
    raw = filled(
        tmp_path,
        {
            "real/good.jpg": good,
            "real/zero.jpg": b"",
            "real/cut.jpg": good[: len(good) // 2],
            "fake/text.jpg": b"<html>404 Not Found</html>",
            "fake/good.jpg": encoded(picture(2)),
        },
    )
    rows = described(raw)
    assert {path for path, row in rows.items() if row["status"] == "set aside"} == {
        "real/zero.jpg",
        "real/cut.jpg",
        "fake/text.jpg",
    }
    assert "0 bytes" in rows["real/zero.jpg"]["reason"] and "truncated" in rows["real/cut.jpg"]["reason"]
    assert "not an image" in rows["fake/text.jpg"]["reason"]
    assert rows["real/cut.jpg"]["sha256"] and rows["real/cut.jpg"]["group"] == "real/cut.jpg"
    assert figures(list(rows.values())) == {
        "images": 5,
        "images_set_aside": 3,
        "images_real": 1,
        "unusual_header_real": 0,
        "images_fake": 1,
        "unusual_header_fake": 0,
        "images_shared": 0,
        "groups_shared": 0,
    }


def test_repeated_bytes_are_used_once_and_never_under_both_labels(tmp_path):
    one, two, three = (encoded(picture(seed)) for seed in range(3))
    raw = filled(
        tmp_path,
        {
            "real/a.jpg": one,
            "real/b.jpg": one,
            "real/c.jpg": two,
            "fake/d.jpg": two,
            "fake/e.jpg": three,
            "real/x.jpg": b"",
            "real/y.jpg": b"",
        },
    )
    rows = described(raw)
    assert rows["real/a.jpg"]["status"] == "ok"
    assert rows["real/b.jpg"]["reason"] == "the same bytes as real/a.jpg"
    assert rows["real/c.jpg"]["reason"] == "the same bytes as fake/d.jpg, which has the other label"
    assert rows["fake/d.jpg"]["reason"] == "the same bytes as real/c.jpg, which has the other label"
    assert rows["real/b.jpg"]["group"] == rows["real/a.jpg"]["group"] == "real/a.jpg"
    assert rows["real/c.jpg"]["group"] == rows["fake/d.jpg"]["group"] == "fake/d.jpg"
    assert "0 bytes" in rows["real/y.jpg"]["reason"] and rows["real/y.jpg"]["group"] == "real/y.jpg"


def test_pairs_make_groups_named_after_the_first_member(tmp_path):
    paths = ("real/0.jpg", "real/1.jpg", "real/2.jpg", "fake/f.jpg")
    raw = filled(tmp_path, {path: encoded(picture(i)) for i, path in enumerate(paths)})
    rows = described(raw, [("real/2.jpg", "real/0.jpg"), ("real/2.jpg", "fake/f.jpg")])
    assert [row["group"] for row in rows.values()] == ["fake/f.jpg", "fake/f.jpg", "real/1.jpg", "fake/f.jpg"]
    numbers = figures(list(rows.values()))
    assert (numbers["groups_shared"], numbers["images_shared"]) == (1, 3)
    with pytest.raises(RffdError, match=r"real/9\.jpg.*run `dvc repro pair`"):
        describe_images(raw, [("real/0.jpg", "real/9.jpg")])


def test_a_new_image_changes_its_own_row_and_its_groups_only(tmp_path):
    raw = filled(tmp_path, {f"real/{i}.jpg": encoded(picture(i)) for i in range(1, 9)})
    filled(tmp_path, {"fake/f.jpg": encoded(picture(20))})
    pairs = [("real/2.jpg", "real/5.jpg")]
    before = described(raw, pairs)
    filled(tmp_path, {"real/0.jpg": encoded(picture(0), quality=40)})
    after = described(raw, [*pairs, ("real/0.jpg", "real/5.jpg")])
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed == {"real/0.jpg", "real/2.jpg", "real/5.jpg"}


def test_an_edit_changes_its_own_row_and_its_groups_only(tmp_path):
    raw = filled(tmp_path, {f"real/{i}.jpg": encoded(picture(i)) for i in range(1, 9)})
    filled(tmp_path, {"fake/f.jpg": encoded(picture(20))})
    pairs = [("real/2.jpg", "real/5.jpg"), ("real/3.jpg", "real/4.jpg")]
    before = described(raw, pairs)

    def changed(pairs) -> dict[str, set[str]]:
        after = described(raw, pairs)
        assert list(after) == list(before)
        return {
            path: {name for name in row if row[name] != before[path][name]}
            for path, row in after.items()
            if row != before[path]
        }

    filled(tmp_path, {"real/4.jpg": encoded(picture(4), quality=40)})
    assert changed(pairs) == {"real/4.jpg": {"bytes", "sha256", "jpeg"}}
    filled(tmp_path, {"real/4.jpg": encoded(picture(40))})  # another photograph, which leaves its group
    assert changed(pairs[:1]) == {"real/4.jpg": {"bytes", "sha256", "group"}}
    filled(tmp_path, {"real/4.jpg": b"no picture"})
    found = changed(pairs[:1])
    assert set(found) == {"real/4.jpg"} and {"status", "reason", "sha256", "group"} < found["real/4.jpg"]


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path):
    raw = filled(tmp_path, {f"{label}/{i}.jpg": encoded(picture(i)) for i in range(20) for label in ("real", "fake")})
    (rows_1, statistics_1), (rows_2, statistics_2) = (describe_images(raw, [], workers=n) for n in (1, 2))
    assert rows_1 == rows_2 and np.array_equal(statistics_1, statistics_2)


def test_the_signature_tells_tables_sampling_and_progression_and_nothing_else():
    def signature(image=None, kind="JPEG", **options):
        with Image.open(io.BytesIO(encoded(image or picture(0), kind, **options))) as opened:
            return jpeg_signature(opened)

    usual = signature(quality=90)
    assert usual.startswith("q-") and usual == signature(picture(7, (80, 80)), quality=90)
    others = [
        signature(quality=80),
        signature(quality=90, subsampling=0),
        signature(quality=90, progressive=True),
        signature(picture(0).convert("L"), quality=90),
        signature(kind="PNG"),
        signature(kind="WEBP"),
    ]
    assert len({usual, *others}) == 7 and others[-2:] == ["png", "webp"]


def test_the_usual_signature_is_that_of_most_usable_reals():
    def row(jpeg, label="real", status="ok"):
        return {"jpeg": jpeg, "label": label, "status": status}

    rows = [row("b"), row("b"), row("a"), *[row("c", "fake")] * 9, *[row("d", status="set aside")] * 9]
    assert usual_signature(rows) == "b"
    assert usual_signature([row("b"), row("a")]) == "a"
    assert usual_signature([row("c", "fake")]) == ""


def test_a_table_of_another_kind_is_one_line(tmp_path):
    write_csv(tmp_path / "catalog.csv", [{"path": "real/a.jpg", "label": "real"}], ["path", "label"])
    with pytest.raises(RffdError, match="no column difficulty"):
        read_catalog(tmp_path / "catalog.csv")
    with pytest.raises(RffdError, match="run `dvc repro pair`"):
        read_pairs(tmp_path / "none.csv")
    with pytest.raises(RffdError, match="run `dvc repro acquire`"):
        describe_images(tmp_path, [])


names = st.sampled_from([f"{label}/{i}" for label in ("real", "fake") for i in range(8)])


@settings(deadline=None)
@given(st.lists(st.tuples(names, names)), st.sets(names), st.randoms())
def test_groups_are_connected_parts_whatever_the_order(edges, more, order: random.Random):
    paths = sorted(more | {path for edge in edges for path in edge})
    found = groups(edges, paths)
    shuffled, flipped = order.sample(paths, len(paths)), [edge[::-1] for edge in order.sample(edges, len(edges))]
    assert groups(flipped, shuffled) == found
    assert all(found[a] == found[b] for a, b in edges)
    members: dict[str, set[str]] = {}
    for path, group in found.items():
        members.setdefault(group, set()).add(path)
    for group, inside in members.items():
        assert group == min(inside)
        reached = {group}
        for _ in paths:
            reached |= {b for edge in edges for a, b in (edge, edge[::-1]) if a in reached}
        assert reached == inside


def test_each_defect_of_the_sample_is_found_in_its_number(tmp_path, capsys):
    """All at once: drawn, paired, catalogued."""
    committed = read_params("data", DataParams)
    wanted = {"header_tells": 20, "unreadable": 3, "duplicates": 2, "near_duplicates": 3, "three_bits": 2}
    defects = dataclasses.replace(committed.sample.defects, **wanted)
    sample = dataclasses.replace(committed.sample, real=40, fake=40, seed=0, shared=0.25, defects=defects)
    raw, pairs, catalog = tmp_path / "raw", tmp_path / "pairs", tmp_path / "catalog.csv"
    draw_sample(sample, raw, workers=1)
    find_pairs(raw, pairs, read_params("pair", PairParams), workers=1)
    stages.catalog.main(
        raw=raw, pairs=pairs, catalog=catalog, metrics=tmp_path / "catalog.json", plots=tmp_path / "plots"
    )
    rows, items = read_catalog(catalog), [item for item in plan(sample) if item.damage is None]
    sharing = {(a.path, b.path) for a in items for b in items if a.path < b.path and a.base == b.base}
    assert set(read_pairs(pairs / "pairs.csv")) == sharing and len(sharing) == 10 + 2 + 3
    reasons = [row["reason"] for row in rows if row["status"] == "set aside"]
    assert len(rows) == 80 and len(reasons) == 3 + 2
    assert sum("the same bytes" in reason for reason in reasons) == 2
    near = {pair for pair in sharing if all(path.startswith("real/") for path in pair)}
    group = {row["path"]: row["group"] for row in rows if row["status"] == "ok"}
    assert sum(a in group and b in group and group[a] == group[b] for a, b in near) == 3
    numbers = read_json(tmp_path / "catalog.json")
    assert (numbers["images"], numbers["images_set_aside"]) == (80, 5)
    assert (numbers["unusual_header_fake"], numbers["unusual_header_real"]) == (20, 0)
    assert numbers["images_shared"] == sum(n for n in Counter(group.values()).values() if n > 1)
    assert sum("three bits" in row["note"] for row in rows) == 2
    assert numbers["shortcut_header_auc"] == pytest.approx(0.75, abs=0.03)
    assert numbers["shortcut_header_auc_ci95"][0] > 0.6
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    (header,) = [line for line in said if "the JPEG header tells fake from real" in line]
    assert "chance is 0.500" in header and "preprocess.jpeg_quality re-encodes every image alike" in header


@pytest.mark.slow
def test_the_real_photographs_are_described_as_measured(tmp_path):
    origin = ciplab()
    for label in ("real", "fake"):
        (tmp_path / label).symlink_to(origin / f"training_{label}")
    rows, statistics = describe_images(tmp_path, [])
    numbers = figures(rows)
    assert (numbers["images_real"], numbers["images_fake"], numbers["images_set_aside"]) == (864, 768, 0)
    assert numbers["unusual_header_real"] == 0 and numbers["unusual_header_fake"] == 192
    by_path = {row["path"]: row for row in rows}
    assert by_path["fake/easy_116_111.jpg"]["bits"] == "1111" and by_path["fake/easy_116_111.jpg"]["note"]
    assert {(row["width"], row["height"], row["mode"], row["orientation"]) for row in rows} == {(600, 600, "RGB", "")}
    assert len({row["sha256"] for row in rows}) == 1632
    found = audit(rows, statistics, usual_signature(rows), read_params("catalog", CatalogParams).audit)
    assert found["header"][0] == pytest.approx(0.5 + 192 / 768 / 2, abs=0.005)
    assert 0.55 < found["pixels"][0] < 0.72
    assert 0.50 < found["pixels_usual"][0] < 0.60
