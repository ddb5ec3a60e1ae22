"""Pseudo-fakes: a training real with some regions replaced on the fly, as the dataset's forgers did it.

They bring exact bits and masks, and never the same forgery twice. A region comes from another real, picked among
a few for fitting the base's tones along the seam, or from a moved copy of the base itself (self-blending, Shiohara
and Yamasaki 2022). It is blended in one of the two families measured on the registered forgeries: a feathered
paste that is off in colour, or one whose colours are matched along the seam while low frequencies outside shift,
as gradient-domain blending leaves them. Everything is drawn from (seed, epoch, index).
"""

from typing import NamedTuple

import cv2
import numpy as np

from rffd.regions import face_square, region_blobs
from rffd.store import Store

OTHERS = 6  # reals looked at for each replacement: the best fitting one is taken
SELF = 0.25  # share whose region comes from the base itself
GRADIENT = 0.65  # share with colours matched along the seam: three in four of the dataset's fakes look so
OUTLINE = 96  # pixels a side at which outlines are drawn
COARSE = 32  # pixels a side at which tones are compared and low frequencies kept
# All lengths are shares of the face box's side; 0.0025 is a pixel of the dataset's frames.
WOBBLE, PLACE, STRETCH = 0.035, 0.03, 0.15  # standard deviations: outline, centre; and of log size
EDGE = (0.010, 0.026)  # blur of the mask's edge: 4 to 10 pixels of 600
DECAY = (0.1, 0.35)  # reach of the shift outside the seam
SOFTEN = 0.003  # largest blur of inside or outside: half an octave at 600 pixels
PASTE_GREY, PASTE_COLOUR = 9.0, 3.0  # levels, standard deviation: how far off a paste is
MATCH_GREY, MATCH_COLOUR = 2.5, 1.2  # likewise within a matched region
SHIFT_GREY, SHIFT_COLOUR = 4.5, 1.5  # likewise of the outside along a matched region's seam


class PseudoFake(NamedTuple):
    """`pixels` [S, S, 3] uint8, `mask` [S, S] float32 (replaced share) and `bits` [4] float32."""

    pixels: np.ndarray
    mask: np.ndarray
    bits: np.ndarray


def generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The source of everything random about the pseudo-fake of sample `index` in `epoch`."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 2, index]))


def wanted(store: Store, share: float, seed: int, epoch: int) -> np.ndarray:
    """Which samples get a pseudo-fake beside them in this epoch, [N] bool: reals, `share` of them on average."""
    uniforms = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[2, 0, 0, 0])).random(len(store))
    return (uniforms < share) & (store.labels == 0)


def pseudo_fake(store: Store, index: int, reals: np.ndarray, seed: int, epoch: int) -> PseudoFake:
    """Replace regions of real `index`; `reals` [R] are the rows of `store` that may give theirs."""
    dice = generator(seed, epoch, index)
    base = store.images[index].astype(np.float32)
    bits = _some_bits(store, dice)
    size, margin = len(base), store.contract.face_margin
    unit = face_square(size, margin)[2]
    mask = _mask(bits, size, margin, dice)
    donor = _moved(_donor(store, index, reals, base, mask, dice), unit, dice)
    if dice.random() < 0.5:
        donor = _softened(donor, dice.random() * SOFTEN * unit)
    else:
        base = _softened(base, dice.random() * SOFTEN * unit)
    inside, outside = _colours(base, donor, mask, unit, dice)
    pixels = base + outside + mask[..., None] * (donor + inside - base - outside)
    return PseudoFake(np.rint(pixels).clip(0, 255).astype(np.uint8), mask, bits)


def _some_bits(store: Store, dice: np.random.Generator) -> np.ndarray:
    """The bits of a random fake of the store, so that patterns are as frequent; any where it has none."""
    bits = store.bits[dice.integers(len(store))]
    while True:
        if not np.isnan(bits).any() and bits.any():
            return bits.copy()
        if dice.random() < 0.02:  # a store without bits ends here
            return (dice.permutation(4) < dice.integers(1, 5)).astype(np.float32)
        bits = store.bits[dice.integers(len(store))]


def _mask(bits: np.ndarray, size: int, margin: float | None, dice: np.random.Generator) -> np.ndarray:
    """An irregular outline about the regions of `bits`, soft at its edge, [size, size] float32."""
    left, top, side = face_square(OUTLINE, margin)
    x, y = np.meshgrid(*2 * (np.arange(OUTLINE, dtype=np.float32) + 0.5,))
    wobble = dice.normal(0, WOBBLE, (2, 6, 6)).astype(np.float32)
    waves = [cv2.resize(field, (OUTLINE, OUTLINE), interpolation=cv2.INTER_CUBIC) for field in wobble]
    x, y = (x - left) / side + waves[0], (y - top) / side + waves[1]
    inside = np.zeros((OUTLINE, OUTLINE), np.float32)
    for cx, cy, width, height in region_blobs(tuple(bits.astype(int).tolist())):
        dx, dy = dice.normal(0, PLACE, 2)
        stretch_x, stretch_y = np.exp(dice.normal(0, STRETCH, 2)) / 2
        inside[((x - cx - dx) / (width * stretch_x)) ** 2 + ((y - cy - dy) / (height * stretch_y)) ** 2 < 1] = 1
    mask = cv2.resize(inside, (size, size), interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(mask, (0, 0), max(0.3, dice.uniform(*EDGE) * face_square(size, margin)[2]))


def _donor(
    store: Store, index: int, reals: np.ndarray, base: np.ndarray, mask: np.ndarray, dice: np.random.Generator
) -> np.ndarray:
    """The square that the region comes from, [S, S, 3] float32."""
    if dice.random() < SELF or len(reals) < 2:
        return base
    seam = _coarse(4 * mask * (1 - mask))[..., None] + 1e-4
    target, best, least = _coarse(base), base, np.inf
    for other in dice.choice(reals, OTHERS):
        image = store.images[other]
        if dice.random() < 0.5:
            image = image[:, ::-1]
        apart = _coarse(image) - target
        apart -= (apart * seam).sum((0, 1)) / seam.sum()
        misfit = float((apart**2 * seam).sum())
        if other != index and store.groups[other] != store.groups[index] and misfit < least:
            best, least = image, misfit
    return best.astype(np.float32)


def _coarse(image: np.ndarray) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(image), (COARSE, COARSE), interpolation=cv2.INTER_AREA).astype(np.float32)


def _moved(image: np.ndarray, unit: float, dice: np.random.Generator) -> np.ndarray:
    """Turned, scaled and shifted a little about its middle."""
    middle = len(image) / 2
    matrix: np.ndarray = cv2.getRotationMatrix2D(
        (middle, middle), dice.normal(0, 3), float(np.exp(dice.normal(0, 0.04)))
    )
    matrix[:, 2] += dice.normal(0, 0.015, 2) * unit
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _softened(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.2 else image


def _colours(
    base: np.ndarray, donor: np.ndarray, mask: np.ndarray, unit: float, dice: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What is added to the donor and to the base before blending, [S, S, 3] each, or [3] where it is even."""
    low_mask = _coarse(mask)
    seam = (4 * low_mask * (1 - low_mask))[..., None] + 1e-5
    apart = _coarse(base) - _coarse(donor)
    even = (apart * seam).sum((0, 1)) / seam.sum()
    if dice.random() >= GRADIENT:
        return even + _offset(dice, PASTE_GREY, PASTE_COLOUR), np.zeros(3, np.float32)
    step = unit * COARSE / len(base)  # the face box's side in coarse pixels
    reach = 0.12 * step  # the seam's differences are carried inside as a smooth membrane
    membrane = (cv2.GaussianBlur(apart * seam, (0, 0), reach) + 0.02 * even) / (
        cv2.GaussianBlur(seam[..., 0], (0, 0), reach)[..., None] + 0.02
    )
    near: np.ndarray = cv2.GaussianBlur(low_mask, (0, 0), dice.uniform(*DECAY) * step)
    near = (near / max(float(near.max()), 1e-6))[..., None]
    shift = near * _offset(dice, SHIFT_GREY, SHIFT_COLOUR)
    inside = membrane + shift + _offset(dice, MATCH_GREY, MATCH_COLOUR)
    size = base.shape[1::-1]
    return tuple(cv2.resize(a.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) for a in (inside, shift))


def _offset(dice: np.random.Generator, grey: float, colour: float) -> np.ndarray:
    return (dice.normal(0, grey) + dice.normal(0, colour, 3)).astype(np.float32)
