"""Fixture of the speed tests: lower bounds on ratios of minima of interleaved runs."""

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

# Other work on the machine can only add time, so minima over more runs are closer to the true time.
# A case below its floor is therefore measured again, up to SERIES times; a slow kernel stays below.
# A case above its floor is measured once, so a series of a slow peer has few runs.
SERIES = 8
PAIRS = 4
WARM = 4

# The floors in the tests are for AMD's Zen cores. intel.json has other floors for tests whose ratio
# on a quiet Intel core is near that floor or below: 85 % of the ratio there.
_CPUS = Path("/proc/cpuinfo")
_INTEL: dict[str, float] = json.loads(Path(__file__).with_name("intel.json").read_text())["floors"]
MACHINE_FLOORS = _INTEL if _CPUS.exists() and "GenuineIntel" in _CPUS.read_text() else {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--leeway",
        type=float,
        default=0.0,
        help="share by which a ratio may be below its floor, for shared cores",
    )


pytest_plugins = ["cpu_seconds", "repeated"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark every test here: all of them measure times."""
    for item in items:
        item.add_marker(pytest.mark.timing)


@pytest.fixture
def outruns(benchmark, request):
    """Return a function that asserts a lower bound on the time of a peer divided by the case's.

    Its arguments are the case, the peer (a name in the case, or a callable), the lower bound
    ``floor``, which :data:`MACHINE_FLOORS` may replace, and ``warm``. By default the two sides
    alternate, so each finds the other's data in the caches. With ``warm`` each side runs several
    times in a row and finds its own data, as in a training loop. The function returns the ratio.
    """

    def check(case: Case, peer: str | Thunk, floor: float, *, warm: bool = False) -> float:
        peer = case.peers[peer] if isinstance(peer, str) else peer
        floor = MACHINE_FLOORS.get(request.node.nodeid.rpartition("/")[2], floor)
        floor *= 1 - request.config.getoption("leeway")
        turn = WARM if warm else 1  # runs of each side in a row
        case_time = peer_time = math.inf
        with thread_count(case.threads):
            case.verify()
            for _ in range(SERIES):
                sides = [case.run] * turn + [peer] * turn
                times = interleave_all(sides, rounds=150, seconds=0.3, at_least=PAIRS)
                case_time = min(case_time, *times[:turn])
                peer_time = min(peer_time, *times[turn:])
                if peer_time >= floor * case_time:
                    break
            benchmark.pedantic(case.run, rounds=3)
        ratio = peer_time / case_time
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
