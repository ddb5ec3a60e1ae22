"""Making the catalogue: one row an image, with what its name, header and bytes tell, and whether it is used."""

import hashlib
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from rffd.audit import AuditParams, pixel_statistics
from rffd.catalog import COLUMNS, OK, SET_ASIDE, Row
from rffd.errors import RffdError
from rffd.files import read_csv
from rffd.grouping import groups
from rffd.images import UnreadableImage, read_image
from rffd.names import LABELS, parse_name
from rffd.parallel import spread

EXIF_ORIENTATION = 0x0112
STATISTICS = len(pixel_statistics(Image.new("RGB", (32, 32))))


@dataclass(frozen=True, kw_only=True)
class CatalogParams:
    """The section `catalog`."""

    audit: AuditParams


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs of paths that show the same photograph, as the stage `pair` wrote them."""
    try:
        return [(row["a"], row["b"]) for row in read_csv(path)]
    except (FileNotFoundError, KeyError) as error:
        raise RffdError(f"{path}: not there, or without the columns a and b; run `dvc repro pair`") from error


def describe_images(
    raw: Path, pairs: Iterable[tuple[str, str]], workers: int | None = None
) -> tuple[list[Row], np.ndarray]:
    """Describe every file in `raw/real` and `raw/fake`; `pairs` are paths that show the same photograph.

    Returns the rows sorted by path and, in the same order, their pixel statistics [N, F] float64 (NaN for
    what can't be read). Unreadable files and repeated bytes are set aside with the reason.
    """
    paths = sorted(f"{label}/{file.name}" for label in LABELS for file in _files(raw / label))
    if not paths:
        raise RffdError(f"{raw}: no images; run `dvc repro acquire`")
    described = list(spread(partial(_describe, raw), paths, "catalog", workers=workers))
    rows, statistics = [row for row, _ in described], np.stack([vector for _, vector in described])
    repeats = _set_repeats_aside(rows)
    try:
        names = groups([*pairs, *repeats], paths)
    except KeyError as error:
        raise RffdError(f"the pairs name {error}, which is not in {raw}; run `dvc repro pair`") from None
    for row in rows:
        row["group"] = names[row["path"]]
    return rows, statistics


def jpeg_signature(image: Image.Image) -> str:
    """What an encoder leaves in the header: "q-" and a hash of quantisation tables, chroma sampling and progressive.

    `image` as opened, not converted. A file of another format is named by it ("png"), which tells as much.
    """
    if not isinstance(image, JpegImageFile):  # MPO is a kind of it
        return (image.format or "").lower()
    tables = sorted((key, list(table)) for key, table in image.quantization.items())
    sampling = [tuple(layer[1:3]) for layer in image.layer]
    progressive = bool(image.info.get("progressive"))
    return "q-" + hashlib.sha256(repr((tables, sampling, progressive)).encode()).hexdigest()[:6]


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file()] if folder.is_dir() else []


def _describe(raw: Path, path: str) -> tuple[Row, np.ndarray]:
    label, data = path.split("/")[0], (raw / path).read_bytes()
    name = parse_name(path, label)
    row: Row = dict.fromkeys(COLUMNS, "")
    row |= {
        "path": path,
        "label": label,
        "difficulty": name.difficulty or "",
        "id": "" if name.id is None else name.id,
        "bits": "" if name.bits is None else "".join(map(str, name.bits)),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "status": OK,
        "note": name.note,
    }
    try:
        image = read_image(data)
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as header:
            orientation = header.getexif().get(EXIF_ORIENTATION, "")
            row |= {"mode": header.mode, "orientation": orientation, "jpeg": jpeg_signature(header)}
    except UnreadableImage as error:
        row |= {"status": SET_ASIDE, "reason": error.reason}
        return row, np.full(STATISTICS, np.nan)
    row |= {"width": image.width, "height": image.height}
    return row, pixel_statistics(image)


def _set_repeats_aside(rows: list[Row]) -> list[tuple[str, str]]:
    """Keep the first of several files with the same bytes; under both labels, none. Returns them as pairs."""
    by_bytes: dict[str, list[Row]] = {}
    for row in rows:
        by_bytes.setdefault(row["sha256"], []).append(row)
    pairs = []
    for same in by_bytes.values():
        usable = [row for row in same if row["status"] == OK]
        both = len({row["label"] for row in usable}) > 1
        for row in usable:
            if both:
                other = next(o for o in usable if o["label"] != row["label"])
                row |= {"status": SET_ASIDE, "reason": f"the same bytes as {other['path']}, which has the other label"}
            elif row is not usable[0]:
                row |= {"status": SET_ASIDE, "reason": f"the same bytes as {usable[0]['path']}"}
        pairs += [(usable[0]["path"], row["path"]) for row in usable[1:]]
    return pairs
