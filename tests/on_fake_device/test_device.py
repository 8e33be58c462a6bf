"""The fake device refuses mixed devices and float64, and records waits of the host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import recops
from fake_device import DEVICE, host_waits, varying_sums


def on_device(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).to(DEVICE)


def test_results_equal_those_of_the_cpu() -> None:
    linear = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    expected = linear(x)
    expected.square().sum().backward()
    gradients = [weight.grad for weight in linear.parameters()]
    linear.zero_grad()
    actual = linear.to(DEVICE)(x.to(DEVICE))
    actual.square().sum().backward()
    assert actual.device == DEVICE
    assert torch.equal(actual.cpu(), expected)
    for weight, gradient in zip(linear.parameters(), gradients, strict=True):
        assert weight.grad is not None
        assert weight.grad.device == DEVICE
        assert torch.equal(weight.grad.cpu(), gradient)


def test_views_share_their_values() -> None:
    x = torch.zeros(2, 3, device=DEVICE)
    x[0].add_(1)
    x.view(-1)[-1] = 5
    assert x.tolist() == [[1, 1, 1], [0, 0, 5]]


@pytest.mark.parametrize(
    "call",
    [
        lambda: on_device(1, 2) + torch.ones(2),
        lambda: on_device(1, 2)[torch.tensor([0, 1])],
        lambda: torch.cat([on_device(1), torch.ones(1)]),
        lambda: nn.Linear(2, 3).to(DEVICE)(torch.ones(4, 2)),
        lambda: nn.Linear(2, 3)(on_device(1, 2)),
        lambda: torch.rand(3, device=DEVICE, generator=torch.Generator()),
    ],
)
def test_tensors_of_two_devices_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match="must be on"):
        call()


def test_a_scalar_may_be_on_the_cpu() -> None:
    assert (on_device(1, 2) * torch.tensor(3.0)).tolist() == [3, 6]


def test_float64_is_refused() -> None:
    for call in (
        lambda: on_device(1).double(),
        lambda: torch.zeros(1, dtype=torch.float64, device=DEVICE),
        lambda: torch.zeros(1, dtype=torch.float64).to(DEVICE),
    ):
        with pytest.raises(TypeError, match="no float64"):
            call()


X, LENGTHS = on_device(1, 2, 0), torch.tensor([1, 2], device=DEVICE)


@pytest.mark.parametrize(
    "call",
    [
        lambda: X.sum().item(),
        lambda: bool(X.any()),
        lambda: int(X[1]),
        lambda: X.tolist(),
        lambda: X.cpu(),
        lambda: X.to("cpu", non_blocking=True),
        lambda: torch.zeros(3).copy_(X),
        lambda: X.nonzero(),
        lambda: X[X > 0],
        lambda: X.masked_select(X > 0),
        lambda: X.clone().index_put_((X > 0,), X[:2]),
        lambda: torch.repeat_interleave(LENGTHS, LENGTHS),
        lambda: torch.equal(X, X),
        lambda: X.unique(),
        lambda: torch.tensor([1.0], device=DEVICE),
        lambda: X[[0, 1]],
        lambda: torch.zeros(3).to(DEVICE),
        lambda: X.new_tensor([1.0]),
    ],
)
def test_waits_are_recorded(call: Callable[[], object]) -> None:
    with host_waits() as waits:
        call()
    assert len(waits) >= 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: X.to(DEVICE),
        lambda: torch.zeros(3).to(DEVICE, non_blocking=True),
        lambda: torch.arange(3, device=DEVICE),
        lambda: torch.full((3,), 2.0, device=DEVICE),
        lambda: X.where(X > 0, 0).sort(),
        lambda: X.masked_fill(X > 0, 1),
        lambda: torch.repeat_interleave(LENGTHS, LENGTHS, output_size=3),
        lambda: torch.dropout(X, 0.5, True),
    ],
)
def test_work_on_the_device_is_no_wait(call: Callable[[], object]) -> None:
    with host_waits() as waits:
        call()
    assert waits == []


def test_a_wait_has_its_place_in_the_package() -> None:
    trie = recops.SidTrie.from_sids(torch.tensor([[0, 1], [1, 0]])).to(DEVICE)
    with host_waits() as waits:
        assert trie.num_leaves == 2
    assert len(waits) == 1
    assert "recops/state/trie.py:" in waits[0]


ROWS = torch.tensor([0, 0, 1]).to(DEVICE)


@pytest.mark.parametrize(
    ("call", "varies"),
    [
        (lambda: X.clone().index_add_(0, ROWS, X), True),
        (lambda: X.clone().index_add_(0, torch.arange(3, device=DEVICE), X), False),
        (lambda: X.clone().scatter_add_(0, ROWS, X), True),
        (lambda: ROWS.clone().scatter_add_(0, ROWS, ROWS), False),
        (lambda: X.cumsum(0), True),
        (lambda: X.expand(2, 3).cumsum(0), False),
        (lambda: ROWS.cumsum(0), False),
    ],
)
def test_sums_in_a_varying_order_are_recorded(call: Callable[[], object], varies: bool) -> None:
    with varying_sums() as sums:
        call()
    assert len(sums) == varies


def test_the_device_has_its_own_generator() -> None:
    torch.manual_seed(3)
    host, device = torch.rand(4), torch.rand(4, device=DEVICE)
    assert torch.equal(host, device.cpu())  # The seed is that of all devices.
    state = torch.get_rng_state()
    again = torch.rand(4, device=DEVICE)
    assert not torch.equal(again, device)
    assert torch.equal(torch.get_rng_state(), state)
    module = torch.get_device_module(DEVICE)
    saved = module.get_rng_state(DEVICE)
    first = torch.rand(4, device=DEVICE)
    module.set_rng_state(saved, DEVICE)
    assert torch.equal(torch.rand(4, device=DEVICE), first)


def test_autocast_lowers_products() -> None:
    linear = nn.Linear(2, 3).to(DEVICE)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        y = linear(on_device(1, 2))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert linear.weight.grad is not None
    assert linear.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("reset", ["before", "after"])
def test_ops_run_their_composites(reset: str) -> None:
    gates, w_hh = torch.randn(2, 5, 12), torch.randn(12, 4)
    leaves = [tensor.to(DEVICE).requires_grad_() for tensor in (gates, w_hh)]
    outputs, _ = recops.recurrent_scan(*leaves, reset=reset)
    outputs.sum().backward()
    expected = [tensor.clone().requires_grad_() for tensor in (gates, w_hh)]
    reference, _ = recops.recurrent_scan(*expected, reset=reset)
    reference.sum().backward()
    torch.testing.assert_close(outputs.cpu(), reference)
    for actual, correct in zip(leaves, expected, strict=True):
        assert actual.grad is not None
        torch.testing.assert_close(actual.grad.cpu(), correct.grad)


def test_sparse_gradients_stay_on_the_device() -> None:
    table = nn.Embedding(5, 3, sparse=True).to(DEVICE)
    table(torch.tensor([1, 2, 1]).to(DEVICE)).sum().backward()
    gradient = table.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    assert gradient.coalesce().values().cpu().tolist() == [[2.0] * 3, [1.0] * 3]
