"""Does an epoch's cost grow linearly with the store, and its memory not at all? Reading and augmentation only.

    python -m benchmarks.scale [--counts 12500 25000 50000 100000]

Stores of random bytes at 64 px (100,000 images: 1.2 GB on disk), the default augmentation, batches of 32, each store
in a fresh process. Memory is the process's own (RssAnon): pages of the mapped store belong to the file and go when
someone needs them.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import OwnMemory, Row, Rows
from benchmarks.scene import write_store

SIZE = 64


def epoch(folder: Path, answer) -> None:
    """Seconds of one epoch over the store in `folder`, and the peak of RssAnon in MiB, sent to `answer`."""
    import torch

    from rffd.augment import augment
    from rffd.batches import epoch_batches
    from rffd.fit import use_all_cores
    from rffd.fit_params import FitParams
    from rffd.memory import keep_freed_memory
    from rffd.params import read_params
    from rffd.store import open_store

    use_all_cores(1)
    keep_freed_memory()
    params = read_params("fit", FitParams)
    store = open_store(folder)
    memory = OwnMemory()
    started = time.perf_counter()
    with torch.inference_mode():
        batches = epoch_batches(
            store,
            batch_size=32,
            passes=1,
            seed=0,
            epoch=1,
            class_weights=np.ones(2),
            grid=8,
            rank=0,
            processes=1,
        )
        for batch in batches:
            augment(batch.pixels, batch.masks, batch.bits, batch.uniforms, params.augment, SIZE)
    seconds = time.perf_counter() - started
    answer.send((seconds, memory.look()))


def measure(folder: Path, count: int) -> tuple[float, float]:
    """Seconds and MiB for a store of `count` images."""
    write_store(folder, None, ["real", "fake"] * (count // 2), size=SIZE)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=epoch, args=(folder, theirs))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def rows(quick: bool = False, counts: tuple[int, ...] = (12_500, 25_000, 50_000, 100_000)) -> Rows:
    """The largest store against the smallest: time an image, memory."""
    counts = (500, 2_000) if quick else counts
    found = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            found[count] = measure(Path(folder) / "store", count)
    (small, (seconds, memory)), (large, (longer, more)) = (list(found.items())[i] for i in (0, -1))
    told = ", ".join(f"{count:,}: {taken:.1f} s, {mib:.0f} MiB" for count, (taken, mib) in found.items())
    yield Row(
        what=f"an epoch's time an image, {large:,} images at {SIZE} px over {small:,}; reading and augmentation",
        measured=f"{1e6 * longer / large:.0f} us ({told})",
        against=f"{1e6 * seconds / small:.0f} us",
        ratio=longer / large / (seconds / small),
        at_most=1.1,
    )
    yield Row(
        what=f"its own memory (RssAnon), {large:,} images over {small:,}",
        measured=f"{more:.0f} MiB",
        against=f"{memory:.0f} MiB",
        ratio=more / memory,
        at_most=1.1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[12_500, 25_000, 50_000, 100_000])
    from benchmarks.__main__ import show

    show("scale", list(rows(counts=tuple(parser.parse_args().counts))))


if __name__ == "__main__":
    main()
