"""Which number format trains fastest here without harm: `auto` looks at the hardware."""

from typing import Literal

import torch

Precision = Literal["auto", "no", "fp16", "bf16"]


def resolve_precision(wanted: Precision) -> tuple[str, str]:
    """The `mixed_precision` for Accelerate, and in words why.

    bf16 where the hardware multiplies it natively; fp16 on older GPUs; else full precision: CPUs that only
    emulate bf16 are 15-20 times slower with it.
    """
    if wanted != "auto":
        return wanted, "as set in fit.mixed_precision"
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", f"{name} has native bf16"
        return "fp16", f"{name} has no native bf16"
    if _cpu_multiplies_bf16():
        return "bf16", "this CPU multiplies bf16 natively"
    return "no", "this CPU would only emulate bf16"


def _cpu_multiplies_bf16() -> bool:
    # AMX or AVX512-BF16: 1.7 and 1.8 times full precision's speed for ViT-Ti/16 at 224 px, two cores
    probes = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return any(probe is not None and probe() for probe in probes)
