"""The sheet of augmentations: one face as training may see it, each operation by itself at its parameters."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from rffd.augment import NO_AUGMENTATION, AugmentParams, augment, draw
from rffd.files import read_json
from rffd.images import read_image
from rffd.look import PAPER, sheet
from rffd.preprocessing import PreprocessParams, prepare

SIZE = 132  # pixels a side of a picture
CHANCES = ("flip", "vertical_flip", "grey", "blur", "noise", "jpeg")
ALIKE = ("flip", "vertical_flip", "grey")  # do the same to a picture each time: one look is enough


def augmentations_sheet(
    path: Path, backbone: Path, contract: PreprocessParams, params: AugmentParams, seed: int, count: int
) -> Image.Image:
    """`count` draws of each operation on the face at `path`, at the model's size; the last row is all together."""
    square = prepare(read_image(path), contract).pixels
    size = min(contract.image_size, int(read_json(backbone / "config.json")["image_size"]))
    used = [name for name in (field.name for field in fields(params)) if name != "jpeg_quality"]
    used = [name for name in used if getattr(params, name) != getattr(NO_AUGMENTATION, name)]
    blank = Image.new("RGB", (8, 8), PAPER)
    single = [name for name in used if name in ALIKE][: count - 1]
    first = [views(square, NO_AUGMENTATION, size, seed, 1)[0]]
    first += [views(square, alone(params, name), size, seed, 1)[0] for name in single]
    pictures: list[Any] = [*first, *[blank] * (count - len(first))]
    names = ["as prepared", *(_words(name, params) for name in single), *[""] * (count - len(first))]
    rows = [""]
    for name in used:
        if name not in ALIKE:
            pictures += views(square, alone(params, name), size, seed, count)
            rows.append(_words(name, params))
    pictures += views(square, params, size, seed, count)
    rows.append("all together")
    names += [""] * (len(pictures) - len(names))
    return sheet(pictures, names, count, size=SIZE, title="What training does to a face", rows=rows)


def alone(params: AugmentParams, name: str) -> AugmentParams:
    """Only the operation `name`, at its strength; one that is left to chance is made certain."""
    value: Any = 1.0 if name in CHANCES else getattr(params, name)
    return replace(NO_AUGMENTATION, **{"jpeg_quality": params.jpeg_quality, name: value})


def views(square: np.ndarray, params: AugmentParams, size: int, seed: int, count: int) -> list[np.ndarray]:
    """`count` augmented versions [size, size, 3] uint8 of a prepared square [S, S, 3] uint8."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order, the same picture on any machine
    try:
        pixels = torch.from_numpy(np.array(square)).expand(count, -1, -1, -1)
        nothing = torch.zeros(count, 1, 8, 8), torch.zeros(count, 4)
        images, _, _ = augment(pixels, *nothing, draw(seed, 0, range(count)), params, size)
    finally:
        torch.set_num_threads(threads)
    return list((images.permute(0, 2, 3, 1) * 255).round().byte().numpy())


def _words(name: str, params: AugmentParams) -> str:
    value = getattr(params, name)
    words = name.replace("_", " ")
    if name == "jpeg":
        words = f"jpeg {params.jpeg_quality}-100"
    return f"{words}, {value:.0%}" if name in CHANCES else f"{words} {value:g}"
