"""Determinism of residual quantization over threads, batches and instruction sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import recops
from instruction_sets import results_at_each
from tolerances import DTYPES, assert_close


def everything(x: Tensor, codebooks: Tensor) -> list[Tensor]:
    codes, sq_error = recops.rq_encode(x, codebooks)
    books = codebooks.clone().requires_grad_()
    decoded = recops.rq_decode(codes, books)
    decoded.backward(x)
    assert books.grad is not None
    return [
        codes,
        sq_error,
        decoded.detach(),
        books.grad,
        *recops.nearest_codes(x, codebooks[0], k=5),
        *recops.accumulate_codes(x, codes[:, 0], codebooks.shape[1], weight=sq_error),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    x, codebooks = torch.randn(3000, 50).to(dtype), torch.randn(3, 200, 50).to(dtype)
    set_threads(1)
    expected = everything(x, codebooks)
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, one_thread in zip(everything(x, codebooks), expected, strict=True):
            assert torch.equal(actual, one_thread)


@pytest.mark.parametrize("batch", [1, 5, 63, 64, 65, 400])
def test_codes_do_not_depend_on_the_batch(batch: int) -> None:
    x, codebooks = torch.randn(1000, 48), torch.randn(3, 130, 48)
    codes, sq_error = recops.rq_encode(x, codebooks)
    index, sq_distance = recops.nearest_codes(x, codebooks[0], k=3)
    part = slice(300, 300 + batch)
    part_codes, part_error = recops.rq_encode(x[part], codebooks)
    assert torch.equal(part_codes, codes[part])
    assert torch.equal(part_error, sq_error[part])
    part_index, part_distance = recops.nearest_codes(x[part], codebooks[0], k=3)
    assert torch.equal(part_index, index[part])
    assert torch.equal(part_distance, sq_distance[part])


ON_THIS_ISA = """
import sys
import torch
import recops

results = []
for x, codebooks in torch.load(sys.argv[1]):
    codes, sq_error = recops.rq_encode(x, codebooks)
    results += [codes, sq_error, recops.rq_decode(codes, codebooks)]
    results += recops.rq_encode_beams(x, codebooks, beam=6)
    results += recops.nearest_codes(x, codebooks[0], k=4)
    results += recops.accumulate_codes(x, codes[:, 0], 100)
torch.save(results, sys.argv[2])
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    inputs = [(torch.randn(200, 37).to(d), torch.randn(2, 100, 37).to(d)) for d in DTYPES]
    results = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            if expected.is_floating_point():
                assert_close(actual, expected)
            else:
                assert torch.equal(actual, expected)
