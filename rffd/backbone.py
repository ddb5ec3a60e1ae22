"""The pre-trained ViT that the detector grows from: where it comes from, and what it is.

Whatever the source, the rest of the pipe reads one shape (`rffd/vit_folder.py`).
"""

import contextlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rffd.errors import RffdError
from rffd.files import read_json, replacing
from rffd.params import require
from rffd.vit_folder import CONFIG, FILES, normalise, tensor_shapes, tokens, write

EMBEDDED = Path(__file__).parent / "embedded"


@dataclass(frozen=True, kw_only=True)
class BackboneParams:
    """Section `backbone`. The sizes are of `scratch` alone."""

    source: Literal["embedded", "hub", "folder", "scratch"]
    path: str
    repo: str
    revision: str | None
    seed: int
    image_size: int
    patch_size: int
    hidden_size: int
    layers: int
    heads: int

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "hidden_size", "layers", "heads"):
            value = getattr(self, name)
            require(1 <= value <= 8192, f"backbone.{name}", value, "from 1 to 8192")
        need = f"a multiple of backbone.patch_size, {self.patch_size}"
        require(self.image_size % self.patch_size == 0, "backbone.image_size", self.image_size, need)
        need = f"a multiple of backbone.heads, {self.heads}"
        require(self.hidden_size % self.heads == 0, "backbone.hidden_size", self.hidden_size, need)
        require(self.seed >= 0, "backbone.seed", self.seed, "0 or more")
        if self.source == "hub":
            pinned = self.revision is not None and re.fullmatch("[0-9a-f]{40}", self.revision) is not None
            shown = "null" if self.revision is None else self.revision
            need = f"a full commit hash of {self.repo} (40 digits, from the repository's page, Files, History)"
            require(pinned, "backbone.revision", shown, need)


def make_backbone(params: BackboneParams, folder: Path) -> dict[str, Any]:
    """Write the backbone that `params` asks for to `folder`, in the one shape; return its figures (`figures`)."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        if params.source == "scratch":
            draw(params, temporary)
        elif params.source == "hub":
            normalise(download(params), temporary, params.repo)
        elif params.source == "embedded":
            need = "set backbone.source to scratch, folder or hub"
            if not EMBEDDED.is_dir():
                raise RffdError(f"rffd/{EMBEDDED.name}: this version carries no backbone of its own; {need}")
            normalise(EMBEDDED, temporary, "rffd/embedded")
        else:
            normalise(Path(params.path), temporary, params.path)
        return figures(read_json(temporary / "config.json"))


def draw(params: BackboneParams, folder: Path) -> None:
    """Write a ViT with seeded random weights: normal of deviation .02, zero biases, LayerNorms that do nothing."""
    sizes = {
        "hidden_size": params.hidden_size,
        "image_size": params.image_size,
        "intermediate_size": 4 * params.hidden_size,
        "layer_norm_eps": 1e-6,
        "num_attention_heads": params.heads,
        "num_hidden_layers": params.layers,
        "patch_size": params.patch_size,
    }
    config = {**CONFIG, **sizes}
    random = np.random.default_rng(params.seed)
    tensors = {}
    for name, shape in tensor_shapes(config).items():
        if name.endswith("bias"):
            tensors[name] = np.zeros(shape, np.float32)
        elif "layernorm" in name:
            tensors[name] = np.ones(shape, np.float32)
        else:
            normal = random.standard_normal(shape, dtype=np.float32).clip(-2, 2)
            tensors[name] = normal * np.float32(config["initializer_range"])
    write(folder, config, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, tensors)


def download(params: BackboneParams) -> Path:
    """Fetch the three files of `backbone.repo` at `backbone.revision` from the Hub; return their folder."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    assert params.revision is not None
    wanted: dict[str, Any] = {"revision": params.revision, "allow_patterns": list(FILES)}
    try:
        with contextlib.suppress(LocalEntryNotFoundError):  # a pinned revision that is here needs no network
            folder = Path(snapshot_download(params.repo, local_files_only=True, **wanted))
            if all((folder / file).exists() for file in FILES):
                return folder
        HfApi().model_info(params.repo, revision=params.revision, timeout=20)  # fails at once where a snapshot retries
        return Path(snapshot_download(params.repo, **wanted))
    except Exception as error:  # the client's own, its HTTP library's, OSError, ValueError: all mean "not downloaded"
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise RffdError(
            f"backbone {params.repo} at {params.revision[:8]} can't be had from the Hub ({reason}); set HF_TOKEN if it "
            f"is private or gated, HF_ENDPOINT for a mirror, or download {', '.join(FILES)} elsewhere into a folder "
            "and set backbone.source=folder and backbone.path to it"
        ) from error


def figures(config: dict[str, Any]) -> dict[str, Any]:
    """The architecture in numbers; parameters in millions, sizes in pixels, as metrics of their own names."""
    count = sum(math.prod(shape) for shape in tensor_shapes(config).values())
    return {
        "vit_million_parameters": round(count / 1e6, 3),
        "vit_layers": config["num_hidden_layers"],
        "vit_hidden_size": config["hidden_size"],
        "vit_heads": config["num_attention_heads"],
        "vit_patch_size": config["patch_size"],
        "vit_image_size": config["image_size"],
        "vit_tokens": tokens(config),
    }


def describe(vit: dict[str, Any]) -> str:
    """The same in words, for someone who meets a ViT for the first time; `vit` as `figures` gives it."""
    size, patch, width = vit["vit_image_size"], vit["vit_patch_size"], vit["vit_hidden_size"]
    return (
        f"A Vision Transformer of {vit['vit_million_parameters']:.2f} million parameters.\n"
        f"Patch embedding: the {size}x{size} picture is cut into {vit['vit_tokens'] - 1} squares of {patch}x{patch} "
        f"pixels; each becomes a token of {width} numbers, plus a learned code for its place.\n"
        f"CLS: one more token, with no pixels of its own, that gathers what the verdict needs; the classifier reads it "
        f"alone.\n"
        f"Attention: in each of {vit['vit_layers']} layers every token asks all {vit['vit_tokens']} what they hold, in "
        f"{vit['vit_heads']} ways at once (heads of {width // vit['vit_heads']}), and takes in what fits its question: "
        f"an eye can look at the other eye.\n"
        f"Between the attentions, each token is worked over by itself by a small two-layer network."
    )
