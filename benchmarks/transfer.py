"""What pre-training buys: the same fine-tuning from the embedded backbone and from random weights, over some seeds.

Run, after `make repro`: python -m benchmarks.transfer [--seeds 3] [--epochs N] [--processed data/processed]
                                                     [--arm "NAME=SOURCE[,TUNABLE=VALUE...]" ...] [--out docs/transfer]

SOURCE is `embedded`, `scratch` (random weights in the embedded backbone's architecture, so that equal epochs are equal
time) or a folder with a ViT; `epochs` and each value of `fit` may be set, the rest is `params.yaml`'s. Writes a table
(.md), the curves (.csv) and their picture (.png).
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rffd.backbone import EMBEDDED, BackboneParams, draw, make_backbone
from rffd.errors import RffdError
from rffd.files import read_json, write_csv, write_text
from rffd.fit import fit
from rffd.fit_params import FitParams
from rffd.inference import infer
from rffd.look import INK, MUTED, REGION_COLOURS, figure, save
from rffd.monitor import validation_figures
from rffd.params import read_params
from rffd.search_space import overlay
from rffd.store import open_store
from rffd.values import TrainParams

SCRATCH_RATE = 2e-3  # random weights want more than pre-trained ones; also tried: 1e-3 (docs/log.md)
ARMS = [
    "embedded=embedded",
    f"random weights=scratch,learning_rate={SCRATCH_RATE}",
    f"random weights, three times as long=scratch,learning_rate={SCRATCH_RATE},epochs=x3",
]
FIGURES = ("accuracy", "f1", "auc")
COLUMNS = ["arm", "seed", "epoch", "seconds", "val_auc", "val_log_loss", *(f"test_{name}" for name in FIGURES)]


@dataclass(frozen=True)
class Arm:
    """One side of the comparison: `source`, and what its fit has of its own."""

    name: str
    source: str
    epochs: int
    values: dict[str, Any]


def parse_arm(text: str, epochs: int) -> Arm:
    """An arm as the command line gives it; `epochs=x3` are three times the usual ones."""
    name, _, rest = text.partition("=")
    source, *settings = rest.split(",")
    values: dict[str, Any] = {}
    for setting in settings:
        key, _, value = setting.strip().partition("=")
        values[key] = value if value.startswith("x") else json.loads(value)
    wanted = values.pop("epochs", epochs)
    return Arm(name, source, epochs * int(wanted[1:]) if isinstance(wanted, str) else wanted, values)


def make(source: str, seed: int, folder: Path) -> None:
    """Write an arm's backbone to `folder`."""
    none = BackboneParams(
        source="embedded", path="", repo="", revision=None, seed=seed, image_size=64, patch_size=8, hidden_size=64,
        layers=1, heads=1,
    )  # fmt: skip
    if source == "scratch":
        config = read_json(EMBEDDED / "config.json")
        names = {"hidden_size": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads"}
        sizes = {"image_size": config["image_size"], "patch_size": config["patch_size"]}
        sizes |= {name: config[key] for name, key in names.items()}
        folder.mkdir()
        draw(dataclasses.replace(none, source="scratch", **sizes), folder)
    else:
        own = source == "embedded"
        make_backbone(dataclasses.replace(none, source="embedded" if own else "folder", path=source), folder)


def run(arm: Arm, seed: int, processed: Path) -> list[dict[str, Any]]:
    """Fit one arm with one seed; a row an epoch, the last one with the test figures of the best epoch."""
    params = overlay(read_params("fit", FitParams), {"seed": seed, **arm.values})
    stores = {name: open_store(processed / name) for name in ("train", "val", "test")}
    with tempfile.TemporaryDirectory() as temporary:
        backbone = Path(temporary) / "backbone"
        make(arm.source, seed, backbone)
        started, seconds = time.monotonic(), []
        fitted = fit(
            stores["train"], stores["val"], backbone, params, epochs=arm.epochs,
            on_epoch=lambda *_: seconds.append(time.monotonic() - started),
        )  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"arm": arm.name, "seed": seed, "seconds": round(second, 1), **{k: row[k] for k in COLUMNS if k in row}}
        for row, second in zip(fitted.history, seconds, strict=True)
    ]
    test = validation_figures(infer(fitted.detector, stores["test"].images).logits, stores["test"].labels)
    rows[-1] |= {f"test_{name}": round(test[f"val_{name}"], 4) for name in FIGURES}
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Test figures of each arm, mean and range over the seeds, as Markdown."""
    lines = ["| weights | epochs | seconds | accuracy | F1 | AUC |", "|---|---|---|---|---|---|"]
    for name in dict.fromkeys(row["arm"] for row in rows):
        last = [row for row in rows if row["arm"] == name and "test_auc" in row]
        cells = []
        for column in (f"test_{name_of}" for name_of in FIGURES):
            values = [row[column] for row in last]
            spread = f" ({min(values):.3f}-{max(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        seconds = statistics.mean(row["seconds"] for row in last)
        lines.append(f"| {name} | {last[0]['epoch']} | {seconds:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Validation AUC by epoch: a line a seed, a colour an arm."""
    fig, axes = figure(height=4.0)
    axes.axhline(0.5, color=MUTED, linewidth=1, linestyle="--")
    for (number, name), colour in zip(
        enumerate(dict.fromkeys(row["arm"] for row in rows)), [INK, *REGION_COLOURS.values(), MUTED], strict=False
    ):
        for seed in dict.fromkeys(row["seed"] for row in rows):
            mine = [row for row in rows if row["arm"] == name and row["seed"] == seed]
            axes.plot(
                [row["epoch"] for row in mine], [row["val_auc"] for row in mine], color=colour,
                linewidth=2.2 if number == 0 else 1.4, label=name if seed == rows[0]["seed"] else None,
            )  # fmt: skip
    axes.set_xlabel("epochs of fine-tuning (the same time for each)")
    axes.set_ylabel("AUC on validation (dashed: chance)")
    axes.legend()
    save(fig, path)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="default: train.epochs of params.yaml")
    parser.add_argument("--processed", type=Path, default=Path("data/processed"))
    parser.add_argument("--arm", action="append", help=f"default: {'; '.join(ARMS)}")
    parser.add_argument("--out", type=Path, default=Path("docs/transfer"))
    arguments = parser.parse_args()
    try:
        epochs = arguments.epochs or read_params("train", TrainParams).epochs
        rows = []
        for text in arguments.arm or ARMS:
            for seed in range(arguments.seeds):
                rows += run(parse_arm(text, epochs), seed, arguments.processed)
                print(table([row for row in rows if row["arm"] == rows[-1]["arm"]]), flush=True)
    except RffdError as error:
        sys.exit(f"error: {error}")
    write_csv(arguments.out.with_suffix(".csv"), rows, COLUMNS)
    write_text(arguments.out.with_suffix(".md"), table(rows))
    plot(rows, arguments.out.with_suffix(".png"))
    print(table(rows))


if __name__ == "__main__":
    main()
