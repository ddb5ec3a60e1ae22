"""The model card's tables: every figure with its interval, as evaluation measured it."""

from collections.abc import Mapping, Sequence
from typing import Any

from rffd.verdict import Rule

HEADLINE = ("accuracy", "f1", "recall", "auc")
NAMES = {"accuracy": "Accuracy", "f1": "F1 (of fake)", "recall": "Recall (of fake)", "auc": "AUC"}
HUB_METRICS = {"accuracy": "accuracy", "f1": "f1", "recall": "recall", "auc": "roc_auc"}
MORE = {
    "precision": "Precision (of fake)",
    "specificity": "Specificity (reals called real)",
    "ap": "Average precision",
    "eer": "Equal error rate",
    "brier": "Brier score",
    "ece": "Expected calibration error",
}
CONTROLS = {
    "model": "all test images",
    "file_header_only": "no pixel: a classifier of the file's header alone",
    "jpeg_tables_only": "no pixel: a classifier of the JPEG table alone",
    "standard_tables": "only test images with the usual JPEG table",
    "reencoded": "all test images, re-encoded alike",
    "face_blanked": "all test images, the face blanked out (chance expected)",
}
STRATA = ("all", "difficulty", "regions replaced")


def headline(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The four figures of metrics/evaluate.json on both splits."""
    rows = [[NAMES[name], *(with_interval(figures[side], name) for side in ("val", "test"))] for name in HEADLINE]
    return table(["", "Validation", "Test"], rows)


def evaluation(details: Mapping[str, Any], rule: Rule) -> str:
    """The further figures on test, each part left out if `details` (evaluation's) doesn't hold it."""
    parts = [_more(details), _strata(details), _controls(details), _robustness(details), _unsure(details, rule)]
    return "\n\n".join(part for part in parts if part) or "Only the headline was measured."


def _more(details: Mapping[str, Any]) -> str:
    found = (details.get("test") or {}).get("figures") or {}
    rows = [[text, with_interval(found, name)] for name, text in MORE.items() if found.get(name) is not None]
    return table(["", "Test"], rows) if rows else ""


def _strata(details: Mapping[str, Any]) -> str:
    rows = [
        [_stratum(row), str(row["count"]), with_interval(row, "right")]
        for row in details.get("breakdown") or []
        if row["by"] in STRATA and row.get("right") is not None
    ]
    note = "Share called what they are. Difficulty is the creators' own, subjective word; nothing was trained on it."
    return f"{note}\n\n{table(['', 'Images', 'Right'], rows)}" if rows else ""


def _stratum(row: Mapping[str, Any]) -> str:
    if row["by"] == "all":
        return f"all {row['label']}"
    return f"fake, {row['value']}" if row["by"] == "difficulty" else f"fake, {row['value']} of 4 regions replaced"


def _controls(details: Mapping[str, Any]) -> str:
    found = details.get("controls") or {}
    rows = [
        [text, str(found[name]["count"]), with_interval(found[name], "accuracy"), with_interval(found[name], "auc")]
        for name, text in CONTROLS.items()
        if isinstance(found.get(name), Mapping) and "auc" in found[name]
    ]
    note = "Controls: is it the forgery that the model sees, or a shortcut in the data?"
    return f"{note}\n\n{table(['On', 'Images', 'Accuracy', 'AUC'], rows)}" if rows else ""


def _robustness(details: Mapping[str, Any]) -> str:
    """The strongest level of each kind of damage: the last of its curve."""
    last = {row["kind"]: row for row in details.get("robustness") or []}
    rows = [
        [
            "untouched" if row["level"] is None else f"{kind} {row['level']:g}",
            *(with_interval(row, name) for name in ("specificity", "recall", "auc", "flips")),
        ]
        for kind, row in last.items()
    ]
    note = "Damaged test images, at the last level that was tried of each kind:"
    heading = ["Damage", "Reals right", "Fakes right", "AUC", "Answers changed"]
    return f"{note}\n\n{table(heading, rows)}" if rows else ""


def _unsure(details: Mapping[str, Any], rule: Rule) -> str:
    if rule.low == 0 and rule.high == 1:
        return "No band of *unsure* reached the error asked for on validation, so `rffd predict` says *unsure* always."
    if rule.low == rule.high:
        return ""
    answered = (details.get("test") or {}).get("answered") or {}
    text = f"`rffd predict` says *unsure* between {rule.low:.2f} and {rule.high:.2f}, chosen on validation."
    if answered.get("coverage") is None or answered.get("error") is None:
        return text
    coverage, error = with_interval(answered, "coverage"), with_interval(answered, "error")
    return f"{text} On test, the share it answers is {coverage}, and of those answers the share that is wrong {error}."


def with_interval(figures: Mapping[str, Any], name: str) -> str:
    """`0.792 [0.734, 0.841]`, or the figure alone, or that it isn't defined."""
    value, interval = figures.get(name), figures.get(f"{name}_ci95")
    if value is None:
        return "not defined"
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def ceiling(value: float) -> str:
    """A small number, rounded up to the next power of ten: 3.2e-6 gives 1e-05."""
    power = -8
    while 10.0**power < value:
        power += 1
    return f"1e{power:03d}"


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
