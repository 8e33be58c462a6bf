"""Composites of training ops do not wait for the device, and sum in an order that never varies."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from coaction_inputs import make_call
from device_reads import device_reads
from dice_inputs import make, results
from embedding_inputs import example
from memory_inputs import UTILIZATIONS, MimnScan, hpmn_params, hpmn_state
from recurrent_inputs import Scan
from varying_order import varying_order


def backward(outputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> None:
    total = sum((each.float().square().sum() for each in outputs), torch.zeros(()))
    torch.autograd.grad(total, leaves, allow_unused=True)


def coaction(**options: Any) -> None:
    call = make_call(3, 5, (4, 3, 2), candidates=8, orders=2, **options)
    backward([recops.coaction(*call.arguments, **call.options)], [call.feed, call.params])


def coaction_gather() -> None:
    tables = torch.randn(6, 4, requires_grad=True), torch.randn(5, 18, requires_grad=True)
    history, targets = torch.tensor([[0, 3, 3], [5, 0, 9]]), torch.tensor([4, 1, 4])
    out = recops.coaction_gather(
        *(tables[0], history, tables[1], targets, (4, 3, 2)),
        lengths=torch.tensor([3, 2]),
        feed_index=torch.tensor([1, 1, 0]),
    )
    backward([out], tables)


def coaction_multi() -> None:
    calls = [make_call(3, 5, dims, candidates=8) for dims in ((4, 3), (5, 2))]
    outputs = recops.coaction_multi([call.arguments for call in calls], **calls[0].options)
    backward(outputs, [tensor for call in calls for tensor in (call.feed, call.params)])


def embedding_bags() -> None:
    bags = example(torch.float32)
    backward([recops.embedding_bags(bags, padding_idx=0)], [bags[0][0], bags[1][0]])


def next_event_loss() -> None:
    states, events = (torch.randn(3, 5, 4, requires_grad=True) for _ in range(2))
    layers = [torch.randn(*size, requires_grad=True) for size in ((6, 8), (6,), (1, 6), (1,))]
    drawn, lengths = torch.tensor([[0, 7, 7, 14]] * 3), torch.tensor([5, 0, 3])
    loss = recops.next_event_loss(states, events, drawn, layers, lengths=lengths)
    backward([loss], [states, events, *layers])


def hpmn_scan() -> None:
    params = hpmn_params(3, 4, 2, dtype=torch.float32)
    state = hpmn_state(params, 3, dtype=torch.float32)
    x, lengths = torch.randn(3, 5, 3, requires_grad=True), torch.tensor([5, 0, 3])
    out, _ = recops.hpmn_scan(x, params, state, periods=[1, 2], lengths=lengths, checkpoint=2)
    backward([out], [x])


CALLS: dict[str, Callable[[], object]] = {
    "coaction": coaction,
    "coaction with a mean and a bias": lambda: coaction(pool="mean", bias=True),
    "coaction_gather": coaction_gather,
    "coaction_multi": coaction_multi,
    "dice": lambda: results(make()),
    "dice with statistics": lambda: results(make(of_batch=False)),
    "embedding_bags": embedding_bags,
    "next_event_loss": next_event_loss,
    "recurrent_scan": lambda: Scan().gradients(recops),
    "recurrent_scan of shared gates": lambda: Scan(users=3).gradients(recops),
    "recurrent_layer": lambda: Scan(inputs=5).gradients(recops),
    "hpmn_scan": hpmn_scan,
} | {
    f"mimn_scan, {utilization}": lambda utilization=utilization: MimnScan(
        utilization=utilization, topk=2
    ).gradients(recops, checkpoint=4)
    for utilization in UTILIZATIONS
}


@pytest.mark.parametrize("name", CALLS)
def test_order_of_sums_never_varies(name: str) -> None:
    with varying_order() as ops:
        CALLS[name]()
    assert ops == []


@pytest.mark.parametrize("name", CALLS)
def test_training_does_not_wait_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS[name]()  # Modules of composites are imported at their first use.
    for module in ("recops.ops._composite", "recops.ops.memory.composite"):
        monkeypatch.setattr(importlib.import_module(module), "checks_data", lambda tensor: False)
    with device_reads() as counts:
        CALLS[name]()
    del counts["lift_fresh"]  # The inputs themselves.
    assert counts.total() == 0, counts


def test_a_varying_order_is_recorded() -> None:
    x, index = torch.zeros(3, requires_grad=True), torch.tensor([0, 2, 0])
    with varying_order() as ops:
        x.detach().clone().index_add_(0, index, torch.ones(3))
        x.gather(0, index[:2]).sum().backward()
        x.gather(0, index).sum().backward()
        x.detach().clone()[index] = torch.ones(3)
        x.detach().cumsum(0)
        index.cumsum(0)
    assert ops == ["index_add_", "scatter_add", "index_put_", "cumsum"]
