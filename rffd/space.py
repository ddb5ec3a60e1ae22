"""A Hugging Face Space: the page of `rffd serve` with the modules that it needs, answering from a published model."""

import ast
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rffd.errors import RffdError
from rffd.manifest import write_checksums
from rffd.publishing import read_remote

LIBRARY = Path(__file__).parent
START = ("app", "hub", "prediction")  # what the Space's app.py imports
REQUIREMENTS = ("huggingface_hub", "matplotlib", "numpy", "onnxruntime", "opencv-python-headless", "pillow", "rich")
APP = '''"""Was this portrait photoshopped? The model is downloaded from its own repository; no torch is needed."""

from rffd.app import serve
from rffd.hub import download_model
from rffd.prediction import open_package

MODEL, REVISION = "{model}", "{tag}"

if __name__ == "__main__":
    serve(open_package(download_model(MODEL, REVISION)))
'''
README = """---
title: Was this portrait photoshopped?
emoji: 🔎
colorFrom: green
colorTo: red
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
models:
- {model}
license: cc-by-nc-sa-4.0
short_description: Real or photoshopped portrait, and where
---

The page of [{model}](https://huggingface.co/{model}), at its version {tag}. What the model is for, and what it can't
do, stands on its card.
"""


def write_space(folder: Path, *, model: str, tag: str) -> None:
    """Write the Space that answers from the published `model` at `tag` into an empty folder."""
    (folder / "app.py").write_text(APP.format(model=model, tag=tag), encoding="utf-8")
    readme = README.format(model=model, tag=tag, gradio=installed("gradio"))
    (folder / "README.md").write_text(readme, encoding="utf-8")
    pins = "".join(f"{name}=={installed(name)}\n" for name in REQUIREMENTS)
    (folder / "requirements.txt").write_text(pins, encoding="utf-8")
    (folder / "rffd" / "templates").mkdir(parents=True)
    for name in modules(START):
        shutil.copyfile(LIBRARY / f"{name}.py", folder / "rffd" / f"{name}.py")
    for path in (LIBRARY / "templates" / "limits.md", *sorted((LIBRARY / "templates").glob("example_*.jpg"))):
        shutil.copyfile(path, folder / "rffd" / "templates" / path.name)
    write_checksums(folder)


def check_model(model: str, tag: str) -> list[str]:
    """What else the page needs, a line each; the model not being on the Hub in that version is an error."""
    remote = read_remote(model)
    if tag not in remote.tags:
        what = f"no version {tag} is on the Hub" if remote.head else "not on the Hub, or not visible to this token"
        raise RffdError(
            f"{model}: {what}; publish the model first: rffd publish --repository {model} --tag {tag} --yes"
        )
    if remote.private:
        return [f"{model} is private: give the page a secret HF_TOKEN that may read it (on the Hub, in its settings)"]
    return []


def modules(start: tuple[str, ...]) -> list[str]:
    """The library's modules that `start` reach through their imports, `__init__` included, sorted."""
    found, waiting = {"__init__"}, list(start)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for node in ast.walk(ast.parse((LIBRARY / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "rffd":
                waiting += [alias.name for alias in node.names if (LIBRARY / f"{alias.name}.py").is_file()]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rffd."):
                waiting.append(str(node.module).removeprefix("rffd."))
    return sorted(found)


def installed(package: str) -> str:
    """The version of a package that this project was tried with, without a local suffix."""
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        raise RffdError(
            f"a Space names the version of {package}, which is not installed: pip install 'rffd[app]'"
        ) from None
