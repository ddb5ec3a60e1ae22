"""Ready-made objectives for studies: a made-up learning curve for any values, in no time, the same every time."""

import hashlib
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from rffd.search_space import Dimension
from rffd.study import Outcome, Plan

DIMENSIONS = [
    Dimension(name="decay", low=0.0, high=0.2),
    Dimension(name="frozen", low=0, high=4),
    Dimension(name="rate", low=1e-5, high=1e-2, log=True),
    Dimension(name="schedule", choices=("cosine", "linear")),
]
FIRST = {"decay": 0.05, "frozen": 0, "rate": 1e-3, "schedule": "linear"}


class Burst(Exception):
    """What stands for a fit that fails."""


def plan(**changes: Any) -> Plan:
    """A small study over `DIMENSIONS`."""
    settings: dict[str, Any] = {
        "name": "test",
        "dimensions": DIMENSIONS,
        "first": FIRST,
        "trials": 14,
        "epochs": 9,
        "direction": "maximize",
        "sampler": "tpe",
        "pruner": "hyperband",
        "seed": 3,
    }
    return Plan(**settings | changes)


def height(values: dict[str, Any], epoch: int) -> float:
    """The metric after `epoch` epochs: best near rate 3e-4 and 2 frozen, rising over epochs, with fixed noise."""
    far = abs(math.log10(values["rate"]) + 3.5) + 0.3 * abs(values["frozen"] - 2) + 2 * values["decay"]
    noise = int.from_bytes(hashlib.sha256(repr((sorted(values.items()), epoch)).encode()).digest()[:2], "big") / 65535
    return 0.9 - 0.15 * far - 0.3 * math.exp(-epoch / 3) + 0.01 * noise


def objective(epochs: int = 9, pause: float = 0.0, log: Path | None = None) -> Callable:
    """An objective of `epochs` that sleeps `pause` seconds each; `log` gets a line at each trial's start."""

    def run(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        if log:
            with log.open("a") as file:
                file.write(f"{os.getpid()} {sorted(values.items())}\n")
        if values["rate"] > 3e-3:
            raise Burst("the loss is no longer a number")
        for epoch in range(1, epochs + 1):
            time.sleep(pause)
            report(epoch, height(values, epoch))
        return height(values, epochs)

    return run


def facts(outcomes: list[Outcome]) -> list[tuple]:
    """All of the outcomes but their times."""
    return [(o.number, o.state, o.value, o.values, o.curve, o.note) for o in outcomes]


def die_at_write(number: int, torn: bool) -> None:
    """From now on this process kills itself at its `number`-th write to a journal, leaving half a line if `torn`."""
    append, count = JournalFileBackend.append_logs, 0

    def fatal(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        nonlocal count
        count += 1
        if count == number:
            if torn:
                self._lock.acquire()
                with open(self._file_path, "ab") as file:
                    file.write(b'{"op_code":5,"worker_id":"')
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, logs)

    JournalFileBackend.append_logs = fatal  # type: ignore[method-assign]
