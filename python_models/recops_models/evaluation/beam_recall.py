"""Where a beam search loses the item: step by step, whether its path is still followed."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.data.splits import Examples
from recops_models.generative.path_ranker import PathRanker, beam_search
from recops_models.generative.ranker import REQUESTS, in_batches, items_met
from recops_models.generative.windows import last_windows


@torch.no_grad()
def beam_recall(
    model: PathRanker, examples: Examples, *, beams: int, batch: int = REQUESTS
) -> dict[str, float]:
    """The share of held-out items whose first t tokens are those of a beam after t steps.

    What a step loses no later one finds again, so that the figures fall from step to step, and the
    last one, of the paths of the items found, bounds HR at ``beams``. Items that the user has met
    are left out, as in :func:`~recops_models.evaluation.metrics.evaluate`.

    Args:
        model: which spells, and goes by histories alone.
        examples: one held-out event a user.
        beams: paths that are followed, from 1.
        batch: requests at once.

    Returns:
        ``beam_recall@1`` … ``beam_recall@L``, by the number of tokens.

    Raises:
        ValueError: ``beams`` < 1, a user has more than one held-out event, or the model must be
            told who asks, or where.
    """
    if beams < 1:
        raise ValueError(f"beam_recall: beams must be 1 or more, got {beams}")
    if (examples.targets.lengths != 1).any():
        raise ValueError("beam_recall: each user must have one held-out event")
    if model.inputs.names:
        raise ValueError(
            "beam_recall: model must go by histories alone, got one that must be told the task or "
            "the user"
        )
    targets = torch.from_numpy(examples.targets.items)
    found: list[Tensor] = []
    for some, target in zip(
        in_batches(examples.histories, batch), targets.split(batch), strict=True
    ):
        followed: list[Tensor] = []
        encoded = model.encode_requests(*last_windows(some, model.window))
        result = beam_search(
            model, encoded, beams=beams, banned=items_met(some), on_step=followed.append
        )
        followed.append(result.sids.long())
        path = model.paths[target + 1] - 1  # (B, L)
        found.append(
            torch.stack(
                [
                    (prefix == path[:, None, : prefix.shape[-1]]).all(-1).any(-1)
                    for prefix in followed
                ],
                1,
            )
        )
    shares = torch.cat(found).double().mean(0).tolist()
    return {f"beam_recall@{length}": share for length, share in enumerate(shares, 1)}
