"""Floors for memory networks, each a ratio of interleaved minima in one process."""

from __future__ import annotations

from functools import cache

import pytest

from recops.benchmarks import memory as cases
from recops.benchmarks.peak_memory import peak_bytes

PLAIN, FULL = cases.MIMN
TAOBAO, XLONG = cases.HPMN

mimn_case = cache(cases.mimn_case)  # compiling the peer takes longer than to time it


# Measured on one quiet Zen 4 core at AVX-512: forward 8.0 and 7.2 times eager, 3.2 and 3.3 times a
# compiled step, training 7.4 and 6.1 times eager. There the scans run at 57 to 78 GFLOP/s of the
# 118 that all multiply-adds would; eager's steps take half of what they take on the Intel core of
# the floors in intel.json (11.1 and 11.9; 5.4 and 6.0; 14 and 11.9). Aimed at are 10, 3.7 and 8.
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


# Measured there: 9.1 to 10.1, a million events a second.
def test_streaming_is_faster_than_gathering_states(outruns) -> None:
    outruns(cases.stream_case(*cases.STREAM), "gather, step, scatter", 7.7)


# Measured there: 2.8 and 4.3, training 2.6 and 2.9. Aimed at is 2.
@pytest.mark.parametrize(
    ("shape", "backward", "floor"),
    [(TAOBAO, False, 2.4), (XLONG, False, 3.6), (TAOBAO, True, 2.2), (XLONG, True, 2.4)],
)
def test_hpmn_is_faster_than_strided_grus(
    shape: tuple[int, int, int, int, tuple[int, ...]], backward: bool, floor: float, outruns
) -> None:
    outruns(cases.hpmn_case(*shape, backward=backward), "strided nn.GRU", floor)


# Measured: 14 MB beside 81, 84 beside 1041.
@pytest.mark.parametrize("shape", cases.HPMN)
def test_hpmn_trains_in_half_the_memory(
    shape: tuple[int, int, int, int, tuple[int, ...]],
) -> None:
    case = cases.hpmn_case(*shape, backward=True)
    assert 2 * peak_bytes(case.run) <= peak_bytes(case.peers["strided nn.GRU"])


# A gradient that becomes subnormal costs at most 1.3 times as much per event as one of normal size.
@pytest.mark.parametrize("steps", cases.LAST_STATE_STEPS)
@pytest.mark.parametrize("utilization", ["none", "paper", "code"])
def test_a_loss_on_mimns_last_output_costs_no_more_than_on_all(
    steps: int, utilization: str, outruns
) -> None:
    outruns(cases.mimn_last_state_case(steps, utilization=utilization), "all outputs", 1 / 1.3)


@pytest.mark.parametrize("steps", cases.LAST_STATE_STEPS[1:])
def test_hpmns_time_per_event_does_not_grow_with_the_history(steps: int, outruns) -> None:
    outruns(cases.hpmn_last_state_case(steps), "200 events", 200 / steps / 1.3)
