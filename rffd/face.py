"""Where the face is: OpenCV's frontal cascade, which needs no download, and the dataset's mean box for its misses.

On the dataset, whose faces fill the frame, the cascade alone finds 86 %, and 95 % with the retries.
"""

import functools
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from rffd.errors import RffdError

SEARCH_SIZE = 300  # pixels of the smaller side during the search: as many found as at 600
PADDING = 0.25  # of the smaller side: the cascade wants skin and hair around a face that fills the frame
# (padded, degrees, smallest face as a share of the smaller side, detections that must agree), in the order of
# trying: heads tilt, and the cascade bears about 15 degrees; a small box, which is wrong more often, comes last
# and needs more agreement
ATTEMPTS = (
    (False, 0, 0.4, 3),
    (True, 0, 0.4, 3),
    (True, -20, 0.4, 3),
    (True, 20, 0.4, 3),
    (True, -40, 0.4, 3),
    (True, 40, 0.4, 3),
    (False, 0, 0.15, 8),
)
FACE_BOX = (0.495, 0.570, 0.662)  # the dataset's mean: centre x, centre y, side, as shares of its square frames


@dataclass(frozen=True)
class Face:
    """A square in pixels of the upright picture, which it may overhang; `found` is false for the mean box."""

    left: float
    top: float
    side: float
    found: bool


def find_face(image: Image.Image) -> Face:
    """The largest frontal face of a picture, or the mean box as a share of the smaller side, centred."""
    cv2 = _opencv()
    scale = SEARCH_SIZE / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    grey = cv2.equalizeHist(np.asarray(image.convert("L").resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)))
    border = round(PADDING * SEARCH_SIZE)
    padded = cv2.copyMakeBorder(grey, border, border, border, border, cv2.BORDER_REPLICATE)
    for pad, degrees, smallest, agreeing in ATTEMPTS:
        view, offset = (padded, border) if pad else (grey, 0)
        turn = cv2.getRotationMatrix2D((view.shape[1] / 2, view.shape[0] / 2), degrees, 1.0)
        if degrees:
            view = cv2.warpAffine(view, turn, view.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        least = round(smallest * SEARCH_SIZE)
        boxes = cascade().detectMultiScale(view, scaleFactor=1.1, minNeighbors=agreeing, minSize=(least, least))
        for x, y, side, _ in sorted(map(tuple, boxes), key=lambda box: (-box[2], box)):
            centre = cv2.invertAffineTransform(turn) @ (x + side / 2, y + side / 2, 1.0) - offset
            if (centre >= 0).all() and (centre < size).all():
                left, top = (centre - side / 2) / scale
                return Face(float(left), float(top), float(side / scale), True)
    return mean_face(image.width, image.height)


def mean_face(width: int, height: int) -> Face:
    """Where a face would be in the dataset's square frames, scaled to the smaller side and centred."""
    smaller = min(width, height)
    side = FACE_BOX[2] * smaller
    x = width / 2 + (FACE_BOX[0] - 0.5) * smaller
    y = height / 2 + (FACE_BOX[1] - 0.5) * smaller
    return Face(x - side / 2, y - side / 2, side, False)


def crop_box(face: Face, margin: float, width: int, height: int) -> tuple[float, float, float, float]:
    """The face's square with `margin` of its side on each side, moved (and if too large, shrunk) into the frame."""
    side = min(face.side * (1 + 2 * margin), width, height)
    left = min(max(face.left + (face.side - side) / 2, 0.0), width - side)
    top = min(max(face.top + (face.side - side) / 2, 0.0), height - side)
    return left, top, left + side, top + side


def cascade() -> Any:
    """OpenCV's frontal face cascade, one a thread: used by two at a time, it finds other boxes than alone."""
    return load_cascade(threading.get_ident())


@functools.lru_cache(maxsize=64)
def load_cascade(thread: int) -> Any:
    """A cascade for the thread of that number; OpenCV 5 ships none."""
    cv2 = _opencv()
    cv2.setNumThreads(1)  # the work is spread over processes already
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    classifier = cv2.CascadeClassifier(f"{folder}haarcascade_frontalface_default.xml")
    if classifier.empty():
        raise RffdError(
            f"OpenCV {cv2.__version__} ships no face cascade; install opencv-python-headless below 5, "
            "or set preprocess.face_margin to null"
        )
    return classifier


_importing = threading.Lock()


def _opencv() -> Any:
    """OpenCV, imported when the optional crop needs it, by one thread at a time: while it loads its binary part it
    takes itself out of `sys.modules`, and a second thread that imports it then gets a module without its files."""
    with _importing:
        import cv2

        return cv2
