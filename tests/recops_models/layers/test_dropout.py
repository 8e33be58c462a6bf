"""Dropout with 16 random bits per unit."""

from __future__ import annotations

import math

import pytest
import torch

from recops_models.layers.dropout import Dropout


@pytest.mark.parametrize("p", [0.01, 0.3, 0.9])
def test_share_of_dropped_units_and_mean_are_exact(p: float) -> None:
    torch.manual_seed(0)
    out = Dropout(p)(torch.ones(1000, 1000))
    dropped = (out == 0).float().mean().item()
    assert dropped == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p)) / 1000)
    nonzero = out[out > 0]
    assert nonzero.min() == nonzero.max()
    assert nonzero[0].item() == pytest.approx(1 / (1 - p), rel=2e-3)
    assert out.mean().item() == pytest.approx(1, abs=5 * math.sqrt(p / (1 - p)) / 1000)


def test_adjacent_units_are_dropped_independently() -> None:
    torch.manual_seed(1)
    is_kept = (Dropout(0.5)(torch.ones(100_000, 8)) > 0).float()
    correlation = torch.corrcoef(is_kept.T) - torch.eye(8)
    assert correlation.abs().max() < 5 / math.sqrt(100_000)


def test_gradients_have_the_mask_of_the_values() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 5, requires_grad=True)  # 35 units do not fill the last word.
    out = Dropout(0.4)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad * x, out)


def test_masks_follow_torchs_seed() -> None:
    x, drop = torch.randn(64, 64), Dropout(0.3)
    first, second = (drop(x) for _ in range(2) if torch.manual_seed(3))
    assert torch.equal(first, second)
    assert not torch.equal(second, drop(x))


@pytest.mark.parametrize("shape", [(0, 4), (1,), (3, 1, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_keeps_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    out = Dropout(0.5)(torch.ones(shape, dtype=dtype))
    assert (out.shape, out.dtype) == (torch.Size(shape), dtype)


def test_input_is_unchanged_in_evaluation_or_with_p_zero() -> None:
    x = torch.randn(5, 5)
    assert Dropout(0.5).eval()(x) is x
    assert torch.equal(Dropout(0.0)(x), x)


def test_compiled_code_uses_torchs_dropout() -> None:
    torch.manual_seed(0)
    compiled = torch.compile(Dropout(0.25), backend="eager", fullgraph=True)
    out = compiled(torch.ones(400, 400))
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_a_probability_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"p must lie within \[0, 1\)"):
        Dropout(p)
