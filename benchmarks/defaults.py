"""Does each value of `fit:` help, or at least do no harm? Each is changed alone and fitted again, seed by seed.

    python -m benchmarks.defaults [--epochs 10] [--seeds 2] [--only warmup ema ...] [--output docs/defaults.md]

Works on the stores and the backbone of the last `dvc repro` (or others: --train, --val, --backbone) and writes a
table: validation log loss and AUC with the change less without it, over seeds, with the standard error of that mean.
Twenty fits a seed: no part of `make bench`.
"""

import argparse
import dataclasses
import statistics
import sys
from pathlib import Path

from rffd.fit import fit
from rffd.fit_params import FitParams
from rffd.params import read_params
from rffd.search_space import overlay, value_of
from rffd.store import open_store

CHANGES = {
    "schedule": "linear",
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip_norm": None,
    "layer_decay": 0.75,
    "tune": "norms",
    "frozen_blocks": 1,
    "drop_path": 0.1,
    "label_smoothing": 0.1,
    "class_weights": True,
    "ema": 0.99,
    "region_weight": 0.0,
    "patch_weight": 0.0,
    "augment.flip": 0.0,
    "augment.crop": 1.0,
    "augment.colour": 0.0,
    "augment.grey": 0.0,
    "augment.blur": 0.0,
    "augment.noise": 0.0,
    "augment.jpeg": 0.0,
}


def line(name: str, old: object, new: object, changed: list[dict], plain: list[dict]) -> str:
    """A row of the table."""
    cells = [f"`{name}`", str(old), str(new)]
    for figure in ("val_log_loss", "val_auc"):
        differences = [a[figure] - b[figure] for a, b in zip(changed, plain, strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
        cells.append(f"{statistics.mean(differences):+.4f} (+-{error:.4f})")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, default=Path("data/processed/train"))
    parser.add_argument("--val", type=Path, default=Path("data/processed/val"))
    parser.add_argument("--backbone", type=Path, default=Path("models/backbone"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    train, val, own = open_store(options.train), open_store(options.val), read_params("fit", FitParams)

    def fitted(params: FitParams) -> list[dict]:
        runs = [dataclasses.replace(params, seed=seed) for seed in range(options.seeds)]
        return [fit(train, val, options.backbone, one, epochs=options.epochs).metrics for one in runs]

    plain = fitted(own)
    means = {name: statistics.mean(run[name] for run in plain) for name in ("val_log_loss", "val_auc")}
    lines = [
        f"{len(train)} images to train and {len(val)} to judge by, {options.epochs} epochs, {options.seeds} seeds; "
        f"with the defaults: log loss {means['val_log_loss']:.4f}, AUC {means['val_auc']:.4f}.",
        "",
        "| value | default | changed to | log loss, change less default | AUC, likewise |",
        "|---|---|---|---|---|",
    ]
    for name in options.only:
        new, old = CHANGES[name], value_of(own, name)
        if new != old:
            lines.append(line(name, old, new, fitted(overlay(own, {name: new})), plain))
            print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))
    if options.output:
        head = f"# What each default is worth\n\nMade by `python -m {__spec__.name}`.\n\n" if __spec__ else ""
        options.output.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
