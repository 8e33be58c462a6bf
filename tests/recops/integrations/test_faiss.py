"""Conversion of codebooks to and from faiss; codes with shared codebooks are equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recops
from recops.faiss import codebooks_from_faiss, codebooks_to_faiss

faiss = pytest.importorskip("faiss")


def test_codes_equal_those_of_a_quantizer_trained_by_faiss() -> None:
    x = torch.randn(2000, 16)
    index = faiss.IndexResidualQuantizer(16, 3, 5)
    index.rq.max_beam_size = 1
    index.train(x.numpy())
    codebooks = codebooks_from_faiss(index)
    assert [book.shape for book in codebooks] == [(32, 16)] * 3
    codes, _ = recops.rq_encode(x, codebooks)
    packed = index.rq.compute_codes(x.numpy())
    same = (recops.pack_codes(codes, [32] * 3).numpy() == packed).all(axis=1)
    assert same.mean() > 0.999


def test_round_trip_with_levels_of_different_sizes() -> None:
    x = torch.randn(500, 12)
    books = [torch.randn(size, 12) / (level + 1) for level, size in enumerate([64, 16, 128])]
    quantizer = codebooks_to_faiss(books)
    for book, other in zip(books, codebooks_from_faiss(quantizer), strict=True):
        assert torch.equal(book, other)
    codes, _ = recops.rq_encode(x, books)
    same = recops.pack_codes(codes, [64, 16, 128]).numpy() == quantizer.compute_codes(x.numpy())
    assert same.all(axis=1).mean() > 0.999
    decoded = quantizer.decode(recops.pack_codes(codes, [64, 16, 128]).numpy())
    np.testing.assert_allclose(decoded, recops.rq_decode(codes, books).numpy(), atol=1e-5)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"codebooks\[0\] must hold a power of two, got 100"):
        codebooks_to_faiss(torch.randn(2, 100, 4))
    with pytest.raises(TypeError, match="codebooks must be one of float32"):
        codebooks_to_faiss(torch.randn(2, 8, 4).double())
    with pytest.raises(ValueError, match="must be trained"):
        codebooks_from_faiss(faiss.ResidualQuantizer(4, 2, 3))
