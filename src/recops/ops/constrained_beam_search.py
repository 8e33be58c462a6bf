"""Beam search whose every hypothesis is the semantic ID of a real item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._checks import FLOATS, check_tensor
from recops.ops.trie import SidTrie
from recops.ops.trie_beam_step import Normalize, trie_beam_step
from recops.ops.trie_mask import ItemMask

Step = Callable[[Tensor | None, Tensor | None], Tensor]


class BeamResult(NamedTuple):
    """The best items, best first. Places left over: item −1, SID −1, score −inf."""

    item_ids: Tensor
    """``[B, num_beams]`` int64."""
    sids: Tensor
    """``[B, num_beams, L]`` int32."""
    scores: Tensor
    """``[B, num_beams]`` float32 (float64 for float64 logits)."""


def constrained_beam_search(
    step: Step,
    trie: SidTrie,
    *,
    batch_size: int,
    num_beams: int,
    normalize: Normalize = "vocab",
    allowed: ItemMask | None = None,
    widths: Sequence[int] | None = None,
    item_prior: Tensor | None = None,
) -> BeamResult:
    """Decode semantic IDs level by level with :func:`recops.trie_beam_step`, and look up the items.

    Several items at one leaf each take a place, by ``item_prior`` (higher first), then in order of
    insertion; masked items take none. Under ``torch.compile`` and ``torch.export`` the loop unrolls
    into L steps of the model.

    Args:
        step: the model. ``step(None, None)`` returns the first logits ``[B, 1, V]``; then
            ``step(tokens, parents)``, both ``[B, M]`` int32 with M the last step's width, returns
            ``[B, M, V]`` for the beams extended by ``tokens``. The model reorders whatever state it
            keeps by ``parents``. Dead slots carry −1 in both, and their logits are ignored. V may
            differ from level to level.
        trie: the catalogue.
        batch_size: B.
        num_beams: items to find for each row.
        normalize: as for :func:`recops.trie_beam_step`.
        allowed: the items to recommend from, one mask for all rows or one each.
        widths: beams to keep after each of the L steps; ``num_beams`` each by default.
        item_prior: ``[num_items]`` floating point, in the order in which the items were given to
            :meth:`SidTrie.from_sids`.

    Returns:
        Items, their SIDs and scores, as :class:`BeamResult`.

    Raises:
        TypeError: ``step`` returns no floating-point tensor; a prior of another dtype.
        ValueError: ``step`` returns another shape; a shape or number is off; a NaN prior is met;
            and all that :func:`recops.trie_beam_step` raises.
    """
    op = "constrained_beam_search"
    if not isinstance(trie, SidTrie):
        raise TypeError(f"{op}: trie must be a SidTrie, got {type(trie).__name__}")
    if batch_size < 0:
        raise ValueError(f"{op}: batch_size must not be negative, got {batch_size}")
    if num_beams < 1:
        raise ValueError(f"{op}: num_beams must be at least 1, got {num_beams}")
    if widths is None:
        widths = [num_beams] * trie.depth
    if len(widths) != trie.depth or any(width < 1 for width in widths):
        raise ValueError(f"{op}: widths must be {trie.depth} positive numbers, got {list(widths)}")
    if item_prior is not None:
        check_tensor(op, "item_prior", item_prior, ndim=1, dtypes=FLOATS, device=trie.device)
        if item_prior.shape[0] != trie.num_items:
            raise ValueError(
                f"{op}: item_prior must have {trie.num_items} entries, got {item_prior.shape[0]}"
            )
        if item_prior.dtype != torch.float64:
            item_prior = item_prior.float()

    nodes = torch.zeros(batch_size, 1, dtype=torch.int32, device=trie.device)
    scores = torch.zeros(batch_size, 1, device=trie.device)
    sids = torch.empty(batch_size, 1, 0, dtype=torch.int32, device=trie.device)
    tokens = parents = None
    for width in widths:
        logits = step(tokens, parents)
        check_tensor(op, "step's logits", logits, ndim=3, dtypes=FLOATS, device=trie.device)
        if logits.shape[0] != batch_size or logits.shape[1] != nodes.shape[1]:
            raise ValueError(
                f"{op}: step must return logits of shape ({batch_size}, {nodes.shape[1]}, V), "
                f"got {tuple(logits.shape)}"
            )
        scores, tokens, parents, nodes = trie_beam_step(
            logits, trie, nodes, scores, num_beams=width, normalize=normalize, allowed=allowed
        )
        sids = torch.cat([_gather_beams(sids, parents, -1), tokens.unsqueeze(2)], 2)

    item_ids, beams = ops.trie_beam_items(
        trie.first_child,
        trie.tokens,
        trie.stamp,
        trie.item_ids,
        trie.item_rows,
        trie.depth,
        nodes,
        None if allowed is None else allowed.words,
        None if allowed is None else allowed.stamp,
        None if item_prior is None else item_prior.detach(),
        num_beams,
    )
    best = _gather_beams(scores.unsqueeze(2), beams, -torch.inf).squeeze(2)
    return BeamResult(item_ids, _gather_beams(sids, beams, -1), best)


def _gather_beams(values: Tensor, beams: Tensor, fill: float) -> Tensor:
    """``values[b, beams[b, k]]`` of ``[B, M, …]``, and ``fill`` where the beam is −1."""
    index = beams.long().unsqueeze(2)
    taken = values.gather(1, index.clamp(min=0).expand(-1, -1, values.shape[2]))
    return taken.masked_fill(index < 0, fill)


def _fake_beam_items(
    first_child: Tensor,
    tokens: Tensor,
    stamp: Tensor,
    item_ids: Tensor,
    item_rows: Tensor,
    depth: int,
    nodes: Tensor,
    allowed: Tensor | None,
    allowed_stamp: Tensor | None,
    item_prior: Tensor | None,
    num_beams: int,
) -> tuple[Tensor, Tensor]:
    shape = (nodes.shape[0], num_beams)
    return item_ids.new_empty(shape), nodes.new_empty(shape, dtype=torch.int32)


torch.library.register_fake("recops::trie_beam_items", _fake_beam_items)
