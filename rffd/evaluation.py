"""Everything we claim about a detector, in order: scores, calibration, threshold, band, breakdown, controls, curves.

Whatever is chosen (calibration, threshold, unsure band) is chosen on validation; test is only measured. All
figures use one plain view of each picture.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from rffd.breakdown import breakdown, worst
from rffd.calibration import (
    choose_threshold,
    fit_calibration,
    probability,
    reliability,
    unsure_band,
    verdicts,
)
from rffd.controls import ControlParams, control_figures, control_variants
from rffd.errors import RffdError
from rffd.files import replacing, write_csv, write_json
from rffd.metrics import Figures, figures, shares
from rffd.params import require
from rffd.preprocessing import PreprocessParams
from rffd.robustness import RobustnessParams, degradations, robustness_table
from rffd.scoring import PREDICTION_COLUMNS, Look, Split, margin, prediction_rows, score_split
from rffd.store import Store
from rffd.variants import score_variants

HEADLINE = ("accuracy", "f1", "recall", "auc")
THRESHOLDED = ("accuracy", "f1", "f1_real", "f1_macro", "precision", "recall", "specificity", "mcc")
CALIBRATED = ("accuracy", "log_loss", "brier", "ece")


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the test figures are held against."""

    accuracy: float
    f1: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            require(0 <= value <= 1, f"evaluate.targets.{field.name}", value, "from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class EvaluateParams:
    """The section `evaluate` of `params.yaml`."""

    seed: int
    resamples: int
    bins: int
    targets: Targets
    max_error: float
    max_fpr: float
    worst: int
    controls: ControlParams
    robustness: RobustnessParams

    def __post_init__(self) -> None:
        require(self.seed >= 0, "evaluate.seed", self.seed, "0 or more")
        require(100 <= self.resamples <= 100_000, "evaluate.resamples", self.resamples, "from 100 to 100000")
        require(2 <= self.bins <= 100, "evaluate.bins", self.bins, "from 2 to 100")
        require(0 < self.max_error < 0.5, "evaluate.max_error", self.max_error, "above 0 and below 0.5")
        require(0 < self.max_fpr < 1, "evaluate.max_fpr", self.max_fpr, "above 0 and below 1")
        require(self.worst >= 0, "evaluate.worst", self.worst, "0 or more")


@dataclass(frozen=True)
class Evaluation:
    """What the stage writes: the headline, all figures, and a row an image."""

    metrics: dict[str, Figures]
    details: dict[str, Any]
    predictions: list[dict[str, Any]]


def evaluate(
    look: Look,
    contract: PreprocessParams,
    raw: Path,
    catalog: Sequence[Mapping[str, str]],
    splits: Sequence[Mapping[str, str]],
    val: Store,
    test: Store,
    params: EvaluateParams,
) -> Evaluation:
    """Measure a model; `look` scores squares of pixels that `contract` has prepared."""
    for store in (val, test):
        if store.contract != contract:
            raise RffdError(f"{store.folder}: prepared otherwise than the model's training images; run `dvc repro`")
    by_path = {row["path"]: dict(row) for row in catalog}
    on_val, on_test = score_split("val", val, by_path, look), score_split("test", test, by_path, look)
    fitted = fit_calibration(on_val.logits, on_val.labels)
    p_val, p_test = probability(on_val.logits, fitted), probability(on_test.logits, fitted)
    band = unsure_band(on_val.labels, p_val, params.max_error)
    threshold = choose_threshold(on_val.labels, p_val, params.max_fpr)

    paths = [row["path"] for row in on_test.rows]
    controls, degraded = control_variants(params.controls, contract), degradations(params.robustness)
    logits = score_variants(
        paths,
        raw,
        contract,
        controls | degraded,
        lambda images: margin(look(images).logits),
        seed=params.seed,
        label="evaluate: controls and robustness",
    )
    changed = {name: probability(values, fitted) for name, values in logits.items()}
    train = [by_path[row["path"]] for row in splits if row["split"] == "train"]
    members = Counter(row["group"] for row in catalog if row["status"] == "ok")
    paired = np.array([members[row["group"]] > 1 for row in on_test.rows], dtype=bool)

    labels, groups = on_test.labels, on_test.groups
    draws: dict[str, Any] = {"resamples": params.resamples, "seed": params.seed}
    details: dict[str, Any] = {
        "view": "one plain view of each picture; intervals: 95 % bootstrap by group of shared photographs",
        "tpr_at_fpr": "given where the rate times the reals is 3 or more: from 60 reals at 5 %, from 300 at 1 %",
        "temperature": fitted.temperature,
        "offset": fitted.offset,
        "unsure_band": band,
        "threshold": {
            "value": threshold,
            "rule": f"the lowest at which at most {params.max_fpr:.0%} of the validation reals are called fake",
        },
        "val": split_details(on_val, p_val, band, threshold, params),
        "test": split_details(on_test, p_test, band, threshold, params),
        "breakdown": breakdown(on_test.rows, paired, p_test, groups, **draws),
        "controls": control_figures(
            train, on_test.rows, labels, p_test, {name: changed[name] for name in controls}, groups, **draws
        ),
        "robustness": robustness_table(labels, p_test, {name: changed[name] for name in degraded}, groups, **draws),
        "worst": worst(paths, labels, p_test, params.worst),
    }
    details["targets"] = {
        name: _target(getattr(params.targets, name), details["test"]["figures"][name]) for name in ("accuracy", "f1")
    }
    return Evaluation(
        metrics={name: headline(details[name]["figures"]) for name in ("val", "test")},
        details=details,
        predictions=prediction_rows(on_val, p_val, band) + prediction_rows(on_test, p_test, band),
    )


def write_evaluation(found: Evaluation, metrics: Path, evaluation: Path) -> None:
    """Write the headline to the file `metrics`, the rest to the folder `evaluation`."""
    tables = ("breakdown", "robustness")
    with replacing(evaluation) as folder:
        folder.mkdir()
        write_json(folder / "details.json", found.details)
        write_csv(folder / "predictions.csv", found.predictions, PREDICTION_COLUMNS)
        for name in tables:
            rows = [_flat(row) for row in found.details[name]]
            write_csv(folder / f"{name}.csv", rows, list(rows[0]) if rows else [])
    write_json(metrics, found.metrics)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """An interval as two columns, `x_low` and `x_high`."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith("_ci95"):
            flat[name.replace("_ci95", "_low")], flat[name.replace("_ci95", "_high")] = value or (None, None)
        else:
            flat[name] = value
    return flat


def headline(found: Figures) -> Figures:
    """The few figures that stand in the metrics file."""
    return {name: found[name] for name in HEADLINE} | {f"{name}_ci95": found[f"{name}_ci95"] for name in HEADLINE}


def split_details(
    split: Split, calibrated: np.ndarray, band: Mapping[str, Any], threshold: float | None, params: EvaluateParams
) -> dict[str, Any]:
    """All figures of one split."""
    settings: dict[str, Any] = {"bins": params.bins, "resamples": params.resamples, "seed": params.seed}
    plain = probability(split.logits)
    before = figures(split.labels, plain, split.groups, **settings)
    at = figures(split.labels, calibrated, split.groups, threshold=threshold, **settings) if threshold else None
    given = np.array([verdict != "unsure" for verdict in verdicts(calibrated, dict(band))], dtype=bool)
    wrong = (calibrated >= 0.5) != split.labels
    draws = {"resamples": params.resamples, "seed": params.seed}
    everything = np.ones_like(given)
    coverage, error = shares(np.stack([given, wrong]), np.stack([everything, given]), split.groups, **draws)
    return {
        "selected_on": split.name == "val",
        "count": len(split.labels),
        "reals": int((split.labels == 0).sum()),
        "fakes": int((split.labels == 1).sum()),
        "groups": len(set(split.groups)),
        "figures": figures(split.labels, calibrated, split.groups, **settings),
        "before_calibration": _only(before, CALIBRATED),
        "at_threshold": at and _only(at, THRESHOLDED),
        "answered": {
            "count": error["count"],
            "coverage": coverage["share"],
            "coverage_ci95": coverage["share_ci95"],
            "error": error["share"],
            "error_ci95": error["share_ci95"],
        },
        "reliability": {
            "before": reliability(split.labels, plain, params.bins),
            "after": reliability(split.labels, calibrated, params.bins),
        },
    }


def _only(found: Figures, names: Sequence[str]) -> Figures:
    return {f"{name}{end}": found[f"{name}{end}"] for name in names for end in ("", "_ci95")}


def _target(target: float, reached: Any) -> dict[str, Any]:
    return {"target": target, "test": reached, "met": reached is not None and reached >= target}
