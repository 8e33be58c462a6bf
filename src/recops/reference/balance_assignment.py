"""Balanced assignment in plain Python; :mod:`recops.ops.balance_assignment` says more."""

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
    """See :func:`recops.balance_assignment`."""
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
            placed = _place_heaviest_first(distances, index, weights, limits)
            repaired = repaired if placed is None else placed
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
    return all(have <= limit for have, limit in zip(load, limits, strict=True))


def _repair(
    distances: list[list[float]],
    index: list[int],
    weights: list[float],
    limits: list[float],
    load: list[float],
) -> list[int]:
    """Codes above capacity give, the others take, in order of regret per unit of weight."""
    index, load = index.copy(), load.copy()
    takers = [code for code, limit in enumerate(limits) if load[code] <= limit]
    queue: list[tuple[float, int, int]] = []  # regret per weight, item, code wanted

    def want(item: int) -> None:
        room = [k for k in takers if load[k] + weights[item] <= limits[k]]
        if room:
            best = min(room, key=lambda k: (distances[item][k], k))
            regret = distances[item][best] - distances[item][index[item]]
            regret = math.inf if math.isnan(regret) else regret  # both distances overflow
            heapq.heappush(queue, (regret / weights[item], item, best))

    for item, code in enumerate(index):
        if code >= 0 and code not in takers and weights[item] > 0:
            want(item)
    while queue:
        _, item, code = heapq.heappop(queue)
        own = index[item]
        if load[own] <= limits[own]:
            continue
        if load[code] + weights[item] > limits[code]:
            want(item)
            continue
        load[own] -= weights[item]
        load[code] += weights[item]
        index[item] = code
    return index


def _place_heaviest_first(
    distances: list[list[float]], index: list[int], weights: list[float], limits: list[float]
) -> list[int] | None:
    """Every item into its nearest code with room, heaviest first; None where one finds none."""
    if max(weights) > max(limits) or math.fsum(weights) > math.fsum(limits) * (1 + 1e-12):
        return None
    index, load = index.copy(), [0.0] * len(limits)
    for item in sorted(range(len(weights)), key=lambda item: -weights[item]):
        if index[item] < 0:
            continue
        room = [k for k, limit in enumerate(limits) if load[k] + weights[item] <= limit]
        if not room:
            return None
        index[item] = min(room, key=lambda k: (distances[item][k], k))
        load[index[item]] += weights[item]
    return index
