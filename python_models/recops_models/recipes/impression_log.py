"""Log of the lists that a trained model recommends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from recops.files import file_digest
from recops_models.data.impressions import check_log, impressions_of, write_impressions
from recops_models.recipes.files import MODEL
from recops_models.recipes.job import Job

if TYPE_CHECKING:
    from recops_models.recipes.exploring import Explorer

_DIGITS = 16
"""Digits of the SHA-256 of a model's file that name it in a log."""


@dataclass(frozen=True)
class ImpressionLog:
    """Folder for the impressions of one model.

    Attributes:
        folder: the folder; see :mod:`recops_models.data.impressions`.
        model: the model's name and the start of its file's SHA-256.
        policy: the exploration, or ``"none"``.
        timestamp: time of the impressions in seconds since the epoch; None: now.
    """

    folder: Path
    model: str
    policy: str
    timestamp: float | None = None

    @classmethod
    def of(
        cls,
        folder: Path,
        model_folder: Path,
        job: Job,
        explorer: Explorer | None,
        timestamp: float | None,
    ) -> ImpressionLog:
        """Return the log of a model's lists.

        Args:
            folder: folder of the log.
            model_folder: folder of the training.
            job: the job that was trained.
            explorer: exploration of the lists; None: lists do not explore.
            timestamp: see the attribute.

        Raises:
            ValueError: the exploration has no propensities, or the folder cannot be written.
        """
        if explorer is not None and not explorer.has_propensities:
            raise ValueError(
                "log: lists by random scores have no propensities; explore with epsilon=0.1 or "
                "softmax=0.05 in addition, or rank without exploration"
            )
        check_log(folder)
        digest = file_digest(model_folder / MODEL)[:_DIGITS]
        policy = "none" if explorer is None else str(explorer.config)
        return cls(folder, f"{job.model}@{digest}", policy, timestamp)

    def write(self, lists: pa.Table) -> None:
        """Add lists to the log, completely or not at all.

        Args:
            lists: columns of :func:`~.ranking_table.ranking_table` or
                :meth:`.exploring.Explorer.table`, one list per user.

        Raises:
            OSError: the folder cannot be written.
        """
        impressions = impressions_of(
            lists, model=self.model, policy=self.policy, timestamp=self.timestamp
        )
        write_impressions(self.folder, impressions)
