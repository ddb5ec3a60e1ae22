"""The study: exact when killed and resumed, one budget for many workers, failures recorded, nothing left torn."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from rffd.errors import RffdError
from rffd.journal import Journal, trim
from rffd.study import Plan, alone, run_study, together
from tests.tabulated import FIRST, Burst, die_at_write, facts, objective, plan

FORK = multiprocessing.get_context("fork")


def study(path: Path, settings: Plan, log: Path | None = None, **options: Any) -> list[tuple]:
    with alone(path, settings.name) as way:
        return facts(run_study(settings, objective(settings.epochs, log=log), way, failures=(Burst,), **options))


def killed(path: Path, settings: Plan, write: int, torn: bool) -> None:
    def run() -> None:
        die_at_write(write, torn)
        study(path, settings)

    process = FORK.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -9, "the study ended before it was to be killed"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple]:
    return study(tmp_path_factory.mktemp("whole") / "journal.log", plan())


def test_the_example_has_every_kind_of_trial(uninterrupted: list[tuple]) -> None:
    assert [number for number, *_ in uninterrupted] == list(range(14))
    assert {state for _, state, *_ in uninterrupted} == {"complete", "pruned", "failed"}
    first = uninterrupted[0]
    assert first[1] == "complete" and first[3] == FIRST, "fit's own values come first and run to their end"
    failed = next(row for row in uninterrupted if row[1] == "failed")
    assert failed[2] is None and failed[5] == "the loss is no longer a number"
    pruned = next(row for row in uninterrupted if row[1] == "pruned")
    assert 0 < len(pruned[4]) < 9 and pruned[2] == list(pruned[4].values())[-1]


WRITES = (1, 2, 3, 5, 8, 12, 13, 14, 23, 34, 47, 55, 63, 70)


@pytest.mark.parametrize(("write", "torn"), [(write, turn % 2 == 1) for turn, write in enumerate(WRITES)])
def test_killed_at_any_write_it_goes_on_to_the_same_trials(
    tmp_path: Path, uninterrupted: list[tuple], write: int, torn: bool
) -> None:
    killed(tmp_path / "journal.log", plan(), write, torn)
    assert study(tmp_path / "journal.log", plan()) == uninterrupted


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("random", "none"), ("tpe", "median"), pytest.param("gp", "median", marks=pytest.mark.slow)],
)
def test_killed_again_and_again(tmp_path: Path, sampler: str, pruner: str) -> None:
    settings = plan(sampler=sampler, pruner=pruner, trials=10, epochs=4)
    for write in (17, 23, 29):
        killed(tmp_path / "journal.log", settings, write, torn=True)
    assert study(tmp_path / "journal.log", settings) == study(tmp_path / "whole.log", settings)


def test_finished_trials_are_not_run_again(tmp_path: Path, uninterrupted: list[tuple]) -> None:
    path, log = tmp_path / "journal.log", tmp_path / "starts"
    study(path, plan(trials=6))
    assert study(path, plan(), log=log) == uninterrupted, "more trials go on with the same study"
    assert len(log.read_text().splitlines()) == 8
    assert study(path, plan(trials=6), log=log) == uninterrupted[:6]
    assert len(log.read_text().splitlines()) == 8


def test_another_seed_draws_other_values_and_keeps_the_first(tmp_path: Path, uninterrupted: list[tuple]) -> None:
    other = study(tmp_path / "journal.log", plan(seed=4, trials=3))
    assert other[0] == uninterrupted[0] and other[1][3] != uninterrupted[1][3]
    assert study(tmp_path / "drawn.log", plan(first={}, trials=1))[0][3] != FIRST


def test_an_unexpected_error_ends_the_study_and_its_trial_is_run_again(
    tmp_path: Path, uninterrupted: list[tuple]
) -> None:
    calls = 0

    def breaks(values, report):
        nonlocal calls
        calls += 1
        if calls == 4:
            report(1, 1.0)  # none to be pruned for
            raise ZeroDivisionError
        return objective()(values, report)

    with pytest.raises(ZeroDivisionError), alone(tmp_path / "journal.log", "test") as way:
        run_study(plan(), breaks, way, failures=(Burst,))
    assert study(tmp_path / "journal.log", plan()) == uninterrupted


def test_the_first_trial_runs_to_its_end_whatever_the_pruner_thinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda self: True)
    outcomes = study(tmp_path / "journal.log", plan(trials=3))
    assert [state for _, state, *_ in outcomes] == ["complete", "pruned", "pruned"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_fails_the_trial(tmp_path: Path, value: float) -> None:
    with alone(tmp_path / "journal.log", "test") as way:
        outcomes = run_study(plan(trials=2), lambda values, report: value, way)
    assert [o.state for o in outcomes] == ["failed", "failed"] and outcomes[0].note == f"the objective is {value}"


def test_minutes_stop_between_trials(tmp_path: Path) -> None:
    assert study(tmp_path / "journal.log", plan(), minutes=1e-9) == []


def test_a_journal_is_cut_at_its_first_unsound_line(tmp_path: Path, uninterrupted: list[tuple]) -> None:
    path = tmp_path / "journal.log"
    assert trim(path) == 0
    study(path, plan())
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for tail in (b'{"op_code":5', b"\0" * 300, b'\0\0\n{"op_code":5}\n', b"[]\n"):
        path.write_bytes(b"".join(lines[:40]) + tail)
        assert trim(path) == len(tail)
        assert path.read_bytes() == b"".join(lines[:40])
    path.write_bytes(b"".join(lines[:40]) + b"\0" * 300)
    assert study(path, plan()) == uninterrupted


def work(path: Path, settings: Plan, pause: float, log: Path) -> None:
    with together(str(path)) as way:
        run_study(settings, objective(settings.epochs, pause, log), way, failures=(Burst,))


def test_two_workers_share_one_budget_and_a_dead_ones_trial_is_retried(tmp_path: Path) -> None:
    path, log, settings = tmp_path / "shared.log", tmp_path / "starts", plan(trials=20, pruner="none")
    workers = [FORK.Process(target=work, args=(path, settings, 0.02, log)) for _ in range(3)]
    for worker in workers:
        worker.start()
    while not log.exists() or str(workers[2].pid) not in log.read_text():
        time.sleep(0.005)
    workers[2].kill()
    for worker in workers:
        worker.join(timeout=60)
        worker.kill()  # one that waits for a trial nobody runs would wait for ever
    assert [worker.exitcode for worker in workers] == [0, 0, -9]
    with together(str(path)) as way:
        outcomes = run_study(settings, objective(settings.epochs), way, failures=(Burst,))
    assert [o.number for o in outcomes] == list(range(20))
    assert all(len(o.curve) == 9 for o in outcomes if o.state == "complete")
    starts = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert {int(pid) for pid, _ in starts} == {worker.pid for worker in workers}
    assert len(starts) == 21, "each trial once, and the dead worker's once more"
    retried = [values for _, values in starts if [v for _, v in starts].count(values) == 2]
    assert {int(pid) for pid, values in starts if values == retried[0]} > {workers[2].pid}, "with the values it had"
    assert not list(tmp_path.glob("*.alive")), "signs of life are cleared away"


def test_a_living_workers_trial_is_left_alone(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "shared.log"), Journal(tmp_path / "shared.log")
    begun: list[int] = []

    def slow(values, report):
        begun.append(1)
        if len(begun) == 1:
            assert first.dead("test") == second.dead("test") == []
            first._alive.close()  # as the kernel does when a process dies
            assert len(second.dead("test")) == 1
        return 0.5

    run_study(plan(trials=1), slow, first)
    second.close()


def test_half_a_line_left_by_a_dead_worker_does_not_stop_the_living(tmp_path: Path) -> None:
    path = tmp_path / "shared.log"
    torn: list[int] = []

    def tears(values, report):
        if not torn:
            torn.append(1)
            with path.open("ab") as file:
                file.write(b'{"op_code":6,"wor')
        return objective()(values, report)

    with together(str(path)) as way:
        outcomes = run_study(plan(trials=4), tears, way, failures=(Burst,))
    assert len(outcomes) == 4
    assert trim(path) == 0


def test_no_server_is_one_clear_line() -> None:
    pytest.importorskip("psycopg")
    address = "postgresql://127.0.0.1:9/studies"
    with (
        pytest.raises(RffdError, match=r"database studies, can't be used .* set PGUSER and PGPASSWORD"),
        together(address),
    ):
        pass
