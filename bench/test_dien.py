"""A floor for a training step of DIEN, a ratio of interleaved minima in one process."""

from __future__ import annotations

import sys
from pathlib import Path

from recops.benchmarks.registry import Case

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from dien_loop import ROWS, Step


# Measured on a quiet Zen 4 core at AVX-512 and at AVX2: 2.3 and 2.4; aimed at is 3.
def test_a_step_is_faster_than_in_plain_torch(outruns) -> None:
    step = Step(100)
    case = Case(
        op="dien_step",
        shape=f"B={ROWS} T=100",
        direction="backward",
        run=step.run,
        peers={"plain": step.run_plain},
        verify=step.verify,
    )
    outruns(case, "plain", 1.9)
