"""Contract of layers whose tables have a row per value of a feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class HasValueRows(Protocol):
    """Layer with tables whose rows are numbered by a fitted schema.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.feature_embedding import FeatureEmbedding
        >>> from recops_models.layers.value_rows import HasValueRows
        >>> schema, _ = tiny_click_data()
        >>> isinstance(FeatureEmbedding(schema, 4), HasValueRows)
        True
    """

    def value_rows(self) -> Mapping[str, str]:
        """Return the name of each such parameter, and the feature that numbers its rows."""
        ...
