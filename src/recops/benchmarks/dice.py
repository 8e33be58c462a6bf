"""Benchmarks of Dice against plain PyTorch with batch norm, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register

# rows, columns: a usual and a large training batch.
SHAPES = [(128, 200), (4096, 200)]


@register("dice")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        for backward in (False, True):
            yield dice_case(*shape, backward=backward, compiled=not quick)


def plain(x: Tensor, alpha: Tensor) -> Tensor:
    """Compute Dice with batch statistics, without returning them."""
    standardised = F.batch_norm(x, None, None, training=True, eps=1e-8)
    return x * (alpha + (1 - alpha) * torch.sigmoid(standardised))


def dice_case(rows: int, columns: int, *, backward: bool = False, compiled: bool = False) -> Case:
    """Run Dice with batch statistics, forward or forward and backward with both gradients."""
    random = torch.Generator().manual_seed(0)
    x, grad = torch.randn(2, rows, columns, generator=random)
    leaves = [x, torch.rand(columns, generator=random)]
    if backward:
        leaves = [leaf.requires_grad_() for leaf in leaves]

    def side(function: Callable[[Tensor, Tensor], Tensor]) -> Thunk:
        if not backward:
            return lambda: function(*leaves)
        return lambda: torch.autograd.grad(function(*leaves), leaves, grad)

    run_op = side(lambda x, alpha: recops.dice(x, alpha)[0])
    peers = {"eager": side(plain)}
    if compiled:
        peers["compile"] = side(torch.compile(plain))

    def verify() -> None:
        exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
        out, _, _ = reference.dice(*exact)
        expected = torch.autograd.grad(out, exact, grad.double()) if backward else out.detach()
        for run in (run_op, *peers.values()):
            torch.testing.assert_close(run(), expected, rtol=1e-4, atol=1e-4, check_dtype=False)

    # Forward reads x and writes out; backward reads x and a gradient and writes a gradient.
    return Case(
        op="dice",
        shape=f"B={rows} N={columns}",
        direction="backward" if backward else "forward",
        run=run_op,
        peers=peers,
        verify=verify,
        bytes=4.0 * rows * columns * (5 if backward else 2),
        ceiling="bandwidth",
    )
