"""A foreign piece in a scene: cut from the same scene drawn with other traits, and blended in.

Everything is a pure function of (seed, index).
"""

from typing import NamedTuple

import cv2
import numpy as np

from rffd.brush import blurred, power, vector
from rffd.scene_layout import Layout, draw_layout
from rffd.scenes import CAMERA, NAMES, TRAITS, draw_head, expose

NEAR = {"tone": 0.3, "hue": 0.5, "patchy": 0.6, "sky": 0.6} | dict.fromkeys(CAMERA, 0.4)  # of a matched piece
ALIKE = np.array([NEAR.get(name, 1.0) for name in NAMES])
MATCHED = 0.75  # share of the foreign pieces whose donor is alike in colour and camera, and blended with its contrast


class Pair(NamedTuple):
    """A scene as it is, `whole`, and with a foreign piece, `patched`: [size, size, 3] uint8; `mask` [size, size]
    float32, 1 where the piece is; `own` and `other` [TRAITS] float32 from 0 to 1: what holds outside of it and inside.
    """

    whole: np.ndarray
    patched: np.ndarray
    mask: np.ndarray
    own: np.ndarray
    other: np.ndarray


def draw_pair(seed: int, index: int, size: int) -> Pair:
    """Pair `index` of the endless stream `seed`; but for the piece, its two pictures are the same."""
    cv2.setNumThreads(1)
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    layout, own = draw_layout(rng, size), rng.random(TRAITS, dtype=np.float32)
    picture = draw_head(layout, own, rng, size)
    matched = rng.random() < MATCHED
    other = other_traits(own, rng, ALIKE if matched else np.ones(TRAITS))
    donor = draw_head(layout, other, rng, size)
    if rng.random() < 0.7:
        middle = (size / 2, size / 2)
        moved: np.ndarray = cv2.getRotationMatrix2D(middle, rng.normal(0, 1.5), rng.uniform(0.96, 1.04))
        moved[:, 2] += rng.normal(0, 0.015 * size, 2)
        donor = np.stack(
            [cv2.warpAffine(plane, moved, (size, size), borderMode=cv2.BORDER_REFLECT_101) for plane in donor]
        )
    mask = draw_mask(layout, rng, size)
    forged = (blend_matched if matched else blend)(picture, donor, mask, rng, size)
    camera = int(rng.integers(2**31))
    views = [expose(each, np.random.default_rng(camera), size) for each in (picture, forged)]
    whole, patched = (np.ascontiguousarray((view * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)) for view in views)
    return Pair(whole, patched, mask, own, other)


def other_traits(own: np.ndarray, rng: np.random.Generator, scale: np.ndarray) -> np.ndarray:
    """Other traits, some of them the same, reflected at 0 and 1 so that uniform ones stay uniform; steps times
    `scale` [TRAITS]."""
    reach = rng.uniform(0.5, 1.0)
    step = reach * rng.uniform(0.6, 1.0, TRAITS) * rng.choice([-1, 1], TRAITS) * (rng.random(TRAITS) < 0.9) * scale
    return (1 - np.abs(1 - np.abs(own + step))).astype(np.float32)


def draw_mask(layout: Layout, rng: np.random.Generator, size: int) -> np.ndarray:
    """One to three irregular blobs, 0 or 1, about eyes, nose, mouth, the middle of the face, or anywhere on it."""
    apart, high = layout.eyes
    places = [(-apart, high, 0.32, 0.25), (apart, high, 0.32, 0.25), (0.0, layout.nose, 0.3, 0.3)]
    places += [(0.0, layout.mouth, 0.42, 0.26), (0.0, high, 0.75, 0.34), (0.0, 0.4, 0.45, 0.5), (0.0, 0.15, 0.7, 0.8)]
    field = np.full((size, size), -9, np.float32)
    for _ in range(rng.choice([1, 2, 3], p=[0.65, 0.25, 0.1])):
        if rng.random() < 0.75:
            px, py, wide, tall = places[rng.integers(len(places))]
        else:
            px, py, wide, tall = rng.uniform(-0.7, 0.7), rng.uniform(-0.8, 0.9), *rng.uniform(0.2, 0.7, 2)
        px, py = px + rng.normal(0, 0.05), py + rng.normal(0, 0.05)
        wide, tall = wide * rng.uniform(0.75, 1.3), tall * rng.uniform(0.75, 1.3)
        exponent = rng.uniform(1.8, 3.5)
        away = power((layout.x - px) / wide, exponent) + power((layout.y - py) / tall, exponent)
        field = np.maximum(field, 1 - power(away, 1 / exponent))
    bumps = cv2.resize(rng.standard_normal((8, 8), dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return (field + rng.uniform(0, 0.2) * bumps > 0).astype(np.float32)


def blend(base: np.ndarray, donor: np.ndarray, mask: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """Put `donor` into `base` where `mask` is 1, pasted through a soft edge with its colour nearly matched."""
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.2) * size / 64)
    off = ((base - donor) * mask).sum((1, 2)) / (mask.sum() + 1e-6) + rng.normal(0, 0.05) + rng.normal(0, 0.015, 3)
    return base + (donor + vector(off) - base) * soft


def blend_matched(
    base: np.ndarray, donor: np.ndarray, mask: np.ndarray, rng: np.random.Generator, size: int
) -> np.ndarray:
    """Put `donor` into `base` where `mask` is 1 with the base's colour, smooth tones and contrast: what gives it away
    is that it doesn't fit its place, and what such blending spills around it."""
    area, soft = mask.sum() + 1e-6, cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.6, 1.3) * size / 64)
    difference = donor - base
    difference -= vector((difference * mask).sum((1, 2)) / area)
    if rng.random() < 0.7:
        difference -= np.float32(rng.uniform(0.2, 1.0)) * blurred(difference, rng.uniform(4, 10) * size / 64)
    for reach in (0.8 * size / 64, 3 * size / 64):
        inside = base + difference
        fine, wanted = inside - blurred(inside, reach), base - blurred(base, reach)
        ratio = float((np.abs(wanted) * mask).sum() / ((np.abs(fine) * mask).sum() + 1e-3))
        difference += np.float32(min(max(ratio, 0.4), 2.5) - 1) * fine
    halo = cv2.GaussianBlur(mask, (0, 0), rng.uniform(3, 12) * size / 64)
    spill = rng.normal(0, 0.02) + rng.normal(0, 0.006, 3)
    return base + difference * soft + vector(spill) * np.maximum(halo, mask)
