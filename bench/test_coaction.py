"""Floors for co-action, each a ratio of interleaved minima in one process."""

from __future__ import annotations

from functools import cache

import pytest

from recops.benchmarks import coaction as cases

case = cache(cases.coaction_case)  # compiling the peer takes longer than to time it

HISTORIES, SINGLE = (128, None, 100), (4096, None, 1)


# Measured on a quiet Zen 4 core at AVX-512: 9.8 and 5.4, 6.7 and 3.5, 5.9 and 1.6, 4.8 and 1.25;
# aimed at are 8 and 6, 9 and 8, 10 and 4, 20 and 6.
@pytest.mark.parametrize(
    ("shape", "backward", "peer", "floor"),
    [
        (HISTORIES, False, "eager", 7),
        (HISTORIES, False, "compile", 3.8),
        (HISTORIES, True, "eager", 5),
        (HISTORIES, True, "compile", 2.6),
        (SINGLE, False, "eager", 4.5),
        (SINGLE, False, "compile", 1.2),
        (SINGLE, True, "eager", 3.6),
        (SINGLE, True, "compile", 1),
    ],
)
def test_coaction_is_faster_than_the_plain_form(
    shape: tuple[int, None, int], backward: bool, peer: str, floor: float, outruns
) -> None:
    outruns(case(*shape, backward=backward, compiled=True), peer, floor)
