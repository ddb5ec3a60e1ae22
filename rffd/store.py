"""A split on disk: decoded once, then memory-mapped, so that no epoch decodes a JPEG again.

A folder of `images.npy` [N, S, S, 3] uint8, `masks.npy` [K, S, S] uint8 (0-255, the replaced share of each
pixel, for the K fakes registered onto their base photograph), `index.csv` (one row an image) and
`contract.json` (the preprocessing).
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rffd.errors import RffdError
from rffd.files import csv_rows, read_json
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
    labels, bits, mask_rows = [], [], []
    paths, difficulties, groups = [], [], []
    try:
        for row in csv_rows(folder / "index.csv"):
            labels.append(LABELS.index(row["label"]))
            bits.append(sys.intern(row["bits"]))
            mask_rows.append(int(row["mask"] or -1))
            paths.append(row["path"])
            difficulties.append(sys.intern(row["difficulty"]))
            groups.append(row["group"])
        contract = build(PreprocessParams, read_json(folder / "contract.json"), "preprocess")
        images = np.load(folder / "images.npy", mmap_mode="r")
        masks = np.load(folder / "masks.npy", mmap_mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise RffdError(f"{folder}: no complete store ({error}); run `dvc repro preprocess`") from error
    known = np.full((len(bits), 4), np.nan, dtype=np.float32)
    for i, text in enumerate(bits):
        if text:
            known[i] = [int(bit) for bit in text]
    return Store(
        folder=folder,
        images=images,
        labels=np.array(labels, dtype=np.int64),
        bits=known,
        masks=masks,
        mask_rows=np.array(mask_rows, dtype=np.int64),
        paths=paths,
        difficulties=difficulties,
        groups=groups,
        contract=contract,
    )


def contract_json(contract: PreprocessParams) -> dict[str, Any]:
    """The contract as it is written beside stores, models and packages."""
    return dataclasses.asdict(contract)
