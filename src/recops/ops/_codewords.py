"""Checks that shapes and dtypes of vectors and codewords match."""

from __future__ import annotations

from torch import Tensor

from recops._checks import check_tensor
from recops._dtypes import parameter_dtypes


def check_rows(op: str, name: str, value: Tensor, x: Tensor) -> None:
    """Check that ``value`` has one entry per row of ``x``."""
    if value.shape[0] != x.shape[0]:
        raise ValueError(
            f"{op}: {name} must have {x.shape[0]} entries, one per row of x, got {value.shape[0]}"
        )


def check_codewords(op: str, name: str, codewords: Tensor, x: Tensor) -> None:
    """Check that ``codewords`` have the device and dimension of ``x`` and a matching dtype."""
    dtypes = parameter_dtypes(x)
    check_tensor(op, name, codewords, ndim=2, dtypes=dtypes, device=x.device)
    if codewords.shape[1] != x.shape[1]:
        raise ValueError(
            f"{op}: {name} must have x's dimension {x.shape[1]}, got {codewords.shape[1]}"
        )
