"""The machine's own ceilings: how fast it multiplies and adds, and how fast it copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from recops._load import ops
from recops.benchmarks.registry import Thunk

# Long beside a call that finds its code evicted by the case before, short beside a time slice.
FMA_ITERATIONS = 400_000
COPY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Probe:
    """``run`` does ``work`` units at the ceiling's rate: float operations, or bytes in and out."""

    run: Thunk
    work: float


def probe(ceiling: Literal["fma", "bandwidth"]) -> Probe:
    """A probe to interleave with what is measured, at the current ``torch.get_num_threads()``.

    ``fma`` runs float32 FMAs on registers at the dispatched ISA (about 2.5 ms a call);
    ``bandwidth`` copies 64 MiB, more than the caches hold, and counts bytes read and written.
    """
    if ceiling == "fma":
        fma = ops.fma_ceiling
        return Probe(lambda: fma(FMA_ITERATIONS), float(fma(FMA_ITERATIONS)))
    source = torch.ones(COPY_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    return Probe(lambda: target.copy_(source), 2.0 * COPY_BYTES)
