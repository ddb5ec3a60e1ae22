"""Controls must catch a shortcut, and must not cry wolf."""

import numpy as np
import pytest
from PIL import Image

from rffd import controls
from rffd.breakdown import breakdown, worst
from rffd.params import ParamError, build
from rffd.preprocessing import PreprocessParams

SETTINGS = {"jpeg_quality": 75, "blank_margin": 0.15, "shift": 0.02, "rescale": [0.8, 1.25]}
FULL = PreprocessParams(image_size=100, jpeg_quality=None, face_margin=None)


def rows(count: int, seed: int, *, tell: float = 0.0) -> list[dict[str, str]]:
    """Catalogue rows; a share `tell` of the fakes has JPEG tables of its own."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(count):
        fake = i % 2 == 1
        table = "q-other" if fake and random.random() < tell else "q-usual"
        number = f"{'fake/mid' if fake else 'real/real'}_{i}"
        found.append(
            {"path": number, "label": "fake" if fake else "real", "jpeg": table, "mode": "RGB", "orientation": "1"}
            | {"width": "160", "height": "160", "bytes": str(random.integers(9000, 12000)), "group": number}
            | {"difficulty": ("easy", "mid", "hard")[i % 3] if fake else "", "bits": "0110" if fake else "0000"}
        )
    return found


def labels_of(catalog: list[dict[str, str]]) -> np.ndarray:
    return np.array([row["label"] == "fake" for row in catalog]).astype(int)


@pytest.mark.parametrize("tables_only", [False, True])
def test_metadata_finds_a_tell_and_nothing_else(tables_only: bool) -> None:
    for tell in (0.0, 0.5):
        train, test = rows(400, 0, tell=tell), rows(200, 1, tell=tell)
        p = controls.metadata_probabilities(train, test, 0, tables_only=tables_only)
        right = ((p >= 0.5) == labels_of(test)).mean()
        assert (right > 0.7) if tell else (0.4 < right < 0.6)
        if tell:  # whoever has the tell is fake, and nobody else stands out
            assert p[[row["jpeg"] == "q-other" for row in test]].min() > 0.9


def test_metadata_needs_two_classes() -> None:
    assert controls.metadata_probabilities(rows(20, 0)[::2], rows(20, 1), 0) is None


def test_usual_tables_are_the_reals() -> None:
    assert controls.usual_tables(rows(50, 0, tell=1.0)) == "q-usual"
    assert controls.usual_tables(rows(50, 0)[1::2]) is None


def test_blanking_hides_the_face_and_only_the_face() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    kept = pixels.copy()
    blank = controls.blank_face(pixels, 0.15, None)
    assert (pixels == kept).all()
    hidden = blank[20:95, 15:85].reshape(-1, 3)
    assert (hidden == hidden[0]).all()
    assert (blank[:10] == pixels[:10]).all() and (blank[:, :5] == pixels[:, :5]).all()
    crop = controls.blank_face(pixels, 0.15, 0.25)  # the face is the inner two thirds of the crop
    assert (crop[17:83, 17:83] == crop[50, 50]).all() and (crop[:16] == pixels[:16]).all()
    whole = controls.blank_face(pixels, 0.15, 0.0)
    assert (whole == 128).all()


def test_shift_moves_and_fills_with_the_edge() -> None:
    pixels = np.arange(100, dtype=np.uint8).reshape(1, 100, 1).repeat(50, axis=0).repeat(3, axis=2)
    moved = np.asarray(controls.shifted(Image.fromarray(pixels), 0.03, 0))
    assert moved[0, :5, 0].tolist() == [0, 0, 0, 0, 1]
    assert (np.asarray(controls.shifted(Image.fromarray(pixels), 0, 0.02)) == pixels).all()


def test_variants_do_what_they_are_called() -> None:
    params = build(controls.ControlParams, SETTINGS, "evaluate.controls")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    variants = controls.control_variants(params, FULL)
    changed = {name: v.picture(image, np.random.default_rng(0)) for name, v in variants.items() if v.picture}
    assert changed["rescaled 0.8"].size == (48, 32) and changed["rescaled 1.25"].size == (75, 50)
    assert (np.asarray(changed["mirrored"]) == np.asarray(image)[:, ::-1]).all()
    assert changed["shifted right"].size == image.size


def figures(test: list[dict[str, str]], plain: np.ndarray, **changed: np.ndarray) -> dict:
    changes = {"reencoded": plain, "face blanked": plain, "mirrored": plain} | changed
    return controls.control_figures(
        rows(100, 9), test, labels_of(test), plain, changes, [r["group"] for r in test], resamples=200, seed=0
    )


def test_a_model_that_reads_the_background_is_caught() -> None:
    test = rows(200, 2)
    labels, random = labels_of(test), np.random.default_rng(0)
    good = np.clip(labels * 0.6 + random.random(200) * 0.4, 0, 1)
    honest = figures(test, good, **{"face blanked": random.random(200)})
    caught = figures(test, good, **{"face blanked": good})
    assert honest["face_blanked"]["at_chance"] is True and caught["face_blanked"]["at_chance"] is False
    assert honest["model"]["auc"] == 1.0


def test_flips_are_counted() -> None:
    test = rows(50, 2)
    plain = labels_of(test) * 0.8 + 0.1
    mirrored = plain.copy()
    mirrored[:5] = 1 - mirrored[:5]
    found = figures(test, plain, mirrored=mirrored)["flips"]["mirrored"]
    assert (found["count"], found["share"], found["mean_change"]) == (50, 0.1, pytest.approx(0.08))
    low, high = found["share_ci95"]
    assert 0 < low < 0.1 < high < 0.25


def test_standard_tables_leave_the_tell_out() -> None:
    test = rows(100, 3, tell=0.5)
    tell = np.array([row["jpeg"] == "q-other" for row in test])
    found = figures(test, np.where(tell, 0.9, 0.1))  # a model that knows nothing but the table
    assert found["model"]["auc"] > 0.7 and found["standard_tables"]["auc"] == 0.5
    assert found["standard_tables"]["count"] == (~tell).sum()


def test_a_test_set_of_one_class_has_no_auc() -> None:
    test = rows(40, 2)[1::2]
    found = figures(test, np.full(20, 0.7))
    assert found["model"]["auc"] is None and found["face_blanked"]["at_chance"] is None
    assert found["model"]["recall"] == 1.0


@pytest.mark.parametrize("bad", [{"shift": 0.0}, {"rescale": [0.0]}, {"jpeg_quality": 0}, {"rescale": [0.8, 0.8]}])
def test_impossible_parameters(bad: dict) -> None:
    with pytest.raises(ParamError, match=r"evaluate\.controls\."):
        build(controls.ControlParams, SETTINGS | bad, "evaluate.controls")


def test_breakdown_counts_by_hand() -> None:
    test = rows(12, 0)
    p = np.array([0.1, 0.9] * 5 + [0.8, 0.2])  # the last real and the last fake are wrong
    table = breakdown(test, np.arange(12) < 4, p, [r["group"] for r in test], resamples=100, seed=0)
    found = {(r["by"], r["value"], r["label"]): (r["count"], r["right"]) for r in table}
    assert found["all", "real", "real"] == (6, pytest.approx(5 / 6, abs=1e-6))
    assert found["difficulty", "hard", "fake"] == (2, 0.5)  # images 5 and 11
    assert found["region", "nose", "fake"] == (6, pytest.approx(5 / 6, abs=1e-6))
    assert ("region", "mouth", "fake") not in found  # an empty stratum has no row
    assert found["regions replaced", "2", "fake"][0] == 6
    assert found["pairing", "paired", "fake"] == (2, 1.0)
    assert all(r["right_ci95"][0] <= r["right"] <= r["right_ci95"][1] for r in table)


def test_breakdown_of_names_outside_the_grammar() -> None:
    test = [row | {"difficulty": "", "bits": ""} for row in rows(6, 0)]
    table = breakdown(test, np.zeros(6, dtype=bool), np.full(6, 0.9), [r["group"] for r in test], resamples=20, seed=0)
    assert {row["by"] for row in table} == {"all", "jpeg", "pairing"}
    assert breakdown([], np.zeros(0), np.zeros(0), [], resamples=20, seed=0) == []


def test_worst_are_the_surest_wrong_ones() -> None:
    labels, p = np.array([0, 0, 0, 1, 1, 1]), np.array([0.6, 0.9, 0.2, 0.1, 0.3, 0.8])
    found = worst(list("abcdef"), labels, p, 1)
    assert found == {
        "false_positives": [{"path": "b", "probability": 0.9}],
        "false_negatives": [{"path": "d", "probability": 0.1}],
    }
