"""Dice, the MLP, and target attention compared with its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recops_models.layers.dice import Dice
from recops_models.layers.mlp import MLP, activation
from recops_models.layers.target_attention import PairLinear, TargetAttention
from tolerances import AGREEMENT

LENGTHS = torch.tensor([3, 0, 5, 1])
"""So few events that only the events are scored."""
FULL = torch.tensor([30, 0, 29, 28])
"""Most positions hold an event, so all positions are scored."""


def inputs(rows: int = 4, events: int = 5, width: int = 6) -> tuple[Tensor, Tensor]:
    query = torch.randn(rows, width, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(rows, events, width, dtype=torch.float64, requires_grad=True)
    return query, keys


def written_out(layer: TargetAttention, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
    """Return the attention by its definition, with 4d numbers per pair of query and key."""
    pooled = []
    for q, row, length in zip(query, keys, lengths.tolist(), strict=True):
        k = row[:length]
        q = q.expand_as(k)
        pairs = torch.cat([q, k, q - k, q * k], -1)
        hidden = nn.functional.linear(pairs, layer.pair.weight, layer.pair.bias)
        scores = layer.score(hidden).squeeze(-1)
        weights = scores.softmax(0) if layer.weights == "softmax" else scores
        pooled.append((weights[:, None] * k).sum(0))
    return torch.stack(pooled)


@pytest.mark.parametrize("lengths", [LENGTHS, FULL, 0 * LENGTHS], ids=["few", "many", "none"])
@pytest.mark.parametrize("weights", ["softmax", "raw"])
@pytest.mark.parametrize("name", ["sigmoid", "prelu"])
@pytest.mark.parametrize("hidden", [(7,), (7, 3)])
def test_attention_equals_its_definition_forward_and_backward(
    weights, name, hidden, lengths
) -> None:
    layer = TargetAttention(6, hidden, activation_name=name, weights=weights).double()
    query, keys = inputs(events=max(5, int(lengths.max())))
    outputs = [layer(query, keys, lengths), written_out(layer, query, keys, lengths)]
    torch.testing.assert_close(*outputs, **AGREEMENT[torch.float64])
    towards = torch.randn_like(outputs[0])
    inputs_and_weights = [query, keys, *layer.parameters()]
    gradients = [torch.autograd.grad((out * towards).sum(), inputs_and_weights) for out in outputs]
    for gradient, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, **AGREEMENT[torch.float64])


@pytest.mark.parametrize("weights", ["softmax", "raw"])
def test_attention_ignores_padding_and_gives_zero_for_no_history(weights) -> None:
    layer = TargetAttention(6, weights=weights).double()
    query, keys = inputs()
    pooled = layer(query, keys, LENGTHS)
    assert (pooled[1] == 0).all()
    changed = keys.detach().clone()
    for row, length in enumerate(LENGTHS.tolist()):
        changed[row, length:] = 1e6
    torch.testing.assert_close(layer(query, changed, LENGTHS), pooled, rtol=0, atol=0)
    shares = layer.attention(query, keys, LENGTHS)
    assert (shares[torch.arange(5) >= LENGTHS[:, None]] == 0).all()
    if weights == "softmax":
        torch.testing.assert_close(shares.sum(1), (LENGTHS > 0).double())
    pooled.sum().backward()
    assert all(p.grad.isfinite().all() for p in [query, keys, *layer.parameters()])


def test_uniform_attention_is_the_mean_of_the_events() -> None:
    layer = TargetAttention(6, weights="uniform")
    query, keys = inputs()
    pooled = layer(query, keys, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = keys[row, :length].mean(0) if length else torch.zeros_like(pooled[row])
        torch.testing.assert_close(pooled[row], expected)
    assert not list(layer.parameters())


@pytest.mark.parametrize(("rows", "events"), [(0, 5), (4, 0), (1, 1)])
def test_attention_of_odd_shapes(rows: int, events: int) -> None:
    query, keys = inputs(rows, events)
    lengths = torch.full((rows,), events)
    assert TargetAttention(6).double()(query, keys, lengths).shape == (rows, 6)


def test_pair_linear_starts_as_the_equivalent_linear_layer() -> None:
    torch.manual_seed(1)
    pair = PairLinear(6, 7)
    torch.manual_seed(1)
    assert torch.equal(pair.weight, nn.Linear(24, 7).weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": ()}, "hidden must name at least one layer"),
        ({"activation_name": "dice"}, "padding would enter"),
        ({"weights": "hard"}, "weights must be softmax, raw or uniform"),
    ],
)
def test_attention_refuses_unfit_settings(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TargetAttention(6, **arguments)


def test_dice_in_training_uses_the_statistics_of_the_batch() -> None:
    dice = Dice(3).double()
    nn.init.uniform_(dice.alpha)
    x = torch.randn(8, 3, dtype=torch.float64) * 5 + 2
    gate = torch.sigmoid((x - x.mean(0)) / (x.var(0, correction=0) + 1e-8).sqrt())
    torch.testing.assert_close(dice(x), gate * x + (1 - gate) * dice.alpha * x)


def test_dice_in_evaluation_uses_running_averages() -> None:
    dice = Dice(3)
    for _ in range(300):
        dice(torch.randn(64, 3) * 5 + 2)
    assert dice.running_mean == pytest.approx([2, 2, 2], abs=0.6)
    assert dice.running_var == pytest.approx([25, 25, 25], rel=0.25)
    dice.eval()
    x = torch.randn(8, 3)
    torch.testing.assert_close(dice(x)[:1], dice(x[:1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dice_has_the_running_averages_of_a_batch_norm(dtype: torch.dtype) -> None:
    dice = Dice(3, momentum=0.3).to(dtype)
    norm = nn.BatchNorm1d(3, momentum=0.3, affine=False).to(dtype)
    for rows in (2, 5, 1000):
        x = (torch.randn(rows, 3) * 5 + 2).to(dtype)
        dice(x.requires_grad_())
        norm(x)
    assert not dice.running_mean.requires_grad
    close = {"rtol": 2**-6, "atol": 0.05} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(dice.running_mean, norm.running_mean, **close)
    torch.testing.assert_close(dice.running_var, norm.running_var, **close)


def test_dice_with_always_batch_has_no_running_averages() -> None:
    dice = Dice(3, always_batch=True)
    x = torch.randn(8, 3)
    trained = dice(x)
    assert dice.running_mean.tolist() == [0, 0, 0]
    assert dice.running_var.tolist() == [1, 1, 1]
    assert torch.equal(dice.eval()(x), trained)


@pytest.mark.parametrize("rows", [0, 1])
def test_dice_ignores_the_statistics_of_at_most_one_row(rows: int) -> None:
    dice = Dice(3)
    x = torch.randn(rows, 3)
    trained = dice(x)
    assert dice.running_mean.tolist() == [0, 0, 0]
    torch.testing.assert_close(trained, dice.eval()(x))


@pytest.mark.parametrize("name", ["relu", "prelu", "sigmoid", "dice"])
def test_mlp_learns_with_every_activation(name) -> None:
    mlp = MLP(4, (16, 8), 1, activation_name=name)
    x = torch.randn(256, 4)
    y = (x[:, :1] * x[:, 1:2] > 0).float()
    optimizer = torch.optim.Adam(mlp.parameters(), lr=0.05)
    for _ in range(80):
        loss = nn.functional.binary_cross_entropy_with_logits(mlp(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.35  # log 2 = 0.69 without the hidden layers.


def test_mlp_without_hidden_layers_is_linear_and_evaluation_has_no_dropout() -> None:
    assert len(MLP(4, (), 2)) == 1
    mlp = MLP(4, (8,), 1, dropout=0.5).eval()
    x = torch.randn(5, 4)
    assert torch.equal(mlp(x), mlp(x))


def test_unknown_activation() -> None:
    with pytest.raises(ValueError, match=r"name must be .* got 'swish'"):
        activation("swish", 3)  # type: ignore[arg-type]
