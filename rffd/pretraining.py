"""Learning from drawn scenes: the schedule, the losses of one batch, a round, and what is kept between rounds."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from rffd.attention import PLAIN
from rffd.augment import AugmentParams, augment
from rffd.augment import draw as draw_augmentation
from rffd.backbone import BackboneParams
from rffd.backbone import draw as draw_weights
from rffd.batches import MASK_CELLS, epoch_order
from rffd.checkpoint import load_checkpoint, save_checkpoint
from rffd.errors import RffdError
from rffd.fit_state import load_optimizer_tensors, optimizer_tensors
from rffd.inference import infer
from rffd.losses import Counts, Targets, total_loss
from rffd.model import Detector, Outputs, new_detector
from rffd.optimisation import Average, rate_factor
from rffd.params import require
from rffd.precision import resolve_precision
from rffd.preprocessing import PreprocessParams
from rffd.scenes import TRAITS
from rffd.starting import start_well
from rffd.stream import Pairs

AUGMENT = AugmentParams(
    flip=0.5, vertical_flip=0.0, rotation=0, crop=0.85, colour=0.15, grey=0.05, blur=0.1, noise=0.15, jpeg=0.3,
    jpeg_quality=40,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PretrainParams:
    """The schedule. A round draws `pairs` of scenes and passes over them `passes` times, augmented otherwise; the rate
    rises, and falls to zero at the end of the `rounds`. `batch_size` counts pairs: with both of its pictures in a step
    and augmented alike, all that differs is the foreign piece."""

    seed: int = 20
    rounds: int = 190
    pairs: int = 1024
    passes: int = 2
    batch_size: int = 32
    learning_rate: float = 7e-4
    weight_decay: float = 0.05
    warmup: float = 0.05
    zone_weight: float = 0.5
    patch_weight: float = 1.0
    trait_weight: float = 3.0
    ema: float = 0.999
    image_size: int = 64
    patch_size: int = 8
    hidden_size: int = 128
    layers: int = 4
    heads: int = 4

    def __post_init__(self) -> None:
        for name in ("rounds", "pairs", "passes", "batch_size"):
            require(getattr(self, name) >= 1, f"--{name.replace('_', '-')}", getattr(self, name), "1 or more")
        require(0 < self.learning_rate <= 1, "--learning-rate", self.learning_rate, "above 0 and at most 1")

    @property
    def cells(self) -> int:
        """Cells of a mask a side, as the fine-tuning has them."""
        return self.image_size // self.patch_size * MASK_CELLS

    @property
    def epoch_steps(self) -> int:
        """Optimiser steps of a pass."""
        return -(-self.pairs // self.batch_size)

    def rate_factor(self, step: int) -> float:
        """The share of the peak rate at a step of the whole run."""
        return rate_factor(step, self.rounds * self.passes * self.epoch_steps, self.warmup, "cosine")


def zones(masks: Tensor) -> Tensor:
    """Which of four zones hold something foreign, [B, 4] float, for masks [B, M, M] (0 to 1): left, right, top and
    bottom, cut by the diagonals; a mirrored picture swaps the first two, as it swaps a face's eyes."""
    line = torch.linspace(-1, 1, masks.shape[-1])
    across, down = line[None].expand(len(line), -1), line[:, None].expand(-1, len(line))
    wide = across.abs() > down.abs()
    areas = torch.stack([wide & (across < 0), wide & (across > 0), ~wide & (down < 0), ~wide & (down > 0)]).float()
    return (torch.einsum("bhw,zhw->bz", masks, areas) > 0.02 * areas[0].sum()).float()


class Pretraining:
    """The detector with a third head for the traits, its optimiser and average, and how far they have come."""

    def __init__(self, params: PretrainParams):
        self.params = params
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with tempfile.TemporaryDirectory() as folder:
            sizes = {name: getattr(params, name) for name in ("image_size", "patch_size", "hidden_size", "layers")}
            start = BackboneParams(
                source="scratch", path="", repo="", revision=None, seed=params.seed, heads=params.heads, **sizes
            )
            draw_weights(start, Path(folder))
            contract = PreprocessParams(image_size=params.image_size, jpeg_quality=None, face_margin=None)
            self.detector: Detector = new_detector(Path(folder), contract)
        start_well(self.detector.vit, params.seed)
        precision, reason = resolve_precision("auto")
        self.dtype = {"bf16": torch.bfloat16}.get(precision, torch.float32)  # fp16 would need its loss scaled
        print(f"precision: {'bf16' if self.dtype == torch.bfloat16 else 'no'} ({reason})", file=sys.stderr)
        if self.device.type == "cpu":
            self.detector.vit.set_attn_implementation(PLAIN)
        traits = self.detector.heads.traits = nn.Linear(params.hidden_size, TRAITS)
        nn.init.zeros_(traits.weight)
        nn.init.constant_(traits.bias, 0.5)
        self.detector.to(self.device)
        # Muon for the layers' matrices (Jordan et al., 2024), AdamW for the rest
        matrices = [value for value in self.detector.vit.vit.layers.parameters() if value.dim() == 2]
        others = [value for value in self.detector.parameters() if all(value is not matrix for matrix in matrices)]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "muon": torch.optim.Muon(
                matrices, lr=3 * params.learning_rate, weight_decay=params.weight_decay, adjust_lr_fn="match_rms_adamw"
            ),
            "adamw": torch.optim.AdamW(others, lr=params.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
        }
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["peak"] = group["lr"]
        self.average = Average(self.detector, params.ema)
        self.history: list[dict[str, float]] = []

    def save(self, folder: Path) -> None:
        """Keep the state after a round."""
        tensors = {
            "model": self.detector.state_dict(),
            **{name: optimizer_tensors(optimizer) for name, optimizer in self.optimizers.items()},
            "average": self.average.mean,
        }
        save_checkpoint(folder, len(self.history), tensors, {"history": self.history, "steps": self.average.steps})

    def load(self, folder: Path) -> None:
        """Take up the newest whole state, if there is one."""
        found = load_checkpoint(folder, self.device)
        if found is None:
            return
        tensors, state = found
        self.detector.load_state_dict(tensors["model"])
        for name, optimizer in self.optimizers.items():
            load_optimizer_tensors(optimizer, tensors[name])
        for name, value in tensors["average"].items():
            self.average.mean[name].copy_(value)
        self.average.steps, self.history = state["steps"], state["history"]
        print(f"going on after round {len(self.history)}, as saved", file=sys.stderr)

    def run_round(self, pairs: Pairs) -> float:
        """Pass over the pairs of one round; the mean loss."""
        params, number = self.params, len(self.history)
        total = torch.zeros((), device=self.device)
        self.detector.train()
        for epoch in range(number * params.passes, (number + 1) * params.passes):
            order = epoch_order(params.pairs, params.seed, epoch)
            step = epoch * params.epoch_steps
            for start in range(0, len(order), params.batch_size):
                rows = order[start : start + params.batch_size]
                factor = params.rate_factor(step)
                loss = self.loss(pairs, rows, epoch)
                loss.backward()
                nn.utils.clip_grad_norm_(self.detector.parameters(), 1.0)
                for optimizer in self.optimizers.values():
                    for group in optimizer.param_groups:
                        group["lr"] = group["peak"] * factor
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                self.average.update()
                total += loss.detach() * len(rows)
                step += 1
        mean = float(total) / (params.pairs * params.passes)
        if not np.isfinite(mean):
            raise RffdError(f"the loss is no longer a number in round {number + 1}; lower --learning-rate")
        return mean

    def loss(self, pairs: Pairs, rows: np.ndarray, epoch: int) -> Tensor:
        """The loss of both pictures of some of the pairs, a scalar."""
        params = self.params
        masks = torch.from_numpy(pairs.masks[rows]).float() / 255
        masks = torch.stack([torch.zeros_like(masks), masks], dim=1).flatten(0, 1)
        pixels, moved, bits = augment(
            torch.from_numpy(pairs.images[rows]).flatten(0, 1).to(self.device),
            masks[:, None].to(self.device),
            zones(masks).to(self.device),
            draw_augmentation(params.seed, epoch, rows.repeat(2).tolist()),
            AUGMENT,
            params.image_size,
        )
        shares = F.avg_pool2d(moved, MASK_CELLS)
        labels = torch.arange(2, device=self.device).repeat(len(rows))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            outputs = Outputs(*(each.float() for each in self.detector(self.detector.normalise(pixels))))
        targets = Targets(
            labels, torch.ones_like(shares[:, 0, 0, 0]), bits, torch.cat([shares, torch.ones_like(shares)], dim=1)
        )
        count = len(labels)
        counts = Counts(weight=count, size=count, bits=count, patches=count)
        loss = total_loss(outputs, targets, counts, 0.0, params.zone_weight, params.patch_weight)
        own, other = torch.from_numpy(pairs.traits[rows]).repeat_interleave(2, dim=0).to(self.device).unbind(1)
        wanted = own[:, None] + (other - own)[:, None] * shares.flatten(1)[..., None]
        told: Tensor = self.detector.heads.traits(outputs.tokens[:, 1:])  # type: ignore[operator]  # a third head, added above
        return loss + params.trait_weight * F.mse_loss(told, wanted)

    def judge(self, held_out: Pairs) -> dict[str, float]:
        """How well the averaged weights tell foreign from whole, by picture and by patch, as areas under the curve."""
        self.average.swap()
        seen = infer(self.detector, held_out.images.reshape(-1, *held_out.images.shape[2:]), 64)
        self.average.swap()
        shares = F.avg_pool2d(torch.from_numpy(held_out.masks).float()[:, None] / 255, MASK_CELLS)[:, 0].numpy()
        shares = np.stack([np.zeros_like(shares), shares], axis=1)
        labels = np.tile([False, True], len(held_out.masks))
        return {
            "auc": float(roc_auc_score(labels, seen.logits[:, 1] - seen.logits[:, 0])),
            "patch_auc": float(roc_auc_score(shares.ravel() > 0.5, seen.patches.ravel())),
        }
