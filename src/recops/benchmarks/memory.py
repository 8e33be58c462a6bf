"""Benchmarks of MIMN against a loop over steps, and of HPMN against a stack of strided GRUs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.utils import _pytree

import recops
from recops import HpmnParams, HpmnState, MimnParams, MimnState, reference
from recops.benchmarks.registry import Case, Thunk, register
from recops.reference.memory.mimn import step

CPU = torch.device("cpu")
# rows, steps, width of inputs and state, slots, utilization, updated channels: Taobao of the
# paper, without and with utilization and induction
MIMN = [(256, 200, 32, 4, "none", 0), (256, 200, 32, 8, "code", 1)]
# rows, steps, width of inputs, width of slots, periods: Taobao, and a thousand events (XLong)
HPMN = [(128, 300, 64, 32, (1, 2, 4, 12)), (500, 1024, 32, 32, (1, 2, 4, 8, 16))]
# steps of histories with a loss only on the last state, whose gradients become subnormal
LAST_STATE_STEPS = [200, 400, 2000]
# users in the pool, events per call
STREAM = (200_000, 20_000)


@register("memory")
def cases(quick: bool) -> Iterator[Case]:
    for mimn in MIMN[:1] if quick else MIMN:
        for backward in (False, True):
            yield mimn_case(*mimn, backward=backward, compiled=not quick)
    for hpmn in HPMN[:1] if quick else HPMN:
        for backward in (False, True):
            yield hpmn_case(*hpmn, backward=backward)
    yield stream_case(*STREAM)
    for steps in LAST_STATE_STEPS[:1] if quick else LAST_STATE_STEPS:
        yield mimn_last_state_case(steps)
        yield hpmn_last_state_case(steps)


def _leaves(holder: object) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(holder) if isinstance(leaf, Tensor)]


def mimn_flops(width: int, slots: int, topk: int) -> float:
    """Return the operations of a step: two per multiplication of a weight or a slot."""
    controller, head, out = 9 * width**2, (4 * width + 6) * width, 2 * width**2
    return 2.0 * (controller + head + out + 9 * topk * width**2 + 8 * slots * width)


def mimn_case(
    rows: int,
    steps: int,
    width: int,
    slots: int,
    utilization: str,
    topk: int,
    *,
    backward: bool = False,
    compiled: bool = False,
    device: torch.device = CPU,
) -> Case:
    """Run MIMN, forward or forward and backward with the gradients of x and all weights."""
    params = MimnParams.random(input_size=width, hidden_size=width, num_slots=slots).to(device)
    x = torch.randn(rows, steps, width, generator=torch.Generator().manual_seed(0)).to(device)
    weights = _leaves(params)
    if backward:
        for leaf in (x, *weights):
            leaf.requires_grad_()

    def run_op() -> Tensor:
        options = {"utilization": utilization, "induction_topk": topk}
        return recops.mimn_scan(x, params, **options)[0]  # type: ignore[arg-type]

    def loop(advance: Callable[..., tuple[MimnState, Tensor, Tensor]]) -> Tensor:
        state, outputs = MimnState.zeros(params, rows), []
        for t in range(steps):
            state, out, _ = advance(state, x[:, t], params, utilization, topk)
            outputs.append(out)
        return torch.stack(outputs, 1)

    def side(run: Callable[[], Tensor]) -> Thunk:
        if not backward:
            return run
        leaves = [x, *weights]
        return lambda: torch.autograd.grad(run().sum(), leaves, allow_unused=True)[0]

    peers = {"eager": side(lambda: loop(step))}
    if compiled:
        fused = torch.compile(step)
        peers["compile"] = side(lambda: loop(fused))
    run = side(run_op)

    def verify() -> None:
        for peer in peers.values():
            torch.testing.assert_close(run(), peer(), rtol=1e-2, atol=1e-2)

    return Case(
        op="mimn_scan",
        shape=f"B={rows} T={steps} D=H={width} m={slots} {utilization} topk={topk}",
        direction="backward" if backward else "forward",
        device=str(device),
        run=run,
        peers=peers,
        verify=verify,
        flops=mimn_flops(width, slots, topk) * rows * steps * (4 if backward else 1),
    )


def stream_case(
    users: int, events: int, width: int = 32, slots: int = 8, *, device: torch.device = CPU
) -> Case:
    """Apply events of random users to a pool; the peer gathers, runs one step and scatters."""
    params = MimnParams.random(input_size=width, hidden_size=width, num_slots=slots).to(device)
    random = torch.Generator().manual_seed(0)
    pool, other = MimnState.zeros(params, users), MimnState.zeros(params, users)
    rows = torch.randperm(users, generator=random)[:events].to(device)
    x = torch.randn(events, width, generator=random).to(device)

    def run_op() -> None:
        recops.mimn_step_(pool, rows, x, params, utilization="code")

    def gathered() -> None:
        state = MimnState(**{name: tensor[rows] for name, tensor in other.named_tensors()})
        new, _, _ = step(state, x, params, "code", 1)
        for name, tensor in new.named_tensors():
            getattr(other, name)[rows] = tensor

    def verify() -> None:
        run_op()
        gathered()
        torch.testing.assert_close(pool.memory[rows], other.memory[rows], rtol=1e-3, atol=1e-3)

    return Case(
        op="mimn_step_",
        shape=f"N={users} E={events} D=H={width} m={slots} code topk=1",
        device=str(device),
        run=run_op,
        peers={"gather, step, scatter": gathered},
        verify=verify,
        flops=mimn_flops(width, slots, 1) * events,
    )


def hpmn_stream_case(
    users: int,
    events: int,
    width: int = 32,
    periods: tuple[int, ...] = (1, 2, 4, 8),
    *,
    device: torch.device = CPU,
) -> Case:
    """Apply events of random users to a pool of HPMN memories.

    The peer gathers the users' states, scans one step and scatters them back.
    """
    params = HpmnParams.random(input_size=width, hidden_size=width, num_slots=len(periods))
    params = params.to(device)
    random = torch.Generator().manual_seed(0)
    pool, other = HpmnState.zeros(params, users), HpmnState.zeros(params, users)
    rows = torch.randperm(users, generator=random)[:events].to(device)
    x = torch.randn(events, width, generator=random).to(device)

    def run_op() -> None:
        recops.hpmn_step_(pool, rows, x, params, periods=periods)

    def gathered() -> None:
        state = HpmnState(**{name: tensor[rows] for name, tensor in other.named_tensors()})
        _, new = recops.hpmn_scan(x[:, None], params, state, periods=periods)
        for name, tensor in new.named_tensors():
            getattr(other, name)[rows] = tensor

    def verify() -> None:
        run_op()
        gathered()
        torch.testing.assert_close(pool.memory, other.memory)
        assert torch.equal(pool.count, other.count)

    return Case(
        op="hpmn_step_",
        shape=f"N={users} E={events} I=H={width} periods={periods}",
        device=str(device),
        run=run_op,
        peers={"gather, scan, scatter": gathered},
        verify=verify,
        flops=2.0 * 6 * width * width * sum(1 / period for period in periods) * events,
    )


def read_case(
    users: int, candidates: int, width: int = 32, slots: int = 8, *, device: torch.device = CPU
) -> Case:
    """Read MIMN memories by candidates; the peer gathers the states and runs one step."""
    params = MimnParams.random(input_size=width, hidden_size=width, num_slots=slots).to(device)
    random = torch.Generator().manual_seed(0)
    pool = MimnState.zeros(params, users)
    rows = torch.randint(users, (candidates,), generator=random).to(device)
    target = torch.randn(candidates, width, generator=random).to(device)
    recops.mimn_step_(pool, rows, target.flip(0), params, utilization="code")

    def run_op() -> Tensor:
        return recops.mimn_read(pool, rows, target, params, utilization="code")[0]

    def gathered() -> Tensor:
        state = MimnState(**{name: tensor[rows] for name, tensor in pool.named_tensors()})
        return step(state, target, params, "code", 1)[1]

    def verify() -> None:
        torch.testing.assert_close(run_op(), gathered(), rtol=1e-3, atol=1e-3)

    return Case(
        op="mimn_read",
        shape=f"N={users} C={candidates} D=H={width} m={slots} code topk=1",
        device=str(device),
        run=run_op,
        peers={"gather, step": gathered},
        verify=verify,
        flops=mimn_flops(width, slots, 1) * candidates,
    )


def hpmn_case(
    rows: int,
    steps: int,
    inputs: int,
    hidden: int,
    periods: tuple[int, ...],
    *,
    backward: bool = False,
    device: torch.device = CPU,
) -> Case:
    """Run HPMN, forward or forward and backward with the gradients of x and all weights.

    The peer is the published layout with GRUs of torch, which apply the reset after the product. It
    does the same work with other results, so the check uses the reference. The number of steps is
    rounded down to a multiple of the last period.
    """
    slots, steps = len(periods), steps // periods[-1] * periods[-1]
    params = HpmnParams.random(input_size=inputs, hidden_size=hidden, num_slots=slots).to(device)
    x = torch.randn(rows, steps, inputs, generator=torch.Generator().manual_seed(0)).to(device)
    strides = [b // a for a, b in zip((1, *periods), periods, strict=False)]
    grus = nn.ModuleList(
        nn.GRU(hidden if j else inputs, hidden, batch_first=True) for j in range(slots)
    ).to(device)
    weights = [*params.w_ih, params.w_hh, params.bias]
    if backward:
        for leaf in (x, *weights):
            leaf.requires_grad_()

    def run_op() -> Tensor:
        return recops.hpmn_scan(x, params, periods=periods)[0]

    def stack() -> Tensor:
        below, memory = x, []
        for gru, stride in zip(grus, strides, strict=True):
            below, last = gru(below[:, stride - 1 :: stride])
            memory.append(last[0])
        return torch.stack(memory, 1)

    def side(run: Callable[[], Tensor], leaves: list[Tensor]) -> Thunk:
        if backward:
            return lambda: torch.autograd.grad(run().sum(), leaves)[0]

        def infer() -> object:
            with torch.no_grad():
                return run()

        return infer

    def verify() -> None:
        events, state = x[:8, : 3 * periods[-1]].detach(), HpmnState.zeros(params, 8)
        expected, _ = reference.hpmn_scan(events, params, state, periods=periods)
        actual, _ = recops.hpmn_scan(events, params, state, periods=periods)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)

    calls = sum(steps // period for period in periods)
    flops = 2.0 * 3 * hidden * (steps * (inputs + hidden) + (calls - steps) * 2 * hidden)
    return Case(
        op="hpmn_scan",
        shape=f"B={rows} T={steps} I={inputs} H={hidden} periods={periods}",
        direction="backward" if backward else "forward",
        device=str(device),
        run=side(run_op, [x, *weights]),
        peers={"strided nn.GRU": side(stack, [x, *grus.parameters()])},
        verify=verify,
        flops=flops * rows * (4 if backward else 1),
        memory=backward,
    )


def mimn_last_state_case(
    steps: int, *, rows: int = 64, width: int = 32, slots: int = 8, utilization: str = "code"
) -> Case:
    """Run a loss on the last output, forward and backward; the peer's loss is on all outputs."""
    params = MimnParams.random(input_size=width, hidden_size=width, num_slots=slots)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(rows, steps, width, generator=random).requires_grad_()
    leaves = [x, *(leaf.requires_grad_() for leaf in _leaves(params))]

    def train(last: bool, steps: int = steps) -> tuple[Tensor | None, ...]:
        outputs, _ = recops.mimn_scan(x[:, :steps], params, utilization=utilization)  # type: ignore[arg-type]
        loss = outputs[:, -1].sum() if last else outputs.sum()
        return torch.autograd.grad(loss, leaves, allow_unused=True)

    def verify() -> None:
        few_steps = min(steps, 50)
        outputs, _ = reference.mimn_scan(x[:, :few_steps], params, utilization=utilization)
        reference_grads = torch.autograd.grad(outputs[:, -1].sum(), leaves, allow_unused=True)
        for gradient, other in zip(train(True, few_steps), reference_grads, strict=True):
            if gradient is None:
                continue
            # Outputs do not depend on the channels: autograd finds no gradient, the op finds 0.
            expected = torch.zeros_like(gradient) if other is None else other
            torch.testing.assert_close(gradient, expected, rtol=1e-2, atol=1e-2)

    return Case(
        op="mimn_scan",
        shape=f"B={rows} T={steps} D=H={width} m={slots} {utilization} topk=1 last output",
        direction="backward",
        run=lambda: train(True),
        peers={"all outputs": lambda: train(False)},
        verify=verify,
        flops=mimn_flops(width, slots, 1) * rows * steps * 4,
    )


def hpmn_last_state_case(
    steps: int, *, rows: int = 64, width: int = 32, periods: tuple[int, ...] = (1, 2, 4, 8, 16)
) -> Case:
    """Run a loss on the final memory, forward and backward; the peer reads only 200 events."""
    params = HpmnParams.random(input_size=width, hidden_size=width, num_slots=len(periods))
    x = torch.randn(rows, max(steps, 200), width, generator=torch.Generator().manual_seed(0))
    weights = [*params.w_ih, params.w_hh, params.bias]
    for weight in weights:
        weight.requires_grad_()
    events = {count: x[:, :count].clone().requires_grad_() for count in (50, 200, steps)}

    def train(module: ModuleType, count: int) -> tuple[Tensor, ...]:
        memory, _ = module.hpmn_scan(events[count], params, periods=periods)
        return torch.autograd.grad(memory.sum(), [events[count], *weights])

    def verify() -> None:
        gradients, expected = (train(module, 50) for module in (recops, reference))
        torch.testing.assert_close(gradients, expected, rtol=1e-2, atol=1e-2)

    calls = sum(steps // period for period in periods)
    return Case(
        op="hpmn_scan",
        shape=f"B={rows} T={steps} I=H={width} periods={periods} final memory",
        direction="backward",
        run=lambda: train(recops, steps),
        peers={"200 events": lambda: train(recops, 200)},
        verify=verify,
        flops=2.0 * 6 * width * width * calls * rows * 4,
    )
