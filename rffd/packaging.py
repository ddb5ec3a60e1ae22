"""The folder that strangers use: the plain classifier, calibrated, with all that is needed to read its answers.

The calibration is folded into the classifier's weights, so that `transformers.pipeline` gives calibrated
probabilities with no code of ours. What is promised is checked here on test images: ONNX Runtime equals torch, and
the card states how far a plain pipeline on raw files is from the evaluation's recipe.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from rffd import __version__
from rffd.card import Facts, write_card
from rffd.errors import RffdError
from rffd.files import read_csv, replacing, write_json
from rffd.images import read_image
from rffd.manifest import write_checksums
from rffd.model import Detector, load_detector, save_detector
from rffd.onnx_export import export_onnx, parity
from rffd.params import require
from rffd.store import Store
from rffd.verdict import FILE, Rule

REGION = 0.5  # probability from which a region is called replaced


@dataclass(frozen=True, kw_only=True)
class PackageParams:
    """The section `package`."""

    repository: str | None
    private: bool
    title: str
    authors: list[str]
    license: str
    data_note: str | None
    checked_images: int

    def __post_init__(self) -> None:
        named = self.repository is None or re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository) is not None
        require(named, "package.repository", self.repository, "null or OWNER/NAME")
        require(bool(self.title.strip()), "package.title", "empty", "a name for the model")
        require(bool(self.license.strip()), "package.license", "empty", "a licence as the Hub names it")
        require(1 <= self.checked_images <= 100_000, "package.checked_images", self.checked_images, "from 1 to 100000")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the model was made from, as far as the card tells it."""

    data: str
    backbone: str
    backbone_repo: str | None
    split: Mapping[str, Any]
    train: Mapping[str, Any]
    vit: Mapping[str, Any]


def write_package(
    folder: Path,
    params: PackageParams,
    sources: Sources,
    *,
    model: Path,
    figures: Mapping[str, Any],
    details: Mapping[str, Any],
    predictions: Path,
    test: Store,
    raw: Path,
) -> list[str]:
    """Write the package; return its manifest: `sha256 bytes path` a file, sorted by path.

    `figures` are metrics/evaluate.json, `details` and `predictions` are evaluation's; `raw` holds the test images'
    files, `test` their stored squares.
    """
    rule = rule_of(details)
    detector = load_detector(model)
    fold_calibration(detector, rule.temperature, rule.offset)
    with replacing(folder) as temporary:
        temporary.mkdir()
        save_detector(detector, temporary)
        write_json(temporary / FILE, rule.as_json())
        export_onnx(detector, temporary / "onnx" / "model.onnx")
        some = evenly(len(test), params.checked_images)
        facts = Facts(
            title=params.title,
            repository=params.repository,
            license=params.license,
            authors=params.authors,
            source=sources.data,
            data_note=params.data_note,
            base_model=sources.backbone_repo if sources.backbone == "hub" else None,
            figures=figures,
            details=details,
            split=sources.split,
            train=sources.train,
            vit=sources.vit,
            contract=detector.contract,
            rule=rule,
            image_size=detector.image_size,
            parity=parity(detector, temporary / "onnx" / "model.onnx", test.images[some]),
            plain=plain_gap(temporary, predictions, raw, params.checked_images),
            version=__version__,
        )
        (temporary / "README.md").write_text(write_card(facts), encoding="utf-8")
        manifest = write_checksums(temporary)
    return manifest


def rule_of(details: Mapping[str, Any]) -> Rule:
    """The calibration and the unsure band as evaluation fitted them on validation."""
    try:
        band = details["unsure_band"]
        fitted = {name: details[name] for name in ("temperature", "offset")}
        return Rule(low=band["low"], high=band["high"], region=REGION, **fitted)
    except KeyError as error:
        raise RffdError(f"data/evaluation/details.json: no {error}; run `dvc repro evaluate`") from error


@torch.no_grad()
def fold_calibration(detector: Detector, temperature: float, offset: float) -> None:
    """Take `offset` from the logit of fake, divide weights and bias by `temperature`, in place: its softmax is then
    calibrated."""
    weight, bias = detector.vit.classifier.parameters()
    bias[1] -= offset
    for numbers in (weight, bias):
        numbers.div_(temperature)


def plain_gap(folder: Path, predictions: Path, raw: Path, count: int) -> dict[str, float]:
    """How far a plain pipeline on raw test files is from evaluation, in the probability of fake.

    `count` files, `median` and `largest` difference, `agreement`: the share called alike at 0.5.
    """
    rows = [row for row in read_csv(predictions) if row["split"] == "test" and row["probability"]]
    some = [rows[i] for i in evenly(len(rows), count)]
    if not some:
        raise RffdError(f"{predictions}: no test image to check the package on; run `dvc repro evaluate`")
    plain = plain_probabilities(folder, (read_image(raw / row["path"]) for row in some))
    expected = np.array([float(row["probability"]) for row in some])
    gap = np.abs(plain - expected)
    return {
        "count": float(len(plain)),
        "median": float(np.median(gap)),
        "largest": float(gap.max()),
        "agreement": float(((plain >= 0.5) == (expected >= 0.5)).mean()),
    }


@torch.inference_mode()
def plain_probabilities(folder: Path, pictures: Iterable[Image.Image]) -> np.ndarray:
    """Probability of fake [N] for upright pictures, by `transformers` alone, as `pipeline` computes it."""
    from transformers import ViTForImageClassification, ViTImageProcessorPil

    processor = ViTImageProcessorPil.from_pretrained(folder)
    vit = ViTForImageClassification.from_pretrained(folder, use_safetensors=True).eval()
    inputs = (processor(picture, return_tensors="pt") for picture in pictures)
    return np.array([float(vit(**one).logits.double().softmax(-1)[0, 1]) for one in inputs])


def evenly(length: int, count: int) -> np.ndarray:
    """At most `count` of `length` indices, spread evenly, in order."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int)) if length else np.zeros(0, int)
