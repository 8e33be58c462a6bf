"""Repeated calls do not leak memory."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

import pytest
import torch

import recops
from recurrent_inputs import Scan
from trie_inputs import beams, catalogue


class _Allocated(ctypes.Structure):
    """The struct ``mallinfo2`` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _allocated_bytes() -> int:
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        pytest.skip("this C library does not count what it allocates")
    mallinfo2.restype = _Allocated
    gc.collect()
    actual = mallinfo2()
    return int(actual.uordblks + actual.hblkhd)


def _trie_beam_step() -> Callable[[], object]:
    trie = catalogue(items=500, depth=3, vocab=64).trie
    start = beams(trie, batch=4, width=16, vocab=64)

    def call() -> object:
        return recops.trie_beam_step(start.logits, trie, start.nodes, start.scores, num_beams=16)

    return call


def _recurrent_scan() -> Callable[[], object]:
    scan = Scan(rows=4, steps=3, hidden=8)
    return lambda: scan.gradients(recops)


def _coaction() -> Callable[[], object]:
    feed = torch.randn(2, 5, 4, requires_grad=True)
    params = torch.randn(2, 4 * 3 + 3 * 2, requires_grad=True)
    return lambda: recops.coaction(feed, params, (4, 3, 2)).sum().backward()


def _mimn_scan() -> Callable[[], object]:
    params = recops.MimnParams.random(input_size=3, hidden_size=3, num_slots=2)
    x = torch.randn(1, 2, 3, requires_grad=True)
    return lambda: recops.mimn_scan(x, params)[0].sum().backward()


def _mimn_step() -> Callable[[], object]:
    params = recops.MimnParams.random(input_size=3, hidden_size=3, num_slots=2)
    pool, rows, x = recops.MimnState.zeros(params, 4), torch.tensor([1]), torch.randn(1, 3)

    def call() -> object:
        recops.mimn_step_(pool, rows, x, params, utilization="none")
        torch.ops.recops.memory_rows(rows, 4, "hpmn_read")
        return recops.mimn_read(pool, rows, x, params, utilization="none")

    return call


def _codebook_overlap() -> Callable[[], object]:
    codebook, usage = torch.randn(6, 4), torch.full((6,), 1 / 6)
    return lambda: recops.codebook_overlap(codebook, usage, 1.0)


@pytest.mark.parametrize(
    "make",
    [
        *(_trie_beam_step, _recurrent_scan, _coaction, _codebook_overlap),
        *(_mimn_scan, _mimn_step),
    ],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("calls", [2_000, pytest.param(50_000, marks=pytest.mark.full)])
def test_repeated_calls_do_not_leak_memory(
    make: Callable[[], Callable[[], object]], calls: int
) -> None:
    call = make()
    for _ in range(calls // 4):  # Fill caches and pools first.
        call()
    before = _allocated_bytes()
    for _ in range(calls):
        call()
    grown = _allocated_bytes() - before
    assert grown < 8 * calls + 16_384, f"{grown / calls:.1f} bytes a call"
