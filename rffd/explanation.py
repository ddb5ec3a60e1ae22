"""Maps of where the detector looks, one value a patch; higher means more evidence of forgery, or more attention.

Four cheap maps and a slow one. Attention alone says what was read, not why: only the gradient-weighted map,
the patch head and occlusion speak of "fake". How far each may be trusted is measured in `rffd/inspection.py`.
"""

import contextlib
import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rffd.inference import to_pixels
from rffd.model import Detector

MAPS = {
    "attention": "last layer's attention from CLS to the patches",
    "rollout": "attention followed through all layers",
    "gradient": "attention through all layers, weighted by its gradient towards fake",
    "patches": "the patch head's probability that a patch was replaced",
}
OCCLUSION = "occlusion"
COVER = 3  # patches a side of the square that occlusion covers: about an eye at 8 or 14 patches a side


def maps(detector: Detector, images: np.ndarray) -> dict[str, np.ndarray]:
    """All of `MAPS` for [B, S, S, 3] uint8 squares, each [B, h, w] float32; one pass forward and one back."""
    pixels = to_pixels(images, detector).requires_grad_()  # so that gradients flow though the weights be frozen
    with eager_attention(detector), torch.enable_grad():
        output = detector.vit.vit(pixels, output_attentions=True)
        tokens, attentions = output.last_hidden_state, output.attentions
        logits = detector.vit.classifier(tokens[:, 0])
        gradients = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), attentions)
    with torch.no_grad():
        found = {
            "attention": grid(attentions[-1].mean(dim=1)[:, 0, 1:]),
            "rollout": grid(rollout([a.mean(dim=1) for a in attentions])),
            "gradient": grid(gradient_rollout(list(attentions), list(gradients))),
            "patches": detector.heads(tokens)[1].sigmoid(),
        }
    return {name: values.float().cpu().numpy() for name, values in found.items()}


def grid(values: Tensor) -> Tensor:
    """[B, n] values of patches, row by row, to [B, sqrt n, sqrt n]."""
    side = math.isqrt(values.shape[1])
    return values.detach().reshape(-1, side, side)


def rollout(attentions: list[Tensor]) -> Tensor:
    """Attention rollout (Abnar & Zuidema 2020): [B, 1 + n, 1 + n] a layer to CLS's share of each patch, [B, n].

    Half of each layer's output is taken to come through its residual connection.
    """
    identity = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    flow = identity.expand_as(attentions[0])
    for attention in attentions:
        flow = (attention + identity) / 2 @ flow
    return flow[:, 0, 1:]


def gradient_rollout(attentions: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """Gradient-weighted rollout (Chefer et al. 2021, eq. 5-6): [B, heads, 1 + n, 1 + n] a layer to [B, n].

    Of each head only what pushes the logit upwards is kept; relevance adds up along the residual connections.
    """
    relevance = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    relevance = relevance.expand(len(attentions[0]), -1, -1)
    for attention, gradient in zip(attentions, gradients, strict=True):
        relevance = relevance + (attention * gradient).clamp(min=0).mean(dim=1) @ relevance
    return relevance[:, 0, 1:]


@torch.inference_mode()
def occlusion(detector: Detector, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """How much the score of fake falls when a square of `COVER` patches around each patch is covered, [B, h, w].

    The slow check that looks inside no weight: h * w passes an image, in batches of `batch_size`. The cover is
    the image's mean colour; the score is the difference of the logits.
    """
    pixels, patch = to_pixels(images, detector), detector.patch_size
    side, reach = detector.image_size // patch, COVER // 2
    found = np.zeros((len(pixels), side, side), dtype=np.float32)
    for i, picture in enumerate(pixels):
        colour = picture.mean(dim=(1, 2), keepdim=True)
        cells = [(row, column) for row in range(side) for column in range(side)]
        before = _margin(detector, picture[None])
        for start in range(0, len(cells), batch_size):
            some = cells[start : start + batch_size]
            covered = picture.repeat(len(some), 1, 1, 1)
            for k, (row, column) in enumerate(some):
                top, left = max(0, row - reach) * patch, max(0, column - reach) * patch
                covered[k, :, top : (row + reach + 1) * patch, left : (column + reach + 1) * patch] = colour
            rows, columns = zip(*some, strict=True)
            found[i, rows, columns] = (before - _margin(detector, covered)).float().cpu().numpy()
    return found


def _margin(detector: Detector, pixels: Tensor) -> Tensor:
    logits = detector(pixels).logits
    return logits[:, 1] - logits[:, 0]


def randomised(detector: Detector, seed: int) -> Detector:
    """A copy with the values of every weight tensor shuffled: same sizes, same statistics, nothing learned.

    A map that finds forgeries just as well on this model shows the picture or the network's shape, not what
    was learned (Adebayo et al. 2018, "Sanity checks for saliency maps").
    """
    control = copy.deepcopy(detector)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in control.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return control.eval()


@contextlib.contextmanager
def eager_attention(detector: Detector) -> Iterator[None]:
    """Attention that shows its weights: the default, sdpa, returns none."""
    before = detector.vit.config._attn_implementation
    detector.vit.set_attn_implementation("eager")
    try:
        yield
    finally:
        detector.vit.set_attn_implementation(before)
