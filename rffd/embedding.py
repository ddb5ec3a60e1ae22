"""Writing the embedded backbone: half-precision weights in Hugging Face format, and the card that tells of them."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rffd.files import read_json, replacing, sha256, write_text
from rffd.model import Detector, preprocessor_config
from rffd.revision import source_revision
from rffd.vit_folder import read_config, read_tensors, write

CARD = Path(__file__).parent / "templates" / "embedded.md"


def write_embedded(detector: Detector, out: Path, params: Mapping[str, Any], figures: Mapping[str, float]) -> None:
    """Write `detector`'s ViT, without its heads, and its card to the folder `out`.

    `params` are the arguments of the pre-training, `figures` its last ones (`auc`, `patch_auc`).
    """
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary)
        detector.vit.save_pretrained(whole)
        config = read_config(whole / "config.json", "config.json")
        tensors = read_tensors(whole / "model.safetensors", config, "model.safetensors")
    with replacing(out) as folder:
        folder.mkdir()
        half = {name: values.astype(np.float16) for name, values in tensors.items()}
        write(folder, config, preprocessor_config(detector), half)
        config = read_json(folder / "config.json")
        weights = folder / "model.safetensors"
        arguments = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in params.items())
        card = CARD.read_text(encoding="utf-8").format(
            revision=source_revision(),
            arguments=arguments,
            pairs=f"{params['rounds'] * params['pairs']:,}",
            passes=params["passes"],
            auc=f"{figures['auc']:.3f}",
            patch_auc=f"{figures['patch_auc']:.3f}",
            parameters=f"{sum(math.prod(values.shape) for values in tensors.values()) / 1e6:.2f}",
            size=f"{weights.stat().st_size / 1e6:.1f}",
            sha256=sha256(weights),
            **{name: config[name] for name in ("image_size", "patch_size", "hidden_size", "num_hidden_layers")},
        )
        write_text(folder / "README.md", card)
