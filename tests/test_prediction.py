"""`rffd predict` gives the answers of evaluation, for any picture, any number of them, and says what it can't read."""

import collections
import dataclasses
import itertools
import json
import resource
import shutil
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import rffd.prediction
from rffd.calibration import verdicts
from rffd.errors import RffdError
from rffd.face import Face
from rffd.files import read_csv
from rffd.heat import captioned, heat_map
from rffd.images import UnreadableImage, read_image
from rffd.model import load_detector
from rffd.onnx_export import export_onnx
from rffd.prediction import AHEAD, Package, Prediction, open_package, predict
from rffd.preprocessing import PreprocessParams, enough_pixels, prepare
from rffd.store import contract_json
from rffd.verdict import Rule, fake_probability
from tests.packages import BAND, packaged

RULE = Rule(low=0.35, high=0.65, region=0.5, temperature=1.0, offset=0.0)


def with_contract(folder: Path, **values: object) -> Package:
    """The shared package under another preprocessing contract."""
    shutil.copytree(packaged().package, folder / "package")
    contract = PreprocessParams(**({"image_size": 40, "jpeg_quality": None, "face_margin": None} | values))
    (folder / "package" / "contract.json").write_text(json.dumps(contract_json(contract)))
    return open_package(folder / "package")


def test_predict_equals_evaluate_image_by_image():
    made = packaged()
    rows = read_csv(made.predictions)
    answers = list(predict(open_package(made.package), [str(made.raw / row["path"]) for row in rows]))
    for row, answer in zip(rows, answers, strict=True):
        assert isinstance(answer, Prediction)
        assert answer.path.endswith(row["path"])
        assert answer.probability == pytest.approx(float(row["probability"]), abs=1e-4)
        assert answer.verdict == row["verdict"]
        for name, value in answer.region_probabilities.items():
            assert value == pytest.approx(float(row[f"region_{name}"]), abs=1e-4)


def test_an_answer_does_not_depend_on_what_else_is_asked():
    made = packaged()
    package = open_package(made.package)
    paths = [str(path) for path in sorted(made.raw.rglob("*.jpg"))[:6]]
    together = list(predict(package, paths, workers=3))
    for path, answer in zip(paths, together, strict=True):
        (alone,) = predict(package, [path])
        assert (alone.probability, alone.region_probabilities) == (answer.probability, answer.region_probabilities)


def test_the_rule_is_evaluations():
    for p in np.linspace(0, 1, 201):
        assert RULE.verdict(p) == verdicts(np.array([p]), BAND)[0]
    never = Rule(low=0.0, high=1.0, region=0.5, temperature=1.0, offset=0.0)
    assert never.verdict(0.999) == never.verdict(1e-9) == "unsure"
    always = Rule(low=0.5, high=0.5, region=0.5, temperature=1.0, offset=0.0)
    assert (always.verdict(0.4999), always.verdict(0.5)) == ("real", "fake")


def test_a_real_has_no_replaced_regions():
    scores = np.array([0.9, 0.1, 0.6, 0.5])
    assert RULE.replaced(0.1, scores) == []
    assert RULE.replaced(0.5, scores) == RULE.replaced(0.9, scores) == ["left_eye", "nose", "mouth"]


def test_probabilities_never_overflow():
    logits = np.array([[0.0, 2000.0], [2000.0, 0.0], [0.0, 0.0]])
    assert fake_probability(logits).tolist() == [1.0, 0.0, 0.5]


def test_order_is_kept_and_each_bad_file_is_told_where_it_stood(tmp_path):
    made = packaged()
    good = sorted(made.raw.rglob("*.jpg"))[:3]
    files = {"cut.jpg": good[0].read_bytes()[:500], "empty.png": b"", "text.jpg": b"<html>"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    paths = [good[0], tmp_path / "cut.jpg", good[1], tmp_path / "none.jpg", *[good[2]] * AHEAD, tmp_path / "empty.png"]
    answers = list(predict(open_package(made.package), map(str, paths)))
    for path, answer in zip(paths, answers, strict=True):
        assert str(answer.path) == str(path)
        assert isinstance(answer, UnreadableImage) == (path not in good)


def test_any_size_orientation_and_mode_gives_an_answer(tmp_path):
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (90, 200, 3), dtype=np.uint8))
    for mode in ("L", "LA", "P", "RGBA", "1", "I;16"):
        name = mode.replace(";", "")
        if mode == "I;16":
            Image.fromarray(random.integers(0, 65536, (70, 70), dtype=np.uint16)).save(tmp_path / f"{name}.png")
        else:
            picture.convert(mode).save(tmp_path / f"{name}.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    picture.rotate(-90, expand=True).save(tmp_path / "upright.png")
    answers = {p.path: p for p in predict(open_package(packaged().package), map(str, sorted(tmp_path.iterdir())))}
    assert all(isinstance(answer, Prediction) for answer in answers.values())
    assert answers[f"{tmp_path}/turned.jpg"].box == (0, 0, 90, 200)
    turned, upright = (answers[f"{tmp_path}/{name}"].probability for name in ("turned.jpg", "upright.png"))
    assert turned == pytest.approx(upright, abs=0.02)


def test_small_pictures_get_a_warning(tmp_path):
    for side in (63, 64):
        Image.new("RGB", (side, 200)).save(tmp_path / f"{side}.png")
    small, large = predict(open_package(packaged().package), [f"{tmp_path}/63.png", f"{tmp_path}/64.png"])
    assert "63 pixels" in small.warning
    assert not large.warning


def test_a_face_is_measured_without_the_margin_around_it(tmp_path, monkeypatch):
    package = with_contract(tmp_path, face_margin=0.15)
    Image.new("RGB", (300, 300)).save(tmp_path / "wide.png")
    Image.new("RGB", (70, 70)).save(tmp_path / "tight.png")
    warnings = {}
    for side in (63.0, 64.0):
        monkeypatch.setattr("rffd.preprocessing.find_face", lambda _, side=side: Face(50.0, 50.0, side, True))
        (answer,) = predict(package, [f"{tmp_path}/wide.png"])
        warnings[side] = answer.warning
    assert "63 pixels" in warnings[63.0] and not warnings[64.0]
    monkeypatch.setattr("rffd.preprocessing.find_face", lambda _: Face(1.0, 1.0, 68.0, True))
    (answer,) = predict(package, [f"{tmp_path}/tight.png"])
    assert not answer.warning  # the margin didn't fit into the picture
    monkeypatch.setattr("rffd.preprocessing.find_face", lambda _: Face(50.0, 50.0, 200.0, False))
    (answer,) = predict(package, [f"{tmp_path}/wide.png"])
    assert "no face found" in answer.warning


def test_the_packages_own_contract_prepares_the_picture(tmp_path):
    made, package = packaged(), with_contract(tmp_path, jpeg_quality=80)
    path = sorted(made.raw.rglob("*.jpg"))[0]
    expected = rffd.prediction.score(package, prepare(Image.open(path), package.contract).pixels[None])[0][0]
    (answer,) = predict(package, [str(path)])
    assert answer.probability == expected
    assert abs(answer.probability - next(predict(open_package(made.package), [str(path)])).probability) > 1e-6


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    package = open_package(packaged().package)
    Image.new("RGB", (300, 300)).save(tmp_path / "one.jpg")

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in predict(package, (str(tmp_path / "one.jpg") for _ in range(count))):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(AHEAD)
    assert peak(10 * AHEAD) < 1.5 * peak(2 * AHEAD)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux's /proc")
def test_resident_memory_stays_flat_over_a_large_folder(tmp_path):
    """What Python's own count doesn't see: the decoders' and the model's memory."""
    package = open_package(packaged().package)
    for i in range(8):
        Image.new("RGB", (120 + 20 * i, 150)).save(tmp_path / f"{i}.jpg")
    paths = (str(tmp_path / f"{i % 8}.jpg") for i in itertools.count())
    answers = predict(package, paths)

    def resident_after(count: int) -> float:
        collections.deque(itertools.islice(answers, count), maxlen=0)
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    before = resident_after(300)
    assert resident_after(2000) - before < 4  # MiB; one picture kept of each answer would be 140


def test_reading_runs_only_a_little_ahead_and_stops_when_the_caller_does(tmp_path):
    package = open_package(packaged().package)
    Image.new("RGB", (64, 64)).save(tmp_path / "one.png")
    taken = 0

    def paths():
        nonlocal taken
        while True:
            taken += 1
            yield str(tmp_path / "one.png")

    threads = threading.active_count()
    answers = predict(package, paths())
    next(answers)
    assert taken <= AHEAD
    answers.close()
    assert threading.active_count() == threads


def test_it_starts_without_torch():
    made = packaged()
    code = (
        "import sys; from rffd.cli import main; status = main(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'pandas', 'sklearn', 'matplotlib', 'dvc'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else status)"
    )
    image = next(made.raw.rglob("*.jpg"))
    command = [sys.executable, "-c", code, "predict", str(image), "--model", str(made.package)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_incomplete_package_is_one_clear_line(tmp_path):
    made = packaged()
    with pytest.raises(RffdError, match=r"verdict\.json"):
        open_package(made.model)
    shutil.copytree(made.package, tmp_path / "package")
    (tmp_path / "package" / "onnx" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(RffdError, match="not a complete package"):
        open_package(tmp_path / "package")


def test_the_heat_lies_where_the_patches_are_and_outlines_only_called_regions(tmp_path):
    Image.new("RGB", (200, 200), "white").save(tmp_path / "white.png")
    (answer,) = predict(open_package(packaged().package), [f"{tmp_path}/white.png"], picture_size=200)
    patches = np.zeros((8, 8), np.float32)
    patches[0, 0] = 1
    hot = dataclasses.replace(answer, patches=patches, regions=[], box=(100.0, 0.0, 200.0, 100.0))
    changed = np.asarray(heat_map(hot, None)) != 255
    rows, columns = np.nonzero(changed.any(axis=2))
    assert rows.max() < 30
    assert set(columns) <= set(range(100, 130))
    outlined = dataclasses.replace(hot, patches=np.zeros((8, 8), np.float32), regions=["mouth"], box=(0, 0, 200, 200))
    rows, columns = np.nonzero((np.asarray(heat_map(outlined, None)) != 255).any(axis=2))
    assert rows.min() > 100  # the lower half
    assert captioned(outlined, None).width > 400


def test_the_export_does_not_change_the_detector(tmp_path):
    detector = load_detector(packaged().model)
    kind = detector.vit.config._attn_implementation
    export_onnx(detector, tmp_path / "model.onnx")
    assert detector.vit.config._attn_implementation == kind


def test_the_export_holds_no_attention_mask():
    graph = onnx.load(packaged().package / "onnx" / "model.onnx").graph
    assert "Where" not in {node.op_type for node in graph.node}, "a ViT masks nothing, and each layer would add it"


def test_large_photographs_are_decoded_small_and_the_answer_stays(tmp_path):
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    coarse.resize((2800, 2000), Image.Resampling.BICUBIC).save(tmp_path / "large.jpg", quality=92)
    coarse.resize((600, 600), Image.Resampling.BICUBIC).save(tmp_path / "usual.jpg", quality=92)
    package = open_package(packaged().package)
    enough = enough_pixels(package.contract)
    assert read_image(tmp_path / "large.jpg", enough=enough).size == (1400, 1000)
    assert read_image(tmp_path / "usual.jpg", enough=enough).size == (600, 600)
    assert enough_pixels(dataclasses.replace(package.contract, jpeg_quality=90)) is None
    assert enough_pixels(dataclasses.replace(package.contract, face_margin=0.1)) is None
    for name in ("large.jpg", "usual.jpg"):
        (answer,) = predict(package, [str(tmp_path / name)])
        pixels = prepare(read_image(tmp_path / name), package.contract).pixels
        whole = float(rffd.prediction.score(package, pixels[None])[0][0])
        assert answer.verdict == package.rule.verdict(whole)
        assert answer.probability == pytest.approx(whole, abs=0 if name == "usual.jpg" else 2e-3)


def test_faces_found_in_many_threads_are_those_found_in_one(tmp_path):
    package = with_contract(tmp_path, face_margin=0.1)
    pictures = sorted((Path(rffd.prediction.__file__).parent / "templates").glob("example_*.jpg")) * 12
    together = list(predict(package, map(str, pictures), workers=8))
    for path, answer in zip(pictures, together, strict=True):
        alone = prepare(read_image(path), package.contract)
        assert (answer.face, answer.box) == (alone.face, alone.box)
