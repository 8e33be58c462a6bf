"""Lower bounds on the speed-ups of embedding look-ups."""

from __future__ import annotations

import pytest

from recops.benchmarks import embedding as cases
from recops.benchmarks.embedding import Optimizer, Reduction

BATCH, LARGE = cases.SHAPES


# Measured on one Zen 4 core at AVX-512, in the order of the cases: 1.18, 4.2, 1.2, 1.65, 1.0, 6.3,
# 0.91 (limited by memory: only the last cache level holds the table) and 2.1. One feature takes 35
# to 190 µs, of which the call of an op for many features takes about 15 to 30.
@pytest.mark.parametrize(
    ("kind", "shape", "backward", "floor"),
    [
        ("rows", BATCH, False, 1),
        ("rows", BATCH, True, 3.6),
        ("rows", LARGE, False, 1),
        ("rows", LARGE, True, 1.35),
        ("sum", BATCH, False, 0.85),
        ("sum", BATCH, True, 5.3),
        ("sum", LARGE, False, 0.72),
        ("sum", LARGE, True, 1.5),
    ],
)
def test_look_ups_reach_their_share_of_torch(
    kind: Reduction, shape: tuple[int, int, int, int], backward: bool, floor: float, outruns
) -> None:
    peer = "embedding" if kind == "rows" else "embedding_bag"
    outruns(cases.lookup_case(kind, *shape, backward=backward), peer, floor)


# Measured as above: 13 and 10.
@pytest.mark.parametrize(("backward", "floor"), [(False, 9.5), (True, 7.5)])
def test_the_features_of_a_model_are_faster_than_torch(
    backward: bool, floor: float, outruns
) -> None:
    outruns(cases.features_case(backward=backward), "torch", floor)


# Measured as above: 13 and 8.8.
@pytest.mark.parametrize(("backward", "floor"), [(False, 12), (True, 7.5)])
def test_padded_sums_are_faster_than_torch(backward: bool, floor: float, outruns) -> None:
    case = cases.lookup_case("sum", *BATCH, padding_idx=0, backward=backward)
    outruns(case, "embedding_bag", floor)


# Measured: 13, 21 and 9.6 where malloc maps a new dense gradient at each step; on two Zen 5 cores,
# where it reuses memory, 2.2, 5.9 and 11.6, or 2.2, 5.9 and 2.95. A dense gradient passes over the
# whole table.
@pytest.mark.parametrize(
    ("optimizer", "floor"), [("sgd", 1.8), ("adagrad", 4.5), ("rowwise_adagrad", 2.5)]
)
def test_updates_are_faster_than_dense_gradients(
    optimizer: Optimizer, floor: float, outruns
) -> None:
    outruns(cases.update_case(optimizer, *LARGE), "dense", floor)
