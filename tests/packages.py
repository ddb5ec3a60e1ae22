"""A small packaged model with the raw files, store and predictions that it was packaged from, made once a run."""

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from transformers import ViTConfig, ViTForImageClassification

from rffd.calibration import Calibration, probability, verdicts
from rffd.files import write_csv, write_json
from rffd.inference import infer
from rffd.model import Detector, save_detector
from rffd.names import LABELS, REGIONS
from rffd.packaging import PackageParams, Sources, write_package
from rffd.preprocessing import PreprocessParams, prepare
from rffd.store import INDEX_COLUMNS, Store, contract_json, open_store

CONTRACT = PreprocessParams(image_size=40, jpeg_quality=None, face_margin=None)
PARAMS = PackageParams(
    repository="someone/faces",
    private=True,
    title="A toy",
    authors=["Doe, Jane"],
    license="cc-by-nc-sa-4.0",
    data_note=None,
    checked_images=8,
)
SOURCES = Sources(
    data="kaggle",
    backbone="hub",
    backbone_repo="google/vit-base-patch16-224-in21k",
    split={"split_train": 80, "split_train_fake": 40, "split_val": 10, "split_val_fake": 5},
    train={"learning_rate": 3e-5, "curve": [1.0]},
    vit={"vit_million_parameters": 0.05, "vit_layers": 2, "vit_patch_size": 8},
)
BAND = {"low": 0.35, "high": 0.65, "reached": True, "target_error": 0.05}
DETAILS = {"temperature": 1.7, "offset": 0.2, "unsure_band": BAND}
FIGURES = {
    side: {
        name: value
        for metric in ("accuracy", "f1", "recall", "auc")
        for name, value in ((metric, 0.8), (f"{metric}_ci95", [0.7, 0.9]))
    }
    for side in ("val", "test")
}


@dataclass(frozen=True)
class Made:
    """Where everything lies: `raw` files, `model` as train saved it, `predictions`, the `package`."""

    raw: Path
    model: Path
    predictions: Path
    store: Store
    detector: Detector
    package: Path
    manifest: list[str]


def toy_detector(contract: PreprocessParams = CONTRACT, size: int = 32) -> Detector:
    """Random weights, large enough for answers that differ from picture to picture."""
    torch.manual_seed(1)
    names = dict(enumerate(LABELS))
    config = ViTConfig(
        image_size=size,
        patch_size=8,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    detector = Detector(ViTForImageClassification(config), contract, [0.5] * 3, [0.4, 0.5, 0.6]).eval()
    for weight in (detector.vit.classifier.weight, detector.heads.regions.weight, detector.heads.patches.weight):
        torch.nn.init.normal_(weight, std=0.7)
    return detector


def draw_pictures(raw: Path, count: int = 12) -> list[str]:
    """Blurred noise as JPEG files of several sizes; their paths, sorted."""
    random, paths = np.random.default_rng(0), []
    for i in range(count):
        path = raw / (f"fake/mid_{i:02}_0110.jpg" if i % 2 else f"real/real_{i:05}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = random.integers(0, 256, (12, 12 + i, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((120 + 10 * i, 130), Image.Resampling.BICUBIC)
        picture.filter(ImageFilter.GaussianBlur(2)).save(path, quality=90)
        paths.append(path.relative_to(raw).as_posix())
    return sorted(paths)


def toy_store(folder: Path, raw: Path, paths: list[str]) -> Store:
    """The pictures as preprocess stores them."""
    folder.mkdir()
    np.save(folder / "images.npy", np.stack([prepare(Image.open(raw / p), CONTRACT).pixels for p in paths]))
    np.save(folder / "masks.npy", np.zeros((0, 40, 40), np.uint8))
    rows = [{"path": p, "label": p.split("/")[0], "group": p, "difficulty": "", "bits": "", "mask": ""} for p in paths]
    write_csv(folder / "index.csv", rows, INDEX_COLUMNS)
    write_json(folder / "contract.json", contract_json(CONTRACT))
    return open_store(folder)


def write_predictions(path: Path, detector: Detector, store: Store) -> None:
    """What evaluate writes of each image, as far as packaging and `rffd predict` are held against it."""
    found = infer(detector, np.asarray(store.images))
    fake = probability(found.logits[:, 1] - found.logits[:, 0], Calibration(1.7, 0.2))
    regions = [f"region_{name}" for name in REGIONS]
    rows = [
        {"path": p, "split": "test", "probability": float(fake[i]), "verdict": verdicts(fake[i : i + 1], BAND)[0]}
        | dict(zip(regions, map(float, found.regions[i]), strict=True))
        for i, p in enumerate(store.paths)
    ]
    write_csv(path, rows, ["path", "split", "probability", "verdict", *regions])


def make(folder: Path) -> Made:
    """Make everything in an empty folder."""
    raw, model = folder / "raw", folder / "model"
    store = toy_store(folder / "test", raw, draw_pictures(raw))
    detector = toy_detector()
    model.mkdir()
    save_detector(detector, model)
    write_predictions(folder / "predictions.csv", detector, store)
    manifest = repackage(folder / "package", model, store, folder / "predictions.csv", raw)
    return Made(raw, model, folder / "predictions.csv", store, detector, folder / "package", manifest)


def repackage(folder: Path, model: Path, store: Store, predictions: Path, raw: Path) -> list[str]:
    """Write the package with the made-up figures."""
    return write_package(
        folder,
        PARAMS,
        SOURCES,
        model=model,
        figures=FIGURES,
        details=DETAILS,
        predictions=predictions,
        test=store,
        raw=raw,
    )


@functools.cache
def packaged() -> Made:
    """The package that all tests of a run share; they leave it as it is."""
    folder = Path(tempfile.mkdtemp(prefix="rffd-package-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make(folder)
