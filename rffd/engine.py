"""Which code a fit's result depends on: part of the keys under which scratch keeps checkpoints and studies."""

import importlib
from importlib.metadata import version

from rffd.scratch import code_digest, digest

MODULES = (
    *("attention", "augment", "batches", "checkpoint", "epoch", "face", "fit", "fit_state", "inference"),
    *("losses", "model", "monitor", "names", "optimisation", "precision", "preprocessing", "pseudo"),
    *("regions", "store"),
)


def engine_digest(*more: str) -> str:
    """A hash of the engine's source files, of those of `more` of our modules, and of torch's version."""
    code = code_digest(*(importlib.import_module(f"rffd.{name}") for name in (*MODULES, *more)))
    return digest(code, version("torch"))
