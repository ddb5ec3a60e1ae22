"""The command line: the contract that other programs rely on."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rffd.cli import _parser, main
from rffd.finding import find_images
from rffd.names import REGIONS
from tests.packages import packaged

ROOT = Path(__file__).resolve().parents[1]


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    try:
        status = main(["predict", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


@pytest.fixture
def model():
    return ("--model", packaged().package)


def test_json_is_one_list_of_objects(capsys, model):
    status, out, err = run(capsys, packaged().raw, "--json", *model)
    assert (status, err) == (0, "")
    answers = json.loads(out)
    assert [answer["path"] for answer in answers] == sorted(str(p) for p in packaged().raw.rglob("*.jpg"))
    for answer in answers:
        assert set(answer) == {"path", "verdict", "probability", "regions", "region_probabilities"}
        assert answer["verdict"] in ("real", "fake", "unsure")
        assert 0 <= answer["probability"] <= 1
        assert set(answer["regions"]) <= set(REGIONS) == set(answer["region_probabilities"])


def test_csv_has_a_heading_and_a_line_a_picture(capsys, model):
    status, out, _ = run(capsys, packaged().raw / "real", "--csv", *model)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert len(rows) == 6
    assert list(rows[0]) == ["path", "verdict", "probability", "regions", *REGIONS]


def test_the_table_names_verdict_probability_regions_and_picture(capsys, model):
    status, out, _ = run(capsys, packaged().raw / "real" / "real_00000.jpg", *model)
    heading, line = out.splitlines()
    assert status == 0
    assert heading.split()[:2] == ["verdict", "fake"]
    assert line.split()[0] in ("real", "fake", "unsure")
    assert line.endswith("real_00000.jpg")


def test_a_name_cant_steer_the_terminal(capsys, tmp_path, model):
    odd = tmp_path / "a\x1b[2J\n.jpg"
    odd.write_bytes((packaged().raw / "real" / "real_00000.jpg").read_bytes())
    out = run(capsys, odd, *model)[1]
    assert out.splitlines()[1].endswith("a\\x1b[2J\\n.jpg")
    assert json.loads(run(capsys, odd, "--json", *model)[1])[0]["path"] == str(odd)


def test_some_unreadable_is_status_1_one_line_each_and_the_rest_goes_on(capsys, tmp_path, model):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "line\nbreak.jpg").write_bytes(b"")
    good = packaged().raw / "real" / "real_00000.jpg"
    status, out, err = run(capsys, tmp_path, tmp_path / "none.png", good, "--json", *model)
    assert status == 1
    assert [answer["path"] for answer in json.loads(out)] == [str(good)]
    assert len(err.splitlines()) == 3
    assert all(line.startswith("error: ") for line in err.splitlines())


@pytest.mark.parametrize(
    "arguments", [[], ["--json"], ["x.jpg", "--json", "--csv"], ["x.jpg", "--nonsense"], ["x.jpg", "--model", "/none"]]
)
def test_wrong_usage_is_status_2(capsys, arguments):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err


def test_a_model_that_is_not_made_yet_is_one_clear_line(capsys, tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").write_text("artifacts:\n  detector:\n    path: models/package\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    status, _, err = run(capsys, "x.jpg")
    assert status == 2
    assert err == (
        "error: ../models/package: no model there yet; run `make repro`, or `dvc pull ../models/package` if it was "
        "pushed\n"
    )
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    assert "--model" in run(capsys, "x.jpg")[2]


def test_the_default_model_is_the_artifact_of_dvc_yaml(capsys, tmp_path, monkeypatch):
    path = packaged().package
    (tmp_path / "dvc.yaml").write_text(f"artifacts:\n  detector:\n    path: {path}\n")
    monkeypatch.chdir(tmp_path)
    assert run(capsys, packaged().raw / "real" / "real_00000.jpg")[0] == 0


def test_a_folder_without_images_is_told_and_the_json_stays_valid(capsys, tmp_path, model):
    status, out, err = run(capsys, tmp_path, "--json", *model)
    assert (status, json.loads(out)) == (1, [])
    assert err.startswith(f"error: no images in {tmp_path}")


def test_explain_writes_a_picture_each_also_for_equal_names(capsys, tmp_path, model):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.jpg").write_bytes((packaged().raw / "real" / "real_00000.jpg").read_bytes())
    assert run(capsys, tmp_path / "a", tmp_path / "b", "--explain", tmp_path / "out", *model)[0] == 0
    assert len(list((tmp_path / "out").glob("same-*.png"))) == 2


def test_a_folder_for_heat_maps_that_cant_be_made_is_one_line(capsys, tmp_path, model):
    (tmp_path / "file").write_text("in the way")
    status, out, err = run(capsys, packaged().raw, "--explain", tmp_path / "file" / "out", *model)
    assert (status, out) == (1, "")
    assert err == f"error: --explain {tmp_path}/file/out: no folder can be made there (Not a directory)\n"


@pytest.mark.parametrize(
    "words",
    [
        ["publish", "--repository", "noowner"],
        ["publish", "--repository", "a/b/c"],
        ["publish", "--space", "page"],
        ["publish", "--tag", "v 1"],
        ["publish", "--private", "--public"],
        ["serve", "--port", "70000"],
        ["serve", "--port", "http"],
    ],
)
def test_an_argument_that_cant_be_is_told_before_anything_is_done(capsys, words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert words[1] in capsys.readouterr().err.splitlines()[-1]


def test_every_command_that_the_documentation_shows_is_understood():
    shown = []
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "rffd" / "templates").glob("*.md")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if command := re.match(r"(?:.*\| )?(rffd [a-z].*)$", line):
                shown.append(shlex.split(command[1], comments=True)[1:])
    assert {words[0] for words in shown} >= {"predict", "serve", "publish"}
    for words in shown:
        _parser().parse_args(words)


def test_names_come_from_standard_input_folders_and_quoted_globs(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", "notes.txt", ".hidden.jpg", ".git/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert list(find_images(["."])) == ["./a.PNG", "./b.jpg", "./deep/er/c.webp"]
    assert list(find_images(["*.jpg", "**/*.webp"])) == ["b.jpg", "deep/er/c.webp"]
    assert list(find_images(["-"], io.StringIO("b.jpg\n\ndeep\n"))) == ["b.jpg", "deep/er/c.webp"]
    Path("odd[1].jpg").touch()
    assert list(find_images(["odd[1].jpg", "gone.jpg"])) == ["odd[1].jpg", "gone.jpg"]


def test_a_reader_that_leaves_early_and_a_name_that_is_no_utf8_are_no_traceback(tmp_path):
    made = packaged()
    odd = os.fsencode(tmp_path) + b"/\xff.jpg"
    with open(odd, "wb") as file:
        file.write((made.raw / "real" / "real_00000.jpg").read_bytes())
    command = [sys.executable, "-m", "rffd.cli", "predict", "--model", str(made.package)]
    done = subprocess.run([*command, "--json", odd], capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["path"].endswith("�.jpg")
    piped = subprocess.Popen([*command, *[str(made.raw)] * 20], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    piped.stdout.readline()
    piped.stdout.close()
    assert piped.stderr.read() == b""
    assert piped.wait() == 0
