"""Timing on a CUDA GPU by events, with warm and with cold caches."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Protocol

import torch

from recops.benchmarks.registry import Thunk

_FLUSHED_BYTES = 256 * 2**20
"""Bytes written before a cold run: several times the largest second-level cache."""

_HEAD_START_CYCLES = 2_000_000
"""Cycles that the GPU waits before a timed run, about 1 ms, while the CPU queues the launches."""


class Timer(Protocol):
    """Timer of one call on a device."""

    def seconds(self, run: Thunk, *, cold: bool) -> float:
        """Return the device time of a call in seconds, optionally after emptying the caches."""


def cuda_device(name: str) -> torch.device:
    """Return a CUDA device by name, ``"cuda"`` or ``"cuda:1"``.

    Raises:
        ValueError: the name is not that of a CUDA device, or torch finds no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("cpu")
    if device.type != "cuda":
        raise ValueError(f"bench: device must be cpu, cuda or cuda:i, got {name}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise ValueError(
            f"bench: device {name} does not exist: torch {torch.__version__} finds "
            f"{count or 'no'} CUDA GPU{'s' if count > 1 else ''}"
        )
    return torch.device("cuda", device.index or 0)


class CudaTimer:
    """Timer by CUDA events on the current stream of a device."""

    def __init__(self, device: torch.device) -> None:
        self._flushed = torch.empty(_FLUSHED_BYTES, dtype=torch.uint8, device=device)

    def seconds(self, run: Thunk, *, cold: bool) -> float:
        """Return the time between two events around a call."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        if cold:
            self._flushed.zero_()
        torch.cuda._sleep(_HEAD_START_CYCLES)
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3


def best_times(
    sides: Sequence[Thunk], timer: Timer, *, cold: bool, rounds: int = 50, seconds: float = 2.0
) -> list[float]:
    """Return the shortest device time of each side, run A B C A B C … after one untimed round.

    Timing stops after ``rounds`` rounds, or when the device times add up to ``seconds``, but not
    before three rounds. The garbage collector is off.
    """
    for side in sides:
        side()
    best = [float("inf")] * len(sides)
    total = 0.0
    gc_was_enabled = gc.isenabled()
    gc.disable()
    try:
        for completed in range(rounds):
            if completed >= 3 and total > seconds:
                break
            for index, side in enumerate(sides):
                if not cold:
                    side()  # fills the caches with its data
                time = timer.seconds(side, cold=cold)
                best[index] = min(best[index], time)
                total += time
    finally:
        if gc_was_enabled:
            gc.enable()
    return best
