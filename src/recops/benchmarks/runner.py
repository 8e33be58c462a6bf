"""Runner of benchmark cases: verification, then timing against peers and the ceiling."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

import torch

from recops._load import cpu_isa
from recops.benchmarks.ceilings import probe
from recops.benchmarks.peak_memory import peak_bytes
from recops.benchmarks.registry import Case
from recops.benchmarks.timing import interleave, interleave_all


class Row(TypedDict):
    """Row of ``bench.json``.

    ``peers`` maps a peer to its time divided by the op's time; above 1, the op is faster.
    ``peak_bytes`` maps ``"ours"`` and each peer to peak memory; it is empty if not measured.
    """

    op: str
    shape: str
    dtype: str
    direction: str
    device: str
    isa: str
    threads: int
    seconds: float
    ceiling: str
    ceiling_share: float
    peers: dict[str, float]
    peak_bytes: dict[str, int]


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Run torch, and faiss if it is imported, with this number of threads."""
    before = torch.get_num_threads()
    faiss = sys.modules.get("faiss")
    torch.set_num_threads(threads)
    if faiss is not None:
        faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_case(case: Case, *, rounds: int = 150, seconds: float = 2.0) -> Row:
    """Verify a case, then time each side for about ``seconds``.

    Raises:
        AssertionError: ``verify`` found that the op and a peer disagree; nothing is timed.
    """
    with thread_count(case.threads):
        case.verify()
        # The ceiling is timed separately from the peers: its copy would evict their data.
        ceiling = probe(case.ceiling)
        op_seconds, ceiling_seconds = interleave(
            case.run, ceiling.run, pairs=rounds, seconds=2 * seconds
        )
        sides = [case.run, *case.peers.values()]
        best, *peers = interleave_all(sides, rounds=rounds, seconds=seconds * len(sides))
        named = {"ours": case.run, **case.peers} if case.memory else {}
        peaks = {name: peak_bytes(side) for name, side in named.items()}
    work = case.flops if case.ceiling == "fma" else case.bytes
    return Row(
        op=case.op,
        shape=case.shape,
        dtype=case.dtype,
        direction=case.direction,
        device=case.device,
        isa=cpu_isa(),
        threads=case.threads,
        seconds=best,
        ceiling=case.ceiling,
        ceiling_share=(work / op_seconds) / (ceiling.work / ceiling_seconds),
        peers={name: peer / best for name, peer in zip(case.peers, peers, strict=True)},
        peak_bytes=peaks,
    )
