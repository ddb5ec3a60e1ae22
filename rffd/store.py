"""A split on disk: decoded once, then memory-mapped, so that no epoch decodes a JPEG again.

A folder of `images.npy` [N, S, S, 3] uint8, `masks.npy` [K, S, S] uint8 (0-255, the replaced share of each
pixel, for the K fakes registered onto their base photograph), `index.csv` (one row an image) and
`contract.json` (the preprocessing).
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rffd.errors import RffdError
from rffd.files import read_csv, read_json
from rffd.names import LABELS
from rffd.params import build
from rffd.preprocessing import PreprocessParams

INDEX_COLUMNS = ["path", "label", "difficulty", "bits", "group", "mask", "face"]


@dataclass(frozen=True)
class Store:
    """One split. Row i of every field is the same image.

    `images` [N, S, S, 3] uint8, memory-mapped; `labels` [N] int64 (real 0, fake 1); `bits` [N, 4] float32
    (1 = replaced, NaN where unknown; a real has zeros); `mask_rows` [N] int64, the row of `masks`, or -1;
    `masks` [K, S, S] uint8, memory-mapped.
    """

    folder: Path
    images: np.ndarray
    labels: np.ndarray
    bits: np.ndarray
    masks: np.ndarray
    mask_rows: np.ndarray
    paths: list[str]
    difficulties: list[str]
    groups: list[str]
    contract: PreprocessParams

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> int:
        return self.images.shape[1]


def open_store(folder: Path) -> Store:
    """Open what `preprocess` wrote."""
    folder = Path(folder)
    try:
        rows = read_csv(folder / "index.csv")
        contract = build(PreprocessParams, read_json(folder / "contract.json"), "preprocess")
        images = np.load(folder / "images.npy", mmap_mode="r")
        masks = np.load(folder / "masks.npy", mmap_mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise RffdError(f"{folder}: no complete store ({error}); run `dvc repro preprocess`") from error
    bits = np.full((len(rows), 4), np.nan, dtype=np.float32)
    for i, row in enumerate(rows):
        if row["bits"]:
            bits[i] = [int(bit) for bit in row["bits"]]
    return Store(
        folder=folder,
        images=images,
        labels=np.array([LABELS.index(row["label"]) for row in rows], dtype=np.int64),
        bits=bits,
        masks=masks,
        mask_rows=np.array([int(row["mask"] or -1) for row in rows], dtype=np.int64),
        paths=[row["path"] for row in rows],
        difficulties=[row["difficulty"] for row in rows],
        groups=[row["group"] for row in rows],
        contract=contract,
    )


def contract_json(contract: PreprocessParams) -> dict[str, Any]:
    """The contract as it is written beside stores, models and packages."""
    return dataclasses.asdict(contract)
