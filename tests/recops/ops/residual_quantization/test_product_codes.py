"""Products of residual quantizers: a loop over groups, faiss, the reference, and errors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

import recops
from recops import reference
from recops.faiss import codebooks_from_faiss
from tolerances import DTYPES

pytestmark = pytest.mark.composites


def uneven() -> list[list[Tensor]]:
    """Return groups of different widths, levels and sizes."""
    return [
        [torch.randn(7, 5), torch.randn(3, 5)],
        [torch.randn(4, 2)],
        [torch.randn(6, 9) for _ in range(3)],
    ]


@pytest.mark.numerics
@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_equals_a_loop_over_groups(dtype: torch.dtype, metric: str) -> None:
    x, books = torch.randn(200, 24).to(dtype), torch.randn(3, 2, 16, 8).to(dtype)
    codes, sq_error = recops.rq_encode(x, books, metric=metric)
    pieces = x.chunk(3, 1)
    actual = [recops.rq_encode(p, b, metric=metric) for p, b in zip(pieces, books, strict=True)]
    assert torch.equal(codes, torch.cat([each for each, _ in actual], 1))
    torch.testing.assert_close(sq_error, sum(error for _, error in actual))
    decoded = recops.rq_decode(codes, books)
    assert decoded.dtype == dtype
    parts = [recops.rq_decode(c, b) for c, b in zip(codes.split(2, 1), books, strict=True)]
    assert torch.equal(decoded, torch.cat(parts, 1))


@pytest.mark.numerics
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_groups_of_all_kinds_agree_with_the_reference(metric: str) -> None:
    x, books = torch.randn(60, 16, dtype=torch.float64), uneven()
    books = [[book.double() for book in stack] for stack in books]
    x[3, 15] = torch.nan
    for beam in (1, 3):
        codes, sq_error = recops.rq_encode(x, books, beam=beam, metric=metric)
        expected, due_error = reference.rq_encode(x, books, beam=beam, metric=metric)
        assert torch.equal(codes, expected)
        torch.testing.assert_close(sq_error, due_error, equal_nan=True)
        assert codes[3].tolist() == [-1] * 6
    codes, sq_error = recops.rq_encode_beams(x, books, beam=5, metric=metric)
    expected, due_error = reference.rq_encode_beams(x, books, beam=5, metric=metric)
    assert torch.equal(codes, expected)
    torch.testing.assert_close(sq_error, due_error, equal_nan=True)
    assert torch.equal(
        recops.rq_decode(codes[:, 0], books), reference.rq_decode(expected[:, 0], books)
    )


def test_groups_may_be_generators() -> None:
    x, books = torch.randn(10, 16), uneven()
    codes, _ = recops.rq_encode(x, (iter(stack) for stack in books))
    assert torch.equal(codes, recops.rq_encode(x, books)[0])


def test_one_group_equals_no_product() -> None:
    x, books = torch.randn(50, 8), torch.randn(1, 3, 16, 8)
    for one, other in zip(recops.rq_encode(x, books), recops.rq_encode(x, books[0]), strict=True):
        assert torch.equal(one, other)


def test_a_beam_as_wide_as_all_paths_returns_all() -> None:
    x = torch.randn(8, 5, dtype=torch.float64)
    books = [[torch.randn(3, 2).double()] * 2, [torch.randn(4, 3).double()]]
    codes, sq_error = recops.rq_encode_beams(x, books, beam=40)
    every = torch.tensor(list(product(range(3), range(3), range(4))))
    error = (x[:, None] - recops.rq_decode(every, books)).square().sum(2).sort(1).values
    torch.testing.assert_close(sq_error[:, :36], error)
    assert (codes[:, 36:] == -1).all()
    assert sq_error[:, 36:].isinf().all()
    assert len({tuple(code) for code in codes[0, :36].tolist()}) == 36


@pytest.mark.numerics
def test_codes_equal_those_of_faiss() -> None:
    faiss = pytest.importorskip("faiss")
    x = torch.randn(2000, 24)
    quantizer = faiss.ProductResidualQuantizer(24, 3, 2, 4)
    for split in range(3):
        faiss.downcast_AdditiveQuantizer(quantizer.subquantizer(split)).max_beam_size = 1
    quantizer.train(x.numpy())
    books = codebooks_from_faiss(quantizer)
    codes, sq_error = recops.rq_encode(x, books)
    packed = recops.pack_codes(codes, [16] * 6).numpy()
    assert (packed == quantizer.compute_codes(x.numpy())).all(axis=1).mean() > 0.999
    decoded = quantizer.decode(packed)
    np.testing.assert_allclose(decoded, recops.rq_decode(codes, books).numpy(), atol=1e-5)
    np.testing.assert_allclose(((x.numpy() - decoded) ** 2).sum(1), sq_error, rtol=1e-4)


def test_decoding_passes_gradcheck() -> None:
    codes = torch.tensor([[0, 2, 1], [1, -1, 0], [1, 0, 1]])
    books = [torch.randn(k, d, dtype=torch.float64) for k, d in ((2, 3), (3, 3), (2, 4))]
    for book in books:
        book.requires_grad_()

    def decode(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
        return recops.rq_decode(codes, [[first, second], [third]])

    assert torch.autograd.gradcheck(decode, tuple(books))
    assert torch.autograd.gradgradcheck(decode, tuple(books))


@pytest.mark.numerics
@pytest.mark.parametrize("rotation", [False, True])
def test_straight_through_agrees_with_the_reference(rotation: bool) -> None:
    x, weight = torch.randn(40, 12), torch.randn(40, 12)

    def step(function: Callable[..., tuple[Tensor, ...]]) -> list[Tensor]:
        leaf, books = x.clone().requires_grad_(), recipe.clone().requires_grad_()
        quantized, codes, commitment, codebook_loss = function(leaf, books, rotation=rotation)
        loss = (weight * quantized).sum() + 0.3 * commitment + 0.7 * codebook_loss
        grads = torch.autograd.grad(loss, [leaf, books])
        return [quantized.detach(), codes, commitment.detach(), *grads]

    recipe = torch.randn(3, 2, 9, 4)
    for one, other in zip(
        step(recops.straight_through), step(reference.straight_through), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@pytest.mark.composites(False)
def test_compiles_and_exports() -> None:
    def pipeline(x: Tensor, books: Tensor) -> tuple[Tensor, ...]:
        codes, sq_error = recops.rq_encode(x, books)
        beams, _ = recops.rq_encode_beams(x, books, beam=3)
        quantized, *_ = recops.straight_through(x, books)
        return codes, sq_error, beams, quantized, recops.rq_decode(codes, books)

    torch._dynamo.reset()
    compiled = torch.compile(pipeline, backend="aot_eager", fullgraph=True, dynamic=True)
    books = torch.randn(2, 2, 8, 5)
    for n in (10, 23):
        x = torch.randn(n, 10)
        for one, other in zip(compiled(x, books), pipeline(x, books), strict=True):
            torch.testing.assert_close(one, other)

    class Pipeline(torch.nn.Module):
        def forward(self, x: Tensor, books: Tensor) -> tuple[Tensor, ...]:
            return pipeline(x, books)

    shapes = {"x": {0: torch.export.Dim("n", min=2)}, "books": None}
    program = torch.export.export(Pipeline(), (x, books), dynamic_shapes=shapes)
    x = torch.randn(31, 10)
    for one, other in zip(program.module()(x, books), pipeline(x, books), strict=True):
        torch.testing.assert_close(one, other)


X, BOOKS = torch.randn(4, 6), torch.randn(3, 2, 5, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: recops.rq_encode(X, BOOKS[:2]),
            ValueError,
            r"rq_encode: codebooks' 2 groups must make up x's dimension 6, got widths \[2, 2\]",
        ),
        (lambda: recops.rq_encode(X, BOOKS[:0]), ValueError, "at least one group"),
        (lambda: recops.rq_encode(X, [[], []]), ValueError, "at least one level"),
        (lambda: recops.rq_encode(X, BOOKS.double()), TypeError, "got float64"),
        (
            lambda: recops.rq_decode(torch.zeros(4, 5, dtype=torch.int32), BOOKS),
            ValueError,
            "codes must have 6 columns, one per level, got 5",
        ),
        (
            lambda: recops.rq_decode(torch.full((4, 6), 5), BOOKS),
            IndexError,
            "= 5",
        ),
        (lambda: recops.straight_through(X[:, :5], BOOKS), ValueError, "x's dimension 5"),
        (lambda: recops.rq_encode_beams(X, BOOKS, beam=0), ValueError, "beam must be from 1 to"),
    ],
)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
