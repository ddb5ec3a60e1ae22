"""Local features of every image (SIFT), on disk, so that memory doesn't grow with their number.

A mirrored picture's SIFT descriptor is the picture's own with its bins in another order: a feature is
compared with others as it is and mirrored, without looking at a mirrored picture.
Source: Lowe, Distinctive image features from scale-invariant keypoints (2004); descriptors are compared by
the root of their share (Arandjelovic and Zisserman, Three things everyone should know, 2012).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import ThreadpoolController

from rffd.images import UnreadableImage, read_image
from rffd.parallel import spread

LENGTH = 128  # of a descriptor: 4 x 4 places of 8 directions
PLACES = np.arange(LENGTH).reshape(4, 4, 8)
MIRROR = PLACES[::-1][:, :, -np.arange(8) % 8].ravel()
PART = 1 << 16  # features of a file that are mapped at a time: 8 MiB of descriptors
SHORT_STEP = 1.0  # small pictures are enlarged at most so much; more adds time and no feature


@dataclass(frozen=True)
class Features:
    """The features of N images in `folder`; image i has those from `starts[i]` to `starts[i + 1]`.

    Only what is asked for is read, a part of a file at a time: a whole file mapped stays in memory page by page.
    """

    folder: Path
    starts: np.ndarray  # [N + 1] int64
    sides: np.ndarray  # [N] int64: the longer side of each image, 1 if it can't be read

    def of(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Image `image`'s points [n, 4] float32 and descriptors [n, 128] uint8, as `extract` gives them."""
        start, stop = self.starts[image : image + 2].tolist()
        return self._read("points", np.float32, 4, start, stop), self.descriptors(start, stop)

    def descriptors(self, start: int, stop: int) -> np.ndarray:
        """The descriptors [n, 128] uint8 of the features from `start` to `stop`."""
        return self._read("descriptors", np.uint8, LENGTH, start, stop)

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """The descriptors [n, 128] uint8 of the features `rows`, in any order."""
        found = np.empty((len(rows), LENGTH), np.uint8)
        order = np.argsort(rows, kind="stable")
        for start in range(0, len(self), PART):
            here = order[slice(*np.searchsorted(rows, (start, start + PART), sorter=order))]
            shape = (min(PART, len(self) - start), LENGTH)
            part = np.memmap(self.folder / "descriptors", np.uint8, "r", offset=start * LENGTH, shape=shape)
            found[here] = part[rows[here] - start]
        return found

    def image_of(self, rows: np.ndarray) -> np.ndarray:
        """The images that the features `rows` belong to."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def __len__(self) -> int:
        return int(self.starts[-1])

    def _read(self, name: str, kind: type, width: int, start: int, stop: int) -> np.ndarray:
        size = width * np.dtype(kind).itemsize
        values: np.ndarray = np.fromfile(self.folder / name, kind, (stop - start) * width, offset=start * size)
        return values.reshape(-1, width)


def extract_all(
    raw: Path, paths: Sequence[str], folder: Path, *, side: int, contrast: float, limit: int, workers: int | None = None
) -> Features:
    """Extract the features of `raw / path` for each of `paths` into `folder`; an unreadable image has none."""
    counts, sides = [], []
    with (folder / "descriptors").open("wb") as descriptors, (folder / "points").open("wb") as points:
        extract = partial(_extract_file, raw, side, contrast, limit)
        for longer, where, what in spread(extract, paths, "finding features", workers=workers):
            descriptors.write(what.tobytes())
            points.write(where.tobytes())
            counts.append(len(what))
            sides.append(longer)
    return Features(folder, np.cumsum([0, *counts], dtype=np.int64), np.array(sides, dtype=np.int64))


def extract(grey: np.ndarray, *, side: int, contrast: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 4] float32 and descriptors [n, 128] uint8 of a picture [H, W] uint8, the strongest.

    A picture larger than `side` pixels on its longer side is reduced to it first; `limit` is how many features
    it gives at most, a smaller one fewer in proportion.
    """
    scale = min(side / max(grey.shape), SHORT_STEP)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    scaled = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    keep = max(1, round(limit * max(size) / side))
    found, descriptors = cv2.SIFT.create(keep, 3, contrast, 10).detectAndCompute(scaled, None)
    if not found:
        return np.zeros((0, 4), np.float32), np.zeros((0, LENGTH), np.uint8)
    points = np.array([(p.pt[0], p.pt[1], p.size, np.deg2rad(p.angle), p.response) for p in found])
    points[:, :2] = (points[:, :2] + 0.5) * [grey.shape[1] / size[0], grey.shape[0] / size[1]] - 0.5
    points[:, 2] /= scale
    # all columns, so that the order doesn't hang on OpenCV's
    order = np.lexsort((points[:, 3], points[:, 2], points[:, 1], points[:, 0], -points[:, 4]))
    order = order[:keep]
    return points[order, :4].astype(np.float32), descriptors[order].astype(np.uint8)


def unit(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors [n, 128] uint8 as unit vectors float32; their inner product is the similarity."""
    values = descriptors.astype(np.float32)
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1)
    return np.sqrt(values, out=values)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV and BLAS to one thread: processes share the cores, and sums don't hang on their number."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with _thread_pools().limit(limits=1):
            yield
    finally:
        cv2.setNumThreads(threads)


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def read_grey(path: Path) -> np.ndarray:
    """A readable image's luminance [H, W] uint8."""
    return np.asarray(read_image(path).convert("L"))


def _extract_file(raw: Path, side: int, contrast: float, limit: int, path: str) -> tuple[int, np.ndarray, np.ndarray]:
    try:
        grey = read_grey(raw / path)
    except UnreadableImage:
        grey = np.zeros((1, 1), np.uint8)
    with one_thread():
        return max(grey.shape), *extract(grey, side=side, contrast=contrast, limit=limit)
