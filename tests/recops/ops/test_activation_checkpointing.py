"""Ops under torch's activation checkpointing, which recomputes what the backward pass needs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import recops

pytestmark = pytest.mark.composites

MIMN = recops.MimnParams.random(input_size=4, hidden_size=3, num_slots=2)
HPMN = recops.HpmnParams.random(input_size=4, hidden_size=3, num_slots=2)
SCANNED = torch.randn(4, 12, generator=torch.Generator().manual_seed(1))
CODES = torch.tensor([[0, 1], [2, 0]])
OPS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "recurrent_scan": ((2, 3, 12), lambda x: recops.recurrent_scan(x, SCANNED.T)[0]),
    "coaction": ((2, 3, 4), lambda x: recops.coaction(x, x.new_ones(2, 8), (4, 2))),
    "rq_decode": ((2, 3, 4), lambda x: recops.rq_decode(CODES, x)),
    "dice": ((3, 4), lambda x: recops.dice(x, x.new_ones(4))[0]),
    "embedding_bags": ((3, 4), lambda x: recops.embedding_bags([(x, CODES)])),
    "mimn_scan": ((2, 3, 4), lambda x: recops.mimn_scan(x, MIMN, utilization="code")[0]),
    "hpmn_scan": ((2, 3, 4), lambda x: recops.hpmn_scan(x, HPMN, periods=[1, 2])[0]),
}


@pytest.mark.parametrize("name", OPS)
def test_a_checkpointed_region_may_end_with_an_op(name: str) -> None:
    shape, op = OPS[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def region(x: Tensor) -> Tensor:
        return op(x * 2)

    (plain,) = torch.autograd.grad(region(x).sum(), x)
    (again,) = torch.autograd.grad(checkpoint(region, x, use_reentrant=False).sum(), x)
    assert torch.equal(plain, again)
