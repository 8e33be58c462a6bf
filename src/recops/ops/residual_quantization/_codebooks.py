"""Vectors beside codebooks: checks that need no data, and codebooks as ops take them."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_tensor
from recops.ops._codewords import check_codewords
from recops.ops.residual_quantization._product_codes import Stack


def check_search(op: str, x: Tensor, beam: int, metric: str) -> None:
    if beam < 1:
        raise ValueError(f"{op}: beam must be at least 1, got {beam}")
    check_metric(op, metric)
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)


def check_metric(op: str, metric: str) -> None:
    if metric not in ("l2", "cosine"):
        raise ValueError(f"{op}: metric must be 'l2' or 'cosine', got {metric!r}")


def check_columns(op: str, codes: Tensor, levels: int) -> None:
    if codes.shape[1] != levels:
        raise ValueError(
            f"{op}: codes must have {levels} columns, one a level, got {codes.shape[1]}"
        )


def check_encode(op: str, x: Tensor, codebooks: Stack) -> tuple[Tensor, list[int]]:
    """The codewords of all levels, detached, and the K_l; everything checked but the data."""
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    codewords, sizes = flatten(op, codebooks)
    check_codewords(op, "codebooks", codewords, x)
    return codewords.detach(), sizes


def flatten(op: str, codebooks: Stack) -> tuple[Tensor, list[int]]:
    """All levels' codewords in one ``[Σ K_l, D]``, and the K_l."""
    if isinstance(codebooks, Tensor):
        check_tensor(op, "codebooks", codebooks, ndim=3, dtypes=FLOATS)
        levels, size, _ = codebooks.shape
        return codebooks.flatten(0, 1), [size] * levels
    books = list(codebooks)
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
            device=books[0].device,
        )
        if book.shape[1] != books[0].shape[1]:
            raise ValueError(
                f"{op}: {name} must have the dimension of codebooks[0], {books[0].shape[1]}, "
                f"got {book.shape[1]}"
            )
    return torch.cat(books), [book.shape[0] for book in books]
