"""Bags of rows of embedding tables: torch's own, the reference, gradients and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from instruction_sets import results_at_each
from recops import reference
from tolerances import AGREEMENT

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
INDICES = [torch.int32, torch.int64]
WIDTHS = [1, 3, 4, 8, 18, 64, 131]
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT if x.ndim > 1 else x,
    "strided": lambda x: x.repeat_interleave(2, -1)[..., ::2] if x.ndim else x,
    "columns": lambda x: F.pad(x, (3, 2))[..., 3:-2],
}


def gradients(out: Tensor, weights: Sequence[Tensor], grad: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, weights, grad.to(out.dtype))


def agree(actual: Tensor, other: Tensor) -> None:
    """Against the cancellation of a few hundred terms."""
    size = other.abs().max().clamp(min=1).item() if other.numel() else 1.0
    rtol, atol = AGREEMENT[actual.dtype]["rtol"], AGREEMENT[actual.dtype]["atol"] * size
    torch.testing.assert_close(actual, other.to(actual.dtype), rtol=rtol, atol=atol)


# ---- Agreement with the reference, forward and backward.


@settings(max_examples=100)
@given(
    tables=st.lists(
        st.tuples(st.integers(1, 90), st.integers(0, 70) | st.sampled_from([128, 131])),
        min_size=1,
        max_size=3,
    ),
    features=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.none() | st.integers(0, 12) | st.just(300),
            st.sampled_from(INDICES),
        ),
        min_size=1,
        max_size=4,
    ),
    rows=st.integers(0, 12),
    padded=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    layouts=st.tuples(*[st.sampled_from(list(LAYOUTS))] * 3),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_reference(
    tables: list[tuple[int, int]],
    features: list[tuple[int, int | None, torch.dtype]],
    rows: int,
    padded: bool,
    dtype: torch.dtype,
    layouts: tuple[str, str, str],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    of_weight, of_ids, of_grad = (LAYOUTS[layout] for layout in layouts)
    weights = [of_weight(torch.randn(*size).to(dtype)).requires_grad_() for size in tables]
    twins = [weight.detach().double().requires_grad_() for weight in weights]
    padding = seed % min(size for size, _ in tables) if padded else None
    which, ids = [], []
    for table, each, index in features:
        which.append(table % len(tables))
        shape = (rows,) if each is None else (rows, each)
        ids.append(of_ids(torch.randint(tables[which[-1]][0], shape).to(index)))
    bags = [(weights[table], of_bag) for table, of_bag in zip(which, ids, strict=True)]
    plain = [(twins[table], of_bag) for table, of_bag in zip(which, ids, strict=True)]
    out = recops.embedding_bags(bags, padding_idx=padding)
    due = reference.embedding_bags(plain, padding_idx=padding)
    assert out.dtype == dtype
    assert out.is_contiguous()
    agree(out, due)
    grad = of_grad(torch.randn(out.shape).to(dtype))
    used = sorted(set(which))
    found = gradients(out, [weights[table] for table in used], grad)
    expected = gradients(due, [twins[table] for table in used], grad)
    for actual, other in zip(found, expected, strict=True):
        agree(actual, other)
        if padding is not None and actual.shape[1]:
            assert actual[padding].eq(0).all()


def test_no_ids_of_an_empty_table() -> None:
    weight = torch.randn(0, 4, requires_grad=True)
    for ids in (torch.empty(0, 3, dtype=torch.int64), torch.empty(2, 0, dtype=torch.int32)):
        out = recops.embedding_bags([(weight, ids)])
        assert torch.equal(out, torch.zeros(len(ids), 4))
        assert gradients(out, [weight], torch.ones_like(out))[0].shape == (0, 4)


# ---- The bits of torch's own.


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_and_gradients_are_torchs_to_the_bit(width: int, dtype: torch.dtype) -> None:
    weight = torch.randn(50, width).to(dtype).requires_grad_()
    ids = torch.randint(50, (400,))
    out, due = recops.embedding_bags([(weight, ids)]), F.embedding(ids, weight)
    assert torch.equal(out, due)
    if dtype in (torch.float32, torch.float64):
        grad = torch.randn(due.shape, dtype=dtype)
        (found,), (expected,) = gradients(out, [weight], grad), gradients(due, [weight], grad)
        assert torch.equal(found, expected)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("each", [1, 2, 100])
def test_sums_are_in_order_of_occurrence_to_the_bit(width: int, each: int) -> None:
    weight, ids = torch.randn(50, width, requires_grad=True), torch.randint(50, (40, each))
    rows = torch.randint(50, (40,))
    out = recops.embedding_bags([(weight, ids), (weight, rows)])
    due = torch.zeros(40, width)
    for t in range(each):
        due += weight.detach()[ids[:, t]]
    assert torch.equal(out, torch.cat([due, weight.detach()[rows]], 1))
    grad = torch.randn(40, 2 * width)
    of_sums, of_rows = grad.split(width, 1)
    one_by_one = torch.zeros(50, width)
    for n, place in enumerate(ids.flatten().tolist()):
        one_by_one[place] += of_sums[n // each]
    for n, place in enumerate(rows.tolist()):
        one_by_one[place] += of_rows[n]
    assert torch.equal(gradients(out, [weight], grad)[0], one_by_one)


@pytest.mark.parametrize("dtype", DTYPES[1:3])
def test_sums_of_16_bit_rows_are_rounded_once(dtype: torch.dtype) -> None:
    """One by one in bfloat16, 256 ones and more are 256; 300 rounds to it, or to 304."""
    weight = torch.ones(1, 20, dtype=dtype, requires_grad=True)
    out = recops.embedding_bags([(weight, torch.zeros(1, 3000, dtype=torch.int64))])
    due = torch.tensor(3000.0).to(dtype)
    assert out.eq(due).all()
    assert gradients(out, [weight], torch.ones(1, 20))[0].eq(due).all()


# ---- Padding.


@pytest.mark.parametrize("padding", [0, 6])
def test_padding_is_that_of_embedding_bag(padding: int) -> None:
    weight, ids = torch.randn(7, 5, requires_grad=True), torch.randint(7, (9, 12))
    ids[4] = padding
    rows = torch.tensor([padding, 3, padding, 2, 1, 4, 5, 6, 0])
    bags = [(weight, ids), (weight, rows)]
    out = recops.embedding_bags(bags, padding_idx=padding)
    due = torch.cat(
        [
            F.embedding_bag(each, weight, mode="sum", padding_idx=padding)
            for each in (ids, rows[:, None])
        ],
        1,
    )
    assert out[4, :5].eq(0).all()
    assert out[0, 5:].eq(0).all()
    torch.testing.assert_close(out, due)
    grad = torch.randn(out.shape)
    (found,), (expected,) = gradients(out, [weight], grad), gradients(due, [weight], grad)
    assert found[padding].eq(0).all()
    torch.testing.assert_close(found, expected)


def test_padding_that_is_not_finite_adds_nothing() -> None:
    weight = torch.randn(4, 6)
    weight[0] = torch.nan
    ids, rows = torch.tensor([[0, 1, 0, 2], [0, 0, 0, 0]]), torch.tensor([3, 0])
    out = recops.embedding_bags([(weight, ids), (weight, rows)], padding_idx=0)
    assert torch.equal(out[0], torch.cat([weight[1] + weight[2], weight[3]]))
    assert out[1].eq(0).all()


# ---- Gradients.


def example(dtype: torch.dtype = torch.float32) -> list[tuple[Tensor, Tensor]]:
    """A sum and a row of one table, and a sum of another."""
    item, user = (torch.randn(*size, dtype=dtype, requires_grad=True) for size in ((6, 5), (4, 3)))
    history, candidate = torch.tensor([[0, 5, 5], [2, 3, 0]]), torch.tensor([5, 2])
    return [(item, history), (user, torch.tensor([[1, 3], [0, 0]])), (item, candidate)]


@pytest.mark.parametrize("padding", [None, 0, 3])
def test_gradcheck(padding: int | None) -> None:
    (item, history), (user, others), (_, candidate) = example(torch.float64)

    def call(item: Tensor, user: Tensor) -> Tensor:
        bags = [(item, history), (user, others), (item, candidate)]
        return recops.embedding_bags(bags, padding_idx=padding)

    assert torch.autograd.gradcheck(call, (item, user))


def test_a_table_that_learns_nothing_gets_no_gradient() -> None:
    (item, history), (user, others), last = example()
    (expected,) = gradients(
        recops.embedding_bags([(item, history), (user, others), last]), [item], torch.ones(2, 13)
    )
    out = recops.embedding_bags([(item, history), (user.detach(), others), last])
    (found,) = gradients(out, [item], torch.ones(2, 13))
    assert torch.equal(found, expected)


def test_there_is_no_second_derivative() -> None:
    bags = example()
    out = recops.embedding_bags(bags).square().sum()
    (grad,) = torch.autograd.grad(out, bags[0][0], create_graph=True)
    with pytest.raises(NotImplementedError, match="have no second derivative"):
        grad.sum().backward()


def test_no_gradient_is_asked_for() -> None:
    bags = example()
    frozen = [(weight.detach(), ids) for weight, ids in bags]
    assert not recops.embedding_bags(frozen).requires_grad
    with torch.no_grad():
        assert not recops.embedding_bags(bags).requires_grad


# ---- The same bits, and torch's own machinery.


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    weights = [torch.randn(9000, 70).to(dtype).requires_grad_() for _ in range(2)]
    ids, rows = torch.randint(9000, (400, 60)), torch.randint(9000, (400,))
    ids[:, 30:] = ids[:, 30:] % 5  # rows that most of the batch add to

    def everything() -> list[Tensor]:
        bags = [(weights[0], ids), (weights[1], rows), (weights[0], rows)]
        out = recops.embedding_bags(bags, padding_idx=0)
        return [out, *gradients(out, weights, out.detach())]

    set_threads(1)
    expected = everything()
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, one_thread in zip(everything(), expected, strict=True):
            assert torch.equal(actual, one_thread)


ON_THIS_ISA = """
import sys
import torch
import recops

results = []
for weight, ids in torch.load(sys.argv[1]):
    table = weight.clone().requires_grad_()
    out = recops.embedding_bags([(table, ids), (table, ids[:, 0])], padding_idx=0)
    results += [out.detach(), *torch.autograd.grad(out, table, out.detach())]
torch.save(results, sys.argv[2])
"""


def test_instruction_sets_agree_to_the_bit(tmp_path: Path) -> None:
    inputs = [
        (torch.randn(40, width).to(dtype), torch.randint(40, (30, 20)).to(index))
        for width in (1, 3, 7, 18, 33, 100)
        for dtype in DTYPES
        for index in INDICES
    ]
    results = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            assert torch.equal(actual, expected)


@pytest.mark.parametrize("index", INDICES)
def test_opcheck(index: torch.dtype) -> None:
    ids = [torch.randint(4, shape).to(index) for shape in ((3, 4), (3,), (3, 2))]
    tables, ops = [0, 1, 0], torch.ops.recops
    for learns in ((False, False), (True, True), (False, True)):
        weights = [
            torch.randn(size, requires_grad=yes)
            for size, yes in zip(((7, 5), (4, 3)), learns, strict=True)
        ]
        for padding in (-1, 2):
            torch.library.opcheck(ops.embedding_bags.default, (weights, ids, tables, padding))
    for rows in ([7, 4], [7, -1]):
        arguments = (torch.randn(3, 13), ids, tables, rows, [5, 3], 2)
        torch.library.opcheck(ops.embedding_bags_backward.default, arguments)


class Model(torch.nn.Module):
    def forward(self, weight: Tensor, ids: Tensor) -> Tensor:
        return recops.embedding_bags([(weight, ids), (weight, ids[:, 0])], padding_idx=0)


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiles_into_one_graph_of_dynamic_shape() -> None:
    compiled = torch.compile(Model(), fullgraph=True, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for size, width, rows, each in [(10, 6, 4, 3), (23, 9, 7, 5), (64, 18, 12, 20)]:
        weight = torch.randn(size, width, requires_grad=True)
        ids = torch.randint(size, (rows, each))
        actual, expected = compiled(weight, ids), Model()(weight, ids)
        assert torch.equal(actual, expected)
        grad = torch.randn(expected.shape)
        (found,), (due,) = gradients(actual, [weight], grad), gradients(expected, [weight], grad)
        torch.testing.assert_close(found, due)
    assert graphs["unique_graphs"] == 1


def test_exports() -> None:
    rows, size = torch.export.Dim("rows", min=2), torch.export.Dim("size", min=2)
    inputs = torch.randn(12, 6), torch.randint(12, (4, 3))
    shapes = {"weight": {0: size}, "ids": {0: rows}}
    program = torch.export.export(Model(), inputs, dynamic_shapes=shapes).module()
    weight, ids = torch.randn(31, 6), torch.randint(31, (9, 3))
    torch.testing.assert_close(program(weight, ids), Model()(weight, ids))


def test_autocast_keeps_the_tables_dtype() -> None:
    bags = example()
    expected = recops.embedding_bags(bags)
    with torch.autocast("cpu", torch.bfloat16):
        actual = recops.embedding_bags(bags)
    assert torch.equal(actual, expected)


# ---- Errors.

WEIGHT, IDS = torch.randn(5, 3), torch.tensor([[0, 4], [1, 2]])
ERRORS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"ids": IDS + 1}, IndexError, r"bags\[1\]: ids must be from 0 to 4, got ids\[0, 1\] = 5"),
    ({"ids": IDS.mT + 1}, IndexError, r"bags\[1\]: ids must be from 0 to 4, got ids\[1, 0\] = 5"),
    (
        {"ids": IDS.int() - 1},
        IndexError,
        r"bags\[1\]: ids must be from 0 to 4, got ids\[0, 0\] = -1",
    ),
    (
        {"ids": torch.tensor([1, 5])},
        IndexError,
        r"bags\[1\]: ids must be from 0 to 4, got ids\[1\] = 5",
    ),
    (
        {"ids": torch.tensor([[2**40], [0]])},
        IndexError,
        r"bags\[1\]: ids must be from 0 to 4, got ids\[0, 0\] = 1099511627776",
    ),
    (
        {"ids": torch.tensor([[-(2**63)], [0]])},
        IndexError,
        r"bags\[1\]: ids must be from 0 to 4, got ids\[0, 0\] = -9223372036854775808",
    ),
    (
        {"ids": IDS - 1, "padding_idx": 0},
        IndexError,
        r"bags\[1\]: ids must be from 0 to 4, got ids\[0, 0\] = -1",
    ),
    (
        {"weight": WEIGHT[:0]},
        IndexError,
        r"bags\[1\]: ids must be from 0 to -1, got ids\[0, 0\] = 0",
    ),
    ({"ids": torch.tensor(7)}, ValueError, r"bags\[1\]: ids must have 1 or 2 dimensions, got"),
    ({"ids": IDS[None]}, ValueError, r"bags\[1\]: ids must have 1 or 2 dimensions, got shape"),
    ({"ids": IDS[:1]}, ValueError, r"bags\[1\]: ids must have 2 rows as the first have, got 1"),
    ({"ids": IDS.float()}, TypeError, r"bags\[1\]: ids must be one of int32, int64, got float32"),
    ({"ids": IDS.to("meta")}, ValueError, r"bags\[1\]: ids must be on cpu, got meta"),
    ({"ids": [[0], [0]]}, TypeError, r"bags\[1\]: ids must be a tensor, got list"),
    ({"weight": WEIGHT.int()}, TypeError, r"bags\[1\]: weight must be one of float32"),
    ({"weight": WEIGHT.double()}, TypeError, r"bags\[1\]: weight must be of the first's dtype"),
    ({"weight": WEIGHT[0]}, ValueError, r"bags\[1\]: weight must have 2 dimensions"),
    (
        {"padding_idx": 5},
        ValueError,
        "padding_idx must be from 0 to 4, got 5",
    ),
    ({"padding_idx": -1}, ValueError, "padding_idx must be from 0 to 4, .*got -1"),
]


@pytest.mark.parametrize(("changes", "error", "message"), ERRORS)
def test_errors(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    second = changes.get("weight", WEIGHT), changes.get("ids", IDS)
    with pytest.raises(error, match=f"^embedding_bags: {message}"):
        recops.embedding_bags([(WEIGHT, IDS), second], padding_idx=changes.get("padding_idx"))


def test_there_must_be_bags() -> None:
    with pytest.raises(ValueError, match=r"^embedding_bags: bags must hold"):
        recops.embedding_bags([])


@pytest.mark.parametrize("index", INDICES)
def test_bad_ids_deep_in_a_batch_are_found(index: torch.dtype) -> None:
    ids = torch.randint(5, (70, 130)).to(index)
    ids[41, 77], ids[60, 2] = 5, -1
    with pytest.raises(IndexError, match=r"^embedding_bags: bags\[0\]: ids .*ids\[41, 77\] = 5"):
        recops.embedding_bags([(WEIGHT, ids)])


def test_the_gradient_checks_its_arguments() -> None:
    backward = torch.ops.recops.embedding_bags_backward
    name = "^embedding_bags_backward: "
    with pytest.raises(IndexError, match=name + r"bags\[0\]: ids must be .*ids\[0, 1\] = 4"):
        backward(torch.randn(2, 3), [IDS], [0], [4], [3], -1)
    with pytest.raises(ValueError, match=f"{name}grad must be "):
        backward(torch.randn(3, 3), [IDS], [0], [5], [3], -1)
    with pytest.raises(ValueError, match=f"{name}tables must be from 0 to 0, got 1"):
        backward(torch.randn(2, 3), [IDS], [1], [5], [3], -1)
    with pytest.raises(ValueError, match=f"{name}num_rows must be at least 0"):
        backward(torch.randn(2, 3), [IDS], [0], [-2], [3], -1)
