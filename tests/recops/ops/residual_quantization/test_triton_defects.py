"""Planted defects in the Triton kernels: the interpreted tests must notice every one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

import recops

FOLDER = Path(__file__).parent
KERNELS = Path(recops.__path__[0]) / "ops" / "residual_quantization" / "triton"

DEFECTS: dict[str, tuple[str, str, str]] = {
    "tail of codewords not masked": (
        "kernels/scan.py",
        "tl.where(is_column[None, :], lower, _NO_SCORE)",
        "lower",
    ),
    "level starts one codeword late": (
        "kernels/scan.py",
        "(start + columns)[None, :] * padded_dim",
        "(start + 1 + columns)[None, :] * padded_dim",
    ),
    "earlier level starts one codeword late": (
        "kernels/residuals.py",
        "tl.load(starts_ptr + earlier) + tl.maximum(code, 0)",
        "tl.load(starts_ptr + earlier) + 1 + tl.maximum(code, 0)",
    ),
    "equal pair resolves to the higher code": (
        "kernels/exact.py",
        "tl.where(is_equal, one < two, one_score < two_score)",
        "tl.where(is_equal, one > two, one_score < two_score)",
    ),
    "equal scores resolve to the highest code": (
        "kernels/exact.py",
        "key = (_sortable(best).to(tl.int64) << 32) | code.to(tl.int64)",
        "key = (_sortable(best).to(tl.int64) << 32) | (4095 - code).to(tl.int64)",
    ),
    "bound too small": (
        "kernels/residuals.py",
        "tl.where(is_usable, bound * _SLACK,",
        "tl.where(is_usable, bound * 0.25,",
    ),
    "rounding of the rows not in the bound": (
        "kernels/residuals.py",
        " + lost_norm * _SLACK",
        "",
    ),
    "norm of the codewords not scaled": (
        "codewords.py",
        "scaled_halves[own] = halves[own] * scale * scale",
        "scaled_halves[own] = halves[own]",
    ),
    "third candidate dropped in a merge": (
        "kernels/scan.py",
        "tl.minimum(tl.where(is_b, b3, a3), tl.where(is_b, a2, b2))",
        "tl.where(is_b, b3, a3)",
    ),
    "columns of a tile counted from the first tile": (
        "kernels/scan.py",
        "return first_column + (value",
        "return 0 * first_column + (value",
    ),
    "keys not reset": (
        "kernels/exact.py",
        "tl.full([BLOCK_ROWS], _NO_KEY, tl.int64)",
        "key",
    ),
    "list longer than the programs not finished": (
        "kernels/exact.py",
        "stride = tl.num_programs(0) * BLOCK_ROWS",
        "stride = count + 1",
    ),
    "codewords not shifted": (
        "kernels/exact.py",
        "return tile.to(tl.float32) - shift[None, :]",
        "return tile.to(tl.float32)",
    ),
    "rows not shifted": (
        "kernels/residuals.py",
        "return row, residual - tl.load(shift_ptr",
        "return row, residual - 0 * tl.load(shift_ptr",
    ),
    "rows with a NaN not refused": (
        "kernels/residuals.py",
        "is_finite = (row_excess == 0) & ",
        "is_finite = ",
    ),
    "tail of rows not masked": (
        "kernels/scan.py",
        "is_pair = is_pair & is_row",
        "is_pair = is_pair",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_the_source(defect: str) -> None:
    file, correct, wrong = DEFECTS[defect]
    assert correct in (KERNELS / file).read_text()
    assert correct != wrong


@pytest.mark.full
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_noticed(defect: str, tmp_path: Path) -> None:
    file, correct, wrong = DEFECTS[defect]
    changed = tmp_path / "triton"
    shutil.copytree(KERNELS, changed)
    source = (changed / file).read_text()
    (changed / file).write_text(source.replace(correct, wrong))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, "-p", "planted_defect", "interpreted_triton.py"],
        cwd=FOLDER,
        env={**os.environ, "TRITON_INTERPRET": "1", "RECOPS_DEFECT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    # An access out of bounds ends the process by a signal, sometimes before the report.
    assert result.returncode != 0, result.stdout + result.stderr
    assert "1 failed" in result.stdout or result.returncode < 0
