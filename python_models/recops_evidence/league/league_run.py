"""Base of the experiments of the league."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from recops.files import read_json, write_json
from recops_evidence.experiments.training import job_of, some_users
from recops_evidence.harness.experiment import Experiment, Metrics, Run
from recops_evidence.harness.user_values import UserValues
from recops_evidence.league.trained_run import Trained
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset, load
from recops_models.training.curve import finite

_FIGURES, _KIND = "figures.json", "league-run"
_QUICK_USERS = 60


@dataclass(frozen=True)
class Tested:
    """Test figures of a run.

    Attributes:
        metrics: by name.
        users: values per user.
        request_ms: computing time of one request; None: not measured.
    """

    metrics: Metrics
    users: UserValues
    request_ms: float | None


class LeagueRun(Experiment[Dataset]):
    """Training of a row by the protocol of the league.

    A run's key depends on its explicit settings and on :data:`PROTOCOL`, not on defaults or package
    versions. A league takes many hours; new settings of a model must not repeat its finished runs.
    """

    PROTOCOL: ClassVar[int] = 1
    """Number of the protocol; figures of different numbers must not be compared."""

    may_fail = True
    keeps_files = False

    def identity(self, run: Run) -> object:
        """See :meth:`Experiment.identity`: the explicit settings and the protocol."""
        name = type(self).__name__
        inputs = (run.model, run.data, run.settings, run.seed, run.test, run.quick, run.share)
        return [name, self.PROTOCOL, *inputs]

    def config(self, run: Run) -> object:
        """Return the job with all defaults; see :meth:`Experiment.config`."""
        return job_of(run).config()

    def load(self, data: str) -> Dataset:
        """See :func:`recops_models.data.load`."""
        return load(data)

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Experiment.measure`; a quick run has 60 users."""
        if run.quick:
            data = some_users(data, min(1.0, _QUICK_USERS / data.users.num_rows))
        validation, trained, tested = self.trained(
            run, some_users(data, run.share), folder, callbacks
        )
        costs: Metrics = {
            "train_seconds": round(trained.seconds, 3),
            "parameters": trained.parameters,
        }
        figures: dict[str, object] = {"costs": costs, "users": None}
        if tested is not None:
            costs["request_ms"] = tested.request_ms
            figures["users"] = tested.users.to_json()
        write_json(folder / _FIGURES, figures, kind=_KIND)
        return finite(validation), {} if tested is None else finite(tested.metrics)

    @abstractmethod
    def trained(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Trained, Tested | None]:
        """Train and return validation metrics, the training, and test figures if ``run.test``.

        Args:
            run: the run.
            data: the users of the run.
            folder: receives the model.
            callbacks: receive the progress.
        """

    def user_values(self, run: Run, folder: Path) -> UserValues | None:
        """See :meth:`Experiment.user_values`."""
        content = read_json(folder / _FIGURES, kind=_KIND)["users"]
        return None if content is None else UserValues.from_json(content)

    def costs(self, run: Run, folder: Path) -> Metrics:
        """See :meth:`Experiment.costs`."""
        costs: Metrics = read_json(folder / _FIGURES, kind=_KIND)["costs"]
        return costs
