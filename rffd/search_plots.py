"""Pictures of a search: how it went on, what mattered, where the good values lie, and what was stopped early."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rffd.look import FAKE, GRID, INK, MUTED, REAL, figure, save
from rffd.search_space import Dimension
from rffd.study import Outcome

LEFT = {"pruned": MUTED, "failed": FAKE}  # how trials that gave no result are marked


def draw_pictures(
    outcomes: Sequence[Outcome],
    dimensions: Sequence[Dimension],
    importances: Mapping[str, float],
    metric: str,
    direction: str,
    folder: Path,
) -> None:
    """Write history.png, curves.png, slices.png, parallel.png and importances.png; nothing if there are no trials."""
    folder.mkdir(parents=True, exist_ok=True)
    if not outcomes:
        return
    label = f"validation {metric.replace('_', ' ')}"
    history(outcomes, label, direction, folder / "history.png")
    curves(outcomes, label, folder / "curves.png")
    slices(outcomes, dimensions, label, folder / "slices.png")
    parallel(outcomes, dimensions, label, direction, folder / "parallel.png")
    bars(importances, folder / "importances.png")


def history(outcomes: Sequence[Outcome], label: str, direction: str, path: Path) -> None:
    """Each trial's value, and the best so far."""
    fig, axes = figure()
    complete = _complete(outcomes)
    better = np.maximum if direction == "maximize" else np.minimum
    numbers, values = [o.number for o, _ in complete], [value for _, value in complete]
    axes.scatter(numbers, values, color=REAL, s=24, zorder=3, label="complete")
    for state, colour in LEFT.items():
        left = [o for o in outcomes if o.state == state and o.value is not None]
        if left:
            axes.scatter([o.number for o in left], [o.value for o in left], marker="x", color=colour, s=24, label=state)
    for outcome in outcomes:
        if outcome.value is None:
            axes.axvline(outcome.number, color=FAKE, linewidth=1, alpha=0.5)
    if complete:
        last = outcomes[-1].number
        best = better.accumulate(values)
        axes.step([*numbers, last], [*best, best[-1]], where="post", color=INK, label="best so far")
    axes.set(title="The search over time", xlabel="trial", ylabel=label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _limit(axes, outcomes)
    _legend(axes)
    save(fig, path)


def curves(outcomes: Sequence[Outcome], label: str, path: Path) -> None:
    """Each trial epoch by epoch; a cross where one was stopped."""
    fig, axes = figure(height=3.6)
    seen = set()
    for outcome in outcomes:
        epochs, values = list(outcome.curve), list(outcome.curve.values())
        colour = REAL if outcome.state == "complete" else LEFT[outcome.state]
        name = outcome.state if outcome.state not in seen else None
        seen.add(outcome.state)
        width = 2.0 if outcome.number == 0 else 1.0
        axes.plot(epochs, values, color=colour, linewidth=width, alpha=0.75, label=name)
        if epochs and outcome.state != "complete":
            axes.plot(epochs[-1:], values[-1:], marker="x", color=colour)
    axes.set(title="Learning curves (bold: fit's own values)", xlabel="epoch", ylabel=label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _limit(axes, outcomes)
    _legend(axes)
    save(fig, path)


def slices(outcomes: Sequence[Outcome], dimensions: Sequence[Dimension], label: str, path: Path) -> None:
    """The value against each tunable; later trials are darker."""
    columns = min(3, len(dimensions))
    rows = -(-len(dimensions) // columns)
    fig, grid = figure(rows, columns, height=2.6 * rows, squeeze=False, sharey=True)
    complete = _complete(outcomes)
    for axes, dimension in zip(grid.flat, dimensions, strict=False):
        places = [_place(o.values[dimension.name], dimension) for o, _ in complete]
        values, age = [value for _, value in complete], [o.number for o, _ in complete]
        axes.scatter(places, values, c=age, cmap="viridis_r", s=22, edgecolor=INK, linewidth=0.3)
        for o in outcomes:
            if o.state == "pruned":
                axes.plot(_place(o.values[dimension.name], dimension), o.value, "x", color=MUTED, markersize=4)
        axes.set_xlabel(dimension.name)
        if dimension.log:
            axes.set_xscale("log")
            middle = float(np.sqrt(float(dimension.low or 1) * float(dimension.high or 1)))
            ticks = [dimension.low, middle, dimension.high]
            axes.set_xticks(ticks, [_short(float(tick or 0)) for tick in ticks])
            axes.minorticks_off()
        if dimension.choices is not None:
            axes.set_xticks(range(len(dimension.choices)), [str(choice) for choice in dimension.choices])
    for axes in grid.flat[len(dimensions) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    _limit(grid.flat[0], outcomes)
    fig.suptitle("Where the good values lie (dark: late trials; crosses: stopped early)", x=0.01, ha="left", size=11)
    save(fig, path)


def parallel(
    outcomes: Sequence[Outcome], dimensions: Sequence[Dimension], label: str, direction: str, path: Path
) -> None:
    """One line a complete trial through all tunables to its value; the best third stands out."""
    fig, axes = figure(height=3.6)
    sign = 1 if direction == "maximize" else -1
    ranked = sorted(_complete(outcomes), key=lambda pair: sign * pair[1])
    values = [value for _, value in ranked] or [0.0]
    low, high = min(values), max(values)
    for rank, (outcome, value) in enumerate(ranked):
        heights = [_share(outcome.values[d.name], d) for d in dimensions]
        heights.append((value - low) / (high - low) if high > low else 0.5)
        best = rank >= len(ranked) * 2 / 3
        axes.plot(heights, color=REAL if best else GRID, alpha=0.9, linewidth=1.4, zorder=2 + best)
    for place, dimension in enumerate(dimensions):
        ends = dimension.choices if dimension.choices is not None else (dimension.low, dimension.high)
        axes.axvline(place, color=MUTED, linewidth=0.8)
        _ends(axes, place, ends[0], ends[-1])
    axes.axvline(len(dimensions), color=MUTED, linewidth=0.8)
    _ends(axes, len(dimensions), low, high)
    axes.set_xticks(range(len(dimensions) + 1), [*(d.name for d in dimensions), label])
    axes.tick_params(axis="x", pad=12, length=0, labelrotation=20 if len(dimensions) > 5 else 0)
    axes.set(yticks=[], ylim=(-0.14, 1.14), title="Every complete trial (coloured: the best third)")
    axes.spines[:].set_visible(False)
    save(fig, path)


def bars(importances: Mapping[str, float], path: Path) -> None:
    """Each tunable's share."""
    fig, axes = figure(height=max(1.8, 0.5 + 0.4 * len(importances)))
    names = list(importances)[::-1]
    axes.barh(names, [importances[name] for name in names], color=REAL)
    axes.set(title="What mattered", xlabel="share (PED-ANOVA)")
    if not names:
        axes.text(0.5, 0.5, "too few complete trials to say", ha="center", transform=axes.transAxes, color=MUTED)
        axes.set(yticks=[], xticks=[])
    save(fig, path)


def _complete(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, float]]:
    """The complete trials, each with its value."""
    return [(o, o.value) for o in outcomes if o.state == "complete" and o.value is not None]


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(handles, labels, loc="best", ncols=2, fontsize=9)


def _limit(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Keep one wild value from flattening all others: show the middle 90 % and every complete trial's value."""
    told = [v for o in outcomes for v in o.curve.values() if np.isfinite(v)]
    kept = [value for _, value in _complete(outcomes)]
    told += kept
    if told:
        low, high = np.percentile(told, [5, 95])
        low, high = min([low, *kept]), max([high, *kept])
        axes.set_ylim(low - 0.06 * (high - low + 1e-6), high + 0.06 * (high - low + 1e-6))


def _ends(axes: Axes, place: int, low: Any, high: Any) -> None:
    """Write an upright axis's ends under and over it."""
    axes.annotate(_short(low), (place, -0.03), ha="center", va="top", size=8, color=MUTED)
    axes.annotate(_short(high), (place, 1.03), ha="center", va="bottom", size=8, color=MUTED)


def _place(value: Any, dimension: Dimension) -> float:
    return dimension.choices.index(value) if dimension.choices is not None else value


def _share(value: Any, dimension: Dimension) -> float:
    """Where `value` lies between the dimension's ends, from 0 to 1."""
    if dimension.choices is not None:
        return dimension.choices.index(value) / (len(dimension.choices) - 1)
    low, high = float(dimension.low or 0), float(dimension.high or 0)
    if dimension.log:
        value, low, high = np.log([value, low, high])
    return (value - low) / (high - low)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
