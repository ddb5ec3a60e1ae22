"""What a person at a terminal sees: a bar while it takes long, one line when it is stopped or lacks something."""

import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rffd import app, cli
from rffd.errors import RffdError
from rffd.manifest import read_checksums
from rffd.params import ParamError, read_value
from rffd.prediction import open_package
from rffd.stage import run_stage
from rffd.summary import summarise
from tests.packages import packaged
from tests.pipeline_code import ROOT


def on_a_terminal(*words: str, out: int) -> tuple[int, str]:
    """The exit status of a command whose stderr is a terminal, and all that it wrote there; stdout goes to `out`."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, *words], stdout=out, stderr=theirs, cwd=ROOT)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # how Linux tells that the other side is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    return process.wait(), said.decode()


def test_predict_shows_a_bar_on_a_terminal_while_its_answers_go_to_a_file(tmp_path):
    pictures = packaged().raw / "real"
    words = ("-m", "rffd.cli", "predict", str(pictures), "--csv", "--model", str(packaged().package))
    with (tmp_path / "answers.csv").open("wb") as answers:
        status, said = on_a_terminal(*words, out=answers.fileno())
    count = len(list(pictures.glob("*.jpg")))
    assert status == 0
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == count + 1
    assert "pictures" in said and f"{count}/{count}" in said


def test_ctrl_c_is_one_line_and_no_success(capsys, monkeypatch):
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_summary", lambda _: stop())
    assert cli.main(["summary"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
    with pytest.raises(SystemExit) as end:
        run_stage(stop, [])
    assert end.value.code == "error: interrupted; run the same command again to go on"


def test_the_summary_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RffdError, match=r"dvc\.yaml: not found; run from the project's root"):
        summarise(Path("dvc.yaml"), {})
    Path("dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    with pytest.raises(RffdError, match=r"metrics/evaluate\.json: not there yet; run `make repro`"):
        summarise(Path("dvc.yaml"), {})
    Path("params.yaml").write_text("evaluate: {seed: 0}\n")
    with pytest.raises(ParamError, match=r"missing parameter 'evaluate\.targets' in params\.yaml"):
        read_value("evaluate.targets", dict[str, float])


def test_a_folder_that_is_no_package_is_named(tmp_path):
    with pytest.raises(RffdError, match=r"no packaged model \(SHA256SUMS can't be read\); run `dvc repro package`"):
        read_checksums(tmp_path)


def test_a_taken_port_and_a_missing_gradio_are_one_line(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RffdError, match=rf"can't open port {port}: .*; choose another one with --port"):
            app.serve(open_package(packaged().package), port=port, wait=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(RffdError, match=r"the page needs Gradio: pip install 'rffd\[app\]'"):
        app.import_gradio()
