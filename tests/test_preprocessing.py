import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from rffd import preprocessing
from rffd.face import Face
from rffd.params import ParamError
from rffd.preprocessing import PreprocessParams, model_view, prepare, reencode, resized

FULL = PreprocessParams(image_size=32, jpeg_quality=None, face_margin=None)


def noise(width=80, height=60, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_full_frame_is_resized_whole_with_antialiasing():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    prepared = prepare(Image.fromarray(stripes), FULL)
    assert prepared.pixels.shape == (32, 32, 3) and prepared.pixels.dtype == np.uint8
    assert abs(prepared.pixels[:, 2:-2].astype(int) - 128).max() < 16, "fine stripes become grey, not aliased"
    assert prepared.box == (0, 0, 64, 64) and prepared.face is None


def test_reencoding_gives_every_image_the_same_table_and_changes_pixels():
    contract = dataclasses.replace(FULL, jpeg_quality=40)
    image = noise()
    assert not np.array_equal(prepare(image, contract).pixels, prepare(image, FULL).pixels)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40, subsampling=2)
    assert np.array_equal(np.asarray(reencode(image, 40)), np.asarray(Image.open(buffer)))


def test_the_face_crop_takes_the_square_around_the_face(monkeypatch):
    monkeypatch.setattr(preprocessing, "find_face", lambda image: Face(20, 10, 20, True))
    prepared = prepare(noise(), dataclasses.replace(FULL, face_margin=0.5))
    assert prepared.box == (10, 0, 50, 40) and prepared.face is True
    cropped = np.asarray(noise().crop((10, 0, 50, 40)).resize((32, 32), Image.Resampling.BILINEAR))
    assert np.array_equal(prepared.pixels[2:-2, 2:-2], cropped[2:-2, 2:-2]), "but for edges, that see their neighbours"


def test_a_mask_goes_through_the_same_crop_and_resize():
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:50] = 255
    square = resized(Image.fromarray(mask), (10, 0, 70, 60), 30)
    assert square.shape == (30, 30) and square.dtype == np.uint8
    assert (square[11:19, 11:19] == 255).all() and square[:9].max() == 0 and square[:, 21:].max() == 0


def test_the_model_view_is_pillows_resize_of_each_square_or_the_square_itself():
    squares = np.stack([prepare(noise(seed=i), FULL).pixels for i in range(3)])
    assert model_view(squares, 32) is not None and np.array_equal(model_view(squares, 32), squares)
    smaller = model_view(squares, 24)
    assert smaller.shape == (3, 24, 24, 3)
    assert np.array_equal(
        smaller[1], np.asarray(Image.fromarray(squares[1]).resize((24, 24), Image.Resampling.BILINEAR))
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("image_size", 8), ("image_size", 4096), ("jpeg_quality", 0), ("jpeg_quality", 101), ("face_margin", -0.1)],
)
def test_impossible_values_are_refused_by_name(name, value):
    with pytest.raises(ParamError, match=f"preprocess.{name}"):
        dataclasses.replace(FULL, **{name: value})
