"""One exact step of beam search over the real children in a trie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NoReturn, get_args

import torch
from torch import Tensor

from recops._checks import (
    FLOATS,
    INDICES,
    INTEGERS,
    MOST_BEAMS,
    check_choice,
    check_integer,
    check_tensor,
)
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops.trie._batch import (
    Masks,
    Tries,
    bans_of,
    masks_of,
    tensors_of,
    tries_of,
)
from recops.state.beams import BeamStep
from recops.state.item_bans import ItemBans
from recops.state.trie import SidTrie

Normalize = Literal["vocab", "children", "none"]
NORMALIZERS = get_args(Normalize)


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
        num_beams: places to fill, from 1 to 2^20.
        normalize: ``"vocab"``, ``"children"`` or ``"none"``.
        allowed: the items to recommend from, one mask for all rows or one each; a list of such, one
            for each trie, where ``trie`` is a list.
        banned: items that a row must not be recommended, from :func:`recops.item_bans`.
        trie_index: ``[B]`` int32 or int64: each row's place in the list of tries.

    Returns:
        The new beams, as :class:`BeamStep`.

    Raises:
        TypeError: another dtype, or something else than a trie or a mask.
        ValueError: another shape or device; logits that are read and hold NaN or +inf; a NaN score;
            V below the level's vocabulary; a mask of another trie or batch size.
        IndexError: no such node, no such trie.

    Time is O(M · (L + log M) + C + K · log K) a row, for L levels, C children of its beams in all
    and K = ``num_beams``; ``vocab`` adds O(V) for each live beam. A row's bans are read once.
    Whether a mask or bans leave an item below a child is asked of children that would win, under
    ``children`` of all; it costs O(L), the bans below it, and a word of the mask for 64 items.
    Memory beside the results is O(M + K + the most children of a beam) a row, or a thread where
    there are more threads than rows. Logits whose last stride is not 1 are copied.

    Source: the decoding of UniRec, 2026: add the path's log-probability, mask by the trie, keep
    the best. Reading real children alone, ``children``, ``none`` and the order of ties are ours.

    Examples:
        >>> trie = recops.SidTrie.from_sids(torch.tensor([[0, 0], [1, 0], [1, 1]]), vocab_sizes=2)
        >>> logits, root = torch.tensor([[[0.2, 0.8]]]).log(), torch.tensor([[0]])
        >>> best = recops.trie_beam_step(logits, trie, root, torch.zeros(1, 1), num_beams=2)
        >>> best.tokens.tolist(), best.nodes.tolist()
        ([[1, 0]], [[2, 1]])
    """
    op = "trie_beam_step"
    if trie_index is None and isinstance(trie, SidTrie):
        tries = [trie]
    else:
        tries = tries_of(op, trie, trie_index)
    device = tries[0].first_child.device
    # All in one place: a step comes after a call of a model, which leaves none of this in the
    # caches, so that each Python function takes 5 µs to enter (a busy Zen 4 core).
    if not (
        isinstance(logits, Tensor)
        and isinstance(nodes, Tensor)
        and isinstance(scores, Tensor)
        and logits.ndim == 3
        and nodes.shape == scores.shape == logits.shape[:2]
        and logits.dtype in FLOATS
        and nodes.dtype in INDICES
        and scores.dtype in FLOATS
        and logits.device == nodes.device == scores.device == device
        and isinstance(num_beams, INTEGERS)
        and not isinstance(num_beams, bool)
        and 1 <= num_beams <= MOST_BEAMS
        and normalize in NORMALIZERS
    ):
        _refuse(op, logits, nodes, scores, device, num_beams, normalize)
    return step_of(
        logits,
        tries,
        trie_index,
        nodes,
        scores,
        num_beams,
        normalize,
        None if allowed is None else masks_of(op, allowed, tries),
        None if banned is None else bans_of(op, banned, tries),
    )


def _refuse(
    op: str,
    logits: Tensor,
    nodes: Tensor,
    scores: Tensor,
    device: torch.device,
    num_beams: int,
    normalize: str,
) -> NoReturn:
    """Says which of a step's arguments is wrong, and how."""
    check_tensor(op, "logits", logits, ndim=3, dtypes=FLOATS, device=device)
    check_tensor(op, "nodes", nodes, ndim=2, dtypes=INDICES, device=device)
    check_tensor(op, "scores", scores, ndim=2, dtypes=FLOATS, device=device)
    check_integer(op, "num_beams", num_beams, least=1, most=MOST_BEAMS)
    check_choice(op, "normalize", normalize, NORMALIZERS)
    name, beams = ("scores", scores) if nodes.shape == logits.shape[:2] else ("nodes", nodes)
    raise ValueError(f"{op}: {name} must be {tuple(logits.shape[:2])}, got {tuple(beams.shape)}")


def step_of(
    logits: Tensor,
    tries: list[SidTrie],
    trie_index: Tensor | None,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    normalize: Normalize,
    allowed: list[Tensor] | None,
    bans: list[Tensor] | None,
) -> BeamStep:
    """The step itself, on tensors that were checked before."""
    if logits.requires_grad:
        logits = logits.detach()
    if scores.dtype != compute_dtype(logits.dtype) or scores.requires_grad:
        scores = scores.detach().to(compute_dtype(logits.dtype))
    first = tries[0]
    sizes: Sequence[int] = first.vocab_sizes
    more = None
    if len(tries) > 1:
        sizes = [size for each in tries for size in each.vocab_sizes]
        more = tensors_of(tries[1:])
    return BeamStep(
        *ops.trie_beam_step(
            logits,
            first.first_child,
            first.tokens,
            first.stamp,
            len(first.vocab_sizes),
            nodes,
            scores,
            num_beams,
            normalize,
            sizes if logits.shape[2] < max(sizes) else None,  # a list costs 10 µs as well
            trie_index,
            more,
            allowed,
            bans,
        )
    )


def _fake_beam_step(
    logits: Tensor,
    first_child: Tensor,
    tokens: Tensor,
    stamp: Tensor,
    depth: int,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    normalize: str,
    vocab_sizes: list[int] | None,
    trie_index: Tensor | None,
    more_tries: list[Tensor] | None,
    allowed: list[Tensor] | None,
    bans: list[Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (logits.shape[0], num_beams)
    return (
        scores.new_empty(shape),
        nodes.new_empty(shape, dtype=torch.int32),
        nodes.new_empty(shape, dtype=torch.int32),
        nodes.new_empty(shape, dtype=torch.int32),
    )


torch.library.register_fake("recops::trie_beam_step", _fake_beam_step)
