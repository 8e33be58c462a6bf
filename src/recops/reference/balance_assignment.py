"""Reference of balanced assignment in plain Python; see :mod:`recops.ops.balance_assignment`."""

from __future__ import annotations

import heapq
import math

import torch
from torch import Tensor

from recops._dtypes import widened
from recops.reference.residual_quantization import nearest_codes


def balance_assignment(
    x: Tensor, codebook: Tensor, weight: Tensor, capacity: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute :func:`recops.balance_assignment` in plain Python."""
    x, codebook = widened(x), widened(codebook)
    distances = (x[:, None] - codebook).square().sum(2).tolist()  # (N, K)
    limits = torch.as_tensor(capacity, dtype=torch.float64).expand(len(codebook)).tolist()
    index = nearest_codes(x, codebook)[0][:, 0].tolist()
    weights = [w if code >= 0 else 0.0 for w, code in zip(weight.tolist(), index, strict=True)]
    load = _loads(index, weights, len(limits))
    if not _within(load, limits):
        repaired = _repair(distances, index, weights, limits, load)
        load = _loads(repaired, weights, len(limits))
        if not _within(load, limits):
            by_weight = _assign_heaviest_first(distances, index, weights, limits)
            repaired = repaired if by_weight is None else by_weight
            load = _loads(repaired, weights, len(limits))
        index = repaired
    return (
        torch.tensor(index, dtype=torch.int32),
        torch.tensor(load, dtype=x.dtype),
        torch.tensor(_within(load, limits)),
    )


def _loads(index: list[int], weights: list[float], size: int) -> list[float]:
    load = [0.0] * size
    for code, weight in zip(index, weights, strict=True):
        if code >= 0:
            load[code] += weight
    return load


def _within(load: list[float], limits: list[float]) -> bool:
    return all(actual <= limit for actual, limit in zip(load, limits, strict=True))


def _repair(
    distances: list[list[float]],
    index: list[int],
    weights: list[float],
    limits: list[float],
    load: list[float],
) -> list[int]:
    """Move items from codes above capacity to other codes, by regret per unit of weight."""
    index, load = index.copy(), load.copy()
    receivers = [code for code, limit in enumerate(limits) if load[code] <= limit]
    queue: list[tuple[float, int, int]] = []  # regret per weight, item, new code

    def propose(item: int) -> None:
        """Queue the move of an item to its nearest code with room."""
        with_room = [k for k in receivers if load[k] + weights[item] <= limits[k]]
        if with_room:
            best = min(with_room, key=lambda k: (distances[item][k], k))
            regret = distances[item][best] - distances[item][index[item]]
            regret = math.inf if math.isnan(regret) else regret  # both distances overflow
            heapq.heappush(queue, (regret / weights[item], item, best))

    for item, code in enumerate(index):
        if code >= 0 and code not in receivers and weights[item] > 0:
            propose(item)
    while queue:
        _, item, code = heapq.heappop(queue)
        old_code = index[item]
        if load[old_code] <= limits[old_code]:
            continue
        if load[code] + weights[item] > limits[code]:
            propose(item)
            continue
        load[old_code] -= weights[item]
        load[code] += weights[item]
        index[item] = code
    return index


def _assign_heaviest_first(
    distances: list[list[float]], index: list[int], weights: list[float], limits: list[float]
) -> list[int] | None:
    """Assign items to their nearest code with room, heaviest first; None if one finds no room."""
    if max(weights) > max(limits) or math.fsum(weights) > math.fsum(limits) * (1 + 1e-12):
        return None
    index, load = index.copy(), [0.0] * len(limits)
    for item in sorted(range(len(weights)), key=lambda item: -weights[item]):
        if index[item] < 0:
            continue
        with_room = [k for k, limit in enumerate(limits) if load[k] + weights[item] <= limit]
        if not with_room:
            return None
        index[item] = min(with_room, key=lambda k: (distances[item][k], k))
        load[index[item]] += weights[item]
    return index
