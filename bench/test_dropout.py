"""A floor for dropout beside torch's, of a mask, its product and the gradient."""

from __future__ import annotations

import torch
from torch import nn

from recops.benchmarks.registry import Case
from recops_models.layers.dropout import Dropout
from recops_models.process import keep_freed_memory

SHAPE = (12_800, 64)
"""Of 64 windows of 50 events, 4 tokens each."""
# Measured on one quiet Zen 4 core: 3.4 to 3.6 (2.9 ns a unit, forward and backward).
FLOOR = 2.9


def test_dropout_outruns_torch(outruns) -> None:
    keep_freed_memory()  # As in training: else both wait for pages.
    x = torch.randn(SHAPE, requires_grad=True)
    grad = torch.ones(SHAPE)

    def side(drop: nn.Module):
        return lambda: torch.autograd.grad(drop(x), x, grad)

    ours, torchs = side(Dropout(0.3)), side(nn.Dropout(0.3))

    def verify() -> None:
        for gradient in (*ours(), *torchs()):
            kept = gradient[gradient != 0]
            torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.7), rtol=1e-4, atol=0)
            assert abs(len(kept) / gradient.numel() - 0.7) < 0.01

    shape = f"{SHAPE[0]}x{SHAPE[1]}"
    outruns(Case("dropout", shape, ours, verify, {"torch": torchs}), "torch", FLOOR)
