"""Triton kernels of sums by row: interpreted runs, and compilation for two cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from interpreted import assert_interpreted
from recops.benchmarks.cuda.machine_code import recorded_launches
from recops.ops.embedding.triton.row_sums import sum_by_row

FOLDER = Path(__file__).parent


@pytest.fixture(autouse=True)
def _compiled_kernels(tmp_path: Path) -> Iterator[None]:
    """Keep compiled kernels for this test only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path))
        yield


@pytest.mark.slow
def test_kernels_in_the_interpreter() -> None:
    assert_interpreted(FOLDER, "interpreted_row_sums.py")


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_kernels_compile(dtype: torch.dtype, capability: int) -> None:
    rows = torch.zeros(8, dtype=torch.int64)
    with recorded_launches() as launches:
        for dim in (16, 64):  # both entries of the table
            sum_by_row(torch.zeros(8, dim, dtype=dtype), rows, 3, dtype=dtype)
    assert [launch.name for launch in launches] == ["sum_pieces", "sum_rows"] * 2
    for launch in launches:
        code = launch.compile(capability)
        assert code.spills == 0
        assert code.shared <= 48 * 1024
