"""Settings of a job by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PartSettings: TypeAlias = "DataclassInstance"

Parts: TypeAlias = Mapping[str, PartSettings]
"""Settings by the part's name: ``"sizes"`` of the model, ``"training"``, ``"examples"``, …"""

_Kind = TypeVar("_Kind")


def part(parts: Parts, name: str, kind: type[_Kind]) -> _Kind:
    """Return the part ``name``, which must have the type ``kind``.

    Raises:
        TypeError: the part is missing, or has another type.
    """
    settings = parts.get(name)
    if not isinstance(settings, kind):
        raise TypeError(f"{name} must be {kind.__name__}, got {type(settings).__name__}")
    return settings
