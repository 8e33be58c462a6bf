"""Floors for bags of embedding rows, each a ratio of interleaved minima in one process."""

from __future__ import annotations

import pytest

from recops.benchmarks import embedding as cases
from recops.benchmarks.embedding import Kind

BATCH, LARGE = cases.SHAPES


# Measured on one Zen 4 core, AVX-512: 1.45, 5.3, 1.44, 1.8; 1.31, 7.9, 0.95 (both wait for the
# table, which no cache holds but the last) and 2.0.
@pytest.mark.parametrize(
    ("kind", "shape", "backward", "floor"),
    [
        ("rows", BATCH, False, 1.1),
        ("rows", BATCH, True, 4),
        ("rows", LARGE, False, 1.1),
        ("rows", LARGE, True, 1.35),
        ("sum", BATCH, False, 1),
        ("sum", BATCH, True, 6),
        ("sum", LARGE, False, 0.72),
        ("sum", LARGE, True, 1.5),
    ],
)
def test_look_ups_beside_torchs(
    kind: Kind, shape: tuple[int, int, int, int], backward: bool, floor: float, outruns
) -> None:
    peer = "embedding" if kind == "rows" else "embedding_bag"
    outruns(cases.lookup_case(kind, *shape, backward=backward), peer, floor)


# Measured as above: 16.5 and 10.
@pytest.mark.parametrize(("backward", "floor"), [(False, 12), (True, 7.5)])
def test_padded_sums_are_faster_than_torchs(backward: bool, floor: float, outruns) -> None:
    case = cases.lookup_case("sum", *BATCH, padding_idx=0, backward=backward)
    outruns(case, "embedding_bag", floor)
