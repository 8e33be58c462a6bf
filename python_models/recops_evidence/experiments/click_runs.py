"""Trainings of click models on data sets, on unseen pairs and on synthetic clicks."""

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
from recops_evidence.experiments.synthetic_tastes import SyntheticTastes
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
    """Trainings on a data set; a quick run has 60 users.

    Attributes:
        users: maximum number of users, the first by id; None: all.
        last: maximum number of training examples per user, the last events; earlier events are in
            histories only. None: all events are examples.
        least_events: minimum number of events of a user; None: no minimum.
        held_out: number of events per user that are test, and again that are validation before
            them; None: the usual split. With one held-out event and few users, test is small.
        unseen: whether no pair of a candidate and an event of its history occurs in two parts, see
            :func:`~recops_models.examples.unseen_pairs.unseen_pairs`.
    """

    users: int | None = None
    last: int | None = None
    unseen: bool = False
    least_events: int | None = None
    held_out: int | None = None

    def config(self, run: Run) -> dict[str, object]:
        """Return the job and the choice of examples."""
        return {**super().config(run), **self._choice(run)}

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Training.measure`."""
        examples = self.examples(run, data)
        return train(job_of(run), examples, folder, test=run.test, callbacks=callbacks)

    @property
    def label(self) -> str:
        """Choice of users, events and pairs, as a text."""
        texts = {
            f"{self.users} users": self.users,
            f"users with {self.least_events} events or more": self.least_events,
            f"the last {self.held_out} events of each user held out": self.held_out,
            f"trained on the last {self.last} events of each user": self.last,
            "unseen pairs": self.unseen or None,
        }
        return ", ".join(text for text, value in texts.items() if value is not None)

    def floors_config(self, run: Run) -> object | None:
        """See :meth:`Training.floors_config`."""
        return {"of": super().floors_config(run), **self._choice(run)}

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """See :meth:`Training.floors`."""
        return finite_floors(floors(self.examples(run, data)))

    def examples(self, run: Run, data: Dataset, fitted: FittedSchema | None = None) -> ClickData:
        """Return the examples of a run.

        Args:
            run: the run.
            data: the whole data set.
            fitted: vocabularies; None: those of the training part.
        """
        job = job_of(run)
        active = data if self.least_events is None else _active(data, self.least_events)
        sampled = some_users(_first_users(active, self._users(run)), run.share)
        config = part(job.parts, "examples", ExampleConfig)
        if self.held_out is None:
            name: str
            name, split = named_split(sampled, job.split, clock=True)
        else:
            name, split = "each user's last", leave_last(sampled, self.held_out)
        if self.last is not None:
            split = _last_of_each(split, self.last)
        clicks = click_data(sampled, split, fitted=fitted, **dataclasses.asdict(config))
        clicks = dataclasses.replace(clicks, split=name)
        return unseen_pairs(clicks) if self.unseen else clicks

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


ClickLaw: TypeAlias = (
    SyntheticPairs
    | SyntheticInterests
    | SyntheticDelays
    | SyntheticLags
    | SyntheticVisits
    | SyntheticTastes
)


@dataclass(frozen=True)
class SyntheticClicks(Experiment[None]):
    """Trainings on synthetic clicks, drawn per seed; a quick run has 2,000 examples.

    Attributes:
        laws: generators of clicks by the name under which claims use them as data.
    """

    laws: tuple[tuple[str, ClickLaw], ...]

    def config(self, run: Run) -> dict[str, object]:
        """Return the job and the generator."""
        return {**job_of(run).config(), "law": self._law_config(run)}

    def takes(self, data: str) -> bool:
        """Return whether there is a generator of that name."""
        return data in dict(self.laws)

    def load(self, data: str) -> None:
        """Load nothing; :meth:`measure` draws by the seed."""

    def measure(
        self, run: Run, data: None, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Experiment.measure`.

        Raises:
            ValueError: the run asks for a share of the users.
        """
        if run.share != 1:
            raise ValueError(f"{run.data}: share must be 1 for synthetic clicks, got {run.share:g}")
        clicks = self.law(run).draw(run.seed)
        return train(job_of(run), clicks, folder, test=run.test, callbacks=callbacks)

    def floors_config(self, run: Run) -> object | None:
        """Return the generator and the seed."""
        return {"law": self._law_config(run), "seed": run.seed}

    def floors(self, run: Run, data: None) -> dict[str, Metrics]:
        """Return the floors; counts carry no signal here."""
        return finite_floors(floors(self.law(run).draw(run.seed)))

    def _law_config(self, run: Run) -> dict[str, object]:
        law = self.law(run)
        return {"name": type(law).__name__, **dataclasses.asdict(law)}

    def law(self, run: Run) -> ClickLaw:
        """Return the generator of a run."""
        known = dict(self.laws)
        if run.data not in known:
            raise ValueError(f"no synthetic clicks {run.data!r}; available: {', '.join(known)}")
        law = known[run.data]
        return dataclasses.replace(law, examples=_QUICK_EXAMPLES) if run.quick else law


def _active(data: Dataset, least: int) -> Dataset:
    """Return the events of users with at least ``least`` events."""
    counts = pc.value_counts(data.interactions["user_id"])
    frequent_users = counts.field("values").filter(pc.greater_equal(counts.field("counts"), least))
    active = pc.is_in(data.interactions["user_id"], value_set=frequent_users)
    return dataclasses.replace(data, interactions=data.interactions.filter(active))


def _last_of_each(split: Split, number: int) -> Split:
    """Return the split with each user's last ``number`` training events as training part.

    The other training events move to the context, so they stay in histories.
    """
    users = split.train["user_id"].to_numpy()
    order = np.argsort(users, kind="stable")  # Stable: a user's events stay in time order.
    ends = np.searchsorted(users[order], users[order], side="right")
    is_last = np.empty(len(users), dtype=np.bool_)
    is_last[order] = np.arange(len(users)) >= ends - number
    earlier = split.train.filter(pa.array(~is_last))
    context = pa.concat_tables([split.context, earlier])
    return dataclasses.replace(split, train=split.train.filter(pa.array(is_last)), context=context)


def _first_users(data: Dataset, count: int | None) -> Dataset:
    known = data.interactions["user_id"].unique().sort()
    if count is None or count >= len(known):
        return data
    chosen = pc.is_in(data.interactions["user_id"], value_set=known.slice(0, count))
    return dataclasses.replace(data, interactions=data.interactions.filter(chosen))
