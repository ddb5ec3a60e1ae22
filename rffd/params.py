"""Reading `params.yaml`: one section, one dataclass; mechanism only.

The dataclass of a section lives in the module that uses it, so that a new key touches that module and
re-runs its stage alone. An unknown key, a wrong type or an impossible value is one clear line.
"""

import dataclasses
import difflib
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from rffd.errors import RffdError

PARAMS_FILE = Path("params.yaml")
T = TypeVar("T")


class ParamError(RffdError):
    """A parameter that can't be used."""


def read_params(section: str, cls: type[T], path: Path = PARAMS_FILE) -> T:
    """Read one section of `params.yaml` into its dataclass.

    YAML 1.2 is used: DVC writes `3e-5` back as `3e-05`, which YAML 1.1 readers take for a string.
    """
    return build(cls, _section(section, path), section)


def read_value(key: str, kind: Any, path: Path = PARAMS_FILE) -> Any:
    """Read one value of another stage's section (`data.source`), checked against a type, without its dataclass."""
    section, _, name = key.partition(".")
    values = _section(section, path)
    if name not in values:
        raise ParamError(f"missing parameter '{key}' in {path}")
    return convert(values[name], kind, key)


def _section(name: str, path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML  # here, so that the training engine imports where ruamel is absent
    from ruamel.yaml.error import YAMLError

    try:
        data = YAML(typ="safe").load(Path(path))
    except FileNotFoundError:
        raise ParamError(f"{path}: not found; run from the project's root") from None
    except YAMLError as error:
        raise ParamError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or not isinstance(data.get(name), dict):
        raise ParamError(f"{path}: no section '{name}'; compare with the committed file (git diff {path})")
    return data[name]


def build(cls: type[T], values: dict[str, Any], where: str) -> T:
    """Make the dataclass `cls` from `values`, checking names and types; `where` names them in errors."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # a dataclass, as said
    for key in values:
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(fields)}"
            raise ParamError(f"unknown parameter '{where}.{key}' ({hint})")
    for name, field in fields.items():
        if name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise ParamError(f"missing parameter '{where}.{name}' in {PARAMS_FILE}")
    return cls(**{key: convert(value, hints[key], f"{where}.{key}") for key, value in values.items()})


def convert(value: Any, kind: Any, where: str) -> Any:
    """Check `value` against a type hint (scalars, Literal, unions, lists, dicts, dataclasses)."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        for option in options[:-1]:
            try:
                return convert(value, option, where)
            except ParamError:
                continue
        return convert(value, options[-1], where)
    if origin is typing.Literal:
        if value in arguments and type(value) in {type(a) for a in arguments}:
            return value
        raise ParamError(f"'{where}' is {value!r}; use one of: {', '.join(map(str, arguments))}")
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return build(kind, value, where)  # type: ignore[arg-type]  # a class: `get_type_hints` gives no instance
    if origin is list and isinstance(value, list):
        return [convert(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: convert(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ParamError(f"'{where}' is {value}; a finite number is needed")
        return float(value)
    if kind in (int, bool, str) and type(value) is kind:
        return value
    name = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(
        kind, getattr(origin or kind, "__name__", str(kind))
    )
    shown = "null" if value is None else repr(value)
    raise ParamError(f"'{where}' is {shown}; {name} is needed")


def require(condition: bool, where: str, value: Any, need: str) -> None:
    """Raise a `ParamError` saying that `where` is `value` but must be `need`, unless `condition` holds."""
    if not condition:
        raise ParamError(f"'{where}' is {value}; it must be {need}")
