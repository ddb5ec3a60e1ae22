"""Drawing a portrait: a face of simple shapes under one light, with hair, clothes and a background.

A portrait is its traits, numbers from 0 to 1 that say who is seen and how the photograph was taken, and a seed for
what has no name. Faces stand upright on a canvas wider than the photograph. Lengths are shares of the face box, the
square that a face detector draws. Pictures are float32 [3, height, width], RGB; 1 is white, for the caller to clip.
"""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

# What differs between two people or two photographs, and so betrays a region taken from another portrait ...
OWN = (
    "tone undertone rough age freckles gloss iris iris_light glint white opening slant lash brow brow_height "
    "nose_width nose_length lip_red lip_full mouth_width smile parted gaze yaw stubble light_x light_y hardness fill "
    "exposure warmth contrast saturation blur"
)
# ... and what a forger keeps: the pose, and all that lies outside of the regions.
KEPT = "jaw hair volume length hairline parting backdrop backdrop_hue busy focus clothes clothes_hue"

CANVAS = 1.36  # canvas over photograph
FACE = 0.70  # face box over photograph
HEAD = (-0.06, 1.06, -0.19, 1.12)  # left, right, top, bottom of the drawn face, in box coordinates

Traits = dict[str, float]
_clip = partial(np.clip, a_min=0, a_max=1)
SKIN = [[0.29, 0.18, 0.13], [0.50, 0.33, 0.24], [0.72, 0.53, 0.42], [0.86, 0.69, 0.59], [0.95, 0.81, 0.73]]
IRIS = [[0.16, 0.09, 0.05], [0.30, 0.18, 0.08], [0.36, 0.38, 0.18], [0.30, 0.45, 0.40], [0.33, 0.50, 0.70]]
HAIR = [[0.05, 0.04, 0.04], [0.17, 0.10, 0.06], [0.38, 0.20, 0.09], [0.70, 0.52, 0.27], [0.66, 0.65, 0.64]]
THINGS = [[0.45, 0.50, 0.55], [0.70, 0.66, 0.60], [0.35, 0.45, 0.35], [0.55, 0.42, 0.36], [0.30, 0.36, 0.50]]


@dataclass(frozen=True)
class Grid:
    """Box coordinates of pixels, float32: `x` [1, width], `y` [height, 1]; the box is `unit` pixels wide."""

    x: np.ndarray
    y: np.ndarray
    unit: float

    @classmethod
    def canvas(cls, size: int) -> "Grid":
        """The canvas for photographs of `size` pixels a side; the box sits where the dataset's faces do."""
        unit, pixels = FACE * size, np.arange(round(CANVAS * size), dtype=np.float32) - CANVAS * size / 2
        return cls((pixels / unit + 0.5)[None], ((pixels - 0.07 * size) / unit + 0.5)[:, None], unit)

    def part(self, left: float, right: float, top: float, bottom: float) -> tuple[tuple[slice, slice], "Grid"]:
        """The rows and columns within these bounds, and their own grid."""
        rows = slice(*np.searchsorted(self.y[:, 0], [top, bottom]).tolist())
        columns = slice(*np.searchsorted(self.x[0], [left, right]).tolist())
        return (rows, columns), Grid(self.x[:, columns], self.y[rows], self.unit)


def draw_traits(rng: np.random.Generator) -> Traits:
    """The traits of somebody, photographed somehow: each uniform from 0 to 1."""
    return {name: rng.random() for name in [*OWN.split(), *KEPT.split()]}


def draw_portrait(t: Traits, seed: int, size: int, *, head_only: bool = False) -> np.ndarray:
    """Draw somebody on the canvas for photographs of `size`; or the part `HEAD` of it, skin and features alone."""
    rng, grid = np.random.default_rng(seed), Grid.canvas(size)
    where, head = grid.part(*HEAD)
    picture = _face(t, head, rng)
    picture = picture if head_only else _surroundings(t, grid, rng, where, picture)
    # What the camera does: blur, exposure, white balance, saturation, contrast.
    blur, warm = (0.25 + 0.55 * t["blur"]) * size / 160, 0.08 * (2 * t["warmth"] - 1)
    gains = [(0.80 + 0.36 * t["exposure"]) * gain for gain in (1 + warm, 1.0, 1 - warm)]
    picture = np.stack([cv2.GaussianBlur(p * gain, (0, 0), blur) for p, gain in zip(picture, gains, strict=True)])
    picture += (picture.mean(0) - picture) * (0.25 - 0.45 * t["saturation"])
    return np.maximum((picture - 0.45) * (0.85 + 0.3 * t["contrast"]) + 0.45, 0.0)


def _mix(table: list[list[float]], at: float, *gains: float) -> np.ndarray:
    """The colour at `at` (0 to 1) along the rows of `table`, times `gains`: float32 [3, 1, 1]."""
    mixed = [np.interp(at * (len(table) - 1), range(len(table)), column) for column in zip(*table, strict=True)]
    return (np.array(mixed, np.float32) * np.array(gains or 1, np.float32))[:, None, None]


def _lay(picture: np.ndarray, colour: np.ndarray | float, alpha: np.ndarray) -> None:
    """Cover `picture` by `colour` where `alpha` is 1, in place."""
    picture += (colour - picture) * alpha


def _cloud(rng: np.random.Generator, shape: tuple[int, ...], grain: float) -> np.ndarray:
    """Smooth noise of mean 0 and deviation of about 1; `grain` pixels from lump to lump."""
    cells = [max(2, round(side / grain)) for side in shape]
    return cv2.resize(rng.standard_normal(cells, dtype=np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)


def _bell(x: np.ndarray, centre: float | np.ndarray, width: float | np.ndarray) -> np.ndarray:
    return np.exp(-(((x - centre) / width) ** 2))


def _face(t: Traits, g: Grid, rng: np.random.Generator) -> np.ndarray:
    """Skin with the features on it, lit."""
    x, y, unit, age, yaw = g.x, g.y, g.unit, t["age"], 2 * t["yaw"] - 1
    shape, nose, mouth, eyes = (len(y), x.shape[1]), 0.5 + 0.06 * yaw, 0.5 + 0.035 * yaw, 0.5 + 0.02 * yaw
    nose_y, wing = 0.585 + 0.03 * t["nose_length"], 0.055 + 0.03 * t["nose_width"]
    # The relief as a sum of bells: height, x and half width, y and half height.
    bells = [(0.06, nose, wing * 0.7, nose_y - 0.13, 0.13), (0.075, nose, wing * 0.9, nose_y, 0.055)]
    bells += [(0.035, mouth, 0.13, 0.80, 0.07), (-0.02, mouth, 0.10, 0.895, 0.025), (0.05, mouth, 0.11, 0.98, 0.07)]
    for sign in (-1, 1):
        bells += [(-0.05, eyes + sign * 0.2, 0.12, 0.39, 0.07), (0.022, eyes + sign * 0.2, 0.15, 0.28, 0.05)]
        bells += [
            (0.03, nose + sign * wing, 0.035, nose_y + 0.015, 0.032),
            (0.055, eyes + sign * 0.27, 0.13, 0.6, 0.12),
        ]
    high, bx, wx, by, wy = (np.array(column, np.float32)[:, None] for column in zip(*bells, strict=True))
    relief = (_bell(y.T, by, wy) * high).T @ _bell(x, bx, wx)
    skull = 1 - ((x - eyes) / (0.5 + 0.04 * t["jaw"])) ** 2 - ((y - 0.46) / 0.70) ** 2
    creases = _creases(t, g, nose, nose_y, mouth, eyes)
    relief += 0.42 * np.sqrt(np.maximum(skull, 0.02)) - 0.012 * creases
    slope_x, slope_y = (cv2.Sobel(relief, -1, dx, 1 - dx, scale=unit / 8) for dx in (1, 0))
    light = np.array([1.5 * (2 * t["light_x"] - 1), -0.15 - 0.75 * t["light_y"], 0.9])
    light_x, light_y, light_z = (light / np.sqrt((light**2).sum())).tolist()
    facing = np.maximum(light_z - light_x * slope_x - light_y * slope_y, 0) / np.sqrt(1 + slope_x**2 + slope_y**2)
    ambient = (0.62 - 0.34 * t["hardness"]) * _mix([[0.85, 1, 1.15], [1.15, 1, 0.85]], t["fill"])
    shade = (ambient + (0.5 + 0.34 * t["hardness"]) * facing) * (1 - (0.10 + 0.38 * age) * creases)
    skin = 1 + 0.03 * _cloud(rng, shape, unit / 9) + 0.05 * t["rough"] * _cloud(rng, shape, unit / 24)
    skin += (0.015 + 0.035 * age) * _cloud(rng, shape, unit / 60)
    skin *= 1 - 0.5 * t["freckles"] ** 2 * _clip(_cloud(rng, shape, unit / 45) - 1.4)
    picture = _mix(SKIN, t["tone"], 1, 0.97 + 0.05 * t["undertone"], 0.90 + 0.16 * t["undertone"]) * skin
    jaw = _clip((((x - mouth) / 0.36) ** 2 + ((y - 0.66) / 0.25) ** 2 - 0.8) * 3) * _clip((y - 0.58) * 7)
    bristle = jaw * max(0.0, t["stubble"] - 0.5) * _clip(0.7 + 0.35 * _cloud(rng, shape, unit / 80))
    _lay(picture, _mix(HAIR, t["hair"] * 0.6) * 0.8, bristle)
    _mouth(t, g, picture, shade, mouth)
    picture = picture * shade + (0.04 + 0.26 * t["gloss"]) * facing**24
    for sign in (-1, 1):
        picture *= 1 - 0.75 * _bell(x, nose + sign * wing * 0.62, 0.022) * _bell(y, nose_y + 0.048, 0.014)
        _eye(t, g, picture, shade, eyes + sign * 0.208, sign, light_x, light_y)
    return picture


def _creases(t: Traits, g: Grid, nose: float, nose_y: float, mouth: float, eyes: float) -> np.ndarray:
    """Age lines, 0 to about 1: on the forehead and from nose to mouth."""
    age, fine, marks = t["age"], 1.3 / g.unit, np.zeros((len(g.y), g.x.shape[1]), np.float32)
    where, p = g.part(0.05, 0.95, 0.0, 0.24)
    for k in range(3):
        line = p.y - (0.06 + 0.065 * k) - 0.16 * (p.x - eyes) ** 2 - 0.006 * np.sin(17 * p.x + 2 * k)
        marks[where] += max(0.0, age - 0.3 - 0.1 * k) * _bell(line, 0, fine) * _bell(p.x, eyes, 0.3)
    for sign in (-1, 1):
        where, p = g.part(0.15, 0.85, nose_y, 0.84)
        along = _clip((p.y - nose_y) / 0.23)
        fold = p.x - (nose + (mouth - nose) * along) - sign * (0.085 + 0.13 * along**1.3)
        marks[where] += (0.25 + 0.6 * age) * _bell(fold, 0, fine * 1.3) * np.sin(np.pi * along)
    return marks


def _eye(t: Traits, g: Grid, picture: np.ndarray, shade: np.ndarray, x: float, sign: int, *light: float) -> None:
    """An eye at `x` with its lids and brow; `sign` is -1 for the one at the picture's left."""
    where, p = g.part(x - 0.17, x + 0.17, 0.2, 0.54)
    view, half = picture[:, *where], 0.098
    pixel, u = half * g.unit, (p.x - x) * sign / half
    line = 0.275 - 0.03 * t["brow_height"] + 0.02 * (0.7 * u - 0.3) ** 2
    thick = (0.007 + 0.015 * t["brow"]) * np.clip(1.15 - 0.25 * u - 0.14 * u**4, 0, 2)
    _lay(view, _mix(HAIR, t["hair"] * 0.7) * 0.5, _clip((thick - np.abs(p.y - line)) * g.unit * 0.7 + 0.3) * 0.7)
    v = (p.y - 0.405) / half + 0.22 * (2 * t["slant"] - 1) * u
    arc, opening = _clip(1 - u**2), 0.34 + 0.26 * t["opening"]
    upper, lower = -opening * arc**0.75, 0.62 * opening * arc**0.9
    inside = _clip((v - upper) * pixel + 0.5) * _clip((lower - v) * pixel + 0.5) * (np.abs(u) < 1)
    view *= 1 - 0.45 * _bell(v - upper + 0.27, 0, 0.085) * _clip(1.15 - u**2)
    white = _mix([[0.90, 0.87, 0.85]] * 2, 0) * (0.65 + 0.4 * t["white"])
    ball = white * (0.55 + 0.45 * shade[:, *where]) * (0.7 + 0.3 * _clip((v - upper) / 0.35))
    gaze = sign * 0.34 * (2 * t["gaze"] - 1)
    away = np.sqrt((u - gaze) ** 2 + (v + 0.06) ** 2)
    ring = (0.75 + 0.5 * _clip(away / 0.4)) * (1 - 0.55 * _clip((away - 0.33) / 0.10))
    _lay(ball, _mix(IRIS, t["iris"]) * (0.65 + 0.75 * t["iris_light"]) * ring, _clip((0.43 - away) * pixel + 0.5))
    _lay(ball, 0.03, _clip((0.17 - away) * pixel + 0.5))
    glint = _bell(u * sign, gaze * sign + 0.30 * light[0], 0.11) * _bell(v, 0.30 * light[1] - 0.06, 0.11)
    _lay(ball, 0.55 + 0.5 * t["glint"], 0.95 * glint)
    _lay(view, ball, inside)
    view *= 1 - (0.55 + 0.4 * t["lash"]) * _bell(v - upper, 0, (0.9 + 0.9 * t["lash"]) / pixel) * (np.abs(u) < 1.06)


def _mouth(t: Traits, g: Grid, picture: np.ndarray, shade: np.ndarray, x: float) -> None:
    where, p = g.part(x - 0.24, x + 0.24, 0.68, 0.96)
    view, half = picture[:, *where], 0.150 + 0.045 * t["mouth_width"]
    u = (p.x - x) / half
    v = p.y - 0.805 + (0.055 * t["smile"] - 0.012) * u**2
    arc, full, red = _clip(1 - u**2), 0.026 + 0.028 * t["lip_full"], t["lip_red"] - 0.3
    gap = 0.09 * max(0.0, t["parted"] - 0.45) * arc
    top, bottom = -gap / 2 - full * 0.85 * arc**0.7 * (1 - 0.28 * _bell(u, 0, 0.17)), gap / 2 + full * 1.15 * arc**0.6
    lips = _clip((v - top) * g.unit + 0.5) * _clip((bottom - v) * g.unit + 0.5) * (np.abs(u) < 1)
    colour = _mix(SKIN, t["tone"], 0.92 + 0.12 * red, 0.66 - 0.25 * red, 0.66 - 0.15 * red)
    _lay(view, colour * (1 + 0.06 * np.sin(u * 34) - 0.25 * _clip(-v / full)), 0.9 * lips)
    _lay(view, 0.86 - 0.4 * u**2, _clip((gap / 2 - np.abs(v)) * g.unit + 0.5) * (gap > 0.004))  # teeth
    view *= 1 - 0.6 * _bell(v + gap / 2, 0, 0.9 / g.unit) * _clip((1.08 - np.abs(u)) * 6)
    shade[:, *where] *= 1 - 0.22 * _bell(p.x, x, half * 0.6) * _bell(p.y, 0.84 + full * 1.15, 0.02)


def _surroundings(
    t: Traits, g: Grid, rng: np.random.Generator, where: tuple[slice, ...], face: np.ndarray
) -> np.ndarray:
    """Lay the face over neck, clothes, hair and a background out of focus."""
    x, y, unit, across = g.x, g.y, g.unit, np.abs(g.x - 0.5)
    shape, lean, lit = (len(y), x.shape[1]), 0.02 * (2 * t["yaw"] - 1), (2 * t["light_x"] - 1) * (x - 0.5)
    things = _mix(THINGS, t["backdrop_hue"]) * (0.35 + t["backdrop"]) * (1 + 0.16 * _cloud(rng, shape, unit / 2))
    for grain in (2, 4, 6):
        things = things * (1 + 0.8 * (t["busy"] - 0.3) * _clip(4 * _cloud(rng, shape, unit / grain) - 2))
    picture = np.stack([cv2.GaussianBlur(plane, (0, 0), (0.6 + 3 * t["focus"]) * unit / 112) for plane in things])
    # Strands run out from the parting: noise that is fine around it and long away from it.
    part_x = 0.5 + 0.35 * (t["parting"] - 0.5)
    away = np.sqrt((x - part_x) ** 2 + (y + 0.22) ** 2)
    turn = np.arctan2(x - part_x, y + 0.22) * (0.5 / np.pi) + 0.5
    noise = cv2.GaussianBlur(rng.standard_normal((24, 400), dtype=np.float32), (0, 0), 0.7, sigmaY=2.0) * 1.6
    strands = cv2.remap(noise, turn * 399 + 5 * np.sin(4 * away), away * 12, cv2.INTER_LINEAR).clip(-1.8, 1.8)
    locks = _mix(HAIR, t["hair"]) * ((0.85 + 0.35 * lit + 0.25 * _bell(away, 0.3, 0.16)) * (1 + 0.42 * strands))
    grow, edge, reach = 0.04 + 0.11 * t["volume"], 0.012 * strands, 0.45 + 1.1 * max(0.0, t["length"] - 0.3)
    cap = 1 - np.sqrt(((x - 0.5) / (0.50 + grow)) ** 2 + ((y - 0.36) / (0.58 + grow)) ** 2) + edge
    fall = np.minimum(0.50 + grow + 0.06 * np.sin(5 * y) * t["length"] - across, reach - y) + edge
    mass = np.maximum(np.where(y < reach, cap, -1), np.where(y > 0.36, fall, -1))
    _lay(picture, locks * 0.75, _clip(mass * unit * 0.45 + 0.5))
    neck = _clip((0.24 + 0.35 * np.maximum(y - 1.12, 0) ** 1.5 - across) * unit + 0.5) * (y > 0.7)
    ears = _clip((0.075 - np.sqrt((np.abs(x - 0.5 - lean) - 0.455) ** 2 + ((y - 0.5) / 1.9) ** 2)) * unit * 0.6 + 0.5)
    _lay(picture, _mix(SKIN, t["tone"]) * (0.64 + 0.25 * lit), np.maximum(neck, ears))
    cloth = _mix(THINGS, t["clothes_hue"]) * (0.25 + 1.1 * t["clothes"]) * (1 + 0.1 * _cloud(rng, shape, unit / 37))
    _lay(picture, cloth, _clip((y - 1.16 - 0.08 * np.cos(9 * across)) * unit + 0.5))
    wide = (0.445 + 0.03 * t["jaw"]) * (1 - (0.15 - 0.07 * t["jaw"]) * np.clip((y - 0.55) / 0.5, 0, 1.2) ** 2)
    oval = 1 - np.sqrt(((x - 0.5 - lean) / wide) ** 2 + ((y - 0.46) / 0.615) ** 2)
    _lay(picture[:, *where], face, _clip(oval * unit * 0.55 + 0.5)[where])
    line = 0.10 * t["hairline"] - 0.04 + 0.10 * np.cos(6.5 * (x - part_x)) * (t["parting"] - 0.3)
    fringe = np.minimum(cap * 0.6, line + 4 * np.maximum(np.abs(x - 0.5 - lean) - 0.385, 0) - y + edge * 1.5)
    _lay(picture, locks, _clip(np.where(y < reach, fringe, -1) * unit * 0.45 + 0.5))
    return picture
