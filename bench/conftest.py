"""What the gates share: floors on ratios of interleaved minima, which pytest-benchmark reports."""

from __future__ import annotations

import math

import pytest
import torch

import recops
from recops.benchmarks.registry import Case, Thunk
from recops.benchmarks.runner import thread_count
from recops.benchmarks.timing import interleave

# Other work on the machine only ever adds time, so minima over more runs come closer to what the
# code takes: a case that misses its floor is measured further; a slower kernel keeps missing it.
# A series is never so short that a peer disturbed in all of its runs could pass a case.
SERIES = 6
PAIRS = 12


@pytest.fixture
def outruns(benchmark):
    """Asserts that a peer takes at least ``floor`` times as long as the case.

    The peer goes by its name in the case, or is any callable. Returns the ratio.
    """

    def check(case: Case, peer: str | Thunk, floor: float) -> float:
        peer = case.peers[peer] if isinstance(peer, str) else peer
        ours = theirs = math.inf
        with thread_count(case.threads):
            case.verify()
            for _ in range(SERIES):
                run, beside = interleave(case.run, peer, pairs=150, seconds=2.5, at_least=PAIRS)
                ours, theirs = min(ours, run), min(theirs, beside)
                if theirs >= floor * ours:
                    break
            benchmark.pedantic(case.run, rounds=3)
        ratio = theirs / ours
        benchmark.extra_info.update(
            ratio=ratio,
            isa=recops.cpu_isa(),
            threads=case.threads,
            torch=torch.__version__,
            shape=case.shape,
        )
        assert ratio >= floor
        return ratio

    return check
