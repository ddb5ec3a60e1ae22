"""Every command that README and docs show is run by a test, or named as an exception that at least parses."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.documented import DOCUMENTS, NOT_RUN_HERE, commands, run_by_tests, shell_blocks
from tests.pipeline_code import ROOT
from tests.test_project_files import make_targets

EXTERNAL = {"pre-commit", "optuna-dashboard"}  # programs that a line before it in the same document installs


def test_the_documents_show_commands():
    shown = set(commands().values())
    assert {"README.md", "CONTRIBUTING.md", "docs/howto.md", "docs/search.md"} <= shown


def test_blocks_are_found_fenced_and_indented_and_comments_are_no_part():
    text = "a\n\n```bash\nmake repro   # all\n```\n\ntext\n\n    dvc repro\n    make x\n\n    no: command\n"
    assert shell_blocks(text) == ["make repro   # all\n", "dvc repro\nmake x"]


def test_each_is_run_by_a_test_or_named_as_an_exception():
    lonely = {c: document for c, document in commands().items() if c not in {*NOT_RUN_HERE, *run_by_tests()}}
    assert not lonely, "run each in a test by `documented(...)`, or say in tests/documented.py why that can't be"


def test_no_exception_is_left_over():
    assert set(NOT_RUN_HERE) <= set(commands())
    assert not set(NOT_RUN_HERE) & run_by_tests()


@pytest.mark.parametrize("command", NOT_RUN_HERE)
def test_an_exception_exists_and_parses(command):
    subprocess.run(["bash", "-n"], input=command, text=True, check=True)
    program, *words = shlex.split(command)
    if program == "make":
        assert {word for word in words if "=" not in word} <= make_targets()
        run_dry = ["make", "-n", "-o", ".venv/.ready", *words]
        subprocess.run(run_dry, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "MAKEFLAGS": ""})
    elif program == "dvc":
        from dvc.cli import parse_args

        parse_args(words)
        known = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
        for override in re.findall(r"-S '?([\w.]+)=", command):
            assert f"`{override}`" in known, override
        for file in re.findall(r"=([\w-]+\.yaml)", command):
            assert (ROOT / file).is_file()
    elif program == "pip":
        assert words[0] == "install"
        extras = re.findall(r"\.\[(\w+)\]", command)
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras)
        for file in re.findall(r"-c (\S+)", command):
            assert (ROOT / file).is_file()
    elif program == "rffd":
        from rffd.cli import _parser

        _parser().parse_args(words)
    else:
        assert program in EXTERNAL
        where = (ROOT / commands()[command]).read_text(encoding="utf-8")
        assert where.index(f"pip install {program}") < where.index(command)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_running_text_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for span in spans:
        if span.startswith("make ") and "." not in span.split()[1]:
            assert span.split()[1] in make_targets(), span
        if span.startswith("rffd ") and span.split()[1].islower():
            assert f'add_parser("{span.split()[1]}"' in Path(ROOT / "rffd" / "cli.py").read_text(encoding="utf-8"), span
        if match := re.match(r"python -m ([\w.]+)", span):
            assert any((ROOT / match[1].replace(".", "/")).with_suffix(s).exists() for s in (".py", "")), span
