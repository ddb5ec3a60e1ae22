"""Time and memory of pairing against the number of images.

python -m benchmarks.pairing                        # drawn portraits of 160 pixels: 500, 2000 and 4000
python -m benchmarks.pairing --counts 2000 20000
python -m benchmarks.pairing --folder ../photographs   # with real/ and fake/ inside, as data/raw has

Prints one line a run: wall time, processor time of all processes, the memory of the largest one, and for drawn
portraits how many of the pairs that share a photograph were found, and how many pairs don't.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, Rows
from rffd.files import read_csv
from rffd.pairing import PairParams, find_pairs
from rffd.params import read_params
from rffd.sample import Defects, SampleParams, draw_sample, plan

NONE = Defects(header_tells=0, unreadable=0, duplicates=0, near_duplicates=0, three_bits=0)


class Cost(NamedTuple):
    """Seconds of wall and of all processors, and the MiB of the largest process so far."""

    wall: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall:.0f} s, {self.cpu:.0f} s of processor, {self.memory:.0f} MiB in the largest process so far"


def measure(raw: Path, target: Path) -> Cost:
    """Pair the images in `raw`."""
    start = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(target=_pair, args=(raw, target))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process.start()
    process.join()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024)


def _pair(raw: Path, target: Path) -> None:
    find_pairs(raw, target, read_params("pair", PairParams))


def drawn(count: int, folder: Path) -> tuple[Cost, str]:
    """Draw `count` portraits, a quarter of the fakes on a real's photograph, and pair them: cost and finds."""
    sample = SampleParams(real=count - count // 2, fake=count // 2, size=160, seed=0, shared=0.25, defects=NONE)
    draw_sample(sample, folder / "raw")
    cost = measure(folder / "raw", folder / "pairs")
    by_base: dict[int, list[str]] = {}
    for item in plan(sample):
        by_base.setdefault(item.base, []).append(item.path)
    truth = {(a, b) for paths in by_base.values() for a in paths for b in paths if a < b}
    found = {(row["a"], row["b"]) for row in read_csv(folder / "pairs" / "pairs.csv")}
    return cost, f"{len(truth & found)} of {len(truth)} pairs, {len(found - truth)} others"


def rows(quick: bool = False, counts: tuple[int, ...] = (500, 2000, 4000)) -> Rows:
    """The default's own 2,000 portraits against their 30 s, then growth from the smallest to the largest number.

    Growth is of processor time, which a busy neighbour disturbs least.
    """
    counts = (100, 200) if quick else counts
    costs: dict[int, Cost] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            costs[count], found = drawn(count, Path(folder) / str(count))
            if count == 2000:
                yield Row(
                    what=f"pairing the default's {count:,} portraits of 160 px; {found}",
                    measured=f"{costs[count].wall:.1f} s",
                    against="30 s allowed",
                    ratio=costs[count].wall / 30,
                    at_most=1,
                )
    small, large = min(counts), max(counts)
    each = {count: cost.cpu / count for count, cost in costs.items()}
    yield Row(
        what=f"pairing's processor time an image, {large:,} portraits over {small:,}",
        measured=f"{1000 * each[large]:.1f} ms",
        against=f"{1000 * each[small]:.1f} ms",
        ratio=each[large] / each[small],
        at_most=1.25,
    )
    yield Row(
        what=f"pairing's memory (the largest process), {large:,} portraits over {small:,}",
        measured=f"{costs[large].memory:.0f} MiB",
        against=f"{costs[small].memory:.0f} MiB",
        ratio=costs[large].memory / costs[small].memory,
        at_most=1.25,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 2000, 4000])
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.folder:
            print(f"{arguments.folder}: {measure(arguments.folder, Path(folder) / 'pairs')}")
            return
        for count in arguments.counts:
            cost, found = drawn(count, Path(folder) / str(count))
            print(f"{count} drawn portraits: {cost}; {found}", flush=True)


if __name__ == "__main__":
    main()
