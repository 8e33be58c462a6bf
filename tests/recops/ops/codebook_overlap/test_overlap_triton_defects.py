"""Planted defects in the Triton kernels of codebook overlap: the interpreted tests notice each."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton_defects import Defect, assert_changes_the_source, assert_noticed

FAMILY = "codebook_overlap"
TESTS = Path(__file__).parent / "interpreted_overlap.py"

DEFECTS: dict[str, Defect] = {
    "codewords past the last counted": Defect(
        "kernels/pairs.py",
        "tl.where(is_other[None, :], overlap * value[None, :], 0.0)",
        "overlap * value[None, :] + tl.where(is_other, 0.0, 1.0)[None, :]",
    ),
    "codewords of the next split counted": Defect(
        "kernels/pairs.py",
        "range(begin, tl.minimum(begin + SPLIT, size), BLOCK_OTHERS)",
        "range(begin, tl.minimum(begin + SPLIT + 1, size), BLOCK_OTHERS)",
    ),
    "gradient of one side of a pair": Defect(
        "kernels/pairs.py",
        " + own_usage[:, None] * grad[None, :]",
        "",
    ),
    "forces of a block at the codebook's first codewords": Defect(
        "kernels/pairs.py",
        "    rows = first + local\n",
        "    rows = local\n",
    ),
    "last codeword of a split counted twice": Defect(
        "kernels/pairs.py",
        "force = tl.where(start + offset < end, force, 0.0)",
        "force = tl.where(start + offset <= end, force, 0.0)",
    ),
    "gradients of all splits in the first": Defect(
        "kernels/pairs.py",
        "split = tl.program_id(2).to(tl.int64) * size * dim",
        "split = tl.program_id(2).to(tl.int64) * 0",
    ),
    "slope of the minimum not zero at the cusp": Defect(
        "kernels/overlap.py",
        "slope = tl.where(is_equal, 0.0, slope * (_TWO_OVER_ROOT_PI * scale))",
        "slope = slope / tl.where(is_equal, 0.0, 1.0) * (_TWO_OVER_ROOT_PI * scale)",
    ),
    "slope without its factor": Defect(
        "kernels/overlap.py",
        "slope = overlap * (2 * scale)",
        "slope = overlap * scale",
    ),
    "small overlaps count as zero": Defect(
        "kernels/overlap.py",
        "tl.exp2(tl.where(exponent < -126.0, -126.0, exponent))",
        "tl.exp2(exponent)",
    ),
    "gradient of usage without the share of the overlap": Defect(
        "launch.py",
        "pairs.sum_overlaps(grad + share, sums",
        "pairs.sum_overlaps(grad, sums",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_source(name: str) -> None:
    assert_changes_the_source(FAMILY, DEFECTS[name])


@pytest.mark.full
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_noticed(name: str, tmp_path: Path) -> None:
    assert_noticed(FAMILY, DEFECTS[name], TESTS, tmp_path)
