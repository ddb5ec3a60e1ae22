"""The model card: the Hub's parser takes it, and it claims no more than was measured."""

import dataclasses

import pytest
from huggingface_hub import ModelCard, metadata_eval_result

from rffd.card import Facts, recipe, write_card
from rffd.card_figures import ceiling, evaluation
from rffd.preprocessing import PreprocessParams
from rffd.verdict import Rule
from tests.packages import FIGURES, SOURCES

RULE = Rule(low=0.3, high=0.7, region=0.5, temperature=1.2, offset=0.1)
CI = [0.1, 0.2]
DETAILS = {
    "test": {
        "figures": {"specificity": 0.61, "specificity_ci95": CI, "ece": None},
        "answered": {"coverage": 0.5, "coverage_ci95": CI, "error": 0.04, "error_ci95": CI},
    },
    "breakdown": [
        {"by": "difficulty", "value": "hard", "label": "fake", "count": 7, "right": 0.43, "right_ci95": CI},
        {"by": "jpeg", "value": "q-1", "label": "fake", "count": 7, "right": 0.99, "right_ci95": CI},
    ],
    "controls": {
        "model": {"count": 20, "accuracy": 0.7, "accuracy_ci95": CI, "auc": 0.81, "specificity": 0.75, "recall": 0.66},
        "face_blanked": {"count": 20, "accuracy": 0.5, "auc": 0.51, "auc_ci95": CI},
        "standard_tables": None,
    },
    "robustness": [
        {"kind": "jpeg", "level": 90.0, "auc": 0.8, "specificity": 0.8, "recall": 0.8, "flips": 0.01},
        {"kind": "jpeg", "level": 30.0, "auc": 0.6, "specificity": 0.777, "recall": 0.8, "flips": 0.2},
    ],
}


def facts(**changes: object) -> Facts:
    values = {
        "title": "A toy",
        "repository": "someone/faces",
        "license": "cc-by-nc-sa-4.0",
        "authors": [],
        "source": "kaggle",
        "data_note": None,
        "base_model": None,
        "figures": FIGURES,
        "details": DETAILS,
        "split": SOURCES.split,
        "train": SOURCES.train,
        "vit": SOURCES.vit,
        "contract": PreprocessParams(image_size=72, jpeg_quality=90, face_margin=0.15),
        "rule": RULE,
        "image_size": 64,
        "parity": 3e-6,
        "plain": {"count": 8.0, "median": 0.01, "largest": 0.12, "agreement": 0.875},
        "version": "0.1.0",
    }
    return Facts(**(values | changes))  # type: ignore[arg-type]


def test_the_hubs_parser_takes_front_matter_and_results(tmp_path):
    (tmp_path / "README.md").write_text(write_card(facts()))
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.library_name) == ("cc-by-nc-sa-4.0", "transformers")
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.base_model is None
    results = {result.metric_type: result for result in card.data.eval_results}
    assert results["roc_auc"].metric_value == FIGURES["test"]["auc"]
    assert {result.dataset_split for result in results.values()} == {"test"}
    again = metadata_eval_result(  # what `huggingface_hub` itself would write
        model_pretty_name="faces",
        task_pretty_name="x",
        task_id="image-classification",
        metrics_pretty_name="Accuracy",
        metrics_id="accuracy",
        metrics_value=0.8,
        dataset_pretty_name="x",
        dataset_id="x",
    )
    assert again["model-index"][0]["name"] == card.data.model_name


def test_a_base_model_is_named_only_if_there_is_one(tmp_path):
    text = write_card(facts(base_model="google/vit-base-patch16-224-in21k"))
    assert "base_model: google/vit-base-patch16-224-in21k" in text
    assert "base_model" not in write_card(facts())


def test_figures_stand_with_their_intervals():
    text = write_card(facts())
    for expected in (
        "| AUC | 0.800 [0.700, 0.900] | 0.800 [0.700, 0.900] |",
        "| Specificity (reals called real) | 0.610 [0.100, 0.200] |",
        "| fake, hard | 7 | 0.430 [0.100, 0.200] |",
        "the face blanked out (chance expected) | 20 | 0.500 | 0.510 [0.100, 0.200] |",
        "| jpeg 30 | 0.777 |",
        "between 0.30 and 0.70",
        "called 25% of the genuine portraits fake, and missed 34%",
        "On 8 raw test files",
        "re-encode as JPEG of quality 90, crop to the face and 15% of its box",
        "within 1e-05",
    ):
        assert expected in text, expected
    assert "jpeg 90" not in text
    assert "0.990" not in text


def test_nothing_is_invented_when_little_was_measured():
    text = write_card(facts(details={}, figures={"val": {}, "test": {}}, split={}, train={}, vit={}))
    assert "not defined" in text
    assert "Only the headline" not in text  # the band is known still
    assert evaluation({}, dataclasses.replace(RULE, low=0.5, high=0.5)) == "Only the headline was measured."
    assert "$" not in text
    assert "None" not in text
    assert "More Information Needed" not in text


def test_the_sample_says_that_it_was_drawn_and_real_data_that_it_is_non_commercial():
    drawn, real, own = (write_card(facts(source=source)) for source in ("sample", "archive", "folder"))
    assert "not of photographs" in drawn
    assert "seen drawn faces only" in drawn
    assert "non-commercial" in real
    assert "drawn" not in real
    assert "for the publisher to say" in own
    assert "Two lines." in write_card(facts(source="folder", data_note="Two lines."))


@pytest.mark.parametrize(("low", "high", "words"), [(0.0, 1.0, "*unsure* always"), (0.5, 0.5, "")])
def test_the_band_is_told_as_it_is(low, high, words):
    text = write_card(facts(rule=Rule(low=low, high=high, region=0.5, temperature=1.0, offset=0.0)))
    assert words in text
    assert "between" not in text.split("## Evaluation")[1].split("## Limits")[0]


def test_without_a_repository_the_example_has_a_place_to_fill_in():
    text = write_card(facts(repository=None))
    assert 'model="OWNER/NAME"' in text
    assert "howpublished" not in text


def test_small_numbers():
    assert [ceiling(v) for v in (0.0, 3.2e-6, 1e-5, 1.1e-5)] == ["1e-08", "1e-05", "1e-05", "1e-04"]


def test_the_recipe_in_words():
    plain = PreprocessParams(image_size=72, jpeg_quality=None, face_margin=None)
    assert recipe(plain) == "decode upright, resize to 72 x 72 pixels, then to the model's size"
