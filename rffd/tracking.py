"""Trackers (TensorBoard, Trackio, Weights & Biases ...) through Accelerate, so that they cost no code of ours."""

import dataclasses
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from rffd.errors import RffdError
from rffd.fit_params import FitParams
from rffd.scratch import digest, scratch_root

PROJECT = "rffd"


def tracking_options(params: FitParams, epochs: int) -> dict[str, Any]:
    """What `Accelerator` needs to know for `fit.log_with`; a tracker that writes files has a folder a fit in scratch,
    `tracking/<hash of the values>`, so that `tensorboard --logdir .scratch/tracking` shows them side by side."""
    if params.log_with is None:
        return {}
    installed = [str(name) for name in get_available_trackers()]  # Accelerate passes over others without a word
    if params.log_with not in installed:
        known = params.log_with in LOGGER_TYPE_TO_CLASS
        raise RffdError(
            f"'fit.log_with' is {params.log_with}: "
            + (f"install its package (pip install {params.log_with})" if known else "no tracker that Accelerate knows")
            + f"; there now: {', '.join(installed) or 'none'}"
        )
    folder = scratch_root() / "tracking" / digest(dataclasses.asdict(params), epochs)
    return {"log_with": params.log_with, "project_dir": folder}


def start_tracking(accelerator: Accelerator, params: FitParams) -> None:
    """Begin a run, with the fit's values as its configuration; nothing without `fit.log_with`."""
    if params.log_with is None:
        return
    values = dataclasses.asdict(params)
    values |= {f"augment.{name}": value for name, value in values.pop("augment").items()}
    values = {name: "null" if value is None else value for name, value in values.items()}  # TensorBoard takes no None
    options = {"dvclive": {"dvcyaml": None}}  # else it edits dvc.yaml during the run
    Path(accelerator.project_dir).mkdir(parents=True, exist_ok=True)
    accelerator.init_trackers(PROJECT, config=values, init_kwargs=options)
