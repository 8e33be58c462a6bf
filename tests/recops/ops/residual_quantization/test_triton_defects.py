"""Planted defects in the Triton kernels: the interpreted tests must notice every one."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton_defects import Defect, assert_changes_the_source, assert_noticed

FAMILY = "residual_quantization"
TESTS = Path(__file__).parent / "interpreted_triton.py"

DEFECTS: dict[str, Defect] = {
    "tail of codewords not masked": Defect(
        "kernels/scan.py",
        "tl.where(is_column[None, :], lower, _NO_SCORE)",
        "lower",
    ),
    "level starts one codeword late": Defect(
        "kernels/scan.py",
        "(start + columns)[None, :] * padded_dim",
        "(start + 1 + columns)[None, :] * padded_dim",
    ),
    "earlier level starts one codeword late": Defect(
        "kernels/residuals.py",
        "tl.load(starts_ptr + earlier) + tl.maximum(code, 0)",
        "tl.load(starts_ptr + earlier) + 1 + tl.maximum(code, 0)",
    ),
    "equal pair resolves to the higher code": Defect(
        "kernels/exact.py",
        "tl.where(is_equal, one < two, one_score < two_score)",
        "tl.where(is_equal, one > two, one_score < two_score)",
    ),
    "equal scores resolve to the highest code": Defect(
        "kernels/exact.py",
        "key = (_sortable(best).to(tl.int64) << 32) | code.to(tl.int64)",
        "key = (_sortable(best).to(tl.int64) << 32) | (4095 - code).to(tl.int64)",
    ),
    "bound too small": Defect(
        "kernels/residuals.py",
        "tl.where(is_usable, bound * _SLACK,",
        "tl.where(is_usable, bound * 0.25,",
    ),
    "rounding of the rows not in the bound": Defect(
        "kernels/residuals.py",
        " + lost_norm * _SLACK",
        "",
    ),
    "half norms without the shift": Defect(
        "kernels/half_norms.py",
        "value.to(tl.float32) - tl.load(shift_ptr + d)",
        "value.to(tl.float32) - 0 * tl.load(shift_ptr + d)",
    ),
    "norm of the codewords not scaled": Defect(
        "codewords.py",
        "scaled_halves[own] = halves[own] * scale * scale",
        "scaled_halves[own] = halves[own]",
    ),
    "third candidate dropped in a merge": Defect(
        "kernels/scan.py",
        "tl.minimum(tl.where(is_b, b3, a3), tl.where(is_b, a2, b2))",
        "tl.where(is_b, b3, a3)",
    ),
    "columns of a tile counted from the first tile": Defect(
        "kernels/scan.py",
        "return first_column + (value",
        "return 0 * first_column + (value",
    ),
    "keys not reset": Defect(
        "kernels/exact.py",
        "tl.full([BLOCK_ROWS], _NO_KEY, tl.int64)",
        "key",
    ),
    "list longer than the programs not finished": Defect(
        "kernels/exact.py",
        "stride = tl.num_programs(0) * BLOCK_ROWS",
        "stride = count + 1",
    ),
    "codewords not shifted": Defect(
        "kernels/exact.py",
        "return tile.to(tl.float32) - shift[None, :]",
        "return tile.to(tl.float32)",
    ),
    "rows not shifted": Defect(
        "kernels/residuals.py",
        "return row, residual - tl.load(shift_ptr",
        "return row, residual - 0 * tl.load(shift_ptr",
    ),
    "rows with a NaN not refused": Defect(
        "kernels/residuals.py",
        "is_finite = (row_excess == 0) & ",
        "is_finite = ",
    ),
    "tail of rows not masked": Defect(
        "kernels/scan.py",
        "is_pair = is_pair & is_row",
        "is_pair = is_pair",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_source(name: str) -> None:
    assert_changes_the_source(FAMILY, DEFECTS[name])


@pytest.mark.full
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_noticed(name: str, tmp_path: Path) -> None:
    assert_noticed(FAMILY, DEFECTS[name], TESTS, tmp_path)
