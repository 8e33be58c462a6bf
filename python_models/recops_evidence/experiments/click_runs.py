"""Trainings of click models on data sets, on unseen pairs and on synthetic clicks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

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
        unseen: whether no pair of a candidate and an event of its history occurs in two parts, see
            :func:`~recops_models.examples.unseen_pairs.unseen_pairs`.
    """

    unseen: bool = False

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
        """Choice of pairs, as a text."""
        return "unseen pairs" if self.unseen else ""

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
        sampled = some_users(_first_users(data, _users(run)), run.share)
        config = part(job.parts, "examples", ExampleConfig)
        name, split = named_split(sampled, job.split, clock=True)
        clicks = click_data(sampled, split, fitted=fitted, **dataclasses.asdict(config))
        clicks = dataclasses.replace(clicks, split=name)
        return unseen_pairs(clicks) if self.unseen else clicks

    def _choice(self, run: Run) -> dict[str, object]:
        return {"users": _users(run), "unseen_pairs": self.unseen}


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


def _users(run: Run) -> int | None:
    return _QUICK_USERS if run.quick else None


def _first_users(data: Dataset, count: int | None) -> Dataset:
    known = data.interactions["user_id"].unique().sort()
    if count is None or count >= len(known):
        return data
    chosen = pc.is_in(data.interactions["user_id"], value_set=known.slice(0, count))
    return dataclasses.replace(data, interactions=data.interactions.filter(chosen))
