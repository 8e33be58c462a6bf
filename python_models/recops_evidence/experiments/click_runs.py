"""Runs that are trainings of click models: on a data set, on unseen pairs, on made-up clicks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_evidence.experiments.synthetic_delays import SyntheticDelays
from recops_evidence.experiments.synthetic_interests import SyntheticInterests
from recops_evidence.experiments.synthetic_lags import SyntheticLags
from recops_evidence.experiments.synthetic_pairs import SyntheticPairs
from recops_evidence.experiments.synthetic_visits import SyntheticVisits
from recops_evidence.experiments.training import (
    Training,
    finite_floors,
    job_of,
    some_users,
    train,
)
from recops_evidence.harness.experiment import Experiment, Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset, named_split
from recops_models.data.splits import Split, leave_last
from recops_models.evaluation.floors import floors
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.features import FittedSchema
from recops_models.examples.unseen_pairs import unseen_pairs
from recops_models.recipes.parts import part
from recops_models.training.example_config import ExampleConfig

_QUICK_USERS, _QUICK_EXAMPLES = 60, 2000


@dataclass(frozen=True)
class ClickRuns(Training):
    """Trainings on a data set; a quick one knows 60 of its users.

    Attributes:
        users: at most so many, the first by their ids, are all that a data set holds; None: all.
        last: of each user at most so many events are training examples, the last ones; the others
            are in histories alone. None: all are.
        least_events: only users with so many events or more are in the data; None: all are.
        held_out: of each user the last so many events are test, as many before them validation,
            instead of the usual split; None: that one. Where one event each is held out, and users
            are few, test says little.
        unseen: whether no pair of a candidate and an event of its history is in two parts, see
            :func:`~recops_models.examples.unseen_pairs.unseen_pairs`.
    """

    users: int | None = None
    last: int | None = None
    unseen: bool = False
    least_events: int | None = None
    held_out: int | None = None

    def config(self, run: Run) -> dict[str, object]:
        """The job, and what the examples are."""
        return {**super().config(run), **self._choice(run)}

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Training.measure`."""
        made = self.made(run, data)
        return train(job_of(run), made, folder, test=run.test, callbacks=callbacks)

    @property
    def label(self) -> str:
        """How many users there are, and which; which events training and test are on; and whether
        test shows no pair that training showed.
        """
        told = {
            f"{self.users} users": self.users,
            f"users with {self.least_events} events or more": self.least_events,
            f"the last {self.held_out} events of each user held out": self.held_out,
            f"trained on the last {self.last} events of each user": self.last,
            "unseen pairs": self.unseen or None,
        }
        return ", ".join(text for text, asked in told.items() if asked is not None)

    def floors_config(self, run: Run) -> object | None:
        """See :meth:`Training.floors_config`."""
        return {"of": super().floors_config(run), **self._choice(run)}

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """See :meth:`Training.floors`."""
        return finite_floors(floors(self.made(run, data)))

    def made(self, run: Run, data: Dataset, fitted: FittedSchema | None = None) -> ClickData:
        """The examples of a run, by the vocabularies of its training part or by others."""
        job = job_of(run)
        active = data if self.least_events is None else _active(data, self.least_events)
        some = some_users(_first_users(active, self._users(run)), run.share)
        examples = part(job.parts, "examples", ExampleConfig)
        if self.held_out is None:
            name: str
            name, split = named_split(some, job.split, clock=True)
        else:
            name, split = "each user's last", leave_last(some, self.held_out)
        if self.last is not None:
            split = _last_of_each(split, self.last)
        made = click_data(some, split, fitted=fitted, **dataclasses.asdict(examples))
        made = dataclasses.replace(made, split=name)
        return unseen_pairs(made) if self.unseen else made

    def _choice(self, run: Run) -> dict[str, object]:
        return {
            "users": self._users(run),
            "last": self.last,
            "unseen_pairs": self.unseen,
            "least_events": self.least_events,
            "held_out": self.held_out,
        }

    def _users(self, run: Run) -> int | None:
        return _QUICK_USERS if run.quick else self.users


MadeUp: TypeAlias = (
    SyntheticPairs | SyntheticInterests | SyntheticDelays | SyntheticLags | SyntheticVisits
)


@dataclass(frozen=True)
class MadeUpClicks(Experiment[None]):
    """Trainings on clicks that are made up, drawn anew for every seed; a quick one has 2 000
    examples.

    Attributes:
        laws: of the clicks, by the names under which claims have them as data.
    """

    laws: tuple[tuple[str, MadeUp], ...]

    def config(self, run: Run) -> dict[str, object]:
        """The job, and what is drawn."""
        return {**job_of(run).config(), "law": self._law_config(run)}

    def takes(self, data: str) -> bool:
        """What is made up, alone."""
        return data in dict(self.laws)

    def load(self, data: str) -> None:
        """Nothing: the seed says what is drawn."""

    def measure(
        self, run: Run, data: None, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Experiment.measure`.

        Raises:
            ValueError: a run on a share of the users, of whom there are none.
        """
        if run.share != 1:
            raise ValueError(f"{run.data}: made-up clicks have no users to take a share of")
        made = self.law(run).draw(run.seed)
        return train(job_of(run), made, folder, test=run.test, callbacks=callbacks)

    def floors_config(self, run: Run) -> object | None:
        """What is drawn, and the seed."""
        return {"law": self._law_config(run), "seed": run.seed}

    def floors(self, run: Run, data: None) -> dict[str, Metrics]:
        """Counts, which can tell nothing here."""
        return finite_floors(floors(self.law(run).draw(run.seed)))

    def _law_config(self, run: Run) -> dict[str, object]:
        law = self.law(run)
        return {"name": type(law).__name__, **dataclasses.asdict(law)}

    def law(self, run: Run) -> MadeUp:
        """What a run draws from."""
        known = dict(self.laws)
        if run.data not in known:
            raise ValueError(f"no made-up clicks {run.data!r}; there are {', '.join(known)}")
        law = known[run.data]
        return dataclasses.replace(law, examples=_QUICK_EXAMPLES) if run.quick else law


def _active(data: Dataset, least: int) -> Dataset:
    """The data set with the events of users who have ``least`` or more."""
    counts = pc.value_counts(data.interactions["user_id"])
    many = counts.field("values").filter(pc.greater_equal(counts.field("counts"), least))
    kept = pc.is_in(data.interactions["user_id"], value_set=many)
    return dataclasses.replace(data, interactions=data.interactions.filter(kept))


def _last_of_each(split: Split, number: int) -> Split:
    """The split with all but each user's last ``number`` training events moved to its context,
    where histories find them.
    """
    users = split.train["user_id"].to_numpy()
    order = np.argsort(users, kind="stable")  # Within a user they are in order of time.
    ends = np.searchsorted(users[order], users[order], side="right")
    kept = np.empty(len(users), dtype=np.bool_)
    kept[order] = np.arange(len(users)) >= ends - number
    earlier = split.train.filter(pa.array(~kept))
    context = pa.concat_tables([split.context, earlier])
    return dataclasses.replace(split, train=split.train.filter(pa.array(kept)), context=context)


def _first_users(data: Dataset, count: int | None) -> Dataset:
    known = data.interactions["user_id"].unique().sort()
    if count is None or count >= len(known):
        return data
    kept = pc.is_in(data.interactions["user_id"], value_set=known.slice(0, count))
    return dataclasses.replace(data, interactions=data.interactions.filter(kept))
