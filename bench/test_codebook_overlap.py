"""Floors for codebook overlap, each a ratio of interleaved minima in one process."""

from __future__ import annotations

import pytest

from recops.benchmarks import codebook_overlap as cases


@pytest.mark.parametrize("backward", [False, True])
def test_overlap_is_faster_than_the_dense_form(backward: bool, ratio) -> None:
    case = cases.overlap_case(4096, 32, backward=backward)
    assert ratio(case, "dense") >= (2 if backward else 3)


def test_minimum_is_faster_than_the_dense_form(ratio) -> None:
    case = cases.overlap_case(1024, 64, kernel="minimum")
    assert ratio(case, "dense") >= 1.5
