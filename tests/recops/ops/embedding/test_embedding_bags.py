"""Embedding bags: agreement with the reference and torch, padding and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from embedding_inputs import INDICES, example, gradients
from recops import reference
from tolerances import AGREEMENT, DTYPES

pytestmark = pytest.mark.composites

WIDTHS = [1, 3, 4, 8, 18, 64, 131]
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT if x.ndim > 1 else x,
    "strided": lambda x: x.repeat_interleave(2, -1)[..., ::2] if x.ndim else x,
    "columns": lambda x: F.pad(x, (3, 2))[..., 3:-2],
}


def agree(actual: Tensor, other: Tensor) -> None:
    """Compare with a tolerance for the cancellation of a few hundred terms."""
    size = other.abs().max().clamp(min=1).item() if other.numel() else 1.0
    rtol, atol = AGREEMENT[actual.dtype]["rtol"], AGREEMENT[actual.dtype]["atol"] * size
    torch.testing.assert_close(actual, other.to(actual.dtype), rtol=rtol, atol=atol)


@pytest.mark.numerics
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
    correct = reference.embedding_bags(plain, padding_idx=padding)
    assert out.dtype == dtype
    assert out.is_contiguous()
    agree(out, correct)
    grad = of_grad(torch.randn(out.shape).to(dtype))
    used = sorted(set(which))
    grads = gradients(out, [weights[table] for table in used], grad)
    expected = gradients(correct, [twins[table] for table in used], grad)
    for actual, other in zip(grads, expected, strict=True):
        agree(actual, other)
        if padding is not None and actual.shape[1]:
            assert actual[padding].eq(0).all()


def test_an_empty_table_with_no_ids() -> None:
    weight = torch.randn(0, 4, requires_grad=True)
    for ids in (torch.empty(0, 3, dtype=torch.int64), torch.empty(2, 0, dtype=torch.int32)):
        out = recops.embedding_bags([(weight, ids)])
        assert torch.equal(out, torch.zeros(len(ids), 4))
        assert gradients(out, [weight], torch.ones_like(out))[0].shape == (0, 4)


@pytest.mark.numerics
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.composites(False)
def test_rows_and_gradients_equal_those_of_torch(width: int, dtype: torch.dtype) -> None:
    weight = torch.randn(50, width).to(dtype).requires_grad_()
    ids = torch.randint(50, (400,))
    out, correct = recops.embedding_bags([(weight, ids)]), F.embedding(ids, weight)
    assert torch.equal(out, correct)
    if dtype in (torch.float32, torch.float64):
        grad = torch.randn(correct.shape, dtype=dtype)
        (grads,), (expected,) = gradients(out, [weight], grad), gradients(correct, [weight], grad)
        assert torch.equal(grads, expected)


@pytest.mark.numerics
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("each", [1, 2, 100])
@pytest.mark.composites(False)
def test_sums_are_in_order_of_occurrence_to_the_bit(width: int, each: int) -> None:
    weight, ids = torch.randn(50, width, requires_grad=True), torch.randint(50, (40, each))
    rows = torch.randint(50, (40,))
    out = recops.embedding_bags([(weight, ids), (weight, rows)])
    correct = torch.zeros(40, width)
    for t in range(each):
        correct += weight.detach()[ids[:, t]]
    assert torch.equal(out, torch.cat([correct, weight.detach()[rows]], 1))
    grad = torch.randn(40, 2 * width)
    of_sums, of_rows = grad.split(width, 1)
    one_by_one = torch.zeros(50, width)
    for n, row in enumerate(ids.flatten().tolist()):
        one_by_one[row] += of_sums[n // each]
    for n, row in enumerate(rows.tolist()):
        one_by_one[row] += of_rows[n]
    assert torch.equal(gradients(out, [weight], grad)[0], one_by_one)


@pytest.mark.parametrize("dtype", DTYPES[1:3])
def test_sums_of_16_bit_rows_are_rounded_once(dtype: torch.dtype) -> None:
    """Sums of ones in bfloat16 stop at 256 without float32 accumulation."""
    weight = torch.ones(1, 20, dtype=dtype, requires_grad=True)
    out = recops.embedding_bags([(weight, torch.zeros(1, 3000, dtype=torch.int64))])
    correct = torch.tensor(3000.0).to(dtype)
    assert out.eq(correct).all()
    assert gradients(out, [weight], torch.ones(1, 20))[0].eq(correct).all()


@pytest.mark.parametrize("padding", [0, 6])
def test_padding_is_like_that_of_embedding_bag(padding: int) -> None:
    weight, ids = torch.randn(7, 5, requires_grad=True), torch.randint(7, (9, 12))
    ids[4] = padding
    rows = torch.tensor([padding, 3, padding, 2, 1, 4, 5, 6, 0])
    bags = [(weight, ids), (weight, rows)]
    out = recops.embedding_bags(bags, padding_idx=padding)
    correct = torch.cat(
        [
            F.embedding_bag(each, weight, mode="sum", padding_idx=padding)
            for each in (ids, rows[:, None])
        ],
        1,
    )
    assert out[4, :5].eq(0).all()
    assert out[0, 5:].eq(0).all()
    torch.testing.assert_close(out, correct)
    grad = torch.randn(out.shape)
    (grads,), (expected,) = gradients(out, [weight], grad), gradients(correct, [weight], grad)
    assert grads[padding].eq(0).all()
    torch.testing.assert_close(grads, expected)


@pytest.mark.parametrize("padding", [2**32 + 1, -(2**32) + 1, 2**31 + 1])
@pytest.mark.parametrize("ids", [torch.tensor([1, 3]), torch.tensor([[1, 1], [1, 3]])])
def test_a_padding_index_beyond_32_bits_matches_no_id(padding: int, ids: Tensor) -> None:
    backward = torch.ops.recops.embedding_bags_backward
    grad = torch.randn(2, 5)
    correct = backward(grad, [ids], [0], [4], [5], padding)
    for narrow, wide in zip(
        backward(grad, [ids.int()], [0], [4], [5], padding), correct, strict=True
    ):
        assert torch.equal(narrow, wide)
        assert narrow[1].ne(0).all()


def test_nonfinite_padding_rows_add_nothing() -> None:
    weight = torch.randn(4, 6)
    weight[0] = torch.nan
    ids, rows = torch.tensor([[0, 1, 0, 2], [0, 0, 0, 0]]), torch.tensor([3, 0])
    out = recops.embedding_bags([(weight, ids), (weight, rows)], padding_idx=0)
    assert torch.equal(out[0], torch.cat([weight[1] + weight[2], weight[3]]))
    assert out[1].eq(0).all()


@pytest.mark.numerics
@pytest.mark.parametrize("padding", [None, 0, 3])
def test_gradcheck(padding: int | None) -> None:
    (item, history), (user, others), (_, candidate) = example(torch.float64)

    def call(item: Tensor, user: Tensor) -> Tensor:
        bags = [(item, history), (user, others), (item, candidate)]
        return recops.embedding_bags(bags, padding_idx=padding)

    assert torch.autograd.gradcheck(call, (item, user))


def test_a_frozen_table_gets_no_gradient() -> None:
    (item, history), (user, others), last = example()
    (expected,) = gradients(
        recops.embedding_bags([(item, history), (user, others), last]), [item], torch.ones(2, 13)
    )
    out = recops.embedding_bags([(item, history), (user.detach(), others), last])
    (grads,) = gradients(out, [item], torch.ones(2, 13))
    assert torch.equal(grads, expected)


def test_there_is_no_second_derivative() -> None:
    bags = example()
    out = recops.embedding_bags(bags).square().sum()
    (grad,) = torch.autograd.grad(out, bags[0][0], create_graph=True)
    with pytest.raises(NotImplementedError, match="have no second derivative"):
        grad.sum().backward()


def test_results_of_frozen_tables_need_no_gradient() -> None:
    bags = example()
    frozen = [(weight.detach(), ids) for weight, ids in bags]
    assert not recops.embedding_bags(frozen).requires_grad
    with torch.no_grad():
        assert not recops.embedding_bags(bags).requires_grad
