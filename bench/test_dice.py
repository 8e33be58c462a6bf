"""Floors for Dice, each a ratio of interleaved minima in one process."""

from __future__ import annotations

from functools import cache

import pytest

from recops.benchmarks import dice as cases

case = cache(cases.dice_case)  # compiling the peer takes longer than to time it

STEP, LARGE = (128, 200), (4096, 200)


# Measured on one Zen 4 core at AVX-512: 2.2 and 2.0, 1.8 and 1.7, 2.6 and 3.2, 1.8 to 2.5 (both
# sides wait for memory) and 2.1; with AVX2 on both sides 2.2 and 2.2, 1.7 and 1.7, 2.7 and 5.1, 2.9
# and 2.8. Two thirds of a small shape's time goes to the calls, most of it to what autograd does of
# any function.
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
