"""Data, models and experiments move between clones as docs/howto.md says, and two people's work merges."""

import contextlib
import logging
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.documented import documented
from tests.workspace import commit, make_workspace, run, set_params, stages_run

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "secret-of-nobody", "AWS_DEFAULT_REGION": "us-east-1"}
FOLDER = "dvc remote add --default storage /mnt/team/rffd"


def clone(origin: Path, folder: Path) -> Path:
    """A colleague's clone, with a name to commit under."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    run(folder.parent, "git", "clone", "-q", str(origin), str(folder))
    for key, value in (("user.name", folder.name), ("user.email", f"{folder.name}@example.org"), ("gc.auto", "0")):
        run(folder, "git", "config", key, value)
    return folder


@pytest.fixture(scope="module")
def team(tried, tmp_path_factory) -> Path:
    """A folder with `rffd.git` (bare), `storage` (a DVC remote that is a folder) and `ann`, a pushed clone."""
    folder = tmp_path_factory.mktemp("team")
    ann = folder / "ann"
    shutil.copytree(tried, ann, symlinks=True)  # its run cache knows the experiment that is handed over below
    run(ann, "git", "reset", "-q", "--hard")
    run(folder, "git", "init", "-q", "--bare", "-b", "main", "rffd.git")
    run(ann, "git", "remote", "add", "origin", str(folder / "rffd.git"))
    run(ann, *documented(FOLDER, {"/mnt/team/rffd": str(folder / "storage")}))
    commit(ann, "a remote")
    run(ann, "dvc", "checkout", "-q")
    run(ann, *documented("dvc push --run-cache"))
    run(ann, "git", "push", "-q", "-u", "origin", "main")
    return folder


def draw_images(folder: Path, count: int, prefix: str = "") -> None:
    """`count` images, half of each label, each with bytes of its own."""
    for i in range(count):
        label = ("real", "fake")[i % 2]
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (i % 256, i // 256, len(prefix))).save(folder / label / f"{prefix}{i:04d}.png")


def test_a_colleague_s_clone_has_everything_and_nothing_to_run(team):
    here = {"https://example.org/team/": f"{team}/"}
    run(team, *documented("git clone https://example.org/team/rffd.git && cd rffd", here))
    bea = team / "rffd"
    run(bea, *documented("dvc pull --run-cache"))
    output = run(bea, *documented("dvc repro")).stdout
    assert stages_run(output) == []
    assert not run(bea, "git", "status", "--porcelain").stdout
    shown = run(bea, "rffd", "predict", "data/raw/real", "--csv").stdout
    assert len(shown.splitlines()) == 61


def test_an_experiment_is_handed_over(team):
    """Pushed by one, then listed, pulled, applied and made a branch by another, without running anything."""
    ann = team / "ann"
    run(ann, *documented("dvc exp run -n gentle -S train.learning_rate=3e-5"))
    run(ann, *documented("dvc exp push origin gentle"))
    figures = (ann / "metrics" / "evaluate.json").read_text()
    run(ann, "git", "reset", "-q", "--hard")

    cem = clone(team / "rffd.git", team / "cem")
    assert "gentle" not in run(cem, "dvc", "exp", "list").stdout
    assert "gentle" in run(cem, *documented("dvc exp list origin")).stdout
    run(cem, *documented("dvc exp pull origin gentle"))
    difference = run(cem, *documented("dvc exp diff HEAD gentle")).stdout
    assert "train.learning_rate" in difference and "3e-05" in difference
    assert "accuracy" in run(cem, *documented("python -m rffd.comparison main gentle")).stdout
    run(cem, *documented("dvc exp apply gentle"))
    assert (cem / "metrics" / "evaluate.json").read_text() == figures
    assert (cem / "models" / "model").is_dir() and (cem / "models" / "package" / "model.safetensors").is_file()
    assert "3e-05" in (cem / "params.yaml").read_text()
    run(cem, *documented("dvc exp branch gentle try-gentle"))
    run(cem, "git", "reset", "-q", "--hard")
    run(cem, "git", "switch", "-q", "try-gentle")
    shown = run(cem, *documented("dvc metrics diff main --md")).stdout
    assert "|" in shown and "metrics/train.json" in shown
    assert "train.learning_rate" in run(cem, *documented("dvc params diff main --md")).stdout


def add_images(folder: Path, who: str, number: int) -> None:
    """As someone who adds images to the shared folder on a branch: up to the split, pushed."""
    run(folder, "git", "switch", "-q", "-c", f"{who}-branch")
    raw = sorted((folder / "data" / "raw" / "real").iterdir())[number]
    portrait = Image.open(raw).transpose(Image.Transpose.FLIP_TOP_BOTTOM).convert("RGB")
    portrait.save(folder / "data" / "team" / "real" / f"{who}.png")
    run(folder, *documented("dvc add data/team"))
    run(folder, "dvc", "repro", "split")
    commit(folder, f"{who} adds a portrait")
    run(folder, *documented("dvc push --run-cache"))
    run(folder, "git", "push", "-q", "-u", "origin", f"{who}-branch")


def test_two_people_add_images_and_change_parameters_and_merge(team):
    dee = clone(team / "rffd.git", team / "dee")
    run(dee, "git", "switch", "-q", "-c", "photographs")
    run(dee, *documented("dvc pull --run-cache"))
    run(dee, *documented("mkdir -p data/team"))
    pictures = str(dee / "data" / "raw")
    run(dee, *documented("cp -r ~/portraits/real ~/portraits/fake data/team/", {"~/portraits": pictures}))
    run(dee, *documented("dvc add data/team"))
    run(dee, *documented('git add data/team.dvc data/.gitignore && git commit -m "The team\'s portraits"'))
    run(dee, *documented("dvc push data/team.dvc"))
    set_params(dee, {"data.source": "folder", "data.path": "data/team"})
    run(dee, "dvc", "repro", "split")
    commit(dee, "from the team's folder")
    run(dee, *documented("dvc push --run-cache"))
    run(dee, "git", "push", "-q", "-u", "origin", "photographs")

    eli = clone(team / "rffd.git", team / "eli")
    run(eli, "git", "switch", "-q", "photographs")
    run(eli, *documented("dvc pull --run-cache"), check=False)  # stages after split have no outputs for these images
    assert stages_run(run(eli, "dvc", "repro", "split").stdout) == []
    set_params(dee, {"train.epochs": 3})
    add_images(dee, "dee", 1)
    set_params(eli, {"train.learning_rate": 5e-4, "split.seed": 1})
    add_images(eli, "eli", 7)

    run(dee, "git", "fetch", "-q")
    run(dee, "git", "branch", "their-branch", "origin/eli-branch")
    run(dee, *documented('git config merge.dvc.driver "dvc git-hook merge-driver --ancestor %O --our %A --their %B"'))
    run(dee, *documented("git switch their-branch && dvc fetch data/team.dvc && git switch -"))
    merged = run(dee, *documented("git merge their-branch"), check=False)
    assert merged.returncode == 1
    conflicts = set(re.findall(r"CONFLICT \(content\): Merge conflict in (\S+)", merged.stdout))
    assert "dvc.lock" in conflicts
    assert conflicts <= {
        "dvc.lock",
        "metrics/catalog.json",
        "metrics/split.json",
        "data/catalog.csv",
        "data/splits.csv",
    }
    for name in conflicts:  # readable: whole rows, or whole lines of JSON and YAML
        assert re.search(r"^<<<<<<< HEAD$", (dee / name).read_text(), re.MULTILINE)
    params = (dee / "params.yaml").read_text()
    assert "learning_rate: 0.0005" in params and "epochs: 3" in params and "seed: 1" in params

    run(dee, *documented("git checkout --ours -- dvc.lock metrics plots data/catalog.csv data/splits.csv"))
    run(dee, *documented("dvc checkout data/team.dvc"))
    run(dee, "dvc", "repro", "split")
    catalog = (dee / "data" / "catalog.csv").read_text()
    assert "real/dee.png" in catalog and "real/eli.png" in catalog and "<<<<" not in catalog
    run(dee, *documented("git add dvc.lock metrics plots data"))
    run(dee, *documented('git commit -m "Merge their-branch"'))
    assert not run(dee, "git", "status", "--porcelain").stdout
    assert stages_run(run(dee, "dvc", "repro", "split").stdout) == []


@contextlib.contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """An S3-compatible server on this machine with an empty bucket; its address."""
    moto_server = pytest.importorskip("moto.server")
    import boto3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{port}"
    try:
        names = {"aws_access_key_id": "nobody", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=address, **names).create_bucket(Bucket=bucket)
        yield address
    finally:
        server.stop()


def objects(address: str) -> int:
    """How many files the bucket holds."""
    import boto3

    names = {"aws_access_key_id": "nobody", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    pages = boto3.client("s3", endpoint_url=address, **names).get_paginator("list_objects_v2")
    return sum(len(page.get("Contents", [])) for page in pages.paginate(Bucket="bucket"))


def test_two_thousand_images_travel_by_s3(tmp_path):
    """Pushed, pulled with the run cache, nothing to run; what no branch uses is collected on the server, too."""
    here, there = make_workspace(tmp_path / "here"), tmp_path / "there"
    set_params(here, {"data.source": "folder", "data.path": "data/team"})
    draw_images(here / "data" / "team", 2000)
    run(here, "dvc", "add", "-q", "data/team")
    run(here, "dvc", "repro", "-q", "acquire")

    with s3_server("bucket") as address:
        run(here, *documented("dvc remote add --default storage s3://bucket/rffd"))
        small = {"https://s3.example.org": address}
        run(here, *documented("dvc remote modify storage endpointurl https://s3.example.org", small))
        run(here, *documented("dvc remote modify --local storage access_key_id ID", {"ID": KEYS["AWS_ACCESS_KEY_ID"]}))
        secret = {"KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
        run(here, *documented("dvc remote modify --local storage secret_access_key KEY", secret))
        commit(here, "2,000 images")
        run(here, "dvc", "push", "--run-cache", "data/team.dvc", "acquire")
        assert objects(address) > 2000
        elsewhere = ("HEAD", "--", ".", ":!tests")  # this file names it
        held = run(here, "git", "grep", "-l", KEYS["AWS_SECRET_ACCESS_KEY"], *elsewhere, check=False).stdout
        assert not held, "credentials stay out of git"

        run(tmp_path, "git", "clone", "-q", "here", "there")
        refused = run(there, "dvc", "pull", "data/team.dvc", check=False)
        assert refused.returncode and "redential" in refused.stdout and "Traceback" not in refused.stdout
        run(there, "dvc", "pull", "--run-cache", "data/team.dvc", "acquire", **KEYS)
        assert len(list((there / "data" / "raw").rglob("*.png"))) == 2000
        assert stages_run(run(there, "dvc", "repro", "acquire").stdout) == []

        for label in ("real", "fake"):
            shutil.rmtree(here / "data" / "team" / label)
        draw_images(here / "data" / "team", 20, prefix="new")
        run(here, "dvc", "add", "-q", "data/team")
        run(here, "dvc", "repro", "-q", "acquire")
        run(here, "git", "checkout", "-q", "--orphan", "fresh")
        commit(here, "20 images, and no history")
        run(here, "git", "branch", "-D", "main")
        run(here, "dvc", "push", "data/team.dvc", "acquire")
        run(here, *documented("dvc gc --all-branches --all-tags --all-experiments --cloud --dry"))
        assert objects(address) > 2000
        sure = {"--cloud": "--cloud --force"}
        run(here, *documented("dvc gc --all-branches --all-tags --all-experiments --cloud", sure))
        assert 20 <= objects(address) < 200
        shutil.rmtree(here / ".dvc" / "cache")
        run(here, "dvc", "pull", "data/team.dvc", "acquire")
        assert len(list((here / "data" / "team").rglob("*.png"))) == 20
