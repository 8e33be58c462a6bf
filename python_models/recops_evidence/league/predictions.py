"""Test metrics of predictions, and values per user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recops_evidence.harness.user_values import UserValues
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.evaluation.grouped_auc import grouped_auc
from recops_models.evaluation.user_terms import gauc_terms
from recops_models.examples.features import FittedSchema
from recops_models.examples.known import known_candidates
from recops_models.examples.loader import Source
from recops_models.training.click_task import predictions
from recops_models.training.device import array


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a click model on n examples.

    Attributes:
        user: ``[n]``, user ids.
        label: ``[n]``.
        logit: ``[n]``.
        is_known: ``[n]``, whether the candidate is in the training vocabulary.
    """

    user: NDArray[np.int64]
    label: NDArray[np.bool_]
    logit: NDArray[np.float64]
    is_known: NDArray[np.bool_]

    @classmethod
    def of(cls, model: nn.Module, source: Source, fitted: FittedSchema) -> Predictions:
        """Return the predictions of a model in evaluation mode on all examples, by user id."""
        rows = [
            (batch.group, batch.label > 0, logits.double(), known_candidates(fitted.schema, batch))
            for logits, batch in predictions(model, source)
        ]
        columns = [array(torch.cat(parts)) for parts in zip(*rows, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        return cls(*(column[order] for column in columns))

    def metrics(self, *, suffix: str = "") -> dict[str, float]:
        """Return AUC, gAUC and logloss, and AUC and gAUC of known candidates.

        Args:
            suffix: added to every name.
        """
        both = ClickMetrics()
        columns = (self.logit, self.label, self.user, self.is_known)
        both.update(*map(torch.from_numpy, columns))
        values = both.compute()
        known = self.is_known
        values["gauc_known"] = grouped_auc(
            self.logit[known], self.label[known], self.user[known]
        ).value
        names = ("gauc", "auc", "logloss", "gauc_known", "auc_known")
        return {f"{name}{suffix}": values[name] for name in names}

    def user_values(self) -> NDArray[np.float64]:
        """Return terms ``[U]`` of gAUC, by ascending user id."""
        ids, user = np.unique(self.user, return_inverse=True)
        return gauc_terms(self.logit, self.label, user, len(ids))


def click_user_values(live: Predictions, frozen: Predictions) -> UserValues:
    """Return the values per user of gAUC, for both predictions of the same test examples."""
    values = {"gauc": live.user_values(), "gauc_frozen": frozen.user_values()}
    return UserValues.of(np.unique(live.user), values)
