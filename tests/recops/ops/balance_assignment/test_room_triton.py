"""Triton kernel of balanced assignment: interpreted runs, compilation, and planted defects."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from interpreted import assert_interpreted
from recops.benchmarks.cuda.machine_code import recorded_launches
from recops.ops.balance_assignment.composite import Problem
from recops.ops.balance_assignment.triton.launch import search
from triton_defects import Defect, assert_changes_the_source, assert_noticed

FAMILY = "balance_assignment"
FOLDER = Path(__file__).parent
TESTS = FOLDER / "interpreted_room.py"

DEFECTS: dict[str, Defect] = {
    "codes past the last have room": Defect(
        "kernels/room.py",
        "is_open = is_code & (tl.load(is_open_ptr + codes, mask=is_code, other=0) != 0)",
        "is_open = tl.load(is_open_ptr + codes, mask=is_code, other=1) != 0",
    ),
    "closed codes have room": Defect(
        "kernels/room.py",
        "fits = is_open[None, :] & ",
        "fits = is_code[None, :] & ",
    ),
    "weights not added to loads": Defect(
        "kernels/room.py",
        "load[None, :] + weight[:, None] <= capacity",
        "load[None, :] + 0 * weight[:, None] <= capacity",
    ),
    "equal distances resolve to the highest tile": Defect(
        "kernels/room.py",
        "is_nearer = least < best",
        "is_nearer = (least <= best) & (least < float('inf'))",
    ),
    "last dimension counted more than once": Defect(
        "kernels/room.py",
        "tl.where(first_dim + offset < dim, item",
        "tl.where(first_dim < dim, item",
    ),
    "distances that overflow have no room": Defect(
        "kernels/room.py",
        "distance = tl.where(total < _LARGEST, total, _LARGEST)",
        "distance = total",
    ),
}


@pytest.mark.slow
def test_kernel_in_the_interpreter() -> None:
    assert_interpreted(FOLDER, TESTS.name)


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


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_source(name: str) -> None:
    assert_changes_the_source(FAMILY, DEFECTS[name])


@pytest.mark.full
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_noticed(name: str, tmp_path: Path) -> None:
    assert_noticed(FAMILY, DEFECTS[name], TESTS, tmp_path)
