"""What a search may vary: ranges and choices in plain words, over any field of a parameters dataclass.

A name is a field, dotted where nested (`augment.blur`). A range is `{low, high, log}`, a set `{choices}`.
"""

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rffd.params import ParamError, convert, require

T = TypeVar("T")
SPEC = {"low", "high", "log", "choices"}


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One tunable: a range (`low` to `high`, whole numbers if both are, on a log scale if `log`) or `choices`."""

    name: str
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = None

    def holds(self, value: Any) -> bool:
        """Whether `value` lies in the range, or is one of the choices."""
        if self.choices is not None:
            return value in self.choices
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def draw(self, trial: Any) -> Any:
        """Ask an Optuna trial for a value."""
        if self.choices is not None:
            return trial.suggest_categorical(self.name, self.choices)
        suggest = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return suggest(self.name, self.low, self.high, log=self.log)


def read_space(space: Mapping[str, Any], params: Any, where: str = "search.space") -> list[Dimension]:
    """The dimensions that `space` describes, sorted by name; each end and choice must suit its field of `params`."""
    dimensions = []
    for name, spec in sorted(_flat(space, where).items()):
        here = f"{where}.{name}"
        try:
            hint = _hint(params, name, here)
            for key in spec:
                require(key in SPEC, f"{here}.{key}", spec[key], "left out; a range has low, high, log, a set choices")
            if "choices" in spec:
                choices = spec["choices"]
                need = "a list of two or more, without low, high or log"
                require(isinstance(choices, list) and len(choices) > 1 and len(spec) == 1, here, spec, need)
                dimension = Dimension(name=name, choices=tuple(convert(c, hint, f"{here}.choices") for c in choices))
            else:
                require({"low", "high"} <= set(spec), here, spec, "a range (low, high) or a set (choices)")
                low, high = (convert(spec[key], hint, f"{here}.{key}") for key in ("low", "high"))
                log = convert(spec.get("log", False), bool, f"{here}.log")
                number = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
                require(number and low < high, here, f"{low} to {high}", "from a lower number to a higher one")
                require(not log or low > 0, f"{here}.low", low, "above 0 on a log scale")
                dimension = Dimension(name=name, low=low, high=high, log=log)
            for value in dimension.choices or (dimension.low, dimension.high):
                overlay(params, {name: value})
        except ParamError as error:
            text = str(error)
            raise ParamError(text if where in text else f"'{here}' reaches a value that can't be: {text}") from None
        dimensions.append(dimension)
    return dimensions


def overlay(params: T, values: Mapping[str, Any], where: str = "fit") -> T:
    """`params` with `values` (by dotted names) in place of its own, checked as if they stood in the file."""
    changes: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        hint = _hint(params, name, f"{where}.{name}")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            changes[head] = convert(value, hint, f"{where}.{name}")
    for head, inner in nested.items():
        changes[head] = overlay(getattr(params, head), inner, f"{where}.{head}")
    return dataclasses.replace(params, **changes)  # type: ignore[type-var]  # a parameters dataclass


def value_of(params: Any, name: str) -> Any:
    """The value of a dotted name."""
    for part in name.split("."):
        params = getattr(params, part)
    return params


def _flat(space: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Specifications by dotted name, whether written dotted or nested."""
    flat: dict[str, dict[str, Any]] = {}
    for name, spec in space.items():
        if not isinstance(spec, dict) or not spec:
            raise ParamError(f"'{where}.{name}' is {spec!r}; a range {{low, high, log}} or a set {{choices}} is needed")
        if any(isinstance(item, dict) for item in spec.values()):
            flat |= {f"{name}.{key}": item for key, item in _flat(spec, f"{where}.{name}").items()}
        else:
            flat[str(name)] = spec
    return flat


def _hint(params: Any, name: str, where: str) -> Any:
    """The type of a field by its dotted name."""
    head, _, rest = name.partition(".")
    if not dataclasses.is_dataclass(params):
        raise ParamError(f"unknown tunable '{where}'")
    hints = typing.get_type_hints(type(params))
    if head not in hints:
        close = difflib.get_close_matches(head, hints, n=1)
        raise ParamError(f"unknown tunable '{where}' ({f'did you mean {close[0]}?' if close else ', '.join(hints)})")
    return _hint(getattr(params, head), rest, where) if rest else hints[head]
