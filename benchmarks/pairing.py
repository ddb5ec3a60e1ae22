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
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, Rows
from rffd.files import read_csv
from rffd.pairing import PairParams, find_pairs
from rffd.params import read_params
from rffd.sample import Defects, SampleParams, draw_sample, plan

FEATURES = 207 * 144 / 1024  # KiB of a portrait's features: what each would take if they were held, or mapped whole
NONE = Defects(header_tells=0, unreadable=0, duplicates=0, near_duplicates=0, three_bits=0)


class Cost(NamedTuple):
    """Seconds of wall and of all processors, and the MiB of the largest process, mapped files included."""

    wall: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall:.0f} s, {self.cpu:.0f} s of processor, {self.memory:.0f} MiB in the largest process"


def measure(raw: Path, target: Path) -> Cost:
    """Pair the images in `raw`, in a process of its own with its workers."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_pair, raw, target).result()


def _pair(raw: Path, target: Path) -> Cost:
    start = time.perf_counter()
    find_pairs(raw, target, read_params("pair", PairParams))
    wall, own = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime
    # this process's ru_maxrss would start from its parent's
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return Cost(wall, cpu, max(int(peak.split()[1]), workers.ru_maxrss) / 1024)


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

    Growth is of processor time, which a busy neighbour disturbs least, and of the largest process. Memory may grow a
    little, with the square root of the number (a cell of features) and by the candidates, but not by the features.
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
    grown = 1024 * (costs[large].memory - costs[small].memory) / (large - small)
    yield Row(
        what=f"what an image more adds to pairing's memory (the largest process), from {small:,} portraits to "
        f"{large:,}, over its features' size",
        measured=f"{grown:.1f} KiB ({costs[small].memory:.0f} to {costs[large].memory:.0f} MiB)",
        against=f"{FEATURES:.0f} KiB",
        ratio=grown / FEATURES,
        at_most=None if quick else 0.5,  # so few fill no task yet
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
