"""The scratch folder: one run at a time; a second one in the same workspace stops, in another one waits."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rffd.errors import RffdError
from rffd.scratch import scratch_folder

ROOT = Path(__file__).resolve().parents[1]
HOLD = """
import sys
from rffd.scratch import scratch_folder
with scratch_folder("train", "key") as folder:
    print("held", flush=True)
    sys.stdin.readline()
    (folder / "result").write_text("done")
"""


@pytest.fixture
def holder(tmp_path, monkeypatch):
    """A process that holds `train/key` from another workspace until it is sent a line."""
    monkeypatch.setenv("RFFD_SCRATCH", str(tmp_path / "scratch"))
    (tmp_path / "elsewhere").mkdir()
    clean = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=tmp_path / "elsewhere", env=clean, **pipes)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_in_the_same_workspace_names_the_first_and_stops(holder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(RffdError, match=rf"process {holder.pid} is already at this train.*kill {holder.pid}"):
        scratch_folder("train", "key").__enter__()
    with scratch_folder("train", "other") as folder:
        assert folder.is_dir(), "another key is free"


def test_a_run_in_another_workspace_waits_says_for_whom_and_uses_the_result(holder, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    clean = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    second = subprocess.Popen([sys.executable, "-c", HOLD], cwd=tmp_path / "here", env=clean, **pipes)
    said = second.stderr.readline()
    assert f"waiting for process {holder.pid} in {tmp_path / 'elsewhere'}" in said
    time.sleep(0.2)
    assert second.poll() is None
    holder.stdin.write("\n")
    holder.stdin.flush()
    out, _ = second.communicate(timeout=60)
    assert out == "held\n"
    assert (tmp_path / "scratch" / "train" / "key" / "result").read_text() == "done"


def test_a_killed_run_leaves_the_folder_free(holder, tmp_path, monkeypatch):
    holder.kill()
    holder.wait()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with scratch_folder("train", "key") as folder:
        assert folder == tmp_path / "scratch" / "train" / "key"
