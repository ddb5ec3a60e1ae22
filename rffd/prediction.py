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

BATCH = 16
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
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the decoders need the cores meanwhile
    try:
        contract = build(PreprocessParams, read_json(folder / "contract.json"), "contract.json")
        processor = read_json(folder / "preprocessor_config.json")
        size, mean, std = processor["size"]["height"], processor["image_mean"], processor["image_std"]
        path = str(folder / "onnx" / "model.onnx")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own, which have no common parent but this
        raise RffdError(f"{folder}: not a complete package ({' '.join(str(error).split())})") from error
    return Package(folder, session, contract, rule, size, np.float32(mean), np.float32(std))


def score(package: Package, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score [N, S, S, 3] uint8 as `prepare` gives them: the calibrated probability of fake [N] float64, the
    probabilities of regions [N, 4] and of patches [N, h, w] having been replaced."""
    pixels = model_view(squares, package.image_size).astype(np.float32) / np.float32(255)
    pixels = np.ascontiguousarray(((pixels - package.mean) / package.std).transpose(0, 3, 1, 2))
    logits, regions, patches = package.session.run(["logits", "regions", "patches"], {"pixel_values": pixels})
    return fake_probability(logits), regions, patches


def predict(
    package: Package, paths: Iterable[str], *, picture_size: int | None = None, workers: int | None = None
) -> Iterator[Prediction | UnreadableImage]:
    """Yield one answer a path, in order; a file that can't be read yields its `UnreadableImage`.

    Pictures are decoded by `workers` threads (default: all cores), a few batches ahead, so memory doesn't grow
    with their number. `picture_size` keeps each upright picture, no side longer than that, for drawing on.
    """
    load = partial(_load, contract=package.contract, picture_size=picture_size)
    with _decoders(workers or cores()) as pool:
        for batch in _batches(pool, load, iter(paths)):
            yield from _answers(package, batch)


class _decoders(ThreadPoolExecutor):
    """Threads that drop what they were not yet asked for when the caller stops early."""

    def __exit__(self, *_: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


_Loaded = tuple[Prepared, tuple[int, int], Image.Image | None]


def _load(path: str, *, contract: PreprocessParams, picture_size: int | None) -> _Loaded | UnreadableImage:
    try:
        picture = read_image(path, enough=enough_pixels(contract))
    except UnreadableImage as error:
        return error
    prepared, size = prepare(picture, contract), picture.size
    if picture_size is None:
        return prepared, size, None
    picture.thumbnail((picture_size, picture_size))
    return prepared, size, picture


def _batches(
    pool: ThreadPoolExecutor, load: Any, paths: Iterator[str]
) -> Iterator[list[tuple[str, _Loaded | UnreadableImage]]]:
    waiting: collections.deque[tuple[str, Future]] = collections.deque()
    failure: RffdError | None = None
    while True:
        try:
            for path in itertools.islice(paths, 2 * BATCH - len(waiting)):
                waiting.append((path, pool.submit(load, path)))
        except RffdError as error:  # what `find_images` could not find; first answer what it did find
            failure = error
        if not waiting:
            break
        yield [(path, future.result()) for path, future in (waiting.popleft() for _ in range(min(BATCH, len(waiting))))]
    if failure:
        raise failure


def _answers(
    package: Package, batch: list[tuple[str, _Loaded | UnreadableImage]]
) -> Iterator[Prediction | UnreadableImage]:
    loaded = [item for _, item in batch if not isinstance(item, UnreadableImage)]
    if loaded:
        scores = zip(*score(package, np.stack([prepared.pixels for prepared, _, _ in loaded])), strict=True)
    for path, item in batch:
        if isinstance(item, UnreadableImage):
            yield item
            continue
        prepared, size, picture = item
        probability, regions, patches = next(scores)
        yield Prediction(
            path=path,
            verdict=package.rule.verdict(probability),
            probability=float(probability),
            regions=package.rule.replaced(probability, regions),
            region_probabilities=dict(zip(REGIONS, map(float, regions), strict=True)),
            patches=patches,
            box=_scaled(prepared.box, size, picture),
            face=prepared.face,
            warning=_warning(prepared, size, package.contract.face_margin),
            picture=picture,
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
