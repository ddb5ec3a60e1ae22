"""How every picture of the project looks: one place for colours, figure style and contact sheets.

The same colour means the same class everywhere. Files are the same to the byte on every run.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from rffd.files import replacing

REAL, FAKE = "#2a7f8e", "#d1495b"
COLOURS = {"real": REAL, "fake": FAKE}
DIFFICULTY_COLOURS = {"easy": "#eba3ad", "mid": FAKE, "hard": "#85202f"}  # shades of fake: darker is harder
REGION_COLOURS = {"left_eye": "#e0a018", "right_eye": "#7d5ba6", "nose": "#5a9e4b", "mouth": "#3a6fb7"}
SPLIT_COLOURS = {"train": "#6b7480", "val": "#9aa3ad", "test": "#30363d"}
INK, MUTED, GRID, PAPER = "#22272e", "#6b7480", "#e4e7eb", "#ffffff"

WIDTH = 8.0  # inches; with DPI, 1200 px: a full column of the report
DPI = 150
TILE = 144  # pixels a side of a picture in a sheet

matplotlib.rcdefaults()  # a user's own matplotlibrc must not change our files
matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=[REAL, FAKE, *REGION_COLOURS.values(), MUTED]),
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
        "lines.linewidth": 2,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
    }
)


def figure(
    rows: int = 1, columns: int = 1, *, width: float = WIDTH, height: float = 3.2, **kwargs: Any
) -> tuple[Figure, Any]:
    """A new figure and its axes (as `plt.subplots` returns them), `width` x `height` inches, laid out tightly.

    No pyplot: no window system, no figure left open. `kwargs` go to `Figure.subplots`.
    """
    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return fig, fig.subplots(rows, columns, **kwargs)


def save(fig: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically, without the version and date that matplotlib would add."""
    with replacing(path) as temporary:
        fig.savefig(temporary, format="png", metadata={"Software": None})


def save_image(image: Image.Image, path: Path) -> None:
    """Write a picture as PNG, atomically."""
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")


def sheet(
    images: Sequence[Image.Image | np.ndarray],
    captions: Sequence[str] | None = None,
    columns: int = 6,
    *,
    size: int = TILE,
    title: str = "",
    colours: Sequence[str | None] | None = None,
    rows: Sequence[str] | None = None,
    legend: Sequence[tuple[str, str]] = (),
) -> Image.Image:
    """A contact sheet: pictures (Pillow or uint8 arrays) in rows of `columns`, each fitted into `size` pixels.

    `captions` stand below; `colours` draws a bar of the class's colour under each picture; `rows` names
    the rows in a left margin; `legend` explains colours (colour, words). Text too long for its place is shortened.
    """
    gap, margin, bar = 8, 16, 4
    label_width = max((_width(text, 14, bold=True) for text in rows), default=0) + margin if rows else 0
    below = (bar if colours else 0) + (18 if captions else 0)
    head = (34 if title else 0) + (24 if legend else 0)
    lines = -(-len(images) // columns)
    width = 2 * margin + label_width + columns * (size + gap) - gap
    height = 2 * margin + head + max(lines * (size + below + gap) - gap, 0)
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    if title:
        _text(draw, (margin, margin), title, 17, INK, width - 2 * margin, bold=True)
    x = margin
    for colour, words in legend:
        top = margin + head - 22
        draw.rectangle((x, top, x + 11, top + 11), fill=colour)
        _text(draw, (x + 17, top - 1), words, 11, MUTED, width - margin - x - 17)
        x += 17 + _width(words, 11, bold=False) + 18
    for i, picture in enumerate(images):
        left = margin + label_width + (i % columns) * (size + gap)
        top = margin + head + (i // columns) * (size + below + gap)
        canvas.paste(fitted(picture, size), (left, top))
        if colours and colours[i]:
            draw.rectangle((left, top + size, left + size - 1, top + size + bar - 1), fill=colours[i])
        if captions:
            _text(draw, (left, top + size + below - 15), captions[i], 11, MUTED, size)
        if rows and i % columns == 0 and i // columns < len(rows):
            _text(draw, (margin, top + size // 2 - 9), rows[i // columns], 14, INK, label_width, bold=True)
    return canvas


def fitted(picture: Image.Image | np.ndarray, size: int) -> Image.Image:
    """The whole picture inside a square of `size` pixels on light grey, its proportions kept."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    image = image.convert("RGB")
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        way = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
        image = image.resize((width, height), way)
    square = Image.new("RGB", (size, size), GRID)
    square.paste(image, ((size - width) // 2, (size - height) // 2))
    return square


@functools.cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _width(text: str, size: int, *, bold: bool) -> int:
    return int(np.ceil(_font(size, bold).getlength(text)))


def _text(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: str, room: int, bold: bool = False
) -> None:
    shown = text
    while len(shown) > 1 and _width(shown, size, bold=bold) > room:
        text = text[:-1]
        shown = text + "…"
    draw.text(at, shown, fill=colour, font=_font(size, bold))
