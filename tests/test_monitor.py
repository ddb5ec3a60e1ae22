"""What is seen of a fit: on a terminal a bar, elsewhere a line an epoch."""

import io
import re

import pytest
import torch
from rich.console import Console

from rffd.monitor import Monitor

FIGURES = {"epoch": 1.0, "train_loss": 0.61, "val_log_loss": 0.6, "val_auc": 0.712, "val_accuracy": 0.65}


def test_a_line_an_epoch_tells_loss_metric_speed_memory_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with Monitor(3, 100, enabled=True) as monitor:
        monitor.advance(50, torch.tensor(0.7))
        monitor.advance(50, torch.tensor(0.6))
        monitor.epoch_done(FIGURES)
    said = capsys.readouterr()
    line = r"epoch 1/3  loss 0\.610  val log loss 0\.600  AUC 0\.712  accuracy 0\.650  "
    line += r"\d+ images/s  [\d.]+ GiB  \d+:\d\d left"
    assert said.out == "" and re.fullmatch(line, said.err.strip())


def test_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Monitor(3, 100, enabled=False) as monitor:
        monitor.advance(100, torch.tensor(0.7))
        monitor.epoch_done(FIGURES)
    assert capsys.readouterr() == ("", "")


def test_the_bar_tells_loss_metric_speed_and_memory_while_an_epoch_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = Monitor(3, 100, enabled=True)
    terminal = io.StringIO()
    monitor.bar.disable = False
    monitor.bar.live.console = Console(file=terminal, force_terminal=True, width=200)
    with monitor:
        monitor.advance(100, torch.tensor(0.7))
        monitor.epoch_done(FIGURES)
        monitor.advance(10, torch.tensor(0.55))
        note = monitor.bar.tasks[0].fields["note"]
    assert re.fullmatch(r"loss 0\.550  AUC 0\.712  \d+ images/s  [\d.]+ GiB", note)
    assert monitor.bar.tasks[0].completed == 110
