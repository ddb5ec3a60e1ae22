"""The sheets of exploration: faces one can look at, with what was replaced in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor

from rffd.exploration import Exploration, ExploreParams, Row, chosen
from rffd.face import find_face
from rffd.files import read_csv
from rffd.images import read_image
from rffd.look import COLOURS, FAKE, PAPER, REAL, REGION_COLOURS, fitted, save_image, sheet
from rffd.names import DIFFICULTIES, LABELS, REGIONS
from rffd.regions import region_masks

SIZE = 176  # pixels a side of a picture
COLUMNS = 6
LINE = 2  # pixels
AMPLIFIED = 4  # times a difference is shown, or else nobody sees a hard one
MASK_COLOUR = "#c8ff32"  # of a registered mask's outline: bright on skin, and no class's or region's colour
MASK_LEGEND = (MASK_COLOUR, "measured against the original photograph")
REGION_LEGEND = [(REGION_COLOURS[region], f"{region.replace('_', ' ')}, by its name") for region in REGIONS]


@dataclass(frozen=True)
class Registered:
    """A fake and its untouched base, relative to data/raw; `matrix` [2, 3] takes the base's pixels to the fake's."""

    fake: str
    base: str
    matrix: np.ndarray


def draw_sheets(found: Exploration, raw: Path, pairs: Path, params: ExploreParams, folder: Path) -> None:
    """Write the sheets of reals, fakes, registered pairs (if any) and averages as PNG into `folder`."""
    reals, fakes = ([row for row in found.rows if row["label"] == label] for label in LABELS)
    save_image(reals_sheet(chosen(reals, params.seed, params.reals), raw), folder / "reals.png")
    rows = {
        name: chosen([row for row in fakes if row["difficulty"] == name], params.seed, params.fakes)
        for name in (*DIFFICULTIES, "")
    }  # "" for those whose names don't tell
    save_image(fakes_sheet(rows, raw, pairs / "masks"), folder / "fakes.png")
    usable = {row["path"]: row for row in found.rows}
    registered = [pair for pair in registered_pairs(pairs) if pair.fake in usable and pair.base in usable]
    shown = {row["path"] for row in chosen([usable[pair.fake] for pair in registered], params.seed, params.pairs)}
    if shown:
        page = pairs_sheet([pair for pair in registered if pair.fake in shown], raw, pairs / "masks")
        save_image(page, folder / "pairs.png")
    save_image(averages_sheet(found.averages), folder / "averages.png")


def reals_sheet(rows: Sequence[Row], raw: Path) -> Image.Image:
    """Some reals, as they are."""
    pictures = [read_image(raw / row["path"]) for row in rows]
    names = [Path(row["path"]).stem for row in rows]
    return sheet(pictures, names, COLUMNS, size=SIZE, title="Real", colours=[REAL] * len(rows))


def fakes_sheet(rows: Mapping[str, Sequence[Row]], raw: Path, masks: Path) -> Image.Image:
    """Fakes by difficulty, a row of pictures each, with what was replaced outlined."""
    rows = {name: members for name, members in rows.items() if members}
    columns = max(len(members) for members in rows.values())
    pictures: list[Image.Image] = []
    names: list[str] = []
    for members in rows.values():
        blank = columns - len(members)
        pictures += [marked(row, raw, masks) for row in members] + [Image.new("RGB", (8, 8), PAPER)] * blank
        names += [Path(row["path"]).stem for row in members] + [""] * blank
    bars = [FAKE if name else None for name in names]
    measured = any((masks / f"{name}.png").exists() for name in names if name)
    legend = [*([MASK_LEGEND] if measured else []), *REGION_LEGEND]
    words = list(rows) if any(rows) else None
    return sheet(
        pictures,
        names,
        columns,
        size=SIZE,
        title="Fake, with what was replaced",
        colours=bars,
        rows=words,
        legend=legend,
    )


def marked(row: Row, raw: Path, masks: Path) -> Image.Image:
    """A fake with the outline of its registered mask, or of each region its name tells at the face found in it."""
    image = read_image(raw / row["path"])
    tile = fitted(image, SIZE)
    mask = masks / f"{Path(row['path']).stem}.png"
    if mask.exists():
        with Image.open(mask) as found:
            return outlined(tile, fitted(found, 3 * SIZE).convert("L"), MASK_COLOUR)
    scale = SIZE / max(image.size)
    face = find_face(image)
    side = max(1, round(3 * scale * face.side))
    left = round(3 * ((SIZE - scale * image.width) / 2 + scale * face.left))
    top = round(3 * ((SIZE - scale * image.height) / 2 + scale * face.top))
    for bit, region, shape in zip(row["bits"], REGIONS, region_masks(side, 0.0), strict=False):
        if bit == "1":
            area = Image.new("L", (3 * SIZE, 3 * SIZE))
            area.paste(Image.fromarray((shape * 255).astype(np.uint8)), (left, top))
            tile = outlined(tile, area, REGION_COLOURS[region])
    return tile


def outlined(tile: Image.Image, mask: Image.Image, colour: str) -> Image.Image:
    """The tile with a line around the bright part of `mask` (L, three times as large, for smooth lines)."""
    inside = (np.asarray(mask) >= 128).astype(np.uint8) * 255
    outer = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (6 * LINE + 1, 6 * LINE + 1)))
    line = Image.fromarray(outer - inside).resize(tile.size, Image.Resampling.BOX)
    return Image.composite(Image.new("RGB", tile.size, colour), tile, line)


def registered_pairs(pairs: Path) -> list[Registered]:
    """The pairs of `pairs/pairs.csv` with a mask: its transformation takes b's pixels to a's."""
    found = []
    for row in read_csv(pairs / "pairs.csv"):
        if not row["mask"]:
            continue
        scale, turn = float(row["scale"]), np.deg2rad(float(row["rotation"]))
        mirror = -1.0 if row["mirrored"] in ("1", "True", "true") else 1.0
        linear = (
            scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([mirror, 1.0])
        )
        matrix = np.column_stack([linear, [float(row["tx"]), float(row["ty"])]])
        if Path(row["a"]).stem == Path(row["mask"]).stem:
            found.append(Registered(row["a"], row["b"], matrix))
        else:
            found.append(Registered(row["b"], row["a"], cv2.invertAffineTransform(matrix)))
    return sorted(found, key=lambda pair: pair.fake)


def pairs_sheet(registered: Sequence[Registered], raw: Path, masks: Path) -> Image.Image:
    """Each fake with its mask's outline, its base laid onto it, and their difference; two pairs a row."""
    pictures: list[Image.Image] = []
    names: list[str] = []
    bars: list[str | None] = []
    for pair in registered:
        fake, base = (read_image(raw / path) for path in (pair.fake, pair.base))
        laid = cv2.warpAffine(np.asarray(base), pair.matrix, fake.size, flags=cv2.INTER_LINEAR, borderValue=(128,) * 3)
        covered = cv2.warpAffine(np.full(base.size[::-1], 255, np.uint8), pair.matrix, fake.size) == 255
        difference = cv2.absdiff(np.asarray(fake), laid).max(axis=2) * covered
        shown = np.minimum(difference.astype(np.int32) * AMPLIFIED, 255).astype(np.uint8)
        with Image.open(masks / f"{Path(pair.fake).stem}.png") as mask:
            outline = outlined(fitted(fake, SIZE), fitted(mask, 3 * SIZE).convert("L"), MASK_COLOUR)
        pictures += [outline, Image.fromarray(laid), Image.fromarray(shown)]
        names += [Path(pair.fake).stem, f"its base, {Path(pair.base).stem}", f"difference, {AMPLIFIED} times"]
        bars += [FAKE, COLOURS[pair.base.split("/")[0]], None]
    return sheet(
        pictures, names, COLUMNS, size=SIZE, title="Fake and untouched base", colours=bars, legend=[MASK_LEGEND]
    )


def averages_sheet(averages: Mapping[str, np.ndarray]) -> Image.Image:
    """The average real, the average fake, and where the one is brighter than the other, in its class's colour."""
    difference = (averages["fake"] - averages["real"]).mean(axis=2)
    most = max(float(np.quantile(np.abs(difference), 0.995)), 1e-6)
    share = np.clip(difference / most, -1, 1)[..., None]
    brighter = [np.array(ImageColor.getrgb(COLOURS[label]), dtype=np.float64) for label in LABELS]
    tinted = 255 + np.where(share < 0, -share * (brighter[0] - 255), share * (brighter[1] - 255))
    pictures = [np.rint(picture).astype(np.uint8) for picture in (averages["real"], averages["fake"], tinted)]
    names = ["average real", "average fake", f"difference, full colour: {most:.1f} of 255 levels"]
    legend = [(REAL, "reals are brighter"), (FAKE, "fakes are brighter")]
    return sheet(pictures, names, 3, size=2 * SIZE, title="Average faces", colours=[REAL, FAKE, None], legend=legend)
