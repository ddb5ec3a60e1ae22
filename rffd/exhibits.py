"""Verdicts that a person can read: the face, where the detector saw forgery, what it called, and what is true."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from rffd.explanation import MAPS, OCCLUSION, maps
from rffd.inspection import ExplainParams, Predictions, fakes, spread_out
from rffd.localisation import enlarge, truth
from rffd.look import COLOURS, DPI, FAKE, GRID, INK, MUTED, REGION_COLOURS, WIDTH, save, save_image, sheet
from rffd.model import Detector
from rffd.names import LABELS, REGIONS
from rffd.regions import region_masks
from rffd.store import Store

SIDE = 240  # pixels a side of a face in an exhibit
CALLED = 0.5  # probability from which a region is called replaced
KINDS = {
    "examples": "Test images evenly spaced, not chosen by result",
    "false_positives": "Reals most surely called fake",
    "false_negatives": "Fakes most surely called real",
}


@dataclass(frozen=True)
class Exhibit:
    """One image with its verdict; `picture` is the face and, right of it, the heat (2 SIDE x SIDE)."""

    path: str
    label: str
    probability: float
    regions: list[float]
    replaced: list[int] | None
    picture: Image.Image


def overlay(pixels: np.ndarray, heat: np.ndarray, low: float, high: float) -> Image.Image:
    """The picture [S, S, 3] in grey, coloured by its map [h, w] from `low` (none) to `high`, SIDE pixels a side."""
    grey = np.asarray(_face(pixels).convert("L"), dtype=np.float32)[..., None] / 255
    large = np.clip((enlarge(heat, SIDE) - low) / (high - low) if high > low else np.zeros((SIDE, SIDE)), 0, 1)
    colour = matplotlib.colormaps["inferno"](0.25 + 0.75 * large)[..., :3]
    strength = 0.75 * large[..., None] ** 0.8
    mixed = grey * 0.85 * (1 - strength) + colour * strength
    return Image.fromarray((np.clip(mixed, 0, 1) * 255 + 0.5).astype(np.uint8))


def outlined(image: Image.Image, mask: np.ndarray, colour: str, thickness: int = 2) -> Image.Image:
    """`image` with the border of a boolean mask [s, s] (resized to fit) drawn in `colour`."""
    large = Image.fromarray(mask.astype(np.uint8) * 255).resize(image.size, Image.Resampling.BILINEAR)
    inside = np.asarray(large) > 127
    core = inside.copy()
    for _ in range(thickness):
        padded = np.pad(core, 1)
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    pixels = np.array(image)
    pixels[inside & ~core] = np.array(matplotlib.colors.to_rgb(colour)) * 255
    return Image.fromarray(pixels)


def exhibits(
    detector: Detector, store: Store, rows: Sequence[int], found: Predictions, shown: str, batch_size: int
) -> list[Exhibit]:
    """An exhibit for each of `rows`: called regions outlined on the face, the registered mask on the heat.

    The patch head's probabilities are shown from 0 to 1, so that a picture in which nothing was seen looks it;
    another map is scaled in each picture by itself, for a sure verdict's gradients are small everywhere.
    """
    if not rows:
        return []
    heats = _heats(detector, store, rows, batch_size)[shown]
    shapes = region_masks(SIDE, store.contract.face_margin) > 0.5
    result = []
    for i, heat in zip(rows, heats, strict=True):
        path = store.paths[i]
        scores = found.regions[path]
        low, high = (0.0, 1.0) if shown == "patches" else (float(heat.min()), float(heat.max()))
        face, hot = _face(store.images[i]), overlay(store.images[i], heat, low, high)
        for k, name in enumerate(REGIONS):
            if scores[k] >= CALLED:
                face = outlined(face, shapes[k], REGION_COLOURS[name])
        mask, registered = truth(store, i)
        if mask is not None and registered:
            hot = outlined(hot, mask, "white", 1)
        picture = Image.new("RGB", (2 * SIDE, SIDE))
        picture.paste(face, (0, 0))
        picture.paste(hot, (SIDE, 0))
        bits = None if np.isnan(store.bits[i]).any() else [int(bit) for bit in store.bits[i]]
        label = LABELS[store.labels[i]]
        rounded = [round(float(score), 4) for score in scores]
        result.append(Exhibit(path, label, found.probability[path], rounded, bits, picture))
    return result


def choose(store: Store, found: Predictions, count: int) -> dict[str, list[int]]:
    """Rows for each of `KINDS`, `count` each at most: examples by place alone, then evaluate's worst mistakes."""
    fake, real = (np.flatnonzero(store.labels == label).tolist() for label in (1, 0))
    rows = {path: i for i, path in enumerate(store.paths)}
    many = -(-count * 2 // 3)
    return {"examples": spread_out(fake, many) + spread_out(real, count - many)} | {
        kind: [rows[path] for path in found.worst[kind][:count]] for kind in ("false_positives", "false_negatives")
    }


def write_exhibits(
    detector: Detector, store: Store, found: Predictions, shown: str, params: ExplainParams, folder: Path, plots: Path
) -> dict[str, list[dict[str, Any]]]:
    """Write each exhibit's picture to `folder` and a sheet a kind to `plots`; return what they say, by kind."""
    chosen = choose(store, found, params.pictures)
    everything = [i for rows in chosen.values() for i in rows]
    deck = exhibits(detector, store, everything, found, shown, params.batch_size)
    written: dict[str, list[dict[str, Any]]] = {}
    for kind, rows in chosen.items():
        some, deck = deck[: len(rows)], deck[len(rows) :]
        written[kind] = []
        for n, exhibit in enumerate(some, start=1):
            name = f"{kind}_{n:02}.png"
            save_image(exhibit.picture, folder / name)
            fields = {"path": exhibit.path, "label": exhibit.label, "probability": round(exhibit.probability, 4)}
            written[kind].append({"picture": name, **fields, "regions": exhibit.regions, "replaced": exhibit.replaced})
        if some:
            save(exhibit_sheet(some, KINDS[kind], shown), plots / f"{kind}.png")
    return written


def exhibit_sheet(deck: Sequence[Exhibit], title: str, shown: str) -> Figure:
    """Exhibits two a row: face, heat, and bars of the four region scores; a dot marks what really was replaced."""
    columns, room, line, head = 2, WIDTH / 2, 1.5, 0.75  # inches
    height = head + -(-len(deck) // columns) * line
    fig = Figure(figsize=(WIDTH, height), dpi=DPI)
    fig.text(0.01, 1 - 0.1 / height, title, fontsize=12, fontweight="bold", va="top")
    scale = "from 0 to 1" if shown == "patches" else "each picture by itself"
    note = f"Heat: {MAPS[shown]}, {scale}.\nWhite line: registered mask. Dot: really replaced."
    fig.text(0.01, 1 - 0.34 / height, note, fontsize=8, color=MUTED, va="top")
    for n, exhibit in enumerate(deck):
        left, bottom = n % columns * room + 0.08, height - head - (n // columns + 1) * line
        axes = fig.add_axes((left / WIDTH, (bottom + 0.2) / height, 2.4 / WIDTH, 1.2 / height))
        axes.imshow(np.asarray(exhibit.picture), interpolation="lanczos", aspect="auto")
        axes.set_axis_off()
        fig.text(left / WIDTH, (bottom + 0.06) / height, exhibit.path, fontsize=6, color=MUTED)
        x = (left + 2.5) / WIDTH
        bold: dict[str, Any] = {"fontsize": 8, "fontweight": "bold"}
        said = LABELS[int(exhibit.probability >= 0.5)]
        fig.text(x, (bottom + 1.28) / height, f"says {said}, {exhibit.probability:.2f}", **bold)
        fig.text(x, (bottom + 1.12) / height, f"is {exhibit.label}", color=COLOURS[exhibit.label], **bold)
        _region_bars(fig.add_axes((x, (bottom + 0.2) / height, 1.25 / WIDTH, 0.84 / height)), exhibit)
    return fig


def _region_bars(axes: Any, exhibit: Exhibit) -> None:
    for k, name in enumerate(REGIONS):
        score = exhibit.regions[k]
        called = score >= CALLED
        axes.barh(k, 1, color=GRID, height=0.3)
        axes.barh(k, score, color=REGION_COLOURS[name] if called else MUTED, height=0.3)
        style = {"fontsize": 6, "va": "bottom", "color": INK, "fontweight": "bold" if called else "normal"}
        axes.text(0, k - 0.24, name.replace("_", " "), **style)
        axes.text(1, k - 0.24, f"{score:.2f}", ha="right", **style)
        if exhibit.replaced and exhibit.replaced[k]:
            axes.plot(1.07, k, "o", color=FAKE, markersize=3.5, clip_on=False)
    axes.set_xlim(0, 1.12)
    axes.set_ylim(len(REGIONS) - 0.6, -0.75)
    axes.set_axis_off()


def write_map_sheet(
    detector: Detector, store: Store, occluded: dict[int, np.ndarray], params: ExplainParams, path: Path
) -> None:
    """All maps of a few fakes side by side, the truth last; `occluded` are occlusion's, by row, chosen by place."""
    rows = spread_out(list(occluded) or fakes(store), params.pictures)
    if not rows:
        return
    heats = _heats(detector, store, rows, params.batch_size)
    if occluded:
        heats[OCCLUSION] = np.array([occluded[i] for i in rows])
    tiles, captions = [], []
    for n, i in enumerate(rows):
        mask, registered = truth(store, i)
        tiles += [_face(store.images[i])]
        for name, heat in heats.items():
            low, high = (0.0, 1.0) if name == "patches" else (float(heat[n].min()), float(heat[n].max()))
            tiles.append(overlay(store.images[i], heat[n], low, high))
        assert mask is not None, "rows of `fakes`"
        tiles += [outlined(_face(store.images[i]), mask, FAKE, 3)]
        captions += ["picture", *heats, "registered mask" if registered else "average region"]
    title = "Every map on the same fakes; colours run from coldest to hottest, but the patch head's from 0 to 1"
    save_image(sheet(tiles, captions, columns=len(heats) + 2, title=title), path)


def _heats(detector: Detector, store: Store, rows: Sequence[int], batch_size: int) -> dict[str, np.ndarray]:
    """Every map of some images, [len(rows), h, w] each, a batch of attention in memory at a time."""
    starts = range(0, len(rows), batch_size)
    parts = [maps(detector, np.asarray(store.images[list(rows[i : i + batch_size])])) for i in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in MAPS}


def _face(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
