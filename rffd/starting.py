"""A start from which a small ViT learns sooner than from plain random weights.

Places are sines and cosines (Beyer et al., Better plain ViT baselines, 2022), and attention looks for what is alike
and takes it away from itself, as it does in ViTs trained long (Trockman and Kolter, Mimetic Initialization of
Self-Attention Layers, 2023): each token starts out comparing itself with its like, which is what finding a foreign
piece needs. Measured on 2,800 scenes of an earlier kind (docs/log.md), where 2.45 is chance: a loss of 2.38, and 2.43
from plain random weights.
"""

import math
from typing import Any

import torch
from torch import Tensor
from transformers import ViTForImageClassification

PLACES = 0.3  # deviation of the codes of places, near that of the patches' own
ALIKE, RANDOM = 0.7, 0.7  # shares of identity and noise in query times key
AWAY, STIRRED = 0.4, 0.4  # shares of minus identity and noise in value times output


@torch.no_grad()
def start_well(vit: ViTForImageClassification, seed: int) -> None:
    """Set the codes of places and the attention's four matrices of each layer, in place."""
    generator = torch.Generator().manual_seed(seed)
    embeddings: Any = vit.vit.embeddings
    width, heads = vit.config.hidden_size, vit.config.num_attention_heads
    side = math.isqrt(embeddings.position_embeddings.shape[1] - 1)
    embeddings.position_embeddings[0, 0] = 0
    embeddings.position_embeddings[0, 1:] = PLACES * places(side, width)
    head = width // heads
    for layer in vit.vit.layers:
        attention: Any = layer.attention
        for start in range(0, width, head):
            rows = slice(start, start + head)
            left, sizes, right = torch.linalg.svd(RANDOM * _noise(width, generator) + ALIKE * torch.eye(width))
            attention.q_proj.weight[rows] = (left * sizes.sqrt()).T[:head]
            attention.k_proj.weight[rows] = (right * sizes.sqrt()[:, None])[:head]
        left, sizes, right = torch.linalg.svd(STIRRED * _noise(width, generator) - AWAY * torch.eye(width))
        attention.o_proj.weight.copy_(left * sizes.sqrt())
        attention.v_proj.weight.copy_(right * sizes.sqrt()[:, None])


def places(side: int, width: int) -> Tensor:
    """Sines and cosines of row and column at `width` / 4 wavelengths, [side * side, width]."""
    waves = 100.0 ** -(torch.arange(width // 4) / (width // 4))
    down, across = torch.meshgrid(torch.arange(side).float(), torch.arange(side).float(), indexing="ij")
    angles = [place.reshape(-1, 1) * waves for place in (down, across)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def _noise(width: int, generator: torch.Generator) -> Tensor:
    return torch.randn(width, width, generator=generator) / math.sqrt(width)
