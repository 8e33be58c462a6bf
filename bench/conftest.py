"""What the gates share: floors on ratios of interleaved minima, which pytest-benchmark reports."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

import recops
from recops.benchmarks.registry import Case, Thunk
from recops.benchmarks.runner import thread_count
from recops.benchmarks.timing import interleave_all

# Other work on the machine only ever adds time, so minima over more runs come closer to what the
# code takes: a case that misses its floor is measured further; a slower kernel keeps missing it.
# A series is never so short that a peer disturbed in all of its runs could pass a case.
SERIES = 15
PAIRS = 12
WARM = 4

# Floors in the tests were measured on AMD's Zen cores. Where a quiet core of another maker keeps a
# ratio that is near its floor or below, 85 % of that ratio is asked for there.
_CPUS = Path("/proc/cpuinfo")
_INTEL: dict[str, float] = json.loads(Path(__file__).with_name("intel.json").read_text())["floors"]
OWN_FLOORS = _INTEL if _CPUS.exists() and "GenuineIntel" in _CPUS.read_text() else {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--leeway",
        type=float,
        default=0.0,
        help="the share by which a ratio may miss its floor, for cores that are shared",
    )


@pytest.fixture
def outruns(benchmark, request):
    """Asserts that a peer takes ``floor`` times as long as the case, or :data:`OWN_FLOORS`.

    ``--leeway`` lowers every floor, for cores whose caches and memory others use as well.
    The peer goes by its name in the case, or is any callable. Each side finds in the caches what
    the other left there, or, ``warm``, as a training step does, what runs of its own left. Returns
    the ratio.
    """

    def check(case: Case, peer: str | Thunk, floor: float, *, warm: bool = False) -> float:
        peer = case.peers[peer] if isinstance(peer, str) else peer
        floor = OWN_FLOORS.get(request.node.nodeid.rpartition("/")[2], floor)
        floor *= 1 - request.config.getoption("leeway")
        turn = WARM if warm else 1  # runs of each side in a row, of which the shortest counts
        ours = theirs = math.inf
        with thread_count(case.threads):
            case.verify()
            for _ in range(SERIES):
                sides = [case.run] * turn + [peer] * turn
                times = interleave_all(sides, rounds=150, seconds=1.0, at_least=PAIRS)
                ours, theirs = min(ours, *times[:turn]), min(theirs, *times[turn:])
                if theirs >= floor * ours:
                    break
            benchmark.pedantic(case.run, rounds=3)
        ratio = theirs / ours
        benchmark.extra_info.update(
            ratio=ratio,
            floor=floor,
            isa=recops.cpu_isa(),
            threads=case.threads,
            torch=torch.__version__,
            shape=case.shape,
        )
        assert ratio >= floor
        return ratio

    return check
