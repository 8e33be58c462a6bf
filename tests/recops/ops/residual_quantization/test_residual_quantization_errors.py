"""Errors of residual quantization; each names the op, the argument and its value."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import recops

pytestmark = pytest.mark.composites

X, BOOKS, CODES = torch.randn(4, 3), torch.randn(2, 5, 3), torch.zeros(4, 2, dtype=torch.int32)

NAN_BOOK = [torch.randn(5, 3), torch.randn(4, 3).index_fill_(0, torch.tensor([2]), torch.nan)]
HUGE_BOOK = torch.full((1, 100, 3), 1e30)
ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: recops.rq_encode(X[0], BOOKS), ValueError, r"x must have 2 dimensions.*\(3,\)"),
    (lambda: recops.rq_encode(X.int(), BOOKS), TypeError, "x must be one of float32.*got int32"),
    (lambda: recops.rq_encode(X, BOOKS[0]), ValueError, "codebooks must have 3 dimensions"),
    (lambda: recops.rq_encode(X, BOOKS.double()), TypeError, "codebooks must be .*got float64"),
    (lambda: recops.rq_encode(X.double(), BOOKS), TypeError, "codebooks must be .*got float32"),
    (lambda: recops.rq_encode(X[:, :2], BOOKS), ValueError, "codebooks must have x's dimension 2"),
    (lambda: recops.rq_encode(X, BOOKS[:, :0]), ValueError, r"codebooks\[0\] must have at least"),
    (lambda: recops.rq_encode(X, []), ValueError, "at least one level"),
    (
        lambda: recops.rq_encode(X, [BOOKS[0], BOOKS[0, :, :2]]),
        ValueError,
        r"codebooks\[1\] must have the dimension of codebooks\[0\], 3, got 2",
    ),
    (
        lambda: recops.rq_encode(X, [BOOKS[0], BOOKS[1].half()]),
        TypeError,
        r"codebooks\[1\] must be one of float32, got float16",
    ),
    (
        lambda: recops.rq_encode(X[:, :0], torch.zeros(1, 0, 0, 0).to_sparse().to("meta")),
        ValueError,
        "rq_encode: codebooks must be strided, got torch.sparse_coo",
    ),
    (
        lambda: recops.rq_decode(CODES[:0, :0], [(), torch.empty(2**40, 0)]),
        ValueError,
        r"codebooks\[1\] must have 3 dimensions",
    ),
    (lambda: recops.rq_encode(X, NAN_BOOK), ValueError, r"be finite.*codebooks\[1\]\[2\]"),
    (
        lambda: recops.rq_encode(X.repeat(50, 1), NAN_BOOK),
        ValueError,
        r"be finite.*codebooks\[1\]\[2\]",
    ),
    (lambda: recops.rq_encode(X, HUGE_BOOK), ValueError, r"be finite.*codebooks\[0\]\[0\]"),
    (lambda: recops.rq_encode(X.to("meta"), BOOKS), ValueError, "codebooks must be on meta"),
    (lambda: recops.nearest_codes(X, BOOKS[0], k=6), ValueError, "nearest_codes: k must be .*5.*6"),
    (lambda: recops.nearest_codes(X, BOOKS[0], k=0), ValueError, "nearest_codes: k must be .*0"),
    (lambda: recops.nearest_codes(X, NAN_BOOK[1], k=1), ValueError, r"be finite.*codebook\[2\]"),
    (lambda: recops.nearest_codes(X, NAN_BOOK[1], k=3), ValueError, r"be finite.*codebook\[2\]"),
    (lambda: recops.rq_decode(CODES + 5, BOOKS), IndexError, r"from 0 to 4.*codes\[0, 0\] = 5"),
    (lambda: recops.rq_decode(CODES - 2, BOOKS), IndexError, r"codes\[0, 0\] = -2"),
    (
        lambda: recops.rq_decode(CODES.long() + 2**32, BOOKS),
        IndexError,
        r"codes\[0, 0\] = 4294967296",
    ),
    (lambda: recops.rq_decode(CODES[:, :1], BOOKS), ValueError, "codes must have 2 columns.*got 1"),
    (
        lambda: recops.rq_decode(CODES.float(), BOOKS),
        TypeError,
        "codes must be one of int32, int64",
    ),
    (
        lambda: recops.accumulate_codes(X, CODES[:, 0] + 3, 3),
        IndexError,
        r"accumulate_codes: index must be .*index\[0\] = 3",
    ),
    (lambda: recops.accumulate_codes(X, CODES[:3, 0], 3), ValueError, "index must have 4 .*got 3"),
    (
        lambda: recops.accumulate_codes(X, CODES[:, 0], 3, weight=X[:2, 0]),
        ValueError,
        "weight must have 4 .*got 2",
    ),
    (lambda: recops.accumulate_codes(X, CODES[:, 0], -1), ValueError, "num_codes must be .*-1"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.composites(False)
def test_the_lowest_bad_code_is_named_at_any_number_of_threads(
    set_threads: Callable[[int], None],
) -> None:
    codes = torch.zeros(9000, 2, dtype=torch.int64)
    codes[[700, 5000, 8999], [1, 0, 0]] = 99
    for threads in (1, 2, 5):
        set_threads(threads)
        with pytest.raises(IndexError, match=r"codes\[700, 1\] = 99"):
            recops.rq_decode(codes, torch.randn(2, 50, 16))
