"""Attention for training on a CPU: plain matrix products, without a mask and without a detour through float32.

`transformers` offers two: sdpa, whose backward pass is slow on CPUs, and eager, which turns bf16 scores into float32
and back. One thread trains ViT-Ti/16 in bf16 at 224 px with sdpa, eager and this at 11.8, 14.3 and 14.4 images/s, at
320 px at 5.2, 5.9 and 7.1. Softmax sums in float32 inside whatever its type is, so nothing is lost.
"""

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface

PLAIN = "rffd_plain"


def plain_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None = None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Query, key, value [B, heads, n, d] to [B, n, heads, d]; a ViT masks nothing."""
    weights = ((query * scaling) @ key.transpose(2, 3)).softmax(dim=-1).to(value.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(PLAIN, plain_attention)
