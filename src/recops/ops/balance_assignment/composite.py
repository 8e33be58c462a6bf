"""Composite of balanced assignment, in rounds of moves.

The kernel moves one item at a time: the one with the least regret. Free capacity only shrinks, so
the nearest code with room stays the nearest until it is full. A round therefore sorts the items by
regret, moves all items before the first whose code has become full, and finds new codes for the
items without room. Each round makes the same moves in the same order as the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from recops.ops._composite import first_index, running_sum_by_row, sum_by_row
from recops.ops._data_checks import DataChecks
from recops.ops._shapes import check_dim, check_shape

_BLOCK_VALUES = 1 << 24
"""Largest number of coordinates of differences between items and codewords per block."""

_WINDOW = 4096
"""Number of items that a round of :func:`_heaviest_first` considers."""


class Problem(NamedTuple):
    """Rows and codewords, and their weights and capacities in the same dtype."""

    x: Tensor
    codebook: Tensor
    weight: Tensor
    capacity: Tensor


NearestOpenCode: TypeAlias = Callable[[Problem, Tensor, Tensor, Tensor], Tensor]
"""Function that returns the nearest open code with room for each item, or −1.

Its arguments are the problem, the items, the loads, and which codes are open.
"""


def repair_assignment(
    x: Tensor, codebook: Tensor, weight: Tensor, capacity: Tensor, nearest: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``recops::repair_assignment``.

    Much slower than a dedicated kernel, and it reads from the device several times per round. With
    equal weights there are at most about K rounds; with different weights there can be many more.
    """
    return repair(x, codebook, weight, capacity, nearest, nearest_with_room)


def nearest_with_room(problem: Problem, items: Tensor, load: Tensor, is_open: Tensor) -> Tensor:
    """Return the nearest open code with room for each item at these loads, or −1."""
    x, codebook, weight, capacity = problem
    codes = []
    block = max(1, _BLOCK_VALUES // max(1, codebook.numel()))
    for some in items.split(block):
        distance = (x[some, None] - codebook).square().sum(2)
        limit = torch.finfo(distance.dtype).max
        fits = is_open & (load + weight[some, None] <= capacity)
        distance = distance.clamp(max=limit).where(fits, torch.inf)
        code = distance.argmin(1)
        has_room = distance.gather(1, code[:, None])[:, 0] < torch.inf
        codes.append(code.where(has_room, -1))
    return torch.cat(codes) if codes else items


def repair(
    x: Tensor,
    codebook: Tensor,
    weight: Tensor,
    capacity: Tensor,
    nearest: Tensor,
    search: NearestOpenCode,
) -> tuple[Tensor, Tensor, Tensor]:
    """Check the arguments and move items, with a function that finds codes with room."""
    op = "balance_assignment"
    check_dim(op, "x", x, 2)
    check_dim(op, "codebook", codebook, 2)
    check_shape(op, "codebook", codebook, len(codebook), x.shape[1])
    check_shape(op, "weight", weight, len(x))
    check_shape(op, "capacity", capacity, len(codebook))
    check_shape(op, "nearest", nearest, len(x))
    checks = DataChecks()
    _check_amounts("weight", weight, checks, unbounded=False)
    _check_amounts("capacity", capacity, checks, unbounded=True)
    size = len(codebook)
    checks.add(
        (nearest < -1) | (nearest >= size),
        lambda wrong: IndexError(
            f"{op}: nearest must be from 0 to {size - 1}, or -1 for none, "
            f"got nearest{wrong} = {int(nearest[wrong[0]])}"
        ),
    )
    checks.read()
    index = nearest.long()
    weight = weight.where(index >= 0, 0)

    problem = Problem(x, codebook, weight, capacity)

    loads = _loads(index, weight, size)
    if not bool((loads <= capacity).all()):
        index = _by_regret(problem, index, search)
        loads = _loads(index, weight, size)
        may_fit = (weight.max() <= capacity.max()) & (weight.sum() <= capacity.sum() * (1 + 1e-12))
        if not bool((loads <= capacity).all()) and bool(may_fit):
            assigned = _heaviest_first(problem, index, search)
            index = index if assigned is None else assigned
            loads = _loads(index, weight, size)
    return index.int(), _rounded(loads, capacity, x.dtype), (loads <= capacity).all()


def _by_regret(problem: Problem, index: Tensor, search: NearestOpenCode) -> Tensor:
    """Move items from codes above capacity to others, by added distance per unit of weight."""
    x, codebook, weight, capacity = problem
    loads = _loads(index, weight, len(codebook))
    is_receiver = loads <= capacity
    index = index.clone()
    items = ((index >= 0) & ~is_receiver[index.clamp(min=0)] & (weight > 0)).nonzero()[:, 0]
    own_distance = _distance(x, codebook, items, index[items])
    target = torch.full_like(items, -1)
    target_distance = torch.full_like(own_distance, torch.nan)
    while len(items):
        codes = target.clamp(min=0)
        is_stale = (target < 0) | (loads[codes] + weight[items] > capacity[codes])
        stale = is_stale.nonzero()[:, 0]
        if len(stale):
            searched = items[stale]
            target[stale] = search(problem, searched, loads, is_receiver)
            target_distance[stale] = _distance(x, codebook, searched, target[stale].clamp(min=0))
        regret = (target_distance - own_distance).to(weight.dtype) / weight[items]
        regret = regret.where(~regret.isnan(), torch.inf)  # both distances overflow: moves last
        by_item = items.argsort()  # ties go to the first item
        order = by_item[regret[by_item].sort(stable=True).indices]
        order = order[target[order] >= 0]
        items, own_distance = items[order], own_distance[order]
        target, target_distance = target[order], target_distance[order]

        own, moved = index[items], weight[items]
        lost = running_sum_by_row(moved[:, None], own, inclusive=False)[:, 0]
        moves = loads[own] - lost > capacity[own]  # the code is still above capacity
        gain = running_sum_by_row(moved.where(moves, 0)[:, None], target)[:, 0]
        is_full = moves & (loads[target] + gain > capacity[target])
        first_full = first_index(is_full)
        cut = len(items) if first_full is None else first_full[0]
        before = moves[:cut]
        going, to = items[:cut][before], target[:cut][before]
        loads = (
            loads
            - _loads(index[going], weight[going], len(loads))
            + _loads(to, weight[going], len(loads))
        )
        index[going] = to
        items, own_distance = items[cut:], own_distance[cut:]
        target, target_distance = target[cut:], target_distance[cut:]
    return index


def _heaviest_first(problem: Problem, index: Tensor, search: NearestOpenCode) -> Tensor | None:
    """Assign items to their nearest code with room, heaviest first; None if one does not fit."""
    weight, capacity = problem.weight, problem.capacity
    order = weight.sort(descending=True, stable=True).indices
    order = order[index[order] >= 0]
    index, loads = index.clone(), torch.zeros_like(capacity)
    while len(order):
        items = order[:_WINDOW]
        target = search(problem, items, loads, torch.ones_like(capacity, dtype=torch.bool))
        if bool(target[0] < 0):
            return None
        codes = target.clamp(min=0)
        gain = running_sum_by_row(weight[items, None], codes)[:, 0]
        full = first_index((target < 0) | (loads[codes] + gain > capacity[codes]))
        cut = len(items) if full is None else full[0]
        assigned = items[:cut]
        index[assigned] = target[:cut]
        loads = loads + _loads(target[:cut], weight[assigned], len(loads))
        order = order[cut:]
    return index


def _distance(x: Tensor, codebook: Tensor, items: Tensor, codes: Tensor) -> Tensor:
    return (x[items] - codebook[codes]).square().sum(1)


def _loads(index: Tensor, weight: Tensor, size: int) -> Tensor:
    return sum_by_row(weight[:, None], index, size)[:, 0]


def _rounded(loads: Tensor, capacity: Tensor, dtype: torch.dtype) -> Tensor:
    """Return loads in ``dtype``; rounding does not raise a load above its capacity."""
    rounded = loads.to(dtype)
    is_raised = (loads <= capacity) & (rounded.to(loads.dtype) > capacity)
    below = torch.nextafter(rounded, torch.full_like(rounded, -torch.inf))
    return torch.where(is_raised, below, rounded)


def _check_amounts(name: str, values: Tensor, checks: DataChecks, *, unbounded: bool) -> None:
    rule = "" if unbounded else "finite and "
    checks.add(
        ~((values >= 0) & (values.isfinite() | unbounded)),
        lambda wrong: ValueError(
            f"balance_assignment: {name} must be {rule}at least 0, "
            f"got {name}{wrong} = {float(values[wrong[0]]):g}"
        ),
    )
