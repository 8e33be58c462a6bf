"""Semantic IDs without collisions: a further level, or the next-best ID under a capacity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 62
"""What an int64 holds, with one to spare."""


def resolve_collisions(
    codes: NDArray[np.integer], *, errors: NDArray[np.floating] | None = None, capacity: int = 1
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Semantic IDs that at most ``capacity`` items share.

    For ``codes [N, L]`` by a further level: its code is r // capacity for the r-th item, in order
    of rows, of those that share an ID. So the IDs without collision end in 0.

    For ``codes [N, B, L]``, the candidates of :func:`recops.rq_encode_beams`, best first: item by
    item takes its best candidate that has room. In round b every item without an ID asks for its
    candidate b; where more ask than there is room for, those with most to lose are taken, by
    ``errors[:, b + 1] − errors[:, b]``, then in order of rows. Who has an ID keeps it. An item
    whose candidates are all full keeps its first, above capacity, and counts as unresolved.

    Args:
        codes: ``[N, L]`` or ``[N, B, L]``. A candidate of −1 is none.
        errors: ``[N, B]``, the squared error of each candidate; None: order of rows decides.
        capacity: items on one ID, at least 1.

    Returns:
        the codes, ``[N, L + 1]`` or ``[N, L]`` int32, and ``resolved [N]``: whether an item got an
        ID within capacity. Codes without ``B`` always resolve.

    Raises:
        ValueError: other shapes, capacity below 1, an item whose first ID is −1.

    Time is O(N log N) a round, and later rounds concern only items still without an ID.

    Source: suffixes as in TIGER (Rajput et al., 2023), section 3.1; candidates under a capacity as
    in the SID tools of TorchEasyRec. Who gives way in a round is our choice.
    """
    name = "resolve_collisions"
    if capacity < 1:
        raise ValueError(f"{name}: capacity must be at least 1, got {capacity}")
    if codes.ndim not in (2, 3) or (codes.ndim == 3 and codes.shape[1] == 0):
        raise ValueError(f"{name}: codes must be [N, L] or [N, B, L], got {list(codes.shape)}")
    if errors is not None and errors.shape != codes.shape[:2]:
        raise ValueError(
            f"{name}: errors must be {list(codes.shape[:2])}, one a candidate, "
            f"got {list(errors.shape)}"
        )
    candidates = codes[:, None] if codes.ndim == 2 else codes
    if codes.size and codes.min() < 0:
        candidates = np.where((candidates < 0).any(axis=2, keepdims=True), -1, candidates)
        missing = (candidates[:, 0, 0] < 0).nonzero()[0]
        if len(missing):
            raise ValueError(f"{name}: item {missing[0]} has no ID, a code of its first is -1")
    digits, radix = _digits(candidates)
    if codes.ndim == 2:
        suffix = _ranks(_numbers(digits[:, 0], radix)) // capacity
        return np.column_stack([codes, suffix]).astype(np.int32), np.ones(len(codes), np.bool_)
    chosen = _choose(digits, radix, errors, capacity)
    taken = codes[np.arange(len(codes)), np.maximum(chosen, 0)]
    return taken.astype(np.int32), chosen >= 0


def _digits(codes: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """``digits […, n]`` and ``radix [n]`` so that digits @ radix numbers the IDs of ``codes``.

    The digits are the codes themselves where int64 holds their bits, else each ID's place in
    their order. The first digit of a missing ID is −1.
    """
    levels = codes.shape[-1]
    bits = int(codes.max(initial=0)).bit_length()
    if bits * levels <= _BITS:
        return codes, np.int64(1) << bits * np.arange(levels)[::-1]
    flat = codes.reshape(-1, codes.shape[-1])
    places = np.unique(flat, axis=0, return_inverse=True)[1].reshape(codes.shape[:-1])
    return np.where(codes[..., 0] < 0, -1, places)[..., None], np.ones(1, np.int64)


def _numbers(digits: NDArray[np.integer], radix: NDArray[np.int64]) -> NDArray[np.int64]:
    """digits @ radix, column by column: integer products have no BLAS."""
    total = np.zeros(len(digits), np.int64)
    for level, place in enumerate(radix):
        total += digits[:, level].astype(np.int64) * place
    return total


def _grouped(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows by ID, in order within one, and where each ID's rows begin.

    IDs and rows are packed into one integer where they fit: numbers sort by vector instructions.
    """
    bits = len(ids).bit_length()
    if int(ids.max(initial=0)).bit_length() + bits <= _BITS:
        packed = np.sort((ids << bits) | np.arange(len(ids)))
        order, ordered = packed & ((1 << bits) - 1), packed >> bits
    else:
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
    return order, np.r_[True, ordered[1:] != ordered[:-1]][: len(ids)].nonzero()[0]


def _ranks(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of every element among those equal to it, in order."""
    order, starts = _grouped(ids)
    ranks = np.empty(len(ids), np.int64)
    ranks[order] = _counted(starts, len(ids))
    return ranks


def _counted(starts: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """0, 1, 2 … anew from each start."""
    return np.arange(rows) - np.repeat(starts, np.diff(starts, append=rows))


def _falling(losses: NDArray[np.floating]) -> NDArray[np.int64]:
    """The order from the largest on; equal ones stay in theirs."""
    order = np.argsort(-losses)  # quick, but not stable: right where no two are equal
    ordered = losses[order]
    if not (ordered[1:] < ordered[:-1]).all():
        order = np.argsort(-losses, kind="stable")
    return order


def _choose(
    digits: NDArray[np.integer],
    radix: NDArray[np.int64],
    errors: NDArray[np.floating] | None,
    capacity: int,
) -> NDArray[np.int64]:
    """The candidate ``[N]`` that every item takes; −1 where all are full."""
    items, beams, _ = digits.shape
    chosen = np.full(items, -1)
    waiting = np.arange(items)
    held = np.empty(0, np.int64)  # the IDs given so far, ascending
    for beam in range(beams):
        asking = waiting[digits[waiting, beam, 0] >= 0]
        if errors is not None and beam + 1 < beams:
            loss = errors[asking, beam + 1].astype(np.float64) - errors[asking, beam]
            loss[digits[asking, beam + 1, 0] < 0] = np.inf
            asking = asking[_falling(loss)]
        wanted = _numbers(digits[asking, beam], radix)
        order, starts = _grouped(wanted)
        ids = wanted[order[starts]]
        taken = np.searchsorted(held, ids, "right") - np.searchsorted(held, ids, "left")
        sizes = np.diff(starts, append=len(order))
        accepted = order[_counted(starts, len(order)) < np.repeat(capacity - taken, sizes)]
        chosen[asking[accepted]] = beam
        waiting = waiting[chosen[waiting] < 0]
        if not len(waiting):
            break
        held = np.sort(np.r_[held, wanted[accepted]], kind="stable")  # of two runs: a merge
    return chosen
