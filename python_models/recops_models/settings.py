"""Dataclasses of settings from values, from text (``--set key=value``) and from JSON."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, Union

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Config = TypeVar("_Config", bound="DataclassInstance")

JsonObject: TypeAlias = Mapping[str, Any]
"""JSON object whose values are not checked."""
FieldType: TypeAlias = Any
"""Type of a setting as its annotation writes it, such as ``int | None``."""


def changed(config: _Config, name: str, text: str) -> _Config:
    """Return ``config``, a dataclass, with field ``name`` parsed from ``text``.

    Raises:
        ValueError: see :func:`parse_setting`, or the dataclass refuses the value.
    """
    kind = typing.get_type_hints(type(config))[name]
    return dataclasses.replace(config, **{name: parse_setting(name, kind, text)})


def replace_checked(config: _Config, values: Mapping[str, object]) -> _Config:
    """Return ``config``, a dataclass, with new values, after a check of their types.

    An int is accepted for a float and becomes one.

    Raises:
        ValueError: a value does not have the type of its field, is not one of the options, or is
            not finite; or the dataclass refuses the values.
    """
    kinds = typing.get_type_hints(type(config))
    checked = {name: _checked(name, kinds[name], value) for name, value in values.items()}
    return dataclasses.replace(config, **checked)


def from_json(kind: type[_Config], content: JsonObject) -> _Config:
    """Return the dataclass ``kind`` with the values of ``content``, and defaults elsewhere.

    ``content`` is the result of ``dataclasses.asdict`` after a round trip through JSON.

    Raises:
        ValueError: ``content`` names a setting that ``kind`` does not have.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := content.keys() - known:
        raise ValueError(f"{kind.__name__} has no setting {', '.join(sorted(unknown))}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in content.items()})


def parse_setting(name: str, kind: FieldType, text: str) -> object:
    """Parse ``text`` into a value of type ``kind``.

    Texts are finite numbers, strings, ``true`` or ``false``, an option of a literal, ``1,2,3`` for
    a tuple, or ``none`` for an optional value.

    Args:
        name: name of the setting, for errors.
        kind: type of the setting.
        text: text of the value.

    Raises:
        ValueError: ``text`` is not a valid value of ``kind``.
    """
    try:
        value = _parse(kind, text)
    except (ValueError, KeyError):
        raise ValueError(f"setting {name} must be {_described(kind)}, got {text!r}") from None
    _check_finite(name, value, text)
    return value


def _checked(name: str, kind: FieldType, value: object) -> object:
    if not _is_of(kind, value):
        raise ValueError(f"setting {name} must be {_described(kind)}, got {value!r}")
    if _expects_float(kind) and isinstance(value, int):
        value = float(value)
    _check_finite(name, value, value)
    return value


def _check_finite(name: str, value: object, original: object) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"setting {name} must be finite, got {original!r}")


def _structure(kind: FieldType) -> tuple[object, tuple[FieldType, ...]]:
    """Return the generic type of ``kind`` and its arguments."""
    return typing.get_origin(kind), typing.get_args(kind)


def _is_of(kind: FieldType, value: object) -> bool:
    origin, options = _structure(kind)
    if origin is Literal:
        return value in options
    if origin in (Union, UnionType):
        return any(_is_of(option, value) for option in options)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_of(options[0], each) for each in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _expects_float(kind: FieldType) -> bool:
    return kind is float or float in typing.get_args(kind)


def _parse(kind: FieldType, text: str) -> object:
    origin, options = _structure(kind)
    if origin is Literal:
        return {str(option): option for option in options}[text]
    if origin in (Union, UnionType):
        if text == "none":
            return None
        return _parse(next(option for option in options if option is not NoneType), text)
    if origin is tuple:
        return tuple(_parse(options[0], part) for part in text.split(",") if part)
    return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)


def _described(kind: FieldType) -> str:
    origin, options = _structure(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, options))
    if origin in (Union, UnionType):
        return " or ".join("none" if o is NoneType else _described(o) for o in options)
    if origin is tuple:
        return f"{options[0].__name__}s with commas between"
    return "true or false" if kind is bool else str(kind.__name__)
