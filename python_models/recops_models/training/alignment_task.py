"""Alignment of path rankers by rewards (RFT) and preferences (DPO)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from recops_models.generative.path_losses import preference_loss, preference_pairs, reward_loss
from recops_models.generative.path_ranker import GradScope, PathRanker
from recops_models.generative.windows import at_rows, target_rows
from recops_models.training.path_events import PathWindows, PreferencePairs
from recops_models.training.path_task import PathTask, target_log_probs


class AlignmentTask(PathTask):
    """Reward-weighted next tokens, and preferences within windows against a frozen reference.

    Preferences are learned without dropout, whose noise would dominate the log-ratios: with the
    reference's weights the loss is exactly log 2. A step costs two more passes of the model, each
    twice as wide, and two of the reference.

    Args:
        args: see :class:`~recops_models.training.path_task.PathTask`.
        reference: the model before alignment, π_ref; a frozen copy is used.

    Attributes:
        reference: the frozen copy.
    """

    def __init__(self, *args: Any, reference: PathRanker) -> None:
        super().__init__(*args)
        self.reference = copy.deepcopy(reference).eval().requires_grad_(False)

    def windows(self, rows: Tensor) -> PathWindows:
        windows = super().windows(rows)
        if not self.alignment.preferences:
            return windows
        target, level = windows.items[:, 1:], windows.targets.level
        items = torch.cat(preference_pairs(target, level, self.alignment.dpo_horizon))
        return windows._replace(pairs=PreferencePairs(items, target_rows(items)))

    def loss(self, model: PathRanker, batch: PathWindows) -> tuple[Tensor, int]:
        """Return ``L_RFT + λ_DPO · L_DPO``, and the number of targets of ``L_RFT``."""
        rows, config = batch.rows, self.alignment
        loss = reward_loss(
            target_log_probs(model, batch),
            at_rows(batch.targets.weight, rows),
            at_rows(batch.targets.reward, rows),
            strength=config.strength,
            clip=config.reward_clip,
        )
        if config.preferences:
            loss = loss + config.preferences * self.preference(model, batch)
        return loss, len(rows)

    def preference(self, model: PathRanker, batch: PathWindows) -> Tensor:
        """Return L_DPO of the pairs within each window; 0 without pairs."""
        policy, reference = self.paired(model, batch)
        return preference_loss(policy, reference, beta=self.alignment.dpo_beta)

    def paired(self, model: PathRanker, batch: PathWindows) -> tuple[Tensor, Tensor]:
        """Return ``log π [2, n]`` and ``log π_ref [2, n]``; row 0 holds the preferred items."""
        assert batch.pairs is not None
        history, task = batch.items[:, :-1].repeat(2, 1), batch.targets.task.repeat(2, 1)
        inputs = history, batch.pairs, task, batch.user.repeat(2)
        with torch.no_grad(), _without_dropout(self.reference):
            reference = _log_probs(self.reference, *inputs, "all")
        with _without_dropout(model):
            return _log_probs(model, *inputs, self.alignment.dpo_grad_scope), reference


def _log_probs(
    model: PathRanker,
    history: Tensor,
    pairs: PreferencePairs,
    task: Tensor,
    user: Tensor,
    scope: GradScope,
) -> Tensor:
    steps = model.path_log_probs(
        history, pairs.items, task, user=user, scope=scope, rows=pairs.rows
    )
    return steps.sum(-1).view(2, -1)


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
