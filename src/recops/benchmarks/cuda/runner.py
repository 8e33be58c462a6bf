"""Runner of benchmark cases on a CUDA GPU: verification, then timing with warm and cold caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import torch

from recops.benchmarks.cuda.timer import Timer, best_times
from recops.benchmarks.registry import Case, Thunk

_COPIED_BYTES = 2**30
_MATMUL_SIZE = 8192


class CudaRow(TypedDict):
    """Row of a report about a GPU.

    Times are in seconds. The shares are those of the measured ceilings, with cold caches. ``peers``
    and ``cold_peers`` map a peer to its time divided by the op's time; above 1, the op is faster.
    ``failed`` maps a peer that did not run to its error.
    """

    op: str
    shape: str
    dtype: str
    seconds: float
    cold_seconds: float
    matmul_share: float
    bandwidth_share: float
    peers: dict[str, float]
    cold_peers: dict[str, float]
    failed: dict[str, str]


@dataclass(frozen=True)
class Ceilings:
    """Measured limits of a GPU: bytes per second of a copy, and FLOP/s of bfloat16 matmul."""

    bandwidth: float
    matmul: float


def measure_ceilings(
    device: torch.device,
    timer: Timer,
    *,
    copied_bytes: int = _COPIED_BYTES,
    matmul_size: int = _MATMUL_SIZE,
) -> Ceilings:
    """Measure both ceilings. A copy counts the bytes that it reads and writes."""
    source = torch.ones(copied_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    (copy_seconds,) = best_times([lambda: target.copy_(source)], timer, cold=True)
    a = torch.randn(matmul_size, matmul_size, device=device).bfloat16()
    out = torch.empty_like(a)
    (matmul_seconds,) = best_times([lambda: torch.mm(a, a, out=out)], timer, cold=False)
    return Ceilings(2 * copied_bytes / copy_seconds, 2 * matmul_size**3 / matmul_seconds)


def run_cuda_case(case: Case, timer: Timer, ceilings: Ceilings, *, seconds: float = 2.0) -> CudaRow:
    """Verify a case, then time the op and the peers that run.

    Args:
        case: the case, on the device of the timer.
        timer: timer of the device.
        ceilings: measured limits of the device.
        seconds: device time per side, once with warm and once with cold caches.

    Raises:
        AssertionError: ``verify`` found that the op and a peer disagree; nothing is timed.
    """
    case.verify()
    peers, failed = _running(case.peers)
    sides = [case.run, *peers.values()]
    best = {
        cold: best_times(sides, timer, cold=cold, seconds=seconds * len(sides))
        for cold in (False, True)
    }
    ratios = {
        cold: {name: time / own for name, time in zip(peers, others, strict=True)}
        for cold, (own, *others) in best.items()
    }
    cold_seconds = best[True][0]
    return CudaRow(
        op=case.op,
        shape=case.shape + " with backward" * (case.direction == "backward"),
        dtype=case.dtype,
        seconds=best[False][0],
        cold_seconds=cold_seconds,
        matmul_share=case.flops / cold_seconds / ceilings.matmul,
        bandwidth_share=case.bytes / cold_seconds / ceilings.bandwidth,
        peers=ratios[False],
        cold_peers=ratios[True],
        failed=failed,
    )


def _running(peers: Mapping[str, Thunk]) -> tuple[dict[str, Thunk], dict[str, str]]:
    """Call each peer once; return those that run, and the errors of the others."""
    errors = {name: _error_of(peer) for name, peer in peers.items()}
    running = {name: peer for name, peer in peers.items() if errors[name] is None}
    return running, {name: error for name, error in errors.items() if error is not None}


def _error_of(peer: Thunk) -> str | None:
    try:
        peer()
    except Exception as error:  # A peer is another project; any error excludes only the peer.
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return None
