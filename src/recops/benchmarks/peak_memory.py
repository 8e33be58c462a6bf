"""How much memory a call holds at its worst."""

from __future__ import annotations

import os

import torch

from recops.benchmarks.registry import Thunk


def peak_bytes(run: Thunk) -> int:
    """The most that torch's CPU allocator had given out at once in ``run``, its result included.

    What was there before does not count, nor what a kernel allocates past torch: scratch of a few
    pages a thread. Runs once before, so that nothing is compiled in between.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # The profiler would tell of itself.
    run()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        kept = run()
    del kept
    assert profile.profiler is not None
    results = profile.profiler.kineto_results
    assert results is not None
    given = sorted(
        (event.start_ns(), event.nbytes())
        for event in results.events()
        if event.name() == "[memory]"
    )
    held = most = 0
    for _, size in given:
        held += size
        most = max(most, held)
    return most
