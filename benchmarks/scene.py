"""What the engine's benchmarks work on: photographs drawn by themselves, a store of them, a ViT from a config alone."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.preprocess import draw
from rffd.files import write_csv, write_json
from rffd.preprocessing import PreprocessParams
from rffd.store import INDEX_COLUMNS, Store, contract_json, open_store

SHAPES = {  # width, layers, heads at 224 px with patches of 16
    "ViT-Ti/16": (192, 12, 3),
    "ViT-B/16": (768, 12, 12),
    "toy": (48, 2, 2),
}


def photographs(folder: Path, count: int) -> list[Path]:
    """Progressive JPEGs of 600 px as the dataset's are, half of them fakes, sorted."""
    draw(folder, count)
    return sorted(folder.glob("*/*.jpg"))


def vit(folder: Path, shape: str, size: int = 224) -> Path:
    """A ViT of random weights in Hugging Face format: speed doesn't depend on what it has learned."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    width, layers, heads = SHAPES[shape]
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        image_size=size,
        num_labels=2,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    return folder


def store_of(folder: Path, paths: list[Path], size: int) -> Store:
    """A store of these pictures, the fakes with all four bits."""
    images = np.stack([_read(path, size) for path in paths])
    return write_store(folder, images, [path.parent.name for path in paths])


def write_store(folder: Path, images: np.ndarray | None, labels: list[str], size: int = 0) -> Store:
    """A store with `labels`; `images` None: of `size` px and random bytes, written in parts."""
    folder.mkdir(parents=True)
    if images is None:
        mapped = np.lib.format.open_memmap(
            folder / "images.npy", mode="w+", dtype=np.uint8, shape=(len(labels), size, size, 3)
        )
        random = np.random.default_rng(0)
        for start in range(0, len(labels), 1000):
            part = mapped[start : start + 1000]
            part[:] = random.integers(0, 256, part.shape, dtype=np.uint8)
        mapped.flush()
        del mapped
    else:
        np.save(folder / "images.npy", images)
        size = images.shape[1]
    np.save(folder / "masks.npy", np.zeros((0, size, size), np.uint8))
    rows = []
    for i, label in enumerate(labels):
        fake = label == "fake"
        name = f"fake/mid_{i}_1111.jpg" if fake else f"real/real_{i:06}.jpg"
        rows.append(
            dict.fromkeys(INDEX_COLUMNS, "")
            | {"path": name, "label": label, "bits": "1111" if fake else "0000", "group": name}
        )
    write_csv(folder / "index.csv", rows, INDEX_COLUMNS)
    contract = PreprocessParams(image_size=size, jpeg_quality=None, face_margin=None)
    write_json(folder / "contract.json", contract_json(contract))
    return open_store(folder)


def _read(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
