"""The settings of a training, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PartSettings: TypeAlias = "DataclassInstance"

Parts: TypeAlias = Mapping[str, PartSettings]
"""By name: ``"sizes"`` of the model, ``"training"``, ``"examples"`` …"""

_Kind = TypeVar("_Kind")


def part(parts: Parts, name: str, kind: type[_Kind]) -> _Kind:
    """The part of that name, which must be of that kind.

    Raises:
        TypeError: it is of another kind, or there is none.
    """
    found = parts.get(name)
    if not isinstance(found, kind):
        raise TypeError(f"{name} must be {kind.__name__}, got {type(found).__name__}")
    return found
