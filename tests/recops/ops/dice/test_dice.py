"""Dice in one op: its definition, its gradient, bad input, torch's machinery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from instruction_sets import results_at_each
from recops import reference
from tolerances import AGREEMENT

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT if x.ndim > 1 else x,
    "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
}

either = pytest.mark.parametrize("of_batch", [True, False], ids=["batch", "given"])


def wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def make(
    rows: int = 9,
    columns: int = 21,
    *,
    of_batch: bool = True,
    dtype: torch.dtype = torch.float32,
    params: torch.dtype | None = None,
    seed: int = 0,
) -> list[Tensor]:
    """x, alpha, and mean and var unless they are the batch's; each column has its own spread."""
    random = torch.Generator().manual_seed(seed)

    def values(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    x = values(rows, columns) * (1 + values(columns).abs()) + values(columns)
    others = [values(columns)]
    if not of_batch:
        others += [values(columns), 0.1 + values(columns).abs()]
    params = params or wide(dtype)
    return [x.to(dtype), *(each.to(params) for each in others)]


def results(
    operands: list[Tensor],
    function: Callable[..., tuple[Tensor, Tensor, Tensor]] = recops.dice,
    dtype: torch.dtype | None = None,
) -> list[Tensor]:
    """out, mean, var, and the gradients of x and alpha."""
    x, alpha, *statistics = (each.to(dtype or each.dtype) for each in operands)
    leaves = [leaf.detach().requires_grad_() for leaf in (x, alpha)]
    found = function(*leaves, *statistics)
    random = torch.Generator().manual_seed(1)
    weight = torch.randn(x.shape, generator=random, dtype=torch.float64)
    weight = weight.to(operands[0].dtype).to(x.dtype)
    gradients = torch.autograd.grad(found[0], leaves, weight)
    return [found[0].detach(), *found[1:], *gradients]


def agree(operands: list[Tensor]) -> None:
    """Values and gradients are the reference's, computed in float64 and rounded."""
    found, due = results(operands), results(operands, reference.dice, torch.float64)
    x, alpha = operands[:2]
    of_statistics = wide(x.dtype) if len(operands) == 2 else alpha.dtype
    dtypes = [x.dtype, of_statistics, of_statistics, x.dtype, alpha.dtype]
    # Columns that hardly vary magnify what rounding leaves of their differences.
    column = due[2].rsqrt().clamp(1, 1e6) if len(x) > 1 else torch.ones(x.shape[1])
    column = column * x.abs().double().amax(0).clamp(min=1) if len(x) else column
    for actual, expected, dtype in zip(found, due, dtypes, strict=True):
        assert actual.dtype == dtype
        close = dict(AGREEMENT[dtype])
        close["atol"] *= max(len(x), 1) ** 0.5  # Sums over rows.
        torch.testing.assert_close(
            actual.double() / column, expected.to(dtype).double() / column, **close
        )


# ---- Agreement with the reference.


@either
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(128, 200), (70, 83), (2, 64)])
def test_agrees_with_the_reference(shape: tuple[int, int], dtype, of_batch: bool) -> None:
    agree(make(*shape, of_batch=of_batch, dtype=dtype))


@settings(max_examples=60)
@given(
    rows=st.integers(0, 200),
    columns=st.integers(0, 150),
    of_batch=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    narrow=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_shape(rows, columns, of_batch, dtype, narrow, seed) -> None:
    params = dtype if narrow else wide(dtype)
    agree(make(rows, columns, of_batch=of_batch, dtype=dtype, params=params, seed=seed))


@either
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_are_free(layout: str, of_batch: bool) -> None:
    operands = make(of_batch=of_batch)
    expected = results(operands)
    strided = [LAYOUTS[layout](each) for each in operands]
    for actual, due in zip(results(strided), expected, strict=True):
        assert torch.equal(actual, due)


@either
@pytest.mark.parametrize("rows", [1, 3])
def test_gradcheck(rows: int, of_batch: bool) -> None:
    x, alpha, *statistics = make(rows, 5, of_batch=of_batch, dtype=torch.float64)
    leaves = (x.requires_grad_(), alpha.requires_grad_())
    assert torch.autograd.gradcheck(lambda *some: recops.dice(*some, *statistics)[0], leaves)


@either
def test_either_gradient_alone(of_batch: bool) -> None:
    x, alpha, *statistics = make(of_batch=of_batch)
    *_, grad_x, grad_alpha = results([x, alpha, *statistics])
    weight = torch.randn(
        x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).float()
    for leaf, expected in ((x, grad_x), (alpha, grad_alpha)):
        leaf.requires_grad_()
        out, _, _ = recops.dice(x, alpha, *statistics)
        assert torch.equal(torch.autograd.grad(out, leaf, weight)[0], expected)
        leaf.requires_grad_(False)


# ---- What it promises of statistics.


def test_given_statistics_come_back_and_have_no_gradient() -> None:
    x, alpha, mean, var = make(of_batch=False, dtype=torch.bfloat16)
    leaves = [each.requires_grad_() for each in (x, mean, var)]
    out, mean_out, var_out = recops.dice(x, alpha, mean, var)
    assert mean_out is mean
    assert var_out is var
    grads = torch.autograd.grad(out.sum(), leaves, allow_unused=True)
    assert [grad is None for grad in grads] == [False, True, True]


def test_statistics_of_the_batch_have_no_gradient() -> None:
    x, alpha = make()
    out, mean, var = recops.dice(x.requires_grad_(), alpha)
    assert out.requires_grad
    assert not mean.requires_grad
    assert not var.requires_grad
    mean += 1  # A caller's own: of running averages, say.
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_standardised_where_there_is_no_row(dtype: torch.dtype) -> None:
    out, mean, var = recops.dice(torch.empty(0, 5, dtype=dtype), torch.zeros(5, dtype=dtype))
    assert out.shape == (0, 5)
    assert mean.tolist() == var.tolist() == [0] * 5


def test_a_row_alone_meets_one_half() -> None:
    x, alpha = make(1)
    out, mean, var = recops.dice(x, alpha)
    assert torch.equal(mean, x[0])
    assert not var.any()
    torch.testing.assert_close(out, x * (1 + alpha) / 2)


def test_an_offset_costs_no_digits() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(5000, 40, generator=random) + 1000
    _, mean, var = recops.dice(x, torch.zeros(40))
    torch.testing.assert_close(mean.double(), x.double().mean(0), rtol=1e-7, atol=0)
    due = x.double().var(0, correction=0)
    torch.testing.assert_close(var.double(), due, rtol=1e-5, atol=0)


def test_a_constant_column_has_a_half_and_finite_gradients() -> None:
    x, alpha = make(300)
    x[:, 3] = 0.1
    out, _, var, grad_x, _ = results([x, alpha])
    assert 0 <= var[3] < 1e-12
    torch.testing.assert_close(out[:, 3], x[:, 3] * (1 + alpha[3]) / 2, rtol=1e-3, atol=0)
    assert grad_x.isfinite().all()


@either
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_value_that_is_no_number_harms_its_column_alone(value, dtype, of_batch) -> None:
    operands = make(20, 40, of_batch=of_batch, dtype=dtype)
    expected = results(operands)
    operands[0] = operands[0].index_put(
        (torch.tensor(7), torch.tensor(5)), torch.tensor(value, dtype=dtype)
    )
    found = results(operands)
    others = torch.arange(40) != 5
    for actual, due in zip(found, expected, strict=True):
        assert torch.equal(actual[..., others], due[..., others])
    if of_batch or value != value:
        assert found[0][7, 5].isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_values_saturate(dtype: torch.dtype) -> None:
    x = torch.tensor([[1e4], [-1e4]], dtype=dtype)
    alpha, mean, var = (torch.full((1,), each, dtype=dtype) for each in (0.25, 0.0, 1e-4))
    out, _, _ = recops.dice(x, alpha, mean, var)
    torch.testing.assert_close(out, torch.tensor([[1e4], [-2500]], dtype=dtype))


# ---- The same bits.


@either
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_threads(dtype, of_batch, set_threads) -> None:
    operands = make(300, 715, of_batch=of_batch, dtype=dtype)
    set_threads(1)
    expected = results(operands)
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, due in zip(results(operands), expected, strict=True):
            assert torch.equal(actual, due)


ON_THIS_ISA = """
import sys, torch, recops
found = []
for x, *others in torch.load(sys.argv[1]):
    x.requires_grad_()
    others[0].requires_grad_()
    out, mean, var = recops.dice(x, *others)
    out.square().sum().backward()
    found += [out.detach(), mean, var, x.grad, others[0].grad]
torch.save(found, sys.argv[2])
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    inputs = [
        make(70, 83, of_batch=of_batch, dtype=dtype)
        for of_batch in (True, False)
        for dtype in (torch.float32, torch.float64)
    ]
    found = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in found[1:]:
        for actual, expected in zip(result, found[0], strict=True):
            close = dict(AGREEMENT[expected.dtype])
            close["atol"] *= max(1.0, expected.abs().max().item())
            torch.testing.assert_close(actual, expected, **close)


# ---- torch's own machinery.


@either
def test_there_is_no_second_derivative(of_batch: bool) -> None:
    x, *others = make(of_batch=of_batch)
    x.requires_grad_()
    out, _, _ = recops.dice(x, *others)
    (grad,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="dice has no second derivative"):
        grad.sum().backward()


@either
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype: torch.dtype, of_batch: bool) -> None:
    x, alpha, *statistics = make(of_batch=of_batch, dtype=dtype)
    given = statistics or [None, None]
    leaves = (x.clone().requires_grad_(), alpha.clone().requires_grad_())
    torch.library.opcheck(torch.ops.recops.dice.default, (*leaves, *given, 1e-8))
    _, *used = torch.ops.recops.dice(x, alpha, *given, 1e-8)
    backward = (torch.randn_like(x), x, alpha, *used, 1e-8, of_batch)
    torch.library.opcheck(torch.ops.recops.dice_backward.default, backward)


@either
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiles_into_one_graph_of_dynamic_shape(of_batch: bool) -> None:
    compiled = torch.compile(recops.dice, fullgraph=True, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for rows, columns in [(10, 6), (23, 9), (64, 17)]:
        operands = make(rows, columns, of_batch=of_batch)
        for actual, due in zip(results(operands, compiled), results(operands), strict=True):
            torch.testing.assert_close(actual, due)
    assert graphs["unique_graphs"] == 1


@either
def test_exports(of_batch: bool) -> None:
    class Gate(torch.nn.Module):
        def forward(self, *operands: Tensor) -> Any:
            return recops.dice(*operands)

    small, large = (tuple(make(rows, of_batch=of_batch)) for rows in (4, 9))
    shapes = ({0: torch.export.Dim("rows", min=2)}, *[None] * (len(small) - 1))
    program = torch.export.export(Gate(), small, dynamic_shapes=(shapes,))
    for actual, due in zip(program.module()(*large), recops.dice(*large), strict=True):
        assert torch.equal(actual, due)


@either
def test_autocast_computes_in_float32(of_batch: bool) -> None:
    x, *others = make(of_batch=of_batch, dtype=torch.bfloat16)
    expected = recops.dice(x.float(), *others)
    with torch.autocast("cpu", torch.bfloat16):
        found = recops.dice(x, *others)
    for actual, due in zip(found, expected, strict=True):
        assert torch.equal(actual, due)


# ---- Errors.

X, ALPHA = make(3, 5)
MEAN, VAR = torch.zeros(5), torch.ones(5)
ERRORS: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "no tensor": (lambda: recops.dice([1.0], ALPHA), TypeError, "x must be a tensor, got list"),
    "integers": (lambda: recops.dice(X.int(), ALPHA), TypeError, "x must be one of float32"),
    "dimensions": (lambda: recops.dice(X[0], ALPHA), ValueError, "x must have 2 dimensions"),
    "two dtypes": (lambda: recops.dice(X, ALPHA.double()), TypeError, "alpha must be one of"),
    "narrow": (lambda: recops.dice(X.half(), ALPHA.bfloat16()), TypeError, "alpha must be one of"),
    "a matrix": (lambda: recops.dice(X, ALPHA[None]), ValueError, "alpha must have 1 dimensions"),
    "width": (
        lambda: recops.dice(X, ALPHA[:4]),
        ValueError,
        "alpha must have 5 entries, one a column of x, got 4",
    ),
    "mean alone": (
        lambda: recops.dice(X, ALPHA, MEAN),
        ValueError,
        "mean and var must be given both or neither, got mean alone",
    ),
    "var alone": (lambda: recops.dice(X, ALPHA, var=VAR), ValueError, "got var alone"),
    "a wide mean": (
        lambda: recops.dice(X, ALPHA, torch.zeros(6), VAR),
        ValueError,
        "mean must have 5 entries, one a column of x, got 6",
    ),
    "integer var": (lambda: recops.dice(X, ALPHA, MEAN, VAR.int()), TypeError, "var must be one"),
    "eps": (
        lambda: recops.dice(X, ALPHA, eps=-1.0),
        ValueError,
        "eps must be from 0 to inf, got -1",
    ),
    "no eps": (
        lambda: recops.dice(X, ALPHA, eps=torch.nan),
        ValueError,
        "eps must be from 0 to inf, got nan",
    ),
    "elsewhere": (lambda: recops.dice(X, ALPHA.to("meta")), ValueError, "alpha must be on cpu"),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"dice: .*{message}"):
        call()
