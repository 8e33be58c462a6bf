"""Ranking of candidates that beam search did not find, by the scores of the beams."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.ranker import Ranking


def path_scores(model: PathRanker, encoded: Sequence[Tensor], items: Tensor) -> Tensor:
    """Return ``log p(path)`` of given items, ``[B, C]``: the scores of beam search.

    The paths are decoded in parallel, in the time of a beam search with C beams.

    Args:
        model: the ranker.
        encoded: result of :meth:`PathRanker.encode_requests`.
        items: ``[B, C]`` i64, from 0; −1: no item, with score −inf.

    Example:
        >>> import torch
        >>> from recops_models.generative.candidates import path_scores
        >>> from recops_models.generative.tiger import TIGER, TIGERConfig
        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])
        >>> config = TIGERConfig(width=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1)
        >>> model = TIGER(paths, (2, 2), torch.ones(3), config).eval()
        >>> encoded = model.encode_requests(torch.tensor([[1, 2, 0]]), torch.tensor([2]))
        >>> path_scores(model, encoded, torch.tensor([[0, 2, -1]])).shape
        torch.Size([1, 3])
    """
    tokens = (model.paths[items.clamp(min=0) + 1] - 1).int()  # (B, C, S)
    candidate = torch.arange(items.shape[1], dtype=torch.int32, device=items.device)
    logits, state = model.next_token_logits(encoded, [], None, None)
    logits = logits.expand(-1, items.shape[1], -1)
    total = items.new_zeros(items.shape, dtype=logits.dtype)
    for step in range(tokens.shape[-1]):
        if step:
            # All candidates extend the one beam of the first step, and then their own beam.
            parents = (candidate if step > 1 else torch.zeros_like(candidate)).expand_as(items)
            logits, state = model.next_token_logits(encoded, state, tokens[..., step - 1], parents)
        log_probs = logits.log_softmax(-1)
        total = total + log_probs.gather(-1, tokens[..., step, None].long())[..., 0]
    return total.masked_fill(items < 0, -torch.inf)


def with_candidates(
    model: PathRanker, encoded: Sequence[Tensor], ranking: Ranking, more: Tensor
) -> Ranking:
    """Return the ranking of the items of ``ranking`` and of further candidates.

    Equal scores keep the order of ``ranking``, then that of ``more``.

    Args:
        model: the ranker, whose scores ``ranking`` has.
        encoded: result of :meth:`PathRanker.encode_requests`.
        ranking: items of the beams, ``[B, M]``.
        more: ``[B, C]`` i64, distinct items, from 0; −1: none.

    Returns:
        the ranking of M + C items; an item in both lists occurs once.

    Example:
        >>> import torch
        >>> from recops_models.generative.candidates import with_candidates
        >>> from recops_models.generative.ranker import Ranking
        >>> from recops_models.generative.tiger import TIGER, TIGERConfig
        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])
        >>> config = TIGERConfig(width=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1)
        >>> model = TIGER(paths, (2, 2), torch.ones(3), config).eval()
        >>> encoded = model.encode_requests(torch.tensor([[1, 2, 0]]), torch.tensor([2]))
        >>> found = Ranking(torch.tensor([[1]]), torch.tensor([[0.0]]))
        >>> with_candidates(model, encoded, found, torch.tensor([[1, 2]])).items
        tensor([[ 1,  2, -1]])
    """
    is_found = (more[:, :, None] == ranking.items[:, None]).any(-1)
    more = more.masked_fill(is_found, -1)
    scores = path_scores(model, encoded, more)
    if model.rescores:
        scores = (scores + model.rescore(encoded, more)).masked_fill(more < 0, -torch.inf)
    items, scores = torch.cat([ranking.items, more], 1), torch.cat([ranking.scores, scores], 1)
    best = scores.sort(dim=-1, descending=True, stable=True)
    return Ranking(items.gather(1, best.indices), best.values)
