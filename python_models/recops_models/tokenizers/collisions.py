"""Resolution of collisions between semantic IDs, by one more level or by next-best IDs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 62
"""Bits of a packed number: those of a non-negative int64, less one for safety."""


def resolve_collisions(
    codes: NDArray[np.integer], *, errors: NDArray[np.floating] | None = None, capacity: int = 1
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return semantic IDs with at most ``capacity`` items per ID.

    ``codes [N, L]`` get one more level. Its code is r // capacity for the r-th item, in row order,
    of those that share an ID; IDs without a collision end in 0.

    ``codes [N, B, L]`` are candidates from :func:`recops.rq_encode_beams`, best first. In round b,
    every item without an ID requests its candidate b. If an ID has too many requests, those with
    the largest ``errors[:, b + 1] − errors[:, b]`` are accepted, then those in lower rows. An
    accepted item keeps its ID. An item whose candidates are all full gets its first candidate,
    beyond the capacity, and is unresolved.

    Args:
        codes: ``[N, L]`` or ``[N, B, L]``; a candidate with a code −1 is missing.
        errors: ``[N, B]``, squared error of each candidate; None: the row order decides.
        capacity: largest number of items per ID, at least 1.

    Returns:
        the codes, ``[N, L + 1]`` or ``[N, L]`` int32, and ``resolved [N]``: whether an item got an
        ID within the capacity. ``codes [N, L]`` are always resolved.

    Raises:
        ValueError: wrong shapes, ``capacity`` < 1, or the first candidate of an item is missing.

    A round takes O(N log N), and later rounds only process items without an ID.

    Source: suffixes as in TIGER (Rajput et al., 2023), section 3.1; candidates under a capacity as
    in the SID tools of TorchEasyRec. The priority within a round is our choice.
    """
    name = "resolve_collisions"
    if capacity < 1:
        raise ValueError(f"{name}: capacity must be at least 1, got {capacity}")
    if codes.ndim not in (2, 3) or (codes.ndim == 3 and codes.shape[1] == 0):
        raise ValueError(f"{name}: codes must be [N, L] or [N, B, L], got {list(codes.shape)}")
    if errors is not None and errors.shape != codes.shape[:2]:
        raise ValueError(
            f"{name}: errors must be {list(codes.shape[:2])}, one per candidate, "
            f"got {list(errors.shape)}"
        )
    candidates = codes[:, None] if codes.ndim == 2 else codes
    if codes.size and codes.min() < 0:
        candidates = np.where((candidates < 0).any(axis=2, keepdims=True), -1, candidates)
        missing = (candidates[:, 0, 0] < 0).nonzero()[0]
        if len(missing):
            raise ValueError(
                f"{name}: the first candidate of item {missing[0]} must have codes from 0, got -1"
            )
    digits, radix = _digits(candidates)
    if codes.ndim == 2:
        suffix = _ranks(_numbers(digits[:, 0], radix)) // capacity
        return np.column_stack([codes, suffix]).astype(np.int32), np.ones(len(codes), np.bool_)
    chosen = _choose(digits, radix, errors, capacity)
    sids = codes[np.arange(len(codes)), np.maximum(chosen, 0)]
    return sids.astype(np.int32), chosen >= 0


def _digits(codes: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Return ``digits […, n]`` and ``radix [n]`` such that ``digits @ radix`` numbers the IDs.

    The digits are the codes if their bits fit into an int64, or else the rank of each ID. The first
    digit of a missing ID is −1.
    """
    levels = codes.shape[-1]
    bits = int(codes.max(initial=0)).bit_length()
    if bits * levels <= _BITS:
        return codes, np.int64(1) << bits * np.arange(levels)[::-1]
    flat = codes.reshape(-1, codes.shape[-1])
    ranks = np.unique(flat, axis=0, return_inverse=True)[1].reshape(codes.shape[:-1])
    return np.where(codes[..., 0] < 0, -1, ranks)[..., None], np.ones(1, np.int64)


def _numbers(digits: NDArray[np.integer], radix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``digits @ radix``, by columns, since integer matrix products are slow in numpy."""
    total = np.zeros(len(digits), np.int64)
    for level, factor in enumerate(radix):
        total += digits[:, level].astype(np.int64) * factor
    return total


def _grouped(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows sorted by ID, in row order within an ID, and the start of each ID.

    ID and row are packed into one integer if they fit, since numpy sorts integers fast.
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
    """Return the rank of each element among its equals, in order."""
    order, starts = _grouped(ids)
    ranks = np.empty(len(ids), np.int64)
    ranks[order] = _counted(starts, len(ids))
    return ranks


def _counted(starts: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Return 0, 1, 2 …, restarting at each start."""
    return np.arange(rows) - np.repeat(starts, np.diff(starts, append=rows))


def _falling(losses: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the indices in descending order of losses; equal losses keep their order."""
    order = np.argsort(-losses)  # fast but unstable: correct if no two losses are equal
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
    """Return the accepted candidate of each item, ``[N]``; −1 if all are full."""
    items, beams, _ = digits.shape
    chosen = np.full(items, -1)
    waiting = np.arange(items)
    assigned = np.empty(0, np.int64)  # IDs so far, ascending
    for beam in range(beams):
        asking = waiting[digits[waiting, beam, 0] >= 0]
        if errors is not None and beam + 1 < beams:
            loss = errors[asking, beam + 1].astype(np.float64) - errors[asking, beam]
            loss[digits[asking, beam + 1, 0] < 0] = np.inf
            asking = asking[_falling(loss)]
        requested = _numbers(digits[asking, beam], radix)
        order, starts = _grouped(requested)
        ids = requested[order[starts]]
        used = np.searchsorted(assigned, ids, "right") - np.searchsorted(assigned, ids, "left")
        sizes = np.diff(starts, append=len(order))
        accepted = order[_counted(starts, len(order)) < np.repeat(capacity - used, sizes)]
        chosen[asking[accepted]] = beam
        waiting = waiting[chosen[waiting] < 0]
        if not len(waiting):
            break
        assigned = np.sort(np.r_[assigned, requested[accepted]], kind="stable")
    return chosen
