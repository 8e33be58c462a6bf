"""The second task of path rankers: rewards and preferences, from what next tokens taught."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from recops_models.generative.path_losses import preference_loss, preference_pairs, reward_loss
from recops_models.generative.path_ranker import GradScope, PathRanker
from recops_models.setting_checks import check_above_zero, check_at_least
from recops_models.training.path_task import PathTask, PathWindows, target_log_probs

Alignment = Literal["none", "rft", "dpo", "both"]


@dataclass(frozen=True)
class AlignmentConfig:
    """The stage behind next-token prediction, ``L = L_RFT + λ_DPO · L_DPO``.

    β and the ratio 20 : 3 of the two losses are the paper's (arXiv 2604.12234); λ and c, which it
    does not report, and the horizon are ours.

    Attributes:
        align: ``"rft"`` by rewards, ``"dpo"`` by preferences (beside plain next tokens), or
            ``"both"``; ``"none"``: there is no such stage.
        align_epochs: at most so many, and no more than of next tokens.
        align_rate: its learning rate, as a share of that of next tokens.
        reward_strength: λ: a target weighs 1 + λÃ; λc is at most 1. 0, with ``align=rft``, goes on
            with next tokens, the control of any gain.
        reward_clip: c: Ã is cut to ±c.
        dpo_weight: λ_DPO.
        dpo_beta: β.
        dpo_grad_scope: what the gradient of preferences reaches: ``"last_head"``, the head of the
            last token alone, or ``"last_step"``, whatever the last token's logits come from.
        dpo_horizon: how many events apart the two of a pair may be; see
            :func:`~recops_models.generative.path_losses.preference_pairs`.

    Raises:
        ValueError: no epoch, no horizon, rewards cut to nothing; another number that is below 0 or
            not finite.
    """

    align: Alignment = "none"
    align_epochs: int = 3
    align_rate: float = 0.1
    reward_strength: float = 0.4
    reward_clip: float = 2.0
    dpo_weight: float = 0.15
    dpo_beta: float = 0.1
    dpo_grad_scope: Literal["last_head", "last_step"] = "last_head"
    dpo_horizon: int = 10

    def __post_init__(self) -> None:
        check_at_least("alignment", self, align_epochs=1, dpo_horizon=1)
        check_at_least("alignment", self, align_rate=0, reward_strength=0, dpo_weight=0, dpo_beta=0)
        check_above_zero("alignment", self, "reward_clip")

    @property
    def strength(self) -> float:
        """λ, 0 where rewards are left out."""
        return self.reward_strength if self.align in ("rft", "both") else 0.0

    @property
    def preferences(self) -> float:
        """λ_DPO, 0 where preferences are left out."""
        return self.dpo_weight if self.align in ("dpo", "both") else 0.0


@dataclass(frozen=True, eq=False)
class AlignmentTask(PathTask):
    """Next tokens by reward, and preferences of the same windows against a frozen reference.

    Preferences are learnt without dropout, which would make noise of the log-ratios: at the
    reference's weights they are log 2 exactly. A step costs two more passes of the model, twice as
    wide, and two of the reference.

    Attributes:
        alignment: how.
        reference: π_ref, which stays as it is.
    """

    alignment: AlignmentConfig
    reference: PathRanker

    def loss(self, model: PathRanker, batch: PathWindows) -> tuple[Tensor, Tensor]:
        """``L_RFT + λ_DPO · L_DPO``, and the number of targets of the former."""
        there, said, how = batch.items[:, 1:] > 0, batch.targets, self.alignment
        loss = reward_loss(
            target_log_probs(model, batch),
            said.weight[there],
            said.reward[there],
            strength=how.strength,
            clip=how.reward_clip,
        )
        if how.preferences:
            loss = loss + how.preferences * self.preference(model, batch)
        return loss, there.sum()

    def preference(self, model: PathRanker, batch: PathWindows) -> Tensor:
        """L_DPO of the pairs within each window, 0 where there are none."""
        policy, reference = self.paired(model, batch)
        return preference_loss(policy, reference, beta=self.alignment.dpo_beta)

    def paired(self, model: PathRanker, batch: PathWindows) -> tuple[Tensor, Tensor]:
        """``log π [2, n]`` and ``log π_ref [2, n]`` of the preferred and of the others."""
        target, level = batch.items[:, 1:], batch.targets.level
        pairs = preference_pairs(target, level, self.alignment.dpo_horizon)
        history, task = batch.items[:, :-1].repeat(2, 1), batch.targets.task.repeat(2, 1)
        asked = history, torch.cat(pairs), task, batch.user.repeat(2)
        with torch.no_grad(), _without_dropout(self.reference):
            reference = _log_probs(self.reference, *asked, "all")
        with _without_dropout(model):
            return _log_probs(model, *asked, self.alignment.dpo_grad_scope), reference


def _log_probs(
    model: PathRanker, history: Tensor, target: Tensor, task: Tensor, user: Tensor, scope: GradScope
) -> Tensor:
    steps = model.path_log_probs(history, target, task, user=user, scope=scope)
    return steps.sum(-1).view(2, -1)


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
