"""Planted defects in the Triton kernels of sums by row: the interpreted tests must notice each."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton_defects import Defect, assert_changes_the_source, assert_noticed

FAMILY = "embedding"
TESTS = Path(__file__).parent / "interpreted_row_sums.py"

DEFECTS: dict[str, Defect] = {
    "end of a row not respected": Defect(
        "kernels/row_sums.py",
        "is_entry = is_piece & (begin + i < end)",
        "is_entry = is_piece & (begin + i < end + 1)",
    ),
    "pieces of a row after the first block dropped": Defect(
        "kernels/row_sums.py",
        "for begin in range(0, tl.max(count, 0), BLOCK_PIECES):",
        "for begin in range(0, tl.minimum(tl.max(count, 0), 1), BLOCK_PIECES):",
    ),
    "piece of the next row added": Defect(
        "kernels/row_sums.py",
        "is_piece = at[None, :] < count[:, None]",
        "is_piece = at[None, :] <= count[:, None]",
    ),
    "repeats ignored": Defect(
        "kernels/row_sums.py",
        ".to(tl.int64) // REPEATS",
        ".to(tl.int64) % num_rows",
    ),
    "weights not applied": Defect(
        "kernels/row_sums.py",
        "values = values * weight[:, None]",
        "values = values * 1.0",
    ),
    "entries of no row summed into row 0": Defect(
        "row_sums.py",
        "starts = torch.searchsorted(ordered, all_rows, out_int32=True)",
        "starts = torch.searchsorted(ordered.clamp(min=0), all_rows, out_int32=True)",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_source(name: str) -> None:
    assert_changes_the_source(FAMILY, DEFECTS[name])


@pytest.mark.full
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_noticed(name: str, tmp_path: Path) -> None:
    assert_noticed(FAMILY, DEFECTS[name], TESTS, tmp_path)
