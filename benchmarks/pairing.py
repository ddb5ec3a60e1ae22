"""Time and memory of pairing against the number of images.

python -m benchmarks.pairing                        # drawn portraits of 160 pixels: 500, 2000 and 8000
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

from rffd.files import read_csv
from rffd.pairing import PairParams, find_pairs
from rffd.params import read_params
from rffd.sample import Defects, SampleParams, draw_sample, plan

NONE = Defects(header_tells=0, unreadable=0, duplicates=0, near_duplicates=0, three_bits=0)


def measure(raw: Path, target: Path) -> str:
    """Pair the images in `raw`; time and memory in words."""
    start = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(target=_pair, args=(raw, target))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process.start()
    process.join()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{wall:.0f} s, {cpu:.0f} s of processor, {after.ru_maxrss / 1024:.0f} MiB in the largest process so far"


def _pair(raw: Path, target: Path) -> None:
    find_pairs(raw, target, read_params("pair", PairParams))


def drawn(count: int, folder: Path) -> str:
    """Draw `count` portraits, a quarter of the fakes on a real's photograph, and pair them."""
    sample = SampleParams(real=count - count // 2, fake=count // 2, size=160, seed=0, shared=0.25, defects=NONE)
    draw_sample(sample, folder / "raw")
    figures = measure(folder / "raw", folder / "pairs")
    by_base: dict[int, list[str]] = {}
    for item in plan(sample):
        by_base.setdefault(item.base, []).append(item.path)
    truth = {(a, b) for paths in by_base.values() for a in paths for b in paths if a < b}
    found = {(row["a"], row["b"]) for row in read_csv(folder / "pairs" / "pairs.csv")}
    return f"{figures}; {len(truth & found)} of {len(truth)} pairs, {len(found - truth)} others"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.folder:
            print(f"{arguments.folder}: {measure(arguments.folder, Path(folder) / 'pairs')}")
            return
        for count in arguments.counts:
            print(f"{count} drawn portraits: {drawn(count, Path(folder) / str(count))}", flush=True)


if __name__ == "__main__":
    main()
