"""Composites agree with the CPU kernels, in results and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from implementations import composites_on_cpu

Case = Callable[[], Sequence[Tensor]]
CASES: dict[str, Case] = {}


def add_case(name: str, function: Callable[..., Sequence[Tensor]], **options: Any) -> None:
    CASES[f"{name}-{'-'.join(map(str, options.values()))}"] = lambda: function(**options)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).to(dtype)


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return normal(*shape, seed=seed).requires_grad_()


def integers(high: int, *shape: int, low: int = 0) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(high))


def with_gradients(outputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs and the gradients of a weighted sum of all differentiable outputs."""
    total = sum(
        (output.double() * normal(*output.shape, seed=9)).sum()
        for output in outputs
        if output.requires_grad
    )
    assert isinstance(total, Tensor)
    grads = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    return [*(output.detach() for output in outputs), *(grad.to_dense() for grad in grads)]


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_kernel(name: str) -> None:
    expected = CASES[name]()
    with composites_on_cpu():
        actual = CASES[name]()
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5, equal_nan=True)


def dice(with_statistics: bool) -> list[Tensor]:
    x, alpha = leaf(20, 7), leaf(7)
    statistics = (torch.zeros(7), torch.ones(7)) if with_statistics else ()
    return with_gradients(recops.dice(x, alpha, *statistics), [x, alpha])


def embedding_bags(padding_idx: int | None) -> list[Tensor]:
    first, second = leaf(30, 4), leaf(10, 3)
    bags = [
        (first, integers(30, 12)),
        (second, integers(10, 12, 5)),
        (first, integers(30, 12, 3)),
    ]
    out = recops.embedding_bags(bags, padding_idx=padding_idx)
    return with_gradients([out], [first, second])


for flag in (False, True):
    add_case("dice", dice, with_statistics=flag)
for padding in (None, 2):
    add_case("embedding_bags", embedding_bags, padding_idx=padding)


# ---- Noise of flips, and moves between codes


def code_flip_rate(seed: int) -> list[Tensor]:
    x = normal(50, 8)
    x[7] = torch.nan
    sigma = torch.tensor([0.3, 0.2, 0.4])
    return [recops.code_flip_rate(x, normal(3, 16, 8), sigma, samples=8, seed=seed)]


def balance_assignment(slack: float) -> tuple[Tensor, Tensor, Tensor]:
    x, codebook, weight = normal(300, 4), normal(12, 4), normal(300).abs() + 0.1
    return recops.balance_assignment(x, codebook, weight, float(weight.sum()) / 12 * slack)


for seed in (7, -5):
    add_case("code_flip_rate", code_flip_rate, seed=seed)
for slack in (1.05, 1.3, 2.0):
    add_case("balance_assignment", balance_assignment, slack=slack)


# ---- Losses, co-action and scans


def next_event_loss(is_ragged: bool) -> list[Tensor]:
    states, events = leaf(5, 6, 4), leaf(5, 6, 4, seed=1)
    layers = [leaf(7, 8), leaf(7), leaf(1, 7), leaf(1)]
    lengths = torch.tensor([6, 0, 1, 3, 5]) if is_ragged else None
    loss = recops.next_event_loss(states, events, integers(30, 5, 5), layers, lengths=lengths)
    return with_gradients([loss], [states, events, *layers])


LENGTHS = torch.tensor([9, 0, 3, 4, 5, 1])
COACTION: dict[str, dict[str, Any]] = {
    "orders": {"orders": 2, "bias": True},
    "mean": {"orders": 2, "bias": True, "pool": "mean", "activation": "relu"},
    "last": {"orders": 2, "bias": True, "concat_hidden": False, "activation": "selu"},
}


def coaction(options: str) -> list[Tensor]:
    feed, params, index = leaf(6, 9, 4), leaf(10, 23), integers(6, 10)
    out = recops.coaction(
        feed, params, (4, 3, 2), feed_index=index, lengths=LENGTHS, **COACTION[options]
    )
    return with_gradients([out], [feed, params])


def coaction_gather(sparse: bool) -> list[Tensor]:
    feed, params = leaf(20, 4), leaf(15, 18)
    out = recops.coaction_gather(
        feed,
        integers(20, 6, 9),
        params,
        integers(15, 10),
        (4, 3, 2),
        sparse=sparse,
        orders=2,
        feed_index=integers(6, 10),
        lengths=LENGTHS,
    )
    return with_gradients([out], [feed, params])


def coaction_multi() -> list[Tensor]:
    feeds = leaf(6, 9, 4), leaf(6, 9, 4, seed=1)
    params = leaf(6, 18), leaf(6, 8)
    pairs = [(feeds[0], params[0], (4, 3, 2)), (feeds[1], params[1], (4, 2))]
    outputs = recops.coaction_multi(pairs, orders=2, lengths=LENGTHS)
    return with_gradients(outputs, [*feeds, *params])


def recurrent_scan(cell: Any, reset: Any, update: Any) -> list[Tensor]:
    gates, w_hh, b_hh, h0 = leaf(6, 9, 12), leaf(12, 4), leaf(12), leaf(6, 4)
    attention = None if cell == "gru" else normal(6, 9).sigmoid().requires_grad_()
    outputs = recops.recurrent_scan(
        gates,
        w_hh,
        b_hh,
        h0,
        attention=attention,
        lengths=LENGTHS,
        cell=cell,
        reset=reset,
        update=update,
    )
    leaves = [gates, w_hh, b_hh, h0, *([] if attention is None else [attention])]
    return with_gradients(outputs, leaves)


def shared_gates() -> list[Tensor]:
    gates, w_hh = leaf(6, 9, 12), leaf(12, 4)
    index = torch.tensor([0, 0, 3, 5])
    outputs = recops.recurrent_scan(gates, w_hh, gates_index=index, lengths=LENGTHS)
    return with_gradients(outputs, [gates, w_hh])


def recurrent_layer(has_bias: bool) -> list[Tensor]:
    x, w_ih, w_hh = leaf(6, 9, 3), leaf(12, 3), leaf(12, 4)
    biases = [leaf(12), leaf(12, seed=1)] if has_bias else []
    outputs = recops.recurrent_layer(x, w_ih, w_hh, *biases, lengths=LENGTHS)
    return with_gradients(outputs, [x, w_ih, w_hh, *biases])


for flag in (False, True):
    add_case("next_event_loss", next_event_loss, is_ragged=flag)
    add_case("coaction_gather", coaction_gather, sparse=flag)
    add_case("recurrent_layer", recurrent_layer, has_bias=flag)
for options in COACTION:
    add_case("coaction", coaction, options=options)
add_case("coaction_multi", coaction_multi)
for cell, reset, update in product(("gru", "agru", "augru"), ("after", "before"), ("paper", "or")):
    add_case("recurrent_scan", recurrent_scan, cell=cell, reset=reset, update=update)
add_case("shared_gates", shared_gates)


# ---- Memory networks

HPMN = recops.HpmnParams.random(input_size=6, hidden_size=5, num_slots=3)
MIMN = recops.MimnParams.random(input_size=6, hidden_size=5, num_slots=4)
ROWS = torch.tensor([3, 1, 3, 3, 0])


def hpmn_scan(checkpoint: int | None) -> list[Tensor]:
    x, memory = leaf(4, 11, 6), leaf(4, 3, 5)
    state = recops.HpmnState(memory, torch.tensor([0, 3, 2, 9]))
    lengths = torch.tensor([11, 0, 5, 9])
    options: dict[str, Any] = {"lengths": lengths, "checkpoint": checkpoint}
    out, _ = recops.hpmn_scan(x, HPMN, state, periods=[1, 2, 4], **options)
    return with_gradients([out], [x, memory])


def hpmn_step() -> list[Tensor]:
    pool = recops.HpmnState(normal(5, 3, 5), torch.arange(5))
    recops.hpmn_step_(pool, ROWS, normal(5, 6), HPMN, periods=[1, 2, 4])
    return [pool.memory, pool.count]


def mimn_scan(utilization: Any, checkpoint: int | None) -> list[Tensor]:
    x = leaf(4, 11, 6)
    tensors = {
        name: tensor.detach().clone().requires_grad_() for name, tensor in MIMN.named_tensors()
    }
    params = recops.MimnParams(**tensors)
    out, state = recops.mimn_scan(
        x,
        params,
        lengths=torch.tensor([11, 0, 5, 9]),
        utilization=utilization,
        induction_topk=2,
        checkpoint=checkpoint,
    )
    return with_gradients([out, *state.floats()], [x, *tensors.values()])


def mimn_step(utilization: Any) -> list[Tensor]:
    pool = recops.MimnState.zeros(MIMN, 5)
    recops.mimn_step_(pool, ROWS, normal(5, 6), MIMN, utilization=utilization)
    read = recops.mimn_read(pool, ROWS, normal(5, 6), MIMN, utilization=utilization)
    return [*pool.floats(), pool.count, *read]


for checkpoint in (None, 3):
    add_case("hpmn_scan", hpmn_scan, checkpoint=checkpoint)
add_case("hpmn_step", hpmn_step)
for utilization in ("none", "paper", "code"):
    for checkpoint in (None, 3):
        add_case("mimn_scan", mimn_scan, utilization=utilization, checkpoint=checkpoint)
    add_case("mimn_step", mimn_step, utilization=utilization)
