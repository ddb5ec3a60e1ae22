"""docs/reference.md is what the code says."""

from ruamel.yaml import YAML

from tests.pipeline_code import ROOT
from tests.reference import METRICS, TARGET, metrics_of, parameters, section_classes, text, type_of, unexplained


def leaves(node: object, name: str = "") -> list[str]:
    if not isinstance(node, dict) or not node or (name and name.startswith("search.space.") and "low" in node):
        return [name]
    return [leaf for key, value in node.items() for leaf in leaves(value, f"{name}.{key}".lstrip("."))]


def test_it_is_as_the_code_says():
    assert TARGET.read_text(encoding="utf-8") == text(), "run `make reference`"


def test_it_lists_every_parameter():
    known = {parameter.name for parameter in parameters()}
    assert set(leaves(YAML(typ="safe").load(ROOT / "params.yaml"))) <= known


def test_every_section_is_read_into_a_dataclass_and_types_are_found():
    sections = {parameter.name.split(".")[0] for parameter in parameters()}
    assert sections == set(section_classes())
    assert type_of("split.val") == "number"
    assert type_of("data.sample.defects.unreadable") == "whole number"
    assert type_of("fit.schedule") == "cosine | linear"
    assert type_of("train.learning_rate") == "number | null"


def test_every_committed_figure_is_explained():
    for file, values in metrics_of(ROOT / "metrics").items():
        assert file in METRICS
        assert not unexplained(file, values), f"metrics/{file}.json: say in tests/reference.py what these mean"


def test_a_figure_without_a_meaning_is_found():
    assert unexplained("split", {"split_train": 1, "split_train_fake": 1, "leaked": 2}) == ["leaked"]
    assert not unexplained("train", {"augment.blur": 0.1, "learning_rate": 1e-3})
