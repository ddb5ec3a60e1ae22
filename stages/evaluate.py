"""Measure the model on validation and test: scores with intervals, calibration, breakdown, controls, robustness.

dvc repro evaluate
"""

import functools
from pathlib import Path

import torch

from rffd.evaluation import EvaluateParams, evaluate, write_evaluation
from rffd.evaluation_plots import draw, write_tables
from rffd.files import read_csv, replacing
from rffd.inference import infer, to_best_device
from rffd.model import load_detector
from rffd.params import read_params
from rffd.stage import run_stage
from rffd.store import open_store


def main(
    *,
    model: Path,
    raw: Path,
    catalog: Path,
    splits: Path,
    val: Path,
    test: Path,
    metrics: Path,
    evaluation: Path,
    plots: Path,
) -> None:
    """Load the model, evaluate it, write figures, predictions, tables and pictures."""
    params = read_params("evaluate", EvaluateParams)
    detector = to_best_device(load_detector(model))
    torch.set_num_threads(1)  # pictures are spread over the cores instead: no thread waits for another
    found = evaluate(
        functools.partial(infer, detector),
        detector.contract,
        raw,
        read_csv(catalog),
        read_csv(splits),
        open_store(val),
        open_store(test),
        params,
    )
    with replacing(plots) as folder:
        folder.mkdir()
        write_tables(folder, found.predictions, found.details)
        draw(folder, found.predictions, found.details)
    write_evaluation(found, metrics, evaluation)


if __name__ == "__main__":
    run_stage(main)
