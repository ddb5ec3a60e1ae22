"""What a point of a robustness curve or a control costs, in plain prediction passes over the same pictures.

    python -m benchmarks.evaluate --backbone ../shared/backbones/vit-tiny [--images FOLDER] [--count 48] [--repeats 3]

Without `--backbone` it is a random ViT-Ti/16 of 224 px; without `--images` (a folder with pictures somewhere below)
600 px JPEGs are drawn. A plain pass decodes, prepares and scores every picture, in batches as large as evaluate's and
in as many threads. Printed are the medians of turns, and their ratio; evaluate may need 1.2 passes a point at most.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.preprocess import draw
from rffd.controls import control_variants
from rffd.evaluation import EvaluateParams
from rffd.images import read_image
from rffd.inference import infer, to_best_device
from rffd.model import Detector, new_detector
from rffd.names import IMAGE_SUFFIXES
from rffd.parallel import cores, in_threads
from rffd.params import read_params
from rffd.preprocessing import PreprocessParams, prepare
from rffd.robustness import degradations
from rffd.scoring import margin
from rffd.variants import score_variants

CONTRACT = PreprocessParams(image_size=256, jpeg_quality=None, face_margin=None)


def random_backbone(folder: Path) -> Path:
    """A ViT-Ti/16 of random weights in Hugging Face format."""
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    sizes = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
    ViTModel(ViTConfig(**sizes)).save_pretrained(folder)
    ViTImageProcessorPil().save_pretrained(folder)
    return folder


def plain_pass(detector: Detector, paths: list[Path], batch: int) -> None:
    """Decode, prepare and score every picture once."""

    def scored(start: int) -> np.ndarray:
        some = paths[start : start + batch]
        squares = [prepare(read_image(path), detector.contract).pixels for path in some]
        return margin(infer(detector, np.stack(squares)).logits)

    for _ in in_threads(scored, range(0, len(paths), batch)):
        pass


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path, help="a ViT in Hugging Face format (default: random ViT-Ti/16)")
    parser.add_argument("--images", type=Path, help="a folder of pictures (default: drawn)")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    params = read_params("evaluate", EvaluateParams)
    changes = control_variants(params.controls, CONTRACT) | degradations(params.robustness)
    torch.set_num_threads(1)  # as the stage does
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.images or Path(temporary) / "raw"
        if not arguments.images:
            draw(folder, arguments.count)
        detector = to_best_device(
            new_detector(arguments.backbone or random_backbone(Path(temporary) / "vit"), CONTRACT).eval()
        )
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        paths = paths[:: max(1, len(paths) // arguments.count)][: arguments.count]
        names = [str(path.relative_to(folder)) for path in paths]

        def sweep() -> object:
            return score_variants(
                names, folder, CONTRACT, changes, lambda images: margin(infer(detector, images).logits), seed=0
            )

        plain_pass(detector, paths[:8], 8)  # warm up
        plain, points = [], []
        for _ in range(arguments.repeats):
            plain.append(seconds(lambda: plain_pass(detector, paths, len(changes))))
            points.append(seconds(sweep) / len(changes))
    ratios = [point / one for point, one in zip(points, plain, strict=True)]
    print(f"{len(paths)} pictures, {len(changes)} points, {cores()} cores, median of {arguments.repeats} turns")
    print(f"  a plain pass  {statistics.median(plain):6.2f} s")
    print(f"  a point       {statistics.median(points):6.2f} s")
    print(f"  ratio         {statistics.median(ratios):6.2f}    ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
