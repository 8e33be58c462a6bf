"""Lower bounds on the speed-ups of co-action."""

from __future__ import annotations

from functools import cache

import pytest

from recops.benchmarks import coaction as cases

case = cache(cases.coaction_case)  # compiling the peer takes longer than timing it

HISTORIES, SINGLE = (128, None, 100), (4096, None, 1)


# In the order of the cases, on a quiet Zen 4 core:
#   AVX-512               8.4, 5.6, 5.5, 3.7, 5.3, 1.8, 5.3, 1.5.
#   AVX2 on both sides    10, 5.4, 6.5, 3.6, 7.1, 1.8, 5.0, 1.36.
#   targets               8, 6, 9, 8, 10, 4, 20, 6.
# On a busy machine the peer slows down most, and ratios are up to 1.5 times as high.
@pytest.mark.parametrize(
    ("shape", "backward", "peer", "floor"),
    [
        (HISTORIES, False, "eager", 7),
        (HISTORIES, False, "compile", 4.8),
        (HISTORIES, True, "eager", 5),
        (HISTORIES, True, "compile", 3.2),
        (SINGLE, False, "eager", 4.7),
        (SINGLE, False, "compile", 1.55),
        (SINGLE, True, "eager", 4.3),
        (SINGLE, True, "compile", 1.2),
    ],
)
def test_coaction_is_faster_than_the_plain_form(
    shape: tuple[int, None, int], backward: bool, peer: str, floor: float, outruns
) -> None:
    outruns(case(*shape, backward=backward, compiled=True), peer, floor)
