"""Products of levels: x is cut into G pieces, each with its own stack of codebooks.

A stack is what one residual quantizer has: ``[L, K, D]``, or L tensors ``[K_l, D]``. A product is a
tensor ``[G, L, K, D/G]``, or G stacks, whose widths and levels may differ. Its codes are those of
the first piece, level by level, then those of the second, and so on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recops._checks import FLOATS, check_list, check_tensor
from recops.state.codebooks import Codebooks, Stack


def stacks_of(op: str, codebooks: Codebooks) -> list[Stack]:
    """One stack, or those of a product.

    Raises:
        TypeError, ValueError: a product of none, or one that is no dense tensor.
    """
    stacks: list[Stack]
    if isinstance(codebooks, Tensor):
        if codebooks.ndim != 4:
            return [codebooks]
        check_tensor(op, "codebooks", codebooks, ndim=4, dtypes=FLOATS)
        stacks = [*codebooks.unbind(0)]
    else:
        held = [
            book if isinstance(book, Tensor) else check_list(op, f"codebooks[{place}]", book)
            for place, book in enumerate(check_list(op, "codebooks", codebooks))
        ]
        is_product = len(held) > 0 and (not isinstance(held[0], Tensor) or held[0].ndim == 3)
        stacks = [*held] if is_product else [held]  # type: ignore[list-item]
    if not stacks:
        raise ValueError(f"{op}: codebooks must hold at least one group, got none")
    return stacks


def pieces_of(op: str, x: Tensor, stacks: list[Stack]) -> list[Tensor]:
    """x ``[N, D]``, cut as the stacks ask. A row that is not finite is NaN in every piece.

    Raises:
        ValueError: stacks that do not make up x's dimensions.
    """
    if len(stacks) == 1:
        return [x]
    widths = [_width(op, group, stack) for group, stack in enumerate(stacks)]
    if sum(widths) != x.shape[1]:
        raise ValueError(
            f"{op}: codebooks' {len(stacks)} groups must make up x's dimension {x.shape[1]}, "
            f"got widths {widths}"
        )
    lost = (x.detach() * 0).sum(1, keepdim=True).isnan()  # isfinite().all() takes as long as codes
    return list(x.masked_fill(lost, torch.nan).split(widths, 1))


def levels_of(op: str, group: int, stack: Stack) -> int:
    """L of a product's stack."""
    if isinstance(stack, Tensor):
        check_tensor(op, f"codebooks[{group}]", stack, ndim=3, dtypes=FLOATS)
        return stack.shape[0]
    return len(list(stack))


def join(found: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Codes side by side, errors added in the order of pieces."""
    codes, errors = zip(*found, strict=True)
    return torch.cat(codes, dim=-1), torch.stack(errors).sum(0)


def join_beams(found: list[tuple[Tensor, Tensor]], beam: int) -> tuple[Tensor, Tensor]:
    """The ``beam`` best of all combinations of the pieces' paths, best first.

    Of equal errors the one whose paths stand first in their pieces' orders.
    """
    codes, error = found[0]
    for more, added in found[1:]:
        total = (error[:, :, None] + added[:, None]).flatten(1)
        best = total.sort(dim=1, stable=True).indices[:, :beam]
        error = total.gather(1, best)
        ours, theirs = best // added.shape[1], best % added.shape[1]
        codes = torch.cat([_rows(codes, ours), _rows(more, theirs)], dim=2)
    return codes.masked_fill(~error.isfinite()[:, :, None], -1), error


def _rows(paths: Tensor, index: Tensor) -> Tensor:
    return paths.gather(1, index[:, :, None].expand(-1, -1, paths.shape[2]))


def _width(op: str, group: int, stack: Stack) -> int:
    for book in [stack] if isinstance(stack, Tensor) else stack:
        check_tensor(op, f"codebooks[{group}]", book, ndim=(2, 3), dtypes=FLOATS)
        return book.shape[-1]
    raise ValueError(f"{op}: codebooks[{group}] must hold at least one level, got none")
