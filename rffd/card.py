"""The model card, written for one model from its own figures: what a stranger must know before using it.

Text that holds for every model stands in `templates/card.md`; here is what depends on data and figures. A figure
that wasn't measured is left out, never invented.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from rffd.card_figures import HEADLINE, HUB_METRICS, NAMES, ceiling, evaluation, headline, table
from rffd.preprocessing import PreprocessParams
from rffd.verdict import Rule

TEMPLATES = Path(__file__).parent / "templates"
CIPLAB = "ciplab/real-and-fake-face-detection"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the card is written from. `figures` is metrics/evaluate.json, `details` data/evaluation/details.json,
    the other mappings are the metrics of their stages; `parity` and `plain` are `rffd/packaging.py`'s measurements."""

    title: str
    repository: str | None
    license: str
    authors: Sequence[str]
    source: str
    data_note: str | None
    base_model: str | None
    figures: Mapping[str, Mapping[str, Any]]
    details: Mapping[str, Any]
    split: Mapping[str, Any]
    train: Mapping[str, Any]
    vit: Mapping[str, Any]
    contract: PreprocessParams
    rule: Rule
    image_size: int
    parity: float
    plain: Mapping[str, float]
    version: str


def write_card(facts: Facts) -> str:
    """The README.md of the package: front matter that the Hub reads, then the card."""
    template = Template((TEMPLATES / "card.md").read_text(encoding="utf-8"))
    text = template.substitute(
        title=facts.title,
        model=facts.repository or "OWNER/NAME",
        headline=headline(facts.figures),
        headline_note=_headline_note(facts),
        plain_note=_plain_note(facts),
        data=facts.data_note or _data(facts.source),
        splits=_splits(facts.split),
        training=_training(facts),
        evaluation=evaluation(facts.details, facts.rule),
        limits=_limits(facts.source),
        errors=_errors(facts.details),
        files=_files(),
        size=facts.image_size,
        recipe=recipe(facts.contract),
        parity=f"ONNX Runtime and torch agree on the test images within {ceiling(facts.parity)} in every probability.",
        licence=_licence(facts),
        citation=_citation(facts),
    )
    return f"---\n{_front_matter(facts)}\n---\n\n{text}"


def _front_matter(facts: Facts) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    name, kind = _dataset(facts.source)
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=kind,
            dataset_name=name,
            dataset_split="test",
            metric_type=HUB_METRICS[metric],
            metric_name=NAMES[metric],
            metric_value=facts.figures["test"][metric],
        )
        for metric in HEADLINE
        if isinstance(facts.figures["test"].get(metric), float | int)
    ]
    return ModelCardData(
        license=facts.license,
        library_name="transformers",
        pipeline_tag="image-classification",
        base_model=facts.base_model,
        tags=["vit", "image-forensics", "face-forgery-detection", "onnx", "transformers.js"],
        metrics=["accuracy", "f1", "recall", "roc_auc"],
        model_name=(facts.repository or facts.title).rpartition("/")[2],
        eval_results=results,
    ).to_yaml()


def _headline_note(facts: Facts) -> str:
    if facts.source == "sample":
        return (
            "**These figures are of drawn portraits, not of photographs**: this model was trained on a sample that the "
            "project draws itself, and shows that the pipeline works. On photographs its answers mean nothing."
        )
    return "Measured at probability 0.5; 95 % intervals in brackets."


def _plain_note(facts: Facts) -> str:
    difference = (
        f"The plain pipeline squeezes the file to {facts.image_size} pixels in one step; the evaluation's recipe is: "
        f"{recipe(facts.contract)}. On {facts.plain['count']:.0f} raw test files the two differ by "
        f"{facts.plain['median']:.3f} in the probability of fake (median; at most {facts.plain['largest']:.3f}), and "
        f"call {facts.plain['agreement']:.0%} of them alike."
    )
    return f"`fake` comes with a calibrated probability: the calibration is folded into the weights. {difference}"


def recipe(contract: PreprocessParams) -> str:
    """The preprocessing in words."""
    steps = ["decode upright"]
    if contract.jpeg_quality is not None:
        steps.append(f"re-encode as JPEG of quality {contract.jpeg_quality}")
    if contract.face_margin is not None:
        steps.append(f"crop to the face and {contract.face_margin:.0%} of its box on each side")
    steps.append(f"resize to {contract.image_size} x {contract.image_size} pixels, then to the model's size")
    return ", ".join(steps)


def _dataset(source: str) -> tuple[str, str]:
    if source in ("kaggle", "archive"):
        return "Real and Fake Face Detection (grouped test split)", CIPLAB
    return ("Drawn sample" if source == "sample" else "Own images"), "image-folder"


def _data(source: str) -> str:
    if source == "sample":
        return (
            "Portraits drawn by the project's seeded generator, and forgeries of them: regions of another drawn "
            "portrait blended in, from easy to hard. No photograph and no person is in it."
        )
    if source in ("kaggle", "archive"):
        return (
            f"[Real and Fake Face Detection](https://www.kaggle.com/datasets/{CIPLAB}) by the Computational "
            "Intelligence and Photography Lab, Yonsei University: 1081 untouched portraits and 960 that experts "
            "photoshopped, with the replaced regions in the names. 240 of the fakes carry another JPEG table than all "
            "others, and some fakes show the photograph of a real: see the controls below."
        )
    return "A folder of images of the publisher's own, sorted into real and fake."


def _splits(split: Mapping[str, Any]) -> str:
    sides = [(name, split.get(f"split_{name}"), split.get(f"split_{name}_fake")) for name in ("train", "val", "test")]
    rows = [[name, str(count), str(fake)] for name, count, fake in sides if count is not None]
    note = "No photograph, duplicate or near duplicate is on two sides."
    return f"{table(['Split', 'Images', 'Of them fake'], rows)}\n\n{note}" if rows else note


def _training(facts: Facts) -> str:
    vit, base = facts.vit, facts.base_model
    text = "A ViT"
    if "vit_million_parameters" in vit:
        text += (
            f" of {vit['vit_million_parameters']:.1f} million parameters, {vit['vit_layers']} layers, patches of "
            f"{vit['vit_patch_size']} pixels"
        )
    if base:
        text += f", from the pre-trained [{base}](https://huggingface.co/{base})"
    text += ", fine-tuned with two small heads beside the classifier: four region bits, and a score for each patch."
    values = [[f"`{name}`", _plainly(value)] for name, value in facts.train.items() if _is_value(value)]
    return f"{text}\n\n{table(['Value', ''], values)}" if values else text


def _limits(source: str) -> str:
    text = (TEMPLATES / "limits.md").read_text(encoding="utf-8").strip()
    if source == "sample":
        return f"- It has seen drawn faces only. Do not use it on photographs.\n{text}"
    return text


def _errors(details: Mapping[str, Any]) -> str:
    model = (details.get("controls") or {}).get("model") or {}
    if isinstance(model.get("specificity"), float) and isinstance(model.get("recall"), float):
        return (
            f"on the test split it called {1 - model['specificity']:.0%} of the genuine portraits fake, and missed "
            f"{1 - model['recall']:.0%} of the forgeries."
        )
    return "look at both rates before using it."


def _files() -> str:
    rows = [
        ["`model.safetensors`, `config.json`, `preprocessor_config.json`", "the plain classifier, calibrated"],
        ["`onnx/model.onnx`", "`logits`, and `regions` and `patches` as probabilities of having been replaced"],
        ["`heads.safetensors`, `heads.json`", "the region and patch heads, linear layers on the ViT's tokens"],
        ["`contract.json`, `verdict.json`", "the preprocessing; calibration (folded in already) and the unsure band"],
        ["`SHA256SUMS`", "`sha256sum -c SHA256SUMS`"],
    ]
    return table(["File", "What it is"], rows)


def _licence(facts: Facts) -> str:
    name = f"`{facts.license}`"
    if facts.source == "sample":
        return (
            f"{name}: the licence under which the project publishes its models, since the dataset that they are made "
            "for asks for it. The drawn sample itself holds nobody's photograph."
        )
    if facts.source in ("kaggle", "archive"):
        return (
            f"{name}, non-commercial, share alike: the dataset's licence on Kaggle (its creators' own page states "
            "none), passed on to the model."
        )
    return f"{name}. Whether it fits the images that the model was trained on is for the publisher to say."


def _citation(facts: Facts) -> str:
    authors = " and ".join(facts.authors) or "{The authors of RFFD}"
    lines = [f"  title = {{{facts.title}}}", f"  author = {{{authors}}}", f"  note = {{version {facts.version}}}"]
    if facts.repository:
        lines.append(f"  howpublished = {{https://huggingface.co/{facts.repository}}}")
    return "@misc{rffd,\n" + ",\n".join(lines) + "\n}"


def _is_value(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _plainly(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
