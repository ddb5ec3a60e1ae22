"""README and docs/howto.md, followed command by command on the small size of the pipeline."""

import contextlib
import csv
import json
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest
from PIL import Image

from tests.documented import documented
from tests.hub_server import HubServer
from tests.pipeline_code import ROOT
from tests.workspace import environment, run, stages_run

pytestmark = pytest.mark.slow

SMALL_PROFILE = """# A profile as README describes it: one override a line, with its reason.
data.expect.real=null  # not the whole dataset
data.expect.fake=null
search.trials=0  # fixed values
train.epochs=1
"""


def test_the_first_look(workspace):
    """README, 1: what comes out exists, the model answers, DVC draws; running again does nothing."""
    assert "to the last digit" in run(workspace, *documented("make repro")).stdout
    for path in ("metrics/evaluate.json", "report.html", "plots/explain", "models/package/onnx/model.onnx"):
        assert (workspace / path).exists(), path
    run(workspace, *documented("source .venv/bin/activate"))
    run(workspace, *documented("export RFFD_SCRATCH=$PWD/.scratch"))
    assert "fake/" in run(workspace, *documented("rffd predict data/raw/fake")).stdout
    answers = json.loads(run(workspace, *documented("rffd predict data/raw --json")).stdout)
    assert len(answers) == 120
    assert {"path", "verdict", "probability", "regions"} <= set(answers[0])
    run(workspace, *documented("dvc plots show"))
    assert (workspace / "dvc_plots" / "index.html").stat().st_size > 10_000
    assert not run(workspace, "git", "status", "--porcelain").stdout, "nothing that git should hold or ignore is left"
    assert run(workspace, *documented('python -c "import torch; print(torch.cuda.is_available())"')).stdout


def test_other_data_and_the_way_back(workspace, tmp_path):
    """README, 2 and 3: a zip as Kaggle lays it out, a folder, and back to what is committed."""
    committed = (workspace / "metrics" / "evaluate.json").read_text()
    source = tmp_path / "photographs" / "real_and_fake_face"
    for label in ("real", "fake"):
        shutil.copytree(workspace / "data" / "raw" / label, source / f"training_{label}")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "photographs")
    shutil.copytree(workspace / "models" / "backbone", tmp_path / "vit")
    (tmp_path / "small.txt").write_text(SMALL_PROFILE)
    real = {
        "~/Downloads/archive.zip": archive,
        "~/vit-tiny": str(tmp_path / "vit"),
        "profiles/ciplab-cpu.txt": str(tmp_path / "small.txt"),
    }
    command = "make real DATA=~/Downloads/archive.zip BACKBONE=~/vit-tiny PROFILE=profiles/ciplab-cpu.txt"
    output = run(workspace, *documented(command, real)).stdout
    assert "archive: 60 real and 60 fake images" in output
    assert "models/package" in output, "it ends with the summary"
    assert (workspace / "metrics" / "evaluate.json").read_text() != committed
    run(workspace, *documented("git restore . && dvc checkout"))
    assert (workspace / "metrics" / "evaluate.json").read_text() == committed
    assert stages_run(run(workspace, "dvc", "repro").stdout) == []

    own = tmp_path / "own"
    for label in ("real", "fake"):
        (own / label).mkdir(parents=True)
        for i, path in enumerate(sorted((workspace / "data" / "raw" / label).iterdir())):
            shutil.copy(path, own / label / f"portrait {i}.JPG")
    (own / "real" / "broken.jpg").write_bytes(b"")
    command = "dvc exp run -S data.source=folder -S data.path=/absolute/folder -S search.trials=0"
    small = {"/absolute/folder": str(own), "-S search.trials=0": "-S search.trials=0 catalog"}  # as far as it differs
    run(workspace, *documented(command, small))
    with (workspace / "data" / "catalog.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["reason"]) for row in rows if row["path"] == "real/broken.jpg"] == [
        ("set aside", "empty file (0 bytes)")
    ]
    assert len(rows) == 121


def test_a_stage_is_added_as_the_how_to_says(workspace):
    """Its code and its lines of dvc.yaml, as they stand there."""
    how_to = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    code, lines = (re.search(rf"```{kind}\n(.*?)```", how_to, re.DOTALL)[1] for kind in ("python", "yaml"))
    (workspace / "stages" / "sizes.py").write_text(code)
    pipeline = (workspace / "dvc.yaml").read_text()
    (workspace / "dvc.yaml").write_text(pipeline.replace("stages:\n", f"stages:\n{lines}", 1))
    run(workspace, *documented("make deps"))
    assert "rffd/catalog.py" in (workspace / "dvc.yaml").read_text().split("sizes:")[1].split("outs:")[0]
    assert stages_run(run(workspace, *documented("dvc repro sizes")).stdout) == ["sizes"]
    assert (workspace / "plots" / "sizes.csv").read_text() == "width,height,images\n128,128,120\n"
    assert stages_run(run(workspace, *documented("dvc repro explore train")).stdout) == []
    run(workspace, *documented("make reference"))
    assert "train.learning_rate" in (workspace / "docs" / "reference.md").read_text()


def test_queueing_takes_what_the_documents_say(workspace):
    """Each grid is queued in full; tests/test_pipeline.py runs one."""
    for command, tasks in (
        ("dvc exp run -S 'train.learning_rate=1e-5,3e-5' --queue", 2),
        ("dvc exp run --queue -S 'fit.region_weight=0,1' -S 'train.learning_rate=1e-5,3e-5'", 4),
        ("dvc exp run --queue -S 'train.learning_rate=1e-5,3e-5,1e-4'", 3),
    ):
        run(workspace, *documented(command))
        assert run(workspace, *documented("dvc queue status")).stdout.count("Queued") == tasks
        run(workspace, "dvc", "queue", "remove", "--all")
    run(workspace, *documented("dvc queue start"))  # nothing is left to run


def test_a_page_is_served(finished):
    pytest.importorskip("gradio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = documented("rffd serve", {"rffd serve": f"exec rffd serve --port {port}"})
    with subprocess.Popen(words, cwd=finished, env=environment(), stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 120
            while True:
                with contextlib.suppress(OSError):
                    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
                    break
                assert server.poll() is None and time.monotonic() < deadline, "no page"
                time.sleep(0.3)
        finally:
            server.send_signal(signal.SIGTERM)
    assert b"photoshopped" in page


def test_the_model_is_published(workspace, tmp_path):
    """Against a server on this machine that speaks the Hub's protocol; tests/test_hub.py has its faults."""
    with HubServer() as hub:
        there = {**hub.environment(tmp_path / "hf", "hf_write_secret"), "HF_HUB_OFFLINE": "0"}
        names = {"OWNER/NAME": "someone/faces"}
        plan = run(workspace, *documented("rffd publish --repository OWNER/NAME", names), **there).stdout
        assert "model.safetensors" in plan and "Nothing was done" in plan
        assert not hub.repositories
        command = "rffd publish --repository OWNER/NAME --tag v0.1.0 --yes"
        assert "published and checked" in run(workspace, *documented(command, names), **there).stdout
        again = run(workspace, *documented("rffd publish --repository OWNER/NAME --yes", names), **there).stdout
        assert "Nothing to do" in again
        page = names | {"OWNER/PAGE": "someone/page"}
        command = "rffd publish --repository OWNER/NAME --space OWNER/PAGE --tag v0.1.0"
        assert "app.py" in run(workspace, *documented(command, page), **there).stdout
        command = "rffd publish --repository OWNER/NAME --space OWNER/PAGE --tag v0.1.0 --yes"
        assert "published and checked" in run(workspace, *documented(command, page), **there).stdout
        picture = next((workspace / "data" / "raw" / "fake").iterdir())
        shutil.copy(picture, workspace / "portrait.jpg")
        command = "rffd predict portrait.jpg --model OWNER/NAME@v0.1.0"
        assert "portrait.jpg" in run(workspace, *documented(command, names), **there).stdout


def test_a_version_is_registered_and_taken(workspace, tmp_path):
    run(tmp_path, "git", "init", "-q", "--bare", "-b", "main", "origin.git")
    run(workspace, "git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    run(workspace, "git", "push", "-q", "-u", "origin", "main")
    run(workspace, "dvc", "remote", "add", "-q", "-d", "storage", str(tmp_path / "storage"))
    run(workspace, *documented('git add -A && git commit -m "A detector for v0.1.0"'))
    run(workspace, *documented("dvc push"))
    run(workspace, *documented("gto register detector --version v0.1.0"))
    assert "v0.1.0" in run(workspace, *documented("gto show detector")).stdout
    run(workspace, *documented("git push && git push --tags"))
    run(tmp_path, "git", "clone", "-q", "origin.git", "other")
    address = {"https://example.org/team/rffd.git": str(tmp_path / "origin.git")}
    command = "dvc artifacts get https://example.org/team/rffd.git detector --rev v0.1.0 --out detector"
    run(tmp_path / "other", *documented(command, address))
    shutil.copy(next((workspace / "data" / "raw" / "fake").iterdir()), tmp_path / "other" / "portrait.jpg")
    shown = run(tmp_path / "other", *documented("rffd predict portrait.jpg --model detector")).stdout
    assert "portrait.jpg" in shown


def test_pictures_of_all_ways_are_answered(workspace):
    """docs/deploy.md: a file, a folder, a glob, names from a pipe, JSON, heat maps."""
    raw = sorted((workspace / "data" / "raw" / "fake").iterdir())
    (workspace / "album").mkdir()
    (workspace / "scans" / "deep").mkdir(parents=True)
    shutil.copy(raw[0], workspace / "portrait.jpg")
    shutil.copy(raw[1], workspace / "album" / "one.jpg")
    Image.open(raw[2]).save(workspace / "scans" / "deep" / "two.png")
    assert "portrait.jpg" in run(workspace, *documented("rffd predict portrait.jpg")).stdout
    shown = run(workspace, *documented("rffd predict album/ 'scans/**/*.png'")).stdout
    assert "one.jpg" in shown and "two.png" in shown
    assert len(json.loads(run(workspace, *documented("rffd predict album/ --json")).stdout)) == 1
    shutil.rmtree(workspace / "data" / "raw")
    piped = run(workspace, *documented("find . -name '*.jpg' | rffd predict - --csv")).stdout
    assert "portrait.jpg" in piped and "one.jpg" in piped
    run(workspace, *documented("rffd predict album/ --explain heat/"))
    assert len(list((workspace / "heat").iterdir())) == 1
