"""Floors for balanced assignment, each a ratio of interleaved minima in one process."""

from __future__ import annotations

import pytest

from recops.benchmarks import balance_assignment as cases


def test_balancing_takes_few_plain_assignments(outruns) -> None:
    case = cases.balance_case(*cases.SHAPES[0])
    outruns(case, "nearest_codes", 1 / 8)


# 100 is asked: 111 to 113 behind the peer, whose sixth of a second leaves nothing of ours in the
# caches, and 152 where each side has just run (one Zen 5 core).
def test_an_iteration_is_faster_than_min_cost_flow(outruns) -> None:
    pytest.importorskip("k_means_constrained")
    case = cases.iteration_case(*cases.CONSTRAINED_SHAPE)
    outruns(case, "k-means-constrained", 100)
