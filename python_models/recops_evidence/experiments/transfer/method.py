"""Interface of the methods that use a super-domain to train a model of a small domain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from recops_evidence.harness.experiment import Run
from recops_models.callbacks import Callbacks
from recops_models.click.model import ClickModel
from recops_models.examples.domains import Domains
from recops_models.recipes.job import Job
from recops_models.training.click_task import ClickTask


class TransferMethod(ABC):
    """Method that trains a model of the small domain with the help of the super-domain."""

    @abstractmethod
    def job(self, run: Run) -> Job:
        """Return the training on the small domain."""

    def prior_config(self, run: Run) -> dict[str, object]:
        """Return the settings of the training on the super-domain, if there is a separate one."""
        return {}

    @abstractmethod
    def train(self, run: Run, domains: Domains, folder: Path, callbacks: Callbacks) -> ClickModel:
        """Train the model of a run.

        Args:
            run: its settings and seed.
            domains: the events.
            folder: the run's own; files that runs of one seed share are next to it.
            callbacks: receive the share of the work that is done.
        """

    @abstractmethod
    def task(self, run: Run, domains: Domains, model: ClickModel) -> ClickTask:
        """Return the small domain's examples in the vocabularies of ``model``."""
