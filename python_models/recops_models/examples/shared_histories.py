"""Neighbouring examples of a user whose histories begin with the same event."""

from __future__ import annotations

import numpy as np

from recops_models.data.histories import Int64Array


def shared_histories(
    user: Int64Array, starts: Int64Array, ends: Int64Array, targets: int, max_len: int
) -> tuple[Int64Array, Int64Array]:
    """Runs of examples, each of up to ``targets`` ends of one user's history, and where all
    histories of a run begin: ``max_len`` events before its last end, or with the user.

    A run ends early where its first example would be left with less than half of ``max_len``.
    Examples with one end are of one run. O(N log N).

    Args:
        user: ``[N]``.
        starts: ``[N]``, where the user's history begins.
        ends: ``[N]``, where an example's history ends.
        targets: of a run, at least 1.
        max_len: of a history.

    Returns:
        ``[N]``, runs from 0, by user and then by time; and ``[N]``, where a history begins.
    """
    order = np.lexsort((ends, user))
    user, end = user[order], ends[order]
    new_user = np.diff(user, prepend=-1) != 0
    number = np.cumsum(new_user | (np.diff(end, prepend=-1) != 0))
    first = np.flatnonzero(new_user)[np.cumsum(new_user) - 1]
    part = (number - number[first]) // targets
    stretch = (end - end[first]) // max(1, max_len // 2)
    new_run = new_user | (np.diff(part, prepend=0) != 0) | (np.diff(stretch, prepend=0) != 0)
    run_sorted = np.cumsum(new_run) - 1
    last = np.append(np.flatnonzero(new_run)[1:], len(end)) - 1
    run, begin = np.empty_like(order), np.empty_like(order)
    run[order] = run_sorted
    begin[order] = end[last][run_sorted] - max_len
    return run, np.maximum(starts, begin)
