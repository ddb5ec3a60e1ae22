"""Running a study with Optuna: which trial is next, with which values, when it is stopped early, what became of it.

There is no state to keep but the finished trials: before each trial the sampler is made anew, seeded from (seed,
trial number). A study that was killed therefore goes on to the same trials as one that never was.
"""

import contextlib
import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.samplers import BaseSampler, GPSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from rffd.journal import Journal
from rffd.postgres import Postgres
from rffd.search_space import Dimension

STARTUP = 5  # trials drawn at random before the sampler learns; ten, as is usual, leave a short search none
POLL = 0.5  # seconds between looks at other workers' trials, once none is left to claim
State = Literal["complete", "pruned", "failed"]
STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
Objective = Callable[[dict[str, Any], Callable[[int, float], None]], float]
Way = Journal | Postgres

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What fixes a study: the space, the budget, how values are drawn and when a trial is stopped.

    `first` are the values of trial 0, empty if it is drawn like the rest. `name` is the study's on its storage.
    """

    name: str
    dimensions: list[Dimension]
    first: dict[str, Any]
    trials: int
    epochs: int
    direction: Literal["maximize", "minimize"]
    sampler: Literal["tpe", "gp", "random"]
    pruner: Literal["hyperband", "median", "none"]
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What became of a trial; `curve` is its reported value by epoch, `note` why it failed, `seconds` its time."""

    number: int
    state: State
    value: float | None
    values: dict[str, Any]
    curve: dict[int, float]
    note: str
    seconds: float


def run_study(
    plan: Plan,
    objective: Objective,
    way: Way,
    *,
    failures: tuple[type[Exception], ...] = (),
    minutes: float | None = None,
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Run trials until the study has `plan.trials` (with others, if others are at it); return them all, in order.

    `objective(values, report)` gives a trial's value and may call `report(epoch, value)` after each epoch, which
    raises to stop a trial that does badly. An error in `failures`, and a value that is no number, fail the trial and
    the study goes on; any other error ends it, and the trial is run again next time. `minutes` stops taking new
    trials after that time, whatever the hardware got done: not reproducible. `told` hears of our finished trials.
    """
    started = time.monotonic()
    with way.mutex():
        study = optuna.create_study(
            storage=way.storage,
            study_name=plan.name,
            direction=plan.direction,
            load_if_exists=True,
            pruner=make_pruner(plan),
        )
    while minutes is None or time.monotonic() - started < 60 * minutes:
        claimed = _claim(plan, study, way)
        if claimed is None:
            if not any(t.state == TrialState.RUNNING for t in study.get_trials(deepcopy=False)[: plan.trials]):
                break
            time.sleep(POLL)
            continue
        with way.beating(claimed[1]):
            _run(plan, study, claimed, objective, failures)
        told(_outcome(study.get_trials(deepcopy=False)[claimed[0]]))
    trials = study.get_trials(deepcopy=False)[: plan.trials]
    return [_outcome(trial) for trial in trials if trial.state.is_finished()]


def _claim(plan: Plan, study: optuna.Study, way: Way) -> tuple[int, int] | None:
    """Number and id of the next trial, now ours; None if all are taken. Dead workers' trials are given out again."""
    storage = way.storage
    with way.mutex():
        for trial_id in way.dead(plan.name):
            storage.set_trial_state_values(trial_id, TrialState.WAITING)
        trials = study.get_trials(deepcopy=False)
        waiting = [trial.number for trial in trials[: plan.trials] if trial.state == TrialState.WAITING]
        if not waiting and len(trials) < plan.trials:
            study.add_trial(optuna.create_trial(state=TrialState.WAITING))
            waiting = [len(trials)]
        if not waiting:
            return None
        study_id = storage.get_study_id_from_name(plan.name)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, waiting[0])
        way.claim(trial_id)
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    return waiting[0], trial_id


def _run(
    plan: Plan,
    study: optuna.Study,
    claimed: tuple[int, int],
    objective: Objective,
    failures: tuple[type[Exception], ...],
) -> None:
    number, trial_id = claimed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = make_sampler(plan, number)
        trial = optuna.trial.Trial(study, trial_id)
        values = {dimension.name: dimension.draw(trial) for dimension in plan.dimensions}
    seen = set(study.get_trials(deepcopy=False)[number].intermediate_values)  # of a worker that died at it

    def report(epoch: int, value: float) -> None:
        if epoch not in seen:
            trial.report(value, epoch)
        # The first trial runs to its end: the values in `fit:` are what all others must beat.
        if number > 0 and epoch >= max(seen, default=0) and trial.should_prune():
            raise optuna.TrialPruned

    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # taken for dead, and finished by another
        try:
            value = float(objective(values, report))
            if math.isfinite(value):
                study.tell(trial, value)
                return
            note = f"the objective is {value}"
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
            return
        except failures as error:
            note = " ".join(str(error).split())
        trial.set_user_attr("note", note)
        study.tell(trial, state=TrialState.FAIL)


def make_sampler(plan: Plan, number: int) -> BaseSampler:
    """The sampler for one trial."""
    seed = int.from_bytes(hashlib.sha256(f"{plan.seed}/{number}".encode()).digest()[:4], "big")
    samplers: dict[str, Callable[[], BaseSampler]] = {
        "tpe": lambda: TPESampler(seed=seed, n_startup_trials=STARTUP),
        "gp": lambda: GPSampler(seed=seed, n_startup_trials=STARTUP),
        "random": lambda: RandomSampler(seed=seed),
    }
    sampler = samplers[plan.sampler]()
    return PartialFixedSampler(plan.first, sampler) if number == 0 and plan.first else sampler


def make_pruner(plan: Plan) -> optuna.pruners.BasePruner:
    """What stops a trial that does badly for its epoch."""
    if plan.pruner == "hyperband":
        # One trial of four goes on: with the usual three, a study spends more and finds no better (benchmarks.search)
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=plan.epochs, reduction_factor=4)
    if plan.pruner == "median":
        early = max(2, plan.epochs // 6)  # the first epoch at which to stop one: a warm-up's say little
        return optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=early)
    return optuna.pruners.NopPruner()


@contextlib.contextmanager
def alone(path: Path, name: str) -> Iterator[Journal]:
    """Open a journal that no one else uses, with nothing in it but finished trials.

    A trial that was under way is forgotten and run again from its beginning: what a sampler or a pruner noted about
    it would lead it elsewhere than if it had never been interrupted.
    """
    journal = Journal(path)
    try:
        studies = {study.study_name: study for study in journal.storage.get_all_studies()}
        if name in studies:
            study = optuna.load_study(study_name=name, storage=journal.storage)
            trials = study.get_trials(deepcopy=False)
            if not all(trial.state.is_finished() for trial in trials):
                journal.close()
                _rewrite(path, study, [trial for trial in trials if trial.state.is_finished()])
                journal = Journal(path)
        yield journal
    finally:
        journal.close()


def _rewrite(path: Path, study: optuna.Study, finished: list[FrozenTrial]) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    journal = Journal(fresh)
    try:
        copy = optuna.create_study(storage=journal.storage, study_name=study.study_name, direction=study.direction)
        copy.add_trials(finished)
    finally:
        journal.close()
    fresh.replace(path)


@contextlib.contextmanager
def together(storage: str) -> Iterator[Way]:
    """Open the storage that `search.storage` names: an address on PostgreSQL, or a journal file."""
    way: Way = Postgres(storage) if storage.startswith("postgresql") else Journal(Path(storage))
    try:
        yield way
    finally:
        way.close()


def _outcome(trial: FrozenTrial) -> Outcome:
    began, ended = trial.datetime_start, trial.datetime_complete
    seconds = (ended - began).total_seconds() if began and ended else 0.0
    value = trial.value if trial.state != TrialState.FAIL else None
    note = trial.user_attrs.get("note", "")
    return Outcome(
        trial.number, STATES[trial.state], value, trial.params, dict(trial.intermediate_values), note, seconds
    )
