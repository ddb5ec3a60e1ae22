"""Pictures of an answer: where the patch head sees a replacement, and the regions called replaced."""

import hashlib
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter, ImageFont

from rffd.look import COLOURS, INK, MUTED, PAPER, REGION_COLOURS, save_image
from rffd.names import REGIONS
from rffd.prediction import Prediction
from rffd.regions import region_masks

PICTURE = 640  # pixels of the longer side
STRONGEST = 0.7  # opacity of a patch that is surely replaced
STRIP = 58  # pixels of the caption's height
UNSURE = "#8a6d1a"


def heat_map(answer: Prediction, face_margin: float | None) -> Image.Image:
    """The upright picture with the patches' probabilities laid over what the model saw, and an outline where
    each region called replaced lies on average (`face_margin` is the contract's). Needs the answer's picture."""
    assert answer.picture is not None, "predict(..., picture_size=...) keeps the picture"
    picture = answer.picture.copy()
    left, top, right, bottom = (round(edge) for edge in answer.box)
    size = (max(1, right - left), max(1, bottom - top))
    heat = Image.fromarray((answer.patches * (255 * STRONGEST)).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    picture.paste(ImageColor.getrgb(COLOURS["fake"]), (left, top), heat)
    if answer.regions:
        side = 256
        for name, mask in zip(REGIONS, region_masks(side, face_margin), strict=True):
            if name in answer.regions:
                inside = Image.fromarray((mask > 0.5).astype(np.uint8) * 255).resize(size, Image.Resampling.BICUBIC)
                inside = inside.point(lambda level: 255 if level > 127 else 0)
                outline = Image.fromarray(np.asarray(inside) - np.asarray(inside.filter(ImageFilter.MinFilter(5))))
                picture.paste(ImageColor.getrgb(REGION_COLOURS[name]), (left, top), outline)
    return picture


def captioned(answer: Prediction, face_margin: float | None) -> Image.Image:
    """Picture and heat map side by side, with the answer in words below."""
    heat = heat_map(answer, face_margin)
    assert answer.picture is not None, "`predict` was asked for pictures"
    width = max(2 * heat.width + 8, 520)
    canvas = Image.new("RGB", (width, heat.height + STRIP), PAPER)
    canvas.paste(answer.picture, (0, 0))
    canvas.paste(heat, (heat.width + 8, 0))
    draw = ImageDraw.Draw(canvas)
    colour = COLOURS.get(answer.verdict, UNSURE)
    draw.text((10, heat.height + 8), f"{answer.verdict}: {answer.probability:.1%} fake", colour, _font(19))
    if answer.regions:
        x = 10.0
        for text, ink in (("replaced:", MUTED), *((n.replace("_", " "), REGION_COLOURS[n]) for n in answer.regions)):
            draw.text((x, heat.height + 34), text, ink, _font(15))
            x += draw.textlength(text, _font(15)) + 12
    else:
        draw.text((10, heat.height + 34), "no region called replaced", INK, _font(15))
    return canvas


def write_heat(answer: Prediction, folder: Path, face_margin: float | None) -> Path:
    """Write the captioned heat map into `folder`, under the picture's name and a hash of its path, since
    pictures from several folders may share a name."""
    path = os.fsencode(answer.path)
    stem = Path(os.fsdecode(path)).stem.encode("utf-8", "replace").decode()
    target = folder / f"{stem}-{hashlib.sha256(path).hexdigest()[:6]}.png"
    save_image(captioned(answer, face_margin), target)
    return target


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
