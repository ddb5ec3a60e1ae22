"""Abstract scenes for pre-training, by formulas of their own.

A scene is a body of mirrored parts (rings, strokes, lenses, humps) under one light, before a backdrop, as one camera
saw it. What holds in it holds everywhere: where its light comes from, its colours, its grain, its sharpness, the
style of each kind of part, and each part has its twin. Those are its traits, numbers from 0 to 1; its layout (pose,
outline, places) is apart. Pictures are float32 [3, size, size], RGB, 1 is white.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

KINDS = 4  # kinds of parts: rings, strokes, lenses, humps
STYLE = 4  # traits of each kind: hue, lightness, size, and one of its own
LIGHT = ("light_x", "light_y", "hard", "sky")  # where it comes from, how hard it is, the colour of its shade
SURFACE = ("red", "green", "blue", "patchy", "coarse", "fine", "lines", "shine")
CAMERA = ("blur", "exposure", "warm", "saturation", "contrast", "noise")
TRAITS = len(LIGHT) + len(SURFACE) + len(CAMERA) + KINDS * STYLE


@dataclass(frozen=True)
class Layout:
    """What a foreign piece shares with its scene: places and shapes.

    `x`, `y` [size, size] are the body's coordinates, -1 to 1; `pixel` is a pixel's size in them; `inside` is 1 in the
    middle, 0 at the rim; `parts` are (kind, x, y, reach, turn, own number).
    """

    x: np.ndarray
    y: np.ndarray
    pixel: float
    inside: np.ndarray
    parts: list[tuple[int, float, float, float, float, float]]
    backdrop: np.ndarray


def draw_layout(rng: np.random.Generator, size: int, masks: float = 0.0) -> Layout:
    """Pose of the body, its outline, its parts and the backdrop; a share of `masks` has its parts in one order."""
    ordered = masks > 0 and rng.random() < masks
    turn, scale = rng.normal(0, 0.05 if ordered else 0.08), rng.uniform(0.7, 0.95 if ordered else 1.15)
    steps = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * (2 / size)
    cx, cy = rng.normal(0, 0.08, 2).astype(np.float32)
    across, down = steps[None] - cx, steps[:, None] - cy
    cos, sin = np.float32(np.cos(turn) / scale), np.float32(np.sin(turn) / scale)
    parts = _in_order(rng) if ordered else []
    for _ in range(0 if ordered else rng.integers(3, 8)):
        kind, reach, angle = int(rng.integers(KINDS)), rng.uniform(0.14, 0.36), rng.uniform(-0.7, 0.7)
        y = rng.uniform(-0.75, 0.75)
        number = rng.random()
        if rng.random() < 0.65:
            x = rng.uniform(0.2, 0.62)
            parts += [(kind, -x, y, reach, -angle, number), (kind, x, y, reach, angle, number)]
        else:
            parts.append((kind, 0.0, y, reach * 1.3, 0.0, number))
    hue, lumps = rng.uniform(0.1, 0.9, 3).astype(np.float32), rng.uniform(2, 12)
    backdrop = hue[:, None, None] + vector(rng.normal(0, 0.12, 3)) * _cloud(rng, size, size / lumps)
    if rng.random() < 0.5:
        edge = clip(4 * _cloud(rng, size, size / 4) + rng.normal(0, 2))
        _lay(backdrop, rng.uniform(0.1, 0.9, 3), edge)
    x, y = across * cos + down * sin, down * cos - across * sin
    exponent, wide = rng.uniform(1.7, 3.2), rng.uniform(0.65, 0.95)
    inside = 1 - power(x / wide, exponent) - power(y, exponent)
    return Layout(x, y, 2 / size / scale, inside, parts, backdrop)


def _in_order(rng: np.random.Generator) -> list[tuple[int, float, float, float, float, float]]:
    """The parts of a mask: from its top a pair of strokes, a pair of rings or lenses, a hump, a lens or a stroke."""
    x, y, number = rng.uniform(0.24, 0.38), rng.uniform(-0.3, -0.1), rng.random(4)
    eyes, reach, up = int(rng.choice([0, 2, 2])), rng.uniform(0.17, 0.25), rng.uniform(0.16, 0.28)
    tilt = rng.normal(0, 0.15, 2)
    parts = [(1, side * x, y - up, reach * 1.2, side * tilt[0], number[0]) for side in (-1, 1)]
    for side in (-1, 1):
        parts.append((eyes, side * x, y, reach, side * tilt[1], number[1]))
        if eyes == 2:  # with a ring in it
            parts.append((0, side * x, y, reach * 0.5, 0.0, 0.0))
    parts.append((3, 0.0, rng.uniform(0.0, 0.2), rng.uniform(0.25, 0.4), 0.0, number[2]))
    lower = (int(rng.choice([1, 2])), 0.0, rng.uniform(0.38, 0.62), rng.uniform(0.25, 0.42), 0.0, number[3])
    return [*parts, lower]


def draw_body(layout: Layout, traits: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """The scene with these traits, before exposure and noise, [3, size, size]."""
    names = (*LIGHT, *SURFACE, *CAMERA)
    t = dict(zip(names, traits[: len(names)].tolist(), strict=True))
    style = traits[len(names) :].reshape(KINDS, STYLE).tolist()
    x, y = layout.x, layout.y
    relief = 0.9 * np.sqrt(np.maximum(layout.inside, 0.02))
    rough = (0.02 + 0.12 * t["patchy"]) * _cloud(rng, size, size / 5)
    rough += (0.01 + 0.10 * t["coarse"]) * _cloud(rng, size, size / 14)
    rough += 0.09 * t["fine"] * rng.standard_normal((size, size), dtype=np.float32)
    if t["lines"] > 0.5:
        wave = np.sin((14 + 30 * t["coarse"]) * (y + 0.3 * x * x))
        rough += 0.3 * (t["lines"] - 0.5) * wave
    colour = vector(np.array([t["red"], t["green"], t["blue"]]) * 0.55 + 0.25) * (1 + rough)
    for kind, px, py, reach, turn, number in layout.parts:
        rows, columns = _window(layout, px, py, reach * 1.5)
        if rows.stop - rows.start < 2 or columns.stop - columns.start < 2:
            continue
        u, v = x[rows, columns] - px, y[rows, columns] - py
        cos, sin = np.cos(turn), np.sin(turn)
        u, v = (u * cos + v * sin) / reach, (v * cos - u * sin) / reach
        PAINTERS[kind](colour[:, rows, columns], relief[rows, columns], u, v, layout.pixel / reach, style[kind], number)
    slope_x = cv2.Sobel(relief, -1, 1, 0, scale=size / 26)
    slope_y = cv2.Sobel(relief, -1, 0, 1, scale=size / 26)
    lx, ly = 1.6 * (2 * t["light_x"] - 1), 0.4 - 1.5 * t["light_y"]
    norm = 1 / np.sqrt(lx * lx + ly * ly + 0.8)
    facing = np.maximum(0.9 * norm - lx * norm * slope_x - ly * norm * slope_y, 0)
    facing /= np.sqrt(1 + slope_x**2 + slope_y**2)
    sky = (0.7 - 0.45 * t["hard"]) * (1 + 0.3 * (t["sky"] - 0.5) * np.array([1, 0, -1]))
    colour *= np.float32(0.45 + 0.55 * t["hard"]) * facing + vector(sky)
    bright = facing * facing
    bright *= bright
    bright *= bright
    colour += np.float32(0.3 * t["shine"]) * bright * bright
    edge = clip(layout.inside * (0.25 / layout.pixel))
    colour -= layout.backdrop
    picture = layout.backdrop + colour * edge
    # What the camera does: one colour map, then blur
    warm, spread = 0.16 * (t["warm"] - 0.5), 0.7 + 0.5 * t["saturation"]
    gain = (0.8 + 0.4 * t["exposure"]) * (0.75 + 0.5 * t["contrast"]) * np.array([1 + warm, 1, 1 - warm])
    colours = gain[:, None] * (spread * np.eye(3) + (1 - spread) / 3)
    picture = (colours.astype(np.float32) @ picture.reshape(3, -1)).reshape(picture.shape)
    picture += np.float32(0.45 - 0.45 * (0.75 + 0.5 * t["contrast"]))
    return blurred(picture, (0.25 + 0.75 * t["blur"]) * size / 64)


def _window(layout: Layout, x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Rows and columns of the pixels within `reach` of a place on the body (its turn is small)."""
    size = len(layout.x)
    middle = size // 2
    column = middle + (x - layout.x[middle, middle]) / layout.pixel
    row = middle + (y - layout.y[middle, middle]) / layout.pixel
    # the body is turned by a few degrees: follow its axes
    slope = (layout.x[-1, middle] - layout.x[0, middle]) / (size * layout.pixel)
    column, row = column - slope * (row - middle), row + slope * (column - middle)
    half = reach / layout.pixel
    rows = slice(max(0, int(row - half)), max(0, min(size, int(row + half + 2))))
    return rows, slice(max(0, int(column - half)), max(0, min(size, int(column + half + 2))))


def _hue(style: list[float], light: float) -> list[float]:
    angle = 6.2832 * style[0]
    return [light * (1 + 0.45 * math.cos(angle - shift)) for shift in (0, 2.094, 4.189)]


def _lay(view: np.ndarray, colour: Sequence[float] | np.ndarray, alpha: np.ndarray) -> None:
    """Cover `view` [3, h, w] by `colour` where `alpha` [h, w] is 1, in place."""
    for plane, value in zip(view, colour, strict=True):
        plane += (np.float32(value) - plane) * alpha


def _ring(view, relief, u, v, pixel, style, number) -> None:
    """Discs in one another."""
    away, soft = np.sqrt(u * u + (v * (1 + number)) ** 2), 0.6 / pixel
    outer = 0.55 + 0.4 * style[2]
    _lay(view, _hue([style[0] + 0.5], 0.25 + 0.7 * style[1]), clip((outer - away) * soft + 0.5))
    _lay(view, _hue(style, 0.15 + 0.5 * (1 - style[1])), clip((outer * (0.35 + 0.4 * style[3]) - away) * soft + 0.5))
    if number > 0.4:
        _lay(view, [0.05] * 3, clip((0.18 - away) * soft + 0.5))
    relief += 0.06 * (number - 0.5) * np.exp(-3 * away * away)


def _stroke(view, relief, u, v, pixel, style, number) -> None:
    """A bent line, thick or thin."""
    bent = v - 0.9 * (number - 0.5) * (u * u - 0.3)
    thick = (0.06 + 0.22 * style[2]) * np.maximum(1 - (0.3 + 0.5 * style[3]) * (u * u) ** 2, 0)
    ends = clip((1 - np.abs(u)) * 0.6 / pixel)
    _lay(view, _hue(style, 0.08 + 0.6 * style[1]), 0.85 * clip((thick - np.abs(bent)) * 0.6 / pixel + 0.5) * ends)


def _lens(view, relief, u, v, pixel, style, number) -> None:
    """A lens with a dark slit."""
    arc = np.maximum(1 - u * u, 0)
    full = (0.16 + 0.4 * style[2]) * np.sqrt(arc)
    v = v - 0.5 * (number - 0.5) * u * u
    soft = 0.6 / pixel
    _lay(view, _hue(style, 0.25 + 0.55 * style[1]), 0.85 * clip((full - np.abs(v)) * soft + 0.5))
    slit = (0.02 + 0.14 * style[3]) * arc
    _lay(view, [0.56 if number > 0.6 else 0.06] * 3, 0.8 * clip((slit - np.abs(v)) * soft + 0.4) * (arc > 0))


def _hump(view, relief, u, v, pixel, style, number) -> None:
    """A rise or a hollow that shows by its shade, with a spot on it."""
    away = u * u / (0.3 + 0.4 * number) ** 2 + v * v / (0.35 + 0.5 * style[2]) ** 2
    bell = np.exp(-away)
    relief += 0.30 * (style[3] - 0.4) * bell
    _lay(view, _hue(style, 0.2 + 0.6 * style[1]), 0.5 * clip(bell - 0.3))


PAINTERS: list[Callable[..., None]] = [_ring, _stroke, _lens, _hump]


def expose(picture: np.ndarray, traits: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """Light that falls unevenly, whites that fade, sensor noise; 0 to 1."""
    light = rng.standard_normal((3, 3), dtype=np.float32)
    tint = rng.normal(0, 0.02, 3)
    uneven = 0.05 * cv2.resize(light, (size, size), interpolation=cv2.INTER_CUBIC)
    picture = picture * (1 + uneven) + vector(tint) * uneven
    over = np.maximum(picture - 0.7, 0)
    picture -= over * over / (over + np.float32(0.3))  # bright parts fade, up to 1
    noise = 0.025 * traits[len(LIGHT) + len(SURFACE) + CAMERA.index("noise")] * rng.random()
    picture += np.float32(noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    return clip(picture)


def clip(values: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(values, np.float32(0)), np.float32(1))


def vector(values: np.ndarray) -> np.ndarray:
    """Three numbers for three planes, float32 [3, 1, 1]."""
    return np.asarray(values, np.float32)[:, None, None]


def power(values: np.ndarray, exponent: float) -> np.ndarray:
    """|values| to a power, by the fast functions."""
    return np.exp(np.float32(exponent) * np.log(np.abs(values) + np.float32(1e-6)))


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in picture])


def _cloud(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    """Smooth noise of deviation about 1; `grain` pixels from lump to lump."""
    cells = max(2, round(size / grain))
    return cv2.resize(
        rng.standard_normal((cells, cells), dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )
