"""Checkpoints that a crash can't spoil: written beside, flushed, renamed; two are kept; nothing is a pickle.

Tensors are safetensors files, the rest is `state.json`, which also lists each file's SHA-256: a checkpoint
that doesn't match is passed over for the one before, with a line that says so.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rffd.errors import RffdError
from rffd.files import remove, sha256

KEEP = 2
Tensors = dict[str, torch.Tensor]


def save_checkpoint(folder: Path, epoch: int, tensors: Mapping[str, Tensors], state: dict[str, Any]) -> None:
    """Write `folder/epoch-NNNN` with one safetensors file for each group of `tensors`, then drop older ones."""
    final = folder / f"epoch-{epoch:04d}"
    temporary = folder / f".{final.name}.part"
    remove(temporary)
    temporary.mkdir(parents=True)
    try:
        for name, group in tensors.items():
            save_file(
                {key: value.detach().contiguous() for key, value in group.items()}, temporary / f"{name}.safetensors"
            )
        hashes = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
        (temporary / "state.json").write_text(json.dumps({"epoch": epoch, "sha256": hashes, **state}))
        for path in [*temporary.iterdir(), temporary]:
            _flush(path)
        remove(final)
        temporary.replace(final)
        _flush(folder)
    except (OSError, SafetensorError) as error:
        remove(temporary)
        raise RffdError(
            f"{folder}: a checkpoint could not be written ({error}); the last good one stands: make room, run again"
        ) from error
    for old in _checkpoints(folder)[:-KEEP]:
        shutil.rmtree(old)


def load_checkpoint(
    folder: Path, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensors], dict[str, Any]] | None:
    """The newest checkpoint that is whole, as (tensors by group, state); None if there is none."""
    for path in reversed(_checkpoints(folder)):
        try:
            state = json.loads((path / "state.json").read_text())
            for name, expected in state["sha256"].items():
                if sha256(path / name) != expected:
                    raise ValueError(f"{name} doesn't match its hash")
            tensors = {Path(name).stem: load_file(path / name, device=str(device)) for name in state["sha256"]}
            return tensors, state
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            print(f"{path.name} is damaged ({error}); falling back to the checkpoint before", file=sys.stderr)
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("epoch-*") if path.is_dir())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
