"""The report's sections on what evaluate found: controls, calibration, breakdown, robustness, all figures."""

from collections.abc import Mapping
from typing import Any

from rffd.report_findings import Findings
from rffd.report_html import folded, number, paragraph, percent, picture, share, spread, table

FIGURES = {
    "accuracy": "Accuracy",
    "f1": "F1 of fake",
    "f1_real": "F1 of real",
    "f1_macro": "F1, mean of both",
    "precision": "Precision",
    "recall": "Recall (fakes called fake)",
    "specificity": "Specificity (reals called real)",
    "auc": "ROC AUC",
    "average_precision": "Average precision",
    "eer": "Equal error rate",
    "tpr_at_fpr_5": "Recall at 5 % false alarms",
    "tpr_at_fpr_1": "Recall at 1 % false alarms",
    "mcc": "Matthews correlation",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
}
CONTROLS = {
    "model": "the model, test as it is",
    "standard_tables": "only images with the usual JPEG tables",
    "reencoded": "all images re-encoded alike",
    "face_blanked": "the face blanked out",
    "file_header_only": "no pixels: file header and size",
    "jpeg_tables_only": "no pixels: JPEG tables",
}
SHORTCUTS = {
    "header": "JPEG header",
    "bytes": "file size",
    "shape": "width and height",
    "pixels": "pixel statistics",
    "pixels_usual": "pixel statistics, usual header only",
}
DAMAGE = {
    "none": "untouched",
    "jpeg": "JPEG, quality",
    "resize": "resized to a share, and back:",
    "blur": "blur, % of the side:",
    "noise": "noise, levels of 255:",
    "brightness": "brightness, factor",
    "messenger": "messenger, passes:",
}


def controls(found: Findings) -> str:
    """Does it see the forgery, or something that merely goes with it?"""
    tests, catalog = found.details.get("controls") or {}, found.metrics["catalog"]
    rows = [
        [words, number(row.get("count")), spread(row, "accuracy"), spread(row, "auc")]
        for name, words in CONTROLS.items()
        if (row := tests.get(name))
    ]
    flips = [
        [name, spread(row, "share"), number(row.get("mean_change"))] for name, row in (tests.get("flips") or {}).items()
    ]
    audit = [
        [words, spread(catalog, f"shortcut_{name}_auc")]
        for name, words in SHORTCUTS.items()
        if f"shortcut_{name}_auc" in catalog
    ]
    return (
        paragraph("A detector can be right for a wrong reason: a file size, a JPEG table, a background.")
        + "".join(paragraph(sentence) for sentence in control_words(tests))
        + picture(
            found.plots / "evaluate" / "controls.png",
            "AUC of every shortcut control beside the model's, and the share of answers that small changes flip",
        )
        + folded("Controls in figures", table(["On", "Images", "Accuracy", "AUC"], rows, "Shortcut controls on test"))
        + folded(
            "Small changes in figures",
            table(["Change", "Answers that flip", "Mean change of probability"], flips, "Answers after small changes"),
        )
        + picture(
            found.plots / "catalog" / "shortcuts.png",
            "How well simple properties of the files alone tell real from fake",
            "Over the whole data set: what the files give away before any model is trained. Chance is 0.5.",
        )
        + picture(
            found.plots / "explore" / "audit.png",
            "What the files alone give away, before and after re-encoding all of them alike",
            "The same before and after all files are re-encoded alike, and as the model's input is prepared.",
        )
        + folded("The audit in figures", table(["Property", "AUC"], audit, "What the files alone give away"))
    )


def control_words(tests: Mapping[str, Any]) -> list[str]:
    """What the controls come to, a sentence each; one that wasn't measured is left out."""
    said = []
    if blanked := tests.get("face_blanked"):
        verdict = {
            True: "chance, as it should be",
            False: "not chance: something outside the face gives the answer away, and the other figures owe part to it",
            None: "too few images to say",
        }[blanked.get("at_chance")]
        said.append(f"With the face blanked out the AUC is {spread(blanked, 'auc')}: {verdict}.")
    for name, subject in (
        ("file_header_only", "The file's header and size, without a pixel, tell"),
        ("jpeg_tables_only", "The JPEG tables alone tell"),
    ):
        if header := tests.get(name):
            ends = header.get("auc_ci95")
            shown = ends and ends[0] > 0.5
            tells = "something, which a model could use" if shown else "nothing that this test set can show"
            said.append(f"{subject} {tells}: AUC {spread(header, 'auc')}.")
    if (usual := tests.get("standard_tables")) and (model := tests.get("model")):
        said.append(
            f"On images with the usual JPEG tables alone the model's AUC is {spread(usual, 'auc')}; "
            f"on all it is {spread(model, 'auc')}."
        )
    return said


def calibration(found: Findings) -> str:
    """Do probabilities mean what they say, and what does it gain to leave the unsure ones unanswered?"""
    details, plots = found.details, found.plots / "evaluate"
    band, test = details.get("unsure_band") or {}, details.get("test") or {}
    before, after, answered = (test.get(key) or {} for key in ("before_calibration", "figures", "answered"))
    text = paragraph(
        "Two numbers are fitted on validation (Platt): the logit at which the answer turns, "
        f"{number(details.get('offset'))}, and the temperature, {number(details.get('temperature'))}. On test they "
        f"move the accuracy from {spread(before, 'accuracy')} to {spread(after, 'accuracy')}, the calibration error "
        f"from {spread(before, 'ece')} to {spread(after, 'ece')} and the log loss from "
        f"{number(before.get('log_loss'))} to {number(after.get('log_loss'))}."
    )
    goal = percent(band.get("target_error"))
    if band.get("reached"):
        text += paragraph(
            f"Probabilities between {number(band.get('low'))} and {number(band.get('high'))} are called unsure, so "
            f"that at most {goal} of the other answers were wrong on validation. On test "
            f"{share(answered, 'coverage')} are answered, {share(answered, 'error')} of these wrongly."
        )
    elif band:
        text += paragraph(
            f"No band of unsure probabilities brings the errors on validation down to {goal}: the detector is not sure "
            "enough anywhere, so every answer is marked unsure."
        )
    return (
        text
        + picture(
            plots / "reliability.png", "Share of fakes against predicted probability, before and after calibration"
        )
        + picture(plots / "risk_coverage.png", "Share of wrong answers against the share of images answered")
    )


def breakdown(found: Findings) -> str:
    """Right answers by difficulty, region, number of regions, JPEG tables and pairing."""
    usual = ((found.details.get("controls") or {}).get("standard_tables") or {}).get("jpeg")
    names = {usual: "usual"} if usual else {}
    rows = [
        [
            f"{row['by']}: {names.get(row['value'], row['value'].replace('_', ' '))}",
            row["label"],
            number(row["count"]),
            spread(row, "right"),
        ]
        for row in found.details.get("breakdown") or []
    ]
    return (
        paragraph("Difficulty is the dataset's own word, and subjective; nothing was trained on it.")
        + picture(
            found.plots / "evaluate" / "breakdown.png",
            "Share of right answers by difficulty, region, number of regions, JPEG tables and pairing, with intervals",
        )
        + picture(found.plots / "evaluate" / "roc_pr.png", "ROC and precision-recall curves of validation and test")
        + folded("In figures", table(["Images", "Label", "Count", "Right"], rows, "Right answers by kind of image"))
    )


def robustness(found: Findings) -> str:
    """Right answers on damaged pictures, real and fake apart."""
    rows = [
        [
            DAMAGE.get(row["kind"], row["kind"]) + ("" if row["level"] is None else f" {row['level']:g}"),
            spread(row, "specificity", 2),
            spread(row, "recall", 2),
            spread(row, "auc", 2),
            percent(row.get("flips")),
        ]
        for row in found.details.get("robustness") or []
    ]
    heading = ["Damage", "Reals called real", "Fakes called fake", "AUC", "Answers that flip"]
    return (
        paragraph("Every test picture was damaged in each way, then scored as it would be in use.")
        + picture(
            found.plots / "evaluate" / "robustness.png",
            "Right answers on reals and on fakes by kind and strength of damage",
        )
        + folded("In figures", table(heading, rows, "Right answers on damaged test pictures"))
    )


def figures(found: Findings) -> str:
    """Every figure of both splits, at 0.5 and at the threshold chosen on validation."""
    val, test = (found.details.get(split) or {} for split in ("val", "test"))
    rows = [
        [words, spread(test.get("figures") or {}, name), spread(val.get("figures") or {}, name)]
        for name, words in FIGURES.items()
    ]
    threshold = found.details.get("threshold") or {}
    at = [
        [FIGURES[name], *(spread(split["at_threshold"], name) for split in (test, val))]
        for name in FIGURES
        if val.get("at_threshold") and test.get("at_threshold") and name in test["at_threshold"]
    ]
    rule = f"At another threshold, {number(threshold.get('value'))}: {threshold.get('rule', 'chosen on validation')}."
    return (
        paragraph(
            "At calibrated probability 0.5. Epoch, values, calibration and thresholds were chosen on validation, so "
            "its figures flatter."
        )
        + table(["", "Test", "Validation, selected on"], rows, "All figures with 95 % intervals")
        + (
            paragraph(rule) + folded("Figures at that threshold", table(["", "Test", "Validation"], at, rule))
            if at
            else ""
        )
    )
