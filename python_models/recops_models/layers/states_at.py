"""States of a recurrence over histories that begin alike, whose beginning it reads once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

StateT = TypeVar("StateT")


class Write(Protocol[StateT]):
    """From states, or from none, over the first events of each of U histories ``[U, T, d]``."""

    def __call__(self, events: Tensor, lengths: Tensor, state: StateT | None, /) -> StateT: ...


def states_at(write: Write[StateT], events: Tensor, history: Tensor, ends: Tensor) -> StateT:
    """The state after the first ``ends[b]`` events of history ``history[b]``, a row for each b.

    A history is written once up to the first of its ends, and from there for every row by itself:
    two calls, over ``Σ_u first_u + Σ_b (ends_b − first)`` events instead of ``Σ_b ends_b``. What a
    write of each beginning by itself gives, bit for bit where writing goes on as it began.

    Args:
        write: moves the states of U rows; they are a pytree of tensors with U rows each.
        events: ``[U, T, d]``, T at least 1.
        history: ``[B]`` i64, below U, each at least once.
        ends: ``[B]`` i64, at most T.
    """
    users, steps, _ = events.shape
    first = ends.new_full((users,), steps).scatter_reduce(0, history, ends, "amin")
    shared = write(events[:, : max(1, int(first.max()))], first, None)
    begins = first[history]
    rest = ends - begins
    further = torch.arange(max(1, int(rest.max())), device=events.device)
    place = (begins[:, None] + further).clamp(max=steps - 1)
    own = _pytree.tree_map(lambda tensor: tensor.index_select(0, history), shared)
    return write(events[history[:, None], place], rest, own)


def states_along(
    read: Callable[[Tensor, Tensor], Tensor], events: Tensor, history: Tensor, ends: Tensor
) -> Tensor:
    """``[B, T, h]``: the states along the first ``ends[b]`` events of history ``history[b]``, zero
    past them; each history is read once, up to the last of its ends.

    Args:
        read: from U histories ``[U, T, d]`` and their lengths to a state after each event.
        events: ``[U, T, d]``.
        history: ``[B]`` i64, below U, each at least once.
        ends: ``[B]`` i64, at most T.
    """
    users, steps, _ = events.shape
    longest = ends.new_zeros(users).scatter_reduce(0, history, ends, "amax")
    states = read(events, longest).index_select(0, history)
    past = torch.arange(steps, device=ends.device) >= ends[:, None]
    return states.masked_fill(past[..., None], 0)
