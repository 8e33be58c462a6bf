"""The op tests' option ``--device``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

import recops
from implementations import on_device, ops_on
from recops.ops._composite import composite


def test_a_missing_device_is_one_line() -> None:
    arguments = ["-n", "0", "--device", "cuda:99", "tests/recops/ops/dice/test_dice.py"]
    command = [sys.executable, "-m", "pytest", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in run.stderr.splitlines() if line]
    assert line.startswith("ERROR: --device: cuda:99 is not available (")


CALLS: dict[str, Callable[[], object]] = {
    "dice": lambda: recops.dice(torch.randn(3, 5), torch.rand(5)),
    "rq_encode": lambda: recops.rq_encode(torch.randn(3, 5), torch.randn(2, 4, 5)),
    "cosine": lambda: recops.nearest_codes(torch.randn(3, 5), torch.randn(4, 5), metric="cosine"),
    "straight_through": lambda: recops.straight_through(
        torch.randn(3, 5, requires_grad=True), torch.randn(2, 4, 5)
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_ops_run_on_the_device(name: str) -> None:
    with ops_on(torch.device("meta")), pytest.raises(NotImplementedError, match="meta tensor"):
        CALLS[name]()  # results on meta have no data to copy to the CPU
    CALLS[name]()


def test_changes_of_arguments_come_back() -> None:
    params = recops.HpmnParams.random(input_size=6, hidden_size=5, num_slots=3)
    rows, x = torch.tensor([3, 1]), torch.randn(2, 6)
    pool = recops.HpmnState(torch.zeros(4, 3, 5), torch.zeros(4, dtype=torch.int64))
    recops.hpmn_step_(pool, rows, x, params, periods=[1, 2, 4])
    memory, count = torch.zeros(4, 3, 5), torch.zeros(4, dtype=torch.int64)
    step = on_device("hpmn_step_", torch.device("cpu"), composite("hpmn_step_"))
    step(memory, count, rows, x, list(params.w_ih), params.w_hh, params.bias, [1, 2, 4])
    torch.testing.assert_close(memory, pool.memory)
    assert torch.equal(count, pool.count)
