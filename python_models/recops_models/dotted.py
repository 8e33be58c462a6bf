"""Mappings with dotted names, such as the weights of a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

_Value = TypeVar("_Value")


def below(prefix: str, entries: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return the entries whose names start with ``prefix``, without the prefix, in order.

    Examples:
        >>> below("head.", {"head.0.weight": 1, "head.0.bias": 2, "item.weight": 3})
        {'0.weight': 1, '0.bias': 2}
    """
    return {
        name.removeprefix(prefix): value
        for name, value in entries.items()
        if name.startswith(prefix)
    }
