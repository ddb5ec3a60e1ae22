"""The sample: drawn portraits and forgeries of them, made and named as the dataset's are.

Each trait is as likely in a forgery's regions as in their base, and they get the contrast of what they replace: they
are wrong beside the rest of the face only. Geometry, edges and colours follow registered pairs of the dataset.
"""

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from rffd.defects import Defects, damaged, spoil
from rffd.names import DIFFICULTIES, LABELS, Name, parse_name
from rffd.parallel import spread
from rffd.params import require
from rffd.portrait import CANVAS, FACE, HEAD, OWN, Grid, Traits, draw_portrait, draw_traits

PATTERNS = {  # how many images of the dataset have these regions replaced
    "1111": 319, "0011": 128, "1100": 118, "1110": 84, "1101": 72, "0001": 44, "0010": 38, "0111": 29, "1000": 27,
    "1011": 20, "0100": 19, "0101": 17, "1010": 17, "1001": 16, "0110": 16,
}  # fmt: skip
BLOBS = {  # regions that are replaced in one piece: centre and size in the face box; the first that fit are taken
    (0, 1, 2, 3): (0.50, 0.57, 0.70, 0.81), (0, 1): (0.51, 0.365, 0.77, 0.36), (2, 3): (0.50, 0.71, 0.48, 0.48),
    (0,): (0.28, 0.40, 0.34, 0.24), (1,): (0.71, 0.39, 0.35, 0.25), (2,): (0.50, 0.58, 0.33, 0.32),
    (3,): (0.50, 0.82, 0.46, 0.28),
}  # fmt: skip
MISMATCH = {"easy": 1.0, "mid": 0.85, "hard": 0.50}  # how far a forger's second portrait lies from the first
SCALES = (0.006, 0.012, 0.024, 0.048, 0.096)  # of contrast, as shares of the picture
# Traits in which the two are nearer, for in a statistic over the whole picture they would show.
ALIKE = {"tone": 0.25, "exposure": 0.25, "blur": 0.4, "undertone": 0.4, "warmth": 0.4, "saturation": 0.4, "fill": 0.4}
ALIKE |= {"contrast": 0.4, "rough": 0.4, "light_x": 0.65, "light_y": 0.65, "hardness": 0.5}


@dataclass(frozen=True, kw_only=True)
class SampleParams:
    """The section `data.sample`: the set's size and make-up."""

    real: int
    fake: int
    size: int
    seed: int
    shared: float
    defects: Defects

    def __post_init__(self) -> None:
        limits = {"real": (1, 10**6), "fake": (1, 10**6), "size": (64, 1024), "seed": (0, 2**32), "shared": (0, 1)}
        for name, (low, high) in limits.items():
            require(low <= vars(self)[name] <= high, f"data.sample.{name}", vars(self)[name], f"from {low} to {high:,}")


@dataclass(frozen=True)
class Item:
    """What a file is drawn from: the photograph `base`, and for crop, noise and forgery its `own` number."""

    path: str
    base: int
    own: int
    quality: int = 92  # of JPEG
    damage: int | None = None


def draw_sample(params: SampleParams, target: Path, workers: int | None = None) -> None:
    """Write `target/real/real_00001.jpg`, `target/fake/mid_1_0110.jpg` ...: the same bytes for any `workers`."""
    for label in LABELS:
        (target / label).mkdir(parents=True, exist_ok=True)
    items, draw = plan(params), partial(draw_item, size=params.size, seed=params.seed)
    for item, data in zip(items, spread(draw, items, "drawing", workers=workers, chunk=32), strict=True):
        (target / item.path).write_bytes(data)


def plan(params: SampleParams) -> list[Item]:
    """What to draw, sorted by path."""
    rng = np.random.default_rng([params.seed, 0])
    reals = [Item(f"real/real_{i + 1:05d}.jpg", i, i) for i in range(params.real)]
    ends = np.round(np.array([0, 0.25, 0.75, 1]) * params.fake).astype(int).tolist()  # easy : mid : hard as 1 : 2 : 1
    share = rng.permutation(params.fake) < round(params.shared * params.fake)
    bits = rng.choice(list(PATTERNS), params.fake, p=np.array([*PATTERNS.values()]) / sum(PATTERNS.values()))
    fakes = []
    for difficulty, start, end in zip(DIFFICULTIES, ends, ends[1:], strict=False):
        for i in range(start, end):
            base = int(rng.integers(params.real)) if share[i] else params.real + i
            fakes.append(Item(f"fake/{difficulty}_{i - start + 1}_{bits[i]}.jpg", base, params.real + i))
    spoil(params.defects, reals, fakes, rng)
    return sorted(reals + fakes, key=lambda item: item.path)


def draw_item(item: Item, size: int, seed: int) -> bytes:
    """The bytes of one file, a photograph of `size` pixels a side."""
    cv2.setNumThreads(1)
    rng, own = np.random.default_rng([seed, 1, item.base]), np.random.default_rng([seed, 2, item.own])
    traits, name, buffer = draw_traits(rng), parse_name(item.path, item.path[:4]), io.BytesIO()
    picture = draw_portrait(traits, int(rng.integers(2**31)), size)
    if name.difficulty:
        picture = _forge(picture, traits, name, size, np.random.default_rng([seed, 3, item.own]))
    Image.fromarray(_photograph(picture, size, rng, own)).save(buffer, "JPEG", quality=item.quality, progressive=True)
    return damaged(buffer.getvalue(), item.damage)


def _photograph(picture: np.ndarray, size: int, rng: np.random.Generator, own: np.random.Generator) -> np.ndarray:
    """Crop, tilt, light unevenly, add noise: uint8 [size, size, 3]; `rng` is the base's, `own` the file's."""
    width, left, top, tilt = np.clip(0.85 * rng.standard_normal(4) + 0.53 * own.standard_normal(4), -2, 2)
    seat = size * np.array([0.495 + 0.05 * left, 0.57 + 0.045 * top])
    matrix = cv2.getRotationMatrix2D(seat.tolist(), 4 * tilt, FACE / (0.66 + 0.06 * width))
    matrix[:, 2] += size * np.array([CANVAS / 2, CANVAS / 2 + 0.07]) - seat
    light = rng.standard_normal((4, 4, 3), dtype=np.float32)
    photo = cv2.merge(list(picture)) * (1 + 0.06 * cv2.resize(light, picture.shape[1:], interpolation=cv2.INTER_CUBIC))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    photo = cv2.warpAffine(photo, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    rest = photo
    for sigma in SCALES:  # cameras sharpen and flatten, each in its way
        low = cv2.GaussianBlur(rest, (0, 0), sigma * size)
        photo, rest = photo + rng.normal(0, 0.3) * (rest - low), low
    # Bright parts fade into a white of the photograph's own, so that none tells by its highlights.
    photo = np.where(photo > 0.6, 0.6 + 0.3 * np.tanh((photo - 0.6) / 0.3), photo) * rng.uniform(0.85, 1.05)
    noise = own.standard_normal((size, size, 3), dtype=np.float32) * rng.uniform(0.9, 3.8)
    return np.clip(photo * 255 + noise + 0.5, 0, 255).astype(np.uint8)


def other_person(traits: Traits, mismatch: float, rng: np.random.Generator) -> Traits:
    """Traits about `mismatch` away, the pose kept; reflected at 0 and 1, so that uniform ones stay uniform."""
    steps = {name: ALIKE.get(name, 1.0) * rng.uniform(0.7, 1.0) * rng.choice([-1, 1]) for name in OWN.split()}
    return traits | {name: float(1 - abs(1 - abs(traits[name] + mismatch * step))) for name, step in steps.items()}


def _forge(base: np.ndarray, traits: Traits, name: Name, size: int, rng: np.random.Generator) -> np.ndarray:
    """Blend regions of another portrait into `base`."""
    assert name.difficulty is not None and name.bits is not None, "a fake that is drawn has a name that tells both"
    where, grid = Grid.canvas(size).part(*HEAD)
    other = other_person(traits, MISMATCH[name.difficulty], rng)
    donor, old = draw_portrait(other, int(rng.integers(2**31)), size, head_only=True), base[:, *where]
    # Whole pixels: a region taken over is not resampled, and so no softer than the rest.
    shift = np.round(rng.normal(0, 0.05 * MISMATCH[name.difficulty], 2).clip(-0.08, 0.08) * grid.unit).astype(int)
    donor = np.roll(donor, shift.tolist(), axis=(1, 2))
    tint, sign = rng.normal(size=3), rng.choice([-1, 1])
    # Levels, as measured: a paste is off inside; a matched region is not, but changes what surrounds it.
    off, spill, feather = sign * rng.normal(0, 2) + 2 * tint, sign * rng.uniform(4, 6) + tint, 0.0142
    if name.difficulty == "easy":
        off, spill, feather = sign * rng.normal(13, 3) + 4 * tint, np.zeros(3), 0.010
    mask = _mask(name.bits, grid, feather * size, rng)
    gain = ((old * mask).sum((1, 2)) + mask.sum() * off / 255) / (donor * mask).sum((1, 2))
    donor *= gain.clip(0.3, 3).astype(np.float32)[:, None, None]
    base[:, *where] = _match(old + (donor - old) * mask, old, mask, size, 1.0 if spill.any() else 0.5)
    outside = np.ones(base.shape[1:], np.uint8)
    outside[where] = mask < 0.5
    glow = 0.25 + 0.75 * np.exp(-cv2.distanceTransform(outside, cv2.DIST_L2, 3) / (0.12 * size))
    return base + glow * (spill / 255).astype(np.float32)[:, None, None]


def _match(forged: np.ndarray, old: np.ndarray, mask: np.ndarray, size: int, follow: float) -> np.ndarray:
    """Give the regions with their seams the contrast of the `old`, scale by scale, or their energy would tell."""
    near = cv2.GaussianBlur(mask, (0, 0), 0.015 * size)[..., None]
    new, old = cv2.merge(list(forged)), cv2.merge(list(old))
    matched = new.copy()
    for sigma in SCALES:
        low, old_low = (cv2.GaussianBlur(picture, (0, 0), sigma * size) for picture in (new, old))
        energy, wanted = (float((near * np.abs(band)).sum()) for band in (new - low, old - old_low))
        matched += (np.clip(wanted / energy, 0.4, 2.5) - 1) * near * (new - low)
        new, old = low, old_low
    return np.stack(cv2.split(matched + follow * near * (old - new)))


def _mask(bits: tuple[int, ...], grid: Grid, feather: float, rng: np.random.Generator) -> np.ndarray:
    """The replaced regions on `grid`, from 0 to 1, irregular and with a soft edge."""
    left, field = set(np.flatnonzero(bits).tolist()), np.full((len(grid.y), grid.x.shape[1]), -9, np.float32)
    for regions, (x, y, width, height) in BLOBS.items():
        if left.issuperset(regions):
            left -= set(regions)
            dx, dy, wide, high = rng.normal(0, [0.02, 0.02, 0.07, 0.07]).clip(-0.15, 0.15).tolist()
            across = 2 * np.abs(grid.x - x - dx) / (width * (1 + wide))
            down = 2 * np.abs(grid.y - y - dy) / (height * (1 + high))
            field = np.maximum(field, 1 - (across**2.5 + down**2.5) ** 0.4)
    bumps = cv2.resize(rng.standard_normal((7, 7), dtype=np.float32), field.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur((field + 0.10 * bumps > 0).astype(np.float32), (0, 0), feather)
