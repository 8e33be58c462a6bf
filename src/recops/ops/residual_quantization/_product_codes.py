"""Products of residual quantizers: x is cut into G pieces, each with its own stack of codebooks.

A stack is the codebooks of one residual quantizer: ``[L, K, D]``, or L tensors ``[K_l, D]``. A
product is a tensor ``[G, L, K, D/G]``, or G stacks whose widths and levels may differ. Its codes
are those of the first piece, level by level, then those of the second, and so on.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recops._checks import FLOATS, check_list, check_tensor
from recops.ops.residual_quantization._codebooks import matching_codewords
from recops.state.codebooks import Codebooks, Stack


class Piece(NamedTuple):
    """Piece of x with the codewords of all levels of its stack, and the K_l."""

    x: Tensor
    codewords: Tensor
    sizes: list[int]


def check_pieces(op: str, x: Tensor, codebooks: Codebooks) -> list[Piece]:
    """Check x and the codebooks, and return the pieces of x; without a product x is the only one.

    Raises:
        TypeError, ValueError: the shapes, dtypes or devices do not match.
    """
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    stacks = codebook_stacks(op, codebooks)
    parts = zip(_split(op, x, stacks), stacks, strict=True)
    return [Piece(part, *matching_codewords(op, stack, part)) for part, stack in parts]


def codebook_stacks(op: str, codebooks: Codebooks) -> list[Stack]:
    """Return the stacks of a product, or the only stack.

    Raises:
        TypeError, ValueError: the product has no stack, or a stack is not a dense tensor or a list.
    """
    stacks: list[Stack]
    if isinstance(codebooks, Tensor):
        if codebooks.ndim != 4:
            return [codebooks]
        check_tensor(op, "codebooks", codebooks, ndim=4, dtypes=FLOATS)
        stacks = [*codebooks.unbind(0)]
    else:
        books = [
            book if isinstance(book, Tensor) else check_list(op, f"codebooks[{index}]", book)
            for index, book in enumerate(check_list(op, "codebooks", codebooks))
        ]
        is_product = len(books) > 0 and (not isinstance(books[0], Tensor) or books[0].ndim == 3)
        stacks = [*books] if is_product else [books]  # type: ignore[list-item]
    if not stacks:
        raise ValueError(f"{op}: codebooks must hold at least one group, got none")
    return stacks


def num_levels(op: str, group: int, stack: Stack) -> int:
    """Return the number of levels of a product's stack."""
    if isinstance(stack, Tensor):
        check_tensor(op, f"codebooks[{group}]", stack, ndim=3, dtypes=FLOATS)
        return stack.shape[0]
    return len(list(stack))


def join(results: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Concatenate the codes of the pieces, and add their errors in the order of pieces."""
    if len(results) == 1:
        return results[0]
    codes, errors = zip(*results, strict=True)
    return torch.cat(codes, dim=-1), torch.stack(errors).sum(0)


def join_beams(results: list[tuple[Tensor, Tensor]], beam: int) -> tuple[Tensor, Tensor]:
    """Return the ``beam`` best combinations of the pieces' paths, best first.

    Among equal errors, combinations keep the order of the paths in their pieces.
    """
    codes, error = results[0]
    if len(results) == 1:
        return codes, error
    for next_codes, next_error in results[1:]:
        total = (error[:, :, None] + next_error[:, None]).flatten(1)
        best = total.sort(dim=1, stable=True).indices[:, :beam]
        error = total.gather(1, best)
        first, second = best // next_error.shape[1], best % next_error.shape[1]
        codes = torch.cat([_rows(codes, first), _rows(next_codes, second)], dim=2)
    return codes.masked_fill(~error.isfinite()[:, :, None], -1), error


def _split(op: str, x: Tensor, stacks: list[Stack]) -> list[Tensor]:
    """Cut x ``[N, D]`` into pieces of the stacks' widths; rows that are not finite become NaN.

    Raises:
        ValueError: the widths do not add up to D.
    """
    if len(stacks) == 1:
        return [x]
    widths = [_width(op, group, stack) for group, stack in enumerate(stacks)]
    if sum(widths) != x.shape[1]:
        raise ValueError(
            f"{op}: codebooks' {len(stacks)} groups must make up x's dimension {x.shape[1]}, "
            f"got widths {widths}"
        )
    # x · 0 is NaN where x is not finite; this is much faster than isfinite().all().
    not_finite = (x.detach() * 0).sum(1, keepdim=True).isnan()
    return list(x.masked_fill(not_finite, torch.nan).split(widths, 1))


def _rows(paths: Tensor, index: Tensor) -> Tensor:
    return paths.gather(1, index[:, :, None].expand(-1, -1, paths.shape[2]))


def _width(op: str, group: int, stack: Stack) -> int:
    for book in [stack] if isinstance(stack, Tensor) else stack:
        check_tensor(op, f"codebooks[{group}]", book, ndim=(2, 3), dtypes=FLOATS)
        return book.shape[-1]
    raise ValueError(f"{op}: codebooks[{group}] must hold at least one level, got none")
