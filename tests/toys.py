"""Small made-up inputs: stores whose fakes carry a planted patch, and a tiny backbone to train on them."""

from pathlib import Path

import numpy as np

from rffd.files import write_csv, write_json
from rffd.preprocessing import PreprocessParams
from rffd.store import INDEX_COLUMNS, Store, contract_json, open_store


def toy_store(folder: Path, count: int = 48, size: int = 40, seed: int = 0) -> Store:
    """Noise pictures; every second one is a fake whose left-eye area is a bright square, with its mask."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 190, (count, size, size, 3), dtype=np.uint8)
    masks, rows = [], []
    low, high = size // 4, size // 2
    for i in range(count):
        fake = i % 2 == 1
        mask = ""
        if fake:
            images[i, low:high, low:high] = np.minimum(images[i, low:high, low:high].astype(int) + 70, 255)
            if i % 4 == 1:
                mask = len(masks)
                masks.append(np.zeros((size, size), np.uint8))
                masks[-1][low:high, low:high] = 255
        name = f"fake/mid_{i}_1000.jpg" if fake else f"real/real_{i:05d}.jpg"
        rows.append(
            {
                "path": name,
                "label": "fake" if fake else "real",
                "difficulty": "mid" if fake else "",
                "bits": "1000" if fake else "0000",
                "group": name,
                "mask": mask,
                "face": "",
            }
        )
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", np.stack(masks))
    write_csv(folder / "index.csv", rows, INDEX_COLUMNS)
    write_json(
        folder / "contract.json",
        contract_json(PreprocessParams(image_size=size, jpeg_quality=None, face_margin=None)),
    )
    return open_store(folder)


def toy_backbone(folder: Path, size: int = 32, patch: int = 8, width: int = 24, layers: int = 2) -> Path:
    """A random ViT in Hugging Face format with the preprocessor file that the backbone stage writes."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=4 * width,
        image_size=size,
        patch_size=patch,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    return folder
