"""Engagement of events: level, loss weight and reward."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.columns import parse_numbers
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array

AUTO = "auto"

EDGES: dict[str, tuple[float, ...]] = {
    "label": (1.0,),
    "feedback": (1.0, 2.0),
    "rating": (3.0, 4.0),
    "weight": (float(np.nextafter(np.float32(0), np.float32(1))),),
}
"""Default level edges of the columns that ``"auto"`` tries in this order: liked; neutral and liked;
three and four stars; any playing time or purchase."""


@dataclass(frozen=True)
class EngagementConfig:
    """Configuration of levels, weights and values of events.

    Attributes:
        engagement: a numeric column of the interactions; or columns of labels, the weakest first,
            separated by commas: the level is that of the strongest label above 0. ``"auto"``: the
            labels that a schema names, or else the first existing one of label, feedback, rating
            and weight. None: all events are equal.
        level_edges: ascending lower bounds of levels 1, 2, …: the level of an event is the number
            of edges that are at most its value. Empty: the defaults in :data:`EDGES`.
        level_weights: α, one per level, lowest level first; empty: equal weights.
        value: a numeric column of non-negative amounts, such as the price paid (the paper's GMV).
            None: the value that a schema names, if any.
    """

    engagement: str | None = AUTO
    level_edges: tuple[float, ...] = ()
    level_weights: tuple[float, ...] = ()
    value: str | None = None

    def of_dataset(self, dataset: Dataset) -> EngagementConfig:
        """Return the configuration with the labels and the value of ``dataset`` as defaults."""
        asked = self.engagement
        if asked == AUTO and dataset.labels:
            click = ("label",) if "label" in dataset.event_schema.names else ()
            asked = ",".join((*click, *dataset.labels))
        value = dataset.value if self.value is None else self.value
        return dataclasses.replace(self, engagement=asked, value=value)


@dataclass(frozen=True, eq=False)
class Engagement:
    """Level, weight and reward of each event of a table.

    ``α = α_level · (1 + ln(1 + value))``, divided by its mean over the table, so that learning rate
    and gradient clipping do not depend on the scale of the weights.
    ``R = level · (1 + ln(1 + value))``, with level 1 if there is only one level.

    The paper (arXiv 2604.12234) has α per type of engagement, and R as a function of predicted
    objectives (GMV in its experiments). It reports neither, so both formulas are our choice.

    Attributes:
        level: ``[E]`` i64.
        weight: ``[E]`` f32, α.
        reward: ``[E]`` f32, R.
        levels: number of possible levels.
    """

    level: Int64Array
    weight: NDArray[np.float32]
    reward: NDArray[np.float32]
    levels: int

    @classmethod
    def of(cls, events: pa.Table, config: EngagementConfig, *, name: str) -> Engagement:
        """Compute the engagement of ``events``; errors start with ``name``.

        Raises:
            DataError: a column is missing or holds other values than finite numbers; its edges are
                unknown; a value is negative.
            ValueError: the edges do not ascend; the number of weights differs from that of levels;
                weights are negative or all 0.
        """
        level, weight, reward, levels = unscaled(events, config, name=name)
        mean = weight.mean() if len(weight) else 1.0
        if mean == 0:
            raise ValueError(f"{name}: level_weights must be above 0 for at least one event")
        return cls(level, (weight / mean).astype(np.float32), reward, levels)


class UnscaledEngagement(NamedTuple):
    """Engagement of events whose weights are not divided by their mean.

    Attributes:
        level: ``[E]`` i64.
        weight: ``[E]`` f64, α before the division.
        reward: ``[E]`` f32, R.
        levels: number of possible levels.
    """

    level: Int64Array
    weight: NDArray[np.float64]
    reward: NDArray[np.float32]
    levels: int


def unscaled(events: pa.Table, config: EngagementConfig, *, name: str) -> UnscaledEngagement:
    """Return the engagement of a table's events, see :meth:`Engagement.of`."""
    level, levels = levels_of(events, config, name=name)
    weights = np.array(config.level_weights or (1.0,) * levels)
    if len(weights) != levels:
        raise ValueError(
            f"{name}: level_weights must be {levels}, one more than level_edges, got {len(weights)}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError(
            f"{name}: level_weights must be 0 or more, and at least one above 0, got "
            f"{', '.join(f'{weight:g}' for weight in weights)}"
        )
    scale = np.ones(events.num_rows)
    if config.value is not None:
        scale = 1 + np.log1p(_amounts(events, config.value, name))
    reward = ((level if levels > 1 else 1) * scale).astype(np.float32)
    return UnscaledEngagement(level, weights[level] * scale, reward, levels)


def levels_of(events: pa.Table, config: EngagementConfig, *, name: str) -> tuple[Int64Array, int]:
    """Return the level ``[E]`` of each event, and the number of possible levels.

    Raises:
        DataError: as in :meth:`Engagement.of`; or there are edges but no column.
        ValueError: the edges do not ascend.
    """
    column = _column(events, config, name)
    if column is not None and "," in column:
        return _strongest_label(events, column.split(","), config, name)
    edges = _edges(config, column, name)
    if column is None:
        return np.zeros(events.num_rows, dtype=np.int64), 1
    level = np.searchsorted(edges, _numbers(events, column, name), side="right")
    return level, len(edges) + 1


def _column(events: pa.Table, config: EngagementConfig, name: str) -> str | None:
    asked = config.engagement
    if asked == AUTO:
        return next((known for known in EDGES if known in events.column_names), None)
    for column in () if asked is None else asked.split(","):
        _require(events, column, name, "engagement")
    return asked


def _strongest_label(
    events: pa.Table, labels: list[str], config: EngagementConfig, name: str
) -> tuple[Int64Array, int]:
    """Return the position from 1 of each event's last label, 0 without one, and the levels."""
    if config.level_edges:
        raise DataError(
            f"{name}: level_edges need one column as engagement, got {config.engagement}"
        )
    level = np.zeros(events.num_rows, dtype=np.int64)
    for position, label in enumerate(labels, 1):
        level[_numbers(events, label, name) > 0] = position
    return level, 1 + len(labels)


def _edges(config: EngagementConfig, column: str | None, name: str) -> NDArray[np.float64]:
    if column is None:
        if config.level_edges:
            raise DataError(
                f"{name}: level_edges need a column: set engagement, as the interactions have none "
                f"of {', '.join(EDGES)}"
            )
        return np.empty(0)
    edges = np.array(config.level_edges or EDGES.get(column, ()))
    if not len(edges):
        raise DataError(f"{name}: level_edges must be given, as {column} has no default edges")
    if not (np.diff(edges) > 0).all():
        raise ValueError(
            f"{name}: level_edges must ascend, got {', '.join(f'{edge:g}' for edge in edges)}"
        )
    return edges


def _amounts(events: pa.Table, column: str, name: str) -> NDArray[np.float64]:
    _require(events, column, name, "value")
    amounts = _numbers(events, column, name)
    if (amounts < 0).any():
        raise DataError(f"{name}: value must be 0 or more, got {amounts.min():g} in {column}")
    return amounts


def _require(events: pa.Table, column: str, name: str, setting: str) -> None:
    if column not in events.column_names:
        raise DataError(
            f"{name}: {setting} must be a column of the interactions, got {column!r}; available: "
            f"{', '.join(events.column_names)}"
        )


def _numbers(events: pa.Table, column: str, name: str) -> NDArray[np.float64]:
    values, faults = parse_numbers(events[column], column)
    if any(rows.any() for _, rows in faults) or not np.isfinite(values).all():
        raise DataError(f"{name}: {column} must hold only finite numbers, as engagement or value")
    return values.astype(np.float64)
