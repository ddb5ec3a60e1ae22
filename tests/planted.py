"""A toy whose answer is known: noise in which a bright square is planted, and a tiny detector taught to find it."""

from pathlib import Path

import numpy as np
import torch
from transformers import ViTConfig, ViTForImageClassification

from rffd.files import write_csv, write_json
from rffd.inference import infer, to_pixels
from rffd.model import Detector
from rffd.names import REGIONS
from rffd.preprocessing import PreprocessParams
from rffd.store import INDEX_COLUMNS, Store, contract_json, open_store

SIZE, PATCH = 32, 4
CONTRACT = PreprocessParams(image_size=SIZE, jpeg_quality=None, face_margin=None)
CORNERS = {0: (12, 8), 1: (12, 20), 2: (16, 14), 3: (22, 14)}  # where each region's square is planted: top, left
SQUARE = 4


def planted_store(folder: Path, count: int, seed: int, *, masks: bool = True) -> Store:
    """`count` images, every second one a fake with one region planted; a fake's mask is its square."""
    random = np.random.default_rng(seed)
    images = random.integers(60, 140, (count, SIZE, SIZE, 3), dtype=np.uint8)
    squares, rows = [], []
    for i in range(count):
        fake, region = i % 2, (i // 2) % 4
        if fake:
            top, left = CORNERS[region]
            images[i, top : top + SQUARE, left : left + SQUARE] = (230, 40, 40)
            mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
            mask[top : top + SQUARE, left : left + SQUARE] = 255
            squares.append(mask)
        bits = "".join(str(int(fake and k == region)) for k in range(4))
        name = f"fake/mid_{i}_{bits}.jpg" if fake else f"real/real_{i:05}.jpg"
        row = {"path": name, "label": "fake" if fake else "real", "difficulty": "mid" if fake else "", "bits": bits}
        rows.append(row | {"group": name, "mask": len(squares) - 1 if fake and masks else "", "face": ""})
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", np.array(squares) if masks else np.zeros((0, SIZE, SIZE), dtype=np.uint8))
    write_csv(folder / "index.csv", rows, INDEX_COLUMNS)
    write_json(folder / "contract.json", contract_json(CONTRACT))
    return open_store(folder)


def untrained_detector(seed: int = 0) -> Detector:
    """A detector of 8 x 8 patches with random weights."""
    torch.manual_seed(seed)
    config = ViTConfig(
        image_size=SIZE,
        patch_size=PATCH,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=2,
    )
    return Detector(ViTForImageClassification(config), CONTRACT, [0.5] * 3, [0.5] * 3).eval()


def planted_detector(store: Store, steps: int = 150) -> Detector:
    """Trained on labels, regions and patches of `store` until it finds the squares (a few seconds)."""
    detector = untrained_detector().train()
    optimiser = torch.optim.AdamW(detector.parameters(), lr=3e-3)
    random = np.random.default_rng(0)
    grid = SIZE // PATCH
    for _ in range(steps):
        rows = np.sort(random.choice(len(store), 32, replace=False))
        outputs = detector(to_pixels(np.asarray(store.images[rows]), detector))
        patches = np.zeros((len(rows), grid, grid), dtype=np.float32)
        for k, i in enumerate(rows):
            if store.mask_rows[i] >= 0:
                mask = store.masks[store.mask_rows[i]] / 255
                patches[k] = mask.reshape(grid, PATCH, grid, PATCH).mean(axis=(1, 3))
        binary = torch.nn.functional.binary_cross_entropy_with_logits
        loss = (
            torch.nn.functional.cross_entropy(outputs.logits, torch.from_numpy(store.labels[rows]))
            + binary(outputs.regions, torch.from_numpy(store.bits[rows]))
            + binary(outputs.patches, torch.from_numpy(patches), pos_weight=torch.tensor(20.0))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return detector.eval()


def write_predictions(folder: Path, detector: Detector, *stores: Store) -> None:
    """What evaluate leaves for explain, as far as explain reads it."""
    rows: list[dict[str, object]] = []
    worst: dict[str, list[dict[str, str]]] = {"false_positives": [], "false_negatives": []}
    for store in stores:
        scores = infer(detector, np.array(store.images))
        probability = 1 / (1 + np.exp(scores.logits[:, 0] - scores.logits[:, 1]))
        for i, path in enumerate(store.paths):
            regions = {f"region_{name}": scores.regions[i, k] for k, name in enumerate(REGIONS)}
            label = "fake" if store.labels[i] else "real"
            if (probability[i] >= 0.5) != store.labels[i]:
                worst["false_negatives" if store.labels[i] else "false_positives"].append({"path": path})
            rows.append({"path": path, "label": label, "probability": probability[i], **regions})
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "predictions.csv", rows, list(rows[0]))
    write_json(folder / "details.json", {"temperature": 1.0, "offset": 0.0, "worst": worst})
