"""The fine-tuning itself: one function for a search's trials and for the final training.

Same values, seed and epochs give the same figures, to the byte, also when killed and run again: everything
random is drawn from (seed, epoch, index), the learning rate is a function of the step, and an epoch's end is
saved whole or not at all.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Tensor
from torch.nn import functional as F

from rffd.augment import AugmentParams, augment
from rffd.batches import MASK_CELLS, Batch, epoch_batches
from rffd.checkpoint import load_checkpoint, save_checkpoint
from rffd.errors import RffdError
from rffd.inference import infer
from rffd.losses import Targets, total_loss
from rffd.model import Detector, new_detector
from rffd.monitor import Monitor, validation_figures
from rffd.optimisation import Average, freeze, parameter_groups, rate_factor
from rffd.parallel import cores
from rffd.params import require
from rffd.precision import Precision, resolve_precision
from rffd.store import Store


@dataclass(frozen=True, kw_only=True)
class FitParams:
    """Everything tunable about the fine-tuning; `params.yaml` says what each is and why it has its value."""

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
    clip_norm: float | None
    ema: float
    mixed_precision: Precision
    select: Literal["auc", "log_loss", "accuracy", "f1"]
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
            ("ema", 0, 0.99999),
        ):
            value = getattr(self, name)
            require(low <= value <= high, f"fit.{name}", value, f"from {low} to {high}")
        require(0 < self.learning_rate <= 1, "fit.learning_rate", self.learning_rate, "above 0 and at most 1")
        require(self.clip_norm is None or self.clip_norm > 0, "fit.clip_norm", self.clip_norm, "null or above 0")
        require(self.patience is None or self.patience > 0, "fit.patience", self.patience, "null or at least 1")


class Diverged(RffdError):
    """The loss is no longer a number."""


class OutOfMemory(RffdError):
    """A step didn't fit into memory."""


@dataclass
class Fitted:
    """The detector with its best epoch's weights; `history` has one row an epoch, `metrics` is the best one's."""

    detector: Detector
    history: list[dict[str, float]]
    best_epoch: int
    metrics: dict[str, float]
    precision: str


def fit(
    train: Store,
    val: Store,
    backbone: Path,
    params: FitParams,
    *,
    epochs: int,
    scratch: Path | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> Fitted:
    """Fine-tune `backbone` on `train`, choosing the epoch by `params.select` on `val`.

    `scratch` keeps checkpoints: call again with the same one to go on where a killed run stopped, or to get a
    finished one's result at once. `on_epoch(epoch, figures)` is called after every epoch, resumed ones too; what
    it raises stops the fit (a search prunes so). Raises `Diverged`, `OutOfMemory`, `RffdError`.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts: determinism needs it
    torch.use_deterministic_algorithms(True, warn_only=True)
    precision, reason = resolve_precision(params.mixed_precision)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()  # a search over precisions runs several in one process
    accelerator = Accelerator(mixed_precision=precision, log_with=params.log_with)
    use_all_cores(accelerator.num_processes)
    say = accelerator.print
    say(f"precision: {precision} ({reason}); device: {accelerator.device}, {accelerator.num_processes} process(es)")

    check_stores(train, val)
    detector = new_detector(backbone, train.contract, image_size=params.image_size, drop_path=params.drop_path)
    if train.image_size < detector.image_size:
        raise RffdError(
            f"'preprocess.image_size' is {train.image_size}, less than the model's {detector.image_size}; "
            f"raise it to {detector.image_size} or more, or set 'fit.image_size'"
        )
    freeze(detector, params.frozen_blocks, params.tune, params.region_weight, params.patch_weight)
    groups = parameter_groups(detector, params.learning_rate, params.weight_decay, params.layer_decay)
    optimizer = torch.optim.AdamW(groups, fused=True)
    model, optimizer = accelerator.prepare(detector, optimizer)
    average = Average(detector, params.ema) if params.ema > 0 else None
    if params.log_with:
        accelerator.init_trackers("rffd", config={k: v for k, v in asdict(params).items() if k != "augment"})

    state = _State(detector, optimizer, average, accelerator)
    if scratch:
        state.load(scratch)
    for figures in state.history:
        if on_epoch:
            on_epoch(int(figures["epoch"]), figures)
    steps = epochs * -(-len(train) // params.batch_size)
    monitor = Monitor(epochs, len(train), enabled=accelerator.is_main_process)
    with monitor:
        for epoch in range(len(state.history) + 1, epochs + 1):
            if _patience_spent(state.history, state.best_epoch, params.patience):
                say(f"no better {params.select} for {params.patience} epochs: stopping early")
                break
            loss = _train_epoch(accelerator, model, detector, optimizer, average, train, params, epoch, steps, monitor)
            swap = average.swap if average else (lambda: None)
            swap()
            figures = {"epoch": epoch, "learning_rate": params.learning_rate, "train_loss": loss}
            figures |= _validate(accelerator, detector, val)
            state.take(figures, params.select)
            swap()
            if scratch and accelerator.is_main_process:
                state.save(scratch)
            monitor.epoch_done(figures)
            if params.log_with:
                accelerator.log(figures, step=epoch)
            if on_epoch:
                on_epoch(epoch, figures)
    if params.log_with:
        accelerator.end_training()
    state.restore_best()
    detector = detector.cpu().eval()
    return Fitted(detector, state.history, state.best_epoch, state.history[state.best_epoch - 1], precision)


def check_stores(train: Store, val: Store) -> None:
    """Refuse what can't be trained or judged on."""
    for name, store in (("train", train), ("validation", val)):
        present = np.unique(store.labels)
        if len(present) < 2:
            raise RffdError(
                f"{store.folder}: the {name} split needs images of both classes, it has {len(store)} of one"
            )
    if train.contract != val.contract:
        raise RffdError("train and validation were preprocessed differently; run `dvc repro preprocess`")


def use_all_cores(processes: int) -> None:
    """Share the machine's cores among the processes: launchers set one thread each, which would halve the speed.

    `RFFD_THREADS` sets another number; sums are then rounded in another order, so figures may differ a little.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(int(os.environ.get("RFFD_THREADS", 0)) or max(1, cores() // processes))


def _train_epoch(accelerator, model, detector, optimizer, average, train, params, epoch, steps, monitor) -> float:
    model.train()
    torch.manual_seed(_epoch_seed(params.seed, epoch, accelerator.process_index))  # drop path draws from here
    counts = np.bincount(train.labels, minlength=2)
    weights = len(train) / (2 * counts) if params.class_weights else np.ones(2)
    grid = detector.image_size // detector.patch_size if params.patch_weight > 0 else 0
    batches = epoch_batches(
        train,
        batch_size=params.batch_size,
        passes=params.gradient_accumulation,
        seed=params.seed,
        epoch=epoch,
        class_weights=weights,
        grid=grid,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    step = (epoch - 1) * -(-len(train) // params.batch_size)
    total = torch.zeros((), device=accelerator.device)
    before: tuple[Tensor, int, float, Batch] | None = None
    for batch in batches:
        factor = rate_factor(step, steps, params.warmup, params.schedule)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        with _memory_advice(params), contextlib.nullcontext() if batch.last else accelerator.no_sync(model):
            loss = _loss(model, detector, batch, params, grid, accelerator.device)
            accelerator.backward(loss * accelerator.num_processes)
            if batch.last:
                if params.clip_norm is not None:
                    accelerator.clip_grad_norm_(detector.parameters(), params.clip_norm)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                if average:
                    average.update()
        total += loss.detach() * batch.counts.size
        _check(before, train)  # one pass late: looking at this one's loss would wait for the device
        before = (loss.detach(), step, params.learning_rate * factor, batch)
        monitor.advance(len(batch.indices) * accelerator.num_processes, before[0])
        step += batch.last
    _check(before, train)
    return float(accelerator.reduce(total, "sum")) / len(train)


def _loss(model, detector: Detector, batch: Batch, params: FitParams, grid: int, device: torch.device) -> Tensor:
    pixels, masks, bits = augment(
        batch.pixels.to(device, non_blocking=True),
        batch.masks.to(device),
        batch.bits.to(device),
        batch.uniforms,
        params.augment,
        detector.image_size,
    )
    outputs = model(detector.normalise(pixels))
    patches = F.avg_pool2d(masks, MASK_CELLS) if grid else masks
    targets = Targets(batch.labels.to(device), batch.weights.to(device), bits, patches)
    return total_loss(outputs, targets, batch.counts, params.label_smoothing, params.region_weight, params.patch_weight)


def _check(before: tuple[Tensor, int, float, Batch] | None, train: Store) -> None:
    if before is not None and not torch.isfinite(before[0]):
        _, step, rate, batch = before
        names = ", ".join(train.paths[i] for i in batch.indices)
        raise Diverged(
            f"the loss is no longer a number at step {step + 1} (learning rate {rate:.2e}); lower 'fit.learning_rate' "
            f"or set 'fit.clip_norm'; the batch held: {names}"
        )


@contextlib.contextmanager
def _memory_advice(params: FitParams):
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "memory" not in text:
            raise
        raise OutOfMemory(
            f"out of memory; set 'fit.gradient_accumulation' to {2 * params.gradient_accumulation} (same result, half "
            f"the memory), or lower 'fit.batch_size' from {params.batch_size} or 'fit.image_size'"
        ) from error


def _validate(accelerator: Accelerator, detector: Detector, val: Store) -> dict[str, float]:
    mine = np.arange(accelerator.process_index, len(val), accelerator.num_processes)
    logits = infer(detector, _Rows(val.images, mine)).logits  # type: ignore[arg-type]
    pairs = sorted(gather_object(list(zip(mine.tolist(), logits.tolist(), strict=True))))
    return validation_figures(np.array([row for _, row in pairs]), val.labels)


class _Rows:
    """Rows of a memory-mapped array, read only when sliced."""

    def __init__(self, array: np.ndarray, rows: np.ndarray):
        self.array, self.rows = array, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.array[self.rows[part]]


def _epoch_seed(seed: int, epoch: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])


def _patience_spent(history: list[dict[str, float]], best_epoch: int, patience: int | None) -> bool:
    return patience is not None and bool(history) and len(history) - best_epoch >= patience


class _State:
    """What a checkpoint holds, and the best weights so far."""

    def __init__(self, detector: Detector, optimizer, average: Average | None, accelerator: Accelerator):
        self.detector, self.optimizer, self.average, self.accelerator = detector, optimizer, average, accelerator
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best: dict[str, Tensor] = {}

    def take(self, figures: dict[str, float], select: str) -> None:
        self.history.append(figures)
        sign = -1 if select == "log_loss" else 1
        score = [sign * row[f"val_{select}"] for row in self.history]
        if self.best_epoch == 0 or score[-1] > score[self.best_epoch - 1]:
            self.best_epoch = len(self.history)
            self.best = {name: value.detach().cpu().clone() for name, value in self.detector.state_dict().items()}

    def restore_best(self) -> None:
        self.detector.load_state_dict(self.best)

    def save(self, folder: Path) -> None:
        moments = {
            f"{index}.{name}": value
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        tensors = {"model": self.detector.state_dict(), "optimizer": moments, "best": self.best}
        if self.average:
            tensors["average"] = self.average.mean
        scaler = self.accelerator.scaler
        state = {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "averaged_steps": self.average.steps if self.average else 0,
            "scaler": scaler.state_dict() if scaler else None,
        }
        save_checkpoint(folder, len(self.history), tensors, state)

    def load(self, folder: Path) -> None:
        found = load_checkpoint(folder)
        if found is None:
            return
        tensors, state = found
        self.detector.load_state_dict(tensors["model"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors["optimizer"].items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        if self.average:
            self.average.steps = state["averaged_steps"]
            for name, value in tensors["average"].items():
                self.average.mean[name].copy_(value)
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.history, self.best_epoch, self.best = state["history"], state["best_epoch"], tensors["best"]
        self.accelerator.print(f"going on after epoch {len(self.history)}, as saved")
