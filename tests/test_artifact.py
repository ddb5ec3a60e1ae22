"""The detector as a registered artifact: `gto register` names a version, `dvc artifacts get` brings it elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from rffd.revision import ARTIFACT
from tests.packages import packaged

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def run(folder: Path, *words: object) -> str:
    identity = {f"GIT_{who}_{what}": "n@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "PATH": f"{BIN}:{os.environ['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dvc_yaml_names_the_package_as_the_artifact():
    pipeline = YAML(typ="safe").load(ROOT / "dvc.yaml")
    assert pipeline["artifacts"][ARTIFACT]["path"] in pipeline["stages"]["package"]["outs"]
    assert pipeline["artifacts"][ARTIFACT]["type"] == "model"


@pytest.mark.slow
def test_a_registered_version_can_be_had_from_another_clone(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    run(here, "git", "init", "-q", "-b", "main")
    run(here, "dvc", "init", "-q")
    artifact = YAML(typ="safe").load(ROOT / "dvc.yaml")["artifacts"][ARTIFACT]
    command = f"mkdir -p models && cp -r {packaged().package} {artifact['path']}"
    stage = {"package": {"cmd": command, "outs": [artifact["path"]]}}
    YAML().dump({"stages": stage, "artifacts": {ARTIFACT: artifact}}, here / "dvc.yaml")
    run(here, "dvc", "remote", "add", "-d", "store", tmp_path / "store")
    run(here, "dvc", "repro", "-q")
    run(here, "git", "add", ".")
    run(here, "git", "commit", "-qm", "a model")
    run(here, "dvc", "push", "-q")
    run(here, "gto", "register", ARTIFACT, "--version", "v0.1.0")
    (here / "later").touch()
    run(here, "git", "add", ".")
    run(here, "git", "commit", "-qm", "later")

    run(tmp_path, "git", "clone", "-q", here, there)
    run(there, "dvc", "artifacts", "get", here, ARTIFACT, "--rev", "v0.1.0", "--out", "got")
    assert (there / "got" / "SHA256SUMS").read_bytes() == (packaged().package / "SHA256SUMS").read_bytes()
    run(there / "got", "sha256sum", "-c", "--quiet", "SHA256SUMS")
