"""Lower bounds on the speed-ups of memory networks."""

from __future__ import annotations

from functools import cache

import pytest

from recops.benchmarks import memory as cases
from recops.benchmarks.peak_memory import peak_bytes

PLAIN, FULL = cases.MIMN
TAOBAO, XLONG = cases.HPMN

mimn_case = cache(cases.mimn_case)  # compiling the peer takes longer than timing it


# In the order of the cases:
#   Zen 4, AVX-512    8.0, 7.2, 3.2, 3.3, 7.4, 6.1.
#   Intel             11.1, 11.9, 5.4, 6.0, 14, 11.9; an eager step takes twice as long as on Zen 4.
#   targets           10, 10, 3.7, 3.7, 8, 8.
# On Zen 4 the scans reach 57 to 78 of the core's 118 GFLOP/s.
@pytest.mark.parametrize(
    ("shape", "backward", "peer", "floor"),
    [
        (PLAIN, False, "eager", 6.8),
        (FULL, False, "eager", 6.1),
        (PLAIN, False, "compile", 2.7),
        (FULL, False, "compile", 2.8),
        (PLAIN, True, "eager", 6.2),
        (FULL, True, "eager", 5.2),
    ],
)
def test_mimn_is_faster_than_its_loop_over_steps(
    shape: tuple[int, int, int, int, str, int], backward: bool, peer: str, floor: float, outruns
) -> None:
    case = mimn_case(*shape, backward=backward, compiled=peer == "compile")
    outruns(case, peer, floor)


# Measured on the Zen 4 core: 9.1 to 10.1, at 1 million events per second.
def test_streaming_is_faster_than_gathering_states(outruns) -> None:
    outruns(cases.stream_case(*cases.STREAM), "gather, step, scatter", 7.7)


# Target 2. Measured on the Zen 4 core, in the order of the cases: 2.8, 4.3, 2.6, 2.9.
@pytest.mark.parametrize(
    ("shape", "backward", "floor"),
    [(TAOBAO, False, 2.4), (XLONG, False, 3.6), (TAOBAO, True, 2.2), (XLONG, True, 2.4)],
)
def test_hpmn_is_faster_than_strided_grus(
    shape: tuple[int, int, int, int, tuple[int, ...]], backward: bool, floor: float, outruns
) -> None:
    outruns(cases.hpmn_case(*shape, backward=backward), "strided nn.GRU", floor)


# Measured: 14 MB and 81 MB at the first shape, 84 MB and 1,041 MB at the second.
@pytest.mark.parametrize("shape", cases.HPMN)
def test_training_hpmn_takes_at_most_half_the_memory_of_strided_grus(
    shape: tuple[int, int, int, int, tuple[int, ...]],
) -> None:
    case = cases.hpmn_case(*shape, backward=True)
    assert 2 * peak_bytes(case.run) <= peak_bytes(case.peers["strided nn.GRU"])


# A subnormal gradient may cost 1.3 times as much per event as a gradient of normal size.
@pytest.mark.parametrize("steps", cases.LAST_STATE_STEPS)
@pytest.mark.parametrize("utilization", ["none", "paper", "code"])
def test_a_loss_on_the_last_output_of_mimn_costs_no_more_than_on_all(
    steps: int, utilization: str, outruns
) -> None:
    outruns(cases.mimn_last_state_case(steps, utilization=utilization), "all outputs", 1 / 1.3)


@pytest.mark.parametrize("steps", cases.LAST_STATE_STEPS[1:])
def test_time_of_hpmn_per_event_does_not_grow_with_the_history(steps: int, outruns) -> None:
    outruns(cases.hpmn_last_state_case(steps), "200 events", 200 / steps / 1.3)
