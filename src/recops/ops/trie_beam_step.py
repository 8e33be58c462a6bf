"""One exact step of beam search over the real children in a trie."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._checks import FLOATS, INDICES, check_tensor
from recops.ops.trie_batch import (
    ItemBans,
    Masks,
    Tries,
    bans_of,
    masks_of,
    sizes_of,
    tensors_of,
    tries_of,
)

Normalize = Literal["vocab", "children", "none"]


class BeamStep(NamedTuple):
    """The best candidates of a step, best first, each ``[B, num_beams]``.

    Slots that no candidate takes have score −inf and −1 elsewhere.
    """

    scores: Tensor
    """float32 (float64 for float64 logits)."""
    tokens: Tensor
    """int32: the child's token."""
    parents: Tensor
    """int32: which of the M beams the child continues."""
    nodes: Tensor
    """int32: the child."""


def trie_beam_step(
    logits: Tensor,
    trie: Tries,
    nodes: Tensor,
    scores: Tensor,
    *,
    num_beams: int,
    normalize: Normalize = "vocab",
    allowed: Masks | None = None,
    banned: ItemBans | None = None,
    trie_index: Tensor | None = None,
) -> BeamStep:
    """Continue every beam by every child of its node, and keep the best ``num_beams`` of all.

    The candidate that continues beam m by child c of its node has the score ::

        scores[b, m] + logits[b, m, token(c)] − Z(b, m)

    with Z the log-sum-exp of the whole row of logits (``vocab``), of the logits of the node's
    children (``children``), or 0 (``none``). Order: score descending, then parent ascending, then
    token ascending; the result is exact and the same bits at any number of threads.

    A child all of whose items are masked or banned is no child, to the normalizer either. A score
    of −inf is no candidate: so logits of −inf forbid tokens. A beam is dead where its node is −1 or
    its score −inf; its logits may be anything. A leaf has no children.

    Work grows with the real children, not with V or the widest branch, but for the one reading of
    each row that ``vocab`` needs. Beams are scanned best first; one whose largest logit cannot lift
    it to the num_beams-th best so far is skipped: exactly, and after its logits were looked through
    for NaN. Gradients do not flow through: a selection in a trie is no differentiable function.

    Args:
        logits: ``[B, M, V]`` float32, bfloat16, float16 or float64, any strides; V is at least the
            vocabulary of the beams' levels.
        trie: whose nodes these are; or several tries of one depth, of which ``trie_index`` tells
            each row its own.
        nodes: ``[B, M]`` int32 or int64; the root is 0. Beams may be of different levels.
        scores: ``[B, M]`` float32 or float64; computed with as float32, float64 for float64 logits.
        num_beams: places to fill, at least 1.
        normalize: ``"vocab"``, ``"children"`` or ``"none"``.
        allowed: the items to recommend from, one mask for all rows or one each; a list of such, one
            for each trie, where ``trie`` is a list.
        banned: items that a row must not be recommended, from :func:`recops.item_bans`.
        trie_index: ``[B]`` int32 or int64: each row's place in the list of tries.

    Returns:
        The new beams, as :class:`BeamStep`.

    Raises:
        TypeError: another dtype, or no trie or mask where one is due.
        ValueError: another shape or device; logits that are read and hold NaN or +inf; a NaN score;
            V below the level's vocabulary; a mask of another trie or batch size.
        IndexError: no such node, no such trie.
    """
    op = "trie_beam_step"
    tries = tries_of(op, trie, trie_index)
    device = tries[0].device
    check_tensor(op, "logits", logits, ndim=3, dtypes=FLOATS, device=device)
    check_tensor(op, "nodes", nodes, ndim=2, dtypes=INDICES, device=device)
    check_tensor(op, "scores", scores, ndim=2, dtypes=FLOATS, device=device)
    batch, width, _ = logits.shape
    for name, beams in (("nodes", nodes), ("scores", scores)):
        if beams.shape[0] != batch or beams.shape[1] != width:
            raise ValueError(f"{op}: {name} must be {(batch, width)}, got {tuple(beams.shape)}")
    return step_of(
        logits,
        tensors_of(tries),
        sizes_of(tries),
        trie_index,
        nodes,
        scores,
        num_beams,
        normalize,
        masks_of(op, allowed, tries),
        bans_of(op, banned),
    )


def step_of(
    logits: Tensor,
    tries: list[Tensor],
    vocab_sizes: list[int],
    trie_index: Tensor | None,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    normalize: Normalize,
    allowed: list[Tensor],
    bans: list[Tensor],
) -> BeamStep:
    """The step itself, on tensors that were checked before."""
    compute = torch.float64 if logits.dtype == torch.float64 else torch.float32
    # Each call into torch takes 20 to 50 µs while its code is out of the caches (Zen 3): none idly.
    if logits.requires_grad:
        logits = logits.detach()
    if scores.requires_grad or scores.dtype != compute:
        scores = scores.detach().to(compute)
    return BeamStep(
        *ops.trie_beam_step(
            logits,
            tries,
            vocab_sizes,
            trie_index,
            nodes,
            scores,
            num_beams,
            normalize,
            allowed,
            bans,
        )
    )


def _fake_beam_step(
    logits: Tensor,
    tries: list[Tensor],
    vocab_sizes: list[int],
    trie_index: Tensor | None,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    normalize: str,
    allowed: list[Tensor],
    bans: list[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (logits.shape[0], num_beams)
    return (
        scores.new_empty(shape),
        nodes.new_empty(shape, dtype=torch.int32),
        nodes.new_empty(shape, dtype=torch.int32),
        nodes.new_empty(shape, dtype=torch.int32),
    )


torch.library.register_fake("recops::trie_beam_step", _fake_beam_step)
