"""What the project shows to git hosts, hooks and citers: each file parses, and says what it should."""

import os
import re
import shutil
import subprocess
import tomllib

import pytest
from ruamel.yaml import YAML

from rffd import __version__
from tests.large_files import EMBEDDED_LIMIT, LIMIT, complaints, tracked
from tests.pipeline_code import ROOT


def load(name: str):
    return YAML(typ="safe").load(ROOT / name)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_git_holds_nothing_large():
    assert complaints(ROOT, tracked(ROOT)) == []


def test_the_guard_refuses_weights_anywhere_but_where_they_are_embedded(tmp_path):
    for name, size in (("a.bin", LIMIT + 1), ("b.bin", LIMIT), ("rffd/embedded/w.safetensors", EMBEDDED_LIMIT)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"0" * size)
    names = ["a.bin", "b.bin", "rffd/embedded/w.safetensors", "deleted.bin"]
    assert [line.split(":")[0] for line in complaints(tmp_path, names)] == ["a.bin"]
    (tmp_path / "rffd/embedded/more.bin").write_bytes(b"0")
    assert len(complaints(tmp_path, [*names, "rffd/embedded/more.bin"])) == 2


def test_hooks_are_local_and_their_programs_exist():
    hooks = [hook for repo in load(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in load(".pre-commit-config.yaml")["repos"]} == {"local"}
    assert {"ruff-check", "ruff-format", "types", "large-files"} <= {hook["id"] for hook in hooks}
    for hook in hooks:
        assert shutil.which(hook["entry"].split()[0].removeprefix(".venv/bin/")), hook["id"]
        for module in re.findall(r"-m (tests[.\w]+)|(tests/\w+\.py)", hook["entry"]):
            name = module[1] or module[0].replace(".", "/") + ".py"
            assert (ROOT / name).is_file(), name
        re.compile(hook.get("files", ""))


def test_the_workflow_runs_the_same_checks_audits_and_posts_the_figures():
    workflow = load(".github/workflows/checks.yml")
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    text = "\n".join(runs)
    for needed in (".ci/run", "pip-audit", "dvc metrics diff main --md", "gh pr comment"):
        assert needed in text, needed
    for script in runs:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        assert "${{" not in script, "values reach a script by its environment, where they can't be code"
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 45
        for step in job["steps"]:
            assert "run" in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_ci_lints_and_tests():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    called = {target for line in re.findall(r"^make (.+)$", script, re.MULTILINE) for target in line.split()}
    assert {"lint", "test"} <= called <= make_targets()
    command = ["make", "-n", "-o", ".venv/.ready", "lint"]
    lint = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "MAKEFLAGS": ""}, capture_output=True, text=True, check=True
    )
    for each in ("ruff check .", "ruff format --check .", "mypy rffd"):
        assert each in lint.stdout, each


def test_the_citation_is_of_this_version():
    citation = load("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert {"message", "title", "authors", "license"} <= set(citation)
    assert citation["license"] == "MIT" and (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(operator and re.fullmatch(r"[\w.]+", version) for _, operator, version in pinned), "name==version"
    names = {canonical(name) for name, _, _ in pinned}
    needed = [
        *project["dependencies"],
        *(need for extra in project["optional-dependencies"].values() for need in extra),
    ]
    assert not {canonical(re.split(r"[\[<>=; ]", need)[0]) for need in needed} - names - {"rffd"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data/NOTICE.md", *sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")
)])  # fmt: skip
def test_every_link_of_a_document_leads_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", text):
        assert not target or (ROOT / name).parent.joinpath(target).exists(), target
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]*)\)", text):
        where = (ROOT / name).parent / target if target else ROOT / name
        headings = re.findall(r"^#+ (.+)$", where.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, f"{target}#{anchor}"
