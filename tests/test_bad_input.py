"""Whatever is wrong with parameters, images or places: a stage ends with one clear line, and writes nothing.

Each stage runs in this process, with the paths of its own command in `dvc.yaml`, in a folder that holds no more than
the case needs. What the sources, the image reader, the catalogue and the scratch folder refuse stands in their tests.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from rffd.files import write_csv, write_json
from rffd.stage import run_stage
from tests.pipeline_code import ROOT
from tests.workspace import set_params

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
SECTIONS = [(name, section) for name in STAGES for section in STAGES[name].get("params", []) if "." not in section]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with the committed parameters and nothing else; stages run in it."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RFFD_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path


def error_of(stage: str, folder: Path) -> str:
    """The one line with which a stage ends, after checking that it is one and that nothing was written."""
    before = sorted(folder.rglob("*"))
    words = re.split(rf"-m stages\.{stage}\s", STAGES[stage]["cmd"])[1].split()
    with pytest.raises(SystemExit) as stop:
        run_stage(importlib.import_module(f"stages.{stage}").main, words)
    line = stop.value.code
    assert isinstance(line, str) and line.startswith("error: ") and "\n" not in line
    assert sorted(folder.rglob("*")) == before
    return line


def change(section: str, **values: object) -> None:
    """Set or add keys of a section of `params.yaml`."""
    yaml, path = YAML(), Path("params.yaml")
    params = yaml.load(path)
    params[section].update(values)
    with path.open("w") as file:
        yaml.dump(params, file)


@pytest.mark.parametrize(("stage", "section"), SECTIONS)
def test_an_unknown_parameter_is_named_with_the_nearest_known_one(folder, stage, section):
    known = next(iter(PARAMS[section]))
    change(section, **{f"{known}x": 1})
    assert f"unknown parameter '{section}.{known}x' (did you mean '{known}'?)" in error_of(stage, folder)


@pytest.mark.parametrize(("stage", "section"), SECTIONS)
def test_a_value_of_another_type_is_named_with_what_is_needed(folder, stage, section):
    name, value = next(iter(PARAMS[section].items()))
    other = 7 if isinstance(value, dict | list) else [1]
    change(section, **{name: other})
    assert f"'{section}.{name}' is {other}; " in error_of(stage, folder)


@pytest.mark.parametrize(("stage", "section"), SECTIONS)
def test_a_missing_parameter_or_section_is_named(folder, stage, section):
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    del params[section][name := next(iter(PARAMS[section]))]
    yaml.dump(params, Path("params.yaml"))
    assert f"missing parameter '{section}.{name}'" in error_of(stage, folder)
    del params[section]
    yaml.dump(params, Path("params.yaml"))
    assert f"no section '{section}'" in error_of(stage, folder)


IMPOSSIBLE = [
    ("acquire", {"data.source": "floppy"}, "'data.source' is 'floppy'"),
    ("acquire", {"data.sample.shared": 1.5}, "'data.sample.shared' is 1.5"),
    ("acquire", {"data.sample.real": 0}, "'data.sample.real' is 0"),
    ("split", {"split.val": 0.7, "split.test": 0.6}, "split."),
    ("split", {"split.val": 0.0}, "'split.val' is 0.0"),
    ("split", {"split.folds": 1, "split.fold": 1}, "'split.folds' is 1"),
    ("preprocess", {"preprocess.image_size": 0}, "'preprocess.image_size' is 0"),
    ("preprocess", {"preprocess.jpeg_quality": 101}, "'preprocess.jpeg_quality' is 101"),
    ("backbone", {"backbone.heads": 7}, "'backbone.hidden_size' is"),
    ("search", {"search.trials": -1}, "'search.trials' is -1"),
    ("train", {"train.epochs": 0}, "'train.epochs' is 0"),
    ("train", {"fit.learning_rate": -1.0}, "'fit.learning_rate' is -1.0"),
    ("train", {"fit.learning_rate": "fast"}, "'fit.learning_rate' is 'fast'; a number is needed"),
    ("train", {"launch.processes": 0}, "'launch.processes' is 0"),
    ("evaluate", {"evaluate.max_error": 2.0}, "'evaluate.max_error' is 2.0"),
    ("explain", {"explain.batch_size": 0}, "'explain.batch_size' is 0"),
    ("package", {"package.repository": "no owner"}, "'package.repository' is no owner"),
]


@pytest.mark.parametrize(("stage", "values", "message"), IMPOSSIBLE, ids=[f"{s} {v}" for s, v, _ in IMPOSSIBLE])
def test_an_impossible_value_is_named(folder, stage, values, message):
    set_params(folder, values)
    assert message in error_of(stage, folder)


def test_params_that_are_no_yaml_or_not_there_are_one_line(folder):
    Path("params.yaml").write_text("data: [1\n")
    assert "params.yaml: not valid YAML" in error_of("acquire", folder)
    Path("params.yaml").unlink()
    assert "params.yaml: not found; run from the project's root" in error_of("acquire", folder)


def test_a_folder_without_images_and_one_without_a_class_are_named(folder):
    set_params(folder, {"data.source": "folder"})
    assert "data.path=data/inbox does not exist" in error_of("acquire", folder)
    Path("data/inbox/real").mkdir(parents=True)
    assert "data/inbox: no images; put them in folders real/ and fake/" in error_of("acquire", folder)
    Image.new("RGB", (32, 32)).save("data/inbox/real/a.png")
    assert "data/inbox: no fake images" in error_of("acquire", folder)


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"acquire", "backbone"}))
def test_a_stage_before_its_turn_says_what_it_lacks(folder, stage):
    line = error_of(stage, folder)
    assert re.search(r"(data|metrics|models|plots)/\w+", line), line


def catalogued(count: int = 40) -> None:
    from rffd.catalog import COLUMNS

    rows = [
        dict.fromkeys(COLUMNS, "")
        | {"path": f"{label}/{i}.jpg", "label": label, "status": "ok", "group": f"{label}/{i}.jpg"}
        for label in ("real", "fake")
        for i in range(count // 2)
    ]
    write_csv(Path("data/catalog.csv"), rows, COLUMNS)


def small_sample() -> None:
    set_params(Path(), {"data.sample.real": 2, "data.sample.fake": 2, "data.sample.size": 64})


@pytest.mark.parametrize(
    ("stage", "output", "prepare"),
    [
        ("acquire", "data/raw", small_sample),
        ("split", "metrics/split.json", catalogued),
        ("backbone", "models/backbone", lambda: set_params(Path(), {"backbone.source": "scratch"})),
    ],
)
def test_an_output_that_cant_be_written_is_named(folder, stage, output, prepare):
    """A file stands where a folder is needed: unlike a read-only one, that stops even the superuser."""
    prepare()
    Path(output).parent.write_text("in the way")
    words = re.split(rf"-m stages\.{stage}\s", STAGES[stage]["cmd"])[1].split()
    with pytest.raises(SystemExit) as stop:
        run_stage(importlib.import_module(f"stages.{stage}").main, words)
    assert re.match(rf"error: {Path(output).parent}\S*: .*check its", str(stop.value.code)), stop.value.code
    assert not list(folder.rglob("*.part"))


def test_more_processes_than_were_started_is_one_line(folder):
    write_json(Path("metrics/search.json"), {"values": {}})
    set_params(folder, {"launch.processes": 2})
    assert "'launch.processes' is 2 but 1 was started" in error_of("train", folder)


@pytest.mark.slow
def test_accelerate_launch_adds_nothing_to_the_line_of_a_failed_train(folder):
    set_params(folder, {"fit.learning_rate": "fast"})
    shutil.copy(ROOT / "accelerate.yaml", folder)
    command = STAGES["train"]["cmd"].replace("${launch.config}", "accelerate.yaml")
    command = command.replace("${launch.processes}", "1").split()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: 'fit.learning_rate' is 'fast'; a number is needed\n"
