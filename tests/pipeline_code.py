"""Which modules of `rffd/` each stage reaches through its imports, and the writing of these lists to `dvc.yaml`.

Run: python -m tests.pipeline_code   (make deps)
"""

import ast
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]


def imported(path: Path) -> set[str]:
    """The project's modules that a file imports, at its top or inside of a function, as `rffd/x.py`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = Path(*name.split(".")).with_suffix(".py")
            if name.startswith("rffd.") and (ROOT / file).is_file():
                found.add(file.as_posix())
            elif (
                name == "rffd" and isinstance(node, ast.ImportFrom) and any(a.name == "__version__" for a in node.names)
            ):
                found.add("rffd/__init__.py")
    return found


def reached(start: Path) -> set[str]:
    """All modules that `start` reaches, transitively."""
    seen: set[str] = set()
    waiting = imported(start)
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting |= imported(ROOT / file)
    return seen


def templates_of(files: set[str]) -> set[str]:
    """The templates that these modules name: they are code, too."""
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in files]
    folder = ROOT / "rffd" / "templates"
    return {
        path.relative_to(ROOT).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(path.name in text for text in texts)
    }


def stage_code(stage: str) -> list[str]:
    """What `dvc.yaml` has to list as the code of a stage, sorted, its own script first."""
    files = reached(ROOT / "stages" / f"{stage}.py")
    weights = {"rffd/embedded"} if stage == "backbone" else set()  # the one stage that copies them
    return [f"stages/{stage}.py", *sorted(files | templates_of(files) | weights)]


def main() -> None:
    """Rewrite the lists of code in `dvc.yaml`; data, templated paths and comments stay."""
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    path = ROOT / "dvc.yaml"
    pipeline = yaml.load(path)
    for name, stage in pipeline["stages"].items():
        data = [dep for dep in stage["deps"] if not str(dep).startswith(("stages/", "rffd/"))]
        stage["deps"] = stage_code(name) + data
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(pipeline, file)


if __name__ == "__main__":
    main()
