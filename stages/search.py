"""Search for good values of `fit` by Bayesian optimisation, resuming where a killed run stopped.

    python -m stages.search --train data/processed/train --val data/processed/val --backbone models/backbone \
        --metrics metrics/search.json --trials plots/search/trials.csv --plots plots/search/pictures

More workers join by running the same with the same `search.storage`; watch with `optuna-dashboard`.
"""

from pathlib import Path

import numpy as np

from rffd.files import replacing, write_csv, write_json
from rffd.fit_params import FitParams
from rffd.importance import importances
from rffd.params import read_params
from rffd.search import SearchParams, metrics_of, summary, trial_rows
from rffd.search_plots import draw_pictures
from rffd.stage import run_stage
from rffd.store import open_store
from rffd.trial import search_fits


def main(*, train: Path, val: Path, backbone: Path, metrics: Path, trials: Path, plots: Path) -> None:
    """`metrics` holds the best values for train, `trials` a row a trial, `plots` the pictures."""
    params, plain = read_params("search", SearchParams), read_params("fit", FitParams)
    dimensions, outcomes, shares = [], [], {}
    if params.trials > 0:
        checked = open_store(val)
        plan, outcomes = search_fits(params, plain, open_store(train), checked, backbone)
        dimensions, shares = plan.dimensions, importances(outcomes, plan.dimensions, params.direction)
    write_json(metrics, metrics_of(outcomes, params.direction))
    write_csv(trials, *trial_rows(outcomes, [dimension.name for dimension in dimensions], params.direction))
    with replacing(plots) as folder:
        draw_pictures(outcomes, dimensions, shares, params.metric, params.direction, folder)
    if outcomes:
        reals, fakes = np.bincount(checked.labels, minlength=2).tolist()
        print(summary(params, outcomes, shares, reals, fakes))
    else:
        print("search.trials is 0: no search; train takes fit's values")


if __name__ == "__main__":
    run_stage(main)
