"""The test pictures changed in many ways and scored in one sweep: what controls and robustness are made of.

Each raw picture is decoded once, changed once for each variant, prepared as in training and prediction, and
scored. A few pictures at a time are in memory, whatever their number.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rffd.images import read_image
from rffd.parallel import in_threads
from rffd.preprocessing import PreprocessParams, prepare
from rffd.progress import progress

Score = Callable[[np.ndarray], np.ndarray]  # [N, S, S, 3] uint8 to logits [N], that of fake minus that of real


@dataclass(frozen=True)
class Variant:
    """One way to change a picture: as a photograph (`picture`), or after its preparation (`pixels`).

    `picture` gets the upright RGB picture and a random generator of its own; `pixels` gets [S, S, 3] uint8.
    """

    picture: Callable[[Image.Image, np.random.Generator], Image.Image] | None = None
    pixels: Callable[[np.ndarray], np.ndarray] | None = None


def score_variants(
    paths: Sequence[str],
    raw: Path,
    contract: PreprocessParams,
    variants: Mapping[str, Variant],
    score: Score,
    *,
    seed: int,
    label: str = "variants",
) -> dict[str, np.ndarray]:
    """Logits [N] of the pictures `raw / path` under every variant, by the variant's name.

    A thread takes a picture from file to scores, so `score` is called by several at a time.
    """

    def scored(path: str) -> np.ndarray:
        image = read_image(raw / path)
        plain: np.ndarray | None = None
        squares = []
        for name, variant in variants.items():
            if variant.picture is not None:
                random = np.random.default_rng([seed, zlib.crc32(f"{path} {name}".encode())])
                pixels = prepare(variant.picture(image, random), contract).pixels
            else:
                plain = prepare(image, contract).pixels if plain is None else plain
                pixels = plain
            squares.append(pixels if variant.pixels is None else variant.pixels(pixels))
        return score(np.stack(squares))

    logits = np.zeros((len(paths), len(variants)))
    with progress(label, len(paths)) as advance:
        for i, row in enumerate(in_threads(scored, paths)):
            logits[i] = row
            advance(1)
    return {name: logits[:, i] for i, name in enumerate(variants)}
