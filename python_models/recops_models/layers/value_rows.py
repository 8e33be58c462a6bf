"""Contract of layers whose tables have a row per value of a feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class HasValueRows(Protocol):
    """Layer with tables whose rows are numbered by a fitted schema."""

    def value_rows(self) -> Mapping[str, str]:
        """Return the name of each such parameter, and the feature that numbers its rows."""
        ...
