"""Which values a fit really uses: `fit`'s own, overlaid with what a search found, overlaid with what is set."""

import dataclasses
from typing import Any

from rffd.fit_params import FitParams
from rffd.params import require
from rffd.search_space import overlay


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainParams:
    """The final training; null takes what the search found, or else `fit`'s value."""

    epochs: int
    seed: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    layer_decay: float | None
    warmup: float | None
    drop_path: float | None
    label_smoothing: float | None
    frozen_blocks: int | None
    region_weight: float | None
    patch_weight: float | None
    ema: float | None
    augment: dict[str, Any]

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= 10_000, "train.epochs", self.epochs, "from 1 to 10000")

    def values(self) -> dict[str, Any]:
        """What is set here, by the tunables' dotted names."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("epochs", "augment")}
        own |= {f"augment.{name}": value for name, value in self.augment.items()}
        return {name: value for name, value in own.items() if value is not None}


def values_for_training(fit: FitParams, found: dict[str, Any], train: TrainParams) -> FitParams:
    """`train.x` if set, else what the search found, else `fit.x`."""
    return overlay(overlay(fit, found, "search.space"), train.values(), "train")
