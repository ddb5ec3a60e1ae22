"""The training engine's speed against a bare loop on ready tensors and against `transformers.Trainer`.

    python -m benchmarks.engine [--images 256] [--repeats 5] [--shape ViT-Ti/16] [--profile]

Photographs are drawn, the model has random weights: neither changes the speed. All sides train the same model with the
same batch in the same precision, one epoch a turn, in turns, each in a process of its own. The bare loop has its
batches as normalised tensors in memory and does forward, cross-entropy, backward and AdamW, nothing else. The peer is
a `Trainer` that decodes, flips and processes each JPEG in each epoch. `--profile` prints where an epoch of the engine
goes instead.

What profiling a step of 32 images at 224 px on a CPU has taught, in time of one core (2,400 ms in all, bf16):
- glibc gave the step's memory back and took it again page by page: 65,000 page faults, 200 ms. rffd/memory.py.
- `F.affine_grid` multiplies a matrix of three rows a pixel: 20 ms, where sampling itself takes 12. rffd/augment.py has
  sums instead; with results written in place the whole augmentation fell from 88 to 40 ms.
- A reading thread that uses torch starts a second team of threads, which halves the speed. rffd/batches.py uses NumPy.
- Attention by plain products is faster than torch's fused one when gradients are wanted on a CPU, but autograd keeps
  190 MiB for it; computed again in the backward pass it costs 5 % of the speed instead. rffd/attention.py.
"""

import argparse
import dataclasses
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import Trainer, TrainerCallback, TrainingArguments, ViTForImageClassification, ViTImageProcessorPil
from transformers.utils import logging

import rffd.fit
from benchmarks.measure import Row, Rows, in_turns, ratio
from benchmarks.scene import photographs, store_of, vit
from benchmarks.sides import Side
from rffd.augment import NO_AUGMENTATION
from rffd.fit_params import FitParams
from rffd.parallel import cores
from rffd.params import read_params
from rffd.precision import resolve_precision
from rffd.store import Store, open_store

SIZE, ROOM, BATCH = 224, 256, 32
Run = Callable[[], float]


def engine(folder: Path, backbone: Path, params: FitParams) -> Run:
    """Images/s of `fit` over an epoch's training pass, as the pass itself is timed."""
    train = open_store(folder)
    inner, taken = rffd.fit.train_epoch, []

    def timed(*arguments, **named):
        started = time.perf_counter()
        result = inner(*arguments, **named)
        synchronise()
        taken.append(time.perf_counter() - started)
        return result

    val = dataclasses.replace(
        train, **{name: getattr(train, name)[[0, -1]] for name in ("images", "labels", "bits", "mask_rows")}
    )

    def side() -> float:
        with mock.patch.object(rffd.fit, "train_epoch", timed):
            rffd.fit.fit(train, val, backbone, params, epochs=1)
        return len(train) / taken[-1]

    return side


def bare(folder: Path, backbone: Path, precision: str) -> Run:
    """Images/s of forward, loss, backward and step on ready tensors: two batches, over and over."""
    train = open_store(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    views = torch.from_numpy(np.ascontiguousarray(train.images[: 2 * BATCH, :SIZE, :SIZE])).permute(0, 3, 1, 2)
    batches = list(
        zip((views / 127.5 - 1).split(BATCH), torch.from_numpy(train.labels[: 2 * BATCH]).split(BATCH), strict=True)
    )
    batches = [(pixels.contiguous().to(device), labels.to(device)) for pixels, labels in batches]
    model = ViTForImageClassification.from_pretrained(backbone).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    steps = len(train) // BATCH

    def side() -> float:
        started = time.perf_counter()
        for step in range(steps):
            pixels, labels = batches[step % len(batches)]
            with autocast(device, precision):
                logits = model(pixels).logits
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        synchronise()
        return steps * BATCH / (time.perf_counter() - started)

    return side


class Photographs(torch.utils.data.Dataset):
    """JPEGs, decoded, flipped and processed each time they are asked for."""

    def __init__(self, paths: list[Path], backbone: Path):
        self.paths = paths
        self.processor = ViTImageProcessorPil(size={"height": SIZE, "width": SIZE})

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB")
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        pixels = self.processor(image, return_tensors="pt")["pixel_values"][0]
        return {"pixel_values": pixels, "labels": int(self.paths[index].parent.name == "fake")}


class Clock(TrainerCallback):
    """Seconds of the epoch, its workers' start included, as each epoch has it."""

    def on_epoch_begin(self, *_, **__):
        self.started = time.perf_counter()

    def on_epoch_end(self, *_, **__):
        synchronise()
        self.seconds = time.perf_counter() - self.started


def trainer(paths: list[Path], backbone: Path, precision: str, workers: int, output: Path) -> Run:
    """Images/s of the peer over an epoch."""
    logging.set_verbosity_error()
    model = ViTForImageClassification.from_pretrained(backbone)
    arguments = TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        dataloader_num_workers=workers,
        use_cpu=not torch.cuda.is_available(),
        optim="adamw_torch_fused",
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    dataset = Photographs(paths, backbone)

    def side() -> float:
        clock = Clock()
        Trainer(model=model, args=arguments, train_dataset=dataset, callbacks=[clock]).train()
        return len(dataset) / clock.seconds

    return side


def autocast(device: str, precision: str):
    """The same mixed precision as Accelerate's."""
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype=kind, enabled=precision != "no")


def synchronise() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak(precision: str) -> float:
    """Floating-point operations a second of one large matrix product."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = 8192 if device == "cuda" else 2048
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    a = torch.randn(side, side, device=device, dtype=kind)
    times = []
    for _ in range(8):
        synchronise()
        started = time.perf_counter()
        a @ a
        synchronise()
        times.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(times[2:])


def operations(backbone: Path) -> float:
    """Floating-point operations of a training step, an image."""
    model = ViTForImageClassification.from_pretrained(backbone)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, SIZE, SIZE)).logits.sum().backward()
    return counter.get_total_flops()


def fit_params() -> FitParams:
    """The default ones at the benchmark's size; without pseudo-fakes, which are images of their own in a step."""
    own = read_params("fit", FitParams)
    return dataclasses.replace(
        own, image_size=SIZE, batch_size=BATCH, mixed_precision="auto", learning_rate=1e-5, pseudo=0.0
    )


def scene(folder: Path, images: int, shape: str) -> tuple[list[Path], Store, Path]:
    """The photographs, their store with room for crops, and the model."""
    paths = photographs(folder / "photographs", images)
    return paths, store_of(folder / "store", paths, ROOM), vit(folder / "vit", shape)


def rows(quick: bool = False, images: int = 256, repeats: int = 5, shape: str | None = None) -> Rows:
    """Engine over bare loop, engine over peer."""
    logging.set_verbosity_error()
    gpu = torch.cuda.is_available()
    shape = "toy" if quick else shape or ("ViT-B/16" if gpu else "ViT-Ti/16")
    images, repeats = (64, 1) if quick else (images * (8 if gpu else 1), repeats)
    precision, _ = resolve_precision("auto")
    rffd.fit.use_all_cores(1)
    params = fit_params()
    flips = dataclasses.replace(NO_AUGMENTATION, flip=0.5)
    flip_only = dataclasses.replace(params, augment=flips, region_weight=0.0, patch_weight=0.0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths, train, backbone = scene(folder, images, shape)
        plain = store_of(folder / "plain", paths, SIZE)
        sides = {
            "bare": Side(bare, train.folder, backbone, precision),
            "engine": Side(engine, train.folder, backbone, params),
            "flips": Side(engine, plain.folder, backbone, flip_only),
            "0": Side(trainer, paths, backbone, precision, 0, folder / "out"),
            "all": Side(trainer, paths, backbone, precision, cores(), folder / "out"),
        }
        found = in_turns(sides, repeats)
        peaks = {name: side.peak for name, side in sides.items()}
        for side in sides.values():
            side.close()
        flops = operations(backbone)
    speed = {name: statistics.median(values) for name, values in found.items()}
    told = {name: f"{value:.1f} images/s" for name, value in speed.items()}
    what = f"{shape} at {SIZE} px, batch {BATCH}, {precision}"
    over_bare = ratio(found["engine"], found["bare"])
    yield Row(
        what=f"engine, default augmentations, over bare loop; {what}",
        measured=told["engine"],
        against=told["bare"],
        ratio=over_bare,
        at_least=0.97,
    )
    yield Row(
        what="the engine's own memory (RssAnon) at its peak over the bare loop's",
        measured=f"{peaks['engine']:.0f} MiB",
        against=f"{peaks['bare']:.0f} MiB",
        ratio=peaks["engine"] / peaks["bare"],
        at_most=1.1,
    )
    workers = {"0": "no workers", "all": f"{cores()} workers"}
    better = max(("0", "all"), key=lambda name: speed[name])
    for name, words in workers.items():
        target = (4 if name == "0" else 0) if gpu else 0
        target = max(target, 1.3) if gpu and name == better else target
        yield Row(
            what=f"engine over Trainer with {words}, flips only",
            measured=told["flips"],
            against=told[name],
            ratio=ratio(found["flips"], found[name]),
            at_least=target or None,
        )
    ceiling = ratio(found["bare"], found[better])
    yield Row(
        what="the ceiling of that: bare loop over the better Trainer",
        measured=told["bare"],
        against=told[better],
        ratio=ceiling,
    )
    yield Row(
        what="share of the ceiling that the engine reaches, flips only",
        measured=f"{ratio(found['flips'], found[better]):.3f}",
        against=f"{ceiling:.3f}",
        ratio=ratio(found["flips"], found[better]) / ceiling,
        at_least=None if gpu else 0.97,
    )
    top = peak(precision)
    yield Row(
        what=f"operations of the engine over a matrix product's, {precision}, {'GPU' if gpu else 'CPU'}",
        measured=f"{flops * speed['engine'] / 1e12:.2f} TFLOP/s",
        against=f"{top / 1e12:.2f} TFLOP/s",
        ratio=flops * speed["engine"] / top,
    )
    if not gpu:
        yield Row(what="GPU, ViT-B/16: engine over Trainer with no workers", measured="no GPU here", at_least=4)
        yield Row(what="GPU, ViT-B/16: engine over the better Trainer", measured="no GPU here", at_least=1.3)
        yield Row(what="GPU, ViT-B/16: share of a matrix product's speed", measured="not measured, no GPU here")


def profile(images: int, shape: str) -> None:
    """Where an epoch's time goes, by operation."""
    params = fit_params()
    with tempfile.TemporaryDirectory() as temporary:
        _, train, backbone = scene(Path(temporary), images, shape)
        side = engine(train.folder, backbone, params)
        side()
        with torch.profiler.profile(with_stack=False) as found:
            print(f"{side():.1f} images/s")
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=50))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shape", default=None)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if options.profile:
        profile(options.images, options.shape or "ViT-Ti/16")
        return
    from benchmarks.__main__ import show

    show("engine", list(rows(False, options.images, options.repeats, options.shape)))


if __name__ == "__main__":
    main()
