"""The fine-tuning itself: one function for a search's trials and for the final training.

Same values, seed and epochs give the same figures, to the byte, also when killed and run again: everything
random is drawn from (seed, epoch, index), the learning rate is a function of the step, and an epoch's end is
saved whole or not at all.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from rffd.attention import PLAIN
from rffd.epoch import train_epoch, validate
from rffd.errors import RffdError
from rffd.fit_params import FitParams
from rffd.fit_state import FitState
from rffd.memory import keep_freed_memory
from rffd.model import Detector, new_detector
from rffd.monitor import Monitor
from rffd.optimisation import Average, freeze, parameter_groups
from rffd.parallel import cores
from rffd.precision import resolve_precision
from rffd.store import Store
from rffd.tracking import start_tracking, tracking_options


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
    accelerator = Accelerator(mixed_precision=precision, **tracking_options(params, epochs))
    use_all_cores(accelerator.num_processes)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    say = accelerator.print
    say(f"precision: {precision} ({reason}); device: {accelerator.device}, {accelerator.num_processes} process(es)")

    check_stores(train, val)
    detector = new_detector(
        backbone,
        train.contract,
        image_size=params.image_size,
        drop_path=params.drop_path,
        region_pool=params.region_pool,
    )
    if train.image_size < detector.image_size:
        raise RffdError(
            f"'preprocess.image_size' is {train.image_size}, less than the model's {detector.image_size}; "
            f"raise it to {detector.image_size} or more, or set 'fit.image_size'"
        )
    if accelerator.device.type == "cpu":
        detector.vit.set_attn_implementation(PLAIN)
    freeze(detector, params.frozen_blocks, params.tune, params.region_weight, params.patch_weight)
    groups = parameter_groups(detector, params.learning_rate, params.weight_decay, params.layer_decay)
    optimizer = torch.optim.AdamW(groups, fused=True)
    model, optimizer = accelerator.prepare(detector, optimizer)
    average = Average(detector, params.ema) if params.ema > 0 else None
    start_tracking(accelerator, params)

    state = FitState(detector, optimizer, average, accelerator)
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
            loss = train_epoch(accelerator, model, detector, optimizer, average, train, params, epoch, steps, monitor)
            swap = average.swap if average else (lambda: None)
            swap()
            figures = {"epoch": epoch, "learning_rate": params.learning_rate, "train_loss": loss}
            figures |= validate(accelerator, detector, val)
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


def _patience_spent(history: list[dict[str, float]], best_epoch: int, patience: int | None) -> bool:
    return patience is not None and bool(history) and len(history) - best_epoch >= patience
