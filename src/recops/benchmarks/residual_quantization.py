"""Benchmarks of residual quantization against faiss, plain PyTorch and vector-quantize-pytorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

import recops
from recops import reference
from recops._load import ops
from recops.benchmarks.k_means import train_codebooks
from recops.benchmarks.registry import Case, Thunk, register

HAS_FAISS = importlib.util.find_spec("faiss") is not None
HAS_VQP = importlib.util.find_spec("vector_quantize_pytorch") is not None
VectorKind = Literal["spread", "clustered", "outlying"]

# rows, dimension, levels, codewords per level
SHAPES = [
    (50_000, 64, 3, 256),
    (20_000, 128, 4, 256),
    (20_000, 384, 3, 256),
    (10_000, 768, 3, 1024),
]
BATCHES = (1, 16, 256)
# rows, dimension, levels, codewords per level, width of the beam
BEAM_SHAPES = [
    (20_000, 128, 4, 256, 5),
    (20_000, 128, 4, 256, 16),
    (20_000, 768, 3, 256, 5),
    (20_000, 768, 3, 256, 16),
]
VQP_SHAPES = [(40_000, 32, 3, 256, 1), (8192, 32, 3, 256, 5)]


@register("residual_quantization")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        yield encode_case(*shape, compiled=not quick)
    for shape in SHAPES[:1] if quick else SHAPES:
        yield encode_case(*shape, data="clustered")
    for _, dim, levels, size in SHAPES[::3]:
        for rows in BATCHES:
            yield encode_case(rows, dim, levels, size, compiled=not quick)
    yield encode_case(*SHAPES[0], dtype=torch.bfloat16)
    for beam_shape in BEAM_SHAPES[:1] if quick else BEAM_SHAPES:
        yield beam_case(*beam_shape)
    if HAS_VQP and not quick:
        for vqp_shape in VQP_SHAPES:
            yield vqp_case(*vqp_shape)
    yield scaling_case(*SHAPES[0])
    for k in (1, 10):
        yield nearest_case(20_000, 64, 1024, k)
    yield decode_case(*SHAPES[0], compiled=not quick)
    yield decode_backward_case(*SHAPES[0])
    yield accumulate_case(50_000, 256, 256)


def _inputs(
    rows: int, dim: int, levels: int, size: int, data: VectorKind = "spread"
) -> tuple[Tensor, Tensor]:
    """Draw rows and codebooks.

    - "spread": both normal; codewords have half the standard deviation of rows.
    - "clustered": one normal centre per codeword of a level, and rows around the centres with half
      the standard deviation. Codebooks are trained on the rows, level by level, by recops.
    - "outlying": like "clustered", but one dimension is 100 times as wide.
    """
    random = torch.Generator().manual_seed(0)
    x = torch.randn(rows, dim, generator=random)
    if data == "spread":
        return x, torch.randn(levels, size, dim, generator=random) / 2
    centres = torch.randn(size, dim, generator=random)
    x = centres[torch.randint(size, (rows,), generator=random)] + x / 2
    if data == "outlying":
        x[:, 0] *= 100
    return x, train_codebooks(x, levels, size)


def encode_case(
    rows: int,
    dim: int,
    levels: int,
    size: int,
    *,
    dtype: torch.dtype = torch.float32,
    compiled: bool = False,
    data: VectorKind = "spread",
) -> Case:
    """Encode greedily; the peer ``faiss`` is ResidualQuantizer with the same codebooks at beam 1.

    The peer ``floats`` is the kernel of recops without integer products.
    """
    x, codebooks = (t.to(dtype) for t in _inputs(rows, dim, levels, size, data))
    peers: dict[str, Thunk] = {
        "reference": lambda: reference.rq_encode(x, codebooks),
        "floats": lambda: _encode_by_floats(x, codebooks),
    }
    if compiled:
        compiled_reference = torch.compile(reference.rq_encode)
        peers["compile"] = lambda: compiled_reference(x, codebooks)
    quantizer = None
    if HAS_FAISS and dtype == torch.float32:
        quantizer, array = _faiss_quantizer(codebooks), x.numpy()
        peers["faiss"] = lambda: quantizer.compute_codes(array)
    return Case(
        op="rq_encode",
        shape=f"N={rows} D={dim} L={levels} K={size}" + f" {data}" * (data != "spread"),
        dtype=str(dtype).removeprefix("torch."),
        run=lambda: recops.rq_encode(x, codebooks),
        peers=peers,
        verify=lambda: _verify_encode(x, codebooks, quantizer),
        flops=2.0 * rows * dim * levels * size,
    )


def beam_case(rows: int, dim: int, levels: int, size: int, beam: int) -> Case:
    """Encode by beam search; faiss also uses a table of products (use_beam_LUT)."""
    x, codebooks = _inputs(rows, dim, levels, size)
    first_rows = x[:50]
    peers: dict[str, Thunk] = {"greedy": lambda: recops.rq_encode(x, codebooks)}
    quantizer = None
    if HAS_FAISS:
        quantizer, array = _faiss_quantizer(codebooks, beam), x.numpy()
        peers["faiss"] = lambda: quantizer.compute_codes(array)

    def verify() -> None:
        codes, sq_error = recops.rq_encode(first_rows, codebooks, beam=beam)
        expected, expected_error = reference.rq_encode(first_rows, codebooks, beam=beam)
        assert (codes == expected).all(1).float().mean().item() > 0.95
        torch.testing.assert_close(sq_error.mean(), expected_error.mean(), rtol=1e-4, atol=0)
        if quantizer is not None:
            _assert_mostly_equal(
                recops.rq_encode(x, codebooks, beam=beam)[0], _faiss_codes(quantizer, x, codebooks)
            )

    return Case(
        op="rq_encode",
        shape=f"N={rows} D={dim} L={levels} K={size} beam={beam}",
        run=lambda: recops.rq_encode(x, codebooks, beam=beam),
        peers=peers,
        verify=verify,
        flops=2.0 * rows * dim * levels * size,
    )


def _faiss_quantizer(codebooks: Tensor, beam: int = 1) -> Any:
    import faiss

    levels, size, dim = codebooks.shape
    quantizer: Any = faiss.ResidualQuantizer(dim, levels, size.bit_length() - 1)
    quantizer.max_beam_size = beam
    quantizer.use_beam_LUT = int(beam > 1)
    faiss.copy_array_to_vector(codebooks.numpy().ravel(), quantizer.codebooks)
    quantizer.is_trained = True
    if beam > 1:
        quantizer.compute_codebook_tables()
    return quantizer


def _faiss_codes(quantizer: Any, x: Tensor, codebooks: Tensor) -> Tensor:
    import faiss

    levels, size, _ = codebooks.shape
    packed = quantizer.compute_codes(x.numpy())
    return torch.from_numpy(faiss.unpack_bitstrings(packed, levels, size.bit_length() - 1))


def _encode_by_floats(x: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    """Encode with float arithmetic only, without integer products."""
    levels, size, _ = codebooks.shape
    return ops.rq_encode(x, codebooks.flatten(0, 1), [size] * levels, 32)


def _verify_encode(x: Tensor, codebooks: Tensor, quantizer: Any = None) -> None:
    codes, sq_error = recops.rq_encode(x, codebooks)
    for actual, by_floats in zip((codes, sq_error), _encode_by_floats(x, codebooks), strict=True):
        assert torch.equal(actual, by_floats)
    expected, expected_error = reference.rq_encode(x, codebooks)
    _assert_mostly_equal(codes, expected)
    torch.testing.assert_close(sq_error.mean(), expected_error.mean(), rtol=1e-4, atol=0)
    if quantizer is not None:
        _assert_mostly_equal(codes, _faiss_codes(quantizer, x, codebooks))


def _assert_mostly_equal(codes: Tensor, expected: Tensor) -> None:
    """Check that codes are equal except for near ties, which depend on the order of summation."""
    different = (codes != expected).any(1).float().mean().item()
    assert different < 1e-3, f"{different:.2%} of the rows have other codes"


def scaling_case(rows: int, dim: int, levels: int, size: int) -> Case:
    """Encode on two threads; the peer encodes on one thread."""
    x, codebooks = _inputs(rows, dim, levels, size)

    def on_one_thread() -> None:
        torch.set_num_threads(1)
        recops.rq_encode(x, codebooks)
        torch.set_num_threads(2)

    return Case(
        op="rq_encode",
        shape=f"N={rows} D={dim} L={levels} K={size}",
        threads=2,
        run=lambda: recops.rq_encode(x, codebooks),
        peers={"one thread": on_one_thread},
        verify=lambda: _verify_encode(x, codebooks),
        flops=2.0 * rows * dim * levels * size,
    )


def vqp_case(rows: int, dim: int, levels: int, size: int, beam: int) -> Case:
    """Encode; the peer is ResidualVQ of vector-quantize-pytorch with the same codebooks.

    Its beam search minimises the sum of the errors of all levels instead of the final error, so its
    codes differ. The check requires that the error of recops is not larger.
    """
    from vector_quantize_pytorch import ResidualVQ

    x, codebooks = _inputs(rows, dim, levels, size, "clustered")
    peer = ResidualVQ(dim=dim, num_quantizers=levels, codebook_size=size).eval()
    for layer, codebook in zip(peer.layers, codebooks, strict=True):
        layer._codebook.embed.data.copy_(codebook[None])

    @torch.no_grad()
    def peer_codes() -> Tensor:
        codes: Tensor = peer(x[None], **({"beam_size": beam} if beam > 1 else {}))[1]
        return codes[0].int()

    def verify() -> None:
        codes, sq_error = recops.rq_encode(x, codebooks, beam=beam)
        expected = peer_codes()
        if beam == 1:
            _assert_mostly_equal(codes, expected)
        peer_error = (x - recops.rq_decode(expected, codebooks)).square().sum(1)
        assert sq_error.mean() <= peer_error.mean() * (1 + 1e-5)

    return Case(
        op="rq_encode",
        shape=f"N={rows} D={dim} L={levels} K={size} clustered" + f" beam={beam}" * (beam > 1),
        run=lambda: recops.rq_encode(x, codebooks, beam=beam),
        peers={"vector-quantize-pytorch": peer_codes},
        verify=verify,
        flops=2.0 * rows * dim * levels * size,
    )


def nearest_case(rows: int, dim: int, size: int, k: int) -> Case:
    """Find the k nearest codewords; the peer ``faiss`` is an exact flat index."""
    x, codebooks = _inputs(rows, dim, 1, size)
    codebook = codebooks[0]
    peers: dict[str, Thunk] = {"reference": lambda: reference.nearest_codes(x, codebook, k=k)}
    if HAS_FAISS:
        import faiss

        index = faiss.IndexFlatL2(dim)
        index.add(codebook.numpy())
        peers["faiss"] = lambda: index.search(x.numpy(), k)

    def verify() -> None:
        _, sq_distance = recops.nearest_codes(x, codebook, k=k)
        _, expected = reference.nearest_codes(x, codebook, k=k)
        torch.testing.assert_close(sq_distance, expected, rtol=1e-4, atol=1e-4)

    return Case(
        op="nearest_codes",
        shape=f"N={rows} D={dim} K={size} k={k}",
        run=lambda: recops.nearest_codes(x, codebook, k=k),
        peers=peers,
        verify=verify,
        flops=2.0 * rows * dim * size,
    )


def decode_case(rows: int, dim: int, levels: int, size: int, *, compiled: bool = False) -> Case:
    """Decode; the peer ``embedding_bag`` sums rows of one table of all levels."""
    x, codebooks = _inputs(rows, dim, levels, size)
    codes, _ = recops.rq_encode(x, codebooks)
    table = codebooks.flatten(0, 1)
    table_rows = codes + torch.arange(levels, dtype=torch.int32) * size
    peers: dict[str, Thunk] = {
        "reference": lambda: reference.rq_decode(codes, codebooks),
        "embedding_bag": lambda: torch.nn.functional.embedding_bag(table_rows, table, mode="sum"),
    }
    if compiled:
        compiled_reference = torch.compile(reference.rq_decode)
        peers["compile"] = lambda: compiled_reference(codes, codebooks)
    return Case(
        op="rq_decode",
        shape=f"N={rows} D={dim} L={levels} K={size}",
        run=lambda: recops.rq_decode(codes, codebooks),
        peers=peers,
        verify=lambda: torch.testing.assert_close(
            recops.rq_decode(codes, codebooks), reference.rq_decode(codes, codebooks)
        ),
        bytes=4.0 * (rows * dim + rows * levels + table.numel()),
        ceiling="bandwidth",
    )


def decode_backward_case(rows: int, dim: int, levels: int, size: int) -> Case:
    """Compute the gradient of the codebooks by autograd."""
    gradient, codebooks = _inputs(rows, dim, levels, size)
    codes, _ = recops.rq_encode(gradient, codebooks)
    codebooks.requires_grad_()

    def backward_of(decoded: Tensor) -> Thunk:
        return lambda: torch.autograd.grad(decoded, codebooks, gradient, retain_graph=True)[0]

    run = backward_of(recops.rq_decode(codes, codebooks))
    expected = backward_of(reference.rq_decode(codes, codebooks))
    return Case(
        op="rq_decode",
        shape=f"N={rows} D={dim} L={levels} K={size}",
        direction="backward",
        run=run,
        peers={"reference": expected},
        verify=lambda: torch.testing.assert_close(run(), expected(), rtol=1e-4, atol=1e-4),
        bytes=4.0 * (rows * dim + rows * levels + codebooks.numel()),
        ceiling="bandwidth",
    )


def accumulate_case(rows: int, dim: int, size: int) -> Case:
    """Sum rows by code."""
    x, codebooks = _inputs(rows, dim, 1, size)
    index = recops.nearest_codes(x, codebooks[0])[0][:, 0]
    return Case(
        op="accumulate_codes",
        shape=f"N={rows} D={dim} K={size}",
        run=lambda: recops.accumulate_codes(x, index, size),
        peers={
            "reference": lambda: reference.accumulate_codes(x, index, size),
            "index_add": lambda: x.new_zeros(size, dim).index_add_(0, index, x),
        },
        verify=lambda: torch.testing.assert_close(
            recops.accumulate_codes(x, index, size),
            reference.accumulate_codes(x, index, size),
            rtol=1e-4,
            atol=1e-4,
        ),
        bytes=4.0 * (rows * dim + rows + size * dim),
        ceiling="bandwidth",
    )
