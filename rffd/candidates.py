"""Which pairs of images are worth a close look, without looking at all pairs.

Features are sorted into cells of similar ones (k-means), about as many cells as features in each. Inside a
cell each feature votes for those of other images that are much nearer to it than the cell's ordinary ones.
A shared region needs only a few features to be found, and they needn't lie in one cell.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from rffd.features import MIRROR, Features, one_thread, unit
from rffd.parallel import spread

SAMPLES = 24  # features a cell is learned from
ROUNDS = 6  # of k-means; more move the cells, not the pairs found
BLOCK = 16_384  # features assigned to cells at a time
BAND = 60_000  # features in the cells of one task
ROWS = 1_024  # features compared with their cell at a time
ORDINARY = 24  # this rank among a feature's neighbours is taken for an ordinary one: larger than most groups
NEAREST = 8  # a feature votes for at most so many others, which keeps the votes linear in the features
CROWD = 8  # a cell is thinned to so many times the average: what looks alike everywhere tells nothing


def candidates(
    features: Features, *, ratio: float, votes: int, workers: int | None = None
) -> Iterator[tuple[int, int, bool, int]]:
    """Yield (a, b, mirrored, votes) with a < b, sorted, of the pairs that at least `votes` features speak for.

    A feature speaks for another one if its squared distance is under `ratio` of that to an ordinary one.
    """
    if len(features) < 2:
        return
    centres = _centres(features)
    cells = np.lib.format.open_memmap(features.folder / "cells.npy", "w+", np.uint16, (len(features), 2))
    blocks = range(0, len(features), BLOCK)
    for start, block in zip(
        blocks,
        spread(partial(_assign, features, centres), blocks, "sorting features", workers=workers, chunk=1),
        strict=True,
    ):
        cells[start : start + len(block)] = block
    cells.flush()
    sizes = np.bincount(cells[:, 0], minlength=len(centres))
    crowd = max(ROWS, round(CROWD * len(features) / len(centres)))
    bands = list(_bands(sizes))
    found = spread(partial(_vote, features, crowd, ratio), bands, "comparing features", workers=workers, chunk=1)
    pairs = np.concatenate([np.zeros(0, np.int64), *found])
    pairs, counts = np.unique(pairs, return_counts=True)
    total = len(features.starts) - 1
    for code, count in zip(pairs[counts >= votes].tolist(), counts[counts >= votes].tolist(), strict=True):
        yield *divmod(code // 2, total), bool(code % 2), count


def _centres(features: Features) -> np.ndarray:
    """Unit vectors [C, 128] that the cells lie around, learned from an even sample of the features."""
    count = int(np.clip(round(np.sqrt(len(features))), 1, 2**16 - 1))
    rows = np.unique(np.linspace(0, len(features) - 1, min(len(features), SAMPLES * count)).astype(np.int64))
    rows = np.random.default_rng(0).permutation(rows)
    sample = unit(features.descriptors[np.sort(rows)])[np.argsort(np.argsort(rows))]
    centres = sample[:count].copy()
    with one_thread():
        for _ in range(ROUNDS):
            nearest = _nearest(sample, centres)
            order = np.argsort(nearest, kind="stable")
            filled, first = np.unique(nearest[order], return_index=True)
            centres[filled] = np.add.reduceat(sample[order], first)
            centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    return centres


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.concatenate([(vectors[i : i + ROWS] @ centres.T).argmax(axis=1) for i in range(0, len(vectors), ROWS)])


def _assign(features: Features, centres: np.ndarray, start: int) -> np.ndarray:
    """The cells [n, 2] uint16 of the features from `start` on, as they are and mirrored."""
    vectors = unit(features.descriptors[start : start + BLOCK])
    with one_thread():
        return np.column_stack([_nearest(vectors, centres), _nearest(vectors[:, MIRROR], centres)]).astype(np.uint16)


def _bands(sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of cells with about `BAND` features each."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + BAND, side="right")))
        yield start, stop
        start = stop


def _vote(features: Features, crowd: int, ratio: float, band: tuple[int, int]) -> np.ndarray:
    """The votes of a range of cells: for each the code of a pair of images, twice a * N + b, plus 1 if mirrored."""
    cells = np.load(features.folder / "cells.npy", mmap_mode="r")
    votes = []
    members, queries = (_members(cells[:, column], band) for column in (0, 1))
    with one_thread():
        for cell in range(*band):
            rows = members[cell - band[0]]
            rows = rows[:: -(-len(rows) // crowd)] if len(rows) else rows
            if len(rows) < 2:
                continue
            vectors, images = unit(features.descriptors[rows]), features.image_of(rows)
            votes.append(_compare(features, rows, rows, vectors, images, ratio, mirrored=False))
            others = queries[cell - band[0]]
            others = others[:: -(-len(others) // crowd)] if len(others) else others
            votes.append(_compare(features, others, rows, vectors, images, ratio, mirrored=True))
    if not votes:
        return np.zeros(0, np.int64)
    first, second, mirrored = np.unique(np.concatenate(votes), axis=0).T  # a vote counts once, not from both ends
    total = len(features.starts) - 1
    return (features.image_of(first) * total + features.image_of(second)) * 2 + mirrored


def _members(cells: np.ndarray, band: tuple[int, int]) -> Sequence[np.ndarray]:
    """The features in each cell of a range, by their rows."""
    rows = np.concatenate(
        [
            start + np.flatnonzero((part >= band[0]) & (part < band[1]))
            for start in range(0, len(cells), 1 << 20)
            for part in [cells[start : start + (1 << 20)]]
        ]
    )
    inside = cells[rows]
    rows = rows[np.argsort(inside, kind="stable")]
    return np.split(rows, np.cumsum(np.bincount(inside - band[0], minlength=band[1] - band[0]))[:-1])


def _compare(
    features: Features,
    queries: np.ndarray,
    rows: np.ndarray,
    vectors: np.ndarray,
    images: np.ndarray,
    ratio: float,
    *,
    mirrored: bool,
) -> np.ndarray:
    """The votes [V, 3] int64 (feature, feature, mirrored) of `queries` for `rows`; the smaller feature first."""
    found = [np.zeros((0, 3), np.int64)]
    rank = min(ORDINARY, len(rows) - 1)
    for start in range(0, len(queries), ROWS):
        block = queries[start : start + ROWS]
        own = unit(features.descriptors[block])
        similar = (own[:, MIRROR] if mirrored else own) @ vectors.T
        similar[features.image_of(block)[:, None] == images] = -1
        # 1 - similarity is half the squared distance; an ordinary neighbour is never nearer than the cell's centre
        hopeful = np.flatnonzero(1 - similar.max(axis=1) < ratio * 0.2)
        similar = similar[hopeful]
        ordinary = np.partition(similar, -rank - 1, axis=1)[:, -rank - 1]
        near = 1 - similar < ratio * (1 - ordinary[:, None])
        over = np.flatnonzero(near.sum(axis=1) > NEAREST)
        if len(over):
            kept = np.argpartition(-similar[over], NEAREST - 1, axis=1)[:, :NEAREST]
            near[over] = False
            near[over[:, None], kept] = True
        query, row = np.nonzero(near)
        query, row = block[hopeful[query]], rows[row]
        found.append(np.column_stack([np.minimum(query, row), np.maximum(query, row), np.full(len(row), mirrored)]))
    return np.concatenate(found)
