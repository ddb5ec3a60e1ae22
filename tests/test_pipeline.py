"""DVC as its users use it, on a small size of the pipeline in a clone."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.documented import documented
from tests.workspace import commit, run, set_params, stages_run

pytestmark = pytest.mark.slow

AFTER_TRAIN = ["train", "evaluate", "explain", "report", "package"]


def metrics(folder: Path, name: str) -> dict:
    return json.loads((folder / "metrics" / f"{name}.json").read_text())


def test_repro_again_does_nothing(finished):
    output = run(finished, "dvc", "repro").stdout
    assert stages_run(output) == []
    assert "Data and pipelines are up to date" in output
    assert not run(finished, "git", "status", "--porcelain").stdout


def test_the_headline_file_keeps_its_contract(finished):
    headline = metrics(finished, "evaluate")
    assert set(headline) == {"val", "test"}
    names = {"accuracy", "f1", "recall", "auc"}
    for figures in headline.values():
        assert set(figures) == names | {f"{name}_ci95" for name in names}


def test_names_of_metrics_are_unique(finished):
    seen: dict[str, str] = {}
    for path in sorted((finished / "metrics").glob("*.json")):
        for name, value in json.loads(path.read_text()).items():
            if not isinstance(value, list):
                assert name not in seen, f"{name} is in {seen[name]} and in {path.name}"
                seen[name] = path.name


def test_same_commit_and_machine_same_bytes_whatever_accelerate_is_told(finished, workspace, tmp_path):
    """Everything once more from nothing, under a hostile default_config.yaml of Accelerate's."""
    (tmp_path / "hf" / "accelerate").mkdir(parents=True)
    hostile = "mixed_precision: bf16\ndistributed_type: 'NO'\nnum_processes: 1\ncompute_environment: LOCAL_MACHINE\n"
    (tmp_path / "hf" / "accelerate" / "default_config.yaml").write_text(hostile)
    shutil.rmtree(workspace / ".scratch")
    run(workspace, "dvc", "repro", "--force", HF_HOME=str(tmp_path / "hf"))
    assert run(workspace, "git", "status", "--porcelain").stdout == ""


def test_an_edit_of_packaging_reruns_packaging_only(workspace):
    with (workspace / "rffd" / "card.py").open("a") as file:
        file.write("# edited\n")
    assert stages_run(run(workspace, "dvc", "repro").stdout) == ["package"]


def test_a_changed_train_value_survives_and_spares_the_search(tried):
    assert stages_run((tried.parent / "output.txt").read_text()) == AFTER_TRAIN
    assert metrics(tried, "train")["learning_rate"] == 3e-5


def test_comparisons_work(tried, tmp_path):
    folder = tmp_path / "rffd"
    shutil.copytree(tried, folder, symlinks=True)
    assert "3e-05" in run(folder, *documented("dvc params diff")).stdout
    assert "train.json" in run(folder, *documented("dvc metrics diff")).stdout
    assert "index.html" in run(folder, *documented("dvc plots diff")).stdout
    assert "accuracy" in run(folder, *documented("python -m rffd.comparison main workspace")).stdout
    table = run(folder, *documented("make compare"), COLUMNS="120").stdout
    assert "workspace" in table and "3e-05" in table
    assert max(len(line) for line in table.splitlines()) <= 120


def test_a_touched_source_folder_reruns_acquire(workspace):
    (workspace / "data" / "inbox" / "note.txt").write_text("new")
    assert stages_run(run(workspace, "dvc", "repro").stdout)[:1] == ["acquire"]


def test_a_queued_grid_runs_the_code_that_was_queued(workspace):
    """Two at a time, on a team's own images under `dvc add`, while the checkout is edited under them.

    They change a value of `fit` and differ in `train`: they need the same search, which one waits for the other to do.
    """
    shutil.copytree(workspace / "data" / "raw", workspace / "data" / "team")
    run(workspace, "dvc", "add", "-q", "data/team")
    commit(workspace, "a team's images")
    grid = "-S fit.label_smoothing=0.1 -S 'train.learning_rate=1e-5,3e-5' --queue"
    command = "dvc exp run -S data.source=folder -S data.path=data/team -S search.trials=0"
    run(workspace, *documented(command, {"-S search.trials=0": grid}))
    with (workspace / "rffd" / "training.py").open("a") as file:
        file.write("\nraise SystemExit('the checkout, not what was queued')\n")
    run(workspace, *documented("dvc queue start -j 2"), RFFD_SCRATCH=str(workspace / ".scratch"))
    wait_for_queue(workspace)
    table = run(workspace, "dvc", "exp", "show", "--csv").stdout
    rows = [row for row in csv.DictReader(table.splitlines()) if row["Experiment"]]
    rates = sorted(float(row["train.learning_rate"]) for row in rows)
    assert rates == [1e-5, 3e-5], table
    assert all(row["test.auc"] for row in rows), table
    assert len(list((workspace / ".scratch" / "search").iterdir())) == 2, "the committed search, and one for both"
    assert run(workspace, *documented("make compare"), COLUMNS="120").stdout.count("3e-05") == 1


def wait_for_queue(folder: Path) -> None:
    import time

    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        status = run(folder, "dvc", "queue", "status").stdout
        if "Failed" in status:
            raise AssertionError(status)
        if status.count("Success") >= 2:
            return
        time.sleep(3)
    raise AssertionError(f"the queue did not finish:\n{status}")


def test_predict_equals_evaluate_image_by_image(finished):
    with (finished / "data" / "evaluation" / "predictions.csv").open() as file:
        expected = {row["path"]: float(row["probability"]) for row in csv.DictReader(file)}
    paths = [str(finished / "data" / "raw" / path) for path in expected]
    answers = json.loads(run(finished, "rffd", "predict", *paths, "--json").stdout)
    assert len(answers) == len(expected)
    for answer in answers:
        path = str(Path(answer["path"]).relative_to(finished / "data" / "raw"))
        assert answer["probability"] == pytest.approx(expected[path], abs=1e-4)


def test_publish_prints_its_plan_and_does_nothing_more(finished):
    plan = run(finished, "rffd", "publish", "--repository", "someone/something", check=False).stdout
    assert "model.safetensors" in plan


def test_training_with_the_trial_s_values_gives_the_trial_s_figures(workspace):
    set_params(workspace, {"train.epochs": 1, "train.learning_rate": None, "search.metric": "auc"})
    run(workspace, "dvc", "repro", "train")
    best = metrics(workspace, "search")
    assert metrics(workspace, "train")["best_val_auc"] == best["search_best_value"]


def test_a_stage_that_fails_stops_dvc_with_its_one_line(workspace):
    """Each kind of bad input is tried on the stages alone, in tests/test_bad_input.py."""
    set_params(workspace, {"split.val": 0.7, "split.test": 0.6})
    failed = run(workspace, "dvc", "repro", check=False)
    assert failed.returncode != 0
    told = [line for line in failed.stdout.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and "split." in told[0]
    assert "Traceback" not in failed.stdout


def test_under_another_python_a_stage_says_so(workspace):
    system = shutil.which("python3", path="/usr/bin:/bin")
    if system is None:
        pytest.skip("needs a Python outside of the virtual environment")
    failed = run(workspace, system, "-m", "stages.split", check=False)
    assert failed.returncode == 1
    assert "lacks RFFD's packages; run `make repro`" in failed.stdout
