"""Benchmarks of co-action against plain PyTorch, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register

RELEASED = (16, 8, 4)
# Candidates, users (None: one per candidate), events.
SHAPES: list[tuple[int, int | None, int]] = [
    (128, None, 100),
    (1024, None, 50),
    (4096, None, 1),
    (1000, 1, 50),
]
# One request in production: one layer of 4 × 4 with a bias, two orders, every pair of features.
PRODUCTION = [
    (candidates, pairs, events)
    for candidates in (500, 1000)
    for pairs in (48, 90)
    for events in (50, 150)
]

Function = Callable[[Tensor, Tensor], Tensor]


@register("coaction")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        for backward in (False, True):
            yield coaction_case(*shape, backward=backward, compiled=not quick)
    yield gather_case()
    for request in PRODUCTION[:1] if quick else PRODUCTION:
        yield request_case(*request, compiled=not quick)


def coaction_case(
    candidates: int,
    users: int | None,
    events: int,
    *,
    dims: Sequence[int] = RELEASED,
    orders: int = 3,
    backward: bool = False,
    compiled: bool = False,
    device: torch.device | str = "cpu",
) -> Case:
    """Run co-action on given rows, forward or forward and backward."""
    generator = torch.Generator().manual_seed(0)
    feed = torch.randn(users or candidates, events, dims[0], generator=generator).to(device) * 0.3
    params = torch.randn(candidates, _width(dims), generator=generator).to(device) * 0.3
    index = None
    if users is not None:
        index = torch.arange(candidates, device=device) * users // candidates

    def run_op(feed: Tensor, params: Tensor) -> Tensor:
        return recops.coaction(feed, params, dims, orders=orders, feed_index=index)

    def plain(feed: Tensor, params: Tensor) -> Tensor:
        return reference.coaction(feed, params, dims, orders=orders, feed_index=index)

    weight = torch.randn(candidates, orders * sum(dims[1:]), generator=generator).to(device)
    operands = (feed, params)
    peers = {"eager": _side(plain, operands, weight, backward)}
    if compiled:
        peers["compile"] = _side(torch.compile(plain), operands, weight, backward)
    of_users = "" if users is None else f" of {users} user{'s' * (users > 1)}"
    return Case(
        op="coaction",
        shape=f"B={candidates}{of_users} T={events} {'-'.join(map(str, dims))} orders={orders}",
        direction="backward" if backward else "forward",
        run=_side(run_op, operands, weight, backward),
        peers=peers,
        verify=lambda: _verify(run_op, plain, operands, weight),
        flops=_flops(candidates, events, dims, orders) * (3 if backward else 1),
        bytes=float((feed.nbytes + params.nbytes) * (3 if backward else 1) + weight.nbytes),
        device=str(device),
    )


def gather_case(
    candidates: int = 128,
    events: int = 100,
    *,
    items: int = 10_000,
    sparse: bool = True,
    device: torch.device | str = "cpu",
) -> Case:
    """Run co-action on table rows, forward and backward with sparse or dense gradients."""
    generator = torch.Generator().manual_seed(0)
    feed = torch.randn(items, RELEASED[0], generator=generator).to(device) * 0.3
    params = torch.randn(items, _width(RELEASED), generator=generator).to(device) * 0.3
    history = torch.randint(items, (candidates, events), generator=generator).to(device)
    targets = torch.randint(items, (candidates,), generator=generator).to(device)

    def run_op(feed: Tensor, params: Tensor) -> Tensor:
        return recops.coaction_gather(
            feed, history, params, targets, RELEASED, orders=3, sparse=sparse
        )

    def plain(feed: Tensor, params: Tensor) -> Tensor:
        return reference.coaction_gather(
            feed, history, params, targets, RELEASED, orders=3, sparse=sparse
        )

    weight = torch.randn(candidates, 36, generator=generator).to(device)
    operands = (feed, params)
    return Case(
        op="coaction_gather",
        shape=f"B={candidates} T={events} 16-8-4 orders=3 items={items}" + " dense" * (not sparse),
        direction="backward",
        device=str(device),
        run=_side(run_op, operands, weight, backward=True),
        peers={"eager": _side(plain, operands, weight, backward=True)},
        verify=lambda: _verify(run_op, plain, operands, weight),
        flops=_flops(candidates, events, RELEASED, 3) * 3,
    )


def request_case(
    candidates: int,
    pairs: int,
    events: int,
    *,
    compiled: bool = False,
    backward: bool = False,
    device: torch.device | str = "cpu",
) -> Case:
    """Run all feature pairs of one user's request, forward or forward and backward.

    The peer "eager" runs pair by pair. The stacked peers are faster but need more memory.
    """
    generator = torch.Generator().manual_seed(0)
    dims, width = (4, 4), 20
    feeds = torch.randn(pairs, 1, events, 4, generator=generator).to(device) * 0.3
    params = torch.randn(pairs, candidates, width, generator=generator).to(device) * 0.3
    index = torch.zeros(candidates, dtype=torch.int64, device=device)
    if backward:
        feeds, params = feeds.requires_grad_(), params.requires_grad_()
    both = [(feed, row, dims) for feed, row in zip(feeds, params, strict=True)]

    def run_op() -> list[Tensor]:
        return recops.coaction_multi(
            both, orders=2, bias=True, activate_last=True, feed_index=index
        )

    def plain() -> list[Tensor]:
        return reference.coaction_multi(
            both, orders=2, bias=True, activate_last=True, feed_index=index
        )

    def stacked(feeds: Tensor, params: Tensor) -> Tensor:
        weights, bias = params[..., :16].unflatten(-1, (4, 4)), params[..., None, 16:]
        powers = [feeds, feeds * feeds]
        return torch.cat([(p @ weights + bias).tanh().sum(2) for p in powers], -1)

    stacked_peers: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"eager, stacked": stacked}
    if compiled:
        stacked_peers["compile, stacked"] = torch.compile(stacked)
    weight = torch.randn(pairs, candidates, 8, generator=generator).to(device)

    def side(run: Callable[[], list[Tensor]] | Callable[[], Tensor]) -> Thunk:
        """Return the call, or the gradients of all feeds and parameters, stacked."""
        if not backward:
            return run
        return lambda: torch.autograd.grad(_stack(run()), (feeds, params), weight)

    def verify() -> None:
        expected = _stack(run_op())
        results: list[list[Tensor] | Tensor] = [plain()]
        results += [peer(feeds, params) for peer in stacked_peers.values()]
        for result in results:
            torch.testing.assert_close(_stack(result), expected, rtol=1e-4, atol=1e-4)
        if backward:
            torch.testing.assert_close(side(run_op)(), side(plain)(), rtol=1e-3, atol=1e-3)

    return Case(
        op="coaction_multi",
        shape=f"B={candidates} of 1 user T={events} 4-4 orders=2 pairs={pairs}",
        direction="backward" if backward else "forward",
        device=str(device),
        run=side(run_op),
        peers={
            "eager": side(plain),
            **{name: side(partial(peer, feeds, params)) for name, peer in stacked_peers.items()},
        },
        verify=verify,
        flops=pairs * 2.0 * candidates * events * 2 * width * (3 if backward else 1),
        memory=True,
    )


def _stack(results: list[Tensor] | Tensor) -> Tensor:
    return results if isinstance(results, Tensor) else torch.stack(results)


def _width(dims: Sequence[int]) -> int:
    return sum(inputs * outputs for inputs, outputs in pairwise(dims))


def _flops(candidates: int, events: int, dims: Sequence[int], orders: int) -> float:
    """Count one multiply-add per weight, order and event, without the last layer and the powers."""
    return 2.0 * candidates * events * orders * _width(dims[:-1])


def _side(
    function: Function, operands: tuple[Tensor, Tensor], weight: Tensor, backward: bool
) -> Thunk:
    if not backward:
        return lambda: function(*operands)
    leaves = [operand.clone().requires_grad_() for operand in operands]
    return lambda: torch.autograd.grad(function(*leaves), leaves, weight)


def _verify(
    run_op: Function, plain: Function, operands: tuple[Tensor, Tensor], weight: Tensor
) -> None:
    forward = [function(*operands) for function in (run_op, plain)]
    torch.testing.assert_close(*forward, rtol=1e-4, atol=1e-3)
    grads = [_side(function, operands, weight, True)() for function in (run_op, plain)]
    for actual, expected in zip(*grads, strict=True):
        torch.testing.assert_close(actual.to_dense(), expected.to_dense(), rtol=1e-4, atol=1e-3)
