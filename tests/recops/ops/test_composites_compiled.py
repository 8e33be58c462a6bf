"""Composites of the scans compile into one graph, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from memory_inputs import MimnScan, hpmn_params, hpmn_state
from recops.ops.memory import _mimn
from recops.ops.memory import composite as memory
from recops.ops.recurrent import composite as recurrent
from recurrent_inputs import Scan

Call = tuple[Callable[..., Sequence[Tensor]], tuple[Any, ...]]
"""A composite and its arguments."""


def recurrent_scan() -> tuple[Call, Call]:
    scan = Scan(rows=3, steps=4, hidden=4)
    tensors = [scan.tensors[name] for name in ("gates", "w_hh", "b_hh", "h0", "attention")]
    arguments = (*tensors, scan.keywords["lengths"], None, *scan.form)
    outputs, h_last, saved = recurrent.recurrent_scan(*arguments, "gates")
    grads = torch.randn_like(outputs), torch.randn_like(h_last)
    return (
        (recurrent.recurrent_scan, (*arguments, "gates")),
        (recurrent.recurrent_scan_backward, (*grads, outputs, saved, *arguments)),
    )


def hpmn_scan() -> tuple[Call, Call]:
    params = hpmn_params(3, 4, 2, dtype=torch.float32)
    state = hpmn_state(params, 3, dtype=torch.float32)
    weights = (list(params.w_ih), params.w_hh, params.bias)
    lengths = torch.tensor([5, 0, 3])
    x = torch.randn(3, 5, 3)
    arguments = (x, state.memory, state.count, *weights, [1, 2], lengths, 2)
    result, saved = memory.hpmn_scan(*arguments)
    return (
        (memory.hpmn_scan, arguments),
        (memory.hpmn_scan_backward, (torch.randn_like(result), *arguments, saved)),
    )


def mimn_scan() -> tuple[Call, Call]:
    scan = MimnScan(rows=3, steps=4)
    tensors = _mimn.op_tensors(scan.params, torch.float32).detached()
    arguments = (scan.x, scan.state.floats(), *tensors, scan.lengths, "code", 1, 2)
    outputs, *states, weights, saved = memory.mimn_scan(*arguments)
    grads = [torch.randn_like(tensor) for tensor in (outputs, *states, weights)]
    backward = (grads[0], grads[1:-1], grads[-1], *arguments, saved)
    return (memory.mimn_scan, arguments), (memory.mimn_scan_backward, backward)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scan", "backend"),
    [
        (recurrent_scan, "aot_eager"),
        (recurrent_scan, "inductor"),
        (hpmn_scan, "aot_eager"),
        (mimn_scan, "aot_eager"),
    ],
)
@pytest.mark.parametrize("direction", [0, 1], ids=["forward", "backward"])
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiles_into_one_graph(
    scan: Callable[[], tuple[Call, Call]], backend: str, direction: int
) -> None:
    function, arguments = scan()[direction]
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend=backend)
    for actual, expected in zip(compiled(*arguments), function(*arguments), strict=True):
        torch.testing.assert_close(actual, expected)
