"""Pseudo-fakes: drawn from (seed, epoch, index), exact in bits and mask, and made of training reals alone."""

import dataclasses

import cv2
import numpy as np
import pytest

from rffd.batches import epoch_batches
from rffd.pseudo import pseudo_fake, wanted
from rffd.regions import face_square, region_masks
from rffd.store import Store
from tests.toys import toy_store

SIZE = 96


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Reals are smooth colourful pictures; fakes are pure green, so that a pixel of theirs would show."""
    made = toy_store(tmp_path_factory.mktemp("pseudo") / "store", 24, SIZE)
    noise = np.random.default_rng(0).integers(0, 256, (24, 6, 6, 3), dtype=np.uint8)
    images = np.stack([cv2.resize(one, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for one in noise])
    images[..., 1] //= 2
    images[made.labels == 1] = (0, 255, 0)
    return dataclasses.replace(made, images=images)


def forge(store: Store, index: int, seed: int = 0, epoch: int = 1):
    return pseudo_fake(store, index, np.flatnonzero(store.labels == 0), seed, epoch)


def test_the_same_draw_gives_the_same_forgery_and_another_draw_another(store):
    one, again = forge(store, 2), forge(store, 2)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    for other in (forge(store, 2, seed=1), forge(store, 2, epoch=2), forge(store, 4)):
        assert not np.array_equal(one.pixels, other.pixels)


def test_the_region_changes_and_the_rest_stays_close(store):
    inside, outside = [], []
    for epoch in range(30):
        fake = forge(store, 2, epoch=epoch)
        apart = np.abs(fake.pixels.astype(float) - store.images[2]).mean(axis=2)
        inside.append(apart[fake.mask > 0.9].mean())
        outside.append(apart[fake.mask < 0.01].mean())
        assert outside[-1] < 16  # the low frequencies' shift, some levels
    assert np.mean(inside) > 3 * np.mean(outside)


def test_bits_say_where_the_mask_lies(store):
    """Of the regions, those with their bit set are covered, the others hardly."""
    regions = region_masks(SIZE, None) > 0.9
    for pattern in np.eye(4, dtype=np.float32):
        one = dataclasses.replace(store, bits=np.tile(pattern, (len(store), 1)))
        covered = np.mean([[forge(one, 2, epoch=e).mask[r].mean() for r in regions] for e in range(12)], axis=0)
        assert covered[pattern == 1].min() > 0.6
        assert covered[pattern == 0].max() < 0.25


def test_edges_are_soft(store):
    side = face_square(SIZE, None)[2]
    for epoch in range(10):
        mask = forge(store, 2, epoch=epoch).mask
        assert np.abs(np.diff(mask, axis=1)).max() < 1 / (2 * 0.010 * side)
        assert mask.min() >= 0
        assert mask.max() <= 1.0001


def test_only_training_reals_give_pixels(store):
    for epoch in range(20):
        pixels = forge(store, 2, epoch=epoch).pixels.astype(int)
        assert (pixels[..., 1] - pixels[..., [0, 2]].max(axis=2)).max() < 120


def test_a_share_of_the_reals_is_chosen_anew_each_epoch(store):
    assert not wanted(store, 0.0, 0, 1).any()
    assert np.array_equal(wanted(store, 1.0, 0, 1), store.labels == 0)
    half = [wanted(store, 0.5, 0, epoch) for epoch in range(40)]
    assert not any((one & (store.labels == 1)).any() for one in half)
    assert np.mean([one.sum() / 12 for one in half]) == pytest.approx(0.5, abs=0.1)
    assert not np.array_equal(half[0], half[1])


def batches(store: Store, **changes):
    options = {"batch_size": 8, "passes": 1, "seed": 3, "epoch": 2, "class_weights": np.ones(2), "grid": 4, "rank": 0}
    return list(epoch_batches(store, **{**options, "processes": 1, "pseudo": 0.7, **changes}))


def test_a_pseudo_fake_stands_in_its_bases_step_with_the_same_augmentation(store):
    for batch in batches(store):
        own, extra = len(batch.indices), len(batch.labels) - len(batch.indices)
        assert batch.labels[own:].tolist() == [1] * extra
        assert batch.counts.bits == batch.counts.patches == int(batch.counts.weight) == own + extra
        for row in range(own, own + extra):
            base = (batch.uniforms[:own] == batch.uniforms[row]).all(dim=1).nonzero()[0, 0]
            assert batch.labels[base] == 0
            assert (batch.pixels[row] != batch.pixels[base]).any()
            assert batch.masks[row, 1].min() == 1
            assert batch.masks[row, 0].max() > 0.5
            assert batch.bits[row].sum() >= 1


def test_passes_and_processes_share_the_same_samples(store):
    def seen(*parts):
        return sorted(bytes(p.numpy().tobytes()) for part in parts for batch in part for p in batch.pixels)

    whole = seen(batches(store))
    assert seen(batches(store, passes=2)) == whole
    assert seen(batches(store, processes=2), batches(store, processes=2, rank=1)) == whole


def test_a_store_without_bits_or_other_reals_works(store):
    bare = dataclasses.replace(store, bits=np.full_like(store.bits, np.nan))
    fake = pseudo_fake(bare, 2, np.array([2]), 0, 1)
    assert fake.bits.sum() >= 1
    assert (fake.pixels != bare.images[2]).any()
