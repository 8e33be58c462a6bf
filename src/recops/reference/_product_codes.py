"""Products of levels in plain PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from recops.state.codebooks import Codebooks


def groups(codebooks: Codebooks) -> list[list[Tensor]]:
    """The codebooks of every group, level by level."""
    books = list(codebooks)
    if all(isinstance(book, Tensor) and book.ndim == 2 for book in books):
        return [books]
    return [list(stack) for stack in books]


def cut(x: Tensor, stacks: Iterable[list[Tensor]]) -> list[Tensor]:
    """The pieces of x, one a group; a row that is not finite is so in every piece."""
    whole = x.masked_fill(~x.isfinite().all(1, keepdim=True), torch.nan)
    return list(whole.split([books[0].shape[1] for books in stacks], 1))


def combine(found: list[tuple[Tensor, Tensor]], beam: int) -> tuple[Tensor, Tensor]:
    """The best combinations of the groups' paths ``[N, B, L]``, row by row."""
    codes, error = found[0]
    for more, added in found[1:]:
        total = (error[:, :, None] + added[:, None]).flatten(1)
        best = total.sort(dim=1, stable=True).indices[:, :beam]
        width = added.shape[1]
        row = torch.arange(len(codes))[:, None]
        codes = torch.cat([codes[row, best // width], more[row, best % width]], 2)
        error = total.gather(1, best)
    return codes.masked_fill(~error.isfinite()[:, :, None], -1), error
