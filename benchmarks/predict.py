"""How fast `rffd predict` is against `transformers.pipeline`, on CPU, with the same packaged model.

    python -m benchmarks.predict [--model models/package] [--images 120] [--rounds 5]

Two folders of drawn pictures, 600 px and 12 megapixels, made in a temporary folder. Both sides read the files, take
one view of each and give a probability; in turns, after one warm-up each. The package's whole recipe (face crop,
re-encoding), where it has one, is timed beside. Last, what speed must not cost: that the verdicts are those of whole
photographs where the decoder scales, and those of torch on the test set, on its stored squares by the packaged weights
and on its files by what evaluate wrote. A model that is unsure of everything agrees with anything, so the side of 0.5
counts as well as the verdict.
"""

import argparse
import dataclasses
import functools
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measure import Row, Rows, in_turns, ratio
from rffd.files import read_csv
from rffd.images import read_image
from rffd.prediction import Package, Prediction, open_package, predict, score
from rffd.preprocessing import prepare
from rffd.store import open_store
from rffd.verdict import fake_probability

SIZES = {"600 px": (600, 600), "12 megapixels": (4000, 3000)}
TARGETS = {"600 px": 1.5, "12 megapixels": 3.0}
RAW, PREDICTIONS, TEST = Path("data/raw"), Path("data/evaluation/predictions.csv"), Path("data/processed/test")


def draw(folder: Path, size: tuple[int, int], count: int) -> list[str]:
    """Write `count` JPEGs of about a photograph's detail."""
    random, paths = np.random.default_rng(0), []
    for i in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        fine = random.normal(0, 6, (size[1] // 4, size[0] // 4))
        grain = np.kron(fine, np.ones((4, 4)))[..., None]
        pixels = np.clip(np.asarray(coarse, dtype=np.float32)[: grain.shape[0], : grain.shape[1]] + grain, 0, 255)
        paths.append(str(folder / f"{i:04}.jpg"))
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def plain(folder: Path) -> Callable[[list[str]], list[float]]:
    """`transformers.pipeline` as its users call it on a folder: a list of paths, in batches."""
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    classify = pipeline("image-classification", model=str(folder), device="cpu")

    def run(paths: list[str]) -> list[float]:
        answers = classify(paths, batch_size=16)
        return [next(a["score"] for a in answer if a["label"] == "fake") for answer in answers]

    return run


def ours(package: Package) -> Callable[[list[str]], list[float]]:
    """`rffd predict`."""

    def run(paths: list[str]) -> list[float]:
        return [answer.probability for answer in predict(package, paths) if isinstance(answer, Prediction)]

    return run


def seconds(run: Callable[[list[str]], list[float]], paths: list[str]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run(paths)
    return time.perf_counter() - start


def rows(quick: bool = False, model: Path = Path("models/package"), images: int = 120, rounds: int = 5) -> Rows:
    """Images/s of both sides on both folders, and how far their probabilities lie apart."""
    images, rounds = (8, 1) if quick else (images, rounds)
    if not (model / "config.json").is_file():
        for name, target in TARGETS.items():
            yield Row(what=f"rffd predict, {name}", measured=f"no {model}: dvc repro package", at_least=target)
        return
    package = open_package(model)
    one_view = dataclasses.replace(package.contract, jpeg_quality=None, face_margin=None)
    sides = {"pipeline": plain(model), "rffd": ours(dataclasses.replace(package, contract=one_view))}
    if one_view != package.contract:
        sides["whole"] = ours(package)
    for name, size in SIZES.items():
        count = images if size[0] < 1000 else max(8, images // 5)
        with tempfile.TemporaryDirectory() as pictures:
            paths = draw(Path(pictures), size, count)
            for run in sides.values():
                run(paths[:8])
            found = in_turns({side: functools.partial(seconds, run, paths) for side, run in sides.items()}, rounds)
            gap = np.abs(np.subtract(sides["pipeline"](paths), sides["rffd"](paths))).max()
            same = scaled_alike(package, paths)
        speed = {side: f"{count / statistics.median(taken):.1f} images/s" for side, taken in found.items()}
        yield Row(
            what=f"rffd predict over transformers.pipeline, {name}, one view; probabilities within {gap:.4f}",
            measured=speed["rffd"],
            against=speed["pipeline"],
            ratio=ratio(found["pipeline"], found["rffd"]),
            at_least=TARGETS[name],
        )
        yield Row(
            what=f"verdicts with the decoder's own scaling, against decoding whole, {name}",
            measured=f"{same} of {count} equal",
            ratio=same / count,
            at_least=1,
        )
        if "whole" in sides:
            yield Row(
                what=f"the package's whole recipe over the pipeline's one view, {name}",
                measured=speed["whole"],
                against=speed["pipeline"],
                ratio=ratio(found["pipeline"], found["whole"]),
            )
    limit = 16 if quick else None
    yield as_torch(package, limit)
    yield as_evaluated(package, limit)


def scaled_alike(package: Package, paths: list[str]) -> int:
    """How many pictures get the verdict that they get when decoded whole."""
    same = 0
    for path, answer in zip(paths, predict(package, paths), strict=True):
        whole = float(score(package, prepare(read_image(path), package.contract).pixels[None])[0][0])
        same += isinstance(answer, Prediction) and answer.verdict == package.rule.verdict(whole)
    return same


def as_torch(package: Package, limit: int | None = None) -> Row:
    """Whether the test set's squares get the answers that the packaged weights give them in torch."""
    what = "verdicts on the test set's squares, against torch's"
    if not (TEST / "images.npy").is_file():
        return Row(what=what, measured=f"no {TEST}: dvc repro preprocess", at_least=1)
    from rffd.inference import infer
    from rffd.model import load_detector

    squares = open_store(TEST).images[:limit]
    theirs = fake_probability(infer(load_detector(package.folder), squares).logits)
    found = [float(score(package, square[None])[0][0]) for square in squares]
    return alike(what, [(p, package.rule.verdict(p)) for p in found], [(p, package.rule.verdict(p)) for p in theirs])


def as_evaluated(package: Package, limit: int | None = None) -> Row:
    """Whether the answers for the test set's own files are those of torch, as evaluate wrote them."""
    what = "verdicts on the test set's files, against evaluate's"
    if not PREDICTIONS.is_file():
        return Row(what=what, measured=f"no {PREDICTIONS}: dvc repro package", at_least=1)
    chosen = [row for row in read_csv(PREDICTIONS) if row["split"] == "test"][:limit]
    answers = predict(package, [str(RAW / row["path"]) for row in chosen])
    found = [(a.probability, a.verdict) if isinstance(a, Prediction) else (math.nan, "unreadable") for a in answers]
    return alike(what, found, [(float(row["probability"]), row["verdict"]) for row in chosen])


def alike(what: str, found: list[tuple[float, str]], expected: list[tuple[float, str]]) -> Row:
    """How many (probability, verdict) are the expected: the same verdict, and the same side of 0.5."""
    pairs = list(zip(found, expected, strict=True))
    verdicts = sum(ours == theirs for (_, ours), (_, theirs) in pairs)
    sides = sum((p >= 0.5) == (q >= 0.5) for (p, _), (q, _) in pairs)
    gap = max(abs(p - q) for (p, _), (q, _) in pairs)
    measured = f"{verdicts} of {len(pairs)} verdicts, {sides} sides of 0.5 equal; probabilities within {gap:.0e}"
    return Row(what=what, measured=measured, ratio=min(verdicts, sides) / len(pairs), at_least=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/package"))
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    from benchmarks.__main__ import show

    show("predict", list(rows(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
