"""Recurrent layers beside nn.GRU and the loop over steps that every torch port of DIEN runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register

# rows, steps, hidden size; the input is as wide as the state. DIEN's paper, MIMN's DIEN, BARS.
SHAPES = [(128, 100, 36), (128, 200, 32), (256, 50, 64), (256, 50, 128)]


@register("recurrent")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        for backward in (False, True):
            yield layer_case(*shape, backward=backward)
    yield layer_case(*SHAPES[0], reset="before")


@dataclass
class ScanInputs:
    """An AUGRU layer and what it reads; attention of a row sums to 1."""

    x: Tensor
    w_ih: Tensor
    w_hh: Tensor
    bias: Tensor
    attention: Tensor
    grad_outputs: Tensor

    @classmethod
    def random(cls, rows: int, steps: int, hidden: int) -> ScanInputs:
        random = torch.Generator().manual_seed(0)

        def uniform(*shape: int) -> Tensor:
            values: Tensor = (2 * torch.rand(shape, generator=random) - 1) * hidden**-0.5
            return values

        return cls(
            torch.randn(rows, steps, hidden, generator=random),
            uniform(3 * hidden, hidden),
            uniform(3 * hidden, hidden),
            uniform(3 * hidden),
            torch.randn(rows, steps, generator=random).softmax(1),
            torch.randn(rows, steps, hidden, generator=random),
        )

    def leaves(self) -> list[Tensor]:
        tensors = (self.x, self.w_ih, self.w_hh, self.bias, self.attention)
        return [tensor.clone().requires_grad_() for tensor in tensors]


def layer_case(
    rows: int,
    steps: int,
    hidden: int,
    *,
    reset: str = "after",
    update: str = "paper",
    backward: bool = False,
) -> Case:
    """Forward, or forward and backward with the gradients of input, weights and attention.

    ``nn.GRU`` knows no attention: it does less, and is no oracle.
    """
    inputs = ScanInputs.random(rows, steps, hidden)

    def side(function: Callable[..., tuple[Tensor, Tensor]]) -> Thunk:
        def run(x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, attention: Tensor) -> Tensor:
            return function(
                x,
                w_ih,
                w_hh,
                bias,
                attention=attention,
                cell="augru",
                reset=reset,
                update=update,
            )[0]

        if not backward:
            given = (inputs.x, inputs.w_ih, inputs.w_hh, inputs.bias, inputs.attention)
            return lambda: run(*given)
        leaves = inputs.leaves()
        return lambda: torch.autograd.grad(run(*leaves), leaves, inputs.grad_outputs)

    ours, loop = side(recops.recurrent_layer), side(reference.recurrent_layer)

    def verify() -> None:
        torch.testing.assert_close(ours(), loop(), rtol=1e-3, atol=1e-3)

    # The projections of input and state; backward the gradients of both sides of both.
    passes = 3 if backward else 1
    return Case(
        op="recurrent_layer",
        shape=f"B={rows} T={steps} H={hidden} augru {reset} {update}",
        direction="backward" if backward else "forward",
        run=ours,
        peers={"loop": loop, "nn.GRU": _gru(inputs, backward)},
        verify=verify,
        flops=2.0 * 6 * hidden * hidden * rows * steps * passes,
    )


def _gru(inputs: ScanInputs, backward: bool) -> Thunk:
    hidden = inputs.w_hh.shape[1]
    gru = nn.GRU(hidden, hidden, batch_first=True)
    if not backward:

        def infer() -> object:
            with torch.no_grad():
                return gru(inputs.x)

        return infer
    x = inputs.x.clone().requires_grad_()
    leaves = [x, *gru.parameters()]
    return lambda: torch.autograd.grad(gru(x)[0], leaves, inputs.grad_outputs)
