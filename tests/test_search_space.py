"""The search space: plain words in, checked dimensions out; drawn values laid over the parameters."""

import dataclasses
from dataclasses import dataclass, field

import pytest

from rffd.params import ParamError, require
from rffd.search_space import Dimension, overlay, read_space, value_of


@dataclass(frozen=True, kw_only=True)
class Inner:
    blur: float = 0.1
    quality: int = 50


@dataclass(frozen=True, kw_only=True)
class Outer:
    rate: float = 1e-3
    frozen: int = 2
    clip: float | None = 1.0
    schedule: str = "cosine"
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        require(0 < self.rate <= 1, "fit.rate", self.rate, "above 0 and at most 1")


def test_ranges_and_choices_nested_or_dotted() -> None:
    space = {
        "schedule": {"choices": ["cosine", "linear"]},
        "rate": {"low": 1e-4, "high": 1, "log": True},
        "inner": {"quality": {"low": 30, "high": 90}},
        "inner.blur": {"low": 0, "high": 0.5},
        "clip": {"choices": [None, 1]},
    }
    assert read_space(space, Outer()) == [
        Dimension(name="clip", choices=(None, 1.0)),
        Dimension(name="inner.blur", low=0.0, high=0.5),
        Dimension(name="inner.quality", low=30, high=90),
        Dimension(name="rate", low=1e-4, high=1.0, log=True),
        Dimension(name="schedule", choices=("cosine", "linear")),
    ]
    assert isinstance(read_space(space, Outer())[1].low, float) and isinstance(read_space(space, Outer())[2].low, int)


@pytest.mark.parametrize(
    ("space", "line"),
    [
        ({"rte": {"low": 1, "high": 2}}, r"unknown tunable 'search.space.rte' \(did you mean rate\?\)"),
        ({"inner.bur": {"low": 0, "high": 1}}, r"unknown tunable 'search.space.inner.bur' \(did you mean blur"),
        ({"rate.x": {"low": 0, "high": 1}}, r"unknown tunable 'search.space.rate.x'"),
        ({"rate": {"low": 0.1}}, r"'search.space.rate' is .*; it must be a range \(low, high\) or a set"),
        ({"rate": {"low": 0.1, "high": 0.1}}, r"'search.space.rate' is 0.1 to 0.1; it must be from a lower"),
        ({"rate": {"low": 0.1, "hi": 0.1}}, r"'search.space.rate.hi' is 0.1; it must be left out"),
        ({"inner.blur": {"low": 0, "high": 1, "log": True}}, r"'search.space.inner.blur.low' is 0.0; it must be above"),
        ({"frozen": {"low": 0.5, "high": 2}}, r"'search.space.frozen.low' is 0.5; a whole number is needed"),
        ({"rate": {"low": 0.5, "high": 2}}, r"'search.space.rate' reaches a value that can't be: 'fit.rate' is 2.0"),
        ({"rate": {"choices": [0.5]}}, r"it must be a list of two or more"),
        ({"rate": {"choices": [0.5, 0.6], "log": True}}, r"it must be a list of two or more"),
        ({"schedule": {"choices": ["cosine", 3]}}, r"'search.space.schedule.choices' is 3; text is needed"),
        ({"schedule": {"low": "a", "high": "b"}}, r"'search.space.schedule' is a to b; it must be from a lower number"),
        ({"rate": 0.5}, r"'search.space.rate' is 0.5; a range"),
        ({"rate": {}}, r"'search.space.rate' is \{\}; a range"),
    ],
)
def test_a_space_that_can_not_be_is_one_clear_line(space: dict, line: str) -> None:
    with pytest.raises(ParamError, match=line):
        read_space(space, Outer())


def test_overlay_replaces_by_dotted_name_and_checks() -> None:
    result = overlay(Outer(), {"rate": 0.5, "inner.blur": 0.3, "inner.quality": 70, "clip": None})
    assert result == Outer(rate=0.5, clip=None, inner=Inner(blur=0.3, quality=70))
    assert value_of(result, "inner.blur") == 0.3
    assert overlay(Outer(), {}) == Outer()
    with pytest.raises(ParamError, match=r"'fit.inner.quality' is 0.5; a whole number is needed"):
        overlay(Outer(), {"inner.quality": 0.5})
    with pytest.raises(ParamError, match=r"unknown tunable 'train.rte'"):
        overlay(Outer(), {"rte": 0.5}, "train")


def test_whether_a_dimension_holds_a_value() -> None:
    assert Dimension(name="a", low=0.0, high=1.0).holds(1.0)
    assert not Dimension(name="a", low=0.0, high=1.0).holds(1.1)
    assert not Dimension(name="a", low=0.0, high=1.0).holds(None)
    assert Dimension(name="a", choices=(None, "x")).holds(None)
    assert not Dimension(name="a", choices=(None, "x")).holds("y")


def test_train_takes_its_own_value_else_the_search_s_else_fit_s() -> None:
    from rffd.params import read_params
    from rffd.values import TrainParams, values_for_training
    from tests.fitting import PARAMS

    own = dataclasses.replace(
        read_params("train", TrainParams),
        **{f.name: None for f in dataclasses.fields(TrainParams) if f.name not in ("epochs", "augment")},
    )
    own = dataclasses.replace(own, learning_rate=3e-5, augment={"blur": 0.3})
    found = {"learning_rate": 1e-4, "weight_decay": 0.01, "augment.blur": 0.1, "augment.noise": 0.4}
    used = values_for_training(PARAMS, found, own)
    assert (used.learning_rate, used.augment.blur) == (3e-5, 0.3), "what stands in train wins"
    assert (used.weight_decay, used.augment.noise) == (0.01, 0.4), "then what was found"
    assert used == dataclasses.replace(
        PARAMS,
        learning_rate=3e-5,
        weight_decay=0.01,
        augment=dataclasses.replace(PARAMS.augment, blur=0.3, noise=0.4),
    ), "and fit's for the rest"
    assert values_for_training(PARAMS, {}, dataclasses.replace(own, learning_rate=None, augment={})) == PARAMS
