"""Pictures of how well the explanations find what was replaced: maps with their controls, curves, regions."""

from pathlib import Path
from typing import Any

import numpy as np

from rffd.localisation import MAP_NAMES
from rffd.look import GRID, INK, MUTED, REGION_COLOURS, figure, save
from rffd.names import REGIONS

LINES = {  # darker and more solid where it speaks of fake; no class's or region's colour
    "patches": {"color": INK, "linestyle": "-"},
    "gradient": {"color": INK, "linestyle": "--"},
    "rollout": {"color": "#a07c4f", "linestyle": "-"},
    "attention": {"color": "#a07c4f", "linestyle": "--"},
    "random order": {"color": MUTED, "linestyle": ":"},
}


def write_localisation_plots(details: dict[str, Any], plots: Path) -> None:
    """Draw `localisation.png`, `curves.png` and `regions.png` from explain's details; what is null is left out."""
    save(localisation(details["maps"]), plots / "localisation.png")
    if details["curves"]:
        save(curves(details["curves"]), plots / "curves.png")
    save(regions(details["regions"]), plots / "regions.png")


def _dot(axes: Any, y: float, value: float | None, ends: list[float] | None, **style: Any) -> None:
    """A figure and its interval on one line; nothing for None."""
    if value is None:
        return
    if ends:
        axes.plot(ends, [y, y], color=style["color"], linewidth=1.5, solid_capstyle="butt")
    axes.plot(value, y, "o", markersize=6, clip_on=False, **style)


def localisation(maps: dict[str, Any]) -> Any:
    """Pixel and region AUC, IoU and pointing by map with 95 % intervals, shuffled weights beside them in grey."""
    measures = {"pixel_auc": "Pixel AUC", "region_auc": "Region AUC", "iou": "IoU", "pointing": "Pointing"}
    names = [name for name in MAP_NAMES if name in maps]
    fig, axes = figure(1, 4, height=3.0, sharey=True)
    for column, (key, title) in zip(axes, measures.items(), strict=True):
        for y, name in enumerate(names):
            found = maps[name]
            colour = MUTED if name == "fixed" else INK
            _dot(column, y, found.get(key), found.get(f"{key}_ci95"), color=colour)
            control = found.get("control")
            if control and key in control:
                _dot(column, y + 0.28, control[key], control.get(f"{key}_ci95"), color=MUTED, markerfacecolor="white")
        if key in ("pixel_auc", "region_auc"):
            column.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
        elif key == "pointing" and names and maps[names[0]]["pointing_chance"] is not None:
            column.axvline(maps[names[0]]["pointing_chance"], color=MUTED, linewidth=0.8, linestyle=":")
        column.set_title(title)
        column.set_xlim(0, 1)
        column.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        column.grid(axis="x")
    axes[0].set_yticks(range(len(names)), [MAP_NAMES[name] for name in names])
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    fig.supxlabel("95 % intervals; hollow: shuffled weights; dotted: chance", fontsize=8, color=MUTED)
    return fig


def curves(found: dict[str, Any]) -> Any:
    """Deletion and insertion: the mean probability of fake as patches go or come in each map's order."""
    fig, axes = figure(1, 2, height=3.2, sharey=True)
    for column, way in zip(axes, ("deletion", "insertion"), strict=True):
        for name, style in LINES.items():
            points = found[name][way]
            column.plot(np.linspace(0, 100, len(points)), points, label=MAP_NAMES.get(name, name), **style)
        column.set_title("Deletion: lower is better" if way == "deletion" else "Insertion: higher is better")
        column.set_xlabel(f"patches {'blurred' if way == 'deletion' else 'uncovered'}, hottest first (%)")
        column.set_ylim(0, 1)
        column.grid()
    axes[0].set_ylabel("mean probability of fake")
    axes[1].legend(fontsize=8)
    return fig


def regions(found: dict[str, Any]) -> Any:
    """Average precision and F1 by region with 95 % intervals; the tick is the share of images with it replaced."""
    fig, axes = figure(1, 2, height=2.4, sharey=True)
    for column, (key, title) in zip(
        axes, {"average_precision": "Average precision", "f1": "F1 at 0.5"}.items(), strict=True
    ):
        for y, name in enumerate(REGIONS):
            column.plot([0, 1], [y, y], color=GRID, linewidth=0.8)
            _dot(column, y, found[name][key], found[name][f"{key}_ci95"], color=REGION_COLOURS[name])
            if key == "average_precision" and found[name]["share"] is not None:
                column.plot(found[name]["share"], y, "|", color=INK, markersize=12)
        column.set_title(title)
        column.set_xlim(0, 1)
    axes[0].set_yticks(range(len(REGIONS)), [name.replace("_", " ") for name in REGIONS])
    axes[0].set_ylim(len(REGIONS) - 0.5, -0.5)
    fig.supxlabel(
        "all test images, a real counting as four zeros; bar: chance; 95 % intervals", fontsize=8, color=MUTED
    )
    return fig
