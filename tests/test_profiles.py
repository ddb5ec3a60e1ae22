"""Profiles: each override names a parameter, and the whole is one that the stages accept."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from rffd.fit_params import FitParams
from rffd.params import build
from rffd.preprocessing import PreprocessParams
from rffd.splitting import SplitParams
from rffd.values import TrainParams

ROOT = Path(__file__).resolve().parents[1]
PROFILES = sorted((ROOT / "profiles").rglob("*.txt"))
SECTIONS = {"fit": FitParams, "preprocess": PreprocessParams, "split": SplitParams, "train": TrainParams}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_profile_s_overrides_are_parameters_of_possible_values(profile):
    yaml = YAML(typ="safe")
    params = yaml.load(ROOT / "params.yaml")
    for line in profile.read_text().splitlines():
        override = line.partition("#")[0].strip()
        if not override:
            continue
        key, _, value = override.partition("=")
        *path, name = key.split(".")
        section = params
        for part in path:
            section = section[part]
        assert name in section, f"{profile.name}: no parameter '{key}'"
        section[name] = yaml.load(value)
    for name, kind in SECTIONS.items():
        build(kind, params[name], name)
    size = params["fit"]["image_size"] or 224
    assert params["preprocess"]["image_size"] >= size, "random crops need room"
