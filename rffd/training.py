"""The final training: a fit that is kept in scratch, so that a killed one goes on, and its outputs."""

import dataclasses
from pathlib import Path
from typing import Any

from rffd.engine import engine_digest
from rffd.files import replacing, write_csv, write_json
from rffd.fit import Fitted, fit
from rffd.fit_params import FitParams
from rffd.model import save_detector
from rffd.scratch import digest, folder_digest, scratch_folder
from rffd.search_space import value_of
from rffd.store import Store

ALWAYS_TOLD = ("learning_rate", "weight_decay", "batch_size", "seed")


def fit_key(train: Store, val: Store, backbone: Path, params: FitParams, epochs: int) -> str:
    """A hash of everything that a fit's result depends on."""
    folders = [folder_digest(folder) for folder in (train.folder, val.folder, backbone)]
    return digest(dataclasses.asdict(params), epochs, folders, engine_digest())


def fit_in_scratch(train: Store, val: Store, backbone: Path, params: FitParams, epochs: int) -> Fitted:
    """`fit` with its checkpoints under the scratch folder, locked against a second run."""
    with scratch_folder("train", fit_key(train, val, backbone, params, epochs)) as folder:
        return fit(train, val, backbone, params, epochs=epochs, scratch=folder)


def write_fitted(
    fitted: Fitted, params: FitParams, found: dict[str, Any], model: Path, metrics: Path, curves: Path
) -> None:
    """Write the detector, the figures with the values really used, and a row an epoch for DVC's plots."""
    with replacing(model) as folder:
        folder.mkdir()
        save_detector(fitted.detector, folder)
    names = sorted({*ALWAYS_TOLD, *found})
    write_json(
        metrics,
        {
            "best_epoch": fitted.best_epoch,
            "best_val_auc": fitted.metrics["val_auc"],
            "best_val_log_loss": fitted.metrics["val_log_loss"],
            "precision": fitted.precision,
            **{name: value_of(params, name) for name in names},
        },
    )
    write_csv(curves, fitted.history, list(fitted.history[0]))
