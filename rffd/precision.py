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
        return "bf16", "this CPU multiplies bf16 natively (AMX)"
    return "no", "this CPU would only emulate bf16"


def _cpu_multiplies_bf16() -> bool:
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe and probe())
