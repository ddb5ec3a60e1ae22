"""The search as a stage: what train takes, what git keeps, what people look at."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rffd.errors import RffdError
from rffd.importance import importances
from rffd.params import ParamError
from rffd.search import (
    SearchParams,
    best_of,
    make_plan,
    metrics_of,
    search,
    standard_error,
    study_key,
    summary,
    trial_rows,
)
from rffd.search_plots import draw_pictures
from rffd.study import Outcome, run_study, together
from tests.tabulated import DIMENSIONS, Burst, objective, plan
from tests.test_search_space import Outer

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ["curves.png", "history.png", "importances.png", "parallel.png", "slices.png"]
PARAMS = SearchParams(
    trials=5,
    epochs=9,
    minutes=None,
    metric="auc",
    sampler="tpe",
    pruner="median",
    seed=0,
    storage=None,
    space={"rate": {"low": 1e-4, "high": 1e-2, "log": True}, "inner.blur": {"low": 0.0, "high": 0.5}},
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    settings = plan(trials=30, pruner="median")
    with together(str(tmp_path_factory.mktemp("study") / "journal.log")) as way:
        return run_study(settings, objective(), way, failures=(Burst,))


def trial(number: int, value: float | None, state: str = "complete", **values: float) -> Outcome:
    return Outcome(number, state, value, values, {1: 0.5}, "", 2.0)  # type: ignore[arg-type]


def test_the_best_is_a_complete_trial_and_the_earliest_of_equals() -> None:
    trials = [trial(0, 0.6), trial(1, 0.9, "pruned"), trial(2, 0.8), trial(3, 0.8), trial(4, None, "failed")]
    assert best_of(trials, "maximize").number == 2
    assert best_of(trials, "minimize").number == 0
    with pytest.raises(RffdError, match="none of 2 trials was completed"):
        best_of([trials[1], trials[4]], "maximize")


def test_fits_own_values_come_first_unless_the_space_leaves_them_out() -> None:
    own, outside = make_plan(PARAMS, Outer(), "key")
    assert own.first == {"rate": 1e-3, "inner.blur": 0.1} and outside == [] and own.name == "rffd"
    drawn, outside = make_plan(replace(PARAMS, storage="x.log"), Outer(rate=0.5), "key")
    assert drawn.first == {} and outside == ["rate"] and drawn.name == "rffd-key"


def test_the_study_in_scratch_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFFD_SCRATCH", str(tmp_path))
    own, _ = make_plan(PARAMS, Outer(), "key")
    told: list[Outcome] = []
    once = search(PARAMS, own, "key", lambda values, report: values["rate"], told=told.append)
    assert len(once) == len(told) == 5
    assert search(PARAMS, own, "key", lambda values, report: math.nan, told=told.append) == once and len(told) == 5


def test_metrics_and_table(outcomes: list[Outcome], tmp_path: Path) -> None:
    metrics = metrics_of(outcomes, "maximize")
    best = best_of(outcomes, "maximize")
    assert metrics["values"] == best.values and metrics["search_best_value"] == best.value >= outcomes[0].value
    assert metrics["search_trials"] == 30 and metrics["search_epochs"] < 30 * 9 * 0.8
    assert metrics_of([], "maximize") == {"search_trials": 0, "values": {}}
    rows, columns = trial_rows(outcomes, [d.name for d in DIMENSIONS], "maximize")
    assert columns == ["number", "state", "value", "best", "epochs", "decay", "frozen", "rate", "schedule", "note"]
    assert [set(row) <= set(columns) for row in rows] == [True] * 30
    assert rows[-1]["best"] == best.value and rows[0]["best"] == outcomes[0].value
    falling = trial_rows([trial(0, 0.5), trial(1, 0.7), trial(2, 0.4)], [], "minimize")[0]
    assert [row["best"] for row in falling] == [0.5, 0.5, 0.4]


def test_what_mattered_is_found(outcomes: list[Outcome], tmp_path: Path) -> None:
    settings = plan(trials=60, sampler="random", epochs=1)
    with together(str(tmp_path / "journal.log")) as way:
        spread = run_study(settings, objective(1), way, failures=(Burst,))
    shares = importances(spread, DIMENSIONS, "maximize")
    assert next(iter(shares)) == "rate" and sum(shares.values()) == pytest.approx(1)
    assert shares["rate"] > 0.4 and shares["schedule"] < 0.2
    assert set(importances(outcomes, DIMENSIONS, "maximize")) == {d.name for d in DIMENSIONS}
    assert importances(outcomes[:9], DIMENSIONS, "maximize") == {}


def test_summary_is_five_lines_that_say_it(outcomes: list[Outcome]) -> None:
    shares = importances(outcomes, DIMENSIONS, "maximize")
    text = summary(PARAMS, outcomes, shares, 80, 85)
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "best",
        "how sure",
        "what mattered",
        "pruned",
        "cost",
    ]
    assert "one standard error on 165 images is" in text and "rate" in text.splitlines()[2]
    alone = summary(PARAMS, [trial(0, 0.7, rate=0.1)], {}, 80, 85)
    assert "fit's own values stand" in alone and "too few complete trials to say" in alone
    assert "1 epochs of 9 (11%)" in alone


def test_the_standard_error_of_an_auc_is_what_simulation_gives() -> None:
    rng = np.random.default_rng(0)
    aucs = []
    for _ in range(2000):
        real, fake = np.sort(rng.normal(0, 1, 80)), rng.normal(1.2, 1, 90)
        aucs.append(np.searchsorted(real, fake).mean() / 80)
    assert standard_error("auc", float(np.mean(aucs)), 80, 90) == pytest.approx(np.std(aucs), rel=0.1)
    assert standard_error("accuracy", 0.8, 80, 85) == pytest.approx(0.0311, abs=1e-4)
    assert standard_error("log_loss", 0.5, 80, 85) is None


def test_pictures_are_the_same_to_the_byte(outcomes: list[Outcome], tmp_path: Path) -> None:
    shares = importances(outcomes, DIMENSIONS, "maximize")
    for folder in (tmp_path / "a", tmp_path / "b"):
        draw_pictures(outcomes, DIMENSIONS, shares, "auc", "maximize", folder)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == PICTURES
    for name in PICTURES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    draw_pictures([], [], {}, "auc", "maximize", tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []
    failed = [trial(0, None, "failed", decay=0.1, frozen=1, rate=1e-3, schedule="linear")]  # type: ignore[arg-type]
    draw_pictures(failed, DIMENSIONS, {}, "auc", "maximize", tmp_path / "failed")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"trials": -1}, "'search.trials' is -1; it must be from 0"),
        ({"epochs": 0}, "'search.epochs' is 0"),
        ({"minutes": 0.0}, "'search.minutes' is 0.0"),
        ({"space": {}}, "'search.space' is empty"),
        ({"storage": "mysql://host/db"}, "'search.storage' is mysql"),
        ({"storage": "postgresql://me:hunter2@host/db"}, "without a password: set PGPASSWORD"),
        ({"storage": "postgresql://host/db?password=hunter2"}, "without a password: set PGPASSWORD"),
    ],
)
def test_impossible_parameters_are_one_clear_line(change: dict, line: str) -> None:
    with pytest.raises(ParamError) as caught:
        replace(PARAMS, **change)
    assert line in str(caught.value) and "hunter2" not in str(caught.value)


def stage(folder: Path, **search: str) -> subprocess.CompletedProcess[str]:
    """Run the stage in `folder` with changed lines of `search:` and a quick `fit:`."""
    text = (ROOT / "params.yaml").read_text()
    lines = text.splitlines()
    start = lines.index(next(line for line in lines if line.startswith("search:")))
    for name, value in search.items():
        place = next(i for i in range(start, len(lines)) if lines[i].startswith(f"  {name}:"))
        lines[place] = f"  {name}: {value}"
    (folder / "params.yaml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "stages.search", "--train", "train", "--val", "val", "--backbone", "backbone"]
    command += ["--metrics", "search.json", "--trials", "trials.csv", "--plots", "pictures"]
    clean = {**os.environ, "PYTHONPATH": str(ROOT), "RFFD_SCRATCH": str(folder / "scratch"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_stage_and_its_contract_with_train(tmp_path: Path) -> None:
    from rffd.fit import fit
    from rffd.fit_params import FitParams
    from rffd.params import read_params
    from rffd.search_space import overlay
    from rffd.store import open_store
    from tests.toys import toy_backbone, toy_store

    toy_store(tmp_path / "train", count=32)
    toy_store(tmp_path / "val", count=24, seed=1)
    toy_backbone(tmp_path / "backbone")
    skipped = stage(tmp_path, trials="0")
    assert skipped.returncode == 0, skipped.stderr
    assert json.loads((tmp_path / "search.json").read_text()) == {"search_trials": 0, "values": {}}
    done = stage(tmp_path, trials="2", epochs="2", pruner="none")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()[-5:]) == 5 and "best: trial" in done.stdout
    metrics = json.loads((tmp_path / "search.json").read_text())
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    own = read_params("fit", FitParams, tmp_path / "params.yaml")
    assert [row["number"] for row in rows] == ["0", "1"] and float(rows[0]["learning_rate"]) == own.learning_rate
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*") if path.suffix in (".json", ".csv")}
    before |= {path: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    shutil.rmtree(tmp_path / "scratch")
    assert stage(tmp_path, trials="2", epochs="2", pruner="none").returncode == 0
    assert all(path.read_bytes() == data for path, data in before.items()), "the same to the byte from nothing"

    params = overlay(own, metrics["values"])
    train, val = open_store(tmp_path / "train"), open_store(tmp_path / "val")
    fitted = fit(train, val, tmp_path / "backbone", params, epochs=2)
    assert fitted.metrics["val_auc"] == metrics["search_best_value"], "training gives the trial's figures exactly"


def test_a_diverging_fit_is_recorded_and_the_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from rffd import trial
    from rffd.epoch import Diverged, OutOfMemory

    calls: list[float] = []

    def fake(train, val, backbone, params, *, epochs, on_epoch):
        calls.append(params.rate)
        if len(calls) == 2:
            raise Diverged("the loss is no longer a number")
        if len(calls) == 3:
            raise OutOfMemory("out of memory")
        for epoch in range(1, epochs + 1):
            on_epoch(epoch, {"val_auc": 0.1 * epoch, "val_log_loss": 1.0})
        return SimpleNamespace(metrics={"val_auc": 0.7, "val_log_loss": 1.0})

    monkeypatch.setattr(trial, "fit", fake)
    monkeypatch.setattr(trial, "study_key", lambda *arguments: "key")
    monkeypatch.setenv("RFFD_SCRATCH", str(tmp_path))
    store = SimpleNamespace(folder=tmp_path)
    _, outcomes = trial.search_fits(PARAMS, Outer(), store, store, tmp_path)  # type: ignore[arg-type]
    assert [o.state for o in outcomes] == ["complete", "failed", "failed", "complete", "complete"]
    assert outcomes[1].note == "the loss is no longer a number" and outcomes[0].value == 0.7
    assert calls[0] == 1e-3 and list(outcomes[0].curve) == list(range(1, 10))


def test_what_the_key_depends_on(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/index.csv").write_text("a")
    folders = [tmp_path / "train"]
    key = study_key(PARAMS, Outer(), folders)
    for same in ({"trials": 9}, {"minutes": 3.0}, {"storage": "x.log"}):
        assert study_key(replace(PARAMS, **same), Outer(), folders) == key
    for other in ({"epochs": 3}, {"seed": 1}, {"metric": "f1"}, {"space": {"rate": {"low": 1e-4, "high": 1e-3}}}):
        assert study_key(replace(PARAMS, **other), Outer(), folders) != key
    assert study_key(PARAMS, Outer(rate=2e-3), folders) != key
    (tmp_path / "train/index.csv").write_text("b")
    assert study_key(PARAMS, Outer(), folders) != key
