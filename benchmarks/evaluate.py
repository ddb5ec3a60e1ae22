"""What a point of a robustness curve or a control costs, in plain prediction passes over the same pictures.

    python -m benchmarks.evaluate [--backbone FOLDER] [--images FOLDER] [--count 48] [--repeats 3]

Without `--backbone`, a ViT in Hugging Face format, it is a random ViT-Ti/16 of 224 px; without `--images`, a folder
with pictures somewhere below, 600 px JPEGs are drawn. A plain pass decodes, prepares and scores every picture, in
batches and in as many threads as evaluate's.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, Rows, in_turns, ratio
from benchmarks.preprocess import draw
from rffd.controls import control_variants
from rffd.evaluation import EvaluateParams
from rffd.images import read_image
from rffd.inference import infer, to_best_device
from rffd.metrics import figures
from rffd.model import Detector, new_detector
from rffd.names import IMAGE_SUFFIXES
from rffd.parallel import cores, in_threads
from rffd.params import read_params
from rffd.preprocessing import PreprocessParams, prepare
from rffd.robustness import degradations
from rffd.scoring import margin
from rffd.variants import Variant, score_variants

CONTRACT = PreprocessParams(image_size=256, jpeg_quality=None, face_margin=None)


def random_backbone(folder: Path) -> Path:
    """A ViT-Ti/16 of random weights in Hugging Face format."""
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    sizes = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
    ViTModel(ViTConfig(**sizes)).save_pretrained(folder)
    ViTImageProcessorPil().save_pretrained(folder)
    return folder


def plain_pass(detector: Detector, paths: list[Path], batch: int) -> float:
    """Decode, prepare and score every picture once; the seconds that it took."""

    def scored(start: int) -> np.ndarray:
        squares = [prepare(read_image(path), detector.contract).pixels for path in paths[start : start + batch]]
        return margin(infer(detector, np.stack(squares)).logits)

    start = time.perf_counter()
    for _ in in_threads(scored, range(0, len(paths), batch)):
        pass
    return time.perf_counter() - start


def a_point(detector: Detector, folder: Path, names: list[str], changes: dict[str, Variant]) -> float:
    """Evaluate's sweep over all `changes`; seconds a change."""

    def score(images: np.ndarray) -> np.ndarray:
        return margin(infer(detector, images).logits)

    start = time.perf_counter()
    score_variants(names, folder, CONTRACT, changes, score, seed=0)
    return (time.perf_counter() - start) / len(changes)


def intervals(params: EvaluateParams) -> float:
    """Seconds for every figure of two splits of 300 images with its interval."""
    random, start = np.random.default_rng(0), time.perf_counter()
    for _ in range(2):
        labels, groups = random.integers(0, 2, 300), [str(i // 2) for i in range(300)]
        figures(labels, random.random(300), groups, resamples=params.resamples, seed=0)
    return time.perf_counter() - start


def rows(
    quick: bool = False, backbone: Path | None = None, images: Path | None = None, count: int = 48, repeats: int = 3
) -> Rows:
    """A point's cost over a plain pass's, and the time of all intervals."""
    count, repeats = (6, 1) if quick else (count, repeats)
    params, threads = read_params("evaluate", EvaluateParams), torch.get_num_threads()
    changes = control_variants(params.controls, CONTRACT) | degradations(params.robustness)
    torch.set_num_threads(1)  # as the stage does
    with tempfile.TemporaryDirectory() as temporary:
        folder = images or Path(temporary) / "raw"
        if not images:
            draw(folder, count)
        weights = backbone or random_backbone(Path(temporary) / "vit")
        detector = to_best_device(new_detector(weights, CONTRACT).eval())
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        paths = paths[:: max(1, len(paths) // count)][:count]
        names = [str(path.relative_to(folder)) for path in paths]
        batch = min(len(changes), -(-len(paths) // (2 * cores())))  # no core stands idle in the last turn
        plain_pass(detector, paths[:4], 4)  # warms up
        found = in_turns(
            {
                "plain": lambda: plain_pass(detector, paths, batch),
                "point": lambda: a_point(detector, folder, names, changes),
            },
            repeats,
        )
    torch.set_num_threads(threads)
    yield Row(
        what=f"one of {len(changes)} points of curves and controls, {len(paths)} pictures of 600 px, ViT-Ti at 224 px "
        f"({cores()} cores), over a plain pass",
        measured=f"{statistics.median(found['point']):.2f} s",
        against=f"{statistics.median(found['plain']):.2f} s",
        ratio=ratio(found["point"], found["plain"]),
        at_most=1.2,
    )
    took = intervals(params)
    yield Row(
        what=f"every figure of two splits of 300 images with its interval, {params.resamples:,} resamples",
        measured=f"{took:.1f} s",
        against="10 s allowed",
        ratio=took / 10,
        at_most=1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    from benchmarks.__main__ import show

    show("evaluate", list(rows(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
