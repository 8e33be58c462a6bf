"""Lower bound on the speed-up of dropout over torch's, forward and backward."""

from __future__ import annotations

import torch
from torch import nn

from recops.benchmarks.registry import Case
from recops_models.layers.dropout import Dropout
from recops_models.process import keep_freed_memory

SHAPE = (12_800, 64)
"""64 windows of 50 events with 4 tokens each, and a width of 64."""
# Measured on one quiet Zen 4 core: 3.4 to 3.6, 2.9 ns per element.
FLOOR = 2.9


def test_dropout_is_faster_than_torch(outruns) -> None:
    keep_freed_memory()  # As in training; otherwise both sides wait for new memory pages.
    x = torch.randn(SHAPE, requires_grad=True)
    grad = torch.ones(SHAPE)

    def side(drop: nn.Module):
        return lambda: torch.autograd.grad(drop(x), x, grad)

    run, peer = side(Dropout(0.3)), side(nn.Dropout(0.3))

    def verify() -> None:
        for gradient in (*run(), *peer()):
            nonzero = gradient[gradient != 0]
            scale = torch.full_like(nonzero, 1 / 0.7)
            torch.testing.assert_close(nonzero, scale, rtol=1e-4, atol=0)
            assert abs(len(nonzero) / gradient.numel() - 0.7) < 0.01

    shape = f"{SHAPE[0]}x{SHAPE[1]}"
    outruns(Case("dropout", shape, run, verify, {"torch": peer}), "torch", FLOOR)
