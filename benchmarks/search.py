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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rffd.search import standard_error
from rffd.search_space import Dimension
from rffd.study import Outcome, Plan, alone, run_study, together

TABLE = Path(__file__).parent / "search_table.csv"
AXES = ("rate", "decay", "drop", "width")
EPOCHS = 27
HELD_OUT = (180, 146)  # real and fake photographs that the table's AUC is of


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


def samplers(table: Table, seeds: int, trials: int) -> None:
    """Best value so far of TPE and GP less random search's, seed by seed."""
    found = {}
    for sampler in ("random", "tpe", "gp"):
        settings = [plan(table, sampler=sampler, seed=seed, trials=trials) for seed in range(seeds)]
        found[sampler] = [run(table, one, told=False) for one in settings]
    print(f"best AUC so far, mean over {seeds} seeds (the table's best is {table.best:.4f}):")
    for count in sorted({10, 15, 20, trials}):
        values = {name: np.array([best(outcomes[:count]) for outcomes in runs]) for name, runs in found.items()}
        line = f"{count:>4} trials: random {values['random'].mean():.4f}"
        for name in ("tpe", "gp"):
            ahead = values[name] - values["random"]
            low, high = interval(ahead)
            line += f"; {name} {values[name].mean():.4f}, ahead by {ahead.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        print(line, flush=True)


def pruning(table: Table, seeds: int, trials: int) -> None:
    """Epochs with pruning over epochs without, and what it loses."""
    whole = np.array([best(run(table, plan(table, seed=seed, trials=trials), told=False)) for seed in range(seeds)])
    for pruner in ("median", "hyperband"):
        runs = [run(table, plan(table, pruner=pruner, seed=seed, trials=trials)) for seed in range(seeds)]
        share = np.mean([sum(len(o.curve) for o in outcomes) / (EPOCHS * trials) for outcomes in runs])
        lost = np.array([best(outcomes) for outcomes in runs]) - whole
        low, high = interval(lost)
        print(
            f"{pruner:>9}: {share:.2f} of the epochs, best AUC {lost.mean():+.4f} [{low:+.4f}, {high:+.4f}] "
            f"against none over {seeds} seeds (one AUC's standard error on these images: "
            f"{standard_error('auc', table.best, *HELD_OUT):.4f})",
            flush=True,
        )


def overhead(table: Table, trials: int) -> None:
    """What a study takes besides its objective, a trial."""
    for sampler in ("tpe", "gp"):
        started = time.monotonic()
        run(table, plan(table, sampler=sampler, pruner="median", trials=trials))
        taken = (time.monotonic() - started) / trials
        print(f"{sampler:>7}: {1000 * taken:.0f} ms a trial besides fitting: 2 % of trials of {50 * taken:.1f} s")


def work(table: Table, journal: Path, seconds: float, pause: float) -> None:
    """One worker for `seconds`."""
    with together(str(journal)) as way:
        run_study(plan(table, sampler="random", trials=100_000), table.objective(pause), way, minutes=seconds / 60)


def workers(table: Table, seconds: float = 12, pause: float = 0.02) -> None:
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
    print(f"{counts[0]} trials by one worker, {counts[1]} by two in {seconds:.0f} s: {counts[1] / counts[0]:.2f} times")


def main() -> None:
    """Print the four figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    table = Table(options.table)
    samplers(table, options.seeds, options.trials)
    pruning(table, options.seeds, options.trials)
    overhead(table, options.trials)
    workers(table)


if __name__ == "__main__":
    main()
