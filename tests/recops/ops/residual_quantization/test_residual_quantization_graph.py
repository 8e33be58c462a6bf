"""Residual quantization with gradcheck, opcheck, torch.compile, export and autocast."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import recops
from compilation import inductor_in_ci


@pytest.mark.composites
def test_rq_decode_gradients() -> None:
    codes = torch.tensor([[0, 2], [1, -1], [1, 0], [1, 2]])
    books = [torch.randn(k, 3, dtype=torch.float64, requires_grad=True) for k in (2, 3)]

    def decode(*books: Tensor) -> Tensor:
        return recops.rq_decode(codes, list(books))

    assert torch.autograd.gradcheck(decode, tuple(books))
    assert torch.autograd.gradgradcheck(decode, tuple(books))


@pytest.mark.composites
def test_encoding_is_not_differentiable() -> None:
    x = torch.randn(4, 6, requires_grad=True)
    codebooks = torch.randn(2, 5, 6, requires_grad=True)
    codes, sq_error = recops.rq_encode(x, codebooks)
    sums, weights = recops.accumulate_codes(x, codes[:, 0], 5, weight=x[:, 0])
    assert not any(t.requires_grad for t in (codes, sq_error, sums, weights))


def sample_calls() -> dict[str, tuple[object, ...]]:
    x, words = torch.randn(9, 5), torch.randn(7, 5)
    codes = torch.randint(-1, 3, (9, 2), dtype=torch.int32)
    return {
        "rq_encode": (x, words, [3, 4]),
        "rq_encode_beams": (x, words, [3, 4], 5, 2),
        "code_flips": (x, words, [3, 4], torch.rand(2), 3, 1, 0, len(x)),
        "rq_decode": (codes, words.clone().requires_grad_(), [3, 4]),
        "rq_decode_backward": (x.clone().requires_grad_(), codes, [3, 4]),
        "nearest_codes": (x, words, 2),
        "accumulate_codes": (x, codes[:, 0], 3, x[:, 0]),
    }


@pytest.mark.composites
@pytest.mark.parametrize("op", list(sample_calls()))
def test_opcheck(op: str) -> None:
    torch.library.opcheck(getattr(torch.ops.recops, op).default, sample_calls()[op])


def pipeline(x: Tensor, codebooks: Tensor) -> tuple[Tensor, ...]:
    codes, sq_error = recops.rq_encode(x, codebooks)
    beams, _ = recops.rq_encode_beams(x, codebooks, beam=3)
    flips = recops.code_flip_rate(x, codebooks, codebooks[:, 0, 0].abs(), samples=3, seed=1)
    index, _ = recops.nearest_codes(x, codebooks[0], k=2)
    sums, weights = recops.accumulate_codes(x, index[:, 1], codebooks.shape[1])
    return codes, sq_error, recops.rq_decode(codes, codebooks), sums, weights, beams, flips


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@inductor_in_ci
def test_compiles_into_one_graph_of_dynamic_shape(backend: str) -> None:
    compiled = torch.compile(pipeline, fullgraph=True, backend=backend, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for n, dim, size in [(10, 6, 5), (23, 9, 70), (64, 17, 8)]:
        x, codebooks = torch.randn(n, dim), torch.randn(2, size, dim)
        books, twins = codebooks.clone().requires_grad_(), codebooks.clone().requires_grad_()
        actual, expected = compiled(x, books), pipeline(x, twins)
        for one, other in zip(actual, expected, strict=True):
            assert torch.equal(one, other)
        actual[2].sum().backward()
        expected[2].sum().backward()
        assert books.grad is not None
        assert twins.grad is not None
        assert torch.equal(books.grad, twins.grad)
    assert graphs["unique_graphs"] == 1


def test_exports() -> None:
    class Pipeline(torch.nn.Module):
        def forward(self, x: Tensor, codebooks: Tensor) -> tuple[Tensor, ...]:
            return pipeline(x, codebooks)

    shapes = {"x": {0: torch.export.Dim("n", min=2)}, "codebooks": None}
    x, codebooks = torch.randn(12, 6), torch.randn(2, 5, 6)
    program = torch.export.export(Pipeline(), (x, codebooks), dynamic_shapes=shapes)
    x = torch.randn(31, 6)
    for actual, expected in zip(
        program.module()(x, codebooks), pipeline(x, codebooks), strict=True
    ):
        assert torch.equal(actual, expected)


@pytest.mark.composites
def test_autocast_computes_in_float32() -> None:
    x, codebooks = torch.randn(200, 24), torch.randn(2, 50, 24)
    expected = pipeline(x, codebooks)
    with torch.autocast("cpu", torch.bfloat16):
        actual = pipeline(x, codebooks)
        half = recops.rq_decode(actual[0], codebooks.bfloat16())
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(one, other)
    assert half.dtype == torch.float32
