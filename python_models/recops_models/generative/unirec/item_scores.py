"""Scores of whole items, for the few that the beams found [I]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.generative.unirec.config import UniRecConfig


class ItemScores(nn.Module):
    """``s(i | history) = ⟨LayerNorm(h), e_i⟩ + b_i``, ``h`` the history's state, ``e`` the table
    that reads it.

    A path tells an item token by token, through heads that share nothing with what reads the
    history; these scores share the item table. Learnt by a softmax over the target and ``K`` items
    drawn uniformly for each batch from the N that training shows, whose scores are raised by
    ``ln(N / K)`` so that their sum stands for that of all others: ``s`` estimates ``log p(i |
    history)`` up to a constant of the history, and is added to ``log p(path)``. At no time are all
    items scored: a step of training scores 1 + K items a target, a request as many as there are
    beams. An item that training never showed has no row that says anything: it gets the mean of the
    others that were found beside it.

    Not in UniRec's paper. Beside generated candidates, dense scores are LIGER's idea (Yang et al.,
    Unifying Generative and Dense Retrieval for Sequential Recommendation, arXiv 2411.18814);
    sampled softmax is Jean et al., 2015 (arXiv 1412.2007).

    Args:
        events: ``[N]``, of each item in training.
        config: sizes.
    """

    known: Tensor

    def __init__(self, events: Tensor, config: UniRecConfig) -> None:
        super().__init__()
        self.negatives = config.negatives
        self.norm = nn.LayerNorm(config.width)
        self.bias = nn.Embedding(1 + len(events), 1, padding_idx=0)
        self.register_buffer("known", F.pad(events > 0, (1, 0)), persistent=False)
        nn.init.zeros_(self.bias.weight)

    def forward(self, state: Tensor, item: Tensor, table: nn.Embedding) -> Tensor:
        """``[B, k]``: ``state [B, d]`` with the items ``[B, k]``, 1-based; O(B · k · d).

        0 is no item; items beyond the table came after training.
        """
        row = item.where(item < len(self.known), 0)
        known = self.known[row]
        scores: Tensor = (table(row) @ self.norm(state)[..., None] + self.bias(row))[..., 0]
        mean = scores.where(known, 0).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
        return scores.where(known, mean)

    def loss(self, state: Tensor, target: Tensor, table: nn.Embedding) -> Tensor:
        """``[n]``: ``−log`` of the sampled softmax of ``target [n]`` at ``state [n, d]``.

        Draws from torch's generator. A drawn item that is the target does not count.

        Raises:
            ValueError: training shows no item.
        """
        items = self.known.nonzero()[:, 0]
        if not len(items):
            raise ValueError("UniRec: prior must be above 0 for an item that training shows")
        drawn = items[torch.randint(len(items), (self.negatives,), device=items.device)]
        state = self.norm(state)
        positive: Tensor = (state * table(target)).sum(-1) + self.bias(target)[:, 0]
        negative = F.linear(state, table(drawn)) + self.bias(drawn)[:, 0]  # (n, K)
        raised = negative + math.log(len(items) / self.negatives)
        raised = raised.masked_fill(drawn == target[:, None], -torch.inf)
        logits = torch.cat([positive[:, None], raised], -1)
        lost: Tensor = logits.logsumexp(-1) - positive
        return lost
