"""Everything tunable about the fine-tuning: what may stand in `params.yaml`'s section `fit`."""

from dataclasses import dataclass
from typing import Literal

from rffd.augment import AugmentParams
from rffd.params import require
from rffd.precision import Precision


@dataclass(frozen=True, kw_only=True)
class FitParams:
    """Everything tunable; `params.yaml` says what each is and why it has its value."""

    seed: int
    image_size: int | None
    batch_size: int
    gradient_accumulation: int
    learning_rate: float
    weight_decay: float
    layer_decay: float
    warmup: float
    schedule: Literal["cosine", "linear"]
    tune: Literal["all", "norms"]
    frozen_blocks: int
    drop_path: float
    label_smoothing: float
    class_weights: bool
    region_weight: float
    patch_weight: float
    region_pool: Literal["mean", "regions"]
    pseudo: float
    clip_norm: float | None
    ema: float
    mixed_precision: Precision
    select: Literal["auc", "log_loss", "accuracy", "f1", "last"]
    patience: int | None
    log_with: str | None
    augment: AugmentParams

    def __post_init__(self) -> None:
        for name, low, high in (
            ("seed", 0, 2**31 - 1),
            ("batch_size", 1, 65536),
            ("gradient_accumulation", 1, self.batch_size),
            ("weight_decay", 0, 10),
            ("layer_decay", 0.01, 1),
            ("warmup", 0, 1),
            ("frozen_blocks", 0, 1000),
            ("drop_path", 0, 0.9),
            ("label_smoothing", 0, 0.5),
            ("region_weight", 0, 1000),
            ("patch_weight", 0, 1000),
            ("pseudo", 0, 1),
            ("ema", 0, 0.99999),
        ):
            value = getattr(self, name)
            require(low <= value <= high, f"fit.{name}", value, f"from {low} to {high}")
        require(0 < self.learning_rate <= 1, "fit.learning_rate", self.learning_rate, "above 0 and at most 1")
        require(self.clip_norm is None or self.clip_norm > 0, "fit.clip_norm", self.clip_norm, "null or above 0")
        require(self.patience is None or self.patience > 0, "fit.patience", self.patience, "null or at least 1")
