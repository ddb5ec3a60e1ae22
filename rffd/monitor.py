"""What is seen of a running fit: figures after each epoch, speed, time left and memory in between."""

import resource
import sys
import time
import warnings
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score


def validation_figures(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Log loss, accuracy, F1 (of fake) and AUC of `logits` [N, 2] against `labels` [N]; infinite where undefined."""
    if not np.isfinite(logits).all():
        return {"val_log_loss": 1e9, "val_accuracy": 0.0, "val_f1": 0.0, "val_auc": 0.0}
    margin = logits[:, 1] - logits[:, 0]
    probability = 1 / (1 + np.exp(-margin))
    called = (probability >= 0.5).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "val_log_loss": float(log_loss(labels, probability, labels=[0, 1])),
            "val_accuracy": float(accuracy_score(labels, called)),
            "val_f1": float(f1_score(labels, called, zero_division=0)),
            "val_auc": float(roc_auc_score(labels, margin)),
        }


class Monitor:
    """A bar on a terminal and one line an epoch on standard error; silent on other processes than the first."""

    def __init__(self, epochs: int, samples: int, enabled: bool):
        self.enabled, self.epochs, self.samples = enabled, epochs, samples
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        show = enabled and sys.stderr.isatty()
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not show)
        self.task = self.bar.add_task("fitting", total=epochs * samples, note="")
        self.started, self.seen, self.epochs_seen = 0.0, 0, 0
        self.last = ""  # the last epoch's metric

    def __enter__(self) -> "Monitor":
        self.bar.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self.bar.__exit__(*details)

    def advance(self, samples: int, loss: torch.Tensor) -> None:
        """Take note of one pass over `samples` samples; `loss` is read only where it is shown."""
        if self.seen == 0:
            self.started = time.monotonic()
        self.seen += samples
        if not self.bar.disable:
            self.bar.update(
                self.task, advance=samples, note=f"loss {float(loss):.3f}  {self.last}{self._speed()}  {_memory()}"
            )

    def epoch_done(self, figures: dict[str, float]) -> None:
        """Print the epoch's figures."""
        self.epochs_seen += 1
        self.last = f"AUC {figures['val_auc']:.3f}  "
        epoch = int(figures["epoch"])
        self.bar.update(self.task, completed=epoch * self.samples)
        if self.enabled:
            left = (time.monotonic() - self.started) / self.epochs_seen * (self.epochs - epoch)
            line = (
                f"epoch {epoch}/{self.epochs}  loss {figures['train_loss']:.3f}  val log loss "
                f"{figures['val_log_loss']:.3f}  AUC {figures['val_auc']:.3f}  accuracy {figures['val_accuracy']:.3f}  "
                f"{self._speed()}  {_memory()}  {int(left // 60)}:{int(left % 60):02d} left"
            )
            self.bar.console.print(line, highlight=False, soft_wrap=True)

    def _speed(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-9)
        return f"{self.seen / seconds:.0f} images/s"


def _memory() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB"
