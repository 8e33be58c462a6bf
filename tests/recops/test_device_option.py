"""The op tests' option ``--device``."""

from __future__ import annotations

import subprocess
import sys

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


def test_ops_run_on_the_device() -> None:
    x, alpha = torch.randn(3, 5), torch.rand(5)
    with ops_on(torch.device("meta")), pytest.raises(NotImplementedError, match="meta tensor"):
        recops.dice(x, alpha)  # the results exist, but have no data to copy to the CPU
    recops.dice(x, alpha)


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
