"""Settings as text and as JSON: how `--set key=value` and config.json become dataclasses."""

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
"""What JSON brought, or is to take: its keys are texts, its values nobody knows yet."""


def changed(config: _Config, name: str, text: str) -> _Config:
    """``config``, a dataclass, with field ``name`` read from ``text`` by the field's type.

    Numbers, all finite, and strings as they are, ``true|false``, one of a literal's values,
    ``1,2,3`` for a tuple, ``none`` where there may be none.

    Raises:
        ValueError: ``text`` is no such value, or the dataclass refuses it.
    """
    return changed_at_once(config, {name: text})


def changed_at_once(config: _Config, texts: Mapping[str, str]) -> _Config:
    """As :func:`changed`, of several fields that need not fit what ``config`` held before.

    Raises:
        ValueError: a text is no such value, or the dataclass refuses them together.
    """
    kinds = typing.get_type_hints(type(config))
    values = {name: _read(name, kinds[name], text) for name, text in texts.items()}
    return dataclasses.replace(config, **values)


def from_json(kind: type[_Config], content: JsonObject) -> _Config:
    """The dataclass that ``dataclasses.asdict`` laid out and JSON brought back.

    What ``content`` does not name has its default.

    Raises:
        ValueError: ``content`` names a setting that ``kind`` does not have.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := content.keys() - known:
        raise ValueError(f"{kind.__name__} has no setting {', '.join(sorted(unknown))}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in content.items()})


def _read(name: str, kind: Any, text: str) -> Any:
    try:
        value = _parse(kind, text)
    except (ValueError, KeyError):
        raise ValueError(f"setting {name} must be {_described(kind)}, got {text!r}") from None
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"setting {name} must be finite, got {text!r}")
    return value


def _parse(kind: Any, text: str) -> Any:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {str(option): option for option in options}[text]
    if origin in (Union, UnionType):
        if text == "none":
            return None
        return _parse(next(option for option in options if option is not NoneType), text)
    if origin is tuple:
        return tuple(_parse(options[0], part) for part in text.split(",") if part)
    return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)


def _described(kind: Any) -> str:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, options))
    if origin in (Union, UnionType):
        return " or ".join("none" if o is NoneType else _described(o) for o in options)
    if origin is tuple:
        return f"{options[0].__name__}s with commas between"
    return "true or false" if kind is bool else str(kind.__name__)
