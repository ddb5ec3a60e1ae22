"""Scenes for pre-training: drawn busts, by formulas of their own.

A scene is a head with hair and shoulders before a backdrop, under one light, as one camera saw it. What holds in it
holds everywhere: where its light comes from, what its skin is like, how sharp it is; and the eyes are a pair. Those are
its traits, numbers from 0 to 1, each uniform; its layout (`rffd/scene_layout.py`) is apart. Lengths on the head
are in halves of the square around a face: -1 to 1 across and down. Pictures are float32 [3, size, size], RGB, 1 is
white. Nothing of the sample's drawing is used (`rffd/portrait.py`).
"""

import math

import cv2
import numpy as np

from rffd.brush import bell, blurred, clip, cloud, lay, power, vector
from rffd.scene_layout import Layout

LIGHT = ("light_x", "light_y", "hard", "sky")  # where it comes from, how hard it is, the colour of its shade
SKIN = ("tone", "hue", "flush", "patchy", "coarse", "fine", "spots", "folds", "shine", "beard")
CAMERA = ("blur", "exposure", "warm", "saturation", "contrast")
EYES = ("iris_hue", "iris_light", "white", "open", "slant", "gaze", "lid", "brow_dark", "brow_thick", "brow_high")
NOSE = ("aside", "nose_wide", "nose_long")
MOUTH = ("lip_red", "lip_full", "mouth_wide", "curve", "apart")
NAMES = (*LIGHT, *SKIN, *CAMERA, *EYES, *NOSE, *MOUTH)
TRAITS = len(NAMES)
DARK, LIGHT_SKIN = np.array([0.26, 0.16, 0.11], np.float32), np.array([0.97, 0.82, 0.73], np.float32)


def draw_head(layout: Layout, traits: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """The scene with these traits, before exposure and noise, [3, size, size]."""
    t = dict(zip(NAMES, traits.tolist(), strict=True))
    aside = 0.12 * (t["aside"] - 0.5)
    colour = _skin(layout, t, rng, size)
    relief = 0.75 * np.sqrt(np.maximum(layout.face, 0.02)) + _features_relief(layout, t, aside)
    _nose_and_mouth(layout, t, colour, aside)
    slope_x = cv2.Sobel(relief, -1, 1, 0, scale=0.125 / layout.pixel)
    slope_y = cv2.Sobel(relief, -1, 0, 1, scale=0.125 / layout.pixel)
    lx, ly, lz = _light(t)
    facing = np.maximum(lz - lx * slope_x - ly * slope_y, 0) / np.sqrt(1 + slope_x**2 + slope_y**2)
    sky = (0.66 - 0.4 * t["hard"]) * (1 + 0.4 * (t["sky"] - 0.5) * np.array([1, 0, -1]))
    shade = np.float32(0.42 + 0.5 * t["hard"]) * facing + vector(sky)
    colour *= shade
    bright = facing**4
    bright *= bright
    colour += np.float32(0.3 * t["shine"]) * bright * bright
    for side in (-1, 1):
        _eye(layout, t, colour, shade, side, lx, ly)
    picture = layout.around + (colour - layout.around) * layout.skin
    # What the camera does: one colour map, then blur
    warm, spread = 0.16 * (t["warm"] - 0.5), 0.7 + 0.5 * t["saturation"]
    gain = (0.8 + 0.4 * t["exposure"]) * (0.75 + 0.5 * t["contrast"]) * np.array([1 + warm, 1, 1 - warm])
    colours = gain[:, None] * (spread * np.eye(3) + (1 - spread) / 3)
    picture = (colours.astype(np.float32) @ picture.reshape(3, -1)).reshape(picture.shape)
    picture += np.float32(0.45 - 0.45 * (0.75 + 0.5 * t["contrast"]))
    return blurred(picture, (0.2 + 0.5 * t["blur"]) * size / 64)


def _light(t: dict[str, float]) -> tuple[float, float, float]:
    across, down = 1.7 * (2 * t["light_x"] - 1), 0.3 - 1.3 * t["light_y"]
    norm = 1 / math.sqrt(across * across + down * down + 0.8)
    return across * norm, down * norm, 0.9 * norm


def _skin(layout: Layout, t: dict[str, float], rng: np.random.Generator, size: int) -> np.ndarray:
    """The skin's colour: lumps at three scales, spots, folds, a beard; [3, size, size]."""
    x, y = layout.x, layout.y
    grain = 0.06 * t["patchy"] * cloud(rng, size, 0.30 / layout.pixel)
    grain += (0.01 + 0.08 * t["coarse"]) * cloud(rng, size, 0.12 / layout.pixel)
    grain += (0.01 + 0.08 * t["fine"]) * rng.standard_normal((size, size), dtype=np.float32)
    spots = cloud(rng, size, max(1.5, 0.07 / layout.pixel))
    grain -= 0.4 * t["spots"] ** 2 * clip(spots - 1.2)
    wave = np.sin(26 * (y + 0.12 * x * x) + 0.5 * cloud(rng, size, size / 4))
    grain -= (0.16 * t["folds"]) * np.maximum(wave, 0) * bell(y, -0.75, 0.25) * bell(x, 0, 0.6)
    for side in (-1, 1):  # from the nose down past the mouth's corners
        fold = side * x - 0.25 - 0.25 * np.maximum(y - 0.2, 0)
        grain -= (0.05 + 0.25 * t["folds"]) * bell(fold, 0, 0.04) * bell(y, 0.42, 0.2)
    tint = np.array([1 + 0.06 * (t["flush"] - 0.5), 0.96 + 0.08 * t["hue"], 0.88 + 0.2 * t["hue"]], np.float32)
    colour = vector((DARK + (LIGHT_SKIN - DARK) * np.float32(t["tone"])) * tint) * (1 + grain)
    stubble = clip((0.5 + 0.3 * cloud(rng, size, 1.5)) * max(0.0, 1.6 * t["beard"] - 0.8))
    where = clip(2.2 * (power(x / 0.75, 2) + power((y - 0.35) / 0.55, 2) - 0.75)) * clip(5 * (y - 0.1))
    lay(colour, layout.hair * 0.5, stubble * where)
    return colour


def _nose(layout: Layout, t: dict[str, float]) -> tuple[float, float]:
    """Its half width and the height of its tip."""
    return 0.10 + 0.09 * t["nose_wide"], layout.nose + 0.12 * (t["nose_long"] - 0.5)


def _features_relief(layout: Layout, t: dict[str, float], aside: float) -> np.ndarray:
    """Hills and hollows of a face: (height, x, half width, y, half height) each."""
    apart, high = layout.eyes
    (wide, tip), lips = _nose(layout, t), layout.mouth
    hills = [(0.11, aside * 0.6, wide * 0.8, tip - 0.3, 0.28), (0.14, aside, wide, tip, 0.12)]
    hills += [
        (0.05, 0.5 * aside, 0.28, lips, 0.14),
        (-0.04, 0.4 * aside, 0.22, lips + 0.2, 0.06),
        (0.08, 0, 0.25, 0.97, 0.15),
    ]
    for side in (-1, 1):
        hills += [(0.07, aside + side * wide * 1.2, 0.08, tip + 0.03, 0.07), (-0.10, side * apart, 0.24, high, 0.15)]
        hills += [(0.05, side * apart, 0.3, high - 0.28, 0.1), (0.09, side * 0.56, 0.26, 0.22, 0.24)]
    relief = np.zeros_like(layout.x)
    for height, px, half, py, tall in hills:
        relief += np.float32(height) * bell(layout.x, px, half) * bell(layout.y, py, tall)
    return relief


def _nose_and_mouth(layout: Layout, t: dict[str, float], colour: np.ndarray, aside: float) -> None:
    soft = 0.8 / layout.pixel
    wide, tip = _nose(layout, t)
    for side in (-1, 1):
        colour *= 1 - 0.7 * bell(layout.x, aside + side * wide * 0.7, 0.05) * bell(layout.y, tip + 0.10, 0.035)
    half = 0.26 + 0.14 * t["mouth_wide"]
    u = (layout.x - 0.5 * aside) / half
    v = layout.y - layout.mouth + (0.16 * t["curve"] - 0.05) * (u * u - 0.3)
    arc = np.maximum(1 - u * u, 0)
    full, gap = 0.05 + 0.07 * t["lip_full"], 0.14 * max(0.0, t["apart"] - 0.5)
    lips = clip((full * np.sqrt(arc) + gap * arc - np.abs(v)) * soft + 0.5) * (arc > 0)
    red = t["lip_red"]
    colour *= 1 - lips * vector(np.array([0.04 + 0.1 * red, 0.2 + 0.3 * red, 0.2 + 0.22 * red]))
    if gap > 0.01:
        lay(colour, [0.85, 0.82, 0.78], clip((gap * arc - np.abs(v)) * soft + 0.3) * (np.abs(u) < 0.9))
    edge = np.abs(np.abs(v) - gap * arc)
    colour *= 1 - 0.6 * clip(1 - edge * soft * 0.8) * clip((1.05 - np.abs(u)) * 8)


def _eye(
    layout: Layout, t: dict[str, float], colour: np.ndarray, shade: np.ndarray, side: int, lx: float, ly: float
) -> None:
    """An eye between two circles' arcs, with its brow; `side` is -1 at the picture's left."""
    apart, high = layout.eyes
    rows, columns = _window(layout, side * apart, high - 0.1, 0.45)
    if rows.stop - rows.start < 2 or columns.stop - columns.start < 2:
        return
    view, half = colour[:, rows, columns], 0.205
    u, v = (layout.x[rows, columns] - side * apart) * side / half, (layout.y[rows, columns] - high) / half
    soft = 0.8 * half / layout.pixel
    line = v + 1.15 + 0.35 * (t["brow_high"] - 0.5) - 0.14 * (1 - (u - 0.2) ** 2)
    thick = (0.07 + 0.16 * t["brow_thick"]) * np.maximum(1.1 - 0.3 * u, 0)
    brow = clip((thick - np.abs(line)) * soft + 0.5) * clip((1.35 - np.abs(u)) * soft)
    lay(view, layout.hair * 0.55, (0.35 + 0.5 * t["brow_dark"]) * brow)
    v = v - 0.3 * (t["slant"] - 0.5) * u
    lid = 0.28 + 0.32 * t["open"]  # half the opening's height; circles through the corners give the arcs
    radius = (1 + lid * lid) / (2 * lid)
    upper = radius - np.sqrt(u * u + (v - (radius - lid)) ** 2)
    lower = radius - np.sqrt(u * u + (v + (radius - lid) * 1.1) ** 2)
    inside = clip(np.minimum(upper, lower + 0.1 * lid) * soft + 0.5)
    view *= 1 - 0.4 * bell(upper, -0.3, 0.12) * (v < 0)
    light = shade[:, rows, columns]
    ball = vector(np.array([0.93, 0.9, 0.88]) * (0.6 + 0.4 * t["white"])) * (0.5 + 0.5 * light)
    away = np.sqrt((u - 0.7 * side * (t["gaze"] - 0.5)) ** 2 + (v + 0.05) ** 2)
    iris = vector(_hue(t["iris_hue"]) * (0.15 + 0.55 * t["iris_light"]))
    ball += (iris * (0.7 + away) - ball) * clip((0.44 - away) * soft + 0.5)
    ball *= 1 - 0.93 * clip((0.19 - away) * soft + 0.5)
    gleam = bell(u * side - 0.7 * (t["gaze"] - 0.5), 0.3 * lx, 0.13) * bell(v, 0.3 * ly - 0.05, 0.13)
    ball += 0.8 * gleam
    view += (ball - view) * inside
    view *= 1 - (0.5 + 0.45 * t["lid"]) * clip(1 - np.abs(upper) * soft / (0.6 + 0.8 * t["lid"])) * (v < 0.2) * (
        np.abs(u) < 1.1
    )


def _window(layout: Layout, x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Rows and columns of the pixels within `reach` of a place on the head (its turn is small)."""
    size = len(layout.x)
    middle = size // 2
    slope = (layout.x[-1, middle] - layout.x[0, middle]) / ((size - 1) * layout.pixel)
    column, row = (x - layout.x[middle, middle]) / layout.pixel, (y - layout.y[middle, middle]) / layout.pixel
    column, row = middle + column - slope * row, middle + row + slope * column
    half = reach / layout.pixel
    rows = slice(max(0, int(row - half)), max(0, min(size, int(row + half + 2))))
    return rows, slice(max(0, int(column - half)), max(0, min(size, int(column + half + 2))))


def _hue(angle: float) -> np.ndarray:
    """From brown over green to blue."""
    return np.array([1.0 - 0.6 * angle, 0.62 + 0.3 * angle, 0.35 + 0.75 * angle])


def expose(picture: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """Light that falls unevenly, sharpening or flattening at some scale, whites that fade, sensor noise; 0 to 1."""
    light = rng.standard_normal((3, 3), dtype=np.float32)
    uneven = 0.06 * cv2.resize(light, (size, size), interpolation=cv2.INTER_CUBIC)
    picture = picture * (1 + uneven) + vector(rng.normal(0, 0.02, 3)) * uneven
    for reach in (0.6, 2.4):
        low = blurred(picture, reach * size / 64)
        picture = low + np.float32(max(0.3, 1 + rng.normal(0, 0.3))) * (picture - low)
    over = np.maximum(picture - 0.7, 0)
    picture -= over * over / (over + np.float32(0.3))  # bright parts fade, up to 1
    picture += np.float32(0.015 * rng.random()) * rng.standard_normal(picture.shape, dtype=np.float32)
    return clip(picture)
