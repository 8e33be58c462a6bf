"""Argument checks of residual quantization, and codebooks in the form that the ops take."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from recops._checks import (
    FLOATS,
    MAX_BEAMS,
    check_choice,
    check_integer,
    check_list,
    check_tensor,
)
from recops._dtypes import compute_dtype
from recops.ops._codewords import check_codewords
from recops.state.codebooks import Stack

Metric: TypeAlias = Literal["l2", "cosine"]
METRICS = get_args(Metric)


def check_search(op: str, beam: int, metric: str) -> None:
    """Check the width and the metric of a search for codes."""
    check_integer(op, "beam", beam, least=1, most=MAX_BEAMS)
    check_choice(op, "metric", metric, METRICS)


def check_columns(op: str, codes: Tensor, levels: int) -> None:
    """Check that ``codes`` has one column per level."""
    if codes.shape[1] != levels:
        raise ValueError(
            f"{op}: codes must have {levels} columns, one per level, got {codes.shape[1]}"
        )


def matching_codewords(op: str, codebooks: Stack, x: Tensor) -> tuple[Tensor, list[int]]:
    """Return the codewords of all levels and the K_l, and check that the codewords match x."""
    codewords, sizes = flatten(op, codebooks)
    check_codewords(op, "codebooks", codewords, x)
    return codewords, sizes


def flatten(op: str, codebooks: Stack) -> tuple[Tensor, list[int]]:
    """Return the codewords of all levels as one tensor ``[Σ K_l, D]``, and the K_l."""
    if isinstance(codebooks, Tensor):
        check_tensor(op, "codebooks", codebooks, ndim=3, dtypes=FLOATS)
        levels, size, _ = codebooks.shape
        return codebooks.flatten(0, 1), [size] * levels
    books = check_list(op, "codebooks", codebooks)
    if not books:
        raise ValueError(f"{op}: codebooks must hold at least one level, got an empty list")
    for level, book in enumerate(books):
        name = f"codebooks[{level}]"
        check_tensor(
            op,
            name,
            book,
            ndim=2,
            dtypes=[books[0].dtype] if level else FLOATS,
            device=books[0].device if level else None,
        )
        if book.shape[1] != books[0].shape[1]:
            raise ValueError(
                f"{op}: {name} must have the dimension of codebooks[0], {books[0].shape[1]}, "
                f"got {book.shape[1]}"
            )
    return torch.cat(books), [book.shape[0] for book in books]


def fake_nearest(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return empty codes and squared distances, as the ops for nearest codewords allocate them."""
    shape = (x.shape[0], k)
    return x.new_empty(shape, dtype=torch.int32), x.new_empty(shape, dtype=compute_dtype(x.dtype))
