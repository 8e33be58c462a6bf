"""Bags of rows of embedding tables beside torch's own look-ups, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    for backward in (False, True):
        yield features_case(backward=backward, compiled=not quick)


def features_case(
    rows: int = 128, events: int = 100, *, backward: bool = False, compiled: bool = False
) -> Case:
    """What CAN on sum pooling reads of its tables: three rows and the sums of two histories."""
    random = torch.Generator().manual_seed(0)
    sizes, width = (2000, 2000, 100), 18
    tables = [torch.randn(size, width, generator=random) for size in sizes]
    weights = [table.requires_grad_(backward) for table in tables]
    of_table, shapes = (0, 1, 2, 1, 2), [(rows,)] * 3 + [(rows, events)] * 2
    ids = [
        torch.randint(1, sizes[table], shape, generator=random)
        for table, shape in zip(of_table, shapes, strict=True)
    ]
    grad = torch.randn(rows, width * len(ids), generator=random)

    def bags(weights: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        return [(weights[table], each) for table, each in zip(of_table, ids, strict=True)]

    def ours(weights: Sequence[Tensor]) -> Tensor:
        return recops.embedding_bags(bags(weights), padding_idx=0)

    def plain(weights: Sequence[Tensor]) -> Tensor:
        return reference.embedding_bags(bags(weights), padding_idx=0)

    def torchs(weights: Sequence[Tensor]) -> Tensor:
        columns = [
            F.embedding(each, weight, padding_idx=0)
            if each.ndim == 1
            else F.embedding_bag(each, weight, mode="sum", padding_idx=0)
            for weight, each in bags(weights)
        ]
        return torch.cat(columns, 1)

    def side(
        function: Callable[[Sequence[Tensor]], Tensor], weights: Sequence[Tensor] = weights
    ) -> Thunk:
        if not backward:
            return lambda: function(weights)
        return lambda: torch.autograd.grad(function(weights), weights, grad.to(weights[0].dtype))

    def verify() -> None:
        exact = [weight.detach().double().requires_grad_(backward) for weight in weights]
        due = side(plain, exact)()
        for name, run in (("ours", side(ours)), *peers.items()):
            torch.testing.assert_close(
                run(), due, rtol=1e-4, atol=1e-4, check_dtype=False, msg=name
            )

    peers = {"torch": side(torchs)}
    if compiled:
        peers["compile"] = side(torch.compile(torchs))
    return Case(
        op="embedding_bags",
        shape=f"3 rows, 2 sums B={rows} T={events} d={width}",
        direction="backward" if backward else "forward",
        run=side(ours),
        peers=peers,
        verify=verify,
        bytes=_bytes(ids, weights, grad, backward=backward),
        ceiling="bandwidth",
    )


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
    padded = "" if padding_idx is None else f" padding={padding_idx}"
    return Case(
        op="embedding_bags",
        shape=f"{kind} B={rows} T={each} V={size} d={width}{padded}",
        direction="backward" if backward else "forward",
        run=side(ours),
        peers=peers,
        verify=verify,
        bytes=_bytes([ids], [weight], grad, backward=backward),
        ceiling="bandwidth",
    )


def _bytes(
    ids: Sequence[Tensor], weights: Sequence[Tensor], result: Tensor, *, backward: bool
) -> float:
    """Ids and their rows in, the result out; backward its gradient in, the rows read and written
    once more, and the tables' gradients cleared.
    """
    count, width = sum(each.numel() for each in ids), weights[0].shape[1]
    forward = 8.0 * count + 4.0 * (count * width + result.numel())
    if not backward:
        return forward
    cleared = sum(weight.numel() for weight in weights)
    return forward + 8.0 * count + 4.0 * (result.numel() + 2 * count * width + cleared)
