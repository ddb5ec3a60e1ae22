"""The stores: what `preprocess` writes is what training reads."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rffd import face, preparing
from rffd.catalog import COLUMNS
from rffd.errors import RffdError
from rffd.files import read_csv, write_csv
from rffd.preparing import fill_stores
from rffd.preprocessing import PreprocessParams, prepare
from rffd.store import open_store

CONTRACT = PreprocessParams(image_size=24, jpeg_quality=None, face_margin=None)


class Project:
    """A few images with catalogue, splits and one registered mask."""

    def __init__(self, base: Path, count: int = 40):
        self.base, self.rows = base, []
        generator = np.random.default_rng(0)
        for i in range(count):
            label = "fake" if i % 2 else "real"
            path = f"fake/mid_{i}_0110.jpg" if i % 2 else f"real/real_{i:05}.jpg"
            (base / "raw" / label).mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
            coarse.resize((64, 48), Image.Resampling.BICUBIC).save(base / "raw" / path)
            row = dict.fromkeys(COLUMNS, "") | {"path": path, "label": label, "status": "ok", "group": path}
            self.rows.append(row | ({"difficulty": "mid", "bits": "0110"} if i % 2 else {"bits": "0000"}))
        self.rows.sort(key=lambda row: row["path"])
        write_csv(base / "catalog.csv", self.rows, COLUMNS)
        self.split({row["path"]: ("train", "val", "test", "train")[i % 4] for i, row in enumerate(self.rows)})
        self.masks = base / "pairs" / "masks"
        self.masks.mkdir(parents=True)
        mask = np.zeros((48, 64), np.uint8)
        mask[12:36, 16:48] = 255
        Image.fromarray(mask).save(self.masks / "mid_5_0110.png")

    def split(self, where: dict[str, str]):
        write_csv(
            self.base / "splits.csv", [{"path": p, "split": s} for p, s in sorted(where.items())], ["path", "split"]
        )

    def fill(self, out="out", contract=CONTRACT, workers=1):
        folders = {name: self.base / out / name for name in ("train", "val", "test")}
        base = self.base
        counted = fill_stores(
            base / "raw", base / "pairs", base / "catalog.csv", base / "splits.csv", folders, contract, workers
        )
        return {name: open_store(folder) for name, folder in folders.items()}, counted


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_each_row_is_its_image_with_its_label_bits_and_group(project):
    stores, _ = project.fill()
    assert sum(len(store) for store in stores.values()) == 40
    for name, store in stores.items():
        rows = [row for i, row in enumerate(project.rows) if ("train", "val", "test", "train")[i % 4] == name]
        assert store.paths == [row["path"] for row in rows] and store.contract == CONTRACT
        for i, row in enumerate(rows):
            expected = prepare(Image.open(project.base / "raw" / row["path"]).convert("RGB"), CONTRACT).pixels
            assert np.array_equal(store.images[i], expected)
            assert store.labels[i] == (row["label"] == "fake") and store.groups[i] == row["group"]
            assert store.bits[i].tolist() == ([0, 1, 1, 0] if row["label"] == "fake" else [0, 0, 0, 0])


def test_a_registered_mask_lands_in_its_fakes_row_and_nowhere_else(project):
    stores, _ = project.fill()
    owners = [(name, i) for name, store in stores.items() for i in np.flatnonzero(store.mask_rows >= 0)]
    assert len(owners) == 1
    name, i = owners[0]
    assert stores[name].paths[i] == "fake/mid_5_0110.jpg"
    mask = stores[name].masks[stores[name].mask_rows[i]]
    assert (mask[7:17, 7:17] == 255).all() and mask[:5].max() == 0 and mask[:, :5].max() == 0
    assert [len(store.masks) for key, store in stores.items() if key != name] == [0, 0]


def test_the_number_of_workers_changes_no_byte(project):
    project.fill("one")
    project.fill("three", workers=3)
    one, three = digests(project.base / "one"), digests(project.base / "three")
    assert one == three and len(one) == 12


def test_the_face_column_tells_found_from_mean_box(project, monkeypatch):
    project.split({row["path"]: "train" for row in project.rows[:4]})
    answers = iter([face.Face(10, 10, 20, True), face.Face(12, 8, 30, False)] * 2)
    monkeypatch.setattr("rffd.preprocessing.find_face", lambda image: next(answers))
    contract = PreprocessParams(image_size=24, jpeg_quality=None, face_margin=0.1)
    stores, counted = project.fill(contract=contract)
    index = read_csv(stores["train"].folder / "index.csv")
    assert [row["face"] for row in index] == ["found", "mean box"] * 2
    assert counted == {"found": 2, "mean box": 2} and stores["train"].contract.face_margin == 0.1


def test_no_crop_leaves_the_face_column_empty(project):
    stores, counted = project.fill()
    assert {row["face"] for row in read_csv(stores["val"].folder / "index.csv")} == {""} and set(counted) == {""}


def test_a_failure_leaves_the_old_stores_and_no_scraps(project):
    project.fill()
    before = digests(project.base / "out")
    broken = project.base / "raw" / project.rows[-1]["path"]
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(RffdError, match=f"{broken.name}.*dvc repro"):
        project.fill()
    assert digests(project.base / "out") == before
    assert sorted(p.name for p in (project.base / "out").iterdir()) == ["test", "train", "val"]


def test_a_mask_of_another_size_is_refused(project):
    Image.new("L", (10, 10)).save(project.masks / "mid_7_0110.png")
    with pytest.raises(RffdError, match=r"mid_7_0110\.png: 10x10 pixels"):
        project.fill()


@pytest.mark.parametrize("row", [{"path": "real/nobody.jpg", "split": "train"}, {"path": "", "split": "trian"}])
def test_splits_that_dont_fit_the_catalogue_are_refused(project, row):
    row = {**row, "path": row["path"] or project.rows[0]["path"]}
    write_csv(project.base / "splits.csv", [row], ["path", "split"])
    with pytest.raises(RffdError, match=r"splits\.csv: '"):
        project.fill()


def test_an_incomplete_store_is_one_clear_line(project):
    stores, _ = project.fill()
    (stores["val"].folder / "images.npy").unlink()
    with pytest.raises(RffdError, match="no complete store"):
        open_store(stores["val"].folder)


def test_images_are_mapped_not_loaded(project):
    stores, _ = project.fill()
    assert isinstance(stores["train"].images, np.memmap) and not stores["train"].images.flags.writeable


def test_a_full_disk_while_writing_is_an_error_not_a_crash(project, monkeypatch):
    def full(place, pixels):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparing, "_write_at", full)
    with pytest.raises(OSError, match="No space"):
        project.fill()
    assert not list((project.base / "out").iterdir())
