"""A small size of the pipeline in a clone of its own: the real stages, few drawn portraits, one short epoch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from tests.pipeline_code import ROOT

SMALL = {
    "data.sample.real": 60,
    "data.sample.fake": 60,
    "data.sample.size": 128,
    "split.val": 0.2,
    "split.test": 0.2,
    "catalog.audit.resamples": 100,
    "evaluate.resamples": 100,
    "package.checked_images": 8,
    "search.trials": 1,
    "search.epochs": 1,
    "train.epochs": 2,
    "train.learning_rate": 1e-3,
}


def environment(**more: str) -> dict[str, str]:
    """This environment with the tests' own Python first on PATH, and a scratch folder in the workspace."""
    bin_folder = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if name not in ("RFFD_SCRATCH", "PYTHONPATH")}
    return {**kept, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1", **more}


def run(folder: Path, *command: str, check: bool = True, **more: str) -> subprocess.CompletedProcess:
    """Run a command in a workspace; both streams come back as one text in `stdout`."""
    done = subprocess.run(
        command, cwd=folder, env=environment(**more), text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}")
    return done


def set_params(folder: Path, values: dict[str, object]) -> None:
    """Set dotted keys of a workspace's `params.yaml`; comments stay."""
    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path)
    for key, value in values.items():
        *sections, name = key.split(".")
        target = params
        for section in sections:
            target = target[section]
        if name not in target:
            raise KeyError(key)
        target[name] = value
    with path.open("w") as file:
        yaml.dump(params, file)


def make_workspace(folder: Path) -> Path:
    """Copy the project's files (committed or about to be) into a git and DVC repository of its own, small size."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    set_params(folder, SMALL)
    run(folder, "git", "init", "-q", "-b", "main")
    for key, value in (("user.name", "Tester"), ("user.email", "tester@example.org"), ("gc.auto", "0")):
        run(folder, "git", "config", key, value)
    commit(folder, "small")
    return folder


def commit(folder: Path, message: str) -> None:
    """Commit everything in a workspace."""
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", message)


def stages_run(output: str) -> list[str]:
    """The stages that a `dvc repro` or `dvc exp run` says it ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
