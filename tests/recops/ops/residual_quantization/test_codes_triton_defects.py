"""Planted defects in the kernels of decoding and sums by code: interpreted tests notice each."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton_defects import Defect, assert_changes_the_source, assert_noticed

FAMILY = "residual_quantization"
TESTS = Path(__file__).parent / "interpreted_codes.py"

DEFECTS: dict[str, Defect] = {
    "codes reach into the next level": Defect(
        "kernels/codes.py",
        "is_word = (code >= 0) & (code < SIZES[level])\n        is_wrong",
        "is_word = (code >= 0) & (code <= SIZES[level])\n        is_wrong",
    ),
    "wrong codes count as no code": Defect(
        "kernels/codes.py",
        "is_wrong = is_wrong | ((code != -1) & ~is_word)",
        "is_wrong = is_wrong | (code < -1)",
    ),
    "levels start at the first codeword": Defect(
        "kernels/codes.py",
        ".to(tl.int64) + STARTS[level]",
        ".to(tl.int64)",
    ),
    "columns past the last read": Defect(
        "kernels/codes.py",
        "mask=is_row[:, None] & is_column[None, :],",
        "mask=is_row[:, None] & (columns <= dim)[None, :],",
    ),
    "gradients of wrong codes added to the next level": Defect(
        "kernels/codes.py",
        "is_word = (code >= 0) & (code < SIZES[level])\n        word = tl.where(is_word, code, 0)"
        ".to(tl.int32)",
        "is_word = code >= 0\n        word = tl.where(is_word, code, 0).to(tl.int32)",
    ),
    "weights after the first block dropped": Defect(
        "kernels/codes.py",
        "for first in range(begin, end, BLOCK_ENTRIES):",
        "for first in range(begin, tl.minimum(end, begin + 1), BLOCK_ENTRIES):",
    ),
    "weights added in float32": Defect(
        "kernels/codes.py",
        "total += weight.to(tl.float32).to(tl.float64)",
        "total = (total + weight).to(tl.float32)",
    ),
    "gradients not repeated per level": Defect(
        "codes.py",
        "sum_sorted(grad, _sort(codes, sizes), repeats=len(sizes), dtype=grad.dtype)",
        "sum_sorted(grad.repeat(len(sizes), 1), _sort(codes, sizes), dtype=grad.dtype)",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_source(name: str) -> None:
    assert_changes_the_source(FAMILY, DEFECTS[name])


@pytest.mark.full
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_noticed(name: str, tmp_path: Path) -> None:
    assert_noticed(FAMILY, DEFECTS[name], TESTS, tmp_path)
