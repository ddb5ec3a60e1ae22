"""What is tuned and how fast: parameter groups, the learning rate over time, averaged weights."""

import math
from typing import Any

import torch
from torch import nn

from rffd.model import Detector


def freeze(detector: Detector, frozen_blocks: int, tune: str, region_weight: float, patch_weight: float) -> None:
    """Switch off gradients of what isn't tuned: the first blocks (with the embeddings), all but LayerNorms and
    heads (`tune` = "norms"), and heads whose loss has no weight (their gradients would never come)."""
    vit = detector.vit.vit
    if frozen_blocks > 0:
        for module in (vit.embeddings, *vit.layers[:frozen_blocks]):
            module.requires_grad_(False)
    if tune == "norms":
        vit.requires_grad_(False)
        for module in vit.modules():
            if isinstance(module, nn.LayerNorm):
                module.requires_grad_(True)
    detector.heads.regions.requires_grad_(region_weight > 0)
    detector.heads.patches.requires_grad_(patch_weight > 0)


def parameter_groups(
    detector: Detector, learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Groups for AdamW, each with its `peak` learning rate.

    Decay falls on matrices only (by dimension: ViT's norms aren't named as the usual filters expect). The rate
    falls by `layer_decay` a layer from the heads down to the embeddings (Clark et al. 2020; BEiT).
    """
    depth_of_heads = len(detector.vit.vit.layers) + 1
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((_depth(name, depth_of_heads), parameter.dim() >= 2), []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": learning_rate * layer_decay ** (depth_of_heads - depth),
            "lr": 0.0,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (depth, decays), parameters in sorted(groups.items())
    ]


def _depth(name: str, depth_of_heads: int) -> int:
    parts = name.split(".")
    if "embeddings" in parts:
        return 0
    if "layers" in parts:
        return int(parts[parts.index("layers") + 1]) + 1
    return depth_of_heads


def rate_factor(step: int, steps: int, warmup: float, schedule: str) -> float:
    """The share of the peak rate at `step` of `steps`: linear up over `warmup` (a share), then down to zero."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    left = (steps - step) / max(1.0, steps - rise)
    return left if schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))


class Average:
    """An exponential moving average of the tuned weights (Polyak); `swap` exchanges it with the live ones.

    The decay is warmed up as (1 + n) / (10 + n), so that short runs aren't held back by their first steps.
    """

    def __init__(self, detector: Detector, decay: float):
        self.decay, self.steps = decay, 0
        self.live = {name: p for name, p in detector.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the live weights after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.mean.values()), [p.detach() for p in self.live.values()], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and live weights, in place."""
        for name, parameter in self.live.items():
            kept = parameter.detach().clone()
            parameter.copy_(self.mean[name])
            self.mean[name].copy_(kept)
