"""From a picture to the square of pixels that a model sees: the one road for training, evaluation and prediction."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rffd.face import crop_box, find_face
from rffd.params import require

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class PreprocessParams:
    """The preprocessing contract; it travels with the store, the model and the package."""

    image_size: int
    jpeg_quality: int | None
    face_margin: float | None

    def __post_init__(self) -> None:
        require(16 <= self.image_size <= 2048, "preprocess.image_size", self.image_size, "from 16 to 2048 pixels")
        require(
            self.jpeg_quality is None or 1 <= self.jpeg_quality <= 100,
            "preprocess.jpeg_quality",
            self.jpeg_quality,
            "null or from 1 to 100",
        )
        require(
            self.face_margin is None or 0 <= self.face_margin <= 2,
            "preprocess.face_margin",
            self.face_margin,
            "null or from 0 to 2 (a share of the face box's side)",
        )


@dataclass(frozen=True)
class Prepared:
    """`pixels` [S, S, 3] uint8; `box` (left, top, right, bottom) in the upright picture's pixels.

    `face`: True where the crop is at a found face, False where at the mean box, None where there is no crop.
    """

    pixels: np.ndarray
    box: Box
    face: bool | None


def enough_pixels(contract: PreprocessParams) -> int | None:
    """What `read_image` may take for `enough` under this contract, so that the result stays the same to the eye of
    the model: four pixels for each one kept, and nothing less than the dataset's 600. None where a crop or a
    re-encoding looks at the pixels first.
    """
    if contract.jpeg_quality is not None or contract.face_margin is not None:
        return None
    return max(640, 4 * contract.image_size)


def prepare(image: Image.Image, contract: PreprocessParams) -> Prepared:
    """Re-encode if asked, crop if asked, resize to `contract.image_size` (bilinear, antialiased)."""
    if contract.jpeg_quality is not None:
        image = reencode(image, contract.jpeg_quality)
    box, found = (0.0, 0.0, float(image.width), float(image.height)), None
    if contract.face_margin is not None:
        face = find_face(image)
        box, found = crop_box(face, contract.face_margin, image.width, image.height), face.found
    return Prepared(resized(image, box, contract.image_size), box, found)


def resized(image: Image.Image, box: Box, size: int) -> np.ndarray:
    """The part `box` of a picture (or of its mask, mode L) as `size` x `size` uint8, bilinear and antialiased."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def reencode(image: Image.Image, quality: int) -> Image.Image:
    """One JPEG round trip at `quality` with 4:2:0 chroma."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=2)
    return Image.open(buffer).convert("RGB")


def model_view(pixels: np.ndarray, size: int) -> np.ndarray:
    """The evaluation view: stored squares [N, S, S, 3] uint8 resized whole to [N, size, size, 3] uint8.

    Pillow does it everywhere (torch, ONNX, evaluation, prediction), so that all see the same bytes.
    """
    if pixels.shape[1] == size:
        return np.asarray(pixels)
    shape = (size, size)
    return np.stack([np.asarray(Image.fromarray(p).resize(shape, Image.Resampling.BILINEAR)) for p in pixels])
