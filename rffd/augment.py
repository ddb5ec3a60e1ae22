"""Augmentation of whole batches on the device, drawn from (seed, epoch, index): order, number of processes
and restarts change nothing.

What a sample meets is decided by its own row of uniform numbers, so each operation is a pure function of
pixels and numbers. Degradations (blur, noise, JPEG, grey) are what photographs meet on their way; the seed
project's vertical flips and large rotations are none of these and are off by default.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rffd.params import require


@dataclass(frozen=True, kw_only=True)
class AugmentParams:
    """Strengths; a `*_chance` is the share of samples that meet the operation."""

    flip: float
    vertical_flip: float
    rotation: float
    crop: float
    colour: float
    grey: float
    blur: float
    noise: float
    jpeg: float
    jpeg_quality: int

    def __post_init__(self) -> None:
        for name in ("flip", "vertical_flip", "grey", "blur", "noise", "jpeg"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"fit.augment.{name}", value, "a chance from 0 to 1")
        require(0 <= self.rotation <= 180, "fit.augment.rotation", self.rotation, "from 0 to 180 degrees")
        require(0.3 <= self.crop <= 1, "fit.augment.crop", self.crop, "from 0.3 to 1 (share of the side)")
        require(0 <= self.colour <= 1, "fit.augment.colour", self.colour, "from 0 to 1")
        require(5 <= self.jpeg_quality <= 100, "fit.augment.jpeg_quality", self.jpeg_quality, "from 5 to 100")


# One column of uniform numbers for each random decision; new ones go at the end, so that old draws stay.
COLUMNS = (
    "flip", "vertical_flip", "angle", "scale", "shift_x", "shift_y",
    "brightness", "contrast", "saturation", "warmth",
    "grey", "blur", "blur_sigma", "noise", "noise_sigma", "noise_x", "noise_y", "jpeg", "jpeg_quality",
)  # fmt: skip


def draw(seed: int, epoch: int, indices: Sequence[int]) -> Tensor:
    """Uniform numbers [B, len(COLUMNS)] in 0..1, a pure function of (seed, epoch, index)."""
    rows = [
        np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, index])).random(len(COLUMNS))
        for index in indices
    ]
    return torch.from_numpy(np.asarray(rows, dtype=np.float32).reshape(-1, len(COLUMNS)))


def augment(
    pixels: Tensor, masks: Tensor, bits: Tensor, uniforms: Tensor, params: AugmentParams, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Augment one batch.

    `pixels` [B, S, S, 3] uint8; `masks` [B, C, M, M] float, moved like the pixels (M may be smaller);
    `bits` [B, 4] (eyes are swapped by a flip); `uniforms` from `draw`, on the CPU. Returns pixels
    [B, 3, size, size] float in 0..1, masks [B, C, size * M / S ...] at the model's frame, and bits.
    """
    u = dict(zip(COLUMNS, uniforms.unbind(1), strict=True))
    matrices = geometry(u, params)
    images = pixels.permute(0, 3, 1, 2).float()
    still = matrices is None and images.shape[-1] == size
    if not still:
        if matrices is None:
            matrices = torch.eye(2, 3).expand(len(images), 2, 3)
        images = warp(images, matrices, size)
        masks = warp(masks, matrices, masks.shape[-1]) if masks.shape[-1] else masks
    images = images.div_(255)
    flipped = (u["flip"] < params.flip).to(bits.device)
    bits = torch.where(flipped[:, None], bits[:, [1, 0, 2, 3]], bits)
    images = recolour(images, u, params)
    images = _on_chosen(images, u["grey"] < params.grey, grey)
    images = _on_chosen(images, u["blur"] < params.blur, blur, 0.3 + u["blur_sigma"] * size / 160)
    images = _on_chosen(
        images, u["noise"] < params.noise, noise, 0.002 + 0.03 * u["noise_sigma"], u["noise_x"], u["noise_y"]
    )
    low = params.jpeg_quality
    images = _on_chosen(images, u["jpeg"] < params.jpeg, jpeg, low + (100 - low) * u["jpeg_quality"])
    return images.clamp_(0, 1), masks, bits


def _on_chosen(images: Tensor, chosen: Tensor, operation: Callable[..., Tensor], *numbers: Tensor) -> Tensor:
    """Apply `operation(images, *numbers)` to the chosen rows only, in place; the rest cost nothing."""
    rows = chosen.nonzero()[:, 0]
    if len(rows):
        arguments = [number[rows].to(images.device) for number in numbers]
        rows = rows.to(images.device)
        images.index_copy_(0, rows, operation(images[rows], *arguments))
    return images


def geometry(u: dict[str, Tensor], params: AugmentParams) -> Tensor | None:
    """Affine matrices [B, 2, 3] from output to input coordinates in -1..1, or None if nothing can move."""
    if params.flip == params.vertical_flip == params.rotation == 0 and params.crop == 1:
        return None
    scale = 1 - (1 - params.crop) * u["scale"]
    angle = (2 * u["angle"] - 1) * math.radians(params.rotation)
    sign_x = torch.where(u["flip"] < params.flip, -1.0, 1.0)
    sign_y = torch.where(u["vertical_flip"] < params.vertical_flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    room = 1 - scale
    row_x = torch.stack([sign_x * cos, -sign_y * sin, (2 * u["shift_x"] - 1) * room], dim=1)
    row_y = torch.stack([sign_x * sin, sign_y * cos, (2 * u["shift_y"] - 1) * room], dim=1)
    return torch.stack([row_x, row_y], dim=1)


def warp(images: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Sample [B, C, S, S] bilinearly at [B, C, size, size] through `matrices`; edges are mirrored."""
    matrices = matrices.to(images.device)
    centres = (2 * torch.arange(size, device=images.device) + 1) / size - 1
    grid = images.new_empty(
        len(images), size, size, 2
    )  # F.affine_grid's, whose matrix product costs twice the sampling
    for axis in (0, 1):
        along_x, along_y, shift = matrices[:, axis].unbind(1)
        rows = torch.addcmul(shift[:, None], along_y[:, None], centres)
        torch.add(rows[:, :, None], (along_x[:, None] * centres)[:, None], out=grid[..., axis])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolour(images: Tensor, u: dict[str, Tensor], params: AugmentParams) -> Tensor:
    """Brightness, contrast, saturation and warmth, each by up to `params.colour`, as one affine colour map."""
    if params.colour == 0:
        return images

    def factor(name: str) -> Tensor:
        return (1 + params.colour * (2 * u[name] - 1)).to(images.device)[:, None, None]

    luma = images.new_tensor([0.299, 0.587, 0.114]).expand(3, 3)
    saturation = factor("saturation")
    matrix = saturation * torch.eye(3, device=images.device) + (1 - saturation) * luma
    tint = torch.cat([factor("warmth"), torch.ones_like(saturation), 2 - factor("warmth")], dim=1)
    matrix = tint * matrix * factor("brightness")
    flat = images.flatten(2)
    contrast = factor("contrast")
    middle = flat.mean(dim=2, keepdim=True)
    return torch.baddbmm((1 - contrast) * (matrix @ middle), contrast * matrix, flat).view_as(images).clamp_(0, 1)


def grey(images: Tensor) -> Tensor:
    """[B, 3, H, W] to its luma in all three channels."""
    weights = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True).expand_as(images)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with one `sigma` [B] in pixels an image."""
    count, channels, height, width = images.shape
    reach = max(1, math.ceil(2.5 * float(sigma.max())))
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets[None] / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)[:, None, None]
    flat = images.reshape(1, count * channels, height, width)
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="reflect"), kernel, groups=count * channels)
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="reflect"), kernel.mT, groups=count * channels)
    return flat.view_as(images)


@functools.lru_cache(maxsize=4)
def _noise_field(device: torch.device, size: int) -> Tensor:
    """One field of unit normal noise [3, size, size]; samples look at it through windows of their own."""
    return torch.randn(3, size, size, generator=torch.Generator().manual_seed(20190114)).to(device)


def noise(images: Tensor, sigma: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Add sensor-like noise of standard deviation `sigma` [B] (of 1), windows placed by `x`, `y` [B] in 0..1."""
    height, width = images.shape[2:]
    field = _noise_field(images.device, 512 + max(height, width))
    corners = [(int(top * 512), int(left * 512)) for top, left in zip(y.tolist(), x.tolist(), strict=True)]
    windows = torch.stack([field[:, top : top + height, left : left + width] for top, left in corners])
    return images + sigma[:, None, None, None] * windows


_LUMA_TABLE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA_TABLE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32,
)  # fmt: skip
_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@functools.lru_cache(maxsize=4)
def _jpeg_constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The 8-point DCT matrix, the tables of ITU T.81 annex K, and RGB to YCbCr and back."""
    k, n = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    dct = torch.cos(math.pi * (2 * n + 1) * k / 16) * torch.where(k == 0, math.sqrt(1 / 8), 0.5)
    tables = torch.tensor([_LUMA_TABLE, _CHROMA_TABLE], dtype=torch.float32).view(2, 8, 8)
    forward = torch.tensor(_YCBCR)
    return dct.to(device), tables.to(device), forward.to(device), torch.linalg.inv(forward).to(device)


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """What a JPEG round trip at `quality` [B] (1-100, libjpeg's scale, 4:2:0) leaves, without the entropy coding.

    [B, 3, H, W] in 0..1; sizes that aren't multiples of 16 are padded by repetition, as encoders do.
    """
    dct, tables, forward, back = _jpeg_constants(images.device)
    height, width = images.shape[2:]
    padded = F.pad(images, (0, -width % 16, 0, -height % 16), mode="replicate")
    planes = torch.einsum("ij,bjhw->bihw", forward, padded) * 255
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None, None]
    steps = ((tables[None] * scale + 50) / 100).floor().clamp(1, 255)

    def quantise(plane: Tensor, step: Tensor) -> Tensor:
        count, channels, rows, columns = plane.shape
        blocks = plane.reshape(count, channels, rows // 8, 8, columns // 8, 8).transpose(3, 4)
        step = step[:, None, None, None]
        blocks = dct.mT @ ((dct @ blocks @ dct.mT / step).round() * step) @ dct
        return blocks.transpose(3, 4).reshape(plane.shape)

    luma = quantise(planes[:, :1] - 128, steps[:, 0]) + 128
    chroma = quantise(F.avg_pool2d(planes[:, 1:], 2), steps[:, 1])
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,bjhw->bihw", back, torch.cat([luma, chroma], dim=1)) / 255
    return rgb[:, :, :height, :width].clamp(0, 1)


_OFF: dict[str, Any] = {field.name: 0.0 for field in fields(AugmentParams)} | {"crop": 1.0, "jpeg_quality": 100}
NO_AUGMENTATION = AugmentParams(**_OFF)
