"""A small fit as a program of its own, to be killed, resumed and started by `torchrun`.

Run: python -m tests.fitting FOLDER EPOCHS [--scratch DIR] [--result NAME] [--plain] [--die PLACE:N]

Without arguments it reads such lines from standard input and runs each in a fork of its own, so that twenty
runs import torch once: it answers with the process id, and with the exit status once that process has ended.
"""

import argparse
import dataclasses
import json
import os
import shlex
import signal
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import save_file

import rffd.checkpoint
import rffd.epoch
from rffd.augment import AugmentParams
from rffd.errors import RffdError
from rffd.fit import fit
from rffd.fit_params import FitParams
from rffd.store import open_store

PARAMS = FitParams(
    seed=0, image_size=None, batch_size=16, gradient_accumulation=1, learning_rate=2e-3, weight_decay=0.05,
    layer_decay=0.9, warmup=0.1, schedule="cosine", tune="all", frozen_blocks=0, drop_path=0.1, label_smoothing=0.05,
    class_weights=True, region_weight=1.0, patch_weight=1.0,
    region_pool="regions", pseudo=0.5, clip_norm=1.0, ema=0.9, mixed_precision="no",
    select="auc", patience=None, log_with=None,
    augment=AugmentParams(
        flip=0.5, vertical_flip=0.0, rotation=5, crop=0.85, colour=0.1, grey=0.1, blur=0.2, noise=0.2, jpeg=0.3,
        jpeg_quality=40,
    ),
)  # fmt: skip


def serve() -> None:
    """Run each line of standard input in a fork."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)
            main(shlex.split(line))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


PLACES = {
    "step": (rffd.epoch, "total_loss"),
    "evaluation": (rffd.epoch, "infer"),
    "writing": (rffd.checkpoint, "save_file"),  # half of a file is there
    "flushing": (rffd.checkpoint, "_flush"),  # the files are there, not yet their folder; or that, and older ones too
    "dropping": (rffd.checkpoint.shutil, "rmtree"),  # a part of the oldest one is gone
}


def die_at(place: str, number: str) -> None:
    """From now on this process kills itself at its `number`-th call at `place`."""
    owner, name = PLACES[place]
    real, left = getattr(owner, name), [int(number)]

    def fatal(*arguments, **named):
        left[0] -= 1
        if left[0] == 0:
            if place == "writing":
                real(*arguments, **named)
                os.truncate(arguments[1], Path(arguments[1]).stat().st_size // 2)
            if place == "dropping":
                next(Path(arguments[0]).iterdir()).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(owner, name, fatal)


def main(argv: list[str]) -> None:
    """Fit the toy stores in FOLDER and write `result.json` and `result.safetensors` there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("epochs", type=int)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--result", default="result")
    parser.add_argument("--plain", action="store_true", help="no drop path")
    parser.add_argument("--die", help="kill this process at the N-th call at PLACE (of PLACES), as step:3")
    arguments = parser.parse_args(argv)
    if arguments.die:
        die_at(*arguments.die.split(":"))
    params = dataclasses.replace(PARAMS, drop_path=0.0) if arguments.plain else PARAMS
    stores = [open_store(arguments.folder / name) for name in ("train", "val")]
    try:
        fitted = fit(*stores, arguments.folder / "backbone", params, epochs=arguments.epochs, scratch=arguments.scratch)
    except RffdError as error:
        sys.exit(f"error: {error}")
    if PartialState().is_main_process:
        state = {name: value.contiguous() for name, value in fitted.detector.state_dict().items()}
        save_file(state, arguments.folder / f"{arguments.result}.safetensors")
        outcome = {"history": fitted.history, "best": fitted.best_epoch, "processes": PartialState().num_processes}
        (arguments.folder / f"{arguments.result}.json").write_text(json.dumps(outcome))
    if PartialState().num_processes > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:]) if sys.argv[1:] else serve()
