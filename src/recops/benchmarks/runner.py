"""Run a case: verify, interleave it with its peers and its ceiling, and tell the row."""

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
    """One row of ``bench.json``. ``peers``: a peer's time over ours; above 1, ours is faster.
    ``peak_bytes``: by side, ``"ours"`` and the peers; empty where a case does not ask.
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
    """torch, and faiss where it is imported, on this many threads."""
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
    """Verify, then time for about ``seconds`` a side.

    Raises:
        AssertionError: the case's ``verify`` found ours and a peer to disagree; nothing is timed.
    """
    with thread_count(case.threads):
        case.verify()
        # Apart from the peers: the ceiling's copy would leave cold caches to whoever comes next.
        ceiling = probe(case.ceiling)
        beside_ceiling, ceiling_seconds = interleave(
            case.run, ceiling.run, pairs=rounds, seconds=2 * seconds
        )
        sides = [case.run, *case.peers.values()]
        ours, *peers = interleave_all(sides, rounds=rounds, seconds=seconds * len(sides))
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
        seconds=ours,
        ceiling=case.ceiling,
        ceiling_share=(work / beside_ceiling) / (ceiling.work / ceiling_seconds),
        peers={name: peer / ours for name, peer in zip(case.peers, peers, strict=True)},
        peak_bytes=peaks,
    )
