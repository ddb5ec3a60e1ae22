"""Decode every image once, upright, re-encoded and cropped if asked, resized: three stores of uint8 arrays.

    python -m stages.preprocess --raw data/raw --pairs data/pairs --catalog data/catalog.csv \
        --splits data/splits.csv --train data/processed/train --val data/processed/val --test data/processed/test
"""

import sys
from pathlib import Path

from rffd.params import read_params
from rffd.preparing import fill_stores
from rffd.preprocessing import PreprocessParams
from rffd.stage import run_stage


def main(*, raw: Path, pairs: Path, catalog: Path, splits: Path, train: Path, val: Path, test: Path) -> None:
    contract = read_params("preprocess", PreprocessParams)
    folders = {"train": train, "val": val, "test": test}
    faces = fill_stores(raw, pairs, catalog, splits, folders, contract)
    if contract.face_margin is not None:
        missed, total = faces["mean box"], faces.total()
        print(f"preprocess: no face found in {missed:,} of {total:,} images, cropped at the mean box", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
