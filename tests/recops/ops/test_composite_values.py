"""Composites agree with the CPU kernels where the op tests compare bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from implementations import composites_on_cpu

Case = Callable[[], Sequence[Tensor]]
CASES: dict[str, Case] = {}


def add_case(name: str, function: Callable[..., Sequence[Tensor]], **options: Any) -> None:
    CASES[f"{name}-{'-'.join(map(str, options.values()))}"] = lambda: function(**options)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).to(dtype)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_kernel(name: str) -> None:
    expected = CASES[name]()
    with composites_on_cpu():
        actual = CASES[name]()
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5, equal_nan=True)


# ---- Noise of flips, and moves between codes


def code_flip_rate(seed: int) -> list[Tensor]:
    x = normal(50, 8)
    x[7] = torch.nan
    sigma = torch.tensor([0.3, 0.2, 0.4])
    return [recops.code_flip_rate(x, normal(3, 16, 8), sigma, samples=8, seed=seed)]


def balance_assignment(slack: float) -> tuple[Tensor, Tensor, Tensor]:
    x, codebook, weight = normal(300, 4), normal(12, 4), normal(300).abs() + 0.1
    return recops.balance_assignment(x, codebook, weight, float(weight.sum()) / 12 * slack)


for seed in (7, -5):
    add_case("code_flip_rate", code_flip_rate, seed=seed)
for slack in (1.05, 1.3, 2.0):
    add_case("balance_assignment", balance_assignment, slack=slack)


# ---- Memory networks

HPMN = recops.HpmnParams.random(input_size=6, hidden_size=5, num_slots=3)
MIMN = recops.MimnParams.random(input_size=6, hidden_size=5, num_slots=4)
ROWS = torch.tensor([3, 1, 3, 3, 0])


def hpmn_step() -> list[Tensor]:
    pool = recops.HpmnState(normal(5, 3, 5), torch.arange(5))
    recops.hpmn_step_(pool, ROWS, normal(5, 6), HPMN, periods=[1, 2, 4])
    return [pool.memory, pool.count]


def mimn_step(utilization: Any) -> list[Tensor]:
    pool = recops.MimnState.zeros(MIMN, 5)
    recops.mimn_step_(pool, ROWS, normal(5, 6), MIMN, utilization=utilization)
    read = recops.mimn_read(pool, ROWS, normal(5, 6), MIMN, utilization=utilization)
    return [*pool.floats(), pool.count, *read]


add_case("hpmn_step", hpmn_step)
for utilization in ("none", "paper", "code"):
    add_case("mimn_step", mimn_step, utilization=utilization)
