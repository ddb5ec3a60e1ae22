"""What a scene's forgery leaves as it is: the head's pose and outline, hair, shoulders and backdrop."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from rffd.brush import blurred, clip, cloud, lay, power, vector


@dataclass(frozen=True)
class Layout:
    """What a foreign piece shares with its scene: places and all that isn't face.

    `x`, `y` [size, size] are the head's coordinates, `pixel` is a pixel's size in them; `face` is how far inside the
    face's outline a pixel lies, 0 at the rim; `skin` is 1 where the face shows, `around` [3, size, size] what is seen
    elsewhere; `eyes` is half their distance and their height, `nose` and `mouth` are heights; `hair` is its colour.
    """

    x: np.ndarray
    y: np.ndarray
    pixel: float
    face: np.ndarray
    skin: np.ndarray
    around: np.ndarray
    eyes: tuple[float, float]
    nose: float
    mouth: float
    hair: np.ndarray


def draw_layout(rng: np.random.Generator, size: int) -> Layout:
    """A pose, an outline, hair, shoulders and a backdrop."""
    turn, half = rng.normal(0, 0.07), size * rng.uniform(0.26, 0.40)
    centre = size * np.array([0.5, 0.56]) + size * rng.normal(0, 0.045, 2)
    steps = np.arange(size, dtype=np.float32) + 0.5
    across, down = (steps[None] - np.float32(centre[0])) / half, (steps[:, None] - np.float32(centre[1])) / half
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    x, y, pixel = across * cos + down * sin, down * cos - across * sin, 1 / half
    exponent, wide, tall, taper = rng.uniform([1.9, 0.8, 1.2, 0], [2.6, 0.98, 1.4, 0.3]).tolist()
    narrow = np.float32(wide) * (1 - np.float32(taper) * np.minimum(np.maximum(y, 0), 1.5))
    face = 1 - power(x / narrow, exponent) - power((y + 0.15) / tall, exponent)
    # From back to front: backdrop, hair behind, shoulders, neck; then the hair that falls over the face.
    backdrop = vector(rng.uniform(0.1, 0.9, 3)) + vector(rng.normal(0, 0.1, 3)) * cloud(
        rng, size, size / rng.uniform(2, 10)
    )
    if rng.random() < 0.5:
        lay(backdrop, rng.uniform(0.1, 0.9, 3), clip(3 * cloud(rng, size, size / 4) + rng.normal(0, 2)))
    backdrop = blurred(backdrop, size * rng.uniform(0.01, 0.05))
    hue = rng.uniform(0.03, 0.75) * np.array([1.0, rng.uniform(0.55, 0.95), rng.uniform(0.3, 0.9)])
    strands = cv2.resize(
        rng.standard_normal((5, size // 2), dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )
    locks = vector(hue) * (1 + np.float32(rng.uniform(0.1, 0.45)) * strands) * (1 - 0.25 * x * rng.normal(0, 1))
    crown, length = rng.uniform(0.1, 0.5), rng.uniform(-0.6, 1.8)
    cap = 1 - power(x / (wide + 0.6 * crown), 2.2) - power((y + 0.25) / (tall + crown), 2.2)
    soft = 0.6 / pixel
    lay(backdrop, locks * 0.8, clip(cap * soft * 0.5 + 0.5) * clip((length - y) * soft + 0.5))
    cloth = vector(rng.uniform(0.05, 0.9, 3)) * (1 + 0.1 * cloud(rng, size, 4))
    lay(backdrop, cloth, clip((y - 1.25 - 0.25 * x * x) * soft))
    fringe = -rng.uniform(0.5, 0.95) + rng.uniform(-0.2, 0.2) * np.cos(3 * (x - rng.normal(0, 0.5))) + 0.04 * strands
    temple = wide * rng.uniform(0.82, 1.05)
    sides = np.minimum(np.abs(x) - temple + 0.02 * strands, min(length, 0.9) - y)
    over = np.maximum(fringe - y, sides)
    skin = clip(face * soft * 0.5 + 0.5) * (1 - clip(over * soft + 0.5))
    neck = clip((rng.uniform(0.45, 0.65) - np.abs(x)) * soft) * (y > 0.6) * clip((1.35 - y) * soft)
    around = backdrop + (locks - backdrop) * clip(over * soft + 0.5) * clip(cap * soft * 0.5 + 0.5)
    eyes = (rng.uniform(0.37, 0.46), rng.uniform(-0.27, -0.13))
    return Layout(
        x, y, pixel, face, np.maximum(skin, neck), around, eyes, rng.uniform(0.1, 0.25), rng.uniform(0.55, 0.7), hue
    )
