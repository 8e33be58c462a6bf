"""Grouping of a user's consecutive examples whose histories start at the same event."""

from __future__ import annotations

import numpy as np

from recops_models.data.histories import Int64Array


def shared_histories(
    user: Int64Array, starts: Int64Array, ends: Int64Array, targets: int, max_len: int
) -> tuple[Int64Array, Int64Array]:
    """Group examples into runs, and return the run and the start of the history of each.

    A run has up to ``targets`` consecutive distinct ends in one user's history. All histories of a
    run start ``max_len`` events before its last end, or at the user's first event. A run is cut
    short if the history of its first example would have less than half of ``max_len``. Examples
    with the same end are in the same run::

        events    0  1  2  3  4  5  6  7      max_len 4, targets 3
        ends               3  4  5            one run: histories [1, 3), [1, 4), [1, 5)

    O(N log N).

    Args:
        user: ``[N]``.
        starts: ``[N]``, start of the user's events.
        ends: ``[N]``, end of the example's history.
        targets: maximum number of distinct ends per run, at least 1.
        max_len: maximum length of a history.

    Returns:
        ``[N]``, run of each example, from 0, sorted by user and time; and ``[N]``, start of each
        history.
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
