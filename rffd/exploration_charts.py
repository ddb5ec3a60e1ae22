"""The charts of exploration: counts, regions, sizes, channels, shortcuts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap

from rffd.exploration import Exploration, Row, counts, patterns, together
from rffd.look import COLOURS, DIFFICULTY_COLOURS, FAKE, GRID, INK, MUTED, PAPER, REGION_COLOURS, figure, save
from rffd.names import LABELS, REGIONS

WORDS = {region: region.replace("_", " ") for region in REGIONS}
AUDIT_WORDS = {"original": "as the files are", "reencoded": "re-encoded", "prepared": "as the model sees them"}


def draw_charts(found: Exploration, folder: Path) -> None:
    """Write all charts as PNG into `folder`."""
    draw_counts(found.rows, folder / "counts.png")
    draw_regions(found.rows, folder / "regions.png")
    draw_sizes(found.rows, folder / "sizes.png")
    draw_channels(found.channels, found.pretrained, folder / "channels.png")
    draw_audit(found, folder / "audit.png")
    if any(found.changed.values()):
        draw_changed(found.changed, folder / "changed.png")


def draw_counts(rows: Sequence[Row], path: Path) -> None:
    """Bars of classes, difficulties and regions, each with its number."""
    found = counts(rows)
    colours = {"class": COLOURS, "difficulty": DIFFICULTY_COLOURS, "region": REGION_COLOURS}
    titles = {"class": "Images", "difficulty": "Fakes by difficulty", "region": "Fakes by region"}
    fig, axes = figure(1, 3, height=2.5)
    for axis, (name, numbers) in zip(axes, found.items(), strict=True):
        total = sum(found["class"].values()) if name == "class" else found["class"]["fake"]
        _bars(axis, numbers, colours[name], total)
        axis.set_title(titles[name])
        if not any(numbers.values()):
            axis.text(0.5, 0.5, "the names don't tell", transform=axis.transAxes, ha="center", color=MUTED)
    save(fig, path)


def _bars(axis: Axes, numbers: Mapping[str, int], colours: Mapping[str, str], total: int) -> None:
    names = list(numbers)
    axis.barh(range(len(names)), list(numbers.values()), color=[colours[name] for name in names], height=0.7)
    for y, count in enumerate(numbers.values()):
        axis.annotate(
            f"{count:,}\n{count / total:.0%}", (count, y), (4, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    axis.set_yticks(range(len(names)), [WORDS.get(name, name) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, max([*numbers.values(), 1]) * 1.3)
    axis.tick_params(length=0)
    axis.set_xticks([])
    axis.spines["bottom"].set_visible(False)


def draw_regions(rows: Sequence[Row], path: Path) -> None:
    """Which regions were replaced together: each combination's count, and pairs of regions."""
    found, table = patterns(rows), together(rows)
    fig, axes = figure(2, 2, height=4.4, width_ratios=[3, 1.7], height_ratios=[2.1, 1])
    bars, dots = axes[:, 0]
    bars.bar(range(len(found)), found.values(), color=FAKE, width=0.7)
    for x, count in enumerate(found.values()):
        bars.annotate(f"{count}", (x, count), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    bars.set_title("Fakes by combination of replaced regions")
    bars.set_xticks([])
    bars.set_yticks([])
    bars.spines[["left", "bottom"]].set_visible(False)
    for x, bits in enumerate(found):
        on = [y for y in range(4) if bits[y] == "1"]
        dots.plot([x] * len(on), on, color=MUTED, linewidth=1.5, zorder=1)
        dots.scatter([x] * 4, range(4), s=36, zorder=2, color=[
            REGION_COLOURS[REGIONS[y]] if y in on else GRID for y in range(4)
        ])  # fmt: skip
    dots.set_yticks(range(4), WORDS.values())
    dots.set_ylim(3.5, -0.5)
    for axis in (bars, dots):
        axis.set_xlim(-0.6, max(len(found), 1) - 0.4)
        axis.tick_params(length=0)
    dots.set_xticks([])
    dots.spines[["left", "bottom"]].set_visible(False)
    grid = axes[0, 1].get_gridspec()
    for axis in axes[:, 1]:
        axis.remove()
    _together(fig.add_subplot(grid[:, 1]), table)
    save(fig, path)


def _together(axis: Axes, table: np.ndarray) -> None:
    own = np.maximum(np.diag(table), 1)[:, None]
    share = table / own
    axis.imshow(share, cmap=_white_to(FAKE), vmin=0, vmax=1)
    for i in range(4):
        for j in range(4):
            text = f"{table[i, j]:,}" if i == j else f"{share[i, j]:.0%}"
            dark = share[i, j] > 0.8
            axis.text(j, i, text, ha="center", va="center", color=PAPER if dark else INK, fontsize=9)
    axis.set_xticks(range(4), WORDS.values(), rotation=30, ha="right")
    axis.set_yticks(range(4), WORDS.values())
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title("With the row's region,\nhow often the column's")


def _white_to(colour: str) -> Colormap:
    return LinearSegmentedColormap.from_list("class", [PAPER, colour])


def draw_sizes(rows: Sequence[Row], path: Path) -> None:
    """Width and height of the pictures, and the size of their files, by class."""
    fig, (sides, weights) = figure(1, 2, height=2.9)
    kilobytes = {label: np.array([int(r["bytes"]) / 1000 for r in rows if r["label"] == label]) for label in LABELS}
    shapes = {label: [(int(r["width"]), int(r["height"])) for r in rows if r["label"] == label] for label in LABELS}
    if len({shape for label in LABELS for shape in shapes[label]}) == 1:
        width, height = shapes["real"][0]
        sides.text(0.5, 0.5, f"{width} x {height}", transform=sides.transAxes, ha="center", fontsize=22)
        sides.text(0.5, 0.36, "all images", transform=sides.transAxes, ha="center", color=MUTED)
        sides.set_axis_off()
    else:
        for label in LABELS:
            found, number = np.unique(np.array(shapes[label]), axis=0, return_counts=True)
            sides.scatter(*found.T, s=8 + 12 * np.sqrt(number), color=COLOURS[label], alpha=0.45, linewidths=0)
        sides.set(xlabel="width, pixels", ylabel="height, pixels")
    sides.set_title("Size of the pictures")
    edges = np.geomspace(*_range(np.concatenate(list(kilobytes.values()))), 40)
    for label in LABELS:
        share = np.histogram(kilobytes[label], edges)[0] / len(kilobytes[label])
        weights.stairs(share, edges, color=COLOURS[label], linewidth=2, label=label)
        weights.stairs(share, edges, color=COLOURS[label], fill=True, alpha=0.15)
    weights.set_xscale("log")
    weights.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    weights.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    weights.set(xlabel="file size, kB (log)", yticks=[], title="Size of the files, share of each class")
    weights.spines["left"].set_visible(False)
    weights.legend(loc="upper right")
    save(fig, path)


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return max(low * 0.95, 1e-3), high * 1.05 + 1e-3


def draw_changed(changed: Mapping[int, Sequence[float]], path: Path) -> None:
    """How much of the picture was replaced, a dot a registered mask, with the median, by number of regions."""
    fig, axis = figure(height=0.9 + 0.42 * len(changed))
    for y, areas in enumerate(changed.values()):
        apart = np.linspace(-0.26, 0.26, len(areas)) if len(areas) > 1 else np.zeros(1)
        axis.scatter(100 * np.sort(areas), np.random.default_rng(y).permutation(apart) + y, s=14, color=FAKE,
                     alpha=0.45, linewidths=0)  # fmt: skip
        middle = 100 * float(np.median(areas))
        axis.plot([middle, middle], [y - 0.36, y + 0.36], color=INK, linewidth=2)
        words = f"{middle:.1f} % of the picture, {len(areas):,} masks"
        axis.text(1.02, y, words, transform=axis.get_yaxis_transform(), va="center", fontsize=9, color=MUTED)
    names = {0: "not told by the name", 1: "1 region"}
    axis.set_yticks(range(len(changed)), [names.get(n, f"{n} regions") for n in changed])
    axis.set_ylim(len(changed) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("% of the picture replaced, measured against the original photograph (line: median)")
    axis.set_title("How much was replaced, by number of regions")
    save(fig, path)


def draw_channels(channels: Mapping[str, np.ndarray], pretrained: np.ndarray, path: Path) -> None:
    """Mean and standard deviation of red, green and blue by class, beside the pre-trained model's."""
    fig, axes = figure(1, 2, height=2.4, sharey=True)
    shift = {"real": -0.14, "fake": 0.14}
    for k, (axis, title) in enumerate(zip(axes, ("Mean of each channel", "Standard deviation"), strict=True)):
        for label in LABELS:
            axis.plot(
                channels[label][k], np.arange(3) + shift[label], "o", color=COLOURS[label], markersize=9, label=label
            )
        axis.plot(pretrained[k], range(3), "|", color=INK, markersize=26, markeredgewidth=2, label="pre-trained model")
        values = np.concatenate([pretrained[k], *(channels[label][k] for label in LABELS)])
        room = max(0.05, 0.25 * np.ptp(values))
        axis.set_xlim(values.min() - room, values.max() + room)
        axis.set_ylim(2.6, -0.6)
        axis.set_yticks(range(3), ["red", "green", "blue"])
        axis.grid(axis="y")
        axis.tick_params(axis="y", length=0)
        axis.set_title(title)
        axis.set_xlabel("of 1")
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=3, markerscale=0.7)
    save(fig, path)


def draw_audit(found: Exploration, path: Path) -> None:
    """What a classifier gets from header and pixel statistics alone, before and after re-encoding."""
    fig, axis = figure(height=2.6)
    axis.axvline(0.5, color=MUTED, linewidth=1, linestyle="--")
    labels = []
    for y, (name, (auc, low, high)) in enumerate(found.audit.items()):
        kind, state = name.split("_")
        labels.append(f"{'JPEG header' if kind == 'header' else 'pixel statistics'}, {AUDIT_WORDS[state]}")
        colour = INK if low > 0.5 else MUTED
        axis.plot([low, high], [y, y], color=colour, linewidth=3, solid_capstyle="round")
        axis.plot([auc], [y], "o", color=colour, markersize=9)
        axis.annotate(f"{auc:.2f}", (high, y), (6, 0), textcoords="offset points", va="center", color=colour)
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.6)
    ends = [end for _, *interval in found.audit.values() for end in interval]
    axis.set_xlim(min(0.4, min(ends) - 0.02), max(0.7, max(ends) + 0.05))
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("AUC with 95 % interval; dashed: chance; grey: not above it")
    axis.set_title(f"Shortcuts, before and after JPEG {found.audit_quality} for all")
    save(fig, path)
