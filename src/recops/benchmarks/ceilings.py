"""Ceilings of the machine: its rates of multiply-adds and of copying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from recops._load import ops
from recops.benchmarks.registry import Thunk

# Much longer than loading evicted code after the previous case, but shorter than a time slice.
FMA_ITERATIONS = 400_000
COPY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Probe:
    """Call that runs at a ceiling; ``work`` counts its float operations, or bytes in and out."""

    run: Thunk
    work: float


def probe(ceiling: Literal["fma", "bandwidth"]) -> Probe:
    """Return a probe to interleave with a measured call, at ``torch.get_num_threads()`` threads.

    ``fma`` runs float32 FMAs on registers at the dispatched instruction set. ``bandwidth`` copies
    64 MiB, more than the caches hold, and counts bytes read and written.
    """
    if ceiling == "fma":
        fma = ops.fma_ceiling
        return Probe(lambda: fma(FMA_ITERATIONS), float(fma(FMA_ITERATIONS)))
    source = torch.ones(COPY_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    return Probe(lambda: target.copy_(source), 2.0 * COPY_BYTES)
