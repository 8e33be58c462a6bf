"""Runs that are trainings of click models: on a data set, on its unseen pairs, on made-up pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from recops_models.data import Dataset
from recops_models.evidence.experiments.synthetic_pairs import SyntheticPairs
from recops_models.evidence.experiments.training import Training, job_of, train
from recops_models.evidence.harness.experiment import Experiment, Metrics, Run
from recops_models.examples.click import click_data
from recops_models.examples.unseen_pairs import unseen_pairs
from recops_models.recipes.parts import part
from recops_models.training.click_problem import ExampleConfig

_QUICK_USERS, _QUICK_EXAMPLES = 60, 2000


@dataclass(frozen=True)
class ClickRuns(Training):
    """Trainings on a data set; a quick one knows 60 of its users.

    Attributes:
        users: at most so many, the first by their ids, are all that a data set holds; None: all.
        unseen: whether no pair of a candidate and an event of its history is in two parts, see
            :func:`~recops_models.examples.unseen_pairs.unseen_pairs`.
    """

    users: int | None = None
    unseen: bool = False

    def config(self, run: Run) -> dict[str, object]:
        """The job, and what the examples are."""
        return {**super().config(run), "unseen_pairs": self.unseen, "users": self._users(run)}

    def measure(
        self, run: Run, data: Dataset, folder: Path, on_step: Callable[[float], None]
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Training.measure`."""
        job = job_of(run)
        some = _first_users(data, self._users(run))
        examples = part(job.parts, "examples", ExampleConfig)
        made = click_data(some, job.split, **dataclasses.asdict(examples))
        made = unseen_pairs(made) if self.unseen else made
        return train(job, made, folder, test=run.test, on_step=on_step)

    def _users(self, run: Run) -> int | None:
        return _QUICK_USERS if run.quick else self.users


@dataclass(frozen=True)
class MadeUpPairs(Experiment[None]):
    """Trainings on a made-up table of pairs, drawn anew for every seed; a quick one has 2 000
    examples.

    Attributes:
        tables: by the names under which claims have them as data.
    """

    tables: tuple[tuple[str, SyntheticPairs], ...]

    def config(self, run: Run) -> dict[str, object]:
        """The job, and what the table is."""
        return {**job_of(run).config(), "table": dataclasses.asdict(self._table(run))}

    def load(self, data: str) -> None:
        """Nothing: the seed says what is drawn."""

    def measure(
        self, run: Run, data: None, folder: Path, on_step: Callable[[float], None]
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Experiment.measure`."""
        made = self._table(run).draw(run.seed)
        return train(job_of(run), made, folder, test=run.test, on_step=on_step)

    def _table(self, run: Run) -> SyntheticPairs:
        known = dict(self.tables)
        if run.data not in known:
            raise ValueError(f"no made-up table {run.data!r}; there are {', '.join(known)}")
        table = known[run.data]
        return dataclasses.replace(table, examples=_QUICK_EXAMPLES) if run.quick else table


def _first_users(data: Dataset, count: int | None) -> Dataset:
    known = data.interactions["user_id"].unique().sort()
    if count is None or count >= len(known):
        return data
    kept = pc.is_in(data.interactions["user_id"], value_set=known.slice(0, count))
    return dataclasses.replace(data, interactions=data.interactions.filter(kept))
