"""The detector: a plain `ViTForImageClassification` with two small heads beside it.

The classifier is what gets published and what any Hugging Face code loads. The heads say which of the four
regions were replaced, and which patches; they help training and explain verdicts, and travel in a file of
their own, so that the main model needs no code of ours.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification
from transformers.utils import logging as transformers_logging

from rffd.errors import RffdError
from rffd.files import read_json, write_json
from rffd.names import LABELS, REGIONS
from rffd.params import build
from rffd.preprocessing import PreprocessParams
from rffd.regions import region_masks
from rffd.store import contract_json


class Outputs(NamedTuple):
    """Raw scores of a batch: `logits` [B, 2] (real, fake), `regions` [B, 4] and `patches` [B, h, w] as logits
    of having been replaced, `tokens` [B, 1 + h * w, D] after the last LayerNorm (CLS first, then row by row)."""

    logits: Tensor
    regions: Tensor
    patches: Tensor
    tokens: Tensor


class RegionHeads(nn.Module):
    """Four region scores, each from [CLS, mean patch], and one score a patch token.

    With `where` [4, n] (rows sum to 1), each region's mean is taken where it usually lies instead of everywhere.
    """

    where: Tensor | None

    def __init__(self, width: int, where: Tensor | None = None):
        super().__init__()
        self.register_buffer("where", where, persistent=False)
        self.regions = nn.Linear(2 * width, len(REGIONS))
        self.patches = nn.Linear(width, 1)
        for layer in (self.regions, self.patches):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`tokens` [B, 1 + n, D] to region logits [B, 4] and patch logits [B, h, w] with h = w = sqrt(n)."""
        cls, patches = tokens[:, 0], tokens[:, 1:]
        side = math.isqrt(patches.shape[1])
        if self.where is None:
            regions = self.regions(torch.cat([cls, patches.mean(dim=1)], dim=1))
        else:
            pooled = self.where.to(patches.dtype) @ patches  # [B, 4, D]
            each = torch.cat([cls[:, None].expand_as(pooled), pooled], dim=2)
            regions = (each * self.regions.weight).sum(dim=2) + self.regions.bias
        return regions, self.patches(patches).reshape(-1, side, side)


class Detector(nn.Module):
    """A ViT with its heads, its preprocessing contract and the pixel statistics it expects.

    `region_pool` says which patches a region's score looks at: "mean" of all, or of its own ("regions").
    """

    def __init__(
        self,
        vit: ViTForImageClassification,
        contract: PreprocessParams,
        mean: list[float],
        std: list[float],
        region_pool: str = "mean",
    ):
        super().__init__()
        self.vit, self.region_pool = vit, region_pool
        where = None
        if region_pool == "regions":
            grid = _side(vit.config.image_size) // _side(vit.config.patch_size)
            fine = torch.from_numpy(region_masks(8 * grid, contract.face_margin))  # on few patches, none may be hit
            masks = nn.functional.avg_pool2d(fine, 8).flatten(1)
            where = masks / masks.sum(dim=1, keepdim=True)
        self.heads = RegionHeads(vit.config.hidden_size, where)
        self.contract = contract
        self.mean, self.std = mean, std

    @property
    def image_size(self) -> int:
        """Pixels a side of the model's input."""
        return _side(self.vit.config.image_size)

    @property
    def patch_size(self) -> int:
        """Pixels a side of a patch."""
        return _side(self.vit.config.patch_size)

    def normalise(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in 0..1 to the statistics that the backbone was trained with."""
        mean = pixels.new_tensor(self.mean).view(1, 3, 1, 1)
        return (pixels - mean) / pixels.new_tensor(self.std).view(1, 3, 1, 1)

    def forward(self, pixels: Tensor) -> Outputs:
        """Normalised pixels [B, 3, S, S] to `Outputs`."""
        tokens = self.vit.vit(pixels).last_hidden_state
        regions, patches = self.heads(tokens)
        return Outputs(self.vit.classifier(tokens[:, 0]), regions, patches, tokens)


class DropPath(nn.Module):
    """Skip a residual branch for a random part of the samples (stochastic depth, Huang et al. 2016)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """[B, n, D] with whole samples zeroed at `rate`, the rest scaled up to keep the expectation."""
        if not self.training or self.rate == 0:
            return branch
        keep = torch.rand(branch.shape[0], 1, 1, device=branch.device) >= self.rate
        return branch * keep / (1 - self.rate)


def new_detector(
    backbone: Path,
    contract: PreprocessParams,
    *,
    image_size: int | None = None,
    drop_path: float = 0.0,
    region_pool: str = "mean",
) -> Detector:
    """Put a fresh two-class head on the pre-trained ViT in `backbone` (as the backbone stage writes it).

    `image_size` other than the backbone's interpolates the position embeddings once, for good. The new heads
    start at zero, so nothing here is random. `drop_path` grows linearly from 0 to its value with depth.
    """
    _quieten()
    config = ViTConfig.from_pretrained(
        backbone, num_labels=2, id2label=dict(enumerate(LABELS)), label2id={name: i for i, name in enumerate(LABELS)}
    )
    vit = ViTForImageClassification.from_pretrained(
        backbone, config=config, ignore_mismatched_sizes=True, use_safetensors=True
    )
    for numbers in vit.classifier.parameters():
        nn.init.zeros_(numbers)
    if image_size is not None and image_size != config.image_size:
        resize_positions(vit, image_size)
    layers = vit.vit.layers
    for depth, layer in enumerate(layers):
        layer.dropout = DropPath(drop_path * depth / max(1, len(layers) - 1))
    statistics = read_json(Path(backbone) / "preprocessor_config.json")
    return Detector(vit, contract, statistics["image_mean"], statistics["image_std"], region_pool)


def resize_positions(vit: ViTForImageClassification, image_size: int) -> None:
    """Interpolate the position embeddings (bicubic) to `image_size` pixels and record it in the config."""
    patch = _side(vit.config.patch_size)
    if image_size % patch:
        raise RffdError(f"'fit.image_size' is {image_size}; it must be a multiple of the patch size, {patch}")
    embeddings = vit.vit.embeddings
    positions = embeddings.position_embeddings.data
    cls, grid = positions[:, :1], positions[:, 1:]
    old, new = math.isqrt(grid.shape[1]), image_size // patch
    grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False, antialias=new < old)
    embeddings.position_embeddings = nn.Parameter(torch.cat([cls, grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1))
    for module in (embeddings, embeddings.patch_embeddings):
        module.image_size = (image_size, image_size)
    embeddings.patch_embeddings.num_patches = new * new
    vit.config.image_size = image_size


def save_detector(detector: Detector, folder: Path) -> None:
    """Write the plain ViT in Hugging Face format, and heads and contract as side files, into an existing folder."""
    _quieten()
    folder = Path(folder)
    detector.vit.save_pretrained(folder)
    save_file(
        {name: value.contiguous() for name, value in detector.heads.state_dict().items()}, folder / "heads.safetensors"
    )
    heads = {"regions": list(REGIONS), "hidden_size": detector.vit.config.hidden_size, "pool": detector.region_pool}
    write_json(folder / "heads.json", heads)
    write_json(folder / "contract.json", contract_json(detector.contract))
    write_json(folder / "preprocessor_config.json", preprocessor_config(detector))


def preprocessor_config(detector: Detector) -> dict[str, object]:
    """What `transformers` needs to prepare a picture for the plain model: resize, rescale, normalise."""
    return {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": detector.mean,
        "image_processor_type": "ViTImageProcessor",
        "image_std": detector.std,
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": detector.image_size, "width": detector.image_size},
    }


def load_detector(folder: Path) -> Detector:
    """Read what `save_detector` wrote, ready for inference (eval mode, CPU)."""
    _quieten()
    folder = Path(folder)
    try:
        vit = ViTForImageClassification.from_pretrained(folder, use_safetensors=True)
        statistics = read_json(folder / "preprocessor_config.json")
        contract = build(PreprocessParams, read_json(folder / "contract.json"), "preprocess")
        pool = read_json(folder / "heads.json")["pool"]
        detector = Detector(vit, contract, statistics["image_mean"], statistics["image_std"], pool)
        detector.heads.load_state_dict(load_file(folder / "heads.safetensors"))
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise RffdError(f"{folder}: not a detector of this project ({' '.join(str(error).split())})") from error
    return detector.eval()


def _side(size: int | list[int] | tuple[int, int]) -> int:
    """A side in pixels: `transformers` allows pairs, but the backbone stage lets none through."""
    assert isinstance(size, int)
    return size


def _quieten() -> None:
    """Loading reports and bars of the library would say that our new head is new, at every load."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
