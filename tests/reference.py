"""The reference of parameters and metrics, written from the code.

Run: python -m tests.reference   (make reference; writes docs/reference.md, tests/test_reference.py holds it true)

Parameters: `params.yaml` gives default and meaning, the dataclasses of `rffd/` the type, `dvc.yaml` who reads them.
Metrics: the meaning of each name stands here, and a test compares with what a run writes.
"""

import ast
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from tests.pipeline_code import ROOT

TARGET = ROOT / "docs" / "reference.md"
LINE = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?:\s+(?P<value>[^#\s][^#]*?|\".*?\"))?(?:\s+#\s*(?P<comment>.*))?$")

WORDS = {
    **{"int": "whole number", "float": "number", "str": "text", "bool": "true | false", "None": "null", "Any": "any"},
    "Precision": "auto | no | fp16 | bf16",
}
# What each name in a metrics file means; {} stands for any text, and X_ci95 for the interval of X.
METRICS: dict[str, dict[str, str]] = {
    "catalog": {
        "images": "images that came in",
        "images_set_aside": "of these, not usable; `data/catalog.csv` says why",
        "images_real": "usable, labelled real",
        "images_fake": "usable, labelled fake",
        "unusual_header_{}": "of these, with another JPEG header than most reals have",
        "images_shared": "images that show the same photograph as another",
        "groups_shared": "groups that these form",
        "shortcut_{}_auc": "AUC of trees that see only JPEG header, bytes, shape or pixel statistics; .5 is good",
    },
    "explore": {
        "normalised_mean": "mean pixel as the model sees it, after normalisation",
        "normalised_std": "its standard deviation",
        "masks": "fakes laid over the photograph that they were made from: what differs was replaced",
        "masks_by_regions": "of these, with 1, 2, 3 and 4 regions replaced by their name",
        "changed_area_by_regions": "the median share of the picture that these masks cover",
        "audit_quality": "JPEG quality at which `reencoded` was measured",
        "audit_header_{}_auc": "AUC of the JPEG header alone: as the files are (original), re-encoded",
        "audit_pixels_{}_auc": "AUC of pixel statistics alone: likewise, and as the model gets them (prepared)",
    },
    "split": {
        "split_train": "images to train on",
        "split_val": "images that choose epochs, trials, calibration and thresholds",
        "split_test": "images that are only measured",
        "split_{}_fake": "of these, fake",
    },
    "backbone": {
        "vit_million_parameters": "parameters, in millions",
        "vit_layers": "transformer layers",
        "vit_hidden_size": "width of a token",
        "vit_heads": "attention heads a layer",
        "vit_patch_size": "pixels a side of a patch",
        "vit_image_size": "pixels a side of the input that it was made for",
        "vit_tokens": "tokens an image: its patches and CLS",
    },
    "search": {
        "search_trials": "trials that were begun",
        "search_pruned": "of these, stopped early",
        "search_epochs": "epochs that all of them took",
        "search_first_value": "`search.metric` of the first trial: `fit` as it stands",
        "search_best_value": "the best trial's",
        "search_best_trial": "its number, from 0",
        "values": "the best trial's values, which `train` takes where it has none of its own",
    },
    "train": {
        "best_epoch": "the epoch kept, by `fit.select`, from 1",
        "best_val_auc": "validation AUC of that epoch, uncalibrated",
        "best_val_log_loss": "validation log loss of that epoch, uncalibrated",
        "precision": "arithmetic really used: no (fp32), fp16 or bf16",
        "seed": "`train.seed`, else `fit.seed`",
        "{tunable}": "a value really used, by its name under `fit`: the usual ones, and all that was searched",
    },
    "evaluate": {
        "accuracy": "share of right answers, at calibrated probability .5",
        "f1": "harmonic mean of precision and recall, of fake",
        "recall": "share of fakes called fake",
        "auc": "area under the ROC: the chance that a fake gets a higher probability than a real",
    },
    "package": {
        "package_bytes": "size of `models/package/`",
        "package_files": "each file with its SHA-256 and size",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One line of `params.yaml`: dotted name, value as written, comment."""

    name: str
    value: str
    comment: str


def parameters() -> Iterator[Parameter]:
    """Every line of `params.yaml` that holds a key below a section."""
    above: list[tuple[int, str]] = []
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = LINE.match(line)
        if not found:
            raise ValueError(f"params.yaml: a line that is no `key: value  # why`: {line!r}")
        indent = len(found["indent"])
        above = [(depth, key) for depth, key in above if depth < indent]
        above.append((indent, found["key"]))
        yield Parameter(".".join(key for _, key in above), (found["value"] or "").strip(), found["comment"] or "")


@functools.cache
def dataclasses_of_the_library() -> dict[str, dict[str, str]]:
    """Class name to {field: type as written}, of every class with annotated fields in `rffd/`."""
    found = {}
    for path in sorted((ROOT / "rffd").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                fields = {
                    line.target.id: ast.unparse(line.annotation)
                    for line in node.body
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
                }
                if fields:
                    found[node.name] = fields
    return found


@functools.cache
def section_classes() -> dict[str, str]:
    """Section of `params.yaml` to the class that the code reads it into."""
    found = {}
    for path in [*sorted((ROOT / "stages").glob("*.py")), *sorted((ROOT / "rffd").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "read_params" and len(node.args) > 1:
                section, cls = node.args[:2]
                if isinstance(section, ast.Constant) and isinstance(cls, ast.Name):
                    found[str(section.value)] = cls.id
    return found


def type_of(name: str) -> str:
    """The type of a dotted parameter as the dataclasses state it, for people; "" where they leave it open."""
    section, *keys = name.split(".")
    classes = dataclasses_of_the_library()
    kind = section_classes().get(section, "")
    for key in keys:
        kind = classes.get(kind, {}).get(key, "")
    kind = re.sub(r"Literal\[(.*?)\]", lambda match: match[1].replace("'", "").replace(", ", " | "), kind)
    for word, plain in WORDS.items():
        kind = re.sub(rf"\b{word}\b", plain, kind)
    return "" if kind in classes else kind


def readers() -> dict[str, list[str]]:
    """Section to the stages whose `params:` name it or a part of it."""
    found: dict[str, list[str]] = {}
    for stage, entry in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        for name in entry.get("params", []):
            stages = found.setdefault(name.split(".")[0], [])
            if stage not in stages:
                stages.append(stage)
    return found


def unexplained(file: str, values: dict[str, Any]) -> list[str]:
    """The names in a metrics file that `METRICS` says nothing about."""
    return [name for name in values if not _pattern_for(file, name)]


def unused(file: str, values: dict[str, Any]) -> list[str]:
    """The names that `METRICS` explains and a run doesn't write."""
    used = {_pattern_for(file, name) for name in values}
    return [name for name in METRICS.get(file, {}) if name not in used]


def _pattern_for(file: str, name: str) -> str | None:
    name = name.removesuffix("_ci95")
    for pattern in METRICS.get(file, {}):
        if re.fullmatch(re.escape(pattern).replace(r"\{\}", "[a-z0-9_]+"), name):
            return pattern
    tunables = {p.name.removeprefix("fit.") for p in parameters() if p.name.startswith("fit.")}
    return "{tunable}" if file == "train" and name in tunables else None


def text() -> str:
    """The whole of docs/reference.md."""
    who, names = readers(), list(parameters())
    parents = {name.rpartition(".")[0] for name in (p.name for p in names)}
    lines = [
        "# Reference", "",
        "Written by `make reference` from `params.yaml`, the dataclasses of `rffd/` and `dvc.yaml`; don't edit it.", "",
        "## Parameters", "",
        "Set one with `dvc exp run -S name=value`, or edit `params.yaml`. `|` separates what is allowed.", "",
    ]  # fmt: skip
    for parameter in names:
        if "." not in parameter.name:
            lines += ["", f"### {parameter.name}", ""]
            lines += [f"{parameter.comment[:1].upper()}{parameter.comment[1:]}.", ""] if parameter.comment else []
            lines += [f"Read by {', '.join(f'`{stage}`' for stage in who.get(parameter.name, []))}.", ""]
            lines += ["| parameter | type | default | meaning |", "|---|---|---|---|"]
            continue
        cells = [f"`{parameter.name}`", type_of(parameter.name), f"`{parameter.value}`", parameter.comment]
        if parameter.name in parents and not parameter.value:
            cells[1:3] = ["", ""]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    lines += [
        "", "## Metrics", "",
        "`dvc metrics show` prints them. A name with `_ci95` besides is its 95 % interval, resampled by group. Figures",
        "beyond the headline are in `data/evaluation/`, `data/explanation/` and `report.html`.", "",
    ]  # fmt: skip
    for file, meanings in METRICS.items():
        lines += [f"### metrics/{file}.json", "", "| name | meaning |", "|---|---|"]
        lines += [f"| `{name.replace('{}', '*')}` | {_cell(meaning)} |" for name, meaning in meanings.items()]
        lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def metrics_of(folder: Any) -> dict[str, dict[str, Any]]:
    """Name of each metrics file under `folder` to its figures; `{val, test}` counts as val's."""
    files = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: values.get("val", values) for name, values in files.items()}


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
