"""A ViT in a folder: the one shape in which the rest of the pipe reads it, and how others are brought to it.

The shape is `config.json` with the architecture alone, `model.safetensors` with float32 tensors under the Hub's names
(`vit.embeddings.cls_token` ...), without pooler or classifier, and `preprocessor_config.json` with `size` as a
dictionary. Only headers and raw numbers are read: no pickle, and no torch.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save

from rffd.errors import RffdError
from rffd.files import read_json, write_json

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
UNUSED = ("classifier.", "pooler.", "vit.pooler.", "decoder.", "vit.embeddings.mask_token", "embeddings.mask_token")
# What `transformers.ViTConfig` assumes where a config.json is silent.
CONFIG: dict[str, Any] = {
    "attention_probs_dropout_prob": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "hidden_size": 768,
    "image_size": 224,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "num_hidden_layers": 12,
    "patch_size": 16,
    "qkv_bias": True,
}


def normalise(source: Path, folder: Path, name: str) -> None:
    """Bring a Hugging Face ViT folder to the one shape; `name` is what errors call it."""
    if not source.is_dir():
        raise RffdError(f"{name}: no such folder; set backbone.path to one with {', '.join(FILES)}")
    for file in FILES:
        if not (source / file).is_file():
            others = sorted(p.name for p in source.glob("*.bin")) + sorted(p.name for p in source.glob("*.index.json"))
            hint = f" ({others[0]} won't do: one safetensors file is needed)" if others and file == FILES[2] else ""
            raise RffdError(f"{name}: {file} is missing{hint}")
    config = read_config(source / "config.json", f"{name}/config.json")
    preprocessor = read_object(source / "preprocessor_config.json", f"{name}/preprocessor_config.json")
    for key in ("image_mean", "image_std"):
        value = preprocessor.get(key)
        if not (isinstance(value, list) and len(value) == 3 and all(isinstance(v, int | float) for v in value)):
            raise RffdError(f"{name}/preprocessor_config.json: {key} is {value}; three numbers are needed")
    tensors = read_tensors(source / "model.safetensors", config, f"{name}/model.safetensors")
    write(folder, config, preprocessor, tensors)


def read_object(path: Path, name: str) -> dict[str, Any]:
    """A JSON file that holds an object."""
    try:
        data = read_json(path)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RffdError(f"{name}: not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise RffdError(f"{name}: not a JSON object")
    return data


def read_config(path: Path, name: str) -> dict[str, Any]:
    """The architecture in a `config.json`, complete and square; anything but a plain ViT is refused."""
    data = read_object(path, name)
    if data.get("model_type") != "vit":
        kind = data.get("model_type")
        raise RffdError(f"{name}: a model of type {kind!r}; a plain ViT is needed (model_type 'vit')")
    config = {key: data.get(key, default) for key, default in CONFIG.items()}
    for key in ("image_size", "patch_size"):
        value = config[key]
        if isinstance(value, list) and len(set(value)) == 1:
            config[key] = value[0]
    for key, default in CONFIG.items():
        if type(default) is int and not (type(config[key]) is int and config[key] > 0):
            raise RffdError(f"{name}: {key} is {config[key]!r}; a positive whole number is needed")
    size, patch, width, heads = (config[k] for k in ("image_size", "patch_size", "hidden_size", "num_attention_heads"))
    if size % patch or width % heads or config["num_channels"] != 3:
        raise RffdError(
            f"{name}: sizes don't fit ({size} px in patches of {patch}, {width} in {heads} heads, 3 channels)"
        )
    return config


def tensor_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names (as on the Hub) and shapes of the tensors that a ViT of this architecture has."""
    width, inner, patch = config["hidden_size"], config["intermediate_size"], config["patch_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "vit.embeddings.cls_token": (1, 1, width),
        "vit.embeddings.position_embeddings": (1, tokens(config), width),
        "vit.embeddings.patch_embeddings.projection.weight": (width, config["num_channels"], patch, patch),
        "vit.embeddings.patch_embeddings.projection.bias": (width,),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"vit.encoder.layer.{number}."
        for part in ("attention.attention.query", "attention.attention.key", "attention.attention.value"):
            shapes[f"{layer}{part}.weight"] = (width, width)
            if config["qkv_bias"]:
                shapes[f"{layer}{part}.bias"] = (width,)
        for part, rows, columns in (
            ("attention.output.dense", width, width),
            ("intermediate.dense", inner, width),
            ("output.dense", width, inner),
        ):
            shapes[f"{layer}{part}.weight"] = (rows, columns)
            shapes[f"{layer}{part}.bias"] = (rows,)
        for part in ("layernorm_before", "layernorm_after"):
            shapes[f"{layer}{part}.weight"] = shapes[f"{layer}{part}.bias"] = (width,)
    shapes["vit.layernorm.weight"] = shapes["vit.layernorm.bias"] = (width,)
    return shapes


def read_tensors(path: Path, config: dict[str, Any], name: str) -> dict[str, np.ndarray]:
    """The ViT's tensors as float32, whether saved bare (`ViTModel`), with a head, or in half precision."""
    try:
        entries = dict(safetensors.deserialize(path.read_bytes()))
    except safetensors.SafetensorError as error:
        raise RffdError(f"{name}: damaged, or not a safetensors file ({error}); fetch it again") from error
    prefix = "" if any(key.startswith("vit.") for key in entries) else "vit."
    tensors = {}
    for key, shape in tensor_shapes(config).items():
        entry = entries.pop(key.removeprefix(prefix), None)
        if entry is None:
            raise RffdError(f"{name}: tensor {key} is missing; not the weights of the ViT in config.json")
        if tuple(entry["shape"]) != shape or entry["dtype"] not in DTYPES:
            found = f"{entry['dtype']} {list(entry['shape'])}"
            raise RffdError(f"{name}: tensor {key} is {found}, not {list(shape)} as config.json says")
        values = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(shape)
        if entry["dtype"] == "BF16":  # the upper half of a float32
            values = (values.astype("<u4") << 16).view("<f4")
        tensors[key] = values.astype(np.float32)
        if not np.isfinite(tensors[key]).all():
            raise RffdError(f"{name}: tensor {key} holds NaN or infinity")
    unknown = sorted(key for key in entries if not key.startswith(UNUSED))
    if unknown:
        raise RffdError(f"{name}: tensor {unknown[0]} has no place in a plain ViT ({len(unknown)} such)")
    return tensors


def write(folder: Path, config: dict[str, Any], preprocessor: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Write the one shape into an existing folder."""
    write_json(folder / "config.json", {"architectures": ["ViTForImageClassification"], "model_type": "vit", **config})
    size = config["image_size"]
    filled = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": preprocessor["image_mean"],
        "image_processor_type": "ViTImageProcessor",
        "image_std": preprocessor["image_std"],
        "resample": preprocessor.get("resample", 2),
        "rescale_factor": preprocessor.get("rescale_factor", 1 / 255),
        "size": {"height": size, "width": size},
    }
    write_json(folder / "preprocessor_config.json", filled)
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))


def tokens(config: dict[str, Any]) -> int:
    """How many tokens the ViT sees: one a patch, and CLS."""
    return (config["image_size"] // config["patch_size"]) ** 2 + 1
