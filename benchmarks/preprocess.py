"""How fast the stores are filled, against a plain Pillow loop on one core that holds all its arrays in memory.

    python -m benchmarks.preprocess [--images FOLDER] [--count 400] [--size 256] [--repeats 5]

Without a folder it draws 600 px progressive JPEGs. Both do the same work in turns, each time in a fresh
process; printed are the medians, their ratio and each side's peak memory (all its processes together).
The ratio's ceiling is the number of cores.
"""

import argparse
import csv
import functools
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

from benchmarks.measure import Row, Rows, in_turns, ratio
from rffd.catalog import COLUMNS
from rffd.files import write_csv
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


def compare(images: Path | None, count: int, size: int, repeats: int) -> tuple[int, dict[str, list[float]], dict]:
    """How many images, each side's seconds turn by turn, and each side's highest memory."""
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        if images:
            (base / "raw").symlink_to(images.resolve())
        else:
            draw(base / "raw", count)
        paths = sorted(f"{p.parent.name}/{p.name}" for p in (base / "raw").glob("*/*") if p.is_file())[:count]
        lines = [dict.fromkeys(COLUMNS, "") | {"path": p, "label": p.split("/")[0], "status": "ok"} for p in paths]
        write_csv(base / "catalog.csv", lines, COLUMNS)
        write_csv(base / "splits.csv", [{"path": p, "split": "train"} for p in paths], ["path", "split"])
        peaks: dict[str, float] = {}

        def side(name: str, function) -> float:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                seconds, peak = pool.submit(measured, function, base, size).result()
            peaks[name] = max(peak, peaks.get(name, 0.0))
            return seconds

        sides = {"plain": plain_loop, "rffd": rffd_stores}
        found = in_turns({name: functools.partial(side, name, f) for name, f in sides.items()}, repeats)
        if not np.array_equal(np.load(base / "plain.npy"), np.load(base / "train" / "images.npy")):
            raise RuntimeError("the two roads gave different pixels")
    return len(paths), found, peaks


def rows(quick: bool = False, images: Path | None = None, count: int = 400, size: int = 256, repeats: int = 5) -> Rows:
    """Images/s and memory of the stores over the plain loop's."""
    count, found, peaks = compare(images, *((20, size, 1) if quick else (count, size, repeats)))
    speed = {name: f"{count / statistics.median(seconds):.0f} images/s" for name, seconds in found.items()}
    yield Row(
        what=f"decoding {count} JPEGs into stores of {size} px, over a plain Pillow loop ({cores()} cores)",
        measured=speed["rffd"],
        against=speed["plain"],
        ratio=ratio(found["plain"], found["rffd"]),
    )
    yield Row(
        what="peak memory of that, all processes together, over the plain loop's",
        measured=f"{peaks['rffd']:.0f} MiB",
        against=f"{peaks['plain']:.0f} MiB",
        ratio=peaks["rffd"] / peaks["plain"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder with real/ and fake/ (default: drawn)")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    from benchmarks.__main__ import show

    show("preprocess", list(rows(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
