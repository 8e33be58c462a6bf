"""Kernels of ops on CUDA tensors."""

from __future__ import annotations

from collections.abc import Collection

from recops.ops._composite import COMPOSITES
from recops.ops._triton import TRITON_FAMILIES

TRITON: frozenset[str] = frozenset(TRITON_FAMILIES)
"""Ops with a Triton kernel."""


def backends(cuda_ops: Collection[str]) -> dict[str, str]:
    """Return for each op ``"cuda"``, ``"triton"`` or ``"composite"``.

    Args:
        cuda_ops: ops with a kernel in the CUDA library.
    """
    return {op: _backend(op, cuda_ops) for op in sorted({*COMPOSITES, *cuda_ops, *TRITON})}


def _backend(op: str, cuda_ops: Collection[str]) -> str:
    if op in cuda_ops:
        return "cuda"
    return "triton" if op in TRITON else "composite"
