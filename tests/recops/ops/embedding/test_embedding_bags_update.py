"""Fused optimizer of embedding tables: agreement with torch.optim, order of sums and bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from compilation import every_backend
from instruction_sets import results_at_each
from recops import reference
from tolerances import AGREEMENT, DTYPES

pytestmark = pytest.mark.composites

Optimizer = Literal["sgd", "adagrad", "rowwise_adagrad"]
OPTIMIZERS: list[Optimizer] = ["sgd", "adagrad", "rowwise_adagrad"]
WIDTHS = [1, 3, 8, 18, 33, 131]


def states_of(weights: list[Tensor], optimizer: Optimizer) -> list[Tensor]:
    dtype = torch.float64 if weights[0].dtype == torch.float64 else torch.float32
    if optimizer == "sgd":
        return []
    shapes = [each.shape if optimizer == "adagrad" else each.shape[:1] for each in weights]
    return [torch.rand(shape).to(dtype) for shape in shapes]


@pytest.mark.numerics
@settings(max_examples=20)
@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 60), st.integers(0, 70)),
        min_size=1,
        max_size=3,
    ),
    features=st.lists(
        st.tuples(st.integers(0, 2), st.none() | st.integers(0, 9) | st.just(200)),
        min_size=1,
        max_size=4,
    ),
    rows=st.integers(0, 9),
    dtype=st.sampled_from(DTYPES),
    index=st.sampled_from([torch.int32, torch.int64]),
    optimizer=st.sampled_from(OPTIMIZERS),
    weight_decay=st.sampled_from([0.0, 0.25]),
    is_padded=st.booleans(),
    is_strided=st.booleans(),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_reference(
    sizes: list[tuple[int, int]],
    features: list[tuple[int, int | None]],
    rows: int,
    dtype: torch.dtype,
    index: torch.dtype,
    optimizer: Optimizer,
    weight_decay: float,
    is_padded: bool,
    is_strided: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    weights = [torch.randn(size).to(dtype) for size in sizes]
    tables = [table % len(sizes) for table, _ in features]
    ids = [
        torch.randint(sizes[table][0], (rows,) if each is None else (rows, each)).to(index)
        for table, (_, each) in zip(tables, features, strict=True)
    ]
    order = list(dict.fromkeys(tables))
    used = [weights[table] for table in order]
    states = states_of(used, optimizer)
    exact = [weight.double() for weight in weights]
    exact_states = [state.double() for state in states]
    width = sum(sizes[table][1] for table in tables)
    grad = torch.randn(rows, 2 * width).to(dtype)
    grad = grad[:, ::2] if is_strided else grad[:, :width]
    options: dict[str, Any] = {
        "optimizer": optimizer,
        "lr": 0.1,
        "eps": 0.01,
        "weight_decay": weight_decay,
        "padding_idx": 0 if is_padded else None,
    }
    bags = [(weights[table], of_bag) for table, of_bag in zip(tables, ids, strict=True)]
    plain = [(exact[table], of_bag) for table, of_bag in zip(tables, ids, strict=True)]
    recops.embedding_bags_update_(bags, grad, states, **options)
    reference.embedding_bags_update_(plain, grad.double(), exact_states, **options)
    for weight, correct in zip(used, (exact[table] for table in order), strict=True):
        agree(weight, correct)
    for state, correct in zip(states, exact_states, strict=True):
        agree(state, correct)


def agree(actual: Tensor, correct: Tensor) -> None:
    """Compare with a tolerance for the cancellation of a few hundred terms."""
    size = correct.abs().max().clamp(min=1).item() if correct.numel() else 1.0
    rtol, atol = AGREEMENT[actual.dtype]["rtol"], AGREEMENT[actual.dtype]["atol"] * size
    torch.testing.assert_close(actual, correct.to(actual.dtype), rtol=rtol, atol=atol)


@pytest.mark.numerics
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_training_agrees_with_torch_optim(optimizer: Optimizer, weight_decay: float) -> None:
    """Every row occurs in every step, because weight decay reaches only rows that occur."""
    weight = torch.randn(30, 7)
    twin = weight.clone().requires_grad_()
    state = states_of([weight], optimizer)
    if optimizer == "sgd":
        dense: torch.optim.Optimizer = torch.optim.SGD([twin], 0.1, weight_decay=weight_decay)
    else:
        dense = torch.optim.Adagrad([twin], 0.1, weight_decay=weight_decay, eps=1e-8)
        dense.state[twin]["sum"].copy_(state[0])
    for _ in range(5):
        ids = torch.cat([torch.randperm(30).view(10, 3), torch.randint(30, (10, 4))], 1)
        x = recops.embedding_bags([(weight, ids)]).requires_grad_()
        x.sin().sum().backward()
        assert x.grad is not None
        recops.embedding_bags_update_(
            [(weight, ids)],
            x.grad,
            state,
            optimizer=optimizer,
            lr=0.1,
            weight_decay=weight_decay,
        )
        dense.zero_grad()
        recops.embedding_bags([(twin, ids)]).sin().sum().backward()
        dense.step()
    torch.testing.assert_close(weight, twin.detach(), rtol=1e-5, atol=1e-5)
    if state:
        torch.testing.assert_close(state[0], dense.state[twin]["sum"], rtol=1e-5, atol=1e-5)


def mean_square(grad: Tensor) -> Tensor:
    """Return the mean square of each row with the 16 partial sums of the CPU kernel."""
    padded = torch.nn.functional.pad(grad, (0, -grad.shape[1] % 16)).view(len(grad), -1, 16)
    partial = torch.zeros(len(grad), 16, dtype=grad.dtype)
    for i in range(padded.shape[1]):
        partial += padded[:, i] * padded[:, i]
    total = torch.zeros(len(grad), dtype=grad.dtype)
    for k in range(16):
        total += partial[:, k]
    return total / grad.shape[1]


def exact_root(x: Tensor) -> Tensor:
    """Return √x, correctly rounded. The square root of torch is not."""
    return torch.from_numpy(np.sqrt(x.numpy()))


@pytest.mark.numerics
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.composites(False)
def test_has_the_bits_of_the_gradient_and_an_update(optimizer: Optimizer, width: int) -> None:
    for dtype in (torch.float32, torch.float64):
        weight = torch.randn(40, width, dtype=dtype)
        ids, single = torch.randint(35, (60, 5)), torch.randint(35, (60,))
        state = states_of([weight], optimizer)
        twin = weight.clone().requires_grad_()
        grad = torch.randn(60, 2 * width, dtype=dtype)
        out = recops.embedding_bags([(twin, ids), (twin, single)], padding_idx=3)
        (g,) = torch.autograd.grad(out, twin, grad)
        expected, state_before = weight.clone(), [each.clone() for each in state]
        if optimizer == "sgd":
            expected -= 0.1 * g
        elif optimizer == "adagrad":
            state_before[0] += g * g
            expected -= 0.1 * g / (exact_root(state_before[0]) + 0.01)
        else:
            state_before[0] += mean_square(g)
            lr = torch.tensor(0.1, dtype=dtype)
            expected -= (lr / (exact_root(state_before[0]) + 0.01))[:, None] * g
        bags = [(weight, ids), (weight, single)]
        recops.embedding_bags_update_(
            bags, grad, state, optimizer=optimizer, lr=0.1, eps=0.01, padding_idx=3
        )
        assert torch.equal(weight, expected)
        for actual, correct in zip(state, state_before, strict=True):
            assert torch.equal(actual, correct)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_other_rows_keep_their_bits(optimizer: Optimizer) -> None:
    weight = torch.randn(9, 5)
    weight[0], weight[8] = torch.nan, torch.inf
    state, before = states_of([weight], optimizer), weight.clone()
    states_before = [each.clone() for each in state]
    for ids in (torch.tensor([[0, 2, 0], [2, 5, 0]]), torch.tensor([[0], [0]])):
        recops.embedding_bags_update_(
            [(weight, ids)],
            torch.ones(2, 5),
            state,
            optimizer=optimizer,
            lr=0.1,
            weight_decay=0.5,
            padding_idx=0,
        )
    rows = [0, 1, 3, 4, 6, 7, 8]
    torch.testing.assert_close(weight[rows], before[rows], rtol=0, atol=0, equal_nan=True)
    assert not weight[[2, 5]].eq(before[[2, 5]]).any()
    for actual, correct in zip(state, states_before, strict=True):
        assert torch.equal(actual[rows], correct[rows])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.composites(False)
def test_results_do_not_depend_on_the_number_of_threads(
    optimizer: Optimizer, set_threads: Callable[[int], None]
) -> None:
    weight = torch.randn(3000, 70)
    state = states_of([weight], optimizer)
    ids, grad = torch.randint(3000, (400, 60)), torch.randn(400, 70)
    ids[:, 30:] %= 5  # rows that most of the batch use

    def updated(threads: int) -> list[Tensor]:
        set_threads(threads)
        results = [weight.clone(), *(each.clone() for each in state)]
        recops.embedding_bags_update_(
            [(results[0], ids)], grad, results[1:], optimizer=optimizer, lr=0.1
        )
        return results

    expected = updated(1)
    for threads in (2, 3, 7):
        for actual, one_thread in zip(updated(threads), expected, strict=True):
            assert torch.equal(actual, one_thread)


ON_THIS_ISA = """
import sys
import torch
import recops

results = []
for weight, ids, grad, optimizer, states in torch.load(sys.argv[1]):
    recops.embedding_bags_update_([(weight, ids)], grad, states, optimizer=optimizer, lr=0.1,
                                  weight_decay=0.2)
    results += [weight, *states]
torch.save(results, sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.composites(False)
def test_instruction_sets_agree_to_the_bit(tmp_path: Path) -> None:
    inputs = []
    for width in (1, 7, 18, 100):
        for dtype in DTYPES:
            for optimizer in OPTIMIZERS:
                weight, grad = (torch.randn(n, width).to(dtype) for n in (40, 30))
                states = states_of([weight], optimizer)
                inputs.append((weight, torch.randint(40, (30, 9)), grad, optimizer, states))
    results = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            assert torch.equal(actual, expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_opcheck(optimizer: Optimizer) -> None:
    weights = [torch.randn(7, 5), torch.randn(4, 3)]
    ids = [torch.randint(4, shape) for shape in ((3, 4), (3,), (3, 2))]
    arguments = (weights, states_of(weights, optimizer), torch.randn(3, 13), ids, [0, 1, 0])
    torch.library.opcheck(
        torch.ops.recops.embedding_bags_update_.default,
        (*arguments, optimizer, 0.1, 1e-8, 0.1, 2),
    )


@pytest.mark.slow
@pytest.mark.composites(False)
@every_backend
def test_an_update_compiles(backend: str) -> None:
    def step(weight: Tensor, state: Tensor, ids: Tensor, grad: Tensor) -> None:
        recops.embedding_bags_update_(
            [(weight, ids)], grad, [state], optimizer="rowwise_adagrad", lr=0.1
        )

    weight, state = torch.randn(9, 4), torch.rand(9)
    twin, twin_state = weight.clone(), state.clone()
    ids, grad = torch.randint(9, (5, 3)), torch.randn(5, 4)
    torch._dynamo.reset()
    torch.compile(step, fullgraph=True, backend=backend)(weight, state, ids, grad)
    step(twin, twin_state, ids, grad)
    assert torch.equal(weight, twin)
    assert torch.equal(state, twin_state)


def test_a_graph_that_saved_the_old_weights_raises() -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    loss = weight.square().sum()
    recops.embedding_bags_update_(
        [(weight, torch.tensor([1]))], torch.ones(1, 3), optimizer="sgd", lr=0.1
    )
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.composites(False)
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"grad": torch.ones(2, 4)}, ValueError, r"grad must be \[2, 3\], got \[2, 4\]"),
        ({"grad": torch.ones(2, 3).double()}, TypeError, "grad must be one of float32"),
        ({"optimizer": "adam"}, ValueError, "optimizer must be 'sgd', 'adagrad' or"),
        ({"states": []}, ValueError, "states must have 1 tensors"),
        ({"states": [torch.ones(5)]}, ValueError, r"states\[0\] must have 2 dimensions"),
        ({"states": [torch.ones(4, 3)]}, ValueError, r"states\[0\] must be \[5, 3\]"),
        ({"states": [torch.ones(5, 3).half()]}, TypeError, r"states\[0\] must be one of float32"),
        ({"states": [torch.ones(3, 5).mT]}, ValueError, r"states\[0\] must be contiguous"),
        (
            {"bags": [(torch.ones(3, 5).mT, torch.zeros(2, 1).long())]},
            ValueError,
            "weight of table 0",
        ),
        ({"lr": -1.0}, ValueError, "lr must be from 0.0"),
        ({"eps": float("nan")}, ValueError, "eps must be from 0.0"),
        ({"weight_decay": "1"}, TypeError, "weight_decay must be a number"),
        ({"padding_idx": 5}, ValueError, "padding_idx must be from 0 to 4"),
        ({"bags": []}, ValueError, "bags must hold at least one feature"),
    ],
)
def test_bad_input(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "bags": [(torch.ones(5, 3), torch.zeros(2, 1, dtype=torch.int64))],
        "grad": torch.ones(2, 3),
        "states": [torch.zeros(5, 3)],
        "optimizer": "adagrad",
        "lr": 0.1,
    }
    with pytest.raises(error, match=f"^embedding_bags_update_: .*{message}"):
        recops.embedding_bags_update_(**{**arguments, **changes})


@pytest.mark.parametrize("wrong", [-1, 5])
def test_a_wrong_id_changes_nothing(wrong: int) -> None:
    first, weight = torch.ones(5, 3), torch.ones(5, 3)
    bags = [(first, torch.tensor([1])), (weight, torch.tensor([[2, wrong]]))]
    with pytest.raises(IndexError, match=r"bags\[1\]: ids must be from 0 to 4"):
        recops.embedding_bags_update_(bags, torch.ones(1, 6), optimizer="sgd", lr=0.1)
    assert first.eq(1).all()
    assert weight.eq(1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": [torch.zeros(5)]}, "states must be"),
        ({"states": []}, "states must have 1 tensors"),
        ({"optimizer": "adam"}, "optimizer must be"),
        ({"grad": torch.ones(2, 4)}, "grad must be"),
        ({"tables": [1]}, "tables must be from 0 to 0"),
        (
            {"ids": [torch.zeros(3, 1, dtype=torch.int64), torch.zeros(2, 1)], "tables": [0, 0]},
            "ids must be",
        ),
    ],
)
def test_raw_ops_check_their_arguments(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "weights": [torch.ones(5, 3)],
        "states": [torch.zeros(5, 3)],
        "grad": torch.ones(2, 3),
        "ids": [torch.zeros(2, 1, dtype=torch.int64)],
        "tables": [0],
        "optimizer": "adagrad",
        "lr": 0.1,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "padding_idx": -1,
    }
    with pytest.raises((ValueError, RuntimeError), match=f"embedding_bags_update_: .*{message}"):
        torch.ops.recops.embedding_bags_update_(*{**arguments, **changes}.values())
