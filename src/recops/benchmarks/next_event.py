"""Benchmarks of DIEN's auxiliary loss against plain PyTorch, which stores all hidden units."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register

# rows, steps, width, hidden layers of the released code
SHAPES = [(128, 100, 36, (100, 50)), (128, 400, 36, (100, 50))]


@register("next_event")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        for backward in (False, True):
            yield loss_case(*shape, backward=backward)


def loss_case(
    rows: int, steps: int, width: int, hidden: tuple[int, ...], *, backward: bool = False
) -> Case:
    """Run the loss on full histories, forward or forward and backward with all gradients."""
    random = torch.Generator().manual_seed(0)
    states, events = torch.randn(2, rows, steps, width, generator=random).tanh()
    drawn = torch.randint(rows * steps, (rows, steps - 1), generator=random)
    leaves = [states, events]
    sizes = [2 * width, *hidden, 1]
    for inputs, outputs in itertools.pairwise(sizes):
        bound = inputs**-0.5
        weight = torch.rand(outputs, inputs, generator=random) * 2 * bound - bound
        leaves += [weight, torch.zeros(outputs)]
    if backward:
        leaves = [leaf.requires_grad_() for leaf in leaves]

    def side(function: Callable[..., Tensor]) -> Thunk:
        def run() -> Tensor:
            return function(leaves[0], leaves[1], drawn, leaves[2:])

        if not backward:
            return run
        return lambda: torch.autograd.grad(run(), leaves)

    run_op, plain = side(recops.next_event_loss), side(reference.next_event_loss)

    def verify() -> None:
        exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
        loss = reference.next_event_loss(exact[0], exact[1], drawn, exact[2:])
        expected = torch.autograd.grad(loss, exact) if backward else loss.detach()
        torch.testing.assert_close(run_op(), expected, rtol=1e-4, atol=1e-3, check_dtype=False)

    # W_h h is computed once; W_e e and all other layers twice, for the positive and the negative.
    pair = sum(2 * i * o for i, o in itertools.pairwise(sizes))
    work = 3 * width * hidden[0] + pair
    return Case(
        op="next_event_loss",
        shape=f"B={rows} T={steps} d={width} {'-'.join(map(str, hidden))}",
        direction="backward" if backward else "forward",
        run=run_op,
        peers={"plain": plain},
        verify=verify,
        flops=2.0 * work * rows * (steps - 1) * (3 if backward else 1),
    )
