"""Which pairs of images are worth a close look, without looking at all pairs.

Features are sorted into cells of similar ones (k-means), about as many cells as features in each. Inside a
cell each feature votes for those of other images that are much nearer to it than the cell's ordinary ones.
A shared region needs only a few features to be found, and they needn't lie in one cell.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from rffd.features import MIRROR, PART, Features, one_thread, unit
from rffd.parallel import spread

SAMPLES = 24  # features a cell is learned from
ROUNDS = 6  # of k-means; more move the cells, not the pairs found
BLOCK = 16_384  # features assigned to cells at a time
BAND = 60_000  # features in the cells of one task
ROWS = 1_024  # features compared with their cell at a time, fewer in a large cell
SIMILAR = 8 * ROWS * ROWS  # similarities worked out at a time at most, 32 MiB
ORDINARY = 24  # this rank among a feature's neighbours is taken for an ordinary one: larger than most groups
NEAREST = 8  # a feature votes for at most so many others, which keeps the votes linear in the features
CELLS, VOTES = "cells", "votes"  # files with each feature's two cells, [D, 2] uint16, and each vote's pair, int64
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
    sizes = np.zeros(len(centres), np.int64)
    assign = partial(_assign, features, centres)
    with (features.folder / CELLS).open("wb") as file:
        blocks = range(0, len(features), BLOCK)
        for block in spread(assign, blocks, "sorting features", workers=workers, chunk=1):
            file.write(block.tobytes())
            sizes += np.bincount(block[:, 0], minlength=len(centres))
    crowd = max(ROWS, round(CROWD * len(features) / len(centres)))
    bands = list(_bands(sizes))
    vote = partial(_vote, features, crowd, ratio)
    with (features.folder / VOTES).open("wb") as file:
        for found in spread(vote, bands, "comparing features", workers=workers, chunk=1):
            file.write(found.tobytes())
    pairs = np.fromfile(features.folder / VOTES, np.int64)
    pairs.sort()
    last = pairs[votes - 1 :]
    many = np.unique(last[last == pairs[: len(last)]])
    counts = np.searchsorted(pairs, many, "right") - np.searchsorted(pairs, many, "left")
    total = len(features.starts) - 1
    for code, count in zip(many.tolist(), counts.tolist(), strict=True):
        yield *divmod(code // 2, total), bool(code % 2), count


def _centres(features: Features) -> np.ndarray:
    """Unit vectors [C, 128] that the cells lie around, learned from an even sample of the features."""
    count = int(np.clip(round(np.sqrt(len(features))), 1, 2**16 - 1))
    rows = np.unique(np.linspace(0, len(features) - 1, min(len(features), SAMPLES * count)).astype(np.int64))
    rows = np.random.default_rng(0).permutation(rows)
    sample = unit(features.gather(rows))
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
    vectors = unit(features.descriptors(start, start + BLOCK))
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
    """The votes of a range of cells, for each that of a pair of images: 2 * (a * N + b) + mirrored."""
    votes = [np.zeros(0, np.int64)]
    members, queries = (_members(features, column, band, crowd) for column in (0, 1))
    with one_thread():
        for (rows, own), (others, theirs) in zip(members, queries, strict=True):
            if len(rows) < 2:
                continue
            vectors, images = unit(own), features.image_of(rows)
            votes.append(_compare(features, rows, own, rows, vectors, images, ratio, mirrored=False))
            votes.append(_compare(features, others, theirs, rows, vectors, images, ratio, mirrored=True))
    once = np.unique(np.concatenate(votes))  # a vote counts once, not from both ends
    first, second = (features.image_of(rows) for rows in np.divmod(once // 2, len(features)))
    return (first * (len(features.starts) - 1) + second) * 2 + once % 2


def _members(
    features: Features, column: int, band: tuple[int, int], crowd: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows and descriptors of the features in each cell of a range; a cell of more than `crowd` is thinned."""
    found = []
    for start in range(0, len(features), PART):
        cells = np.fromfile(features.folder / CELLS, np.uint16, 2 * PART, offset=4 * start)[column::2]
        rows = np.flatnonzero((cells >= band[0]) & (cells < band[1]))
        found.append((start + rows, cells[rows] - band[0]))
    rows, inside = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rows = rows[np.argsort(inside, kind="stable")]
    members = np.split(rows, np.cumsum(np.bincount(inside, minlength=band[1] - band[0]))[:-1])
    members = [rows[:: max(1, -(-len(rows) // crowd))] for rows in members]
    descriptors = features.gather(np.concatenate(members))
    return zip(members, np.split(descriptors, np.cumsum([len(rows) for rows in members])[:-1]), strict=True)


def _compare(
    features: Features,
    queries: np.ndarray,
    descriptors: np.ndarray,
    rows: np.ndarray,
    vectors: np.ndarray,
    images: np.ndarray,
    ratio: float,
    *,
    mirrored: bool,
) -> np.ndarray:
    """The votes of `queries` for `rows`, each 2 * (a * D + b) + mirrored of two features a <= b of D.

    `descriptors` are the queries', `vectors` and `images` those of `rows`.
    """
    found = [np.zeros(0, np.int64)]
    rank = min(ORDINARY, len(rows) - 1)
    step = max(1, min(ROWS, SIMILAR // len(rows)))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        own = unit(descriptors[start : start + step])
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
        found.append(2 * (np.minimum(query, row) * len(features) + np.maximum(query, row)) + mirrored)
    return np.concatenate(found)
