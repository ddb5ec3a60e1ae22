"""From a store to batches: who is in which step, read ahead in a thread while the device computes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rffd.augment import draw
from rffd.losses import Counts
from rffd.pseudo import pseudo_fake, wanted
from rffd.regions import prior_mask
from rffd.store import Store

MASK_CELLS = 4  # cells of the mask a side of a patch, so that warps land within a quarter of a patch
SURE_OUTSIDE, SURE_INSIDE = 0.05, 0.6  # of an average mask; what lies between is left out of the loss


class Batch(NamedTuple):
    """One process's samples of one pass, on the CPU.

    The rows are the samples `indices`, and after them the pseudo-fakes made from some of these.
    `pixels` [B, S, S, 3] uint8, `labels` [B], `weights` [B] of their classes, `bits` [B, 4], `masks` [B, 2, M, M]
    (replaced share, known), `uniforms` [B, K] for the augmentation; `counts` of the whole step; `last` if the
    optimiser steps after it.
    """

    indices: np.ndarray
    pixels: Tensor
    labels: Tensor
    weights: Tensor
    bits: Tensor
    masks: Tensor
    uniforms: Tensor
    counts: Counts
    last: bool


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `count` samples, a pure function of (seed, epoch)."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[1, 0, 0, 0])).permutation(count)


def epoch_batches(
    store: Store,
    *,
    batch_size: int,
    passes: int,
    seed: int,
    epoch: int,
    class_weights: np.ndarray,
    grid: int,
    rank: int,
    processes: int,
    pseudo: float = 0.0,
) -> Iterator[Batch]:
    """The batches of one epoch for process `rank`; `batch_size` samples a step over all passes and processes.

    `grid` is the model's patches a side, or 0 where no patch targets are wanted. `pseudo` is the share of reals that
    have a pseudo-fake made from them beside them, with the same augmentation; they come on top of `batch_size`.
    """
    order = epoch_order(len(store), seed, epoch)
    bits_known = ~np.isnan(store.bits).any(axis=1)
    patches_known = bits_known | (store.mask_rows >= 0) | (store.labels == 0)
    forged, reals = wanted(store, pseudo, seed, epoch), np.flatnonzero(store.labels == 0)
    plan = []
    for start in range(0, len(order), batch_size):
        step = order[start : start + batch_size]
        extra = int(forged[step].sum())
        counts = Counts(
            weight=float(class_weights[store.labels[step]].sum() + class_weights[1] * extra),
            size=len(step),
            bits=int(bits_known[step].sum()) + extra,
            patches=int(patches_known[step].sum()) + extra,
        )
        parts = [part for part in np.array_split(step, passes) if len(part)]
        plan += [(part, counts, i == len(parts) - 1) for i, part in enumerate(parts)]

    def fetch(part: np.ndarray, counts: Counts, last: bool) -> Batch:
        # NumPy only: a torch operation in this thread would start a second team of threads, which then spins
        # beside the first (measured: half the speed on two cores)
        mine = part[rank::processes]
        counted = len(mine) > 0  # a process without a sample still takes part in the step, with weight zero
        indices = np.sort(mine if counted else part[:1])  # mapped pages are read in the order of the disk
        bases = indices[forged[indices]] if counted else indices[:0]
        fakes = [pseudo_fake(store, int(base), reals, seed, epoch) for base in bases]
        pixels = np.concatenate([store.images[indices], *(fake.pixels[None] for fake in fakes)])
        labels = np.append(store.labels[indices], np.ones(len(fakes), np.int64))
        bits = np.concatenate([store.bits[indices], *(fake.bits[None] for fake in fakes)])
        masks = patch_masks(store, indices, grid * MASK_CELLS)
        masks = np.concatenate([masks, *(_known_mask(fake.mask, grid * MASK_CELLS) for fake in fakes)])
        return Batch(
            indices,
            torch.from_numpy(pixels),
            torch.from_numpy(labels),
            torch.from_numpy((class_weights[labels] * counted).astype(np.float32)),
            torch.from_numpy(bits if counted else np.full_like(bits, np.nan)),
            torch.from_numpy(masks * np.float32(counted)),
            draw(seed, epoch, [*indices.tolist(), *bases.tolist()]),
            counts,
            last,
        )

    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(fetch, *item) for item in plan[:2]]
        for item in plan[2:]:
            yield ahead.pop(0).result()
            ahead.append(reader.submit(fetch, *item))
        for future in ahead:
            yield future.result()


def _known_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A replaced share [S, S] float32 as [1, 2, size, size]: the share, and that it is known."""
    if size == 0:
        return np.zeros((1, 2, 0, 0), np.float32)
    small = np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.BOX), np.float32)
    return np.stack([small, np.ones_like(small)])[None]


def patch_masks(store: Store, indices: np.ndarray, size: int) -> np.ndarray:
    """What is known of where each sample was replaced, [B, 2, size, size] float32: replaced share, known (1) or not.

    A real is all zeros; a registered fake has its own mask; another has the average mask of its bits, where
    that is sure; without bits nothing is known.
    """
    masks = np.zeros((len(indices), 2, size, size), np.float32)
    if size == 0:
        return masks
    for row, index in enumerate(indices):
        if store.labels[index] == 0:
            masks[row, 1] = 1
        elif store.mask_rows[index] >= 0:
            masks[row] = _known_mask(store.masks[store.mask_rows[index]].astype(np.float32) / 255, size)[0]
        elif not np.isnan(store.bits[index]).any():
            bits = tuple(int(bit) for bit in store.bits[index])
            prior = prior_mask(bits, size, store.contract.face_margin)
            masks[row, 0] = prior
            masks[row, 1] = (prior <= SURE_OUTSIDE) | (prior >= SURE_INSIDE)
    return masks
