"""The package: what it promises to strangers holds."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import stages.package
from rffd.errors import RffdError
from rffd.files import read_csv, write_json
from rffd.inference import infer
from rffd.manifest import read_checksums
from rffd.model import load_detector
from rffd.packaging import PackageParams, evenly, rule_of
from rffd.params import ParamError, read_params
from rffd.preprocessing import model_view, prepare
from tests.packages import CONTRACT, DETAILS, FIGURES, PARAMS, SOURCES, packaged, repackage


def test_a_plain_pipeline_loads_it_and_equals_the_calibrated_model_on_the_preprocessed_image():
    from transformers import pipeline

    made = packaged()
    plain = pipeline("image-classification", model=str(made.package), trust_remote_code=False)
    rows = {row["path"]: row for row in read_csv(made.predictions)}
    for i, path in enumerate(made.store.paths):
        square = Image.fromarray(model_view(made.store.images[i : i + 1], 32)[0])
        scores = {answer["label"]: answer["score"] for answer in plain(square)}
        assert set(scores) == {"real", "fake"}
        assert scores["fake"] == pytest.approx(float(rows[path]["probability"]), abs=1e-4)


def test_the_card_states_the_gap_that_a_plain_pipeline_has_on_raw_files():
    from transformers import pipeline

    made = packaged()
    plain = pipeline("image-classification", model=str(made.package))
    rows = read_csv(made.predictions)
    rows = [rows[i] for i in evenly(len(rows), PARAMS.checked_images)]
    gaps = []
    for row in rows:
        scores = {answer["label"]: answer["score"] for answer in plain(str(made.raw / row["path"]))}
        gaps.append(abs(scores["fake"] - float(row["probability"])))
    card = (made.package / "README.md").read_text()
    assert f"On {len(rows)} raw test files" in card
    assert f"{np.median(gaps):.3f} in the probability of fake (median; at most {max(gaps):.3f})" in card


def test_the_calibration_is_folded_in_and_the_rest_of_the_model_untouched():
    made = packaged()
    before, after = load_detector(made.model), load_detector(made.package)
    expected = infer(before, np.asarray(made.store.images))
    found = infer(after, np.asarray(made.store.images))
    np.testing.assert_allclose(
        found.logits * DETAILS["temperature"] + [0, DETAILS["offset"]], expected.logits, atol=1e-5
    )
    np.testing.assert_array_equal(found.regions, expected.regions)
    np.testing.assert_array_equal(found.patches, expected.patches)


@pytest.mark.parametrize("batch", [1, 5])
def test_onnx_equals_torch_for_any_batch(batch):
    made = packaged()
    detector = load_detector(made.package)
    session = onnxruntime.InferenceSession(made.package / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["pixel_values"]
    pixels = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(batch))
    with torch.no_grad():
        expected = detector(pixels)
    logits, regions, patches = session.run(["logits", "regions", "patches"], {"pixel_values": pixels.numpy()})
    np.testing.assert_allclose(logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(regions, expected.regions.sigmoid(), atol=1e-5)
    np.testing.assert_allclose(patches, expected.patches.sigmoid(), atol=1e-5)


@pytest.mark.slow
def test_it_is_the_same_to_the_byte_in_another_process_and_folder(tmp_path):
    made = packaged()
    code = (
        "import sys; from pathlib import Path; from tests.packages import repackage; from rffd.store import open_store;"
        "a = [Path(p) for p in sys.argv[1:]]; print('\\n'.join(repackage(a[0], a[1], open_store(a[2]), a[3], a[4])))"
    )
    paths = [tmp_path / "elsewhere" / "package", made.model, made.store.folder, made.predictions, made.raw]
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == made.manifest


def test_checksums_cover_every_file_and_safetensors_are_the_only_weights_beside_onnx(tmp_path):
    made = packaged()
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=made.package, capture_output=True)
    assert done.returncode == 0, done.stderr
    listed = {line.split("  ")[1] for line in (made.package / "SHA256SUMS").read_text().splitlines()}
    there = {p.relative_to(made.package).as_posix() for p in made.package.rglob("*") if p.is_file()}
    assert there == listed | {"SHA256SUMS"}
    assert {p.split()[2] for p in made.manifest} == there
    assert not [name for name in there if name.endswith((".bin", ".pt", ".pth", ".pkl"))]


def test_nothing_in_it_tells_of_the_machine_it_was_made_on():
    made = packaged()
    for path in made.package.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(made.model).encode() not in content, path
            assert b"site-packages" not in content, path


def test_an_onnx_file_that_differs_from_the_model_is_refused(tmp_path, monkeypatch):
    made = packaged()
    monkeypatch.setattr("rffd.onnx_export.TOLERANCE", -1.0)
    with pytest.raises(RffdError, match="ONNX Runtime and torch differ"):
        repackage(tmp_path / "package", made.model, made.store, made.predictions, made.raw)
    assert list(tmp_path.iterdir()) == []


def test_evaluation_without_a_band_is_one_clear_line():
    with pytest.raises(RffdError, match=r"unsure_band.*dvc repro evaluate"):
        rule_of({"temperature": 1.0, "offset": 0.0})


def test_the_contract_that_travels_is_the_one_that_prepared_the_training_images():
    made = packaged()
    assert json.loads((made.package / "contract.json").read_text()) == dataclasses.asdict(CONTRACT)
    picture = Image.open(made.raw / made.store.paths[0])
    np.testing.assert_array_equal(prepare(picture, CONTRACT).pixels, made.store.images[0])


def test_the_stage_writes_package_and_manifest_from_the_files_of_the_stages_before(tmp_path):
    made = packaged()
    metrics = {"split": SOURCES.split, "evaluate": FIGURES, "train": SOURCES.train, "backbone": SOURCES.vit}
    for name, values in metrics.items():
        write_json(tmp_path / f"{name}.json", values)
    write_json(tmp_path / "evaluation" / "details.json", DETAILS)
    (tmp_path / "evaluation" / "predictions.csv").write_bytes(made.predictions.read_bytes())
    stages.package.main(
        model=made.model,
        evaluation=tmp_path / "evaluation",
        splits_metrics=tmp_path / "split.json",
        evaluate_metrics=tmp_path / "evaluate.json",
        train_metrics=tmp_path / "train.json",
        backbone_metrics=tmp_path / "backbone.json",
        raw=made.raw,
        test=made.store.folder,
        package=tmp_path / "package",
        metrics=tmp_path / "package.json",
    )
    found = json.loads((tmp_path / "package.json").read_text())
    files = [path for path in (tmp_path / "package").rglob("*") if path.is_file()]
    assert found["package_bytes"] == sum(path.stat().st_size for path in files)
    assert [line.split()[2] for line in found["package_files"]] == sorted(read_checksums(tmp_path / "package"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repository": "no owner"}, "package.repository"),
        ({"title": " "}, "package.title"),
        ({"license": ""}, "package.license"),
        ({"checked_images": 0}, "package.checked_images"),
    ],
)
def test_bad_parameters_are_one_clear_line(change, message):
    with pytest.raises(ParamError, match=message):
        dataclasses.replace(PARAMS, **change)


def test_the_committed_parameters_are_valid():
    read_params("package", PackageParams)
