"""Heads of several labels, compared with their formulas."""

from __future__ import annotations

import pytest
import torch

from recops_models.click.din import Din, DinConfig
from recops_models.click.label_scores import check_label_weights, label_scores
from recops_models.click.loss import click_loss, training_loss
from recops_models.examples.batch import task_feature
from recops_models.examples.tiny import tiny_click_data
from recops_models.layers.label_heads import LabelHeads


@pytest.mark.parametrize("experts", [1, 3])
def test_heads_follow_their_formulas(experts: int) -> None:
    torch.manual_seed(0)
    heads = LabelHeads(5, (4, 3), labels=2, experts=experts, activation_name="relu").double()
    x = torch.randn(7, 5, dtype=torch.float64)
    outputs = [expert[0](x).relu() for expert in heads.experts]
    for label, tower in enumerate(heads.towers):
        if experts == 1:
            mixed = outputs[0]
        else:
            gate = torch.softmax(heads.gates[label](x), -1)
            mixed = sum(gate[:, [e]] * outputs[e] for e in range(experts))
        hidden = torch.relu(tower[0](mixed))
        expected = tower[2](hidden)[:, 0]
        torch.testing.assert_close(heads.all_labels(x)[:, label], expected)
    torch.testing.assert_close(heads(x)[:, 0], heads.all_labels(x)[:, 0])
    assert bool(len(heads.gates)) == (experts > 1)
    with pytest.raises(ValueError, match="LabelHeads: hidden must name at least one layer"):
        LabelHeads(5, (), labels=2)


def test_the_loss_adds_the_weighted_losses_of_further_labels() -> None:
    schema, batch = tiny_click_data()
    batch.features[task_feature("buy")] = torch.tensor([1.0, 0.0, 0.0])
    losses = []
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        config = DinConfig(width=4, heads="shared-bottom", labels=("buy",), label_weight=weight)
        model = Din(schema, config).eval()
        losses.append(training_loss(model, batch))
    logits = model.label_logits(model.bottom(batch)[0])
    torch.testing.assert_close(losses[0], click_loss(logits[:, 0], batch.label))
    second = click_loss(logits[:, 1], batch.features[task_feature("buy")])
    torch.testing.assert_close(losses[1], losses[0] + 2 * second)


def test_a_score_is_a_weighted_product_of_probabilities() -> None:
    schema, batch = tiny_click_data()
    model = Din(schema, DinConfig(width=4, heads="mmoe", labels=("cart", "buy"))).eval()
    p = model.label_logits(model.bottom(batch)[0]).sigmoid()
    torch.testing.assert_close(label_scores(model, batch), p[:, 0])
    torch.testing.assert_close(label_scores(model, batch, {"buy": 1.0}), p[:, 2])
    weights = {"click": 1.0, "cart": 0.0, "buy": 0.5}
    torch.testing.assert_close(label_scores(model, batch, weights), p[:, 0] * p[:, 2].sqrt())
    with pytest.raises(ValueError, match="din: label must be among click, cart, buy, got 'like'"):
        check_label_weights(model, "din", {"like": 1.0})
    with pytest.raises(ValueError, match="din: the weight of buy must be finite, got inf"):
        check_label_weights(model, "din", {"buy": float("inf")})


def test_heads_need_labels() -> None:
    schema, _ = tiny_click_data()
    with pytest.raises(ValueError, match="din: heads=mmoe needs labels in addition to clicks"):
        Din(schema, DinConfig(heads="mmoe"))
    with pytest.raises(ValueError, match="din: heads must be one, shared-bottom, mmoe, got 'two'"):
        DinConfig(heads="two")  # type: ignore[arg-type]
