"""What counts as a readable image, decided in one place: every stage and `rffd predict` decode here.

Whatever the file holds (palette, alpha, CMYK, grey, 16 bit, EXIF orientation), the result is an upright
8-bit RGB picture. Anything else is an `UnreadableImage` with a reason of one line.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rffd.errors import RffdError

MAX_PIXELS = 120_000_000  # larger than any camera's photograph; a file that claims more is taken for a bomb
MIN_SIDE = 16


class UnreadableImage(RffdError):
    """A file that can't be used as an image; `reason` says why, without the path."""

    def __init__(self, path: Path | str, reason: str):
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)  # else it can't come back from a worker process


def read_image(source: Path | str | bytes, *, enough: int | None = None) -> Image.Image:
    """Decode a file, or its bytes, to an upright RGB picture; raise `UnreadableImage` if it can't be used.

    With `enough`, a JPEG whose smaller side is at least twice that may come back at 1/2, 1/4 or 1/8 of its size, but
    no side under `enough`: the decoder then does a part of the work, several times faster on large photographs.
    """
    path = "<bytes>" if isinstance(source, bytes) else source
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise UnreadableImage(path, error.strerror or str(error)) from error
    if not data:
        raise UnreadableImage(path, "empty file (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise UnreadableImage(path, f"{width}x{height} pixels, over the limit of {MAX_PIXELS:,}")
                if min(width, height) < MIN_SIDE:
                    raise UnreadableImage(path, f"{width}x{height} pixels, under {MIN_SIDE} on a side")
                if enough:
                    image.draft(None, (enough, enough))
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                return to_rgb(image)
    except UnidentifiedImageError as error:
        raise UnreadableImage(path, "not an image, or of a kind that can't be read") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, f"over the limit of {MAX_PIXELS:,} pixels") from error
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise what they like (struct.error, SyntaxError, zlib.error ...)
        raise UnreadableImage(
            path, f"damaged or truncated ({' '.join(str(error).split()) or type(error).__name__})"
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB from any mode: 16-bit and float greys are scaled, transparency is laid on mid grey."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "I;16N", "F"):
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode != "F" else max(float(np.nanmax(values)), 1e-9)
        image = Image.fromarray(np.clip(np.nan_to_num(values) * (255.0 / top) + 0.5, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (128, 128, 128, 255)), rgba)
    return image if image.mode == "RGB" else image.convert("RGB")
