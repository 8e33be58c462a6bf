"""Beam search that generates only semantic IDs of real items."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recops._checks import (
    FLOATS,
    MAX_BEAMS,
    check_choice,
    check_integer,
    check_list,
    check_sizes,
    check_tensor,
)
from recops._dtypes import widened
from recops._load import ops
from recops.ops._data_errors import raise_data_errors
from recops.ops.trie._batch import (
    Bans,
    Masks,
    Tries,
    ban_tensors,
    check_tries,
    mask_tensors,
    trie_tensors,
)
from recops.ops.trie.item_bans import make_bans
from recops.ops.trie.trie_beam_step import NORMALIZERS, Normalize, run_step
from recops.state.beams import BeamResult
from recops.state.item_bans import ItemBans
from recops.state.trie import SidTrie

DecoderStep = Callable[[Tensor | None, Tensor | None], Tensor]


def constrained_beam_search(
    step: DecoderStep,
    trie: Tries,
    *,
    batch_size: int,
    num_beams: int,
    normalize: Normalize = "vocab",
    allowed: Masks | None = None,
    widths: Sequence[int] | None = None,
    item_prior: Tensor | Sequence[Tensor] | None = None,
    banned: Bans | None = None,
    trie_index: Tensor | None = None,
) -> BeamResult:
    """Decode semantic IDs level by level with :func:`recops.trie_beam_step`, and look up the items.

    If several items share a leaf, each takes one slot of the result. They are ordered by
    ``item_prior`` (higher first), then by insertion. Masked and banned items take no slot. Under
    ``torch.compile`` and ``torch.export`` the loop is unrolled into L steps of the model.

    Args:
        step: the model. ``step(None, None)`` returns the first logits ``[B, 1, V]``. Then
            ``step(tokens, parents)``, both ``[B, M]`` int32 with M the width of the last step,
            returns ``[B, M, V]`` for the beams extended by ``tokens``. The model must reorder its
            state by ``parents``. Dead slots have −1 in both, and their logits are ignored. V may
            differ between levels.
        trie: the catalogue, or several of one depth; ``trie_index`` then selects each row's trie.
        batch_size: B.
        num_beams: number of items per row, from 1 to 2^20.
        normalize: as in :func:`recops.trie_beam_step`.
        allowed: the items that may be recommended: one mask for all rows, or one with a row for
            each. If ``trie`` is a list, a list with one such mask per trie.
        widths: number of beams after each of the L steps; ``num_beams`` by default.
        item_prior: ``[num_items]`` floating point, in the order in which the items were given to
            :meth:`SidTrie.from_sids`. If ``trie`` is a list, a list with one such tensor per trie.
        banned: items that must not be recommended to a row, such as those that its user has seen:
            an argument of :func:`recops.item_bans` (a list of B tensors of ids, or ids and
            offsets), or its result. The cost depends on the number of bans, not on the catalogue.
        trie_index: ``[B]`` int32 or int64, each row's index in the list of tries.

    Returns:
        The items, their SIDs and scores as a :class:`BeamResult`.

    Raises:
        TypeError: ``step`` does not return a floating-point tensor, or a prior has another dtype.
        ValueError: ``step`` returns another shape, a shape or number is invalid, or a prior of an
            item at a leaf of the result is NaN; also the errors of :func:`recops.trie_beam_step`.

    The CUDA kernels raise no errors in data: the row has scores of NaN and items of −1.
    :func:`recops.debug` raises them.

    Time is that of L calls of ``step`` and of :func:`recops.trie_beam_step`. Looking up the SIDs
    adds O(K · L · log num_nodes) per row, with K = ``num_beams``. The n items at the leaves of the
    result add O(n), with bans O(n · log bans), and with a prior O(n · log K) more. A 16-bit prior
    is converted at each call. Extra memory is that of ``step``, of one beam step, and O(the most
    items of a leaf).

    Source: the decoding of UniRec, 2026: beam search along the trie, then from paths to items.
    Priors within a leaf, widths, bans and several tries are additions of this library.

    Examples:
        >>> trie = recops.SidTrie.from_sids(torch.tensor([[0, 0], [1, 0], [1, 1]]), vocab_sizes=2)
        >>> def step(tokens, parents):
        ...     return torch.zeros(1, 1 if tokens is None else tokens.shape[1], 2)
        >>> result = recops.constrained_beam_search(step, trie, batch_size=1, num_beams=2)
        >>> result.item_ids.tolist(), result.sids.tolist()
        ([[0, 1]], [[[0, 0], [1, 0]]])
    """
    op = "constrained_beam_search"
    tries = check_tries(op, trie, trie_index)
    depth, device = tries[0].depth, tries[0].device
    if not callable(step):
        raise TypeError(f"{op}: step must be callable, got {type(step).__name__}")
    check_integer(op, "batch_size", batch_size)
    check_integer(op, "num_beams", num_beams, least=1, most=MAX_BEAMS)
    check_choice(op, "normalize", normalize, NORMALIZERS)
    if widths is None:
        widths = [num_beams] * depth
    widths = check_sizes(op, "widths", widths, most=MAX_BEAMS)
    if len(widths) != depth:
        raise ValueError(f"{op}: widths must be {depth} numbers, one per level, got {len(widths)}")
    priors = None if item_prior is None else _priors(op, item_prior, tries)
    if banned is not None and not isinstance(banned, ItemBans):
        banned = make_bans(op, "banned", tries, banned, trie_index)

    masks = None if allowed is None else mask_tensors(op, allowed, tries)
    bans = None if banned is None else ban_tensors(op, banned, tries)
    nodes = torch.zeros(batch_size, 1, dtype=torch.int32, device=device)
    scores = torch.zeros(batch_size, 1, device=device)
    tokens = parents = None
    for width in widths:
        logits = step(tokens, parents)
        if not (
            isinstance(logits, Tensor)
            and logits.ndim == 3
            and logits.shape[:2] == nodes.shape
            and logits.dtype in FLOATS
            and logits.device == device
        ):
            check_tensor(op, "step's logits", logits, ndim=3, dtypes=FLOATS, device=device)
            raise ValueError(
                f"{op}: step must return logits of shape ({batch_size}, {nodes.shape[1]}, V), the "
                f"first batch_size, got {tuple(logits.shape)}"
            )
        scores, tokens, parents, nodes = run_step(
            logits, tries, trie_index, nodes, scores, width, normalize, masks, bans
        )

    first, *others = tries
    arguments = (
        *(first.first_child, first.tokens, first.stamp, first.item_ids, first.item_rows),
        *(depth, nodes, scores, num_beams, trie_index),
        trie_tensors(others) if others else None,
        [t for each in others for t in (each.item_ids, each.item_rows)] if others else None,
        *(masks, bans, priors),
    )
    result = BeamResult(*ops.trie_beam_items(*arguments))
    raise_data_errors("trie_beam_items", arguments, result.scores)
    return result


def _priors(op: str, item_prior: Tensor | Sequence[Tensor], tries: list[SidTrie]) -> list[Tensor]:
    """Check the priors and return one float32 or float64 tensor per trie."""
    priors = (
        [item_prior] if isinstance(item_prior, Tensor) else check_list(op, "item_prior", item_prior)
    )
    if len(priors) != len(tries):
        raise ValueError(f"{op}: item_prior must hold {len(tries)} tensors, got {len(priors)}")
    for prior, trie in zip(priors, tries, strict=True):
        check_tensor(op, "item_prior", prior, ndim=1, dtypes=FLOATS, device=trie.device)
        if prior.shape[0] != trie.num_items:
            raise ValueError(
                f"{op}: item_prior must have {trie.num_items} entries, got {prior.shape[0]}"
            )
    # torch does not resolve a negative view inside an optional list of tensors.
    return [widened(prior.detach().resolve_neg()) for prior in priors]


def _fake_beam_items(
    first_child: Tensor,
    tokens: Tensor,
    stamp: Tensor,
    item_ids: Tensor,
    item_rows: Tensor,
    depth: int,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    trie_index: Tensor | None,
    more_tries: list[Tensor] | None,
    more_items: list[Tensor] | None,
    allowed: list[Tensor] | None,
    bans: list[Tensor] | None,
    item_priors: list[Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (nodes.shape[0], num_beams)
    sids = nodes.new_empty((*shape, depth), dtype=torch.int32)
    return item_ids.new_empty(shape), sids, scores.new_empty(shape)


torch.library.register_fake("recops::trie_beam_items", _fake_beam_items)
