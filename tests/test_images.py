"""One function decides what a readable image is: every mode becomes upright RGB, all else a reason in one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rffd.images import MAX_PIXELS, UnreadableImage, read_image


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 24)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *[(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")],
        *[(mode, "JPEG") for mode in ("L", "RGB", "CMYK")],
        *[
            (mode, "TIFF") for mode in ("1", "L", "LAB", "CMYK", "RGBA")
        ],  # Pillow 12 can't read back the YCbCr it writes
        *[("RGB", kind) for kind in ("BMP", "WEBP")],
    ],
)
def test_every_mode_becomes_rgb_of_the_same_size(mode, kind):
    image = read_image(encoded(picture("RGB" if mode == "LAB" else mode), kind))
    assert image.mode == "RGB" and image.size == (40, 24)


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "PNG"), ("RGBA", "PNG"), ("RGB", "WEBP")]
)
def test_colours_stay_what_they_are(mode, kind):
    image = Image.new("RGB", (48, 48), (205, 90, 40))  # CMYK JPEGs are stored inverted by some, as Adobe does it
    stored = image.quantize(8) if mode == "P" else image.convert(mode)
    found = np.asarray(read_image(encoded(stored, kind)), dtype=float)
    assert np.abs(found - (205, 90, 40)).max() < 12


def test_16_bit_and_float_greys_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 64 * 32).reshape(32, 64)
    for stored in (ramp.astype(np.uint16), (ramp / 65535).astype(np.float32)):
        kind = "PNG" if stored.dtype == np.uint16 else "TIFF"
        pixels = np.asarray(read_image(encoded(Image.fromarray(stored), kind)))
        assert pixels[0, 0, 0] == 0 and pixels[-1, -1, 0] == 255
        assert abs(int(pixels[16, 0, 0]) - 128) <= 1


def test_transparency_is_laid_on_grey_whatever_colour_hides_below():
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert read_image(encoded(clear)).getpixel((5, 5)) == (128, 128, 128)
    palette = Image.new("P", (20, 20), 3)
    palette.putpalette([255, 0, 0] * 256)
    assert read_image(encoded(palette, transparency=3)).getpixel((5, 5)) == (128, 128, 128)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (48, 32), "white")
    upright.paste((255, 0, 0), (0, 0, 16, 16))  # red in the upper left corner when seen upright
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(back[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(encoded(stored, "JPEG", exif=exif, quality=95))
    assert image.size == (48, 32)
    red, green, _ = image.getpixel((4, 4))
    assert red > 200 and green < 60


def test_a_whole_file_reads_like_its_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture()))
    assert read_image(path).tobytes() == read_image(path.read_bytes()).tobytes()


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>404 Not Found</html>", "not an image"),
        (encoded(picture(size=(400, 400)), "JPEG")[:4000], "truncated"),
        (encoded(picture(size=(400, 400)), "PNG")[:4000], "truncated"),
        (png_claiming(60_000, 60_000), "over the limit"),  # beyond Pillow's own limit
        (png_claiming(12_000, 12_000), f"over the limit of {MAX_PIXELS:,}"),  # below it, above ours
        (encoded(picture(size=(8, 300))), "under 16 on a side"),
        (encoded(picture(), "JPEG")[:2] + b"\xff" * 50, ""),
    ],
    ids=["zero bytes", "text", "cut jpeg", "cut png", "bomb", "large", "tiny", "only markers"],
)
def test_what_cant_be_used_gives_a_reason_in_one_line(data, reason, tmp_path, recwarn):
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage) as caught:
        read_image(path)
    assert reason in caught.value.reason and caught.value.reason
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not recwarn.list


def test_a_missing_file_is_told_too(tmp_path):
    with pytest.raises(UnreadableImage, match="No such file"):
        read_image(tmp_path / "none.jpg")
