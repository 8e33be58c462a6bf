"""One exact step of beam search over the children of trie nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NoReturn, get_args

import torch
from torch import Tensor

from recops._checks import (
    FLOATS,
    INDICES,
    INTEGERS,
    MAX_BEAMS,
    check_choice,
    check_integer,
    check_tensor,
)
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._data_errors import raise_data_errors
from recops.ops.trie._batch import (
    Masks,
    Tries,
    ban_tensors,
    check_tries,
    mask_tensors,
    trie_tensors,
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
    """Extend every beam by every child of its node, and return the best ``num_beams`` candidates.

    The candidate that extends beam m by child c of its node has the score ::

        scores[b, m] + logits[b, m, token(c)] − Z(b, m)

    with Z the log-sum-exp of the whole row of logits (``vocab``), of the logits of the node's
    children (``children``), or 0 (``none``). Candidates are ordered by descending score, then
    ascending parent, then ascending token. The result is exact and bit-identical at any thread
    count.

    A child whose items are all masked or banned does not count as a child, and the normalizer
    ignores it too. A score of −inf is not a candidate, so a logit of −inf forbids a token. A beam
    is dead if its node is −1 or its score is −inf; its logits are ignored. A leaf has no children.

    Work grows with the number of children, not with V or the widest branch; only ``vocab`` reads
    each row of logits once. Beams are scanned best first. A beam is skipped if its largest logit
    cannot lift it to the num_beams-th best score so far; skipping is exact, and NaN logits are
    still found. The selection is not differentiable, so no gradients pass through.

    Args:
        logits: ``[B, M, V]`` float32, bfloat16, float16 or float64, any strides; V is at least the
            vocabulary of the beams' levels.
        trie: the trie of the nodes, or several tries of one depth; ``trie_index`` then selects each
            row's trie.
        nodes: ``[B, M]`` int32 or int64; the root is 0. Beams may be at different levels.
        scores: ``[B, M]`` float32 or float64, converted to float32 (float64 for float64 logits).
        num_beams: number of new beams, from 1 to 2^20.
        normalize: ``"vocab"``, ``"children"`` or ``"none"``.
        allowed: the items that may be recommended: one mask for all rows, or one with a row for
            each. If ``trie`` is a list, a list with one such mask per trie.
        banned: items that must not be recommended to a row, from :func:`recops.item_bans`.
        trie_index: ``[B]`` int32 or int64, each row's index in the list of tries.

    Returns:
        The new beams as a :class:`BeamStep`.

    Raises:
        TypeError: an argument has another dtype or is not a trie or a mask.
        ValueError: a shape or device does not match, V is less than the level's vocabulary, a score
            is NaN, logits that are read are NaN or +inf, or a mask has another trie or batch size.
        IndexError: a node or a trie does not exist.

    On CUDA tensors a kernel runs for float32, bfloat16 and float16 logits, at most 4,096 beams
    before and after the step, V up to 2^20 and at most 16 tries, and a composite otherwise. The
    kernel cannot raise errors in data: it fills the row with NaN scores and indices of −1, and
    :func:`recops.debug` raises the error. It checks that the row has a logit for each child's
    token, instead of comparing V with the level's vocabulary. Beams equal the CPU's if the scores
    of candidates differ by more than 1e-5 of their size. The step can be captured in a CUDA graph.

    Time is O(M · (L + log M) + C + K · log K) per row, for L levels, C children of all its beams
    and K = ``num_beams``; ``vocab`` adds O(V) per live beam. A row's bans are read once. Masks and
    bans are checked only for children that would win, and under ``children`` for all children. A
    check costs O(L), the bans below the child, and one word of the mask per 64 items. Extra memory
    is O(M + K + the most children of a beam) per row, or per thread if there are more threads than
    rows. Logits whose last stride is not 1 are copied.

    Source: the decoding of UniRec, 2026: add the path's log-probability, mask by the trie, keep
    the best. Reading only real children, ``children``, ``none`` and the order of ties are
    additions of this library.

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
        tries = check_tries(op, trie, trie_index)
    device = tries[0].first_child.device
    # Inlined checks: the model's call before each step has evicted this code from the caches, so
    # every further Python function call would be slow.
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
        and 1 <= num_beams <= MAX_BEAMS
        and normalize in NORMALIZERS
    ):
        _refuse(op, logits, nodes, scores, device, num_beams, normalize)
    return run_step(
        logits,
        tries,
        trie_index,
        nodes,
        scores,
        num_beams,
        normalize,
        None if allowed is None else mask_tensors(op, allowed, tries),
        None if banned is None else ban_tensors(op, banned, tries),
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
    """Raise the error that names the wrong argument of a step."""
    check_tensor(op, "logits", logits, ndim=3, dtypes=FLOATS, device=device)
    check_tensor(op, "nodes", nodes, ndim=2, dtypes=INDICES, device=device)
    check_tensor(op, "scores", scores, ndim=2, dtypes=FLOATS, device=device)
    check_integer(op, "num_beams", num_beams, least=1, most=MAX_BEAMS)
    check_choice(op, "normalize", normalize, NORMALIZERS)
    name, beams = ("scores", scores) if nodes.shape == logits.shape[:2] else ("nodes", nodes)
    raise ValueError(f"{op}: {name} must be {tuple(logits.shape[:2])}, got {tuple(beams.shape)}")


def run_step(
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
    """Run the step on checked arguments."""
    if logits.requires_grad:
        logits = logits.detach()
    if scores.dtype != compute_dtype(logits.dtype) or scores.requires_grad:
        scores = scores.detach().to(compute_dtype(logits.dtype))
    first = tries[0]
    sizes: Sequence[int] = first.vocab_sizes
    other_tries = None
    if len(tries) > 1:
        sizes = [size for each in tries for size in each.vocab_sizes]
        other_tries = trie_tensors(tries[1:])
    arguments = (
        logits,
        first.first_child,
        first.tokens,
        first.stamp,
        len(first.vocab_sizes),
        nodes,
        scores,
        num_beams,
        normalize,
        sizes if logits.shape[2] < max(sizes) else None,  # converting a list is slow
        trie_index,
        other_tries,
        allowed,
        bans,
    )
    step = BeamStep(*ops.trie_beam_step(*arguments))
    if logits.is_cuda:
        raise_data_errors("trie_beam_step", arguments, step.scores)
    return step


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
