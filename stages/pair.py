"""Find the images that show the same photograph, and what was replaced in it.

python -m stages.pair --raw data/raw --pairs data/pairs
"""

from pathlib import Path

from rffd.pairing import PairParams, find_pairs
from rffd.params import read_params
from rffd.stage import run_stage


def main(*, raw: Path, pairs: Path) -> None:
    """Read the images in `raw`; write `pairs/pairs.csv` and `pairs/masks/`."""
    find_pairs(raw, pairs, read_params("pair", PairParams))


if __name__ == "__main__":
    run_stage(main)
