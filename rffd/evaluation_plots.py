"""Evaluation as tables that `dvc plots` draws and as pictures for people; nothing is computed here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from rffd import look
from rffd.calibration import risk_coverage
from rffd.files import write_csv
from rffd.metrics import curves
from rffd.names import LABELS

KINDS = {  # kinds of degradation, in words, with the unit of their levels
    "jpeg": "JPEG quality",
    "resize": "Shrunk to a share, and back",
    "blur": "Blur, sigma in % of the side",
    "noise": "Noise, deviation of 255",
    "brightness": "Brightness, factor",
    "messenger": "Messenger, times passed on",
}
STRATA = {"all": "All images", "jpeg": "JPEG tables"}
NAMES = {"val": "validation (selected on)", "test": "test"}


def of_split(predictions: Sequence[Mapping[str, Any]], split: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated probabilities, [N] each, of one split's rows."""
    rows = [row for row in predictions if row["split"] == split]
    labels = np.array([LABELS.index(row["label"]) for row in rows], dtype=int)
    return labels, np.array([float(row["probability"]) for row in rows], dtype=float)


def write_tables(folder: Path, predictions: Sequence[Mapping[str, Any]], details: Mapping[str, Any]) -> None:
    """ROC, precision-recall, calibration and confusion of the test set, as `dvc plots` reads them."""
    labels, p = of_split(predictions, "test")
    fpr, tpr, precision = (np.round(curve[0], 6) for curve in curves(labels, p))
    roc, pr = ("false_positive_rate", "true_positive_rate"), ("recall", "precision")
    defined = np.isfinite(fpr) & np.isfinite(tpr)
    rows = [dict(zip(roc, pair, strict=True)) for pair in zip(fpr[defined], tpr[defined], strict=True)]
    write_csv(folder / "roc.csv", rows, [*roc])
    defined = np.isfinite(precision) & np.isfinite(tpr)
    rows = [dict(zip(pr, pair, strict=True)) for pair in zip(tpr[defined], precision[defined], strict=True)]
    write_csv(folder / "pr.csv", rows, [*pr])
    rows = [row for row in details["test"]["reliability"]["after"] if row["count"]]
    columns = ["predicted", "observed", "count"]
    write_csv(folder / "calibration.csv", [{name: row[name] for name in columns} for row in rows], columns)
    rows = [{"actual": LABELS[y], "predicted": LABELS[int(q >= 0.5)]} for y, q in zip(labels, p, strict=True)]
    write_csv(folder / "confusion.csv", rows, ["actual", "predicted"])


def draw(folder: Path, predictions: Sequence[Mapping[str, Any]], details: Mapping[str, Any]) -> None:
    """All pictures."""
    splits = {name: of_split(predictions, name) for name in NAMES}
    draw_curves(folder / "roc_pr.png", splits, details)
    draw_reliability(folder / "reliability.png", details["test"]["reliability"])
    draw_risk(folder / "risk_coverage.png", splits, details)
    draw_robustness(folder / "robustness.png", details["robustness"])
    usual = (details["controls"]["standard_tables"] or {}).get("jpeg")
    draw_breakdown(folder / "breakdown.png", details["breakdown"], usual)
    draw_controls(folder / "controls.png", details["controls"])


def _with_interval(found: Mapping[str, Any], name: str) -> str:
    value, spread = found[name], found[f"{name}_ci95"]
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({spread[0]:.3f}–{spread[1]:.3f})" if spread else "")


def draw_curves(path: Path, splits: Mapping[str, Any], details: Mapping[str, Any]) -> None:
    """ROC and precision-recall of validation and test, with the point at probability 0.5."""
    fig, (left, right) = look.figure(1, 2, height=4.2)
    for name, (labels, p) in splits.items():
        fpr, tpr, precision = (curve[0] for curve in curves(labels, p))
        found, colour = details[name]["figures"], look.SPLIT_COLOURS[name]
        style = {"color": colour, "linewidth": 2 if name == "test" else 1.4, "zorder": 3 if name == "test" else 2}
        left.plot(fpr, tpr, label=f"{NAMES[name]}\nAUC {_with_interval(found, 'auc')}", **style)
        text = f"{NAMES[name]}\nAP {_with_interval(found, 'average_precision')}"
        right.plot(tpr, precision, label=text, **style)
        if name == "test" and found["specificity"] is not None and found["recall"] is not None:
            left.plot(1 - found["specificity"], found["recall"], "o", color=look.INK, zorder=4, label="at 0.5")
            if found["precision"] is not None:
                right.plot(found["recall"], found["precision"], "o", color=look.INK, zorder=4, label="at 0.5")
            share = len(labels) and float(labels.mean())
            right.axhline(share, color=look.GRID, linewidth=1.2)
    left.plot([0, 1], [0, 1], color=look.GRID, linewidth=1.2)
    left.set(title="ROC", xlabel="reals called fake", ylabel="fakes called fake", xlim=(-0.01, 1), ylim=(0, 1.01))
    right.set(title="Precision and recall", xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    left.legend(loc="lower right", fontsize=8)
    right.legend(loc="lower left", fontsize=8)
    look.save(fig, path)


def draw_reliability(path: Path, bins: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Share of fakes against predicted probability, before and after calibration, with counts below."""
    fig, axes = look.figure(2, 2, height=4.6, sharex=True, height_ratios=[4, 1])
    for column, (name, title) in enumerate((("before", "Before calibration"), ("after", "After calibration"))):
        rows = [row for row in bins[name] if row["count"]]
        top, bottom = axes[0][column], axes[1][column]
        top.plot([0, 1], [0, 1], color=look.MUTED, linewidth=1, linestyle=":")
        if rows:
            x, y = [row["predicted"] for row in rows], np.array([row["observed"] for row in rows])
            low, high = np.array([row["observed_ci95"] for row in rows]).T
            error = [np.maximum(y - low, 0), np.maximum(high - y, 0)]
            top.errorbar(x, y, yerr=error, fmt="o-", color=look.FAKE, ecolor=look.MUTED, elinewidth=1, markersize=4)
        widths = [row["high"] - row["low"] for row in rows]
        bottom.bar([row["low"] for row in rows], [row["count"] for row in rows], widths, align="edge", color=look.MUTED)
        top.set(title=title, xlim=(0, 1), ylim=(0, 1), ylabel="share that is fake" if not column else "")
        bottom.set(xlabel="predicted probability of fake", ylabel="images" if not column else "")
    look.save(fig, path)


def draw_risk(path: Path, splits: Mapping[str, Any], details: Mapping[str, Any]) -> None:
    """Share of wrong answers against the share of images answered, the surest first."""
    fig, axis = look.figure(1, 1, height=3.4)
    target = details["unsure_band"]["target_error"]
    axis.axhline(target, color=look.MUTED, linewidth=1, linestyle=":")
    axis.text(1.0, target, f" {target:.0%} wrong", color=look.MUTED, fontsize=8, va="bottom", ha="right")
    for name, (labels, p) in splits.items():
        rows = risk_coverage(labels, p)
        colour = look.SPLIT_COLOURS[name]
        axis.plot([r["coverage"] for r in rows], [r["risk"] for r in rows], color=colour, label=NAMES[name])
        given = details[name]["answered"]
        if given["error"] is not None:
            words = f"{name}: {given['coverage']:.0%} answered, {given['error']:.1%} wrong"
            axis.plot(given["coverage"], given["error"], "o", color=colour, label=words)
    axis.set(xlabel="share of images answered, the surest first", ylabel="share of answers that are wrong")
    axis.set(xlim=(0, 1.01), ylim=(0, None), title='What an "unsure" buys')
    axis.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.legend(fontsize=8)
    look.save(fig, path)


def draw_robustness(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """Right answers on reals and on fakes, by kind and level of degradation."""
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in table)]
    lines = max(1, -(-len(kinds) // 3))
    fig, axes = look.figure(lines, 3, height=0.7 + 2.4 * lines, sharey=True, squeeze=False)
    handles = {}
    for axis, kind in zip(axes.flat, kinds, strict=False):
        rows = [row for row in table if row["kind"] == kind]
        untouched = sum(row["level"] < 1 for row in rows) if kind == "brightness" else 0  # its place among the levels
        rows.insert(untouched, table[0])
        for label, name in (("real", "specificity"), ("fake", "recall")):
            points = [(i, row[name], row[f"{name}_ci95"]) for i, row in enumerate(rows) if row[name] is not None]
            if not points:
                continue
            x, values, colour = [i for i, *_ in points], [v for _, v, _ in points], look.COLOURS[label]
            (handles[label],) = axis.plot(x, values, "o-", color=colour, markersize=4, clip_on=False)
            spread = np.array([interval or [v, v] for _, v, interval in points])
            axis.fill_between(x, *spread.T, color=colour, alpha=0.15, linewidth=0)
        axis.set_title(KINDS[kind], fontsize=9)
        axis.set(ylim=(0, 1.02), xticks=range(len(rows)))
        axis.set_xticklabels([f"{row['level']:g}" if row["kind"] == kind else "as is" for row in rows], fontsize=8)
        axis.grid(axis="y")
    for axis in list(axes.flat)[len(kinds) :]:
        axis.set_axis_off()
    for row in axes:
        row[0].set_ylabel("called what they are")
    if handles:
        fig.legend(handles.values(), handles, loc="outside upper right", ncols=2)
    look.save(fig, path)


def draw_breakdown(path: Path, rows: Sequence[Mapping[str, Any]], usual: str | None) -> None:
    """The share of right answers in every stratum, with its interval and its count; `usual`: most reals' tables."""
    lines: list[tuple[str, Mapping[str, Any] | None]] = []
    previous = None
    for row in rows:
        if row["by"] != previous:
            lines.append((STRATA.get(row["by"], row["by"].capitalize()), None))
            previous = row["by"]
        both = row["by"] in ("jpeg", "pairing")
        words = "usual" if row["by"] == "jpeg" and row["value"] == usual else row["value"].replace("_", " ")
        name = words + (f", {row['label']}" if both else "")
        lines.append((name, row))
    fig, axis = look.figure(1, 1, height=0.8 + 0.24 * len(lines))
    for i, (_, stratum) in enumerate(lines):
        if stratum is not None:
            colour = look.COLOURS[stratum["label"]]
            if stratum["right_ci95"]:
                axis.plot(stratum["right_ci95"], [i, i], color=colour, linewidth=1.5, alpha=0.6)
            axis.plot(stratum["right"], i, "o", color=colour, markersize=5)
            axis.text(1.03, i, f"{stratum['count']:,}", fontsize=8, va="center", color=look.MUTED)
    axis.set(
        xlim=(0, 1.01), ylim=(max(1, len(lines)) - 0.5, -0.5), xlabel="called what they are, at 0.5 (images at right)"
    )
    axis.set_yticks(range(len(lines)), [name for name, _ in lines], fontsize=8)
    for text, (_, stratum) in zip(axis.get_yticklabels(), lines, strict=True):
        text.set_fontweight("normal" if stratum else "bold")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.set_title("Where it is right: real in blue-green, fake in red")
    look.save(fig, path)


def draw_controls(path: Path, controls: Mapping[str, Any]) -> None:
    """The AUC of every control beside the model's, and the share of answers that small changes flip."""
    names = {
        "model": "the model",
        "standard_tables": "… on usual JPEG tables only",
        "reencoded": "… on the set re-encoded alike",
        "face_blanked": "… with the face blanked out",
        "file_header_only": "file header and size, no pixels",
        "jpeg_tables_only": "JPEG tables, no pixels",
    }
    fig, (left, right) = look.figure(1, 2, height=2.9, width_ratios=[3, 2])
    for i, name in enumerate(names):
        found = controls[name]
        if found is None or found.get("auc") is None:
            left.text(0.5, i, " undefined", color=look.MUTED, fontsize=8, va="center")
            continue
        if found["auc_ci95"]:
            left.plot(found["auc_ci95"], [i, i], color=look.MUTED, linewidth=1.5)
        left.plot(found["auc"], i, "o", color=look.INK)
    left.axvline(0.5, color=look.MUTED, linewidth=1, linestyle=":")
    left.set_yticks(range(len(names)), list(names.values()), fontsize=8)
    left.set(ylim=(len(names) - 0.5, -0.5), xlabel="AUC on test (0.5: chance)", title="Shortcut controls")
    flips = controls["flips"]
    shares = [row["share"] or 0 for row in flips.values()]
    right.barh(range(len(flips)), shares, color=look.MUTED, height=0.6)
    for i, row in enumerate(flips.values()):
        if row["share_ci95"]:
            right.plot(row["share_ci95"], [i, i], color=look.INK, linewidth=1.5)
    right.set_yticks(range(len(flips)), list(flips), fontsize=8)
    right.set(ylim=(max(1, len(flips)) - 0.5, -0.5), xlabel="share of answers that flip", title="Small changes")
    right.set_xlim(0, None)
    look.save(fig, path)
