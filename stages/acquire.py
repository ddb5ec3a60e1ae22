"""Bring the images in, byte for byte and under their own names.

Run: dvc repro acquire      (or: python -m stages.acquire --raw data/raw)

Source and its settings: the section `data` of params.yaml. Writes raw/real and raw/fake.
"""

import sys
from pathlib import Path

from rffd.params import read_params
from rffd.sources import DataParams, acquire
from rffd.stage import run_stage


def main(*, raw: Path) -> None:
    params = read_params("data", DataParams)
    counts = acquire(params, raw)
    print(f"{params.source}: {counts['real']:,} real and {counts['fake']:,} fake images", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
