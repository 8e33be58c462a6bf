"""Errors of Dice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import recops
from dice_inputs import make

pytestmark = pytest.mark.composites

X, ALPHA = make(3, 5)

MEAN, VAR = torch.zeros(5), torch.ones(5)

ERRORS: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "no tensor": (lambda: recops.dice([1.0], ALPHA), TypeError, "x must be a tensor, got list"),
    "integers": (lambda: recops.dice(X.int(), ALPHA), TypeError, "x must be one of float32"),
    "dimensions": (lambda: recops.dice(X[0], ALPHA), ValueError, "x must have 2 dimensions"),
    "two dtypes": (lambda: recops.dice(X, ALPHA.double()), TypeError, "alpha must be one of"),
    "narrow": (lambda: recops.dice(X.half(), ALPHA.bfloat16()), TypeError, "alpha must be one of"),
    "a matrix": (lambda: recops.dice(X, ALPHA[None]), ValueError, "alpha must have 1 dimensions"),
    "width": (
        lambda: recops.dice(X, ALPHA[:4]),
        ValueError,
        "alpha must have 5 entries, one per column of x, got 4",
    ),
    "mean alone": (
        lambda: recops.dice(X, ALPHA, MEAN),
        ValueError,
        "mean and var must be given both or neither, got mean alone",
    ),
    "var alone": (lambda: recops.dice(X, ALPHA, var=VAR), ValueError, "got var alone"),
    "a wide mean": (
        lambda: recops.dice(X, ALPHA, torch.zeros(6), VAR),
        ValueError,
        "mean must have 5 entries, one per column of x, got 6",
    ),
    "integer var": (lambda: recops.dice(X, ALPHA, MEAN, VAR.int()), TypeError, "var must be one"),
    "eps": (
        lambda: recops.dice(X, ALPHA, eps=-1.0),
        ValueError,
        "eps must be from 0 to inf, got -1",
    ),
    "no eps": (
        lambda: recops.dice(X, ALPHA, eps=torch.nan),
        ValueError,
        "eps must be from 0 to inf, got nan",
    ),
    "elsewhere": (lambda: recops.dice(X, ALPHA.to("meta")), ValueError, "alpha must be on cpu"),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"dice: .*{message}"):
        call()
