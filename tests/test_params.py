"""Parameters: numbers survive DVC's spelling, and every mistake is one line that names the key."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rffd.errors import RffdError
from rffd.params import ParamError, build, read_params, require
from rffd.stage import run_stage


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int


@dataclass(frozen=True, kw_only=True)
class Params:
    rate: float
    epochs: int
    name: str
    flip: bool
    limit: float | None
    kind: Literal["a", "b"]
    sizes: list[int]
    inner: Inner

    def __post_init__(self) -> None:
        require(self.rate > 0, "train.rate", self.rate, "over 0")


GOOD = {
    "rate": 3e-5,
    "epochs": 4,
    "name": "x",
    "flip": True,
    "limit": None,
    "kind": "a",
    "sizes": [1, 2],
    "inner": {"depth": 3},
}


def written(tmp_path, text: str):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("spelled", "value"),
    [("3e-05", 3e-5), ("3e-5", 3e-5), ("1e-4", 1e-4), ("0.00003", 3e-5), ("1E+2", 100.0), ("1", 1.0), (".5", 0.5)],
)
def test_a_float_survives_however_it_is_spelled(tmp_path, spelled, value):
    @dataclass(frozen=True)
    class Train:
        rate: float

    read = read_params("train", Train, written(tmp_path, f"train:\n  rate: {spelled}  # why\n"))
    assert read.rate == value and type(read.rate) is float


def test_a_float_survives_what_dvc_writes(tmp_path):
    """As `dvc exp run -S` does it: ruamel's round trip writes 3e-5 as text that YAML 1.1 takes for a string."""
    path = written(tmp_path, "train:\n  rate: 0.1  # why\n")
    from dvc.utils.serialize import modify_yaml

    with modify_yaml(str(path)) as data:
        data["train"]["rate"] = 3e-5
    assert "3e-05" in path.read_text() and "# why" in path.read_text()

    @dataclass(frozen=True)
    class Train:
        rate: float

    assert read_params("train", Train, path).rate == 3e-5


def test_good_values_are_read():
    read = build(Params, GOOD, "train")
    assert dataclasses.asdict(read) == GOOD and read.inner == Inner(depth=3)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"ratee": 1.0}, "unknown parameter 'train.ratee' (did you mean 'rate'?)"),
        ({"inner": {"depth": 3, "x": 1}}, "unknown parameter 'train.inner.x' (known: depth)"),
        ({"rate": "3e-05"}, "'train.rate' is '3e-05'; a number is needed"),
        ({"rate": True}, "'train.rate' is True; a number is needed"),
        ({"rate": float("nan")}, "'train.rate' is nan; a finite number is needed"),
        ({"rate": None}, "'train.rate' is null; a number is needed"),
        ({"epochs": 4.0}, "'train.epochs' is 4.0; a whole number is needed"),
        ({"epochs": True}, "'train.epochs' is True; a whole number is needed"),
        ({"flip": 1}, "'train.flip' is 1; true or false is needed"),
        ({"name": 7}, "'train.name' is 7; text is needed"),
        ({"limit": "x"}, "'train.limit' is 'x'; a number is needed"),
        ({"kind": "c"}, "'train.kind' is 'c'; use one of: a, b"),
        ({"sizes": [1, "2"]}, "'train.sizes[1]' is '2'; a whole number is needed"),
        ({"inner": 3}, "'train.inner' is 3;"),
        ({"rate": -1.0}, "'train.rate' is -1.0; it must be over 0"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(change: dict[str, Any], line):
    with pytest.raises(ParamError) as caught:
        build(Params, GOOD | change, "train")
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
anything = st.recursive(
    scalars,
    lambda some: (
        st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(["depth", "dept", "x"]), some, max_size=2)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(GOOD)), anything)
def test_any_value_is_taken_as_it_is_or_refused_in_one_line(key, value):
    try:
        read = build(Params, GOOD | {key: value}, "train")
    except ParamError as error:
        assert f"train.{key}" in str(error) and "\n" not in str(error)
    else:
        assert dataclasses.asdict(read)[key] == value


def test_a_missing_key_section_or_file_is_told(tmp_path):
    path = written(tmp_path, "train:\n  depth: [1\n")
    with pytest.raises(ParamError, match="not valid YAML"):
        read_params("train", Inner, path)
    path.write_text("train: {}\n")
    with pytest.raises(ParamError, match=r"missing parameter 'train\.depth'"):
        read_params("train", Inner, path)
    with pytest.raises(ParamError, match="no section 'fit'"):
        read_params("fit", Inner, path)
    with pytest.raises(ParamError, match="run from the project's root"):
        read_params("fit", Inner, tmp_path / "none.yaml")


def test_a_stage_ends_with_one_line_and_no_traceback(capsys):
    def main(*, out) -> None:
        raise RffdError(f"{out}: wrong\nin two lines")

    with pytest.raises(SystemExit) as caught:
        run_stage(main, ["--out", "a/b"])
    assert caught.value.code == "error: a/b: wrong in two lines"
