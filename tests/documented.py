"""The commands that README and docs show, and the promise that each is run by a test or named here as an exception.

A test runs one as `run(folder, *documented("dvc repro sizes"))`: the command word for word, so that it fails when the
document changes, with `small` saying what is replaced by something small or local. `tests/test_documented.py` finds
these calls in the tests' syntax trees and compares them with the documents.
"""

import ast
import functools
import re
import sys

from tests.pipeline_code import ROOT

_PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *_PAGES)
PROGRAMS = ("make", "dvc", "git", "gto", "rffd", "pip", "python", "docker", "huggingface-cli", "hf", "optuna-dashboard")
MAKE = "make -o .venv/.ready"  # a workspace of the tests runs in the tests' own environment, and sets none up

# What no test runs, and why. Each is checked to exist and to parse; see tests/test_documented.py.
NOT_RUN_HERE = {
    "make test": "this is it",
    "make check": "a part of make test",
    "make lint": "CI runs it beside make test",
    "make coverage": "every test once more, slower",
    "make setup": "make test begins with it; another environment would cost minutes",
    "make real": "needs Kaggle, the Hub and a GPU; with DATA and BACKBONE it is run",
    "pip install -e '.[s3]' -c constraints.txt": "the tests' own environment has it",
    "pip install pre-commit": "installs into the environment that runs the tests",
    "pre-commit install": "not among the pinned packages; tests/test_project_files.py tries what the hooks call",
    "pip install optuna-dashboard": "installs into the environment that runs the tests",
    'optuna-dashboard "$(ls -t .scratch/search/*/journal.log | head -1)"': "not among the pinned packages",
    "pip install -e '.[app]' -c constraints.txt": "the tests' own environment has it",
    "rffd serve --host 0.0.0.0 --port 8080": "opens this machine to its network; `rffd serve` is run",
    "dvc exp run -S launch.processes=2 -S launch.config=accelerate-multi-gpu.yaml": "needs two GPUs",
    "dvc exp run -S fit.mixed_precision=auto -S fit.gradient_accumulation=2": "for a GPU; tests/test_fit.py has both",
}


@functools.cache
def commands() -> dict[str, str]:
    """Every command of the documents' shell blocks, without its comment, and the document that shows it."""
    found: dict[str, str] = {}
    for name in DOCUMENTS:
        for block in shell_blocks((ROOT / name).read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.sub(r"\s+#\s.*$", "", line).strip()
                if command and not command.startswith("#"):
                    found.setdefault(re.sub(r"\s+", " ", command), name)
    return found


def shell_blocks(text: str) -> list[str]:
    """The fenced blocks marked bash, sh or console, and the indented ones that begin with a known program."""
    blocks = re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:^\n|\A)((?:^ {4}.*\n)+)", outside, re.MULTILINE):
        lines = [line[4:] for line in block.splitlines()]
        if lines[0].split()[:1] and lines[0].split()[0] in PROGRAMS:
            blocks.append("\n".join(lines))
    return blocks


def documented(command: str, small: dict[str, str] | None = None) -> list[str]:
    """The words that run a documented command in a shell; `small` replaces what is too large or far away in it."""
    assert command in commands(), f"no document shows {command!r} any more; run what it shows now"
    words = command
    for old, new in (small or {}).items():
        assert old in words, f"{old!r} is not in {command!r}"
        words = words.replace(old, new)
    words = re.sub(r"(^|&& )make ", rf"\1{MAKE} ", words).replace(".venv/bin/activate", f"{sys.prefix}/bin/activate")
    return ["bash", "-euc", words]


@functools.cache
def run_by_tests() -> set[str]:
    """The commands that tests hand to `documented`: texts that are a command word for word, in tests that call it."""
    found: set[str] = set()
    for path in (ROOT / "tests").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        if any(isinstance(node, ast.Call) and getattr(node.func, "id", "") == "documented" for node in nodes):
            found |= {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found & set(commands())
