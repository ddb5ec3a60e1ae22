"""An endless stream of pairs of scenes in rounds, drawn ahead by a process of its own (which needs no torch)."""

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import cv2
import numpy as np

from rffd.foreign import draw_pair
from rffd.memory import keep_freed_memory


class Pairs(NamedTuple):
    """Drawn pairs, a scene before its twin with a foreign piece: `images` [N, 2, S, S, 3] uint8; `masks` [N, M, M]
    uint8, 255 where the piece is; `traits` [N, 2, TRAITS] float32 of the scene and of the piece."""

    images: np.ndarray
    masks: np.ndarray
    traits: np.ndarray


def draw_pairs(seed: int, start: int, count: int, size: int, cells: int) -> Pairs:
    """Pairs `start` to `start + count` of the stream `seed`, `size` pixels and masks of `cells` a side."""
    drawn = [draw_pair(seed, index, size) for index in range(start, start + count)]
    masks = [cv2.resize(p.mask * 255, (cells, cells), interpolation=cv2.INTER_AREA).astype(np.uint8) for p in drawn]
    images, traits = [np.stack([p.whole, p.patched]) for p in drawn], [np.stack([p.own, p.other]) for p in drawn]
    return Pairs(np.stack(images), np.stack(masks), np.stack(traits))


def rounds_of_pairs(seed: int, first: int, rounds: int, count: int, size: int, cells: int) -> Iterator[Pairs]:
    """The `count` pairs of each round from `first` on, two rounds drawn ahead."""
    # spawn: OpenCV and BLAS threads of this process don't survive a fork
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=keep_freed_memory) as pool:
        ahead: list[Future[Pairs]] = []
        for number in range(first, rounds):
            for later in range(number + len(ahead), min(number + 2, rounds)):
                ahead.append(pool.submit(draw_pairs, seed, later * count, count, size, cells))
            yield ahead.pop(0).result()
