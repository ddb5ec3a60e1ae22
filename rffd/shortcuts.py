"""The shortcut audit of a catalogue: what gives the label away without a look at a face.

A model takes the easiest road. If the JPEG header, the file's size or its overall brightness gives the label
away, high accuracy says nothing about forgeries.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rffd.audit import AuditParams, Interval, shortcut_auc
from rffd.catalog import OK
from rffd.look import INK, MUTED, figure, save

Audit = dict[str, Interval]  # by shortcut
TABLE_COLUMNS = ["shortcut", "auc", "low", "high"]
SHORTCUTS = {  # name -> words for people
    "header": "JPEG header",
    "bytes": "file size",
    "shape": "width and height",
    "pixels": "pixel statistics",
    "pixels_usual": "pixel statistics (usual JPEG header)",
}

RE_ENCODE = "preprocess.jpeg_quality re-encodes every image alike, and metrics/explore.json shows what that takes away"
ADVICE = {
    "header": f"read results on images with the usual header too; {RE_ENCODE}",
    "bytes": "the model sees no file size, but what makes it differ may show in the pixels",
    "shape": "bring all images to one size and crop before they come here, or add images of the missing sizes",
    "pixels": f"look for what differs besides the faces; {RE_ENCODE}",
    "pixels_usual": f"it is not the header: look for what differs in brightness, sharpness or noise; {RE_ENCODE}",
}


def audit(rows: Sequence[Mapping[str, Any]], statistics: np.ndarray, usual: str, params: AuditParams) -> Audit:
    """Audit the usable rows of a catalogue; `statistics` [N, F] are of its rows, `usual` the JPEG signature of most."""
    keep = [i for i, row in enumerate(rows) if row["status"] == OK]
    rows, statistics = [rows[i] for i in keep], statistics[keep]
    labels = np.array([row["label"] == "fake" for row in rows], dtype=np.int64)
    plain = np.array([row["jpeg"] == usual for row in rows], dtype=bool)
    frequency = Counter(row["jpeg"] for row in rows)
    rank = {signature: i for i, signature in enumerate(sorted(frequency, key=lambda s: (-frequency[s], s)))}
    everything = np.ones(len(rows), dtype=bool)
    tried: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "header": (np.array([[rank[row["jpeg"]]] for row in rows]), everything),  # rare headers lie side by side
        "bytes": (np.array([[row["bytes"]] for row in rows]), everything),
        "shape": (np.array([[row["width"], row["height"]] for row in rows]), everything),
        "pixels": (statistics, everything),
    }
    if not plain.all():
        tried["pixels_usual"] = (statistics, plain)
    groups = np.array([row["group"] for row in rows])
    return {
        name: shortcut_auc(
            features[chosen],
            labels[chosen],
            groups[chosen],
            params.seed,
            folds=params.folds,
            resamples=params.resamples,
        )
        for name, (features, chosen) in tried.items()
    }


def warnings(found: Audit) -> list[str]:
    """A plain sentence for each shortcut that beats chance: the lower end of its interval is above 0.5."""
    return [
        f"a classifier that sees nothing but the {SHORTCUTS[name]} tells fake from real with AUC {auc:.3f} "
        f"(95 % interval {low:.3f} to {high:.3f}; chance is 0.500): {ADVICE[name]}"
        for name, (auc, low, high) in found.items()
        if low > 0.5
    ]


def as_metrics(found: Audit) -> dict[str, float | list[float]]:
    """The audit as figures for metrics/catalog.json; intervals are lists."""
    numbers: dict[str, float | list[float]] = {}
    for name, (auc, low, high) in found.items():
        numbers[f"shortcut_{name}_auc"] = round(auc, 4)
        numbers[f"shortcut_{name}_auc_ci95"] = [round(low, 4), round(high, 4)]
    return numbers


def table(found: Audit) -> list[dict[str, str | float]]:
    """The audit as rows for a native plot of DVC."""
    return [
        {"shortcut": SHORTCUTS[name], "auc": round(auc, 4), "low": round(low, 4), "high": round(high, 4)}
        for name, (auc, low, high) in found.items()
    ]


def plot(found: Audit, path: Path) -> None:
    """Draw each shortcut's AUC with its interval against chance; what beats chance stands out."""
    fig, axes = figure(height=1.2 + 0.4 * len(found))
    axes.axvline(0.5, color=MUTED, linewidth=1, linestyle="--")
    for y, (auc, low, high) in enumerate(found.values()):
        colour = INK if low > 0.5 else MUTED
        axes.plot([low, high], [y, y], color=colour, linewidth=4, solid_capstyle="round")
        axes.plot([auc], [y], "o", color=colour, markersize=9)
        words = f"{auc:.2f}  ({low:.2f} to {high:.2f})"
        axes.text(1.02, y, words, transform=axes.get_yaxis_transform(), va="center", color=colour)
    axes.set_yticks(range(len(found)), [SHORTCUTS[name].replace(" (", "\n(") for name in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    ends = [end for _, low, high in found.values() for end in (low, high)]
    axes.set_xlim(max(0.0, min(0.4, *ends) - 0.02), min(1.0, max(0.7, *ends) + 0.02))
    axes.set_xlabel("AUC of a classifier that sees nothing else, with its 95 % interval (dashed: chance)")
    beating = len(warnings(found))
    verdict = f"{beating} of {len(found)} shortcuts beat chance" if beating else "no shortcut beats chance"
    fig.suptitle(
        f"Telling fake from real without a look at a face: {verdict}", x=0.01, ha="left", weight="bold", size=11
    )
    save(fig, path)
