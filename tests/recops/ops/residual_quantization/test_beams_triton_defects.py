"""Planted defects in the Triton kernels of beam search: the interpreted tests notice each."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton_defects import Defect, assert_changes_the_source, assert_noticed

FAMILY = "residual_quantization"
TESTS = Path(__file__).parent / "interpreted_beams.py"

DEFECTS: dict[str, Defect] = {
    "equal scores selected beyond the count": Defect(
        "kernels/selection.py",
        "is_chosen = is_below | (is_last & (equal <= missing))",
        "is_chosen = is_below | is_last",
    ),
    "ranks of equal scores counted twice": Defect(
        "kernels/selection.py",
        "(running >> 16) + tl.minimum(equal, missing) - 1",
        "(running >> 16) + equal - 1",
    ),
    "ranks start anew with each path": Defect(
        "kernels/selection.py",
        "tl.cumsum(counts, 1) + (tl.cumsum(totals, 0) - totals)[:, None]",
        "tl.cumsum(counts, 1)",
    ),
    "lowest bit of the last score not searched": Defect(
        "kernels/selection.py",
        "for bit in range(31):",
        "for bit in range(30):",
    ),
    "codes past the last selected": Defect(
        "kernels/selection.py",
        "return tl.where(is_candidate, keys, _MOST)",
        "return keys",
    ),
    "scores of paths not added": Defect(
        "kernels/selection.py",
        "score += tl.load(own, mask=is_parent, other=0.0)[:, None]",
        "score += 0 * tl.load(own, mask=is_parent, other=0.0)[:, None]",
    ),
    "products with the first level only": Defect(
        "kernels/selection.py",
        "word = STARTS[LEVEL - 1 - back] + position",
        "word = STARTS[0] + position",
    ),
    "lists of a row one entry late": Defect(
        "kernels/selection.py",
        "at = (row * lists + number)[:, None] * beam + entry[None, :]",
        "at = (row * lists + number)[:, None] * beam + entry[None, :] + 1",
    ),
    "infinite scores taken as known": Defect(
        "kernels/paths.py",
        'tl.abs(score) < float("inf")',
        'tl.abs(score) <= float("inf")',
    ),
    "fewer than k scores below infinity taken as known": Defect(
        "kernels/paths.py",
        '(tl.max((score < float("inf")).to(tl.int32) ^ 1, 0) == 0)',
        '(tl.max((score <= float("inf")).to(tl.int32) ^ 1, 0) == 0)',
    ),
    "rows that are not finite taken as known": Defect(
        "kernels/paths.py",
        "excess += x - x",
        "excess += tl.zeros([BLOCK_DIM], tl.float32)",
    ),
    "equal errors share a rank": Defect(
        "kernels/paths.py",
        "rank += tl.sum(((is_less | is_earlier)",
        "rank += tl.sum(((is_less)",
    ),
    "levels subtracted from the last": Defect(
        "kernels/paths.py",
        "codes[LEVELS - 1 - level]",
        "codes[level]",
    ),
    "rows not shifted": Defect(
        "kernels/products.py",
        "other=0.0)[None, :] - row",
        "other=0.0)[None, :] * 0 - row",
    ),
    "codewords not shifted": Defect(
        "beams.py",
        "torch.cat([wide[: sizes[0]] - self.shift,",
        "torch.cat([wide[: sizes[0]],",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_source(name: str) -> None:
    assert_changes_the_source(FAMILY, DEFECTS[name])


@pytest.mark.full
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_noticed(name: str, tmp_path: Path) -> None:
    assert_noticed(FAMILY, DEFECTS[name], TESTS, tmp_path)
