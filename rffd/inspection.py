"""The detector's explanations put to the test: how far each map finds what was replaced, and what says it doesn't.

Everything is measured on test. Validation serves two choices only: how much of a map counts as hot for the
IoU, and whether the patch head knows enough for the pictures to show it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rffd.calibration import Calibration, probability
from rffd.errors import RffdError
from rffd.explanation import MAPS, OCCLUSION, maps, occlusion, randomised
from rffd.files import read_csv, read_json
from rffd.inference import infer
from rffd.localisation import area_under, best_share, control, curve, judged, orders, pointing, summary, truth
from rffd.metrics import figures, rounded
from rffd.model import Detector
from rffd.names import REGIONS
from rffd.params import require
from rffd.progress import progress
from rffd.store import Store

FIXED, RANDOM = "fixed", "random order"
ENOUGH = 5  # registered masks without which validation's fakes with known regions serve the choices


@dataclass(frozen=True, kw_only=True)
class ExplainParams:
    """The section `explain`."""

    batch_size: int
    occlusion_images: int
    curve_images: int
    curve_steps: int
    random_models: int
    resamples: int
    seed: int
    pictures: int

    def __post_init__(self) -> None:
        for name, least in {"batch_size": 1, "curve_steps": 2, "random_models": 1, "pictures": 1}.items():
            require(getattr(self, name) >= least, f"explain.{name}", getattr(self, name), f"{least} or more")
        for name in ("occlusion_images", "curve_images", "resamples", "seed"):
            require(getattr(self, name) >= 0, f"explain.{name}", getattr(self, name), "0 or more")


@dataclass(frozen=True)
class Predictions:
    """What evaluate found: calibrated `probability` of fake and `regions` by path, its `calibration`, and the paths
    of its `worst` mistakes on test, `false_positives` and `false_negatives`."""

    probability: dict[str, float]
    regions: dict[str, np.ndarray]
    calibration: Calibration
    worst: dict[str, list[str]]


def read_predictions(evaluation: Path) -> Predictions:
    """Read evaluate's `predictions.csv` and `details.json`."""
    rows = read_csv(evaluation / "predictions.csv")
    details = read_json(evaluation / "details.json")
    return Predictions(
        {row["path"]: float(row["probability"]) for row in rows},
        {row["path"]: np.array([float(row[f"region_{name}"]) for name in REGIONS]) for row in rows},
        Calibration(details["temperature"], details["offset"]),
        {kind: [row["path"] for row in mistakes] for kind, mistakes in details["worst"].items()},
    )


@dataclass(frozen=True)
class Inspection:
    """All figures, as they stand in `details.json` (None for what the data doesn't allow), and occlusion's maps
    [h, w] by row of test, the slow ones."""

    details: dict[str, Any]
    occlusion: dict[int, np.ndarray]


def inspect(detector: Detector, val: Store, test: Store, found: Predictions, params: ExplainParams) -> Inspection:
    """Measure every map on test, beside the one map for all and models of shuffled weights."""
    if missing := [path for path in test.paths if path not in found.probability]:
        raise RffdError(f"predictions.csv: {missing[0]} and {len(missing) - 1} others are missing; run evaluate again")
    val_rows, rows = fakes(val), fakes(test)
    masked = [i for i in rows if truth(test, i)[1]]
    tuned = [i for i in val_rows if truth(val, i)[1]]
    tuned = tuned if len(tuned) >= ENOUGH else val_rows
    fixed = fixed_map(val, val_rows)
    with progress("explain", len(tuned) + len(rows) * (1 + params.random_models)) as advance:
        seen = measure(detector, val, tuned, fixed, params, advance)
        tested = measure(detector, test, rows, fixed, params, advance)
        controls: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in MAPS}
        for k in range(params.random_models):
            stranger = randomised(detector, params.seed + k)
            for name, measured in measure(stranger, test, rows, fixed, params, advance).items():
                if name in MAPS:
                    controls[name].append(measured)
    few = spread_out(masked or rows, params.occlusion_images)
    occluded = occlusion_maps(detector, test, few, params)
    tested[OCCLUSION] = list(judged(test, few, occluded))
    seen[OCCLUSION] = []

    draws = {"resamples": params.resamples, "seed": params.seed}
    by_map: dict[str, dict[str, Any]] = {}
    for name, measured in tested.items():
        share = best_share(seen[name] or seen["gradient"])
        by_map[name] = {"hot_share": share, "validation": summary(seen[name], val, share, **draws)}
        by_map[name] |= summary(measured, test, share, **draws) | pointing(measured, test, **draws)
        if name in MAPS:
            by_map[name]["control"] = control(measured, controls[name], test, **draws)
    ends = by_map["patches"]["validation"].get("region_auc_ci95")
    shown = "patches" if ends and ends[0] > 0.5 else "gradient"  # attention is hot on a genuine face too
    details = {
        "shown": shown,
        "counts": {
            "fakes": len(rows),
            "masks": len(masked),
            "validation_masks": sum(m["ious"] is not None for m in seen[FIXED]),
        },
        "maps": by_map,
        "curves": deletion(detector, test, found, params),
        "regions": region_scores(test, found, params),
    }
    return Inspection(details, dict(zip(few, occluded, strict=True)))


def fakes(store: Store) -> list[int]:
    """Rows of the fakes of which it is known what was replaced."""
    return [i for i in range(len(store)) if store.labels[i] == 1 and truth(store, i)[0] is not None]


def fixed_map(store: Store, rows: list[int]) -> np.ndarray:
    """The map to beat: the same for every picture, the share of the fakes in which each pixel was replaced."""
    total = np.zeros((store.image_size, store.image_size), dtype=np.float32)
    for i in rows:
        mask, _ = truth(store, i)
        assert mask is not None, "rows of `fakes`"
        total += mask
    return total / max(1, len(rows))


def measure(
    detector: Detector, store: Store, rows: list[int], fixed: np.ndarray, params: ExplainParams, advance: Any
) -> dict[str, list[dict[str, Any]]]:
    """By map, the measures of each of `rows` (see `judged`); the map `FIXED` rides along."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in (*MAPS, FIXED)}
    for start in range(0, len(rows), params.batch_size):
        some = rows[start : start + params.batch_size]
        heats = maps(detector, np.asarray(store.images[some])) | {FIXED: np.repeat(fixed[None], len(some), axis=0)}
        for name, heat in heats.items():
            results[name].extend(judged(store, some, heat))
        advance(len(some))
    return results


def occlusion_maps(detector: Detector, store: Store, rows: list[int], params: ExplainParams) -> np.ndarray:
    """Occlusion's maps [len(rows), h, w], one image at a time, with a word on how far it is."""
    found = []
    with progress("occlusion", len(rows)) as advance:
        for i in rows:
            found.append(occlusion(detector, np.asarray(store.images[[i]]), params.batch_size)[0])
            advance(1)
    return np.array(found)


def spread_out(rows: list[int], count: int) -> list[int]:
    """At most `count` of `rows`, evenly spaced: a choice that no result enters."""
    return [rows[k * len(rows) // count] for k in range(count)] if len(rows) > count else list(rows)


def deletion(detector: Detector, store: Store, found: Predictions, params: ExplainParams) -> dict[str, Any] | None:
    """Deletion and insertion curves of every map on fakes that are called fake; None without such.

    The score is the calibrated probability of fake; `RANDOM` takes the patches in a drawn order.
    """
    called = [i for i in range(len(store)) if store.labels[i] == 1 and found.probability[store.paths[i]] >= 0.5]
    rows = spread_out(called, params.curve_images)
    if not rows:
        return None

    def score(images: np.ndarray) -> np.ndarray:
        logits = infer(detector, images, params.batch_size).logits
        return probability(logits[:, 1] - logits[:, 0], found.calibration)

    sums: dict[str, dict[str, np.ndarray]] = {}
    with progress("deletion and insertion", len(rows)) as advance:
        for start in range(0, len(rows), params.batch_size):
            some = rows[start : start + params.batch_size]
            images = np.asarray(store.images[some])
            heats = maps(detector, images)
            heats[RANDOM] = np.random.default_rng([params.seed, start]).random(heats["patches"].shape)
            for name, heat in heats.items():
                for way in ("deletion", "insertion"):
                    points = curve(score, images, orders(heat), params.curve_steps, insert=way == "insertion")
                    sums.setdefault(name, {}).setdefault(way, np.zeros(len(points)))
                    sums[name][way] += points * len(some)
            advance(len(some))
    result: dict[str, Any] = {"images": len(rows)}
    for name, ways in sums.items():
        result[name] = {}
        for way, total in ways.items():
            shown = [round(float(value), 6) for value in total / len(rows)]
            result[name] |= {way: shown, f"{way}_area": rounded(area_under(shown))}
    return result


def region_scores(store: Store, found: Predictions, params: ExplainParams) -> dict[str, Any]:
    """AP and F1 (at .5) of each region's score over all images with known bits, a real counting as four zeros."""
    known = [i for i in range(len(store)) if not np.isnan(store.bits[i]).any()]
    groups = [store.groups[i] for i in known]
    result: dict[str, Any] = {"images": len(known)}
    for k, name in enumerate(REGIONS):
        truth_k = store.bits[known, k].astype(int)
        scored = np.array([found.regions[store.paths[i]][k] for i in known])
        all_figures = figures(truth_k, scored, groups, resamples=params.resamples, seed=params.seed)
        kept = {
            key: value for key, value in all_figures.items() if key.startswith(("average_precision", "f1_ci", "auc"))
        }
        share = rounded(truth_k.mean()) if known else None
        result[name] = {"replaced": int(truth_k.sum()), "share": share, "f1": all_figures["f1"], **kept}
    for key in ("average_precision", "f1"):
        values = [result[name][key] for name in REGIONS if result[name][key] is not None]
        result[f"{key}_mean"] = rounded(np.mean(values)) if values else None
    return result
