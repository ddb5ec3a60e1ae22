"""One trial of the search: a fit with the values it drew."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from rffd.epoch import Diverged, OutOfMemory
from rffd.fit import fit
from rffd.fit_params import FitParams
from rffd.search import SearchParams, make_plan, search, study_key
from rffd.search_space import overlay
from rffd.store import Store
from rffd.study import Objective, Outcome, Plan

FAILURES = (Diverged, OutOfMemory)  # recorded as a failed trial; the search goes on


def search_fits(
    params: SearchParams, fit_params: FitParams, train: Store, val: Store, backbone: Path
) -> tuple[Plan, list[Outcome]]:
    """Search over `fit` on these stores; return the plan and every trial's outcome."""
    key = study_key(params, fit_params, [train.folder, val.folder, backbone])
    plan, outside = make_plan(params, fit_params, key)
    if outside:
        print(
            f"search: fit's own {', '.join(outside)} lies outside search.space, so the first trial is drawn like the "
            "rest, and the search may end worse than fit's values",
            file=sys.stderr,
        )
    objective = make_objective(params, fit_params, train, val, backbone)
    told = _Teller(params)
    return plan, search(params, plan, key, objective, failures=FAILURES, told=told)


def make_objective(params: SearchParams, fit_params: FitParams, train: Store, val: Store, backbone: Path) -> Objective:
    """The validation metric of a fit of `search.epochs` with the drawn values, told after every epoch."""
    name = f"val_{params.metric}"

    def objective(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        try:
            fitted = fit(
                train,
                val,
                backbone,
                overlay(fit_params, values),
                epochs=params.epochs,
                on_epoch=lambda epoch, figures: report(epoch, figures[name]),
            )
            return fitted.metrics[name]
        finally:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # what a failed trial held must not fail the next

    return objective


class _Teller:
    """One line on standard error a trial."""

    def __init__(self, params: SearchParams):
        self.params = params

    def __call__(self, outcome: Outcome) -> None:
        value = "" if outcome.value is None else f" {self.params.metric} {outcome.value:.4f}"
        note = f" ({outcome.note})" if outcome.note else ""
        drawn = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in outcome.values.items()
        )
        print(
            f"search: trial {outcome.number + 1} of {self.params.trials} {outcome.state}{value} after "
            f"{len(outcome.curve)} epochs: {drawn}{note}",
            file=sys.stderr,
            flush=True,
        )
