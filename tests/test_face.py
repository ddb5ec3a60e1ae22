import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rffd import face
from rffd.errors import RffdError
from rffd.images import read_image
from tests.shared import ciplab


class Brightest:
    """Stands for the cascade: the upright box around the white square, if `accept(view)`."""

    def __init__(self, accept):
        self.accept = accept

    def detectMultiScale(self, view, **_):
        if not self.accept(view):
            return ()
        y, x = np.nonzero(view > 200)
        side = round(np.sqrt(len(x)))
        return np.array([[round(x.mean() - side / 2), round(y.mean() - side / 2), side, side]])


def picture_with_square(width, height, left, top, side):
    pixels = np.full((height, width, 3), 40, np.uint8)
    pixels[top : top + side, left : left + side] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("attempt", range(len(face.ATTEMPTS)))
def test_a_face_is_mapped_back_from_every_padded_and_turned_copy(monkeypatch, attempt):
    calls = iter(range(100))
    monkeypatch.setattr(face, "cascade", lambda: Brightest(lambda _: next(calls) == attempt))
    found = face.find_face(picture_with_square(900, 600, 500, 150, 260))
    assert found.found
    assert found.left + found.side / 2 == pytest.approx(630, abs=6)
    assert found.top + found.side / 2 == pytest.approx(280, abs=6)
    assert found.side == pytest.approx(260, abs=12)


def test_no_face_gives_the_mean_box_centred_in_a_wide_picture(monkeypatch):
    monkeypatch.setattr(face, "cascade", lambda: Brightest(lambda _: False))
    square, wide = (face.find_face(Image.new("RGB", size)) for size in ((600, 600), (1000, 600)))
    assert not square.found and not wide.found
    assert (square.left + square.side / 2, square.top + square.side / 2) == pytest.approx((297, 342), abs=0.5)
    assert wide.side == square.side == pytest.approx(397, abs=0.5)
    assert (wide.left - square.left, wide.top - square.top) == pytest.approx((200, 0))


def test_the_crop_is_square_inside_the_frame_and_holds_the_face():
    inside = face.crop_box(face.Face(100, 120, 200, True), 0.1, 600, 600)
    assert inside == pytest.approx((80, 100, 320, 340))
    at_edge = face.crop_box(face.Face(-30, 480, 200, True), 0.25, 600, 600)
    assert at_edge == pytest.approx((0, 300, 300, 600))
    too_large = face.crop_box(face.Face(50, 20, 400, True), 1.0, 800, 500)
    assert too_large == pytest.approx((0, 0, 500, 500))


def test_without_a_cascade_the_error_says_what_to_do(monkeypatch):
    import cv2

    face.load_cascade.cache_clear()
    monkeypatch.setattr(cv2.data, "haarcascades", "/nowhere/")
    with pytest.raises(RffdError, match="face_margin"):
        face.cascade()
    face.load_cascade.cache_clear()


def test_real_faces_are_found_about_where_the_dataset_has_them():
    paths = sorted((ciplab() / "training_real").glob("*.jpg"))[::16]
    faces = [face.find_face(read_image(path)) for path in paths]
    assert sum(f.found for f in faces) >= 0.9 * len(faces)
    boxes = np.array([(f.left + f.side / 2, f.top + f.side / 2, f.side) for f in faces if f.found])
    assert np.median(boxes, axis=0) == pytest.approx((297, 342, 400), abs=25)


def test_the_first_faces_may_be_sought_by_many_threads_at_once():
    """In a fresh process: OpenCV is not whole while it is being imported."""
    code = (
        "import threading; from concurrent.futures import ThreadPoolExecutor; from rffd.face import cascade;"
        "gate = threading.Barrier(8); pool = ThreadPoolExecutor(8);"
        "waiting = [pool.submit(lambda: (gate.wait(), cascade())) for _ in range(8)]; [w.result() for w in waiting]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
