"""From a process's start to its first training step, against importing torch and transformers and loading the model.

    python -m benchmarks.start [--repeats 5]

Each turn is a fresh Python. The engine's goes through `fit` on a ViT-Ti/16 and a store until its first batch is ready
for the model; the other side imports both libraries and calls `from_pretrained`. `accelerate launch`, which starts the
real training, imports them once more before it starts us: that is its own time, and not in here.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, Rows, in_turns, ratio
from benchmarks.scene import vit, write_store

PLAIN = """
import sys, torch, transformers
transformers.ViTForImageClassification.from_pretrained(sys.argv[1])
"""
ENGINE = """
import dataclasses, os, sys
from pathlib import Path
import rffd.epoch
from rffd.fit import fit
from rffd.fit_params import FitParams
from rffd.params import read_params
from rffd.store import open_store

def first(*_):
    os._exit(0)

rffd.epoch._loss = first
backbone, train, val = (Path(argument) for argument in sys.argv[1:])
params = dataclasses.replace(read_params("fit", FitParams), mixed_precision="auto")
fit(open_store(train), open_store(val), backbone, params, epochs=1)
sys.exit("no step was made")
"""


def started(script: str, *arguments: Path) -> Callable[[], float]:
    """Seconds that a fresh Python takes for `script`."""

    def side() -> float:
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return time.perf_counter() - begun

    return side


def rows(quick: bool = False, repeats: int = 5) -> Rows:
    """One row: the ratio of the two."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        backbone = vit(folder / "vit", "toy" if quick else "ViT-Ti/16")
        pixels = np.random.default_rng(0).integers(0, 256, (64, 256, 256, 3), dtype=np.uint8)
        stores = [folder / "train", folder / "val"]
        for store in stores:
            write_store(store, pixels, ["real", "fake"] * 32)
        sides = {"plain": started(PLAIN, backbone), "engine": started(ENGINE, backbone, *stores)}
        for side in sides.values():
            side()  # the page cache
        found = in_turns(sides, 1 if quick else repeats)
    yield Row(
        what="start to first step, over importing torch and transformers and loading the model",
        measured=f"{statistics.median(found['engine']):.2f} s",
        against=f"{statistics.median(found['plain']):.2f} s",
        ratio=ratio(found["engine"], found["plain"]),
        at_most=1.3,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    from benchmarks.__main__ import show

    show("start", list(rows(repeats=parser.parse_args().repeats)))


if __name__ == "__main__":
    main()
