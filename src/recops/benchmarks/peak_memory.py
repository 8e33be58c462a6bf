"""Peak memory of a call."""

from __future__ import annotations

import os

import torch

from recops.benchmarks.registry import Thunk


def peak_bytes(run: Thunk) -> int:
    """Return the peak memory of torch's CPU allocator during ``run``, including its result.

    Earlier allocations do not count. Kernels also allocate a few pages per thread without torch,
    which do not count either. ``run`` is called once before, to exclude compilation.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # Silences the profiler's log.
    run()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        result = run()
    del result
    assert profile.profiler is not None
    results = profile.profiler.kineto_results
    assert results is not None
    allocations = sorted(
        (event.start_ns(), event.nbytes())
        for event in results.events()
        if event.name() == "[memory]"
    )
    allocated = peak = 0
    for _, size in allocations:
        allocated += size
        peak = max(peak, allocated)
    return peak
