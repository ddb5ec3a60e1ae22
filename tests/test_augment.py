"""Augmentation: pure functions of (seed, epoch, index), true to what they imitate."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from rffd.augment import NO_AUGMENTATION, AugmentParams, augment, blur, draw, grey, jpeg
from rffd.params import ParamError

ALL_ON = AugmentParams(
    flip=0.5, vertical_flip=0.2, rotation=10, crop=0.8, colour=0.2, grey=0.3, blur=0.5, noise=0.5, jpeg=0.5,
    jpeg_quality=30,
)  # fmt: skip


def picture(count: int = 6, size: int = 48) -> torch.Tensor:
    """Smooth pictures with an edge, [count, size, size, 3] uint8."""
    y, x = np.mgrid[0:size, 0:size] / size
    stack = [np.stack([x, y, (x + k * y / 5) / 2], axis=-1) * 200 + 30 * (x > 0.5)[..., None] for k in range(count)]
    return torch.from_numpy(np.stack(stack).astype(np.uint8))


def run(params: AugmentParams, indices: list[int], epoch: int = 1, size: int = 48):
    pixels = picture()[indices]
    masks = torch.zeros(len(indices), 1, 24, 24)
    masks[:, :, 4:8, 4:8] = 1
    bits = torch.tensor([[1.0, 0.0, 0.0, 1.0]]).repeat(len(indices), 1)
    return augment(pixels, masks, bits, draw(7, epoch, indices), params, size)


def test_a_sample_meets_the_same_whatever_its_batch():
    together = run(ALL_ON, [0, 1, 2, 3, 4, 5])
    alone = [run(ALL_ON, [i]) for i in range(6)]
    for k in range(3):
        assert torch.allclose(together[k], torch.cat([one[k] for one in alone]), atol=1e-5)


def test_epochs_and_seeds_differ():
    assert not torch.equal(draw(7, 1, [0, 1]), draw(7, 2, [0, 1]))
    assert not torch.equal(draw(7, 1, [0, 1]), draw(8, 1, [0, 1]))
    assert torch.equal(draw(7, 1, [0, 1])[1], draw(7, 1, [1])[0])


def test_nothing_on_leaves_the_pixels():
    pixels, _, bits = run(NO_AUGMENTATION, [0, 3])
    assert torch.equal((pixels * 255).round().byte(), picture()[[0, 3]].permute(0, 3, 1, 2))
    assert bits.tolist() == [[1, 0, 0, 1]] * 2


def test_a_flip_mirrors_pixels_and_masks_and_swaps_the_eyes():
    pixels, masks, bits = run(dataclasses.replace(NO_AUGMENTATION, flip=1.0), [0])
    assert torch.allclose(pixels, picture()[[0]].permute(0, 3, 1, 2).flip(3) / 255, atol=1e-4)
    assert bits.tolist() == [[0, 1, 0, 1]]
    assert masks[0, 0, 4:8, 16:20].min() > 0.99
    assert masks.sum() == pytest.approx(16, rel=1e-3)


def test_crops_move_masks_with_pixels():
    params = dataclasses.replace(NO_AUGMENTATION, crop=0.5)
    marked = torch.zeros(8, 48, 48, 3, dtype=torch.uint8)
    marked[:, 16:32, 16:32] = 255
    masks = torch.zeros(8, 1, 24, 24)
    masks[:, :, 8:16, 8:16] = 1
    pixels, moved, _ = augment(marked, masks, torch.zeros(8, 4), draw(0, 1, range(8)), params, 48)
    shrunk = torch.nn.functional.avg_pool2d(pixels[:, :1], 2)
    assert (shrunk - moved).abs().max() < 0.35  # edges are sampled at two resolutions
    assert (shrunk - moved).abs().mean() < 0.01


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_jpeg_agrees_with_a_real_encoder(quality):
    pixels = picture(2, 64)
    ours = jpeg(pixels.permute(0, 3, 1, 2) / 255, torch.full((2,), float(quality)))
    for i in range(2):
        buffer = io.BytesIO()
        Image.fromarray(pixels[i].numpy()).save(buffer, "JPEG", quality=quality, subsampling=2)
        real = np.asarray(Image.open(buffer)).astype(float)
        assert np.abs(real - ours[i].permute(1, 2, 0).numpy() * 255).mean() < 1.5


def test_blur_keeps_the_mean_and_smooths():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    smooth = blur(images, torch.tensor([0.5, 2.0]))
    assert torch.allclose(smooth.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.01)
    assert smooth[1].std() < smooth[0].std() < images[0].std()


def test_grey_has_equal_channels():
    result = grey(torch.rand(1, 3, 4, 4))
    assert torch.equal(result[:, 0], result[:, 1])


def test_bad_strengths_are_one_line():
    with pytest.raises(ParamError, match=r"fit\.augment\.crop.*0\.1.*from 0\.3"):
        dataclasses.replace(ALL_ON, crop=0.1)
