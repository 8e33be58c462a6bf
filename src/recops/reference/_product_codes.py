"""Reference of products of residual quantizers."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from recops.state.codebooks import Codebooks


def groups(codebooks: Codebooks) -> list[list[Tensor]]:
    """Return the codebooks of every group, level by level."""
    books = list(codebooks)
    if all(isinstance(book, Tensor) and book.ndim == 2 for book in books):
        return [books]
    return [list(stack) for stack in books]


def cut(x: Tensor, stacks: Iterable[list[Tensor]]) -> list[Tensor]:
    """Cut x into one piece per group; rows that are not finite become NaN in every piece."""
    masked = x.masked_fill(~x.isfinite().all(1, keepdim=True), torch.nan)
    return list(masked.split([books[0].shape[1] for books in stacks], 1))


def combine(results: list[tuple[Tensor, Tensor]], beam: int) -> tuple[Tensor, Tensor]:
    """Return the best combinations of the groups' paths ``[N, B, L]`` for each row."""
    codes, error = results[0]
    for next_codes, next_error in results[1:]:
        total = (error[:, :, None] + next_error[:, None]).flatten(1)
        best = total.sort(dim=1, stable=True).indices[:, :beam]
        width = next_error.shape[1]
        row = torch.arange(len(codes))[:, None]
        codes = torch.cat([codes[row, best // width], next_codes[row, best % width]], 2)
        error = total.gather(1, best)
    return codes.masked_fill(~error.isfinite()[:, :, None], -1), error
