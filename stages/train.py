"""Fine-tune the pre-trained ViT with the best values and keep the best epoch.

Run: dvc repro train
"""

from pathlib import Path

from accelerate import PartialState

from rffd.files import read_json
from rffd.fit_params import FitParams
from rffd.launch import LaunchParams, check_processes
from rffd.params import read_params
from rffd.stage import run_stage
from rffd.store import open_store
from rffd.training import fit_in_scratch, write_fitted
from rffd.values import TrainParams, values_for_training


def main(*, train: Path, val: Path, backbone: Path, search: Path, model: Path, metrics: Path, curves: Path) -> None:
    launch, params = read_params("launch", LaunchParams), read_params("train", TrainParams)
    plain, found = read_params("fit", FitParams), read_json(search)["values"]
    fit_params = values_for_training(plain, found, params)
    check_processes(launch)
    fitted = fit_in_scratch(open_store(train), open_store(val), backbone, fit_params, params.epochs)
    if PartialState().is_main_process:
        write_fitted(fitted, fit_params, found, model, metrics, curves)


if __name__ == "__main__":
    run_stage(main)
