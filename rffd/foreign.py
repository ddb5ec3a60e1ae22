"""A foreign piece in a scene: cut from the same scene drawn with other traits, and blended in.

Everything is a pure function of (seed, index).
"""

from typing import NamedTuple

import cv2
import numpy as np

from rffd.scenes import CAMERA, LIGHT, SURFACE, TRAITS, Layout, blurred, draw_body, draw_layout, expose, power, vector

COLOURS = slice(len(LIGHT), len(LIGHT) + 3)  # red, green and blue of the body
ALIKE = np.ones(TRAITS)  # how far a matched piece may differ: little in colour and in what the camera did
ALIKE[COLOURS], ALIKE[len(LIGHT) + len(SURFACE) :][: len(CAMERA)] = 0.3, 0.35
FOREIGN = 0.5  # share of the scenes that hold a foreign piece


class Scene(NamedTuple):
    """`pixels` [size, size, 3] uint8; `mask` [size, size] float32, 1 where foreign; `own` and `other` [TRAITS]
    float32 from 0 to 1: what holds outside of the mask and inside (the same where nothing is foreign)."""

    pixels: np.ndarray
    mask: np.ndarray
    own: np.ndarray
    other: np.ndarray


def draw_scene(seed: int, index: int, size: int, masks: float = 0.0, matched: float = 0.0) -> Scene:
    """Scene `index` of the endless stream `seed`; a share of `masks` is in order (`draw_layout`), and a share of
    `matched` of the foreign pieces has everything matched that a picture as a whole would show."""
    cv2.setNumThreads(1)
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    layout, own = draw_layout(rng, size, masks), rng.random(TRAITS, dtype=np.float32)
    if masks > 0 and rng.random() < masks:  # as wood and clay are coloured
        own[COLOURS] = 0.5 + 0.6 * (own[COLOURS].mean() - 0.5) + 0.35 * (own[COLOURS] - own[COLOURS].mean())
    texture = int(rng.integers(2**31))
    picture = draw_body(layout, own, np.random.default_rng(texture), size)
    other, mask = own, np.zeros((size, size), np.float32)
    if rng.random() < FOREIGN:
        match = matched > 0 and rng.random() < matched
        other = other_traits(own, rng, ALIKE if match else None)
        same_texture = rng.random() < 0.3
        donor_rng = np.random.default_rng(texture if same_texture else texture + 1)
        donor = draw_body(layout, other, donor_rng, size)
        if rng.random() < 0.7:
            moved = cv2.getRotationMatrix2D((size / 2, size / 2), rng.normal(0, 2), rng.uniform(0.94, 1.06))
            moved[:, 2] += rng.normal(0, 0.02 * size, 2)
            donor = np.stack(
                [cv2.warpAffine(plane, moved, (size, size), borderMode=cv2.BORDER_REFLECT_101) for plane in donor]
            )
        mask = draw_mask(layout, rng, size)
        if match:
            picture = blend_matched(picture, donor, mask, rng, size)
        else:
            picture = blend(picture, donor, mask, rng, size, 0.7 if masks > 0 else 1.0)
    picture = expose(picture, own, rng, size)
    pixels = np.ascontiguousarray((picture * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
    return Scene(pixels, mask, own, other)


def other_traits(own: np.ndarray, rng: np.random.Generator, scale: np.ndarray | None = None) -> np.ndarray:
    """Other traits, some of them the same, reflected at 0 and 1 so that uniform ones stay uniform; `scale` [TRAITS]
    makes steps smaller."""
    reach = rng.uniform(0.5, 1.0)
    step = reach * rng.uniform(0.6, 1.0, TRAITS) * rng.choice([-1, 1], TRAITS) * (rng.random(TRAITS) < 0.85)
    if scale is not None:
        step = step * scale
    return (1 - np.abs(1 - np.abs(own + step))).astype(np.float32)


def draw_mask(layout: Layout, rng: np.random.Generator, size: int) -> np.ndarray:
    """One to three irregular blobs, 0 or 1, about the parts or anywhere on the body."""
    field = np.full((size, size), -9, np.float32)
    for _ in range(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])):
        if rng.random() < 0.7:
            _, px, py, reach, _, _ = layout.parts[rng.integers(len(layout.parts))]
            reach *= 1.0 + 0.5 * rng.random()
        else:
            px, py, reach = rng.uniform(-0.5, 0.5), rng.uniform(-0.6, 0.6), rng.uniform(0.25, 0.8)
        wide, high = reach * rng.uniform(0.7, 1.5), reach * rng.uniform(0.7, 1.5)
        exponent = rng.uniform(1.8, 3.5)
        away = power((layout.x - px) / wide, exponent) + power((layout.y - py) / high, exponent)
        field = np.maximum(field, 1 - power(away, 1 / exponent))
    bumps = cv2.resize(rng.standard_normal((8, 8), dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return (field + rng.uniform(0, 0.2) * bumps > 0).astype(np.float32)


def blend(
    base: np.ndarray, donor: np.ndarray, mask: np.ndarray, rng: np.random.Generator, size: int, ease: float
) -> np.ndarray:
    """Put `donor` into `base` where `mask` is 1: pasted as it is, with its colour matched, or with all that is
    smooth in it replaced by the base's (as gradient-domain blending does), through an edge of random softness. The
    less `ease`, 0 to 1, the oftener colours match."""
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.35, 1.2) * size / 64)
    family = rng.random() ** ease
    if family > 0.4:
        off = ((base - donor) * mask).sum((1, 2)) / (mask.sum() + 1e-6)
        donor = donor + vector(off + rng.normal(0, 0.02, 3))
    difference = donor - base
    if family > 0.7:
        difference -= np.float32(rng.uniform(0.7, 1.0)) * blurred(difference, rng.uniform(2.5, 9) * size / 64)
    if rng.random() < 0.3:  # softer or sharper than the rest
        inside = base + difference
        fine = inside - blurred(inside, rng.uniform(0.4, 1.0) * size / 64)
        difference += fine * np.float32(rng.choice([-1.0, 0.8]))
    mixed = base + difference * soft
    if family > 0.7 and rng.random() < 0.6:  # what such blending spills over the seam
        halo = cv2.GaussianBlur(mask, (0, 0), rng.uniform(3, 9) * size / 64)
        mixed += vector(rng.normal(0, 0.02, 3)) * halo
    return mixed


def blend_matched(
    base: np.ndarray, donor: np.ndarray, mask: np.ndarray, rng: np.random.Generator, size: int
) -> np.ndarray:
    """Put `donor` into `base` where `mask` is 1 with the base's colour, smooth tones and contrast: what gives it away
    is that it doesn't fit its place."""
    area, soft = mask.sum() + 1e-6, cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 1.1) * size / 64)
    difference = donor - base
    difference -= vector((difference * mask).sum((1, 2)) / area)
    difference -= np.float32(rng.uniform(0.5, 1.0)) * blurred(difference, rng.uniform(4, 8) * size / 64)
    inside, reach = base + difference, 3 * size / 64
    fine, wanted = inside - blurred(inside, reach), base - blurred(base, reach)
    ratio = float((np.abs(wanted) * mask).sum() / ((np.abs(fine) * mask).sum() + 1e-3))
    difference += (min(max(ratio, 0.4), 2.5) - 1) * fine
    halo = cv2.GaussianBlur(mask, (0, 0), rng.uniform(3, 9) * size / 64)
    return base + difference * soft + vector(rng.normal(0, 0.015, 3)) * halo
