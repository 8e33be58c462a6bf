"""Triton kernels of co-action, for CUDA.

One program computes one candidate. Its weights and a tile of events stay on chip, so only the
inputs and the results go through memory. Sums run in a fixed order, without atomics.

No launcher waits for the device, so a call can be captured in a CUDA graph after one call that
compiles; sparse gradients are the exception, because their sizes depend on data. Networks beyond
the limits of :mod:`.net` use the composite.
"""

from recops.ops.coaction.triton.gradients import (
    coaction_backward,
    coaction_gather_backward,
    coaction_gather_backward_sparse,
    coaction_multi_backward,
)
from recops.ops.coaction.triton.launch import coaction, coaction_gather, coaction_multi

__all__ = [
    "coaction",
    "coaction_backward",
    "coaction_gather",
    "coaction_gather_backward",
    "coaction_gather_backward_sparse",
    "coaction_multi",
    "coaction_multi_backward",
]
