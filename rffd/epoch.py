"""One epoch of the fine-tuning: the training pass, what can go wrong in it, and the figures on validation."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from rffd.augment import augment
from rffd.batches import MASK_CELLS, Batch, epoch_batches
from rffd.errors import RffdError
from rffd.fit_params import FitParams
from rffd.inference import infer
from rffd.losses import Targets, total_loss
from rffd.model import Detector
from rffd.monitor import Monitor, validation_figures
from rffd.optimisation import Average, rate_factor
from rffd.store import Store


class Diverged(RffdError):
    """The loss is no longer a number."""


class OutOfMemory(RffdError):
    """A step didn't fit into memory."""


def train_epoch(
    accelerator: Accelerator,
    model: nn.Module,
    detector: Detector,
    optimizer: Optimizer,
    average: Average | None,
    train: Store,
    params: FitParams,
    epoch: int,
    steps: int,
    monitor: Monitor,
) -> float:
    """One pass over `train`, in `steps` of the whole fit; the mean loss of its samples."""
    model.train()
    torch.manual_seed(_epoch_seed(params.seed, epoch, accelerator.process_index))  # drop path draws from here
    counts = np.bincount(train.labels, minlength=2)
    seen = counts + np.array([0, params.pseudo * counts[0]])  # pseudo-fakes leave the balance of the classes as it is
    weights = len(train) / (2 * seen) if params.class_weights else counts / seen
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
        pseudo=params.pseudo,
    )
    step = (epoch - 1) * -(-len(train) // params.batch_size)
    total = torch.zeros((), device=accelerator.device)
    before: tuple[Tensor, int, float, np.ndarray] | None = None
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
        before = (loss.detach(), step, params.learning_rate * factor, batch.indices)
        monitor.advance(len(batch.indices) * accelerator.num_processes, before[0])
        step += batch.last
    _check(before, train)
    return float(accelerator.reduce(total, "sum")) / len(train)


def _loss(
    model: nn.Module, detector: Detector, batch: Batch, params: FitParams, grid: int, device: torch.device
) -> Tensor:
    pixels, masks, bits = augment(
        batch.pixels.to(device, non_blocking=True),
        batch.masks.to(device),
        batch.bits.to(device),
        batch.uniforms,
        params.augment,
        detector.image_size,
    )
    pixels = detector.normalise(pixels)  # under the same name: the passes can use the memory
    outputs = model(pixels)
    patches = F.avg_pool2d(masks, MASK_CELLS) if grid else masks
    targets = Targets(batch.labels.to(device), batch.weights.to(device), bits, patches)
    return total_loss(outputs, targets, batch.counts, params.label_smoothing, params.region_weight, params.patch_weight)


def _check(before: tuple[Tensor, int, float, np.ndarray] | None, train: Store) -> None:
    if before is not None and not torch.isfinite(before[0]):
        _, step, rate, indices = before
        names = ", ".join(train.paths[i] for i in indices)
        raise Diverged(
            f"the loss is no longer a number at step {step + 1} (learning rate {rate:.2e}); lower 'fit.learning_rate' "
            f"or set 'fit.clip_norm'; the batch held: {names}"
        )


@contextlib.contextmanager
def _memory_advice(params: FitParams) -> Iterator[None]:
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


def validate(accelerator: Accelerator, detector: Detector, val: Store) -> dict[str, float]:
    """The detector's figures on `val`, each sample counted once whatever the number of processes."""
    mine = np.arange(accelerator.process_index, len(val), accelerator.num_processes)
    logits = infer(detector, _Rows(val.images, mine)).logits  # type: ignore[arg-type]  # all that is asked of it: a length, and slices
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
