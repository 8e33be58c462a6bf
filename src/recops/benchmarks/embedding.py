"""Bags of rows of embedding tables beside torch's own look-ups, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register

# Rows of ids, ids a row, rows of the table, width: a batch of CAN's, and a large table.
SHAPES = [(128, 100, 2000, 18), (128, 100, 100_000, 64)]

Kind = Literal["rows", "sum"]
Function = Callable[[Tensor, Tensor], Tensor]


@register("embedding")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        for kind in ("rows", "sum"):
            for backward in (False, True):
                yield lookup_case(kind, *shape, backward=backward, compiled=not quick)
    yield lookup_case("sum", *SHAPES[0], padding_idx=0, backward=True)


def lookup_case(
    kind: Kind,
    rows: int,
    each: int,
    size: int,
    width: int,
    *,
    padding_idx: int | None = None,
    backward: bool = False,
    compiled: bool = False,
) -> Case:
    """Forward, or forward and backward."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(size, width, generator=random).requires_grad_(backward)
    ids = torch.randint(size, (rows, each), generator=random)
    if kind == "rows":
        ids = ids.flatten()
    grad = torch.randn(len(ids), width, generator=random)

    def ours(weight: Tensor, ids: Tensor) -> Tensor:
        return recops.embedding_bags([(weight, ids)], padding_idx=padding_idx)

    def plain(weight: Tensor, ids: Tensor) -> Tensor:
        return reference.embedding_bags([(weight, ids)], padding_idx=padding_idx)

    def torchs(weight: Tensor, ids: Tensor) -> Tensor:
        if kind == "rows":
            return F.embedding(ids, weight, padding_idx=padding_idx)
        return F.embedding_bag(ids, weight, mode="sum", padding_idx=padding_idx)

    def side(function: Function, table: Tensor = weight) -> Thunk:
        if not backward:
            return lambda: function(table, ids)
        return lambda: torch.autograd.grad(function(table, ids), table, grad.to(table.dtype))

    def verify() -> None:
        exact = weight.detach().double().requires_grad_(backward)
        due = side(plain, exact)()
        for name, run in (("ours", side(ours)), *peers.items()):
            torch.testing.assert_close(
                run(), due, rtol=1e-4, atol=1e-4, check_dtype=False, msg=name
            )

    peers = {"embedding" if kind == "rows" else "embedding_bag": side(torchs)}
    if compiled:
        peers["compile"] = side(torch.compile(torchs))
    # Ids and their rows in, the result out; backward its gradient in, the rows read and written
    # once more, and the table's gradient cleared.
    looked_up, result = rows * each * width, grad.numel()
    moved = looked_up + result + (result + 2 * looked_up + size * width if backward else 0)
    padded = "" if padding_idx is None else f" padding={padding_idx}"
    return Case(
        op="embedding_bags",
        shape=f"{kind} B={rows} T={each} V={size} d={width}{padded}",
        direction="backward" if backward else "forward",
        run=side(ours),
        peers=peers,
        verify=verify,
        bytes=4.0 * moved + 8.0 * rows * each * (2 if backward else 1),
        ceiling="bandwidth",
    )
