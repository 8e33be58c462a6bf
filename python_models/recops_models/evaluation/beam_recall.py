"""Recall of a beam search after each step: whether a beam still leads to the held-out item."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.data.splits import Examples
from recops_models.generative.path_ranker import PathRanker, beam_search
from recops_models.generative.ranker import REQUESTS, in_batches, seen_items
from recops_models.generative.windows import request_windows
from recops_models.training.device import array, device_of, to_host


@torch.no_grad()
def beam_recall(
    model: PathRanker, examples: Examples, *, beams: int, batch: int = REQUESTS
) -> dict[str, float]:
    """Return the share of held-out items whose first t tokens are a beam after step t.

    A beam that a step drops cannot return, so the recall decreases with t. The last value is an
    upper bound of HR at ``beams``. Items in the user's history are excluded, as in
    :func:`~recops_models.evaluation.metrics.evaluate`.

    Args:
        model: a generative model that only needs the history.
        examples: one held-out event per user.
        beams: width of the beam search, at least 1.
        batch: requests per batch.

    Returns:
        ``beam_recall@1`` … ``beam_recall@L``, by number of tokens.

    Raises:
        ValueError: ``beams`` < 1, a user has more than one held-out event, or the model also needs
            the user or the task.
    """
    if beams < 1:
        raise ValueError(f"beam_recall: beams must be 1 or more, got {beams}")
    if (examples.targets.lengths != 1).any():
        raise ValueError("beam_recall: each user must have one held-out event")
    if model.inputs.names:
        raise ValueError(
            "beam_recall: model must only need histories, got one that also needs the task or "
            "the user"
        )
    device = device_of(model)
    targets = torch.from_numpy(examples.targets.items).to(device)
    is_found: list[Tensor] = []
    for histories, target in zip(
        in_batches(examples.histories, batch), targets.split(batch), strict=True
    ):
        prefixes: list[Tensor] = []
        encoded = model.encode_requests(*request_windows(histories, model.window, device))
        banned = seen_items(histories, device)
        result = beam_search(model, encoded, beams=beams, banned=banned, on_step=prefixes.append)
        prefixes.append(result.sids.long())
        path = model.paths[target + 1] - 1  # (B, L)
        is_found.append(
            torch.stack(
                [
                    (prefix == path[:, None, : prefix.shape[-1]]).all(-1).any(-1)
                    for prefix in prefixes
                ],
                1,
            )
        )
    shares = array(to_host(torch.cat(is_found)).double().mean(0))
    return {f"beam_recall@{length}": float(share) for length, share in enumerate(shares, 1)}
