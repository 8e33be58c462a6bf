"""Lower bounds on the speed-ups of codebook overlap."""

from __future__ import annotations

import pytest

from recops.benchmarks import codebook_overlap as cases


@pytest.mark.parametrize("backward", [False, True])
def test_overlap_is_faster_than_the_dense_form(backward: bool, outruns) -> None:
    case = cases.overlap_case(4096, 32, backward=backward)
    outruns(case, "dense", 4)


def test_minimum_is_faster_than_the_dense_form(outruns) -> None:
    case = cases.overlap_case(1024, 64, kernel="minimum")
    outruns(case, "dense", 1.5)
