"""Maps of a tiny model taught to find a planted square: they must find it, and models of shuffled weights must not."""

import copy
import dataclasses
import json
import warnings

import numpy as np
import pytest
import torch

from rffd.exhibits import write_exhibits, write_map_sheet
from rffd.explanation import COVER, MAPS, eager_attention, gradient_rollout, maps, occlusion, randomised, rollout
from rffd.files import read_csv, write_csv
from rffd.inference import infer, to_best_device
from rffd.inspection import ExplainParams, inspect, read_predictions
from rffd.localisation_plots import write_localisation_plots
from rffd.model import save_detector
from rffd.store import open_store
from tests.planted import CORNERS, PATCH, planted_detector, planted_store, untrained_detector, write_predictions

PARAMS = ExplainParams(
    batch_size=16,
    occlusion_images=4,
    curve_images=8,
    curve_steps=4,
    random_models=2,
    resamples=200,
    seed=0,
    pictures=3,
)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A trained detector with its validation and test stores and what evaluate would have left."""
    folder = tmp_path_factory.mktemp("planted")
    torch.set_num_threads(1)
    train, val, test = (
        planted_store(folder / name, count, seed)
        for seed, (name, count) in enumerate({"train": 192, "val": 32, "test": 48}.items())
    )
    detector = planted_detector(train)
    write_predictions(folder / "evaluation", detector, val, test)
    return folder, detector, val, test


@pytest.mark.parametrize("name", MAPS)
def test_every_map_points_at_the_planted_square(planted, name):
    _, detector, _, test = planted
    rows = [i for i in range(len(test)) if test.labels[i]]
    heats = maps(detector, test.images[rows])[name]
    assert heats.shape == (len(rows), 8, 8) and heats.dtype == np.float32
    hits = 0
    for i, heat in zip(rows, heats, strict=True):
        top, left = CORNERS[int(test.bits[i].argmax())]
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        hits += abs(row - (top + 1.5) / PATCH) < 1.2 and abs(column - (left + 1.5) / PATCH) < 1.2
    assert hits >= 0.9 * len(rows)


def test_occlusion_is_hot_where_covering_hides_the_square(planted):
    _, detector, _, test = planted
    rows = [i for i in range(16) if test.labels[i]]
    for i, heat in zip(rows, occlusion(detector, test.images[rows], batch_size=10), strict=True):
        top, left = CORNERS[int(test.bits[i].argmax())]
        row, column = np.array([top, left]) // PATCH
        near = heat[max(0, row - 1) : row + COVER - 1, max(0, column - 1) : column + COVER - 1]
        far = np.array([heat[0, 0], heat[0, -1], heat[-1, 0], heat[-1, -1]])
        assert near.mean() > far.max() + 1


def test_inspection_measures_the_maps_and_the_control_fails(planted):
    folder, detector, val, test = planted
    details = inspect(detector, val, test, read_predictions(folder / "evaluation"), PARAMS).details
    assert details["counts"] == {"fakes": 24, "masks": 24, "validation_masks": 16}
    for name in MAPS:
        found = details["maps"][name]
        assert found["pixel_auc"] > 0.9 and found["pointing"] > 0.9, name
        assert found["region_auc"] > 0.9 and found["control"]["fails"] is True, name
    assert details["maps"]["fixed"]["pixel_auc"] > 0.9 and details["maps"]["fixed"]["region_auc"] == 0.5
    assert details["maps"][details["shown"]]["iou"] > details["maps"]["fixed"]["iou"]
    assert set(details["curves"]) == {"images", *MAPS, "random order"}
    assert len(details["curves"]["patches"]["deletion"]) == PARAMS.curve_steps + 1
    assert details["regions"]["images"] == len(test) and details["regions"]["nose"]["replaced"] == 6
    json.dumps(details, allow_nan=False)
    assert details == inspect(detector, val, test, read_predictions(folder / "evaluation"), PARAMS).details


def test_an_untrained_model_passes_for_no_explanation(planted):
    folder, _, val, test = planted
    stranger = untrained_detector(seed=5)
    write_predictions(folder / "untrained", stranger, val, test)
    details = inspect(stranger, val, test, read_predictions(folder / "untrained"), PARAMS).details
    assert not any(details["maps"][name]["region_auc"] > 0.7 for name in MAPS)
    assert not any(details["maps"][name]["control"]["fails"] for name in MAPS)


def test_without_masks_pointing_stands_in(planted):
    folder, detector, *_ = planted
    val, test = (planted_store(folder / f"plain {n}", 16, n + 9, masks=False) for n in range(2))
    write_predictions(folder / "unmasked", detector, val, test)
    details = inspect(detector, val, test, read_predictions(folder / "unmasked"), PARAMS).details
    found = details["maps"]["patches"]
    assert found["pixel_auc"] is None and found["iou"] is None and found["pointing"] > 0.5
    assert found["region_auc"] > 0.6 and found["control"]["pixel_auc"] is None


def test_a_folder_of_images_of_which_nothing_is_known(planted, tmp_path):
    _, detector, *_ = planted
    stores = []
    for n, name in enumerate(("val", "test")):
        planted_store(tmp_path / name, 8, n, masks=False)
        rows = [
            row | {"bits": "" if row["label"] == "fake" else "0000"} for row in read_csv(tmp_path / name / "index.csv")
        ]
        write_csv(tmp_path / name / "index.csv", rows, list(rows[0]))
        stores.append(open_store(tmp_path / name))
    write_predictions(tmp_path / "evaluation", detector, *stores)
    found = inspect(detector, *stores, read_predictions(tmp_path / "evaluation"), PARAMS)
    assert found.details["counts"]["fakes"] == 0 and found.details["maps"]["patches"]["pointing"] is None
    assert found.details["regions"]["nose"]["average_precision"] is None
    write_localisation_plots(found.details, tmp_path / "plots")
    write_map_sheet(detector, stores[1], found.occlusion, PARAMS, tmp_path / "plots" / "maps.png")
    assert not (tmp_path / "plots" / "maps.png").exists()


def test_shuffled_weights_keep_their_values_and_leave_the_model_alone(planted):
    _, detector, _, test = planted
    pictures = np.array(test.images[:4])
    before = infer(detector, pictures).logits
    stranger = randomised(detector, 1)
    for old, new in zip(detector.parameters(), stranger.parameters(), strict=True):
        torch.testing.assert_close(old.flatten().sort().values, new.flatten().sort().values)
    assert not np.allclose(infer(stranger, pictures).logits, before)
    np.testing.assert_array_equal(infer(detector, pictures).logits, before)


def test_attention_is_put_back_as_it_was():
    detector = untrained_detector()
    before = detector.vit.config._attn_implementation
    with pytest.raises(ZeroDivisionError), eager_attention(detector):
        raise ZeroDivisionError
    assert detector.vit.config._attn_implementation == before != "eager"


def test_maps_need_no_gradient_of_the_weights(planted):
    _, detector, _, test = planted
    pictures = np.array(test.images[:2])
    expected = maps(detector, pictures)
    detector.requires_grad_(False)
    try:
        frozen = maps(detector, pictures)
    finally:
        detector.requires_grad_(True)
    for name in MAPS:
        np.testing.assert_allclose(frozen[name], expected[name], rtol=1e-4)  # other kernels
    assert all(weight.grad is None for weight in randomised(detector, 0).parameters())


def test_rollouts_by_hand():
    attention = torch.tensor([[[0.2, 0.8], [0.0, 1.0]]])  # [1, tokens, tokens]: CLS reads .8 of the only patch
    assert rollout([attention]).item() == pytest.approx(0.4)  # half comes through the residual
    assert rollout([attention, attention]).item() == pytest.approx(0.6 * 0.4 + 0.4)
    heads = torch.stack([attention, attention], dim=1)  # [1, 2 heads, tokens, tokens]
    gradient = torch.zeros_like(heads)
    gradient[0, 0, 0, 1], gradient[0, 1, 0, 1] = 1.0, -1.0  # the second head speaks against: dropped
    assert gradient_rollout([heads], [gradient]).item() == pytest.approx(0.4)


def test_no_pass_holds_more_than_a_batch(planted, tmp_path):
    """Memory is bounded by `explain.batch_size`: attention of every layer is held, with its gradient."""
    folder, detector, val, _ = planted
    few = {"occlusion_images": 1, "curve_images": 4, "curve_steps": 2, "random_models": 1}
    params = dataclasses.replace(PARAMS, batch_size=3, resamples=0, **few)
    found, passes = read_predictions(folder / "evaluation"), []
    hook = detector.vit.vit.register_forward_pre_hook(lambda _, pixels: passes.append(len(pixels[0])))
    seen = inspect(detector, val, val, found, params)
    for name in ("pictures", "plots"):
        (tmp_path / name).mkdir()
    write_exhibits(detector, val, found, "patches", params, tmp_path / "pictures", tmp_path / "plots")
    write_map_sheet(detector, val, seen.occlusion, params, tmp_path / "maps.png")
    hook.remove()
    assert len(passes) > 40 and max(passes) == 3


def test_a_gpu_is_used_where_there_is_one_at_full_precision(monkeypatch):
    moved, detector = [], untrained_detector(seed=0)
    monkeypatch.setattr(detector, "to", moved.append)
    assert to_best_device(detector) is detector and moved == ["cuda"] * torch.cuda.is_available()
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    to_best_device(detector)
    assert moved[-1] == "cuda" and not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_answers_as_the_cpu_does(planted):
    _, detector, _, test = planted
    images, there = test.images[:8], to_best_device(copy.deepcopy(detector))
    for here, gpu in zip(infer(detector, images), infer(there, images), strict=True):
        np.testing.assert_allclose(gpu, here, atol=1e-3)
    expected = maps(detector, images)
    for name, heat in maps(there, images).items():
        np.testing.assert_allclose(heat, expected[name], atol=1e-3, rtol=1e-2)
    np.testing.assert_allclose(occlusion(there, images[:1]), occlusion(detector, images[:1]), atol=1e-3)
    assert next(randomised(there, 0).parameters()).is_cuda


def test_the_stage_writes_pictures_and_figures(planted, tmp_path, monkeypatch):
    import stages.explain

    folder, detector, *_ = planted
    (tmp_path / "model").mkdir()
    save_detector(detector, tmp_path / "model")
    monkeypatch.setattr(stages.explain, "read_params", lambda section, cls: PARAMS)
    outputs = []
    for run in ("a", "b"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            stages.explain.main(
                model=tmp_path / "model",
                val=folder / "val",
                test=folder / "test",
                evaluation=folder / "evaluation",
                explanation=tmp_path / run / "explanation",
                plots=tmp_path / run / "plots",
            )
        outputs.append({p.relative_to(tmp_path / run): p.read_bytes() for p in (tmp_path / run).rglob("*.*")})
    assert outputs[0] == outputs[1]  # to the byte
    names = {path.name for path in outputs[0]}
    assert {"details.json", "localisation.png", "curves.png", "regions.png", "maps.png", "examples.png"} <= names
