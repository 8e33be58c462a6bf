"""Every public function with tensors runs on the fake device, with the results of the CPU."""

from __future__ import annotations

import pytest
import torch

from device_calls import DeviceCall
from fake_device import DEVICE, varying_sums
from public_calls import CALLS, Call

CALLS_WITH_TENSORS = [
    call for call in CALLS if "SidCatalog" not in call.name and call.name != "SidTrie.from_sids"
]


@pytest.mark.parametrize("call", CALLS_WITH_TENSORS, ids=lambda call: call.name)
def test_results_and_gradients_equal_those_of_the_cpu(call: Call) -> None:
    results, gradients = DeviceCall(call, torch.device("cpu")).run()
    with varying_sums() as sums:
        there, gradients_there = DeviceCall(call, DEVICE).run()
    assert sums == []
    # The tolerance of the op's tests: this write sharpens weights to powers of up to 84.
    is_sharp = call.arguments.get("utilization") == "code"
    tolerance = {"rtol": 2e-4, "atol": 2e-4} if is_sharp else {}
    for actual, expected in zip([*there, *gradients_there], [*results, *gradients], strict=True):
        assert actual.device == DEVICE
        torch.testing.assert_close(actual.detach().cpu(), expected.detach(), **tolerance)
