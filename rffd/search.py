"""The search for good values of `fit`: which values, how long, on what, and what came of it.

A trial is `fit` overlaid with what it drew, for `search.epochs`; `fit`'s own values are the first trial. `train` with
the same values, seed and epochs gives the same validation figures.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rffd.engine import engine_digest
from rffd.errors import RffdError
from rffd.params import require
from rffd.scratch import digest, folder_digest, scratch_folder
from rffd.search_space import read_space, value_of
from rffd.study import Objective, Outcome, Plan, Way, alone, run_study, together


@dataclass(frozen=True, kw_only=True)
class SearchParams:
    """Section `search`."""

    trials: int
    epochs: int
    minutes: float | None
    metric: Literal["auc", "log_loss", "accuracy", "f1"]
    sampler: Literal["tpe", "gp", "random"]
    pruner: Literal["hyperband", "median", "none"]
    seed: int
    storage: str | None
    space: dict[str, Any]

    def __post_init__(self) -> None:
        require(0 <= self.trials <= 100_000, "search.trials", self.trials, "from 0 (no search) to 100000")
        require(1 <= self.epochs <= 10_000, "search.epochs", self.epochs, "from 1 to 10000")
        require(self.minutes is None or self.minutes > 0, "search.minutes", self.minutes, "null or above 0")
        require(self.seed >= 0, "search.seed", self.seed, "0 or more")
        require(self.trials == 0 or bool(self.space), "search.space", "empty", "filled, or set search.trials to 0")
        if self.storage is not None:
            scheme, _, rest = self.storage.partition("://")
            known = not rest or scheme in ("postgresql", "postgresql+psycopg")
            require(known, "search.storage", scheme, "null, a journal file, or postgresql://host/database")
            secret = ":" in rest.rpartition("@")[0] or "password=" in rest
            need = "without a password: set PGPASSWORD or PGPASSFILE in the environment"
            require(not secret, "search.storage", "an address with a password", need)

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Which way the metric is better."""
        return "minimize" if self.metric == "log_loss" else "maximize"


def make_plan(params: SearchParams, fit: Any, key: str) -> tuple[Plan, list[str]]:
    """The study that `params` describe over the fields of `fit`, and the names whose own value the space leaves out.

    If there are such names, trial 0 is drawn like the rest.
    """
    dimensions = read_space(params.space, fit)
    first = {dimension.name: value_of(fit, dimension.name) for dimension in dimensions}
    outside = [dimension.name for dimension in dimensions if not dimension.holds(first[dimension.name])]
    plan = Plan(
        name="rffd" if params.storage is None else f"rffd-{key}",
        dimensions=dimensions,
        first={} if outside else first,
        trials=params.trials,
        epochs=params.epochs,
        direction=params.direction,
        sampler=params.sampler,
        pruner=params.pruner,
        seed=params.seed,
    )
    return plan, outside


def study_key(params: SearchParams, fit: Any, folders: Sequence[Path]) -> str:
    """A hash of what a trial's figures and its place in the study depend on.

    The number of trials is not among it: raising `search.trials` goes on with the same study.
    """
    settings = dataclasses.asdict(params)
    for name in ("trials", "minutes", "storage"):
        del settings[name]
    code = engine_digest("study")
    return digest(settings, dataclasses.asdict(fit), [folder_digest(folder) for folder in folders], code)


def search(
    params: SearchParams,
    plan: Plan,
    key: str,
    objective: Objective,
    *,
    failures: tuple[type[Exception], ...] = (),
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Run the study to its budget, in scratch or on the storage that workers share."""

    def run(opened: AbstractContextManager[Way]) -> list[Outcome]:
        with opened as way:
            return run_study(plan, objective, way, failures=failures, minutes=params.minutes, told=told)

    if params.storage is not None:
        return run(together(params.storage))
    with scratch_folder("search", key) as folder:
        return run(alone(folder / "journal.log", plan.name))


def best_of(outcomes: Sequence[Outcome], direction: str) -> Outcome:
    """The complete trial with the best value, the earliest of equals."""
    complete = [outcome for outcome in outcomes if outcome.state == "complete"]
    if not complete:
        notes = [outcome.note for outcome in outcomes if outcome.note]
        raise RffdError(
            f"search: none of {len(outcomes)} trials was completed" + (f"; the last: {notes[-1]}" if notes else "")
        )
    sign = 1 if direction == "maximize" else -1
    return max(complete, key=lambda outcome: (sign * outcome.value, -outcome.number))  # type: ignore[operator]  # complete: has one


def metrics_of(outcomes: Sequence[Outcome], direction: str) -> dict[str, Any]:
    """`metrics/search.json`: `values` is what train takes; without trials there is nothing to take."""
    if not outcomes:
        return {"search_trials": 0, "values": {}}
    best = best_of(outcomes, direction)
    return {
        "search_trials": len(outcomes),
        "search_pruned": sum(outcome.state == "pruned" for outcome in outcomes),
        "search_epochs": sum(len(outcome.curve) for outcome in outcomes),
        "search_first_value": outcomes[0].value,
        "search_best_value": best.value,
        "search_best_trial": best.number,
        "values": dict(sorted(best.values.items())),
    }


def trial_rows(
    outcomes: Sequence[Outcome], names: Sequence[str], direction: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """The trials table and its columns: what each drew and came to, and the best value so far; no times."""
    columns = ["number", "state", "value", "best", "epochs", *names, "note"]
    rows, best = [], None
    better = max if direction == "maximize" else min
    for outcome in outcomes:
        if outcome.state == "complete" and outcome.value is not None:
            best = outcome.value if best is None else better(best, outcome.value)
        own = {"number": outcome.number, "state": outcome.state, "value": outcome.value, "best": best}
        rows.append({**own, "epochs": len(outcome.curve), **outcome.values, "note": outcome.note})
    return rows, columns


def standard_error(metric: str, value: float, reals: int, fakes: int) -> float | None:
    """How far a validation figure would scatter on other images: for AUC by Hanley and McNeil (1982), for accuracy
    and F1 as for a share of the images; None for log loss."""
    value = min(max(value, 0.0), 1.0)
    if metric == "log_loss":
        return None
    if metric != "auc":
        return math.sqrt(value * (1 - value) / (reals + fakes))
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (fakes - 1) * (q1 - value**2) + (reals - 1) * (q2 - value**2)
    return math.sqrt(variance / (reals * fakes))


def summary(
    params: SearchParams, outcomes: Sequence[Outcome], importances: Mapping[str, float], reals: int, fakes: int
) -> str:
    """Five lines for the terminal: the best, how sure that is, what mattered, what was pruned, what it cost."""
    best = best_of(outcomes, params.direction)
    values = ", ".join(f"{name} {_short(value)}" for name, value in sorted(best.values.items()))
    first = outcomes[0].value
    lines = [f"best: trial {best.number}, validation {params.metric} {best.value:.4f} with {values}"]
    reached = best.value or 0.0
    error = standard_error(params.metric, reached, reals, fakes)
    gain = f"{abs(reached - first):.4f} better than the first trial" if first is not None else "alone"
    if best.number == 0:
        gain = "the first trial itself: fit's own values stand"
    sure = f"one standard error on {reals + fakes} images is {error:.4f}" if error else "log loss has no simple error"
    values_reached = [o.value for o in outcomes if o.state == "complete" and o.value is not None]
    equals = sum(abs(value - reached) <= error for value in values_reached) if error else 0
    lines.append(f"how sure: {gain}; {sure}" + (f"; {equals} trials are within it" if error else ""))
    ranked = sorted(importances.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {share:.0%}" for name, share in ranked) or "too few complete trials to say"
    lines.append(f"what mattered: {told}")
    spent, whole = sum(len(o.curve) for o in outcomes), params.epochs * len(outcomes)
    counts = {state: sum(o.state == state for o in outcomes) for state in ("complete", "pruned", "failed")}
    lines.append("pruned: {pruned} of {n}, {complete} complete, {failed} failed".format(n=len(outcomes), **counts))
    seconds = sum(outcome.seconds for outcome in outcomes)
    lines.append(f"cost: {spent} epochs of {whole} ({spent / whole:.0%}), {seconds / 60:.1f} minutes of fitting")
    return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
