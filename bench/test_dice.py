"""Lower bounds on the speed-ups of Dice."""

from __future__ import annotations

from functools import cache

import pytest

from recops.benchmarks import dice as cases

case = cache(cases.dice_case)  # compiling the peer takes longer than timing it

STEP, LARGE = (128, 200), (4096, 200)


# In the order of the cases, on one Zen 4 core:
#   AVX-512               2.2, 2.0, 1.8, 1.7, 2.6, 3.2, 1.8 to 2.5 (limited by memory), 2.1.
#   AVX2 on both sides    2.2, 2.2, 1.7, 1.7, 2.7, 5.1, 2.9, 2.8.
# At the small shape two thirds of the time are overhead of the call, mostly that of autograd.
@pytest.mark.parametrize(
    ("shape", "backward", "peer", "floor"),
    [
        (STEP, False, "eager", 1.7),
        (STEP, False, "compile", 1.5),
        (STEP, True, "eager", 1.35),
        (STEP, True, "compile", 1.3),
        (LARGE, False, "eager", 2),
        (LARGE, False, "compile", 2.4),
        (LARGE, True, "eager", 1.5),
        (LARGE, True, "compile", 1.6),
    ],
)
def test_dice_is_faster_than_its_plain_form(
    shape: tuple[int, int], backward: bool, peer: str, floor: float, outruns
) -> None:
    outruns(case(*shape, backward=backward, compiled=True), peer, floor)
