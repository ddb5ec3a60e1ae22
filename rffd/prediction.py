"""Answers for any number of pictures, with ONNX Runtime and without torch, by the road that evaluation took."""

import collections
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rffd.errors import RffdError
from rffd.files import read_json
from rffd.images import UnreadableImage, read_image
from rffd.names import REGIONS
from rffd.parallel import cores
from rffd.params import build
from rffd.preprocessing import Prepared, PreprocessParams, enough_pixels, model_view, prepare
from rffd.verdict import Rule, fake_probability, read_rule

AHEAD = 32  # pictures read before their answers are asked for
SMALL_FACE = 64  # pixels a side; below, a face holds too little to tell


@dataclass(frozen=True)
class Package:
    """A packaged model, ready to answer."""

    folder: Path
    session: Any  # onnxruntime.InferenceSession
    contract: PreprocessParams
    rule: Rule
    image_size: int  # pixels a side of the model's input
    mean: np.ndarray
    std: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture. `probability` is the calibrated one of fake; `regions` are those called
    replaced; `box` (left, top, right, bottom) is what the model saw of the upright picture, and `patches` [h, w]
    lies over it; `face` says whether one was found, None if none was looked for; `picture` is kept on demand."""

    path: str
    verdict: str
    probability: float
    regions: list[str]
    region_probabilities: dict[str, float]
    patches: np.ndarray
    box: tuple[float, float, float, float]
    face: bool | None
    warning: str
    picture: Image.Image | None = None


def open_package(folder: Path, *, threads: int | None = None) -> Package:
    """Open a package; `threads` are ONNX Runtime's (default: all cores)."""
    import onnxruntime

    folder = Path(folder)
    rule = read_rule(folder)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other pictures need the cores meanwhile
    try:
        contract = build(PreprocessParams, read_json(folder / "contract.json"), "contract.json")
        processor = read_json(folder / "preprocessor_config.json")
        size, mean, std = processor["size"]["height"], processor["image_mean"], processor["image_std"]
        path = str(folder / "onnx" / "model.onnx")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own, which have no common parent but this
        raise RffdError(f"{folder}: not a complete package ({' '.join(str(error).split())})") from error
    return Package(folder, session, contract, rule, size, np.asarray(mean, np.float32), np.asarray(std, np.float32))


def score(package: Package, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score [N, S, S, 3] uint8 as `prepare` gives them: the calibrated probability of fake [N] float64, the
    probabilities of regions [N, 4] and of patches [N, h, w] having been replaced."""
    view = model_view(squares, package.image_size).transpose(0, 3, 1, 2)
    pixels = view.astype(np.float32, order="C")  # in place and plane by plane, a ninth of the time
    pixels /= np.float32(255)
    pixels -= package.mean[:, None, None]
    pixels /= package.std[:, None, None]
    logits, regions, patches = package.session.run(["logits", "regions", "patches"], {"pixel_values": pixels})
    return fake_probability(logits), regions, patches


def predict(
    package: Package, paths: Iterable[str], *, picture_size: int | None = None, workers: int | None = None
) -> Iterator[Prediction | UnreadableImage]:
    """Yield one answer a path, in order; a file that can't be read yields its `UnreadableImage`.

    Each of `workers` threads (default: all cores) takes a picture from its file to its answer: the cores never wait
    for each other, one picture's tensors fit into a core's cache, and no answer depends on what else is asked. They
    are a few pictures ahead of the caller at most, so memory doesn't grow with their number. `picture_size` keeps
    each upright picture, no side longer than that, for drawing on.
    """
    answer = partial(_answer, package, picture_size=picture_size)
    with _Workers(workers or cores()) as pool:
        waiting: collections.deque[Future[Prediction | UnreadableImage]] = collections.deque()
        failure: RffdError | None = None
        remaining = iter(paths)
        while True:
            try:
                for path in itertools.islice(remaining, AHEAD - len(waiting)):
                    waiting.append(pool.submit(answer, path))
            except RffdError as error:  # what `find_images` could not find; first answer what it did find
                failure = error
            if not waiting:
                break
            yield waiting.popleft().result()
        if failure:
            raise failure


class _Workers(ThreadPoolExecutor):
    """Threads that drop what they were not yet asked for when the caller stops early."""

    def __exit__(self, *_: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


def _answer(package: Package, path: str, *, picture_size: int | None) -> Prediction | UnreadableImage:
    try:
        picture = read_image(path, enough=enough_pixels(package.contract))
    except UnreadableImage as error:
        return error
    prepared, size = prepare(picture, package.contract), picture.size
    (probability,), (regions,), (patches,) = score(package, prepared.pixels[None])
    kept = None
    if picture_size is not None:
        picture.thumbnail((picture_size, picture_size))
        kept = picture
    return Prediction(
        path=path,
        verdict=package.rule.verdict(probability),
        probability=float(probability),
        regions=package.rule.replaced(probability, regions),
        region_probabilities=dict(zip(REGIONS, map(float, regions), strict=True)),
        patches=patches,
        box=_scaled(prepared.box, size, kept),
        face=prepared.face,
        warning=_warning(prepared, size, package.contract.face_margin),
        picture=kept,
    )


def _scaled(
    box: tuple[float, float, float, float], size: tuple[int, int], picture: Image.Image | None
) -> tuple[float, float, float, float]:
    """The box in the pixels of the kept, perhaps smaller, picture."""
    if picture is None or picture.size == size:
        return box
    x, y = picture.width / size[0], picture.height / size[1]
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def _warning(prepared: Prepared, size: tuple[int, int], margin: float | None) -> str:
    if prepared.face is False:
        return "no face found; the model knows portraits only"
    left, top, right, bottom = prepared.box
    seen = min(right - left, bottom - top)
    if margin is not None and seen < min(size):  # a box as large as the picture was cut to it
        seen /= 1 + 2 * margin
    if round(seen) < SMALL_FACE:
        return (
            f"the face is at most {round(seen)} pixels wide, under {SMALL_FACE}: too small for a verdict to be trusted"
        )
    return ""
