"""Floors for co-action, each a ratio of interleaved minima in one process."""

from __future__ import annotations

import pytest

from recops.benchmarks import coaction as cases

# (B, users, T), backward → floors beside eager and torch.compile.
FLOORS = [
    ((128, None, 100), False, 8, 6),
    ((128, None, 100), True, 9, 8),
    ((4096, None, 1), False, 10, 4),
    ((4096, None, 1), True, 20, 6),
]


@pytest.mark.parametrize(("shape", "backward", "eager", "compiled"), FLOORS)
def test_coaction_is_faster_than_the_plain_form(
    shape: tuple[int, None, int], backward: bool, eager: float, compiled: float, outruns
) -> None:
    case = cases.coaction_case(*shape, backward=backward, compiled=True)
    outruns(case, "compile", compiled)
    outruns(case, "eager", eager)
