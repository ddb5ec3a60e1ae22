"""The fit: exact, whatever happens to it."""

import contextlib
import dataclasses
import functools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rffd.attention import PLAIN, plain_attention
from rffd.checkpoint import load_checkpoint, save_checkpoint
from rffd.epoch import Diverged, OutOfMemory
from rffd.errors import RffdError
from rffd.fit import fit
from rffd.model import new_detector
from rffd.optimisation import rate_factor
from rffd.store import Store
from tests.fitting import PARAMS
from tests.toys import toy_backbone, toy_store

EPOCHS = 5


@pytest.fixture(scope="module")
def toys(tmp_path_factory) -> tuple[Path, Store, Store, Path]:
    """A folder with the toy stores `train`, `val` and `backbone`, and these opened."""
    folder = tmp_path_factory.mktemp("toys")
    train, val = toy_store(folder / "train", 70), toy_store(folder / "val", 40, seed=1)
    return folder, train, val, toy_backbone(folder / "backbone")


@pytest.fixture(scope="module")
def reference(toys):
    """An uninterrupted run."""
    _, train, val, backbone = toys
    return fit(train, val, backbone, PARAMS, epochs=EPOCHS)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_it_learns_the_planted_patch(toys):
    _, train, val, backbone = toys
    params = dataclasses.replace(PARAMS, learning_rate=5e-3, ema=0.0, drop_path=0.0)
    assert fit(train, val, backbone, params, epochs=25).metrics["val_auc"] > 0.8


def test_twice_the_same_to_the_bit(toys, reference):
    _, train, val, backbone = toys
    again = fit(train, val, backbone, PARAMS, epochs=EPOCHS)
    assert again.history == reference.history
    assert same(again.detector, reference.detector)


class Stopped(Exception):
    """What a test's `on_epoch` ends a fit with."""


def fit_until(toys, scratch: Path, last: int) -> None:
    """Fit, stopped after epoch `last`."""
    _, train, val, backbone = toys

    def on_epoch(epoch, figures):
        if epoch == last:
            raise Stopped

    with pytest.raises(Stopped):
        fit(train, val, backbone, PARAMS, epochs=EPOCHS, scratch=scratch, on_epoch=on_epoch)


@pytest.mark.parametrize("stops", [[1], [2, 3], [1, 2, 3, 4]])
def test_stopped_and_run_again_is_as_never_stopped(toys, reference, tmp_path, capsys, stops):
    _, train, val, backbone = toys
    for stop in stops:
        fit_until(toys, tmp_path, stop)
    capsys.readouterr()
    fitted = fit(train, val, backbone, PARAMS, epochs=EPOCHS, scratch=tmp_path)
    assert fitted.history == reference.history
    assert same(fitted.detector, reference.detector)
    captured = capsys.readouterr()
    assert f"going on after epoch {stops[-1]}, as saved" in captured.out
    assert captured.err.count("epoch ") == EPOCHS - stops[-1], "finished epochs are not repeated"


def run_fitting(folder: Path | None, *arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.fitting", *([str(folder)] if folder else []), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, **{**pipes, **options})


class Killing:
    """Runs of `tests.fitting` in forks of one process, to be killed."""

    def __init__(self, folder: Path, scratch: Path):
        self.folder, self.scratch = folder, scratch
        one = {**os.environ, "RFFD_THREADS": "1"}  # toys gain nothing from two, which then wait for each other
        self.server = run_fitting(folder=None, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=one)

    def run(self, result: str, epochs: int, *more: str, after: float | None = None) -> int:
        """The exit status of a run, killed `after` seconds; or 9 if it was killed."""
        line = [self.folder, epochs, "--scratch", self.scratch / result, "--result", result, *more]
        self.server.stdin.write(" ".join(map(str, line)) + "\n")
        self.server.stdin.flush()
        pid = int(self.server.stdout.readline())
        if after is not None:
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return int(self.server.stdout.readline())

    def close(self) -> str:
        """End, with what all runs said on standard error."""
        return self.server.communicate()[1]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_exactly(toys, tmp_path):
    """SIGKILL at 20 random moments: in epochs, while saving, while validating, before the first epoch."""
    folder, dice = toys[0], random.Random(0)
    runs = Killing(folder, tmp_path)
    started = time.monotonic()
    assert runs.run("whole", 40) == 0
    seconds = time.monotonic() - started
    kills = 0
    while kills < 20:
        kills += runs.run("killed", 40, after=dice.random() * seconds / 5) == signal.SIGKILL
        if (folder / "killed.json").exists():  # it came to its end before the next kill: begin anew
            assert_same_outcome(folder, "killed", "whole")
            (folder / "killed.json").unlink()
            shutil.rmtree(tmp_path / "killed")
    assert runs.run("killed", 40) == 0
    runs.close()
    assert_same_outcome(folder, "killed", "whole")


@pytest.mark.slow
def test_killed_at_the_worst_moments_it_goes_on_exactly(toys, tmp_path):
    """SIGKILL in a step, in evaluation, amid a file of a checkpoint, before and after its folder has its name, and
    while the oldest is dropped; no epoch that was saved is done twice."""
    folder = toys[0]
    runs = Killing(folder, tmp_path)
    assert runs.run("unharmed", 8) == 0
    moments = ["step:2", "evaluation:1", "writing:1", "flushing:3", "writing:6", "flushing:14", "dropping:1"]
    moments += ["evaluation:2", "writing:4", "step:7", "flushing:13"]
    for moment in moments:
        assert runs.run("harmed", 8, "--die", moment) == signal.SIGKILL, f"{moment}: it ended before"
    assert runs.run("harmed", 8) == 0
    said = runs.close()
    assert_same_outcome(folder, "harmed", "unharmed")
    assert "is damaged" not in said, "what is torn never had a checkpoint's name"
    told = re.findall(r"^epoch (\d+)/8", said, re.MULTILINE)[8:]
    assert len(told) == len(set(told)), f"epochs done twice: {told}"
    assert {"1", "8"} <= set(told) and len(told) < 8, "those killed after they were saved were not told, nor done again"


def assert_same_outcome(folder: Path, one: str, other: str) -> None:
    assert json.loads((folder / f"{one}.json").read_text()) == json.loads((folder / f"{other}.json").read_text())
    assert (folder / f"{one}.safetensors").read_bytes() == (folder / f"{other}.safetensors").read_bytes()


def test_a_torn_checkpoint_falls_back_to_the_one_before(toys, reference, tmp_path, capfd):
    _, train, val, backbone = toys
    fit_until(toys, tmp_path, 3)
    newest = tmp_path / "epoch-0003" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    fitted = fit(train, val, backbone, PARAMS, epochs=EPOCHS, scratch=tmp_path)
    assert re.search(r"epoch-0003 is damaged.*falling back", capfd.readouterr().err)
    assert same(fitted.detector, reference.detector)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"model": {"a": torch.ones(3)}}, {"history": [1]})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RffdError, match="No space left"):
        save_checkpoint(tmp_path, 2, {"model": {"a": torch.zeros(3)}}, {"history": [1, 2]})
    tensors, state = load_checkpoint(tmp_path)
    assert state["epoch"] == 1
    assert tensors["model"]["a"].tolist() == [1, 1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]


def test_two_checkpoints_are_kept_and_none_is_a_pickle(tmp_path):
    for epoch in range(1, 5):
        save_checkpoint(tmp_path, epoch, {"model": {"a": torch.ones(1)}}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0003", "epoch-0004"]
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".safetensors", ".json"}


def test_a_loss_that_is_no_number_names_step_rate_and_files(toys, monkeypatch):
    _, train, val, backbone = toys
    import rffd.epoch as module

    real, calls = module.total_loss, []

    def poisoned(*arguments):
        calls.append(1)
        return real(*arguments) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(module, "total_loss", poisoned)
    with pytest.raises(Diverged, match=r"step 3 \(learning rate .*fit\.learning_rate.*(real|fake)/"):
        fit(train, val, backbone, PARAMS, epochs=1)


def test_out_of_memory_says_what_to_change(toys, monkeypatch):
    _, train, val, backbone = toys
    import rffd.epoch as module

    def greedy(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")

    monkeypatch.setattr(module, "total_loss", greedy)
    with pytest.raises(OutOfMemory, match=r"fit\.gradient_accumulation' to 2.*fit\.batch_size' from 16"):
        fit(train, val, backbone, PARAMS, epochs=1)


def test_passes_of_a_step_change_nothing(toys):
    _, train, val, backbone = toys
    whole = dataclasses.replace(PARAMS, drop_path=0.0)
    split = dataclasses.replace(whole, gradient_accumulation=3)
    one, other = (fit(train, val, backbone, p, epochs=2).history for p in (whole, split))
    for a, b in zip(one, other, strict=True):
        assert a["val_log_loss"] == pytest.approx(b["val_log_loss"], abs=1e-4)
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-4)


@pytest.mark.slow
def test_two_processes_come_to_one_process_s_figures(toys):
    folder = toys[0]
    run_fitting(folder, "3", "--plain", "--result", "one").communicate()
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--master_addr",
        "127.0.0.1",
        "--master_port",
        str(free_port()),
        "-m",
        "tests.fitting",
        str(folder),
        "3",
        "--plain",
        "--result",
        "two",
    ]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "RFFD_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (json.loads((folder / f"{name}.json").read_text()) for name in ("one", "two"))
    assert (one["processes"], two["processes"]) == (1, 2)
    for a, b in zip(one["history"], two["history"], strict=True):
        for name in a:
            assert a[name] == pytest.approx(b[name], abs=1e-4), name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_each_option_changes_the_fit_and_still_runs(toys, reference):
    _, train, val, backbone = toys
    changes = [
        {"schedule": "linear"},
        {"tune": "norms"},
        {"frozen_blocks": 1},
        {"layer_decay": 0.5},
        {"label_smoothing": 0.3},
        {"region_weight": 0.0},
        {"patch_weight": 0.0},
        {"region_pool": "mean"},
        {"pseudo": 0.0},
        {"ema": 0.0},
        {"clip_norm": None},
        {"image_size": 40},
        {"seed": 1},
    ]
    for change in changes:
        other = fit(train, val, backbone, dataclasses.replace(PARAMS, **change), epochs=1)
        assert other.history[0] != reference.history[0], change


def test_what_a_checkpoint_s_key_depends_on():
    from rffd.engine import MODULES
    from tests.pipeline_code import ROOT, reached

    means = {"errors", "files", "fit_params", "memory", "parallel", "params", "progress", "scratch", "tracking"}
    assert {Path(file).stem for file in reached(ROOT / "rffd/fit.py")} | {"fit"} == set(MODULES) | means


def test_a_tracker_gets_each_epoch(toys, tmp_path, monkeypatch):
    tensorboard = pytest.importorskip("tensorboardX", reason="needs a tracker (pip install tensorboardX)")
    _, train, val, backbone = toys
    monkeypatch.setenv("RFFD_SCRATCH", str(tmp_path))
    history = fit(train, val, backbone, dataclasses.replace(PARAMS, log_with="tensorboard"), epochs=2).history
    (events,) = (tmp_path / "tracking").glob("*/rffd/events.*")
    told = read_scalars(tensorboard, events)
    assert dict(told["val_auc"]) == pytest.approx({e["epoch"]: e["val_auc"] for e in history})
    (hparams,) = (tmp_path / "tracking").glob("*/rffd/*/hparams.yml")
    assert "augment.crop: 0.85" in hparams.read_text()
    with pytest.raises(RffdError, match=r"fit\.log_with' is wandb: install its package.*tensorboard"):
        fit(train, val, backbone, dataclasses.replace(PARAMS, log_with="wandb"), epochs=2)


def read_scalars(tensorboard, path: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of an event file by name, as (step, value)."""
    scalars: dict[str, list[tuple[int, float]]] = {}
    data = path.read_bytes()
    while data:  # a record: length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event = tensorboard.proto.event_pb2.Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
        data = data[16 + length :]
    return scalars


def test_frozen_weights_stay(toys):
    _, train, val, backbone = toys
    one, two = (
        fit(train, val, backbone, dataclasses.replace(PARAMS, tune="norms", learning_rate=rate), epochs=1).detector
        for rate in (1e-3, 1e-2)
    )
    moved = {n for (n, a), b in zip(one.named_parameters(), two.parameters(), strict=True) if not torch.equal(a, b)}
    assert moved
    assert all("layernorm" in name or name.startswith(("vit.classifier", "heads")) for name in moved)


def test_patience_stops_early(toys):
    _, train, val, backbone = toys
    params = dataclasses.replace(PARAMS, learning_rate=1e-9, patience=2)
    assert len(fit(train, val, backbone, params, epochs=30).history) < 30


def test_the_last_epoch_is_kept_where_asked(toys):
    _, train, val, backbone = toys
    params = dataclasses.replace(PARAMS, learning_rate=1e-9, select="last", ema=0.0)
    assert fit(train, val, backbone, params, epochs=3).best_epoch == 3
    assert fit(train, val, backbone, dataclasses.replace(params, select="auc"), epochs=3).best_epoch < 3


def test_the_cpu_s_attention_is_attention(toys):
    """Outputs and gradients are those of the library's own, in float32 and nearly so in bf16."""
    detector = new_detector(toys[3], toys[1].contract).train()
    torch.nn.init.normal_(detector.vit.classifier.weight, generator=torch.Generator().manual_seed(0))
    pixels = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def run(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
        detector.vit.set_attn_implementation(kind)
        detector.zero_grad()
        logits = detector(pixels).logits
        logits.square().sum().backward()
        return logits.detach(), detector.vit.vit.layers[0].attention.q_proj.weight.grad.clone()

    for mine, theirs in zip(run(PLAIN), run("sdpa"), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        for mine, theirs in zip(run(PLAIN), run("eager"), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0.05, atol=0.02)


def test_the_cpu_s_attention_keeps_no_weights_and_can_drop_some():
    """Between the passes only query, key and value stay; a backbone that wants dropout gets it."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 50, 8, generator=generator, requires_grad=True) for _ in range(3))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        seen, _ = plain_attention(torch.nn.Identity(), query, key, value, scaling=0.4)
    assert kept == [query.shape] * 3 and seen.shape == (2, 50, 3, 8)
    dropped, _ = plain_attention(torch.nn.Identity(), query, key, value, scaling=0.4, dropout=0.5)
    assert dropped.shape == seen.shape and not torch.allclose(dropped, seen)


def test_a_store_smaller_than_the_model_is_refused(toys):
    _, train, val, backbone = toys
    with pytest.raises(RffdError, match=r"preprocess\.image_size' is 40, less than the model's 64"):
        fit(train, val, backbone, dataclasses.replace(PARAMS, image_size=64), epochs=1)


def test_an_image_size_that_no_patches_fill_is_refused(toys):
    _, train, val, backbone = toys
    with pytest.raises(RffdError, match="multiple of the patch size, 8"):
        fit(train, val, backbone, dataclasses.replace(PARAMS, image_size=36), epochs=1)


def test_one_class_only_is_refused(toys, tmp_path):
    _, train, val, backbone = toys
    reals = dataclasses.replace(train, labels=np.zeros_like(train.labels))
    with pytest.raises(RffdError, match="both classes"):
        fit(reals, val, backbone, PARAMS, epochs=1)


def test_the_rate_rises_then_falls_to_nothing():
    for schedule in ("cosine", "linear"):
        factors = [rate_factor(step, 100, 0.1, schedule) for step in range(100)]
        assert factors[:10] == sorted(factors[:10])
        assert factors[10:] == sorted(factors[10:], reverse=True)
        assert max(factors) == pytest.approx(1, abs=0.01)
        assert factors[-1] < 0.02


def test_a_hostile_accelerate_config_changes_nothing(toys, tmp_path):
    """A user's own default_config.yaml asks for bf16; the fit takes its precision from its parameters alone."""
    folder = toys[0]
    home = tmp_path / "accelerate"
    home.mkdir()
    (home / "default_config.yaml").write_text("mixed_precision: bf16\ndistributed_type: 'NO'\nnum_processes: 1\n")
    process = run_fitting(folder, "1", "--result", "hostile", env={**os.environ, "HF_HOME": str(tmp_path)})
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "precision: no" in output


def test_interrupting_leaves_no_process(toys, tmp_path):
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background ignores it
    process = run_fitting(toys[0], "500", "--scratch", str(tmp_path / "s"), "--result", "interrupted", preexec_fn=heed)
    while not any((tmp_path / "s").rglob("epoch-*")):
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
