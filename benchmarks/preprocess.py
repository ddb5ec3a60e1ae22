"""How fast the stores are filled, against a plain Pillow loop on one core that holds all its arrays in memory.

    python -m benchmarks.preprocess [--images FOLDER] [--count 400] [--size 256] [--repeats 5]

Without a folder it draws 600 px progressive JPEGs. Both do the same work in turns, each time in a fresh
process; printed are the medians, their ratio and each side's peak memory (all its processes together).
The ratio's ceiling is the number of cores.
"""

import argparse
import csv
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from rffd.catalog import COLUMNS
from rffd.files import remove, write_csv
from rffd.parallel import cores
from rffd.preparing import fill_stores
from rffd.preprocessing import PreprocessParams


def plain_loop(base: Path, size: int) -> None:
    """What one writes without thinking: open, convert, resize, append, save."""
    with (base / "catalog.csv").open(newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    arrays = []
    for path in paths:
        with Image.open(base / "raw" / path) as image:
            arrays.append(np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)))
    np.save(base / "plain.npy", np.stack(arrays))


def rffd_stores(base: Path, size: int) -> None:
    """The same by the pipeline's own road."""
    contract = PreprocessParams(image_size=size, jpeg_quality=None, face_margin=None)
    fill_stores(
        base / "raw", base / "pairs", base / "catalog.csv", base / "splits.csv", {"train": base / "train"}, contract
    )


def measured(function, base: Path, size: int) -> tuple[float, float]:
    """Seconds and peak MiB of one run, this process and its workers together."""
    start = time.perf_counter()
    function(base, size)
    seconds = time.perf_counter() - start
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * cores()
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return seconds, (own + workers) / unit


def draw(folder: Path, count: int) -> None:
    """Pictures that cost a decoder about what photographs do: smooth shapes with grain."""
    generator = np.random.default_rng(0)
    for label in ("real", "fake"):
        (folder / label).mkdir(parents=True)
    for i in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        picture = np.asarray(coarse.resize((600, 600), Image.Resampling.BICUBIC), dtype=np.float32)
        picture = np.clip(picture + generator.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        path = folder / ("real" if i % 2 else "fake") / f"{i:05}.jpg"
        Image.fromarray(picture).save(path, quality=92, progressive=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder with real/ and fake/ (default: drawn)")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        if arguments.images:
            (base / "raw").symlink_to(arguments.images.resolve())
        else:
            draw(base / "raw", arguments.count)
        paths = sorted(f"{p.parent.name}/{p.name}" for p in (base / "raw").glob("*/*") if p.is_file())[
            : arguments.count
        ]
        rows = [dict.fromkeys(COLUMNS, "") | {"path": p, "label": p.split("/")[0], "status": "ok"} for p in paths]
        write_csv(base / "catalog.csv", rows, COLUMNS)
        write_csv(base / "splits.csv", [{"path": p, "split": "train"} for p in paths], ["path", "split"])
        results: dict = {plain_loop: [], rffd_stores: []}
        for _ in range(arguments.repeats):
            for function, runs in results.items():
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    runs.append(pool.submit(measured, function, base, arguments.size).result())
        if not np.array_equal(np.load(base / "plain.npy"), np.load(base / "train" / "images.npy")):
            sys.exit("error: the two roads gave different pixels")
        remove(base / "plain.npy")
    print(f"{len(paths)} images to {arguments.size} px, {cores()} cores, median of {arguments.repeats} turns")
    for name, runs in (("plain Pillow loop", results[plain_loop]), ("rffd stores", results[rffd_stores])):
        seconds, peak = statistics.median(r[0] for r in runs), max(r[1] for r in runs)
        print(f"  {name:18} {seconds:6.2f} s  {len(paths) / seconds:6.0f} images/s  peak {peak:6.0f} MiB")
    ratios = [plain[0] / ours[0] for plain, ours in zip(*results.values(), strict=True)]
    print(f"  speed-up           {statistics.median(ratios):6.2f} x  ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
