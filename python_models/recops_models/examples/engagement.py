"""How much an event says: a level, a weight in the loss, a reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.columns import parse_numbers
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array

AUTO = "auto"

EDGES: dict[str, tuple[float, ...]] = {
    "label": (1.0,),
    "feedback": (1.0, 2.0),
    "rating": (3.0, 4.0),
    "weight": (float(np.nextafter(np.float32(0), np.float32(1))),),
}
"""Where levels begin, in the columns that ``auto`` looks for, the first there is: liked; neutral
and liked; three stars and four; played, or bought, at all."""


@dataclass(frozen=True)
class EngagementConfig:
    """Which column tells how much a user engaged with an item, and what that counts.

    Attributes:
        engagement: a numeric column of the interactions; ``"auto"``: the first there is of label,
            feedback, rating and weight; none: all events are equal.
        level_edges: where levels begin, ascending: an event's level is how many of them are at most
            its value. Empty: the column's usual ones, :data:`EDGES`.
        level_weights: α, one a level, lowest first; empty: all are equal.
        value: a numeric column of amounts, 0 or more, such as what was paid (the paper's GMV).
    """

    engagement: str | None = AUTO
    level_edges: tuple[float, ...] = ()
    level_weights: tuple[float, ...] = ()
    value: str | None = None


@dataclass(frozen=True, eq=False)
class Engagement:
    """What each event of a table says.

    ``α = α_level · (1 + ln(1 + value))``, divided by its mean over the table, so that a learning
    rate and a clipped gradient mean the same with any weights; ``R = level · (1 + ln(1 + value))``,
    where level is 1 if nothing tells levels. The paper (arXiv 2604.12234) has α by type of
    engagement and R a function of predicted objectives, GMV in its experiments, and reports
    neither: these are ours.

    Attributes:
        level: ``[E]`` i64.
        weight: ``[E]`` f32, α.
        reward: ``[E]`` f32, R.
        levels: how many there can be.
    """

    level: Int64Array
    weight: NDArray[np.float32]
    reward: NDArray[np.float32]
    levels: int

    @classmethod
    def of(cls, events: pa.Table, config: EngagementConfig, *, name: str) -> Engagement:
        """Those of a table of interactions.

        Raises:
            DataError: no such column, or one that holds something else than finite numbers; no
                edges known for it; a negative value. It names ``name`` and the setting.
            ValueError: edges that do not ascend, weights of another number than levels, negative
                or all 0.
        """
        level, levels = levels_of(events, config, name=name)
        weights = np.array(config.level_weights or (1.0,) * levels)
        if len(weights) != levels:
            raise ValueError(
                f"{name}: level_weights must be {levels}, one more than level_edges, got "
                f"{len(weights)}"
            )
        if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
            raise ValueError(
                f"{name}: level_weights must be 0 or more, and one of them more, got "
                f"{', '.join(f'{weight:g}' for weight in weights)}"
            )
        scale = np.ones(events.num_rows)
        if config.value is not None:
            scale = 1 + np.log1p(_amounts(events, config.value, name))
        weight = weights[level] * scale
        mean = weight.mean() if len(weight) else 1.0
        if mean == 0:
            raise ValueError(f"{name}: level_weights must not be 0 for all events that there are")
        return cls(
            level,
            (weight / mean).astype(np.float32),
            ((level if levels > 1 else 1) * scale).astype(np.float32),
            levels,
        )


def levels_of(events: pa.Table, config: EngagementConfig, *, name: str) -> tuple[Int64Array, int]:
    """The level ``[E]`` of each event of a table, and how many there can be.

    Raises:
        DataError: see :meth:`Engagement.of`; edges, and no column.
        ValueError: edges that do not ascend.
    """
    column = _column(events, config, name)
    edges = _edges(config, column, name)
    if column is None:
        return np.zeros(events.num_rows, dtype=np.int64), 1
    level = np.searchsorted(edges, _numbers(events, column, name), side="right")
    return level, len(edges) + 1


def _column(events: pa.Table, config: EngagementConfig, name: str) -> str | None:
    asked = config.engagement
    if asked == AUTO:
        return next((known for known in EDGES if known in events.column_names), None)
    if asked is not None:
        _require(events, asked, name, "engagement")
    return asked


def _edges(config: EngagementConfig, column: str | None, name: str) -> NDArray[np.float64]:
    if column is None:
        if config.level_edges:
            raise DataError(
                f"{name}: level_edges must have a column that they cut; name it by engagement, "
                f"there is none of {', '.join(EDGES)}"
            )
        return np.empty(0)
    edges = np.array(config.level_edges or EDGES.get(column, ()))
    if not len(edges):
        raise DataError(f"{name}: level_edges must be given, as nothing is known of {column}")
    if not (np.diff(edges) > 0).all():
        raise ValueError(
            f"{name}: level_edges must ascend, got {', '.join(f'{edge:g}' for edge in edges)}"
        )
    return edges


def _amounts(events: pa.Table, column: str, name: str) -> NDArray[np.float64]:
    _require(events, column, name, "value")
    amounts = _numbers(events, column, name)
    if (amounts < 0).any():
        raise DataError(f"{name}: value must be 0 or more, {column} holds {amounts.min():g}")
    return amounts


def _require(events: pa.Table, column: str, name: str, setting: str) -> None:
    if column not in events.column_names:
        raise DataError(
            f"{name}: {setting} must be a column of the interactions, got {column!r}; there are "
            f"{', '.join(events.column_names)}"
        )


def _numbers(events: pa.Table, column: str, name: str) -> NDArray[np.float64]:
    values, faults = parse_numbers(events[column], column)
    if any(rows.any() for _, rows in faults) or not np.isfinite(values).all():
        raise DataError(f"{name}: {column} must hold finite numbers alone, to tell engagement")
    return values.astype(np.float64)
