"""Benchmarks of recurrent layers against nn.GRU and a loop over steps, as in DIEN's torch ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register

CPU = torch.device("cpu")
# rows, steps, hidden size, which is also the width of the input: the paper of DIEN, DIEN in the
# paper of MIMN, BARS
SHAPES = [(128, 100, 36), (128, 200, 32), (256, 50, 64), (256, 50, 128)]
# With a loss only on the last state, gradients become subnormal after about 150 steps.
LAST_STATE_SHAPES = [(64, 200, 36), (64, 400, 36), (64, 2000, 36)]


@register("recurrent")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        for backward in (False, True):
            yield layer_case(*shape, backward=backward)
    yield layer_case(*SHAPES[0], reset="before")
    for shape in LAST_STATE_SHAPES[:1] if quick else LAST_STATE_SHAPES:
        yield last_state_case(*shape)


@dataclass
class ScanInputs:
    """Weights and inputs of an AUGRU layer; the attention of each row sums to 1."""

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

    def to(self, device: torch.device) -> ScanInputs:
        """Return the inputs on a device."""
        return ScanInputs(*(values.to(device) for values in vars(self).values()))

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
    device: torch.device = CPU,
) -> Case:
    """Run an AUGRU layer, forward or forward and backward with the gradients of all inputs.

    ``nn.GRU`` has no attention. It does less work, and its results are not compared.
    """
    inputs = ScanInputs.random(rows, steps, hidden).to(device)

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
            arguments = (inputs.x, inputs.w_ih, inputs.w_hh, inputs.bias, inputs.attention)
            return lambda: run(*arguments)
        leaves = inputs.leaves()
        return lambda: torch.autograd.grad(run(*leaves), leaves, inputs.grad_outputs)

    run_op, loop = side(recops.recurrent_layer), side(reference.recurrent_layer)

    def verify() -> None:
        torch.testing.assert_close(run_op(), loop(), rtol=1e-3, atol=1e-3)

    # The projections of input and state; the backward pass has two products for each.
    passes = 3 if backward else 1
    return Case(
        op="recurrent_layer",
        shape=f"B={rows} T={steps} H={hidden} augru {reset} {update}",
        direction="backward" if backward else "forward",
        device=str(device),
        run=run_op,
        peers={"loop": loop, "nn.GRU": _gru(inputs, backward)},
        verify=verify,
        flops=2.0 * 6 * hidden * hidden * rows * steps * passes,
    )


def scan_case(
    rows: int, steps: int, hidden: int, *, backward: bool = False, device: torch.device = CPU
) -> Case:
    """Run the scan of an AUGRU on given gates; the peer is a loop over the steps."""
    inputs = ScanInputs.random(rows, steps, hidden).to(device)
    gates = inputs.x @ inputs.w_ih.T

    def side(function: Callable[..., tuple[Tensor, Tensor]]) -> Thunk:
        def run(gates: Tensor, w_hh: Tensor, bias: Tensor, attention: Tensor) -> Tensor:
            return function(gates, w_hh, bias, attention=attention, cell="augru")[0]

        operands = (gates, inputs.w_hh, inputs.bias, inputs.attention)
        if not backward:
            return lambda: run(*operands)
        leaves = [operand.clone().requires_grad_() for operand in operands]
        return lambda: torch.autograd.grad(run(*leaves), leaves, inputs.grad_outputs)

    run_op, loop = side(recops.recurrent_scan), side(reference.recurrent_scan)
    return Case(
        op="recurrent_scan",
        shape=f"B={rows} T={steps} H={hidden} augru",
        direction="backward" if backward else "forward",
        device=str(device),
        run=run_op,
        peers={"loop": loop},
        verify=lambda: torch.testing.assert_close(run_op(), loop(), rtol=1e-3, atol=1e-3),
        flops=2.0 * 3 * hidden * hidden * rows * steps * (3 if backward else 1),
    )


def one_step_case(rows: int, hidden: int, *, device: torch.device = CPU) -> Case:
    """Update states by one step of an AUGRU; the peer is the reference of the scan."""
    inputs = ScanInputs.random(rows, 1, hidden).to(device)
    gates, attention = inputs.x @ inputs.w_ih.T, inputs.attention
    states = inputs.grad_outputs[:, 0].tanh()

    def run_op() -> Tensor:
        return recops.recurrent_step(
            *(states, gates[:, 0], inputs.w_hh, inputs.bias),
            attention=attention[:, 0],
            cell="augru",
        )

    def loop() -> Tensor:
        return reference.recurrent_scan(
            *(gates, inputs.w_hh, inputs.bias), h0=states, attention=attention, cell="augru"
        )[1]

    return Case(
        op="recurrent_step",
        shape=f"B={rows} H={hidden} augru",
        device=str(device),
        run=run_op,
        peers={"eager": loop},
        verify=lambda: torch.testing.assert_close(run_op(), loop(), rtol=1e-4, atol=1e-4),
        flops=2.0 * 3 * hidden * hidden * rows,
    )


def last_state_case(
    rows: int,
    steps: int,
    hidden: int,
    *,
    cell: str = "gru",
    projected: bool = True,
    reset: str = "after",
    update: str = "paper",
) -> Case:
    """Run a loss on the last state, forward and backward with the gradients of all inputs.

    The peer "all outputs" is the same call with a loss on every output. nn.GRU is measured with
    subnormal numbers, as users run it, and with these flushed.

    Args:
        rows: B.
        steps: T.
        hidden: H, also the width of x.
        cell: "gru", "agru" or "augru".
        projected: whether to run ``recurrent_layer`` instead of ``recurrent_scan``.
        reset: position of the reset gate.
        update: form of an AUGRU's update.
    """
    inputs = ScanInputs.random(rows, steps, hidden)
    x, w_ih, w_hh, bias, attention = inputs.leaves()
    gates = (inputs.x @ inputs.w_ih.T).requires_grad_()
    leaves = [x, w_ih, w_hh, bias] if projected else [gates, w_hh, bias]
    op = "recurrent_layer" if projected else "recurrent_scan"
    if cell != "gru":
        leaves.append(attention)

    def run(module: ModuleType, steps: int) -> tuple[Tensor, Tensor]:
        first, *weights = leaves[:-1] if cell != "gru" else leaves
        options = {"cell": cell, "reset": reset, "update": update}
        attention_option = {} if cell == "gru" else {"attention": attention[:, :steps]}
        # scan: gates, w_hh, b_hh; layer: x, w_ih, w_hh, b_ih
        states: tuple[Tensor, Tensor] = getattr(module, op)(
            first[:, :steps], *weights, **attention_option, **options
        )
        return states

    def last_state_loss() -> object:
        return torch.autograd.grad(run(recops, steps)[1], leaves, inputs.grad_outputs[:, -1])

    def all_outputs_loss() -> object:
        return torch.autograd.grad(run(recops, steps)[0], leaves, inputs.grad_outputs)

    def verify() -> None:
        few_steps = min(steps, 100)
        grad = inputs.grad_outputs[:, 0]
        gradients, expected = (
            torch.autograd.grad(run(module, few_steps)[1], leaves, grad)
            for module in (recops, reference)
        )
        torch.testing.assert_close(gradients, expected, rtol=1e-3, atol=1e-3)

    peers: dict[str, Thunk] = {"all outputs": all_outputs_loss}
    if projected and cell == "gru":
        train = _gru(inputs, True, last_state=True)

        def train_flushed() -> object:
            with recops.flush_subnormals():
                return train()

        peers |= {"nn.GRU": train, "nn.GRU flushed": train_flushed}
    width = 6 if projected else 3
    return Case(
        op=op,
        shape=f"B={rows} T={steps} H={hidden} {cell} {reset} {update} last state",
        direction="backward",
        run=last_state_loss,
        peers=peers,
        verify=verify,
        flops=2.0 * width * hidden * hidden * rows * steps * 3,
    )


def _gru(inputs: ScanInputs, backward: bool, *, last_state: bool = False) -> Thunk:
    hidden = inputs.w_hh.shape[1]
    gru = nn.GRU(hidden, hidden, batch_first=True).to(inputs.x.device)
    if not backward:

        def infer() -> object:
            with torch.no_grad():
                return gru(inputs.x)

        return infer
    x = inputs.x.clone().requires_grad_()
    leaves = [x, *gru.parameters()]
    if last_state:
        return lambda: torch.autograd.grad(gru(x)[1][0], leaves, inputs.grad_outputs[:, -1])
    return lambda: torch.autograd.grad(gru(x)[0], leaves, inputs.grad_outputs)
