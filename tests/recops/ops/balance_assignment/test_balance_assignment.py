"""Balanced assignment: the reference, the optimum, capacities, infeasible inputs and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from compilation import every_backend
from instruction_sets import results_at_each
from recops import reference
from tolerances import DTYPES

pytestmark = pytest.mark.composites


def cost(x: Tensor, codebook: Tensor, index: Tensor) -> float:
    return (x.double() - codebook.double()[index.long()]).square().sum().item()


def sums(index: Tensor, weight: Tensor, size: int) -> Tensor:
    is_assigned = index >= 0
    zeros = torch.zeros(size, dtype=torch.float64)
    return zeros.index_add(0, index[is_assigned].long(), weight[is_assigned].double())


def clustered(n: int, dim: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows clustered around some codewords, with weights over two decades."""
    codebook = torch.randn(size, dim)
    near = (torch.rand(n) ** 2 * size).long()
    return codebook[near] + torch.randn(n, dim), codebook, torch.rand(n) ** 3 + 0.01


# ---- Agreement with the reference, on a grid with many ties and duplicates.


@pytest.mark.numerics
@settings(max_examples=150)
@given(
    n=st.integers(0, 40),
    size=st.integers(1, 14),
    dim=st.integers(0, 3),
    slack=st.floats(0.8, 2),
    per_code=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 9999),
)
def test_agrees_with_the_reference(
    n: int, size: int, dim: int, slack: float, per_code: bool, dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    x, codebook = (
        torch.randint(0, 4, (n, dim)).to(dtype),
        torch.randint(0, 4, (size, dim)).to(dtype),
    )
    weight = torch.randint(0, 5, (n,)).to(dtype)
    capacity: float | Tensor = (weight.double().sum() / size * slack).ceil().item()
    if per_code:
        capacity = 2 * torch.rand(size, dtype=torch.float64) * capacity
    actual = recops.balance_assignment(x, codebook, weight, capacity)
    expected = reference.balance_assignment(x, codebook, weight, capacity)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slack", [1.02, 1.3, 3.0])
def test_no_code_exceeds_its_capacity(dtype: torch.dtype, slack: float) -> None:
    x, codebook, weight = (t.to(dtype) for t in clustered(3000, 16, 50))
    capacity = slack * weight.double().sum().item() / 50
    nearest = recops.nearest_codes(x, codebook)[0][:, 0]
    assert sums(nearest, weight, 50).max() > capacity or slack == 3
    index, load, feasible = recops.balance_assignment(x, codebook, weight, capacity)
    assert feasible
    assert (load.double() <= capacity).all()
    assert (sums(index, weight, 50) <= capacity).all()
    torch.testing.assert_close(load.double(), sums(index, weight, 50), rtol=1e-6, atol=0)


def test_nothing_moves_if_no_code_exceeds_its_capacity() -> None:
    x, codebook, weight = clustered(500, 8, 20)
    nearest = recops.nearest_codes(x, codebook)[0][:, 0]
    for capacity in (sums(nearest, weight, 20).max().item(), torch.inf):
        index, _, feasible = recops.balance_assignment(x, codebook, weight, capacity)
        assert feasible
        assert torch.equal(index, nearest)


def test_equal_weights_come_close_to_the_optimum() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    x, codebook, _ = clustered(400, 8, 20)
    index, _, feasible = recops.balance_assignment(x, codebook, torch.ones(400), 22)
    assert feasible
    positions = torch.cdist(x.double(), codebook.double()).square().repeat_interleave(22, dim=1)
    rows, columns = optimize.linear_sum_assignment(positions.numpy())
    assert cost(x, codebook, index) <= 1.15 * positions[rows, columns].sum().item()


def test_order_by_regret_costs_less_than_lightest_first() -> None:
    """The order by regret loses less than UniRec's order, which moves the lightest rows first."""
    x, codebook, weight = clustered(2000, 8, 16)
    capacity = 1.05 * weight.sum().item() / 16
    index, _, feasible = recops.balance_assignment(x, codebook, weight, capacity)
    assert feasible
    distances = torch.cdist(x, codebook).square()
    lightest = recops.nearest_codes(x, codebook)[0][:, 0].tolist()
    load = sums(torch.tensor(lightest), weight, 16).tolist()
    weights = weight.tolist()
    for item in sorted(range(2000), key=lambda item: weights[item]):
        if load[lightest[item]] > capacity:
            room = [k for k in range(16) if load[k] + weights[item] <= capacity]
            if room:
                load[lightest[item]] -= weights[item]
                lightest[item] = min(room, key=lambda k: distances[item, k].item())
                load[lightest[item]] += weights[item]
    assert cost(x, codebook, index) < 0.95 * cost(x, codebook, torch.tensor(lightest))


# ---- Equal rows, equal codewords and infeasible capacities.


@pytest.mark.numerics
def test_moves_whose_distances_overflow_come_last() -> None:
    x, codebook = torch.tensor([[1e25], [0], [1e25], [-4.5e9]]), torch.tensor([[0.0], [-1e10]])
    weight, capacity = torch.ones(4), torch.tensor([3.0, 10])
    for module in (recops, reference):
        for dtype in (torch.float32, torch.float64):
            outputs = module.balance_assignment(x.to(dtype), codebook.to(dtype), weight, capacity)
            assert outputs[0].tolist() == [0, 0, 0, 1]


def test_equal_rows_fill_one_code_after_another() -> None:
    """Equal rows, as zero residuals, are assigned in the order of rows and of distances."""
    codebook = torch.arange(12.0)[:, None]
    index, load, feasible = recops.balance_assignment(
        torch.zeros(100, 1), codebook, torch.ones(100), 10
    )
    assert feasible
    assert load.tolist() == [10.0] * 10 + [0.0] * 2
    assert index.sort().values.tolist() == [code for code in range(10) for _ in range(10)]


def test_equal_codewords_are_filled_by_lowest_index() -> None:
    index, load, feasible = recops.balance_assignment(
        torch.zeros(7, 3), torch.zeros(4, 3), torch.ones(7), 2
    )
    assert feasible
    assert load.tolist() == [2, 2, 2, 1]
    assert recops.nearest_codes(torch.zeros(1, 3), torch.zeros(4, 3))[0].item() == 0
    assert (index == 0).sum() == 2


def test_an_item_heavier_than_every_capacity_is_reported() -> None:
    x, codebook, weight = clustered(300, 4, 10)
    weight[17] = 1000
    capacity = 2 * (weight.sum().item() - 1000) / 10
    index, load, feasible = recops.balance_assignment(x, codebook, weight, capacity)
    assert not feasible
    own = index[17].item()
    assert (load > capacity).nonzero()[:, 0].tolist() == [own]
    assert (index == own).sum() == 1  # the others made way
    assert not recops.balance_assignment(x, codebook, weight, 0.0)[2]


def test_items_without_room_are_assigned_heaviest_first() -> None:
    """Four rows of weights 6, 6, 4 and 4 share a code. If both light rows move, no 6 fits."""
    x, codebook = torch.tensor([[0.0], [0.0], [1.0], [1.0]]), torch.tensor([[-1.0], [5.0]])
    weight = torch.tensor([6.0, 6.0, 4.0, 4.0])
    index, load, feasible = recops.balance_assignment(x, codebook, weight, 10)
    assert feasible
    assert load.tolist() == [10, 10]
    assert index[0] != index[1]
    assert index[2] != index[3]


def test_rows_that_are_not_finite_weigh_nothing() -> None:
    x, codebook, weight = clustered(50, 4, 5)
    x[[3, 40]] = torch.nan
    index, load, feasible = recops.balance_assignment(x, codebook, weight, 1e9)
    assert feasible
    assert index[[3, 40]].tolist() == [-1, -1]
    torch.testing.assert_close(load.double(), sums(index, weight, 5))


def test_loads_are_added_in_float64() -> None:
    x, codebook, weight = torch.empty(3, 0), torch.empty(1, 0), torch.tensor([2.0**24, 1.0, 1.0])
    _, load, feasible = recops.balance_assignment(x, codebook, weight, 2**24 + 2)
    assert load.item() == 2**24 + 2
    assert feasible
    assert not recops.balance_assignment(x, codebook, weight, 2**24 + 1)[2]


# ---- Determinism, and integration with torch.


@pytest.mark.composites(False)
def test_results_do_not_depend_on_the_number_of_threads(
    set_threads: Callable[[int], None],
) -> None:
    x, codebook, weight = clustered(4000, 32, 64)
    capacity = 1.05 * weight.sum().item() / 64
    set_threads(1)
    expected = recops.balance_assignment(x, codebook, weight, capacity)
    for threads in (2, 5):
        set_threads(threads)
        for one, other in zip(
            recops.balance_assignment(x, codebook, weight, capacity), expected, strict=True
        ):
            assert torch.equal(one, other)


ON_THIS_ISA = """
import sys
import torch
import recops

torch.save([recops.balance_assignment(*call) for call in torch.load(sys.argv[1])], sys.argv[2])
"""


@pytest.mark.composites(False)
def test_instruction_sets_agree(tmp_path: Path) -> None:
    calls = [
        (*(t.to(d) for t in clustered(700, 13, 30)), torch.full((30,), 9.0)) for d in DTYPES[::3]
    ]
    results = results_at_each(ON_THIS_ISA, tmp_path, calls)
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])


def test_opcheck() -> None:
    x, codebook, weight = clustered(30, 4, 5)
    nearest = recops.nearest_codes(x, codebook)[0][:, 0].contiguous()
    capacity = torch.full((5,), weight.sum().item() / 4, dtype=torch.float64)
    torch.library.opcheck(
        torch.ops.recops.repair_assignment.default,
        (x, codebook, weight.double(), capacity, nearest),
    )


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@pytest.mark.composites(False)
@every_backend
def test_compiles_into_one_graph(backend: str) -> None:
    compiled = torch.compile(
        recops.balance_assignment, fullgraph=True, backend=backend, dynamic=True
    )
    for n in (50, 90):
        x, codebook, weight = clustered(n, 4, 5)
        capacity = weight.sum() / 4
        for one, other in zip(
            compiled(x, codebook, weight, capacity),
            recops.balance_assignment(x, codebook, weight, capacity),
            strict=True,
        ):
            assert torch.equal(one, other)


# ---- Errors.

X, BOOK, WEIGHT = torch.randn(4, 3), torch.randn(5, 3), torch.ones(4)
NAN_BOOK = BOOK.index_fill(0, torch.tensor([3]), torch.nan)


def with_weight(value: float) -> Tensor:
    return WEIGHT.index_fill(0, torch.tensor([2]), value)


ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: recops.balance_assignment(X[0], BOOK, WEIGHT, 9.0), ValueError, "x must have 2 dim"),
    (
        lambda: recops.balance_assignment(X, BOOK.int(), WEIGHT, 9.0),
        TypeError,
        "codebook must be on",
    ),
    (lambda: recops.balance_assignment(X, BOOK[:, :2], WEIGHT, 9.0), ValueError, "x's dimension 3"),
    (lambda: recops.balance_assignment(X, BOOK[:0], WEIGHT, 9.0), ValueError, "at least one codew"),
    (
        lambda: recops.balance_assignment(X, NAN_BOOK, WEIGHT, 9.0),
        ValueError,
        r"codebook must be finite.*codebook\[3\]",
    ),
    (lambda: recops.balance_assignment(X, BOOK, WEIGHT[:3], 9.0), ValueError, "weight must have 4"),
    (
        lambda: recops.balance_assignment(X, BOOK, WEIGHT.int(), 9.0),
        TypeError,
        "weight must be one",
    ),
    (
        lambda: recops.balance_assignment(X, BOOK, with_weight(-1), 9.0),
        ValueError,
        r"balance_assignment: weight must be finite and at least 0, got weight\[2\] = -1",
    ),
    (
        lambda: recops.balance_assignment(X, BOOK, with_weight(torch.nan), 9.0),
        ValueError,
        r"weight must be finite and at least 0, got weight\[2\] = nan",
    ),
    (
        lambda: recops.balance_assignment(X, BOOK, with_weight(torch.inf), 9.0),
        ValueError,
        r"must be finite .*weight\[2\]",
    ),
    (
        lambda: recops.balance_assignment(X, BOOK, WEIGHT, -1.0),
        ValueError,
        "capacity must be from 0 to inf, got -1",
    ),
    (lambda: recops.balance_assignment(X, BOOK, WEIGHT, torch.ones(4)), ValueError, "5 entries.*4"),
    (
        lambda: recops.balance_assignment(X, BOOK, WEIGHT, torch.full((5,), torch.nan)),
        ValueError,
        r"capacity must be at least 0, got capacity\[0\] = nan",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
