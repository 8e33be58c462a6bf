"""Monte Carlo dropout and gradients of a click model's head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recops_models.layers.counter_random import drops, keys_of, sixteenth_bits
from recops_models.layers.dice import Dice
from recops_models.layers.head_passes import HeadPasses
from recops_models.layers.mlp import MLP

ACTIVATIONS = ["relu", "prelu", "sigmoid", "dice"]


def mlp(activation: str = "dice", *, dropout: float = 0.0) -> MLP:
    head = MLP(6, (9, 7), 1, activation_name=activation, dropout=dropout)  # type: ignore[arg-type]
    for layer in head:
        if isinstance(layer, Dice):
            nn.init.normal_(layer.alpha)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return head.double().eval()


def rows(number: int) -> torch.Tensor:
    return torch.randn(number, 6, dtype=torch.float64)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_passes_equal_explicitly_masked_layers(activation: str, dropout: float) -> None:
    head, x = mlp(activation, dropout=dropout), rows(11)
    keys = keys_of(3, torch.arange(11))
    passes = list(HeadPasses(head).dropped(x, keys, p=0.3, passes=3))
    layers = [layer for layer in head if not isinstance(layer, nn.Dropout)]
    for number, logits in enumerate(passes):
        y, index = x, 0
        for layer in layers:
            if isinstance(layer, nn.Linear) and layer is not layers[0]:
                mask = ~drops(keys, y.shape[1], 0.3, stream=64 * number + index)
                y, index = y * mask / (1 - sixteenth_bits(0.3)), index + 1
            y = layer(y)
        torch.testing.assert_close(logits, y.squeeze(-1), rtol=1e-12, atol=1e-12)
    assert not torch.equal(passes[0], passes[1])


def test_dropout_before_a_linear_layer_has_its_exact_variance() -> None:
    """The variance is ``p / (1 − p) Σ w² x²``, and the mean is unchanged."""
    head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 1)).double().eval()
    with torch.no_grad():
        head[0].weight.copy_(torch.eye(8))
        head[0].bias.zero_()
    x, p, draws = torch.randn(1, 8, dtype=torch.float64), sixteenth_bits(0.2), 100_000
    keys = keys_of(0, torch.arange(draws))
    with torch.no_grad():
        (logits,) = HeadPasses(head).dropped(x.expand(draws, -1), keys, p=p, passes=1)
        clean = head(x).item()
    expected = (p / (1 - p) * (head[1].weight.square() * x.square()).sum()).item()
    assert logits.var().item() == pytest.approx(expected, rel=0.02)
    assert abs(logits.mean().item() - clean) < 4 * (expected / draws) ** 0.5


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_equals_finite_differences_per_row(activation: str) -> None:
    passes, x = HeadPasses(mlp(activation)), rows(5)
    z, gradient = passes.gradient(x)
    assert torch.equal(z, passes.logits(x))
    for row in range(5):
        for column in range(6):
            step = torch.zeros(6, dtype=torch.float64)
            step[column] = 1e-6
            ends = passes.logits(torch.stack([x[row] + step, x[row] - step]))
            slope = (ends[0] - ends[1]) / 2e-6
            torch.testing.assert_close(gradient[row, column], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "prelu", "dice"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_weight_gradient_norm_equals_autograd_per_row(activation: str, bias: bool) -> None:
    net, x = mlp(activation, dropout=0.5), rows(5)
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    if not bias:
        linear[1].bias = None
    z, norm = HeadPasses(net).weight_gradient_norm(x)
    torch.testing.assert_close(z, net(x).squeeze(-1).detach())
    weights = [weight for layer in linear for weight in layer.parameters()]
    for row in range(5):
        slopes = torch.autograd.grad(net(x[row : row + 1]).sum(), weights)
        expected = torch.cat([slope.flatten() for slope in slopes]).norm()
        torch.testing.assert_close(norm[row], expected)
    assert all(weight.grad is None for weight in weights)


def test_gradient_is_detached_and_leaves_no_weight_gradients() -> None:
    head, x = mlp(), rows(4)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            z, gradient = HeadPasses(head).gradient(x.clone())
        assert not z.requires_grad
        assert not gradient.requires_grad
    assert all(parameter.grad is None for parameter in head.parameters())


def test_no_rows() -> None:
    passes = HeadPasses(mlp())
    keys = keys_of(0, torch.arange(0))
    assert [logits.shape for logits in passes.dropped(rows(0), keys, p=0.5, passes=2)] == [
        (0,),
        (0,),
    ]
    assert passes.gradient(rows(0))[1].shape == (0, 6)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"head must be an nn\.Sequential, got Linear"):
        HeadPasses(nn.Linear(2, 1))
    with pytest.raises(ValueError, match="head must have two linear layers or more"):
        HeadPasses(MLP(3, (), 1))
    with pytest.raises(ValueError, match="rows independently, got a Dice with always_batch"):
        HeadPasses(nn.Sequential(nn.Linear(2, 2), Dice(2, always_batch=True), nn.Linear(2, 1)))
    with pytest.raises(ValueError, match=r"head must be in evaluation mode: call model\.eval\(\)"):
        HeadPasses(mlp().train()).logits(rows(2))
