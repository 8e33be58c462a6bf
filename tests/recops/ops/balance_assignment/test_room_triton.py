"""Triton kernel of balanced assignment: interpreted runs and compilation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from interpreted import assert_interpreted
from recops.benchmarks.cuda.machine_code import recorded_launches
from recops.ops.balance_assignment.composite import Problem
from recops.ops.balance_assignment.triton.launch import search

FOLDER = Path(__file__).parent


@pytest.mark.slow
def test_kernel_in_the_interpreter() -> None:
    assert_interpreted(FOLDER, "interpreted_room.py")


@pytest.mark.full
def test_op_tests_on_the_interpreted_kernel() -> None:
    chosen = "kernel and not compile and not threads"
    assert_interpreted(FOLDER, "-p", "triton_on_cpu", "-k", chosen, "test_balance_assignment.py")


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_kernel_compiles(capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    numbers = torch.zeros(9).double()
    problem = Problem(torch.zeros(9, 8), torch.zeros(9, 8), numbers, numbers)
    with recorded_launches() as launches:
        search(problem, torch.arange(9), numbers, numbers > 0)
    (launch,) = launches
    code = launch.compile(capability)
    assert code.spills == 0
    assert code.shared <= 48 * 1024
