"""Benchmarks of training steps of the quantizer against vector-quantize-pytorch and PyTorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import torch

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register

HAS_VQP = importlib.util.find_spec("vector_quantize_pytorch") is not None

# rows, dimension, levels, codewords per level
SHAPES = [(4096, 32, 3, 256), (4096, 128, 4, 256), (4096, 768, 3, 256)]


@register("straight_through")
def cases(quick: bool) -> Iterator[Case]:
    for shape in SHAPES[:1] if quick else SHAPES:
        yield training_case(*shape)
    yield training_case(*SHAPES[0], rotation=True)


def training_case(rows: int, dim: int, levels: int, size: int, *, rotation: bool = False) -> Case:
    """Run forward and backward, with gradients for rows and codebooks.

    The peer is ResidualVQ with learnable codebooks, which does the same work. It expects batches of
    sequences, so all rows form one sequence.
    """
    random = torch.Generator().manual_seed(0)
    x = torch.randn(rows, dim, generator=random).requires_grad_()
    codebooks = (torch.randn(levels, size, dim, generator=random) / 2).requires_grad_()

    def run() -> object:
        quantized, _, commitment, loss = recops.straight_through(x, codebooks, rotation=rotation)
        return torch.autograd.grad(quantized.sum() + commitment + loss, (x, codebooks))

    def plain() -> object:
        quantized, _, commitment, loss = reference.straight_through(x, codebooks, rotation=rotation)
        return torch.autograd.grad(quantized.sum() + commitment + loss, (x, codebooks))

    peers: dict[str, Thunk] = {"reference": plain}
    if HAS_VQP:
        from vector_quantize_pytorch import ResidualVQ

        quantizer = ResidualVQ(
            dim=dim,
            num_quantizers=levels,
            codebook_size=size,
            learnable_codebook=True,
            ema_update=False,
            rotation_trick=rotation,
        ).train()

        def vqp() -> None:
            quantized, _, loss = quantizer(x[None])
            (quantized.sum() + loss.sum()).backward()
            x.grad = None

        peers["vector-quantize-pytorch"] = vqp

    def verify() -> None:
        _, _, loss, _ = recops.straight_through(x, codebooks)
        _, _, expected, _ = reference.straight_through(x, codebooks)
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)

    return Case(
        op="straight_through",
        shape=f"N={rows} D={dim} L={levels} K={size}" + (" rotation" if rotation else ""),
        direction="backward",
        run=run,
        peers=peers,
        verify=verify,
        flops=2.0 * rows * dim * levels * size,
    )
