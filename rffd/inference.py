"""Scores for stored squares of pixels, the same way wherever they are needed: full precision, one plain view."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from rffd.model import Detector
from rffd.preprocessing import model_view


class Inference(NamedTuple):
    """`logits` [N, 2] float64 (real, fake); `regions` [N, 4] float64 and `patches` [N, h, w] float32 as
    probabilities of having been replaced."""

    logits: np.ndarray
    regions: np.ndarray
    patches: np.ndarray


def to_best_device(detector: Detector) -> Detector:
    """Move the detector to a GPU where one is at hand (CUDA or ROCm) and return it; full precision everywhere.

    TF32, the default of convolutions on newer GPUs, would keep 10 bits of what they multiply: enough to move
    answers, and never the same as the CPU's.
    """
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        detector.to("cuda")
    return detector


def to_pixels(images: np.ndarray, detector: Detector) -> torch.Tensor:
    """[B, S, S, 3] uint8 squares to the model's normalised input [B, 3, s, s] on its device."""
    device = next(detector.parameters()).device
    view = torch.from_numpy(np.ascontiguousarray(model_view(images, detector.image_size)))
    return detector.normalise(view.to(device).permute(0, 3, 1, 2).float() / 255)


@torch.inference_mode()
def infer(
    detector: Detector, images: np.ndarray, batch_size: int = 32, progress: Callable[[int], object] | None = None
) -> Inference:
    """Score `images` [N, S, S, 3] uint8 in batches; `progress` is told how many each batch held."""
    was_training = detector.training
    detector.eval()
    logits, regions, patches = [], [], []
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size])
        outputs = detector(to_pixels(batch, detector))
        logits.append(outputs.logits.double().cpu().numpy())
        regions.append(outputs.regions.double().sigmoid().cpu().numpy())
        patches.append(outputs.patches.float().sigmoid().cpu().numpy())
        if progress:
            progress(len(batch))
    detector.train(was_training)
    side = detector.image_size // detector.patch_size
    return Inference(
        np.concatenate(logits) if logits else np.zeros((0, 2)),
        np.concatenate(regions) if regions else np.zeros((0, 4)),
        np.concatenate(patches) if patches else np.zeros((0, side, side), np.float32),
    )
