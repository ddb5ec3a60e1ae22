"""The whole evaluation on made-up pictures with a model whose knowledge is known."""

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from rffd import evaluation
from rffd import look as drawing
from rffd.calibration import Calibration, probability
from rffd.errors import RffdError
from rffd.evaluation_plots import draw, write_tables
from rffd.files import read_csv, read_json, write_csv, write_json
from rffd.metrics import scores
from rffd.names import LABELS
from rffd.params import PARAMS_FILE, build, read_params
from rffd.preparing import fill_stores
from rffd.preprocessing import PreprocessParams
from rffd.scoring import PREDICTION_COLUMNS
from rffd.store import Store, open_store
from tests.toys import toy_backbone

CONTRACT = PreprocessParams(image_size=40, jpeg_quality=None, face_margin=None)
SPLITS = ("train", "val", "test")
LEVELS = {"jpeg": [50], "resize": [0.5], "blur": [2.0], "noise": [8], "brightness": [0.5], "messenger": [1, 2]}
SECTION = {
    "seed": 0,
    "resamples": 200,
    "bins": 10,
    "targets": {"accuracy": 0.8, "f1": 0.8},
    "max_error": 0.1,
    "max_fpr": 0.05,
    "worst": 3,
    "controls": {"jpeg_quality": 75, "blank_margin": 0.15, "shift": 0.02, "rescale": [0.8]},
    "robustness": LEVELS | {"messenger_scale": 0.8, "messenger_quality": 70},
}


def made_up(root: Path, count: int = 60, *, labels: tuple[str, ...] = LABELS) -> None:
    """Pictures in raw/, catalog.csv, splits.csv and stores; a fake has a bright square in the middle of its face."""
    random = np.random.default_rng(1)
    rows, placed = [], []
    for i in range(count):
        label = labels[i % len(labels)]
        difficulty = ("easy", "mid", "hard")[i % 3] if label == "fake" else ""
        name = f"fake/{difficulty}_{i}_0110.png" if difficulty else f"real/real_{i:05}.png"
        pixels = random.integers(60, 180, (64, 64, 3), dtype=np.uint8)
        if label == "fake":
            strength = 20 + 10 * (i % 7)
            pixels[26:46, 22:42] = np.minimum(pixels[26:46, 22:42].astype(int) + strength, 255)
        (root / "raw" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / "raw" / name)
        bits = "0110" if label == "fake" else "0000"
        group = rows[-1]["path"] if i % 10 == 9 else name
        rows.append(
            {"path": name, "label": label, "difficulty": difficulty, "bits": bits, "group": group, "status": "ok"}
            | {"width": 64, "height": 64, "bytes": 9000 + i, "mode": "RGB", "orientation": 1, "jpeg": f"q-{i % 2}"}
            | {"id": i, "sha256": f"{i:064x}", "reason": "", "note": ""}
        )
        placed.append({"path": name, "split": SPLITS[i // 2 % 3]})
    rows.sort(key=lambda row: row["path"])
    write_csv(root / "catalog.csv", rows, list(rows[0]))
    write_csv(root / "splits.csv", sorted(placed, key=lambda row: row["path"]), ["path", "split"])
    stores = {name: root / name for name in SPLITS}
    fill_stores(root / "raw", root, root / "catalog.csv", root / "splits.csv", stores, CONTRACT, workers=1)


def look(images: np.ndarray) -> SimpleNamespace:
    """A model that knows where to look: how much brighter the middle is than the rim."""
    assert len(images) <= 32  # memory is bounded by batch, whatever the set's size
    pixels = images.astype(float)
    z = (pixels[:, 18:26, 16:24].mean(axis=(1, 2, 3)) - pixels[:, :6].mean(axis=(1, 2, 3)) - 25) / 6
    return SimpleNamespace(logits=np.stack([-z / 2, z / 2], axis=1), regions=np.full((len(z), 4), 0.25))


def evaluated(root: Path) -> evaluation.Evaluation:
    params = build(evaluation.EvaluateParams, SECTION, "evaluate")
    catalog, splits = read_csv(root / "catalog.csv"), read_csv(root / "splits.csv")
    val, test = open_store(root / "val"), open_store(root / "test")
    return evaluation.evaluate(look, CONTRACT, root / "raw", catalog, splits, val, test, params)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coarse figures: these tests draw dozens."""
    monkeypatch.setattr(drawing, "DPI", 40)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    made_up(folder)
    return folder


@pytest.fixture(scope="module")
def found(root: Path) -> evaluation.Evaluation:
    return evaluated(root)


def test_headline_is_the_contract(found: evaluation.Evaluation) -> None:
    assert list(found.metrics) == ["val", "test"]
    for figures in found.metrics.values():
        assert list(figures) == [f"{n}{end}" for end in ("", "_ci95") for n in ("accuracy", "f1", "recall", "auc")]
        for name in ("accuracy", "f1", "recall", "auc"):
            low, high = figures[f"{name}_ci95"]
            assert 0 <= low <= figures[name] <= high <= 1


def test_headline_follows_from_the_predictions(found: evaluation.Evaluation) -> None:
    for split, figures in found.metrics.items():
        rows = [row for row in found.predictions if row["split"] == split]
        labels = np.array([row["label"] == "fake" for row in rows])
        p = np.array([row["probability"] for row in rows])
        again = scores(labels, p)
        for name in ("accuracy", "f1", "recall", "auc"):
            assert figures[name] == pytest.approx(again[name][0], abs=1e-6)
        logits = np.array([row["logit"] for row in rows])
        fitted = Calibration(found.details["temperature"], found.details["offset"])
        assert (probability(logits, fitted) == p).all()


def test_predictions_are_complete(root: Path, found: evaluation.Evaluation) -> None:
    assert all(set(row) == set(PREDICTION_COLUMNS) for row in found.predictions)
    placed = {row["path"]: row["split"] for row in read_csv(root / "splits.csv") if row["split"] != "train"}
    assert {row["path"]: row["split"] for row in found.predictions} == placed
    band = found.details["unsure_band"]
    for row in found.predictions:
        sure = row["probability"] < band["low"] or row["probability"] >= band["high"]
        assert (row["verdict"] != "unsure") == sure


def test_details_hold_what_is_claimed(found: evaluation.Evaluation) -> None:
    details = found.details
    assert details["val"]["selected_on"] is True and details["test"]["selected_on"] is False
    for split in ("val", "test"):
        figures = details[split]["figures"]
        assert len([name for name in figures if not name.endswith("_ci95")]) == 16
        assert details[split]["reals"] + details[split]["fakes"] == details[split]["count"] == 20
        assert details[split]["groups"] <= 20
    assert details["val"]["answered"]["error"] <= 0.1
    assert details["val"]["at_threshold"]["specificity"] >= 0.95
    assert details["controls"]["face_blanked"]["at_chance"] is True
    assert details["controls"]["model"]["auc"] > 0.9
    assert set(details["controls"]["flips"]) == {"shifted right", "shifted down", "mirrored", "rescaled 0.8"}
    assert [row["kind"] for row in details["robustness"]] == ["none", *LEVELS, "messenger"]
    assert {row["by"] for row in details["breakdown"]} >= {
        "difficulty",
        "region",
        "regions replaced",
        "jpeg",
        "pairing",
    }
    assert details["targets"]["accuracy"] == {
        "target": 0.8,
        "test": found.metrics["test"]["accuracy"],
        "met": found.metrics["test"]["accuracy"] >= 0.8,
    }


def test_twice_the_same_to_the_byte(root: Path, found: evaluation.Evaluation, tmp_path: Path) -> None:
    again = evaluated(root)
    for name, result in (("a", found), ("b", again)):
        evaluation.write_evaluation(result, tmp_path / name / "evaluate.json", tmp_path / name / "evaluation")
        write_tables(tmp_path / name, result.predictions, result.details)
        draw(tmp_path / name, result.predictions, result.details)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 15
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path


def test_tables_for_dvc(found: evaluation.Evaluation, tmp_path: Path) -> None:
    write_tables(tmp_path, found.predictions, found.details)
    confusion = read_csv(tmp_path / "confusion.csv")
    right = sum(row["actual"] == row["predicted"] for row in confusion)
    assert len(confusion) == 20 and right / 20 == pytest.approx(found.metrics["test"]["accuracy"])
    assert {row["actual"] for row in confusion} == {"real", "fake"}
    roc = [(float(r["false_positive_rate"]), float(r["true_positive_rate"])) for r in read_csv(tmp_path / "roc.csv")]
    assert roc[0] == (0, 0) and roc[-1] == (1, 1) and roc == sorted(roc)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(roc))
    assert area == pytest.approx(found.metrics["test"]["auc"], abs=1e-4)
    assert list(read_csv(tmp_path / "pr.csv")[0]) == ["recall", "precision"]
    assert sum(int(row["count"]) for row in read_csv(tmp_path / "calibration.csv")) == 20


def test_one_class_and_names_outside_the_grammar(tmp_path: Path) -> None:
    made_up(tmp_path, 24, labels=("fake",))
    catalog = [row | {"difficulty": "", "bits": ""} for row in read_csv(tmp_path / "catalog.csv")]
    write_csv(tmp_path / "catalog.csv", catalog, list(catalog[0]))
    result = evaluated(tmp_path)
    assert result.metrics["test"]["auc"] is None and result.metrics["test"]["auc_ci95"] is None
    assert (result.details["temperature"], result.details["offset"]) == (1, 0)
    assert result.details["threshold"]["value"] is None
    assert result.details["controls"]["file_header_only"] is None
    evaluation.write_evaluation(result, tmp_path / "evaluate.json", tmp_path / "evaluation")  # refuses NaN
    write_tables(tmp_path, result.predictions, result.details)
    draw(tmp_path, result.predictions, result.details)
    assert "NaN" not in json.dumps(read_json(tmp_path / "evaluation" / "details.json"))


def test_an_empty_split(root: Path, tmp_path: Path) -> None:
    full = open_store(root / "test")
    empty = Store(
        **{
            **vars(full),
            **{name: getattr(full, name)[:0] for name in ("images", "labels", "bits", "mask_rows", "paths", "groups")},
        }
    )
    params = build(evaluation.EvaluateParams, SECTION, "evaluate")
    catalog, splits = read_csv(root / "catalog.csv"), read_csv(root / "splits.csv")
    result = evaluation.evaluate(look, CONTRACT, root / "raw", catalog, splits, open_store(root / "val"), empty, params)
    assert set(result.metrics["test"].values()) == {None}
    evaluation.write_evaluation(result, tmp_path / "evaluate.json", tmp_path / "evaluation")
    write_tables(tmp_path, result.predictions, result.details)
    draw(tmp_path, result.predictions, result.details)


def test_another_preprocessing_is_refused(root: Path) -> None:
    other = PreprocessParams(image_size=40, jpeg_quality=80, face_margin=None)
    params = build(evaluation.EvaluateParams, SECTION, "evaluate")
    store = open_store(root / "val")
    with pytest.raises(RffdError, match="prepared otherwise"):
        evaluation.evaluate(look, other, root / "raw", [], [], store, store, params)


def test_committed_parameters_are_valid() -> None:
    params = read_params("evaluate", evaluation.EvaluateParams, Path(__file__).parents[1] / PARAMS_FILE)
    assert (params.targets.accuracy, params.targets.f1, params.resamples) == (0.8, 0.8, 2000)


def test_the_stage_with_a_real_model(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from rffd.model import new_detector, save_detector
    from stages import evaluate

    detector = new_detector(toy_backbone(tmp_path / "backbone"), CONTRACT)
    torch.manual_seed(0)
    torch.nn.init.normal_(detector.vit.classifier.weight, std=0.5)
    (tmp_path / "model").mkdir()
    save_detector(detector, tmp_path / "model")
    write_json(tmp_path / "params.yaml", {"evaluate": SECTION})  # JSON is YAML
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    evaluate.main(
        model=tmp_path / "model",
        raw=root / "raw",
        catalog=root / "catalog.csv",
        splits=root / "splits.csv",
        val=root / "val",
        test=root / "test",
        metrics=Path("metrics/evaluate.json"),
        evaluation=Path("data/evaluation"),
        plots=Path("plots/evaluate"),
    )
    torch.set_num_threads(threads)
    names = ["breakdown.csv", "details.json", "predictions.csv", "robustness.csv"]
    assert sorted(p.name for p in Path("data/evaluation").iterdir()) == names
    tables = {"calibration.csv", "confusion.csv", "pr.csv", "roc.csv"}
    assert tables < {p.name for p in Path("plots/evaluate").iterdir()}
    rows = read_csv(Path("data/evaluation/predictions.csv"))
    assert list(rows[0]) == PREDICTION_COLUMNS and len(rows) == 40
    for picture in Path("plots/evaluate").glob("*.png"):
        assert min(Image.open(picture).size) > 100
