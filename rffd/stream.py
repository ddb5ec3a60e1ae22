"""An endless stream of scenes in rounds, drawn ahead by a process of its own (which needs no torch)."""

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import cv2
import numpy as np

from rffd.foreign import draw_scene
from rffd.memory import keep_freed_memory


class Scenes(NamedTuple):
    """Drawn scenes: `images` [N, S, S, 3] uint8; `masks` [N, M, M] uint8, 255 where foreign; `traits` [N, 2, TRAITS]
    float32 of the scene and of the foreign piece."""

    images: np.ndarray
    masks: np.ndarray
    traits: np.ndarray


def draw_scenes(seed: int, start: int, count: int, size: int, cells: int) -> Scenes:
    """Scenes `start` to `start + count` of the stream `seed`, `size` pixels and masks of `cells` a side."""
    drawn = [draw_scene(seed, index, size) for index in range(start, start + count)]
    foreign = [cv2.resize(s.mask * 255, (cells, cells), interpolation=cv2.INTER_AREA).astype(np.uint8) for s in drawn]
    traits = [np.stack([scene.own, scene.other]) for scene in drawn]
    return Scenes(np.stack([scene.pixels for scene in drawn]), np.stack(foreign), np.stack(traits))


def rounds_of_scenes(seed: int, first: int, rounds: int, count: int, size: int, cells: int) -> Iterator[Scenes]:
    """The `count` scenes of each round from `first` on, two rounds drawn ahead."""
    # spawn: OpenCV and BLAS threads of this process don't survive a fork
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=keep_freed_memory) as pool:
        ahead: list[Future] = []
        for number in range(first, rounds):
            for later in range(number + len(ahead), min(number + 2, rounds)):
                ahead.append(pool.submit(draw_scenes, seed, later * count, count, size, cells))
            yield ahead.pop(0).result()
