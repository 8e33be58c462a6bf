"""Straight-through quantization: values, gradients, rotation and errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from compilation import every_backend
from recops import reference
from tolerances import AGREEMENT, DTYPES

pytestmark = pytest.mark.composites


def make_books(sizes: list[int], dim: int, dtype: torch.dtype) -> list[Tensor]:
    return [torch.randn(size, dim).to(dtype) / (level + 1) for level, size in enumerate(sizes)]


def step(
    function: Callable[..., tuple[Tensor, ...]],
    x: Tensor,
    books: list[Tensor],
    weight: Tensor,
    *,
    rotation: bool,
) -> list[Tensor]:
    """Return all results and gradients of a training step."""
    x, books = x.clone().requires_grad_(), [book.clone().requires_grad_() for book in books]
    quantized, codes, commitment, codebook_loss = function(x, books, rotation=rotation)
    loss = (weight * quantized).sum() + 0.3 * commitment + 0.7 * codebook_loss
    results = [quantized, codes, commitment, codebook_loss]
    return [r.detach() for r in results] + list(torch.autograd.grad(loss, [x, *books]))


@pytest.mark.numerics
@settings(max_examples=60)
@given(
    n=st.integers(1, 80),
    dim=st.integers(1, 40),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    dtype=st.sampled_from(DTYPES),
    wide_books=st.booleans(),
    rotation=st.booleans(),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_reference(
    n: int,
    dim: int,
    sizes: list[int],
    dtype: torch.dtype,
    wide_books: bool,
    rotation: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(dim, n).to(dtype).T
    books = make_books(sizes, dim, torch.float32 if wide_books and dtype.itemsize == 2 else dtype)
    weight = torch.randn(n, dim)
    actual = step(recops.straight_through, x, books, weight, rotation=rotation)
    expected = step(reference.straight_through, x, books, weight, rotation=rotation)
    if not torch.equal(actual[1], expected[1]):
        return  # near ties; the tests of rq_encode cover them
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        if one.dtype.itemsize == 2:
            torch.testing.assert_close(one, other, rtol=2**-6, atol=2e-2)
        else:
            torch.testing.assert_close(
                one, other, **AGREEMENT[one.dtype] if one.is_floating_point() else {}
            )


def test_values_are_those_of_encode_and_decode() -> None:
    x, codebooks = torch.randn(300, 24), torch.randn(3, 40, 24)
    for rotation in (False, True):
        quantized, codes, commitment, codebook_loss = recops.straight_through(
            x, codebooks, rotation=rotation
        )
        assert torch.equal(codes, recops.rq_encode(x, codebooks)[0])
        assert torch.equal(quantized, recops.rq_decode(codes, codebooks))
        residual, correct = x.double(), torch.zeros((), dtype=torch.float64)
        for level, book in enumerate(codebooks.double()):
            residual = residual - book[codes[:, level].long()]
            correct += residual.square().sum(1).mean()
        assert commitment.item() == codebook_loss.item() == pytest.approx(correct.item(), rel=1e-6)


def test_the_gradient_goes_straight_through() -> None:
    x, codebooks = torch.randn(20, 6, requires_grad=True), torch.randn(2, 9, 6, requires_grad=True)
    weight = torch.randn(20, 6)
    quantized, *_ = recops.straight_through(x, codebooks)
    (grad,) = torch.autograd.grad((weight * quantized).sum(), x, retain_graph=True)
    assert torch.equal(grad, weight)
    (none,) = torch.autograd.grad(quantized.sum(), codebooks, allow_unused=True)
    assert none is None


def test_each_loss_has_a_gradient_on_one_side() -> None:
    x, book = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.25, 0.0], [9.0, 9.0]])
    x.requires_grad_()
    book.requires_grad_()
    _, _, commitment, codebook_loss = recops.straight_through(x, [book])
    assert commitment.item() == 0.75**2
    x_grad, book_grad = torch.autograd.grad(
        commitment, (x, book), allow_unused=True, retain_graph=True
    )
    assert x_grad.tolist() == [[1.5, 0.0]]
    assert book_grad is None
    x_grad, book_grad = torch.autograd.grad(codebook_loss, (x, book))
    assert not x_grad.any()
    assert book_grad.tolist() == [[-1.5, 0.0], [0.0, 0.0]]


def test_the_rotation_keeps_the_angle_of_the_gradient() -> None:
    """The angle between x and its gradient equals that of q; the scale is ‖q‖/‖x‖."""
    x = torch.randn(200, 12, dtype=torch.float64, requires_grad=True)
    quantized, *_ = recops.straight_through(
        x, torch.randn(2, 30, 12, dtype=torch.float64), rotation=True
    )
    weight = torch.randn(200, 12, dtype=torch.float64)
    (grad,) = torch.autograd.grad((weight * quantized).sum(), x)
    stretch = quantized.norm(dim=1) / x.norm(dim=1)
    torch.testing.assert_close(grad.norm(dim=1), stretch * weight.norm(dim=1))
    cosine = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(cosine(grad, x), cosine(weight, quantized))


def test_the_rotation_is_defined_at_zero_and_half_a_turn() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], requires_grad=True)
    books = [torch.tensor([[-1.0, 0.0]])]
    quantized, *_ = recops.straight_through(x, books, rotation=True)
    (grad,) = torch.autograd.grad((quantized * torch.tensor([3.0, 5.0])).sum(), x)
    assert grad.tolist() == [[3.0, 5.0], [-3.0, 5.0], [-1.5, 2.5]]


@pytest.mark.composites(False)
def test_results_do_not_depend_on_the_number_of_threads(
    set_threads: Callable[[int], None],
) -> None:
    x, books = torch.randn(40_000, 8), make_books([60, 50], 8, torch.float32)
    weight = torch.randn(40_000, 8)
    set_threads(1)
    expected = step(recops.straight_through, x, books, weight, rotation=True)
    for threads in (2, 5):
        set_threads(threads)
        actual = step(recops.straight_through, x, books, weight, rotation=True)
        for one, other in zip(actual, expected, strict=True):
            assert torch.equal(one, other)


def test_training_reduces_the_codebook_loss() -> None:
    x = torch.randn(500, 8)
    codebooks = torch.randn(2, 16, 8, requires_grad=True)
    losses = []
    for _ in range(50):
        _, _, _, loss = recops.straight_through(x, codebooks)
        losses.append(loss.item())
        (grad,) = torch.autograd.grad(loss, codebooks)
        codebooks.data -= 2 * grad
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("rotation", [False, True])
def test_opcheck(rotation: bool) -> None:
    x, words = torch.randn(9, 5, requires_grad=True), torch.randn(7, 5, requires_grad=True)
    arguments = (x, words, [3, 4], rotation)
    torch.library.opcheck(torch.ops.recops.straight_through.default, arguments)
    codes = torch.randint(0, 3, (9, 2), dtype=torch.int32)
    loss = torch.tensor(1.0)
    plain = (x.detach(), loss, loss, x.detach(), words.detach(), codes, [3, 4], rotation)
    torch.library.opcheck(torch.ops.recops.straight_through_backward.default, plain)


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@pytest.mark.composites(False)
@every_backend
def test_compiles_into_one_graph(backend: str) -> None:
    compiled = torch.compile(recops.straight_through, fullgraph=True, backend=backend, dynamic=True)
    for n in (10, 23):
        x, books = torch.randn(n, 6), make_books([5, 9], 6, torch.float32)
        weight = torch.randn(n, 6)
        actual = step(compiled, x, books, weight, rotation=True)
        expected = step(recops.straight_through, x, books, weight, rotation=True)
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_unusual_inputs() -> None:
    x, books = torch.randn(4, 3, requires_grad=True), torch.randn(2, 5, 3)
    quantized, codes, commitment, codebook_loss = recops.straight_through(x[:0], books)
    assert quantized.shape == (0, 3)
    assert codes.shape == (0, 2)
    assert commitment.item() == codebook_loss.item() == 0
    assert recops.reference.straight_through(x[:0], books)[2].item() == 0
    (commitment + quantized.sum()).backward()
    assert x.grad is not None
    broken = x.detach().clone()
    broken[2, 1] = torch.nan
    quantized, codes, commitment, _ = recops.straight_through(broken, books)
    assert codes[2].tolist() == [-1, -1]
    assert quantized[2].tolist() == [0, 0, 0]
    assert commitment.isnan()


X, BOOKS = torch.randn(4, 3), torch.randn(2, 5, 3)
ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: recops.straight_through(X[0], BOOKS), ValueError, "straight_through: x must have 2"),
    (lambda: recops.straight_through(X.int(), BOOKS), TypeError, "x must be one of float32"),
    (lambda: recops.straight_through(X, BOOKS.double()), TypeError, "codebooks must be .*float64"),
    (lambda: recops.straight_through(X, []), ValueError, "straight_through: .*at least one level"),
    (lambda: recops.straight_through(X, BOOKS * torch.nan), ValueError, "must be finite"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
