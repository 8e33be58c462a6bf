"""Kernels of ops on CUDA tensors, and the reasons why some ops have none."""

from __future__ import annotations

from collections.abc import Collection

from recops.ops._composite import COMPOSITES
from recops.ops._triton import TRITON_FAMILIES

TRITON: frozenset[str] = frozenset(TRITON_FAMILIES)
"""Ops with a Triton kernel."""

NO_LIBRARY = "its kernel is in the CUDA library, which this build lacks"

_ELEMENTWISE = "a few elementwise torch ops, which torch.compile fuses"
_OF_KERNELS = "calls ops with kernels, and a few elementwise torch ops"
_PRIMITIVE = "a few torch ops on small tensors; the scans contain their own"

WITHOUT_KERNEL: dict[str, str] = {
    "code_flips": "a diagnosis: noise by elementwise torch ops, and matrix products",
    "cosine_nearest_codes": _OF_KERNELS,
    "cosine_rq_encode": _OF_KERNELS,
    "dice": _ELEMENTWISE,
    "dice_backward": _ELEMENTWISE,
    "memory_address": _PRIMITIVE,
    "memory_covariance": _PRIMITIVE,
    "memory_read": _PRIMITIVE,
    "memory_rows": "a comparison and a copy of the rows",
    "memory_utilization": _PRIMITIVE,
    "memory_write": _PRIMITIVE,
    "next_event_loss": "its time is in the matrix products, which torch computes",
    "next_event_loss_backward": _ELEMENTWISE,
    "pack_codes": _ELEMENTWISE,
    "straight_through": _OF_KERNELS,
    "straight_through_backward": _OF_KERNELS,
    "unpack_codes": _ELEMENTWISE,
}
"""Reason of each op without a kernel. Remove an op here when it gets one: a test compares them."""


def backends(cuda_ops: Collection[str]) -> dict[str, str]:
    """Return for each op ``"cuda"``, ``"triton"`` or ``"composite"``.

    Args:
        cuda_ops: ops with a kernel in the CUDA library.
    """
    ops = {*COMPOSITES, *cuda_ops, *TRITON, *WITHOUT_KERNEL}
    return {op: _backend(op, cuda_ops) for op in sorted(ops)}


def reasons(cuda_ops: Collection[str]) -> dict[str, str]:
    """Return the reason of each op without a kernel.

    Args:
        cuda_ops: ops with a kernel in the CUDA library; empty if the library was not built.
    """
    return {
        op: WITHOUT_KERNEL.get(op, NO_LIBRARY)
        for op, backend in backends(cuda_ops).items()
        if backend == "composite"
    }


def _backend(op: str, cuda_ops: Collection[str]) -> str:
    if op in cuda_ops:
        return "cuda"
    return "triton" if op in TRITON else "composite"
