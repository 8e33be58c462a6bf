"""Residual quantization with the gradients that train an encoder and codebooks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import recops


def straight_through(
    x: Tensor, codebooks: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``(quantized [N, D], codes [N, L], commitment [], codebook_loss [])``.

    quantized = Σ c_l with the gradient of x; commitment = Σ_l mean ‖r_l − sg(c_l)‖², codebook_loss
    its mirror.
    """
    codes, _ = recops.rq_encode(x, [book.detach() for book in codebooks])
    residual, quantized = x, torch.zeros_like(x)
    commitment, codebook_loss = x.new_zeros(()), x.new_zeros(())
    for level, book in enumerate(codebooks):
        word = recops.rq_decode(codes[:, level : level + 1], [book])
        commitment = commitment + (residual - word.detach()).square().sum(dim=1).mean()
        codebook_loss = codebook_loss + (residual.detach() - word).square().sum(dim=1).mean()
        quantized = quantized + word.detach()
        residual = residual - word.detach()
    return x + (quantized - x).detach(), codes, commitment, codebook_loss
