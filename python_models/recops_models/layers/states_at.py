"""States of a recurrence over histories that share their beginnings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

StateT = TypeVar("StateT")


class Write(Protocol[StateT]):
    """Recurrence over the first events of U histories ``[U, T, d]``, from given or empty states.

    Example:
        >>> import torch
        >>> from recops_models.layers.states_at import Write
        >>> def total(events, lengths, state):
        ...     before = 0 if state is None else state
        ...     inside = torch.arange(events.shape[1]) < lengths[:, None]
        ...     return before + (events * inside[..., None]).sum(1)
        >>> write: Write[torch.Tensor] = total
        >>> write(torch.ones(1, 3, 2), torch.tensor([2]), None)
        tensor([[2., 2.]])
    """

    def __call__(self, events: Tensor, lengths: Tensor, state: StateT | None, /) -> StateT: ...


def states_at(write: Write[StateT], events: Tensor, history: Tensor, ends: Tensor) -> StateT:
    """Return the state after the first ``ends[b]`` events of history ``history[b]``, per row b.

    The recurrence reads each history once up to the first of its ends, then continues for every
    row. This takes two calls over ``Σ_u first_u + Σ_b (ends_b − first)`` events instead of
    ``Σ_b ends_b``. The result equals that of reading each row's events alone, bit for bit if the
    recurrence can resume exactly.

    Args:
        write: updates the states of U rows, a pytree of tensors with U rows each.
        events: ``[U, T, d]``, T ≥ 1.
        history: ``[B]`` i64 in [0, U); every history occurs.
        ends: ``[B]`` i64, at most T.

    Example:
        >>> import torch
        >>> from recops_models.layers.states_at import states_at
        >>> def total(events, lengths, state):
        ...     inside = torch.arange(events.shape[1]) < lengths[:, None]
        ...     return (0 if state is None else state) + (events * inside[..., None]).sum(1)
        >>> events = torch.tensor([[[1.0], [2.0], [4.0]]])  # one history
        >>> states_at(total, events, history=torch.tensor([0, 0]), ends=torch.tensor([1, 3]))
        tensor([[1.],
                [7.]])
    """
    users, steps, _ = events.shape
    first = ends.new_full((users,), steps).scatter_reduce(0, history, ends, "amin")
    shared = write(events[:, : max(1, int(first.max()))], first, None)
    starts = first[history]
    remaining = ends - starts
    further = torch.arange(max(1, int(remaining.max())), device=events.device)
    positions = (starts[:, None] + further).clamp(max=steps - 1)
    states = _pytree.tree_map(lambda tensor: tensor.index_select(0, history), shared)
    return write(events[history[:, None], positions], remaining, states)


def states_along(
    read: Callable[[Tensor, Tensor], Tensor], events: Tensor, history: Tensor, ends: Tensor
) -> Tensor:
    """Return the states ``[B, T, h]`` along the first ``ends[b]`` events of history ``history[b]``.

    States past ``ends[b]`` are zero. Each history is read once, up to the last of its ends.

    Args:
        read: maps U histories ``[U, T, d]`` and their lengths to a state after each event.
        events: ``[U, T, d]``.
        history: ``[B]`` i64 in [0, U); every history occurs.
        ends: ``[B]`` i64, at most T.

    Example:
        >>> import torch
        >>> from recops_models.layers.states_at import states_along
        >>> def running_sums(events, lengths):
        ...     return events.cumsum(1)
        >>> events = torch.tensor([[[1.0], [2.0], [4.0]]])  # one history
        >>> ends = torch.tensor([1, 3])
        >>> states_along(running_sums, events, torch.tensor([0, 0]), ends)[..., 0]
        tensor([[1., 0., 0.],
                [1., 3., 7.]])
    """
    users, steps, _ = events.shape
    longest = ends.new_zeros(users).scatter_reduce(0, history, ends, "amax")
    states = read(events, longest).index_select(0, history)
    past = torch.arange(steps, device=ends.device) >= ends[:, None]
    return states.masked_fill(past[..., None], 0)
