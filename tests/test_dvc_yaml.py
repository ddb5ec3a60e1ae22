"""`dvc.yaml` tells the truth: each stage lists the code and the parameters that it uses, and no others."""

import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.pipeline_code import ROOT, stage_code

PIPELINE = YAML(typ="safe").load(ROOT / "dvc.yaml")
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
STAGES = sorted(PIPELINE["stages"])


def paths(entries: list) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def parameters_read(script: Path) -> set[str]:
    """The sections and keys that a stage's script names in `read_params` and `read_value`."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("read_params", "read_value")
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_code_it_reaches(stage):
    listed = [dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith(("stages/", "rffd/"))]
    assert listed == stage_code(stage), "run `make deps`"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_parameters_it_reads(stage):
    assert set(PIPELINE["stages"][stage].get("params", [])) == parameters_read(ROOT / "stages" / f"{stage}.py")


def test_only_stages_and_commands_read_parameters():
    readers = {
        path.name
        for path in (ROOT / "rffd").glob("*.py")
        if path.name not in ("params.py", "cli.py")
        and re.search(r"\bread_(params|value)\(", path.read_text(encoding="utf-8"))
    }
    assert not readers


def test_every_section_of_the_parameters_is_used():
    used = {name.split(".")[0] for stage in STAGES for name in PIPELINE["stages"][stage].get("params", [])}
    assert used == set(PARAMS)


def test_search_and_train_never_see_the_test_split():
    for stage in ("search", "train"):
        read = " ".join([PIPELINE["stages"][stage]["cmd"], *PIPELINE["stages"][stage]["deps"]])
        assert "processed/train" in read
        assert "processed/test" not in read
        assert "data/raw" not in read
    assert "train" not in PIPELINE["stages"]["search"]["params"]


def test_every_path_of_a_command_is_declared():
    for name, stage in PIPELINE["stages"].items():
        declared = paths([*stage["deps"], *stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])])
        for path in re.findall(r"--(?!config_file|num_processes)[\w-]+ ([^-\s]\S*)", stage["cmd"]):
            if path.startswith("$"):
                continue
            inside = any(entry == path or entry.startswith(f"{path}/") for entry in declared)
            assert inside, f"{name}: {path}"


def test_stages_name_no_path():
    for script in (ROOT / "stages").glob("*.py"):
        tree = ast.parse(script.read_text(encoding="utf-8"))
        texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        outside_docstrings = [text for text in texts if "\n" not in text]
        assert not [t for t in outside_docstrings if re.match(r"(data|metrics|plots|models)/", t)], script.name


def test_stages_are_thin():
    for script in (ROOT / "stages").glob("*.py"):
        lines = len(script.read_text(encoding="utf-8").splitlines())
        assert lines <= 75, f"{script.name} has {lines} lines; move work into rffd/"


def test_every_parameter_says_why():
    uncommented = [
        line
        for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
        if re.match(r"\s+\w+:\s*\S", line) and not re.search(r"\s#\s", line)
    ]
    assert not uncommented


def test_editing_deployment_never_retrains():
    deployment = {
        f"rffd/{name}.py" for name in ("card", "packaging", "publishing", "hub", "cli", "prediction", "report")
    }
    for stage in STAGES:
        if stage not in ("package", "report"):
            assert not deployment & set(PIPELINE["stages"][stage]["deps"]), stage


def test_git_ignores_what_dvc_caches():
    """Committed, since DVC takes its own entries back when a later stage of the same run fails."""
    cached = []
    for stage in PIPELINE["stages"].values():
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
            if options.get("cache", True):
                cached.append(path)
    for path in cached:
        ignore = ROOT / Path(path).parent / ".gitignore"
        assert f"/{Path(path).name}" in ignore.read_text(encoding="utf-8").splitlines(), path
