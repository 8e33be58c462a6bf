"""Tasks of events for task-conditioned models: the objective (action) and the scene (place)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array

_BETWEEN = "/"
"""Separates objective and scene in the name of a task."""


@dataclass(frozen=True)
class SceneConfig:
    """Columns with the task of an event: its scene, its objective, or both.

    Attributes:
        task: column of the interactions with the scene, such as ``"domain"`` or ``"scene"``; None:
            one scene.
        objective: column of the interactions with the user's action, such as ``"event_type"`` with
            click, cart and purchase, or ``"label"``; None: one objective.
    """

    task: str | None = None
    objective: str | None = None


@dataclass(frozen=True, eq=False)
class _Values:
    """The values of one column of the interactions, numbered in ascending order.

    Attributes:
        column: name of the column; None: all events have the same value.
        names: the values as text.
    """

    column: str | None
    names: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, setting: str, column: str | None) -> _Values:
        if column is None:
            return cls(None, ("all",))
        events = dataset.interactions
        if column not in events.column_names:
            raise DataError(
                f"{dataset.name}: {setting} must be a column of the interactions, got {column!r}; "
                f"available: {', '.join(events.column_names)}"
            )
        if events[column].null_count:
            raise DataError(f"{dataset.name}: {setting} {column} must have a value for every event")
        return cls(column, tuple(sorted(pc.unique(_text(events, column)).to_pylist())))

    def of_events(self, events: pa.Table) -> Int64Array:
        if self.column is None:
            return np.zeros(events.num_rows, dtype=np.int64)
        numbers = pc.index_in(_text(events, self.column), value_set=pa.array(self.names))
        values: Int64Array = numbers.to_numpy().astype(np.int64)
        return values


@dataclass(frozen=True, eq=False)
class Scenes:
    """The tasks of a data set: all combinations of objective and scene.

    The index of a task is ``objective · num_scenes + scene``. Its name is ``"purchase/feed"``, or
    only the objective or scene if the other one has no column.
    """

    _objectives: _Values
    _scenes: _Values

    @classmethod
    def of(cls, dataset: Dataset, config: SceneConfig) -> Scenes:
        """Return the tasks of all interactions of ``dataset``.

        Raises:
            DataError: there is no such column, or an event has no value in it.
        """
        return cls(
            _Values.of(dataset, "objective", config.objective),
            _Values.of(dataset, "task", config.task),
        )

    @property
    def num_objectives(self) -> int:
        """Number of objectives, at least 1."""
        return len(self._objectives.names)

    @property
    def num_scenes(self) -> int:
        """Number of scenes, at least 1."""
        return len(self._scenes.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tasks, by index."""
        if self._objectives.column is None:
            return self._scenes.names
        if self._scenes.column is None:
            return self._objectives.names
        return tuple(
            f"{objective}{_BETWEEN}{scene}"
            for objective in self._objectives.names
            for scene in self._scenes.names
        )

    def __len__(self) -> int:
        return self.num_objectives * self.num_scenes

    def index(self, name: str) -> int:
        """Return the index of the task ``name``.

        Raises:
            ValueError: there is no such task.
        """
        if self._objectives.column is None and self._scenes.column is None:
            raise ValueError(
                f"no task {name!r}: the model was trained without `--set task=…` and "
                "`--set objective=…`"
            )
        names = self.names
        if name not in names:
            raise ValueError(f"no task {name!r}; available: {', '.join(names[:20])}")
        return names.index(name)

    def of_events(self, events: pa.Table) -> Int64Array:
        """Return the task ``[E]`` of each event of a table."""
        objectives = self._objectives.of_events(events)
        return objectives * self.num_scenes + self._scenes.of_events(events)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the values of each column, keyed by setting and column: ``"task scene"``."""
        by_setting = {"objective": self._objectives, "task": self._scenes}
        return {
            f"{setting} {values.column}": values.names
            for setting, values in by_setting.items()
            if values.column is not None
        }


def _text(events: pa.Table, column: str) -> pa.ChunkedArray:
    return events[column].cast(pa.string())
