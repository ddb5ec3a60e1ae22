"""The Space holds all that it imports, and names what it needs from elsewhere."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from ruamel.yaml import YAML

from rffd.space import LIBRARY, REQUIREMENTS, START, modules, write_space
from tests.pipeline_code import ROOT

NOT_CALLED = {"ruamel"}  # reads params.yaml, which a page has not
BROUGHT = {"gradio", "httpx2", "cycler"}  # by the Space's sdk_version, by huggingface_hub, by matplotlib


@pytest.fixture
def space(tmp_path):
    pytest.importorskip("gradio", reason="needs Gradio: pip install 'rffd[app]'")
    write_space(tmp_path, model="someone/faces", tag="v0.1.0")
    return tmp_path


def test_its_front_matter_is_what_the_hub_reads(space):
    import gradio

    front = YAML(typ="safe").load((space / "README.md").read_text().split("---")[1])
    assert front["sdk"] == "gradio" and front["sdk_version"] == gradio.__version__
    assert front["models"] == ["someone/faces"]
    assert (space / front["app_file"]).is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={front['python_version']}"  # a Space's own default is older
    assert isinstance(front["python_version"], str)  # 3.10 as a number is 3.1
    assert len(front["short_description"]) <= 60


def test_everything_it_imports_is_in_it_or_pinned(space):
    lines = (space / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines)
    assert set(pins) == set(REQUIREMENTS) and all(pins.values())
    assert not {"torch", "transformers", "dvc"} & set(pins)
    constraints = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert pins.items() <= constraints.items()

    distributions, missing = packages_distributions(), set()
    for name in modules(START):
        for node in ast.walk(ast.parse((LIBRARY / f"{name}.py").read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - BROUGHT - NOT_CALLED:
                if top == "rffd":
                    continue
                if not {found.lower() for found in distributions.get(top, [])} & set(pins):
                    missing.add(f"rffd/{name}.py: {top}")
    assert not missing
    assert sorted(p.stem for p in (space / "rffd").glob("*.py")) == modules(START)
