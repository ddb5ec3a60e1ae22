"""The report that one sends to a manager or a reviewer: one file, pictures inside, nothing loaded from outside.

It computes nothing: every figure is one that a stage has written, and one that is missing or null is said to be so.
To add a section, write a function of `Findings` that returns HTML and name it in `SECTIONS`.
"""

from collections.abc import Callable
from html import escape
from pathlib import Path
from string import Template

from rffd.backbone import describe
from rffd.report_data import data, licence, limits, pictures, split
from rffd.report_evaluation import breakdown, calibration, controls, figures, robustness
from rffd.report_explanation import explanation, mistakes
from rffd.report_findings import Findings
from rffd.report_html import folded, interval_bar, lines, number, paragraph, percent, table

TEMPLATES = Path(__file__).parent / "templates"
HEADLINE = {
    "accuracy": ("Accuracy", "of all images called what they are"),
    "f1": ("F1", "balance of recall and precision on fakes"),
    "recall": ("Recall", "of the fakes called fake"),
    "auc": ("AUC", "chance that a fake scores above a real"),
}
SEARCH = {
    "history": "Each trial's validation figure and the best so far.",
    "importances": "How much each value mattered.",
    "slices": "Validation figure against each value tried.",
    "parallel": "All values of all trials; good trials stand out.",
    "curves": "Learning curves, with the trials that were stopped early.",
}


def render(found: Findings) -> str:
    """The whole page."""
    title, contents, sections = "Real and fake faces: what the detector can do", "", ""
    for n, (heading, section) in enumerate(SECTIONS.items(), start=1):
        contents += f'<li><a href="#s{n}">{escape(heading)}</a></li>'
        body = section(found) or paragraph("Nothing was measured here.")
        sections += f'<section aria-labelledby="s{n}">\n<h2 id="s{n}">{escape(heading)}</h2>\n{body}</section>\n'
    template = Template((TEMPLATES / "report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=title,
        summary=summary(found),
        contents=contents,
        sections=sections,
        footer=paragraph("Written by the stage report from the files of the other stages. " + INTERVALS),
    )


INTERVALS = "Intervals are 95 %, by bootstrap over groups of images that share a photograph."


def summary(found: Findings) -> str:
    """The verdict in a sentence, and the headline with intervals and targets."""
    test, val = (found.metrics["evaluate"].get(split) or {} for split in ("test", "val"))
    measured = (found.details.get("test") or {}).get("figures") or {}
    count = (found.details.get("test") or {}).get("count")
    lead = (
        f"On {number(count)} test images that took no part in training or in any choice, the detector is right on "
        f"{percent(test.get('accuracy'))}. It finds {percent(test.get('recall'))} of the fakes and leaves "
        f"{percent(measured.get('specificity'))} of the genuine pictures alone."
    )
    if (ends := test.get("auc_ci95")) and ends[0] <= 0.5:
        lead += " Its AUC can't be told from chance, 0.5."
    cards = ""
    for name, (title, words) in HEADLINE.items():
        target = (found.details.get("targets") or {}).get(name) or {}
        ends = test.get(f"{name}_ci95")
        interval = f"95 % interval {number(ends[0])} to {number(ends[1])}" if ends else "no interval"
        said = ""
        if target.get("target") is not None:
            style, met = ("met", "met") if target.get("met") else ("missed", "not met")
            said = f'<small class="{style}">target {target["target"]:.2f} {met}</small>'
        bar = interval_bar(test.get(name), ends, target=target.get("target"))
        cards += (
            f"<li>{title}<b>{number(test.get(name))}</b>{bar}"
            f"<small>{interval}</small>{said}<small>{escape(words)}</small>"
            f"<small>validation {number(val.get(name))} (selected on)</small></li>"
        )
    warning = ""
    if found.source == "sample":
        warning = (
            "The images are drawn by the project itself. These figures show that the whole pipe works; they say "
            "nothing about photographs."
        )
    note = f'<p class="note">{escape(warning)}</p>' if warning else ""
    return f'<p class="lead">{escape(lead)}</p>{note}<ul class="cards">{cards}</ul>'


def training(found: Findings) -> str:
    """What the search found and how the training went."""
    search, train = found.metrics["search"], found.metrics["train"]
    if search.get("search_trials"):
        first, best = number(search.get("search_first_value")), number(search.get("search_best_value"))
        text = paragraph(
            f"{number(search['search_trials'])} trials, {number(search.get('search_pruned'))} of them stopped early. "
            f"The first, with the project's own values, came to {first} on validation; the best, trial "
            f"{search.get('search_best_trial')}, to {best}.",
        )
    else:
        text = paragraph("No search was made: the values are the project's own.")
    shown = {
        "Losses": {"train_loss": "training loss", "val_log_loss": "validation log loss"},
        "Scores": {"val_auc": "validation AUC", "val_accuracy": "accuracy", "val_f1": "F1"},
    }
    kept, charts = int(train.get("best_epoch") or 1), ""
    for title, names in shown.items():
        series = {
            words: [float(row[name]) for row in found.history]
            for name, words in names.items()
            if found.history and all(row.get(name) for row in found.history)
        }
        if series:
            charts += lines(series, kept, f"{title} by epoch; dashed: the epoch that was kept, {kept}.")
    used = [[name, f"{value:g}" if isinstance(value, float) else str(value)] for name, value in train.items()]
    return (
        text
        + (f'<div class="pair">{charts}</div>' if charts else "")
        + folded("Values and figures of the training", table(["Value", ""], used, "Values that training used"))
        + folded("Pictures of the search", pictures(found.plots / "search" / "pictures", SEARCH))
    )


def backbone(found: Findings) -> str:
    """The network in numbers and words."""
    vit = found.metrics["backbone"]
    try:
        return "".join(paragraph(line) for line in describe(dict(vit)).split("\n"))
    except KeyError:
        return ""


SECTIONS: dict[str, Callable[[Findings], str]] = {
    "The data": data,
    "How it was split": split,
    "Shortcuts and controls": controls,
    "Calibration, and when it is unsure": calibration,
    "Where it is right": breakdown,
    "What damage it survives": robustness,
    "Where it looks": explanation,
    "Its worst mistakes": mistakes,
    "All figures": figures,
    "Search and training": training,
    "The network": backbone,
    "Limits": limits,
    "Licence": licence,
}
