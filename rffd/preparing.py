"""Filling the stores: every image is decoded once, by all cores, straight into the rows of the arrays on disk."""

import contextlib
import functools
import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rffd.catalog import read_catalog
from rffd.errors import RffdError
from rffd.files import read_csv, replacing, write_csv, write_json
from rffd.images import UnreadableImage, read_image
from rffd.parallel import spread
from rffd.preprocessing import PreprocessParams, prepare, resized
from rffd.store import INDEX_COLUMNS, contract_json

FACE_WORDS = {True: "found", False: "mean box", None: ""}


@dataclass(frozen=True)
class Task:
    """One image's work: where it comes from, and the place of its rows (file, byte) in the arrays on disk."""

    image: Path
    mask: Path | None
    images: tuple[Path, int]
    masks: tuple[Path, int]
    mask_row: int


def fill_stores(
    raw: Path,
    pairs: Path,
    catalog: Path,
    splits: Path,
    folders: Mapping[str, Path],
    contract: PreprocessParams,
    workers: int | None = None,
) -> Counter[str]:
    """Write the store of each split ("train", "val", "test") to its folder; return how the faces were found.

    All three are written beside and renamed at the end. A fake with a registered mask (`pairs/masks/<stem>.png`)
    has it cropped and resized as its picture was. The result is the same for any number of workers.
    """
    members = split_members(catalog, splits, folders)
    with contextlib.ExitStack() as stack:
        parts = {split: stack.enter_context(replacing(folder)) for split, folder in folders.items()}
        tasks = {split: _plan(rows, raw, pairs, parts[split], contract.image_size) for split, rows in members.items()}
        work = functools.partial(_fill_rows, contract=contract)
        faces = list(spread(work, list(itertools.chain(*tasks.values())), "preprocess", workers=workers))
        words = (FACE_WORDS[face] for face in faces)
        for split, rows in members.items():
            index = [
                {**row, "mask": "" if task.mask is None else task.mask_row, "face": word}
                for row, task, word in zip(rows, tasks[split], words, strict=False)
            ]
            columns = [{name: row[name] for name in INDEX_COLUMNS} for row in index]
            write_csv(parts[split] / "index.csv", columns, INDEX_COLUMNS)
            write_json(parts[split] / "contract.json", contract_json(contract))
    return Counter(FACE_WORDS[face] for face in faces)


def split_members(catalog: Path, splits: Path, names: Mapping[str, object]) -> dict[str, list[dict[str, str]]]:
    """The catalogue's rows of each split in `names`, sorted by path."""
    rows = {row["path"]: row for row in read_catalog(catalog)}
    members: dict[str, list[dict[str, str]]] = {name: [] for name in names}
    for row in sorted(read_csv(splits), key=lambda row: row["path"]):
        path, split = row["path"], row["split"]
        if split not in members:
            raise RffdError(f"{splits}: '{path}' is in split '{split}'; known: {', '.join(members)}")
        if path not in rows:
            raise RffdError(f"{splits}: '{path}' is not in {catalog}; run `dvc repro split`")
        members[split].append(rows[path])
    return members


def _plan(rows: list[dict[str, str]], raw: Path, pairs: Path, folder: Path, size: int) -> list[Task]:
    """Create the arrays of a store in `folder` and the tasks that fill them."""
    folder.mkdir()
    masks = [pairs / "masks" / f"{Path(row['path']).stem}.png" if row["label"] == "fake" else None for row in rows]
    masks = [mask if mask and mask.exists() else None for mask in masks]
    images_at = _create_array(folder / "images.npy", (len(rows), size, size, 3))
    masks_at = _create_array(folder / "masks.npy", (len(rows) - masks.count(None), size, size))
    tasks, mask_row = [], 0
    for i, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        image_place = (folder / "images.npy", images_at + i * 3 * size**2)
        mask_place = (folder / "masks.npy", masks_at + mask_row * size**2)
        tasks.append(Task(raw / row["path"], mask, image_place, mask_place, mask_row))
        mask_row += mask is not None
    return tasks


def _create_array(path: Path, shape: tuple[int, ...]) -> int:
    """Create a uint8 .npy file of `shape` without filling it; return the byte at which its data starts."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    return path.stat().st_size - math.prod(shape)


def _fill_rows(task: Task, contract: PreprocessParams) -> bool | None:
    """Prepare one picture, and its mask alike, and write them to their places; return whether a face was found."""
    try:
        image = read_image(task.image)
    except UnreadableImage as error:
        raise RffdError(f"{error}; the catalogue calls it usable: run `dvc repro`") from error
    prepared = prepare(image, contract)
    _write_at(task.images, prepared.pixels)
    if task.mask is not None:
        with Image.open(task.mask) as mask:
            if mask.size != image.size:
                raise RffdError(
                    f"{task.mask}: {mask.width}x{mask.height} pixels, but {task.image.name} has "
                    f"{image.width}x{image.height}; run `dvc repro pair`"
                )
            _write_at(task.masks, resized(mask.convert("L"), prepared.box, contract.image_size))
    return prepared.face


def _write_at(place: tuple[Path, int], pixels: np.ndarray) -> None:
    # a plain write, not a memory map: on a full disk that is an error, where a map would crash
    path, start = place
    with path.open("r+b") as file:
        file.seek(start)
        file.write(pixels.tobytes())
