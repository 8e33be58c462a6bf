"""Triton kernel of balanced assignment, for CUDA.

The search for the nearest code with room takes most of the time, and is a kernel. The rounds of
moves around it are torch ops: how many rounds there are depends on the data, so the host reads a
few numbers per round.
"""

from recops.ops.balance_assignment.triton.launch import repair_assignment

__all__ = ["repair_assignment"]
