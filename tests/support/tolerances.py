"""Tolerances between an op and its reference, per dtype of the results.

float32 allows another order of summation over a few hundred terms. 16-bit results are computed in
float32 and rounded once, so they may differ in the last bit.
"""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor


class Tolerance(TypedDict):
    rtol: float
    atol: float


AGREEMENT: dict[torch.dtype, Tolerance] = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
    torch.float32: {"rtol": 2e-5, "atol": 2e-5},
    torch.bfloat16: {"rtol": 2**-7, "atol": 1e-4},
    torch.float16: {"rtol": 2**-10, "atol": 1e-4},
}

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of computation for inputs of this dtype."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, **AGREEMENT[expected.dtype], equal_nan=True)
