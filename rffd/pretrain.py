"""Pre-training of the embedded backbone: a small ViT learns to see what doesn't belong, on drawn busts.

Three tasks at once on an endless stream (`rffd/foreign.py`): is there a foreign piece, in which of four zones, in which
patches (the losses of the fine-tuning); and, patch by patch, with which traits the scene was drawn there, since what
doesn't belong has other traits than the rest. Nothing of the sample is seen or used.

Run: python -m rffd.pretrain
"""

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

import torch

from rffd.backbone import EMBEDDED
from rffd.embedding import write_embedded
from rffd.engine import engine_digest
from rffd.errors import RffdError
from rffd.memory import keep_freed_memory
from rffd.parallel import cores
from rffd.pretraining import Pretraining, PretrainParams
from rffd.scratch import digest, scratch_folder
from rffd.stream import draw_pairs, rounds_of_pairs

HELD_OUT = 500  # pairs of another stream, to see how far it has come


def pretrain(params: PretrainParams, folder: Path) -> Pretraining:
    """Run all rounds, going on from the checkpoints in `folder`; the result has the averaged weights."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    keep_freed_memory()
    torch.set_num_threads(int(os.environ.get("RFFD_THREADS", 0)) or max(1, cores() - 1))  # one core draws
    run = Pretraining(params)
    run.load(folder)
    held_out = draw_pairs(params.seed + 1, 0, HELD_OUT, params.image_size, params.cells)
    started, before = time.monotonic(), len(run.history)
    rounds = params.rounds
    stream = rounds_of_pairs(params.seed, before, rounds, params.pairs, params.image_size, params.cells)
    for pairs in stream:
        figures: dict[str, float] = {"round": len(run.history) + 1, "loss": run.run_round(pairs)}
        if figures["round"] % 5 == 0 or figures["round"] == rounds:
            figures |= run.judge(held_out)
        run.history.append(figures)
        run.save(folder)
        left = (time.monotonic() - started) / (len(run.history) - before) * (rounds - len(run.history))
        words = "  ".join(f"{name} {value:.3f}" for name, value in figures.items() if name != "round")
        print(f"round {figures['round']}/{rounds}  {words}  {left / 60:.1f} min left", file=sys.stderr)
    run.average.swap()
    return run


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m rffd.pretrain", description=(__doc__ or "").partition("\n")[0])
    for field in dataclasses.fields(PretrainParams):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), default=field.default, help=f"default {field.default}")
    parser.add_argument("--out", type=Path, default=EMBEDDED, help="the folder to write; default rffd/embedded")
    arguments = vars(parser.parse_args(argv))
    out = arguments.pop("out")
    try:
        params = PretrainParams(**arguments)
        key = digest(
            dataclasses.asdict(params),
            engine_digest(
                "brush", "foreign", "pretrain", "pretraining", "scene_layout", "scenes", "starting", "stream"
            ),
        )
        started = time.monotonic()
        with scratch_folder("pretrain", key) as folder:
            run = pretrain(params, folder)
        write_embedded(run.detector, out, dataclasses.asdict(params), run.history[-1])
        print(f"{out}: written after {(time.monotonic() - started) / 60:.0f} min", file=sys.stderr)
    except RffdError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
