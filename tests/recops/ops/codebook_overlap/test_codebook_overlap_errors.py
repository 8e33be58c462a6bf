"""Errors of codebook overlap."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

import recops

pytestmark = pytest.mark.composites

BOOK, USAGE = torch.randn(5, 3), torch.full((5,), 0.2)

NAN_BOOK = BOOK.index_fill(0, torch.tensor([3]), torch.nan)
NAN_USAGE = USAGE.index_fill(0, torch.tensor([2]), torch.inf)
ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: recops.codebook_overlap(BOOK[0], USAGE, 1.0), ValueError, "codebook must have 2 dim"),
    (lambda: recops.codebook_overlap(BOOK.int(), USAGE, 1.0), TypeError, "codebook must be one of"),
    (lambda: recops.codebook_overlap(BOOK, USAGE.int(), 1.0), TypeError, "usage must be one of"),
    (
        lambda: recops.codebook_overlap(BOOK, USAGE[:4], 1.0),
        ValueError,
        "usage must have 5 .*got 4",
    ),
    (lambda: recops.codebook_overlap(BOOK[:0], USAGE[:0], 1.0), ValueError, "at least one codewor"),
    (lambda: recops.codebook_overlap(BOOK, USAGE, 0.0), ValueError, "sigma must be .*got 0.0"),
    (lambda: recops.codebook_overlap(BOOK, USAGE, math.nan), ValueError, "sigma must be .*got nan"),
    (lambda: recops.effective_capacity(BOOK, USAGE, -1.0), ValueError, "sigma must be .*got -1.0"),
    (
        lambda: recops.codebook_overlap(BOOK, USAGE, 1.0, kernel="cosine"),  # type: ignore[arg-type]
        ValueError,
        "kernel must be 'bhattacharyya', 'product' or 'minimum', got 'cosine'",
    ),
    (
        lambda: recops.codebook_overlap(NAN_BOOK, USAGE, 1.0),
        ValueError,
        r"codebook must be finite, got codebook\[3\]",
    ),
    (
        lambda: recops.codebook_overlap(BOOK, NAN_USAGE, 1.0),
        ValueError,
        r"usage must be finite, got usage\[2\]",
    ),
    (lambda: recops.codebook_overlap(BOOK, USAGE.to("meta"), 1.0), ValueError, "usage must be on"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
