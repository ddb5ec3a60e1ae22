"""What the data is: one pass over all images gathers what the charts and the audit need."""

import functools
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rffd.audit import Interval, pixel_statistics, shortcut_auc
from rffd.catalog import OK, read_catalog
from rffd.errors import RffdError
from rffd.files import read_json
from rffd.images import read_image
from rffd.names import DIFFICULTIES, LABELS, REGIONS
from rffd.parallel import spread
from rffd.params import require
from rffd.preprocessing import PreprocessParams, prepare, reencode

AVERAGE_SIZE = 128  # pixels a side of the average faces
Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ExploreParams:
    """The section `explore`."""

    seed: int
    reals: int
    fakes: int
    pairs: int
    augmented: int
    audit_images: int | None
    audit_quality: int
    resamples: int

    def __post_init__(self) -> None:
        for name in ("reals", "fakes", "pairs", "augmented"):
            value = getattr(self, name)
            require(1 <= value <= 100, f"explore.{name}", value, "from 1 to 100 pictures")
        enough = self.audit_images is None or self.audit_images >= 50
        require(enough, "explore.audit_images", self.audit_images, "null or 50 or more")
        require(1 <= self.audit_quality <= 100, "explore.audit_quality", self.audit_quality, "from 1 to 100")
        require(self.resamples >= 100, "explore.resamples", self.resamples, "100 or more")


@dataclass(frozen=True)
class Measured:
    """One image: channel sums and sums of squares of the prepared square [2, 3] (of 0-255 values), its average
    picture [A, A, 3] uint8, and, if audited, its pixel statistics [3, F] as it is, re-encoded, and as prepared."""

    sums: np.ndarray
    small: np.ndarray
    statistics: np.ndarray | None


@dataclass(frozen=True)
class Exploration:
    """What was found. `rows`: the usable rows of the catalogue; `channels`: by label the mean and the standard
    deviation of red, green and blue [2, 3], of 1; `averages`: by label the average picture [A, A, 3] float;
    `pretrained`: the normalisation of the pre-trained model [2, 3]; `audit`: AUC of shortcuts by name; `changed`: by
    number of replaced regions (0: the name doesn't tell) the share of the picture that each registered mask covers."""

    rows: list[Row]
    channels: dict[str, np.ndarray]
    averages: dict[str, np.ndarray]
    pretrained: np.ndarray
    audit: dict[str, Interval]
    audit_quality: int
    changed: dict[int, list[float]]


def explore(
    raw: Path,
    pairs: Path,
    catalog: Path,
    backbone: Path,
    params: ExploreParams,
    contract: PreprocessParams,
    workers: int | None = None,
) -> Exploration:
    """Look at every usable image once; the catalogue's rows and the audited images' statistics are all that is kept."""
    rows = [row for row in read_catalog(catalog) if row["status"] == OK]
    if {row["label"] for row in rows} != set(LABELS):
        raise RffdError(f"{catalog}: usable images of both classes are needed (real and fake)")
    quality = contract.jpeg_quality or params.audit_quality
    audited = chosen(rows, params.seed, params.audit_images or len(rows))
    names = {row["path"] for row in audited}
    tasks = [(raw / row["path"], row["path"] in names) for row in rows]
    work = functools.partial(measure, contract=contract, quality=quality)
    sums = {label: np.zeros((2, 3)) for label in LABELS}
    small = {label: np.zeros((AVERAGE_SIZE, AVERAGE_SIZE, 3)) for label in LABELS}
    statistics = []
    for row, found in zip(rows, spread(work, tasks, "explore", workers=workers), strict=True):
        sums[row["label"]] += found.sums
        small[row["label"]] += found.small
        if found.statistics is not None:
            statistics.append(found.statistics)
    counts = Counter(row["label"] for row in rows)
    return Exploration(
        rows=rows,
        channels={label: _mean_and_deviation(sums[label], counts[label] * contract.image_size**2) for label in LABELS},
        averages={label: small[label] / counts[label] for label in LABELS},
        pretrained=pretrained_normalisation(backbone),
        audit=audit(audited, np.array(statistics), params),
        audit_quality=quality,
        changed=changed_areas(rows, pairs / "masks"),
    )


def chosen(rows: Sequence[Row], seed: int, count: int) -> list[Row]:
    """`count` rows by a hash of seed and path, sorted by path: one image more in the set changes at most one."""
    order = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row['path']}".encode()).digest())
    return sorted(order[:count], key=lambda row: row["path"])


def measure(task: tuple[Path, bool], contract: PreprocessParams, quality: int) -> Measured:
    """Measure one image (and audit it, or not); `quality` is the JPEG re-encoding whose effect the audit tells."""
    path, audited = task
    image = read_image(path)
    prepared = prepare(image, contract)
    values = prepared.pixels.reshape(-1, 3).astype(np.int64)
    small = image.resize((AVERAGE_SIZE, AVERAGE_SIZE), Image.Resampling.BILINEAR, box=prepared.box, reducing_gap=2.0)
    statistics = None
    if audited:
        states = (image, reencode(image, quality), Image.fromarray(prepared.pixels))
        statistics = np.stack([pixel_statistics(state) for state in states])
    return Measured(np.stack([values.sum(0), (values**2).sum(0)]), np.asarray(small), statistics)


def audit(rows: Sequence[Row], statistics: np.ndarray, params: ExploreParams) -> dict[str, Interval]:
    """AUC of each shortcut as the files are, after re-encoding all alike, and as the model's input is prepared.

    `statistics` [N, 3, F]. Re-encoded files all carry one header, so that it tells nothing any more.
    """
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    groups = [row["group"] for row in rows]
    frequency = Counter(row["jpeg"] for row in rows)
    rank = {signature: i for i, signature in enumerate(sorted(frequency, key=lambda s: (-frequency[s], s)))}
    headers = np.array([[rank[row["jpeg"]]] for row in rows])
    tried = {
        "header_original": headers,
        "header_reencoded": np.zeros_like(headers),
        "pixels_original": statistics[:, 0],
        "pixels_reencoded": statistics[:, 1],
        "pixels_prepared": statistics[:, 2],
    }
    return {
        name: shortcut_auc(features, labels, groups, params.seed, resamples=params.resamples)
        if (features != features[0]).any()
        else (0.5, 0.5, 0.5)  # all alike: nothing to go by
        for name, features in tried.items()
    }


def pretrained_normalisation(backbone: Path) -> np.ndarray:
    """Mean and standard deviation [2, 3] (of 1) that the pre-trained model's preprocessor file names."""
    path = backbone / "preprocessor_config.json"
    try:
        config = read_json(path)
        return np.array([config["image_mean"], config["image_std"]], dtype=np.float64).reshape(2, 3)
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise RffdError(f"{path}: not there, or without image_mean and image_std; run `dvc repro backbone`") from error


def counts(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Images by class, fakes by difficulty, fakes by replaced region; what no name tells is left out."""
    fakes = [row for row in rows if row["label"] == "fake"]
    return {
        "class": {label: sum(row["label"] == label for row in rows) for label in LABELS},
        "difficulty": {name: sum(row["difficulty"] == name for row in fakes) for name in DIFFICULTIES},
        "region": {region: sum(row["bits"][i : i + 1] == "1" for row in fakes) for i, region in enumerate(REGIONS)},
    }


def patterns(rows: Sequence[Row]) -> dict[str, int]:
    """How many fakes have each combination of replaced regions ("0110"), most frequent first."""
    found = Counter(row["bits"] for row in rows if row["label"] == "fake" and row["bits"])
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def together(rows: Sequence[Row]) -> np.ndarray:
    """[4, 4]: in how many fakes two regions were replaced together; on the diagonal, each region's own count."""
    table = np.zeros((4, 4), dtype=np.int64)
    for bits, count in patterns(rows).items():
        for i, j in combinations_with_replacement([k for k in range(4) if bits[k] == "1"], 2):
            table[i, j] += count
            table[j, i] += count * (i != j)
    return table


def changed_areas(rows: Sequence[Row], masks: Path) -> dict[int, list[float]]:
    """The share of the picture that each registered mask covers, by the number of regions that the name says."""
    areas: dict[int, list[float]] = {}
    for row in rows:
        path = masks / f"{Path(row['path']).stem}.png"
        if row["label"] == "fake" and path.exists():
            with Image.open(path) as mask:
                areas.setdefault(row["bits"].count("1"), []).append(float((np.asarray(mask) > 127).mean()))
    return dict(sorted(areas.items()))


def figures(found: Exploration) -> dict[str, Any]:
    """The few figures of metrics/explore.json: the input as the pre-trained model gets it (0 and 1 were ideal),
    the registered masks with the median area they cover by number of regions, and the shortcuts before and after
    re-encoding."""
    everything = np.mean([found.channels[label] for label in LABELS], axis=0)
    mean, deviation = found.pretrained
    numbers: dict[str, Any] = {
        "normalised_mean": round(float(np.mean((everything[0] - mean) / deviation)), 4),
        "normalised_std": round(float(np.mean(everything[1] / deviation)), 4),
        "masks": sum(map(len, found.changed.values())),
        "masks_by_regions": [len(found.changed.get(n, [])) for n in range(1, 5)],
        "changed_area_by_regions": [
            round(float(np.median(found.changed[n])), 4) if n in found.changed else None for n in range(1, 5)
        ],
        "audit_quality": found.audit_quality,
    }
    for name, (auc, low, high) in found.audit.items():
        numbers[f"audit_{name}_auc"] = round(auc, 4)
        numbers[f"audit_{name}_auc_ci95"] = [round(low, 4), round(high, 4)]
    return numbers


def _mean_and_deviation(sums: np.ndarray, pixels: int) -> np.ndarray:
    mean, square = sums / pixels / 255, sums[1] / pixels / 255**2
    return np.stack([mean[0], np.sqrt(np.maximum(square - mean[0] ** 2, 0))])
