"""Codebook overlap: DRQ's closed forms and properties, its reference, gradients and errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from instruction_sets import results_at_each
from recops import reference
from recops.ops.codebook_overlap.codebook_overlap import OverlapKernel
from tolerances import AGREEMENT

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
KERNELS: list[OverlapKernel] = ["bhattacharyya", "product", "minimum"]
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.T.contiguous().T,
    "backwards": lambda x: x.flip(0).contiguous().flip(0),
}

every_kernel = pytest.mark.parametrize("kernel", KERNELS)


def shares(size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    usage = torch.rand(size, dtype=torch.float64) ** 3
    return (usage / usage.sum()).to(dtype)


def apart(size: int, dim: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    """Codewords 100 apart at least, along one axis."""
    codebook = torch.randn(size, dim, dtype=dtype).clamp(-5, 5)
    codebook[:, 0] += 110.0 * torch.arange(size, dtype=dtype)
    return codebook


# ---- Closed forms.


@every_kernel
@pytest.mark.parametrize("dtype", DTYPES[::3])
def test_uniform_codewords_far_apart_are_worth_their_number(
    kernel: OverlapKernel, dtype: torch.dtype
) -> None:
    usage = torch.full((256,), 1 / 256, dtype=dtype)
    capacity = recops.effective_capacity(apart(256, dtype=dtype), usage, 1.0, kernel=kernel)
    assert capacity.item() == pytest.approx(256, abs=1e-6)


TWO_CODES: dict[OverlapKernel, Callable[[float, float], float]] = {
    "bhattacharyya": lambda delta, sigma: math.exp(-(delta**2) / (8 * sigma**2)),
    "product": lambda delta, sigma: math.exp(-(delta**2) / (4 * sigma**2)),
    "minimum": lambda delta, sigma: math.erfc(delta / (2 * math.sqrt(2) * sigma)),
}


@pytest.mark.parametrize("kernel", TWO_CODES)
@pytest.mark.parametrize("dtype", DTYPES[::3])
@pytest.mark.parametrize("delta", [0.0, 1e-3, 0.5, 1.0, 3.0, 8.0])
def test_two_codes(kernel: OverlapKernel, dtype: torch.dtype, delta: float) -> None:
    codebook = torch.tensor([[1.0, 2.0], [1.0, 2.0 + delta]], dtype=torch.float64).to(dtype)
    usage = torch.full((2,), 0.5, dtype=dtype)
    overlap, row_sums = recops.codebook_overlap(codebook, usage, 0.7, kernel=kernel)
    told = (codebook[1, 1].double() - codebook[0, 1].double()).item()
    expected = (1 + TWO_CODES[kernel](told, 0.7)) / 2
    rtol = 1e-14 if dtype == torch.float64 else 3e-7
    assert overlap.item() == pytest.approx(expected, rel=rtol)
    assert row_sums.tolist() == pytest.approx([expected] * 2, rel=rtol)


@pytest.mark.parametrize("kernel", TWO_CODES)
def test_equidistant_codes_lose_capacity_as_noise_grows(kernel: OverlapKernel) -> None:
    """K_eff of the corners of a simplex, K of them evenly used: 1 / (1/K + (1 − 1/K) κ(δ, σ))."""
    size, delta = 256, 8.0
    corners = torch.eye(size, dtype=torch.float64) * delta / math.sqrt(2)
    usage = torch.full((size,), 1 / size, dtype=torch.float64)
    curve = []
    for sigma in (0.1, 0.25, 0.5, 1.0, 2.0, 8.0, 32.0):
        due = 1 / (1 / size + (1 - 1 / size) * TWO_CODES[kernel](delta, sigma))
        capacity = recops.effective_capacity(corners, usage, sigma, kernel=kernel).item()
        assert capacity == pytest.approx(due, rel=1e-9)
        curve.append(capacity)
    assert curve[0] == pytest.approx(256, abs=1e-6)
    assert curve == sorted(curve, reverse=True)
    assert curve[-1] < 1.5


@every_kernel
def test_only_even_and_disjoint_codes_are_worth_their_number(kernel: OverlapKernel) -> None:
    even, size = torch.full((30,), 1 / 30, dtype=torch.float64), 30
    assert recops.effective_capacity(apart(size), even, 1.0, kernel=kernel) > size - 1e-9
    uneven = even.clone()
    uneven[:2] += torch.tensor([1e-3, -1e-3])
    assert recops.effective_capacity(apart(size), uneven, 1.0, kernel=kernel) < size - 1e-3
    close = apart(size)
    close[1] = close[0] + 1e-3
    assert recops.effective_capacity(close, even, 1.0, kernel=kernel) < size - 1


@every_kernel
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_codeword_overlaps_itself_by_exactly_one(
    kernel: OverlapKernel, dtype: torch.dtype
) -> None:
    codebook = (1000 + torch.randn(70, 19)).to(dtype)
    for code in (0, 33, 69):
        usage = torch.zeros(70)
        usage[code] = 1
        overlap, row_sums = recops.codebook_overlap(codebook, usage, 1e-3, kernel=kernel)
        assert overlap.item() == 1
        assert row_sums[code].item() == 1


@every_kernel
def test_a_tile_in_float32_is_within_1e_5_of_float64(kernel: OverlapKernel) -> None:
    codebook, usage = torch.randn(500, 32), shares(500, torch.float32)
    for sigma in (0.25, 1.0, 4.0):
        overlap, row_sums = recops.codebook_overlap(codebook, usage, sigma, kernel=kernel)
        exact = reference.codebook_overlap(codebook.double(), usage.double(), sigma, kernel=kernel)
        torch.testing.assert_close(overlap.double(), exact[0], rtol=1e-5, atol=0)
        torch.testing.assert_close(row_sums.double(), exact[1], rtol=1e-5, atol=1e-30)


# ---- Properties: DRQ's chain of bounds, its limits, its two penalties.


@every_kernel
@settings(max_examples=15)
@given(size=st.integers(1, 90), dim=st.integers(1, 20), seed=st.integers(0, 999))
def test_bounds_and_limits(kernel: OverlapKernel, size: int, dim: int, seed: int) -> None:
    torch.manual_seed(seed)
    codebook, usage = torch.randn(size, dim, dtype=torch.float64), shares(size)
    usage[size // 2 + 1 :] = 0
    usage /= usage.sum()
    used = usage[usage > 0]
    most = 1 / usage.square().sum().item()
    capacities = [
        recops.effective_capacity(codebook, usage, sigma, kernel=kernel).item()
        for sigma in (1e-9, 0.1, 0.3, 1, 3, 10, 1e9)
    ]
    for wider, capacity in zip(capacities[1:], capacities[:-1], strict=True):
        assert wider <= capacity * (1 + 1e-12)
    assert capacities[0] == pytest.approx(most, rel=1e-12)
    assert capacities[-1] == pytest.approx(1, rel=1e-7)
    perplexity = math.exp(-(used * used.log()).sum().item())
    assert 1 - 1e-12 <= capacities[2] <= most * (1 + 1e-12)
    assert most <= perplexity * (1 + 1e-12) <= len(used) * (1 + 1e-11)


@every_kernel
def test_doubling_a_codeword_and_dividing_its_usage_changes_nothing(kernel: OverlapKernel) -> None:
    codebook, usage = torch.randn(50, 8, dtype=torch.float64), shares(50)
    expected, sums = recops.codebook_overlap(codebook, usage, 0.6, kernel=kernel)
    doubled = torch.cat([codebook, codebook[7:8]])
    divided = torch.cat([usage, usage[7:8] / 3])
    divided[7] *= 2 / 3
    overlap, row_sums = recops.codebook_overlap(doubled, divided, 0.6, kernel=kernel)
    torch.testing.assert_close(overlap, expected)
    torch.testing.assert_close(row_sums, torch.cat([sums, sums[7:8]]))


def penalties(codebook: Tensor, usage: Tensor, sigma: float) -> tuple[float, float]:
    """Of distribution and of geometry: log K = log K_eff + both."""
    even = 1 / usage.square().sum().item()
    capacity = recops.effective_capacity(codebook, usage, sigma).item()
    return math.log(len(usage)) - math.log(even), math.log(even) - math.log(capacity)


def test_what_moves_which_penalty() -> None:
    codebook, usage = torch.randn(200, 16, dtype=torch.float64), shares(200)
    distribution, geometry = penalties(codebook, usage, 0.5)
    permuted = penalties(codebook[torch.randperm(200)], usage, 0.5)
    assert permuted[0] == distribution
    closer = penalties(codebook / 10, usage, 0.5)
    assert closer[0] == distribution
    assert closer[1] > 2 * geometry
    skewed = usage**2 / usage.square().sum()
    assert penalties(codebook, skewed, 0.5)[0] > distribution * 1.3


# ---- Agreement with the reference, forward and backward.


def gradients(
    overlap: Tensor, row_sums: Tensor, inputs: tuple[Tensor, Tensor], weight: Tensor
) -> tuple[Tensor, ...]:
    weight = weight.to(row_sums.dtype)
    return torch.autograd.grad(1.3 * overlap + (weight * row_sums).sum(), inputs)


@settings(max_examples=50)
@given(
    size=st.integers(1, 150),
    dim=st.integers(0, 40),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(list(LAYOUTS)),
    kernel=st.sampled_from(KERNELS),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_reference(
    size: int,
    dim: int,
    dtype: torch.dtype,
    layout: str,
    kernel: OverlapKernel,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    codebook = LAYOUTS[layout](torch.randn(size, dim).to(dtype)).requires_grad_()
    usage = shares(2 * size, dtype)[::2].requires_grad_()
    twins = (
        codebook.detach().double().requires_grad_(),
        usage.detach().double().requires_grad_(),
    )
    result = recops.codebook_overlap(codebook, usage, 0.9, kernel=kernel)
    expected = reference.codebook_overlap(*twins, 0.9, kernel=kernel)
    weight = torch.randn(size)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for actual, other in zip(result, expected, strict=True):
        assert actual.dtype == wide
        torch.testing.assert_close(actual, other.to(wide), **AGREEMENT[wide])
    found = gradients(*result, (codebook, usage), weight)
    due = gradients(*expected, twins, weight)
    for actual, other in zip(found, due, strict=True):
        torch.testing.assert_close(actual, other.to(actual.dtype), **AGREEMENT[actual.dtype])


@every_kernel
def test_gradients(kernel: OverlapKernel) -> None:
    codebook = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    usage = shares(9).requires_grad_()

    def both(codebook: Tensor, usage: Tensor) -> tuple[Tensor, Tensor]:
        return recops.codebook_overlap(codebook, usage, 0.8, kernel=kernel)

    assert torch.autograd.gradcheck(both, (codebook, usage))
    assert torch.autograd.gradcheck(
        lambda c, u: recops.effective_capacity(c, u, 0.8, kernel=kernel), (codebook, usage)
    )


@every_kernel
def test_equal_codewords_give_finite_gradients(kernel: OverlapKernel) -> None:
    codebook = torch.ones(40, 5, requires_grad=True)
    recops.effective_capacity(codebook, torch.full((40,), 1 / 40), 0.1, kernel=kernel).backward()
    assert codebook.grad is not None
    assert codebook.grad.eq(0).all()


# ---- The same bits, and torch's own machinery.


def everything(codebook: Tensor, usage: Tensor) -> list[Tensor]:
    results: list[Tensor] = []
    for kernel in KERNELS:
        books, share = codebook.clone().requires_grad_(), usage.clone().requires_grad_()
        overlap, row_sums = recops.codebook_overlap(books, share, 0.7, kernel=kernel)
        results += [overlap, row_sums, *torch.autograd.grad(overlap, (books, share))]
    return [result.detach() for result in results]


@pytest.mark.parametrize("dtype", DTYPES[::3])
def test_results_do_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, set_threads: Callable[[int], None]
) -> None:
    codebook, usage = torch.randn(700, 24).to(dtype), shares(700, dtype)
    set_threads(1)
    expected = everything(codebook, usage)
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, one_thread in zip(everything(codebook, usage), expected, strict=True):
            assert torch.equal(actual, one_thread)


ON_THIS_ISA = """
import sys
import torch
import recops

results = []
for codebook, usage in torch.load(sys.argv[1]):
    codebook.requires_grad_()
    for kernel in ("bhattacharyya", "product", "minimum"):
        overlap, row_sums = recops.codebook_overlap(codebook, usage, 0.7, kernel=kernel)
        results += [overlap.detach(), row_sums.detach(), *torch.autograd.grad(overlap, codebook)]
torch.save(results, sys.argv[2])
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    inputs = [(torch.randn(100, 13).to(d), shares(100, d)) for d in DTYPES[::3]]
    results = results_at_each(ON_THIS_ISA, tmp_path, inputs)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            torch.testing.assert_close(actual, expected, **AGREEMENT[expected.dtype])


def test_opcheck() -> None:
    codebook, usage = torch.randn(9, 5), shares(9, torch.float32)
    ops = torch.ops.recops
    differentiable = (
        codebook.clone().requires_grad_(),
        usage.clone().requires_grad_(),
        0.5,
        "minimum",
    )
    torch.library.opcheck(ops.codebook_overlap.default, differentiable)
    backward = (torch.tensor(1.0), usage, codebook, usage, 0.5, "minimum")
    torch.library.opcheck(ops.codebook_overlap_backward.default, backward)


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiles_into_one_graph_of_dynamic_shape() -> None:
    compiled = torch.compile(recops.effective_capacity, fullgraph=True, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for size, dim in [(10, 6), (23, 9), (64, 17)]:
        codebook, usage = torch.randn(size, dim, requires_grad=True), shares(size, torch.float32)
        actual, expected = (
            compiled(codebook, usage, 0.5),
            recops.effective_capacity(codebook, usage, 0.5),
        )
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(
            torch.autograd.grad(actual, codebook), torch.autograd.grad(expected, codebook)
        )
    assert graphs["unique_graphs"] == 1


def test_exports() -> None:
    class Overlap(torch.nn.Module):
        def forward(self, codebook: Tensor, usage: Tensor) -> tuple[Tensor, Tensor]:
            return recops.codebook_overlap(codebook, usage, 0.5)

    size = torch.export.Dim("size", min=2)
    codebook, usage = torch.randn(12, 6), shares(12, torch.float32)
    program = torch.export.export(
        Overlap(), (codebook, usage), dynamic_shapes={"codebook": {0: size}, "usage": {0: size}}
    )
    codebook, usage = torch.randn(31, 6), shares(31, torch.float32)
    for actual, expected in zip(
        program.module()(codebook, usage),
        recops.codebook_overlap(codebook, usage, 0.5),
        strict=True,
    ):
        assert torch.equal(actual, expected)


def test_autocast_computes_in_float32() -> None:
    codebook, usage = torch.randn(30, 6), shares(30, torch.float32)
    expected = recops.codebook_overlap(codebook, usage, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        actual = recops.codebook_overlap(codebook, usage, 0.5)
    assert torch.equal(actual[1], expected[1])


# ---- Errors.

BOOK, USAGE = torch.randn(5, 3), torch.full((5,), 0.2)
NAN_BOOK = BOOK.index_fill(0, torch.tensor([3]), torch.nan)
NAN_USAGE = USAGE.index_fill(0, torch.tensor([2]), torch.inf)

ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: recops.codebook_overlap(BOOK[0], USAGE, 1.0), ValueError, "codebook must have 2 dim"),
    (lambda: recops.codebook_overlap(BOOK.int(), USAGE, 1.0), TypeError, "codebook must be one of"),
    (lambda: recops.codebook_overlap(BOOK, USAGE.int(), 1.0), TypeError, "usage must be one of"),
    (
        lambda: recops.codebook_overlap(BOOK, USAGE[:4], 1.0),
        ValueError,
        "usage must have 5 .*got 4",
    ),
    (lambda: recops.codebook_overlap(BOOK[:0], USAGE[:0], 1.0), ValueError, "at least one codewor"),
    (lambda: recops.codebook_overlap(BOOK, USAGE, 0.0), ValueError, "sigma must be .*got 0.0"),
    (lambda: recops.codebook_overlap(BOOK, USAGE, math.nan), ValueError, "sigma must be .*got nan"),
    (lambda: recops.effective_capacity(BOOK, USAGE, -1.0), ValueError, "sigma must be .*got -1.0"),
    (
        lambda: recops.codebook_overlap(BOOK, USAGE, 1.0, kernel="cosine"),  # type: ignore[arg-type]
        ValueError,
        "kernel must be 'bhattacharyya', 'product' or 'minimum', got 'cosine'",
    ),
    (
        lambda: recops.codebook_overlap(NAN_BOOK, USAGE, 1.0),
        ValueError,
        r"codebook must be finite, got codebook\[3\]",
    ),
    (
        lambda: recops.codebook_overlap(BOOK, NAN_USAGE, 1.0),
        ValueError,
        r"usage must be finite, got usage\[2\]",
    ),
    (lambda: recops.codebook_overlap(BOOK, USAGE.to("meta"), 1.0), ValueError, "usage must be on"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
