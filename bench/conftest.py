"""What the gates share: a ratio of interleaved minima, which pytest-benchmark reports."""

from __future__ import annotations

import pytest
import torch

import recops
from recops.benchmarks.registry import Case, Thunk
from recops.benchmarks.runner import thread_count
from recops.benchmarks.timing import interleave


@pytest.fixture
def ratio(benchmark):
    """A peer's time over the case's; the peer by its name, or any callable."""

    def measure(case: Case, peer: str | Thunk) -> float:
        peer = case.peers[peer] if isinstance(peer, str) else peer
        with thread_count(case.threads):
            case.verify()
            ours, theirs = interleave(case.run, peer, pairs=150, seconds=2.5)
            benchmark.pedantic(case.run, rounds=3)
        benchmark.extra_info.update(
            ratio=theirs / ours,
            isa=recops.cpu_isa(),
            threads=case.threads,
            torch=torch.__version__,
            shape=case.shape,
        )
        return theirs / ours

    return measure
