"""Planted defects in the Triton kernels of co-action: the interpreted tests must notice each."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton_defects import Defect, assert_changes_the_source, assert_noticed

FAMILY = "coaction"
TESTS = Path(__file__).parent / "interpreted_coaction.py"

DEFECTS: dict[str, Defect] = {
    "events past the length not masked": Defect(
        "kernels/forward.py",
        "is_event = steps < length",
        "is_event = steps < time",
    ),
    "columns past the width not masked": Defect(
        "kernels/layers.py",
        "return is_event[:, None] & (tl.arange(0, WIDTH) < DIM)[None, :]",
        "return is_event[:, None] & (tl.arange(0, WIDTH) < WIDTH)[None, :]",
    ),
    "second tile of events dropped": Defect(
        "kernels/forward.py",
        "for first in range(0, length, BLOCK_TIME):",
        "for first in range(0, tl.minimum(length, BLOCK_TIME), BLOCK_TIME):",
    ),
    "weights of a layer one value late": Defect(
        "kernels/candidate.py",
        "at = number * SET_WIDTH + WEIGHTS_AT[layer]\n",
        "at = number * SET_WIDTH + WEIGHTS_AT[layer] + 1\n",
    ),
    "one set of weights for all orders": Defect(
        "kernels/forward.py",
        "set_ptr = params_ptr + (order % SETS) * SET_WIDTH",
        "set_ptr = params_ptr",
    ),
    "bias added once instead of once per event": Defect(
        "kernels/layers.py",
        "value += length * row_tile(bias_ptr",
        "value += 1.0 * row_tile(bias_ptr",
    ),
    "sum not divided by the length": Defect(
        "kernels/candidate.py",
        "scale = 1.0 / tl.maximum(length, 1).to(tl.float32)",
        "scale = 1.0",
    ),
    "history of the candidate's number": Defect(
        "kernels/candidate.py",
        "user = tl.load(users_ptr + candidate).to(tl.int64)",
        "user = candidate % num_users",
    ),
    "targets out of range not refused": Defect(
        "kernels/candidate.py",
        "(row >= 0) & (row < params_rows)",
        "(row >= 0) & (row <= params_rows)",
    ),
    "rows of the history out of range not refused": Defect(
        "kernels/candidate.py",
        "is_read = is_event & (rows >= 0) & (rows < feed_rows)",
        "is_read = is_event & (rows >= 0) & (rows < feed_rows - 1)",
    ),
    "derivative of a power without its factor": Defect(
        "kernels/backward.py",
        "below = power * (order + 1.0)",
        "below = power",
    ),
    "gradients past the length not cleared": Defect(
        "kernels/backward.py",
        "range(tl.cdiv(length, BLOCK_TIME) * BLOCK_TIME, time, BLOCK_TIME)",
        "range((tl.cdiv(length, BLOCK_TIME) + 1) * BLOCK_TIME, time, BLOCK_TIME)",
    ),
    "gradient of a hidden output dropped": Defect(
        "kernels/backward.py",
        "grad = grad + scale * own[None, :]",
        "grad = grad + 0.0 * own[None, :]",
    ),
    "gradients of the last order only": Defect(
        "kernels/backward.py",
        'total = tl.dot(tl.trans(inputs), grad, sums[INDEX], input_precision="ieee")',
        'total = tl.dot(tl.trans(inputs), grad, 0 * sums[INDEX], input_precision="ieee")',
    ),
    "events past the length summed into table rows": Defect(
        "gradients.py",
        "event_rows(inputs.history, inputs.options.lengths)",
        "event_rows(inputs.history, None).clamp(min=0)",
    ),
    "16 bits before the sum over a user's candidates": Defect(
        "gradients.py",
        "dtype = feed.dtype if users is None else torch.float32",
        "dtype = torch.bfloat16",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_source(name: str) -> None:
    assert_changes_the_source(FAMILY, DEFECTS[name])


@pytest.mark.full
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_noticed(name: str, tmp_path: Path) -> None:
    assert_noticed(FAMILY, DEFECTS[name], TESTS, tmp_path)
