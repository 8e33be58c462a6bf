"""Benchmarks of embedding bags and their updates against the look-ups and gradients of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register

# Rows of ids, ids per row, rows of the table, width: a batch of CAN, and a large table.
SHAPES = [(128, 100, 2000, 18), (128, 100, 100_000, 64)]

CPU = torch.device("cpu")
Optimizer = Literal["sgd", "adagrad", "rowwise_adagrad"]
UPDATES: list[Optimizer] = ["sgd", "adagrad", "rowwise_adagrad"]
Reduction = Literal["rows", "sum"]
Bags = list[tuple[Tensor, Tensor]]


@register("embedding")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        for kind in ("rows", "sum"):
            for backward in (False, True):
                yield lookup_case(kind, *shape, backward=backward, compiled=not quick)
    yield lookup_case("sum", *SHAPES[0], padding_idx=0, backward=True)
    for backward in (False, True):
        yield features_case(backward=backward, compiled=not quick)
    for optimizer in UPDATES[-1:] if quick else UPDATES:
        yield update_case(optimizer, *SHAPES[not quick])


def lookup_case(
    kind: Reduction,
    rows: int,
    each: int,
    size: int,
    width: int,
    *,
    padding_idx: int | None = None,
    backward: bool = False,
    compiled: bool = False,
    device: torch.device = CPU,
) -> Case:
    """Look up one feature, forward or forward and backward."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(size, width, generator=random).to(device)
    ids = torch.randint(size, (rows, each), generator=random).to(device)
    padded = "" if padding_idx is None else f" padding={padding_idx}"
    return _case(
        f"{kind} B={rows} T={each} V={size} d={width}{padded}",
        "embedding" if kind == "rows" else "embedding_bag",
        [(weight, ids.flatten() if kind == "rows" else ids)],
        padding_idx,
        backward=backward,
        compiled=compiled,
    )


def features_case(
    rows: int = 128,
    events: int = 100,
    *,
    backward: bool = False,
    compiled: bool = False,
    device: torch.device = CPU,
) -> Case:
    """Look up the features of CAN with sum pooling: three rows and the sums of two histories."""
    random = torch.Generator().manual_seed(0)
    tables = [torch.randn(size, 18, generator=random).to(device) for size in (2000, 2000, 100)]
    shapes = [(table, (rows,)) for table in tables] + [
        (table, (rows, events)) for table in tables[1:]
    ]
    bags = [
        (table, torch.randint(1, len(table), shape, generator=random).to(device))
        for table, shape in shapes
    ]
    shape = f"3 rows, 2 sums B={rows} T={events} d=18"
    return _case(shape, "torch", bags, 0, backward=backward, compiled=compiled)


def update_case(
    optimizer: Optimizer,
    rows: int,
    each: int,
    size: int,
    width: int,
    *,
    device: torch.device = CPU,
) -> Case:
    """Look up one feature, sum its rows and update the table by the gradient of the sums."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(size, width, generator=random).to(device)
    ids = torch.randint(size, (rows, each), generator=random).to(device)
    grad = torch.randn(rows, width, generator=random).to(device)
    state = torch.zeros(size if optimizer == "rowwise_adagrad" else (size, width), device=device)

    def fused(weight: Tensor, state: Tensor) -> None:
        recops.embedding_bags([(weight, ids)])
        states = [] if optimizer == "sgd" else [state]
        recops.embedding_bags_update_([(weight, ids)], grad, states, optimizer=optimizer, lr=0.01)

    def dense(weight: Tensor, state: Tensor) -> None:
        leaf = weight.requires_grad_()
        (full,) = torch.autograd.grad(F.embedding_bag(ids, leaf, mode="sum"), leaf, grad)
        with torch.no_grad():
            if optimizer == "sgd":
                weight.add_(full, alpha=-0.01)
            elif optimizer == "adagrad":
                state.addcmul_(full, full)
                weight.addcdiv_(full, state.sqrt().add_(1e-8), value=-0.01)
            else:
                state.add_(full.square().mean(1))
                weight.addcdiv_(full, state.sqrt().add_(1e-8)[:, None], value=-0.01)

    sides = [(weight.clone(), state.clone()) for _ in range(2)]

    def verify() -> None:
        results = [(weight.clone(), state.clone()) for _ in range(2)]
        fused(*results[0])
        dense(*results[1])
        for actual, expected in zip(*results, strict=True):
            torch.testing.assert_close(actual, expected.detach(), rtol=1e-4, atol=1e-4)

    # The look-up reads a row per id. The update reads a gradient per id, and reads and writes the
    # distinct rows and their states, at most one per id.
    occurring = min(ids.numel(), size) * width
    of_state = {"sgd": 0, "adagrad": occurring, "rowwise_adagrad": occurring // width}[optimizer]
    values = 2 * ids.numel() * width + 2 * (occurring + of_state)
    return Case(
        op="embedding_bags_update_",
        shape=f"{optimizer} B={rows} T={each} V={size} d={width}",
        device=str(device),
        run=lambda: fused(*sides[0]),
        peers={"dense": lambda: dense(*sides[1])},
        verify=verify,
        bytes=4.0 * values + 16.0 * ids.numel(),
        ceiling="bandwidth",
    )


def _case(
    shape: str,
    peer: str,
    bags: Bags,
    padding_idx: int | None,
    *,
    backward: bool,
    compiled: bool,
) -> Case:
    weights = list({id(weight): weight.requires_grad_(backward) for weight, _ in bags}.values())
    width = sum(weight.shape[1] for weight, _ in bags)
    device = weights[0].device
    grad = torch.randn(len(bags[0][1]), width, generator=torch.Generator().manual_seed(1))
    grad = grad.to(device)

    def run_op(bags: Bags) -> Tensor:
        return recops.embedding_bags(bags, padding_idx=padding_idx)

    def plain(bags: Bags) -> Tensor:
        return reference.embedding_bags(bags, padding_idx=padding_idx)

    def torch_lookup(bags: Bags) -> Tensor:
        columns = [
            F.embedding(ids, weight, padding_idx=padding_idx)
            if ids.ndim == 1
            else F.embedding_bag(ids, weight, mode="sum", padding_idx=padding_idx)
            for weight, ids in bags
        ]
        return torch.cat(columns, 1) if len(columns) > 1 else columns[0]

    def side(
        function: Callable[[Bags], Tensor],
        bags: Bags = bags,
        weights: Sequence[Tensor] = weights,
    ) -> Thunk:
        if not backward:
            return lambda: function(bags)
        return lambda: torch.autograd.grad(function(bags), weights, grad.to(weights[0].dtype))

    def verify() -> None:
        exact = {
            id(weight): weight.detach().double().requires_grad_(backward) for weight in weights
        }
        exact_bags = [(exact[id(weight)], ids) for weight, ids in bags]
        expected = side(plain, exact_bags, list(exact.values()))()
        for name, run in (("ours", side(run_op)), *peers.items()):
            torch.testing.assert_close(
                run(), expected, rtol=1e-4, atol=1e-4, check_dtype=False, msg=name
            )

    peers = {peer: side(torch_lookup)}
    if compiled:
        torch._dynamo.reset()  # Dynamo keeps at most 8 programs of one function.
        peers["compile"] = side(torch.compile(torch_lookup))
    # Forward reads ids and rows and writes the result. Backward reads the result's gradient, reads
    # and writes the rows' gradients, and clears the tables' gradients.
    looked_up = sum(ids.numel() * weight.shape[1] for weight, ids in bags)
    cleared = sum(weight.numel() for weight in weights)
    values = looked_up + grad.numel() + (grad.numel() + 2 * looked_up + cleared if backward else 0)
    return Case(
        op="embedding_bags",
        shape=shape,
        direction="backward" if backward else "forward",
        device=str(device),
        run=side(run_op),
        peers=peers,
        verify=verify,
        bytes=4.0 * values + 8.0 * sum(ids.numel() for _, ids in bags) * (2 if backward else 1),
        ceiling="bandwidth",
    )
