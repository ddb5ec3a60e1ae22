"""What training minimises: real or fake, and beside it which regions and which patches were replaced.

Each loss is a sum over this process's samples divided by a count over the whole step's, so that splitting a
step among processes or passes changes nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rffd.model import Outputs

PATCH_REPLACED = 0.3  # a patch counts as replaced from this share of its pixels on
PATCH_POSITIVE_WEIGHT = 5.0  # replaced patches are about a tenth of all


class Targets(NamedTuple):
    """`labels` [B] int64; `weights` [B] of the classes; `bits` [B, 4], NaN where unknown; `patches` [B, 2, h, w]:
    replaced share and whether it is known (1) or not (0)."""

    labels: Tensor
    weights: Tensor
    bits: Tensor
    patches: Tensor


class Counts(NamedTuple):
    """What the sums are divided by, over the whole optimiser step and all processes: class weight, samples,
    samples with known bits, samples with known patches."""

    weight: float
    size: int
    bits: int
    patches: int


def total_loss(
    outputs: Outputs, targets: Targets, counts: Counts, smoothing: float, region_weight: float, patch_weight: float
) -> Tensor:
    """The weighted sum of the three losses, a scalar."""
    each = F.cross_entropy(outputs.logits.float(), targets.labels, reduction="none", label_smoothing=smoothing)
    loss = (each * targets.weights).sum() / counts.weight
    if region_weight > 0:
        known = ~targets.bits.isnan()
        wanted = torch.where(known, targets.bits, 0)
        each = F.binary_cross_entropy_with_logits(outputs.regions.float(), wanted, reduction="none")
        loss = loss + region_weight * (each * known).mean(dim=1).sum() / max(1, counts.bits)
    if patch_weight > 0:
        share, known = targets.patches[:, 0], (targets.patches[:, 1] > 0.99).float()
        each = F.binary_cross_entropy_with_logits(
            outputs.patches.float(),
            (share > PATCH_REPLACED).float(),
            reduction="none",
            pos_weight=share.new_tensor(PATCH_POSITIVE_WEIGHT),
        )
        one = (each * known).sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp(min=1)
        loss = loss + patch_weight * one.sum() / max(1, counts.patches)
    return loss
