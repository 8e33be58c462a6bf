"""Where an event happened: a column of the interactions as numbers, for models told of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array


@dataclass(frozen=True)
class SceneConfig:
    """What a model is told of a request beside its history.

    Attributes:
        task: a column of the interactions, such as ``"domain"`` or ``"scene"``; none: nothing.
    """

    task: str | None = None


@dataclass(frozen=True, eq=False)
class Scenes:
    """The values of a column, which a model knows by number.

    Attributes:
        column: their column; None: there is one scene.
        names: the values as text, ascending: scene i is ``names[i]``.
    """

    column: str | None
    names: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, config: SceneConfig) -> Scenes:
        """Those of all interactions of a data set.

        Raises:
            DataError: no such column, or an event without a value.
        """
        if config.task is None:
            return cls(None, ("all",))
        events = dataset.interactions
        if config.task not in events.column_names:
            raise DataError(
                f"{dataset.name}: task must be a column of the interactions, got {config.task!r}; "
                f"there are {', '.join(events.column_names)}"
            )
        if events[config.task].null_count:
            raise DataError(f"{dataset.name}: task {config.task} must be told of every event")
        return cls(config.task, tuple(sorted(pc.unique(_text(events, config.task)).to_pylist())))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The number of a scene.

        Raises:
            ValueError: there is none of that name.
        """
        if self.column is None:
            raise ValueError(f"no task {name!r}: the model was trained without `--set task=…`")
        if name not in self.names:
            raise ValueError(f"no task {name!r}; there are {', '.join(self.names[:20])}")
        return self.names.index(name)

    def of_events(self, events: pa.Table) -> Int64Array:
        """``[E]``: the scene of each event of a table."""
        if self.column is None:
            return np.zeros(events.num_rows, dtype=np.int64)
        found = pc.index_in(_text(events, self.column), value_set=pa.array(self.names))
        scenes: Int64Array = found.to_numpy().astype(np.int64)
        return scenes


def _text(events: pa.Table, column: str) -> pa.ChunkedArray:
    return events[column].cast(pa.string())
