"""Rows of embedding tables and their sums: torch's own, the reference, gradients and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT if x.ndim > 1 else x,
    "strided": lambda x: x.repeat_interleave(2, -1)[..., ::2] if x.ndim else x,
}
FUNCTIONS = {
    "rows": (recops.embedding_rows, reference.embedding_rows),
    "sum": (recops.embedding_sum, reference.embedding_sum),
}

every_function = pytest.mark.parametrize("name", FUNCTIONS)


def gradient(out: Tensor, weight: Tensor, grad: Tensor) -> Tensor:
    return torch.autograd.grad(out, weight, grad.to(out.dtype))[0]


# ---- Agreement with the reference, forward and backward.


@every_function
@settings(max_examples=80)
@given(
    size=st.integers(1, 90),
    width=st.integers(0, 70) | st.sampled_from([128, 131, 200]),
    shape=st.tuples(st.integers(0, 12), st.integers(0, 12) | st.sampled_from([1, 300])),
    padded=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    index=st.sampled_from(INDICES),
    layouts=st.tuples(*[st.sampled_from(list(LAYOUTS))] * 3),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_reference(
    name: str,
    size: int,
    width: int,
    shape: tuple[int, int],
    padded: bool,
    dtype: torch.dtype,
    index: torch.dtype,
    layouts: tuple[str, str, str],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    ours, plain = FUNCTIONS[name]
    of_weight, of_ids, of_grad = (LAYOUTS[layout] for layout in layouts)
    weight = of_weight(torch.randn(size, width).to(dtype)).requires_grad_()
    ids = of_ids(torch.randint(size, shape).to(index))
    padding = seed % size if padded else None
    twin = weight.detach().double().requires_grad_()
    out, due = ours(weight, ids, padding_idx=padding), plain(twin, ids, padding_idx=padding)
    assert out.dtype == dtype
    assert out.is_contiguous()
    grad = of_grad(torch.randn(out.shape).to(dtype))
    found, expected = gradient(out, weight, grad), gradient(due, twin, grad)
    for actual, other in ((out, due), (found, expected)):
        # Against the cancellation of a few hundred terms.
        size_of = other.abs().max().clamp(min=1).item() if other.numel() else 1.0
        rtol, atol = AGREEMENT[dtype]["rtol"], AGREEMENT[dtype]["atol"] * size_of
        torch.testing.assert_close(actual, other.to(dtype), rtol=rtol, atol=atol)
    if padding is not None and width:
        assert found[padding].eq(0).all()


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 0, 3), (2, 1, 3, 1, 2, 1, 1, 2, 1)])
@pytest.mark.parametrize("index", INDICES)
def test_ids_of_rows_have_any_shape(shape: tuple[int, ...], index: torch.dtype) -> None:
    weight, ids = torch.randn(7, 5, requires_grad=True), torch.randint(7, shape).to(index)
    out, due = recops.embedding_rows(weight, ids), F.embedding(ids, weight)
    assert torch.equal(out, due)
    grad = torch.randn(due.shape)
    assert torch.equal(gradient(out, weight, grad), gradient(due, weight, grad))


def test_no_ids_of_an_empty_table() -> None:
    weight = torch.randn(0, 4, requires_grad=True)
    for ids in (torch.empty(0, 3, dtype=torch.int64), torch.empty(2, 0, dtype=torch.int32)):
        rows, sums = recops.embedding_rows(weight, ids), recops.embedding_sum(weight, ids)
        assert rows.shape == (*ids.shape, 4)
        assert torch.equal(sums, torch.zeros(len(ids), 4))
        for out in (rows, sums):
            assert gradient(out, weight, torch.ones_like(out)).shape == (0, 4)


# ---- The bits of torch's own.


@pytest.mark.parametrize("width", [1, 3, 4, 8, 18, 64, 131])
@pytest.mark.parametrize("each", [1, 2, 100])
def test_rows_and_gradients_are_torchs_to_the_bit(width: int, each: int) -> None:
    weight, ids = torch.randn(50, width, requires_grad=True), torch.randint(50, (40, each))
    for padding in (None, 3):
        out = recops.embedding_rows(weight, ids, padding_idx=padding)
        due = F.embedding(ids, weight, padding_idx=padding)
        assert torch.equal(out, due)
        grad = torch.randn(due.shape)
        assert torch.equal(gradient(out, weight, grad), gradient(due, weight, grad))


@pytest.mark.parametrize("width", [1, 3, 4, 8, 18, 64, 131])
@pytest.mark.parametrize("each", [1, 2, 100])
def test_sums_are_in_order_of_occurrence_to_the_bit(width: int, each: int) -> None:
    weight, ids = torch.randn(50, width, requires_grad=True), torch.randint(50, (40, each))
    out = recops.embedding_sum(weight, ids)
    due = torch.zeros(40, width)
    for t in range(each):
        due += weight.detach()[ids[:, t]]
    assert torch.equal(out, due)
    grad = torch.randn(40, width)
    one_by_one = torch.zeros(50, width)
    for n, id_ in enumerate(ids.flatten().tolist()):
        one_by_one[id_] += grad[n // each]
    assert torch.equal(gradient(out, weight, grad), one_by_one)
    rows = grad.repeat_interleave(each, 0)
    assert torch.equal(one_by_one, torch.zeros(50, width).index_add(0, ids.flatten(), rows))


@pytest.mark.parametrize("dtype", DTYPES[1:3])
def test_sums_of_16_bit_rows_are_rounded_once(dtype: torch.dtype) -> None:
    """One by one in bfloat16, 256 ones and more are 256; 300 rounds to it, or to 304."""
    weight = torch.ones(1, 20, dtype=dtype, requires_grad=True)
    out = recops.embedding_sum(weight, torch.zeros(1, 3000, dtype=torch.int64))
    due = torch.tensor(3000.0).to(dtype)
    assert out.eq(due).all()
    assert gradient(out, weight, torch.ones(1, 20)).eq(due).all()


# ---- Padding.


@pytest.mark.parametrize("padding", [0, 6, -1, -7])
def test_padding_is_that_of_embedding_and_embedding_bag(padding: int) -> None:
    weight, ids = torch.randn(7, 5, requires_grad=True), torch.randint(7, (9, 12))
    ids[4] = padding % 7
    rows = recops.embedding_rows(weight, ids, padding_idx=padding)
    assert torch.equal(rows, weight[ids])
    sums = recops.embedding_sum(weight, ids, padding_idx=padding)
    assert sums[4].eq(0).all()
    bags = F.embedding_bag(ids, weight, mode="sum", padding_idx=padding)
    torch.testing.assert_close(sums, bags)
    twin = F.embedding(ids, weight, padding_idx=padding)
    for out, due in ((rows, twin), (sums, bags)):
        grad = torch.randn(out.shape)
        found = gradient(out, weight, grad)
        assert found[padding].eq(0).all()
        torch.testing.assert_close(found, gradient(due, weight, grad))


def test_padding_that_is_not_finite_adds_nothing() -> None:
    weight = torch.randn(4, 6)
    weight[0] = torch.nan
    ids = torch.tensor([[0, 1, 0, 2], [0, 0, 0, 0]])
    sums = recops.embedding_sum(weight, ids, padding_idx=0)
    assert torch.equal(sums[0], weight[1] + weight[2])
    assert sums[1].eq(0).all()


# ---- Gradients.


@every_function
def test_gradcheck(name: str) -> None:
    weight = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([[0, 5, 5], [2, 3, 0]])
    for padding in (None, 5):

        def call(weight: Tensor, padding: int | None = padding) -> Tensor:
            out = FUNCTIONS[name][0](weight, ids, padding_idx=padding)
            # gradcheck moves every row, and rows that learn nothing are still returned.
            return out if padding is None or name == "sum" else out * (ids != 5)[..., None]

        assert torch.autograd.gradcheck(call, weight)


@every_function
def test_there_is_no_second_derivative(name: str) -> None:
    weight, ids = torch.randn(6, 5, requires_grad=True), torch.randint(6, (3, 4))
    out = FUNCTIONS[name][0](weight, ids)
    (grad,) = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    with pytest.raises(NotImplementedError, match="have no second derivative"):
        grad.sum().backward()


def test_no_gradient_is_asked_for() -> None:
    weight, ids = torch.randn(6, 5, requires_grad=True), torch.randint(6, (3, 4))
    for ours, _ in FUNCTIONS.values():
        assert not ours(weight.detach(), ids).requires_grad
        with torch.no_grad():
            assert not ours(weight, ids).requires_grad


# ---- The same bits, and torch's own machinery.


def everything(weight: Tensor, ids: Tensor) -> list[Tensor]:
    results = []
    for ours, _ in FUNCTIONS.values():
        for padding in (None, 0):
            table = weight.detach().requires_grad_()
            out = ours(table, ids, padding_idx=padding)
            random = torch.Generator().manual_seed(1)
            grad = torch.randn(out.shape, generator=random)
            results += [out.detach(), gradient(out, table, grad)]
    return results


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    weight, ids = torch.randn(9000, 70).to(dtype), torch.randint(9000, (400, 60))
    ids[:, 30:] = ids[:, 30:] % 5  # rows that most of the batch add to
    set_threads(1)
    expected = everything(weight, ids)
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, one_thread in zip(everything(weight, ids), expected, strict=True):
            assert torch.equal(actual, one_thread)


ON_THIS_ISA = """
import sys
import torch
import recops

results = []
for weight, ids in torch.load(sys.argv[1]):
    for function in (recops.embedding_rows, recops.embedding_sum):
        table = weight.clone().requires_grad_()
        out = function(table, ids, padding_idx=0)
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
    weight, ids = torch.randn(7, 5), torch.randint(7, (3, 4)).to(index)
    ops = torch.ops.recops
    for op in (ops.embedding_rows.default, ops.embedding_sum.default):
        torch.library.opcheck(op, (weight, ids, 2))
        torch.library.opcheck(op, (weight.clone().requires_grad_(), ids, -1))
    for grad in (torch.randn(3, 5), torch.randn(3, 4, 5)):
        torch.library.opcheck(ops.embedding_backward.default, (grad, ids, 7, 2))


class Both(torch.nn.Module):
    def forward(self, weight: Tensor, ids: Tensor) -> Tensor:
        rows = recops.embedding_rows(weight, ids, padding_idx=0)
        return rows.sum(1) * recops.embedding_sum(weight, ids, padding_idx=-1)


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiles_into_one_graph_of_dynamic_shape() -> None:
    compiled = torch.compile(Both(), fullgraph=True, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for size, width, rows, each in [(10, 6, 4, 3), (23, 9, 7, 5), (64, 18, 12, 20)]:
        weight, ids = (
            torch.randn(size, width, requires_grad=True),
            torch.randint(size, (rows, each)),
        )
        actual, expected = compiled(weight, ids), Both()(weight, ids)
        torch.testing.assert_close(actual, expected)
        grad = torch.randn(expected.shape)
        torch.testing.assert_close(gradient(actual, weight, grad), gradient(expected, weight, grad))
    assert graphs["unique_graphs"] == 1


def test_exports() -> None:
    rows, size = torch.export.Dim("rows", min=2), torch.export.Dim("size", min=2)
    example = torch.randn(12, 6), torch.randint(12, (4, 3))
    shapes = {"weight": {0: size}, "ids": {0: rows}}
    program = torch.export.export(Both(), example, dynamic_shapes=shapes).module()
    weight, ids = torch.randn(31, 6), torch.randint(31, (9, 3))
    torch.testing.assert_close(program(weight, ids), Both()(weight, ids))


@every_function
def test_autocast_keeps_the_tables_dtype(name: str) -> None:
    weight, ids = torch.randn(7, 5, requires_grad=True), torch.randint(7, (3, 4))
    expected = FUNCTIONS[name][0](weight, ids)
    with torch.autocast("cpu", torch.bfloat16):
        actual = FUNCTIONS[name][0](weight, ids)
    assert torch.equal(actual, expected)


# ---- Errors.

WEIGHT, IDS = torch.randn(5, 3), torch.tensor([[0, 4], [1, 2]])
ERRORS: list[tuple[str, dict[str, object], type[Exception], str]] = [
    ("rows", {"ids": IDS + 1}, IndexError, r"ids\[0, 1\] is 5, which is not from 0 to 4"),
    ("rows", {"ids": IDS.int() - 1}, IndexError, r"ids\[0, 0\] is -1, which is not from 0 to 4"),
    ("rows", {"ids": torch.tensor(7)}, IndexError, "ids is 7, which"),
    ("rows", {"ids": torch.tensor([1, 2, 5, -1])}, IndexError, r"ids\[2\] is 5, which"),
    ("rows", {"ids": torch.tensor([[[1], [9]]])}, IndexError, r"ids\[0, 1, 0\] is 9, which"),
    ("rows", {"weight": WEIGHT[:0]}, IndexError, r"ids\[0, 0\] is 0, which is not from 0 to -1"),
    ("sum", {"ids": IDS.mT + 1}, IndexError, r"ids\[1, 0\] is 5, which is not from 0 to 4"),
    ("sum", {"ids": torch.tensor([[2**40]])}, IndexError, r"ids\[0, 0\] is 1099511627776, which"),
    (
        "sum",
        {"ids": torch.tensor([[-(2**63)]])},
        IndexError,
        r"ids\[0, 0\] is -9223372036854775808",
    ),
    ("sum", {"ids": IDS - 1, "padding_idx": 0}, IndexError, r"ids\[0, 0\] is -1, which"),
    ("sum", {"ids": IDS[0]}, ValueError, "ids must have 2 dimensions, got shape"),
    ("rows", {"ids": IDS.float()}, TypeError, "ids must be one of int32, int64, got float32"),
    ("sum", {"ids": IDS.short()}, TypeError, "ids must be one of int32, int64, got int16"),
    ("rows", {"weight": WEIGHT.int()}, TypeError, "weight must be one of float32"),
    ("sum", {"weight": WEIGHT[0]}, ValueError, "weight must have 2 dimensions"),
    ("rows", {"padding_idx": 5}, ValueError, "padding_idx must be from -5 to 4, .*5 rows, got 5"),
    ("sum", {"padding_idx": -6}, ValueError, "padding_idx must be from -5 to 4, .*got -6"),
    ("sum", {"ids": IDS.to("meta")}, ValueError, "ids must be on cpu, got meta"),
    ("rows", {"ids": [[0]]}, TypeError, "ids must be a tensor, got list"),
]


@pytest.mark.parametrize(("name", "changes", "error", "message"), ERRORS)
def test_errors(
    name: str, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^embedding_{name}: {message}"):
        FUNCTIONS[name][0](**{"weight": WEIGHT, "ids": IDS, **changes})  # type: ignore[arg-type]


def test_bad_ids_deep_in_a_batch_are_found() -> None:
    for index in INDICES:
        ids = torch.randint(5, (70, 130)).to(index)
        ids[41, 77], ids[60, 2] = 5, -1
        for name, (ours, _) in FUNCTIONS.items():
            with pytest.raises(IndexError, match=rf"^embedding_{name}: ids\[41, 77\] is 5"):
                ours(WEIGHT, ids)


def test_the_gradient_checks_its_ids() -> None:
    backward = torch.ops.recops.embedding_backward
    with pytest.raises(IndexError, match=r"^embedding_backward: ids\[0, 1\] is 4"):
        backward(torch.randn(2, 3), IDS, 4, -1)
    with pytest.raises(ValueError, match=r"^embedding_backward: grad must have a row for each"):
        backward(torch.randn(3, 3), IDS, 5, -1)
