"""What the search is worth: TPE against random search, epochs saved by pruning, the study's own cost, two workers.

    python -m benchmarks.search [--seeds 20] [--trials 30] [--table benchmarks/search_table.csv]

The objectives are tabulated from real runs: `search_table.csv` has the validation AUC (times 10,000) after each of 27
epochs of small networks on a ViT-Ti/16's features of 1,632 photographs of the dataset (one fixed fifth held out), for
every combination of learning rate, weight decay, dropout and width. A trial reads its row: no fitting, no noise but
the runs' own. As in `fit`, a trial is worth its best epoch.
"""

import argparse
import csv
import math
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, Rows
from rffd.search import standard_error
from rffd.search_space import Dimension
from rffd.study import Outcome, Plan, alone, run_study, together

TABLE = Path(__file__).parent / "search_table.csv"
AXES = ("rate", "decay", "drop", "width")
EPOCHS = 27
HELD_OUT = (180, 146)  # real and fake photographs that the table's AUC is of
REAL_TRIAL = 75.0  # seconds of one core: 4 epochs of 975 photographs with a ViT-Ti/16 at 112 px, a short trial


class Table:
    """Learning curves by the nearest tabulated values."""

    def __init__(self, path: Path):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.curves = {
            tuple(float(row[axis]) for axis in AXES): [int(row[f"e{n}"]) / 10_000 for n in range(1, EPOCHS + 1)]
            for row in rows
        }
        self.points = {axis: sorted({key[i] for key in self.curves}) for i, axis in enumerate(AXES)}
        self.best = max(max(curve) for curve in self.curves.values())

    def curve(self, values: dict[str, Any]) -> list[float]:
        """The curve nearest to `values`, learning rate and decay by their logarithms."""
        return self.curves[tuple(self._nearest(axis, values[axis]) for axis in AXES)]

    def objective(self, pause: float = 0.0, told: bool = True) -> Callable:
        """A study's objective; `pause` seconds an epoch stand for the fitting, `told` reports every epoch."""

        def run(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
            curve = self.curve(values)
            for epoch, value in enumerate(curve if told else [], start=1):
                time.sleep(pause)
                report(epoch, value)
            return max(curve)

        return run

    def dimensions(self) -> list[Dimension]:
        """The space that the table covers."""
        ends = {axis: (points[0], points[-1]) for axis, points in self.points.items()}
        return [
            Dimension(name="decay", low=ends["decay"][0], high=ends["decay"][1], log=True),
            Dimension(name="drop", low=ends["drop"][0], high=ends["drop"][1]),
            Dimension(name="rate", low=ends["rate"][0], high=ends["rate"][1], log=True),
            Dimension(name="width", choices=tuple(self.points["width"])),
        ]

    def _nearest(self, axis: str, value: float) -> float:
        scale = math.log if axis in ("rate", "decay") else float
        return min(self.points[axis], key=lambda point: abs(scale(point) - scale(value)))


def plan(table: Table, **changes: Any) -> Plan:
    """A study over the table, with nothing to start from."""
    settings = {
        "name": "benchmark",
        "dimensions": table.dimensions(),
        "first": {},
        "trials": 30,
        "epochs": EPOCHS,
        "direction": "maximize",
        "sampler": "tpe",
        "pruner": "none",
        "seed": 0,
    }
    return Plan(**settings | changes)  # type: ignore[arg-type]


def run(table: Table, settings: Plan, told: bool = True) -> list[Outcome]:
    """A study from nothing."""
    with tempfile.TemporaryDirectory() as folder, alone(Path(folder) / "journal.log", settings.name) as way:
        return run_study(settings, table.objective(told=told), way)


def best(outcomes: list[Outcome]) -> float:
    """The best complete value."""
    return max(outcome.value for outcome in outcomes if outcome.state == "complete")  # type: ignore[type-var]


def interval(differences: np.ndarray) -> tuple[float, float]:
    """A 95 % interval of the mean by bootstrap over seeds."""
    rng = np.random.default_rng(0)
    means = rng.choice(differences, (10_000, len(differences))).mean(axis=1)
    return tuple(np.percentile(means, [2.5, 97.5]))  # type: ignore[return-value]


def samplers(table: Table, seeds: int, trials: int) -> Rows:
    """Best value so far of TPE and GP less random search's, seed by seed: the lower end of the 95 % interval."""
    found = {}
    for sampler in ("random", "tpe", "gp"):
        settings = [plan(table, sampler=sampler, seed=seed, trials=trials) for seed in range(seeds)]
        found[sampler] = [run(table, one, told=False) for one in settings]
    for count in sorted({15, trials}):
        values = {name: np.array([best(outcomes[:count]) for outcomes in runs]) for name, runs in found.items()}
        for name in ("tpe", "gp"):
            ahead = values[name] - values["random"]
            low, high = interval(ahead)
            yield Row(
                what=f"best AUC after {count} trials, {name} less random, {seeds} seeds: "
                f"{ahead.mean():+.4f} ({low:+.4f} to {high:+.4f}); the interval's lower end",
                measured=f"{values[name].mean():.4f}",
                against=f"{values['random'].mean():.4f} (the table's best {table.best:.4f})",
                ratio=low,
                at_least=0 if name == "tpe" else None,
            )


def pruning(table: Table, seeds: int, trials: int) -> Rows:
    """Epochs with pruning over epochs without, and what it loses."""
    whole = np.array([best(run(table, plan(table, seed=seed, trials=trials), told=False)) for seed in range(seeds)])
    noise = standard_error("auc", table.best, *HELD_OUT) or math.nan
    for pruner in ("hyperband", "median"):
        runs = [run(table, plan(table, pruner=pruner, seed=seed, trials=trials)) for seed in range(seeds)]
        spent = statistics.mean(sum(len(outcome.curve) for outcome in outcomes) for outcomes in runs)
        lost = whole - np.array([best(outcomes) for outcomes in runs])
        low, high = interval(lost)
        wanted = pruner == "hyperband"
        yield Row(
            what=f"epochs with {pruner} over epochs without, {trials} trials, {seeds} seeds",
            measured=f"{spent:.0f}",
            against=f"{EPOCHS * trials}",
            ratio=spent / (EPOCHS * trials),
            at_most=0.45 if wanted else None,
        )
        yield Row(
            what=f"best AUC without less with {pruner}, over one AUC's standard error on these photographs",
            measured=f"{lost.mean():+.4f} ({low:+.4f} to {high:+.4f})",
            against=f"{noise:.4f}",
            ratio=lost.mean() / noise,
            at_most=1 if wanted else None,
        )


def overhead(table: Table, trials: int) -> Rows:
    """What a study takes besides its objective, a trial."""
    for sampler in ("tpe", "gp"):
        started = time.monotonic()
        run(table, plan(table, sampler=sampler, pruner="median", trials=trials))
        taken = (time.monotonic() - started) / trials
        yield Row(
            what=f"the study's own time a trial ({sampler}, {EPOCHS} epochs reported), over a real trial's",
            measured=f"{1000 * taken:.0f} ms",
            against=f"{REAL_TRIAL:.0f} s",
            ratio=taken / REAL_TRIAL,
            at_most=0.02,
        )


def work(table: Table, journal: Path, seconds: float, pause: float) -> None:
    """One worker for `seconds`."""
    with together(str(journal)) as way:
        run_study(plan(table, sampler="random", trials=100_000), table.objective(pause), way, minutes=seconds / 60)


def workers(table: Table, seconds: float = 12, pause: float = 0.02) -> Rows:
    """Trials of two workers over trials of one in the same time, each trial half a second of waiting."""
    counts = []
    for number in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "journal.log"
            context = multiprocessing.get_context("fork")
            team = [context.Process(target=work, args=(table, journal, seconds, pause)) for _ in range(number)]
            for one in team:
                one.start()
            for one in team:
                one.join()
            with together(str(journal)) as way:
                (study,) = way.storage.get_all_studies()
                counts.append(len(way.storage.get_all_trials(study._study_id, deepcopy=False)))
    yield Row(
        what=f"trials of two workers over one's in {seconds:.0f} s, ready-made objective",
        measured=f"{counts[1]}",
        against=f"{counts[0]}",
        ratio=counts[1] / counts[0],
        at_least=1.8,
    )


def rows(quick: bool = False, seeds: int = 20, trials: int = 30, table: Path = TABLE) -> Rows:
    """All figures."""
    seeds, trials = (2, 16) if quick else (seeds, trials)
    curves = Table(table)
    yield from samplers(curves, seeds, trials)
    yield from pruning(curves, seeds, trials)
    yield from overhead(curves, trials)
    yield from workers(curves, seconds=3 if quick else 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--table", type=Path, default=TABLE)
    from benchmarks.__main__ import show

    show("search", list(rows(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
