"""The few building blocks of the report: tables, intervals, lines, pictures; plain HTML that loads nothing."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

WIDEST = 1200  # pixels; the column is 780, so this is sharp on dense screens
LIGHTEST = 160_000  # bytes up to which a picture is embedded as it is
QUALITY = 84  # of the JPEG that a heavier picture becomes
NONE = "–"


def number(value: Any, digits: int = 3) -> str:
    """A figure as text; a dash for None."""
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def percent(value: Any, digits: int = 0) -> str:
    """A share as a percentage; a dash for None."""
    return NONE if value is None else f"{100 * value:.{digits}f} %"


def spread(figures: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """`0.812 (0.760–0.861)` from `name` and `name_ci95`; words where it isn't defined."""
    value, ends = figures.get(name), figures.get(f"{name}_ci95")
    if value is None:
        return "not defined"
    interval = f" ({number(ends[0], digits)}–{number(ends[1], digits)})" if ends else ""
    return f"{number(value, digits)}{interval}"


def share(figures: Mapping[str, Any], name: str) -> str:
    """`7.9 % (3.5 %–12.7 %)` from `name` and `name_ci95`; words where it isn't defined."""
    value, ends = figures.get(name), figures.get(f"{name}_ci95")
    if value is None:
        return "not defined"
    return percent(value, 1) + (f" ({percent(ends[0], 1)}–{percent(ends[1], 1)})" if ends else "")


def paragraph(*sentences: str) -> str:
    """Sentences as one paragraph, escaped; empty ones are left out, and nothing comes of none."""
    text = " ".join(sentence for sentence in sentences if sentence)
    return f"<p>{escape(text)}</p>\n" if text else ""


def table(heading: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """Table of escaped text that scrolls sideways on narrow screens; the first column names rows; words stand left."""
    if not rows:
        return ""
    wordy = [all(row[k] and not any(map(str.isdigit, row[k])) for row in rows) for k in range(len(heading))]
    style = [' class="words"' if words and k else "" for k, words in enumerate(wordy)]
    head = "".join(f'<th scope="col"{style[k]}>{escape(text)}</th>' for k, text in enumerate(heading))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{style[k]}>{escape(text)}</td>" for k, text in enumerate(row[1:], start=1))
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )


def folded(title: str, content: str) -> str:
    """Content behind a title that opens it; nothing for nothing."""
    return f"<details><summary>{escape(title)}</summary>\n{content}</details>\n" if content else ""


def interval_bar(value: float | None, ends: Sequence[float] | None, *, target: float | None = None) -> str:
    """A figure from 0 to 1 as a dot, its interval as a bar and its target as a tick; drawn with plain boxes."""
    if value is None:
        return ""
    low, high = ends or (value, value)
    tick = f'<i class="target" style="left:{100 * target:.1f}%"></i>' if target is not None else ""
    return (
        f'<span class="bar" aria-hidden="true"><i class="range" style="left:{100 * low:.1f}%;'
        f'width:{100 * (high - low):.1f}%"></i>{tick}<i class="dot" style="left:{100 * value:.1f}%"></i></span>'
    )


def lines(series: Mapping[str, Sequence[float]], best: int, caption: str) -> str:
    """Curves over epochs (from 1) on a common scale, with a mark at epoch `best`; readable by its caption alone."""
    every = [value for values in series.values() for value in values]
    low, high = min(every), max(every)
    room = (high - low) or 1.0
    drawn, legend = "", ""
    for k, (name, values) in enumerate(series.items()):
        step = 100 / max(1, len(values) - 1)
        points = " ".join(f"{i * step:.2f},{100 - 100 * (v - low) / room:.2f}" for i, v in enumerate(values))
        drawn += f'<polyline class="line{k}" points="{points}"/>'
        legend += f'<span class="line{k}">{escape(name)}</span> '
    count = max(len(values) for values in series.values())
    x = 100 * (best - 1) / max(1, count - 1)
    ends = f'<span class="high">{high:.3f}</span><span class="low">{low:.3f}</span>'
    return (
        f'<figure class="chart"><div class="plot">{ends}'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{escape(caption)}">'
        f'<line class="best" x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="100"/>{drawn}</svg></div>'
        f'<div class="axis"><span>epoch 1</span><span>{count}</span></div>'
        f"<figcaption>{legend}<br>{escape(caption)}</figcaption></figure>\n"
    )


def picture(path: Path, alt: str, caption: str = "") -> str:
    """A picture inside the page, no wider than `WIDEST`, as a figure; nothing if the file isn't there."""
    if not path.is_file():
        return ""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    scroller = '<div class="scroll" tabindex="0" role="group" aria-label="picture, scrolls">'
    return f"<figure>{scroller}{image(path, alt)}</div>{words}</figure>\n"


def image(path: Path, alt: str) -> str:
    """The `img` of a file, as a data URI: as it is if light, else as a JPEG."""
    data, kind = path.read_bytes(), "png"
    with Image.open(io.BytesIO(data)) as opened:
        width, height = opened.size
        if width > WIDEST or len(data) > LIGHTEST:
            smaller = opened.convert("RGB")
            if width > WIDEST:
                width, height = WIDEST, max(1, round(height * WIDEST / width))
                smaller = smaller.resize((width, height), Image.Resampling.LANCZOS)
            buffer, kind = io.BytesIO(), "jpeg"
            smaller.save(buffer, "JPEG", quality=QUALITY, optimize=True, subsampling=0)
            data = buffer.getvalue()
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">'
