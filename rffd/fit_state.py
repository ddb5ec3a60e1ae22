"""How far a fit has come: figures by epoch and the best weights, saved whole at an epoch's end, taken up again."""

from pathlib import Path

from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from rffd.checkpoint import load_checkpoint, save_checkpoint
from rffd.model import Detector
from rffd.optimisation import Average


class FitState:
    """What a checkpoint holds, and the best weights so far."""

    def __init__(self, detector: Detector, optimizer: Optimizer, average: Average | None, accelerator: Accelerator):
        self.detector, self.optimizer, self.average, self.accelerator = detector, optimizer, average, accelerator
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best: dict[str, Tensor] = {}

    def take(self, figures: dict[str, float], select: str) -> None:
        self.history.append(figures)
        sign = -1 if select == "log_loss" else 1
        score = [row["epoch"] if select == "last" else sign * row[f"val_{select}"] for row in self.history]
        if self.best_epoch == 0 or score[-1] > score[self.best_epoch - 1]:
            self.best_epoch = len(self.history)
            self.best = {name: value.detach().cpu().clone() for name, value in self.detector.state_dict().items()}

    def restore_best(self) -> None:
        self.detector.load_state_dict(self.best)

    def save(self, folder: Path) -> None:
        tensors = {
            "model": self.detector.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "best": self.best,
        }
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
        load_optimizer_tensors(self.optimizer, tensors["optimizer"])
        if self.average:
            self.average.steps = state["averaged_steps"]
            for name, value in tensors["average"].items():
                self.average.mean[name].copy_(value)
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.history, self.best_epoch, self.best = state["history"], state["best_epoch"], tensors["best"]
        self.accelerator.print(f"going on after epoch {len(self.history)}, as saved")


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments and step counts by name, as a safetensors file takes them."""
    states = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, state in states.items() for name, value in state.items()}


def load_optimizer_tensors(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
