"""Rocket: gradients of the hint, sharing, the teacher, and the exported light net."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from click_inputs import batch, schema
from click_recipes import CLICK
from click_recipes import net as new_net
from recops.files import load_tensors
from recops_models.click.loss import click_loss
from recops_models.click.rocket import Rocket, RocketConfig, hint_loss
from recops_models.examples.features import Categorical, Sequence
from recops_models.layers.dice import Dice
from recops_models.recipes.files import load_model, save_model

NETS = [name for name in CLICK if name != "can"]
SHARES = ["none", "embedding", "bottom"]
HINTS = ["logit-mse", "probability-mse", "kd"]
LENGTHS = [5, 0, 3, 1, 7, 2]


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


def net(name: str, *hidden: int, width: int = 8, dropout: float = 0.3) -> Any:
    fitted = replace(schema(), moments={"age": (3.0, 2.0)})
    return new_net(name, fitted, width=width, hidden=hidden, dropout=dropout)


def rocket(name: str = "din", *, teacher: Any = None, dropout: float = 0.3, **config: Any) -> Any:
    """Return a rocket; its nets have the same weights for every configuration."""
    torch.manual_seed(0)
    light, booster = net(name, 6, dropout=dropout), net(name, 20, 10, dropout=dropout)
    for model in (light, booster):
        for table in model.embedding.tables.values():
            nn.init.normal_(table.weight[1:])  # Large rows give sharper tests.
    if config.get("booster", "din") is None:
        booster = None
    return Rocket(light, booster, RocketConfig(**config), teacher=teacher)


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


@pytest.mark.parametrize("hint", HINTS)
@pytest.mark.parametrize("share", SHARES)
def test_the_hint_trains_the_booster_only_without_block(share: str, hint: str) -> None:
    examples = batch(LENGTHS)
    for block in (True, False):
        grads = []
        for weight in (0.0, 5.0):
            model = rocket(share=share, hint=hint, block=block, hint_weight=weight)
            grads.append(gradients(model, model.loss(examples)))
        changed = {name for name in grads[0] if not torch.equal(grads[0][name], grads[1][name])}
        assert {name for name in changed if name.startswith("light.head")}
        assert bool({name for name in changed if name.startswith("booster.head")}) is not block
        if block:
            assert all(name.startswith("light.") for name in changed)
        if share != "none":
            assert "light.embedding.tables.item.weight" in changed


@pytest.mark.parametrize("share", ["embedding", "bottom"])
def test_shared_weights_learn_from_both_losses_and_the_hint(share: str) -> None:
    examples = batch(LENGTHS)
    name = "light.embedding.tables.item.weight"

    def part(loss: Any) -> Tensor:
        model = rocket(share=share, dropout=0.0).double().train()
        return gradients(model, loss(model.light(examples), model.booster(examples)))[name]

    examples = examples._replace(
        features={
            k: v.double() if v.is_floating_point() else v for k, v in examples.features.items()
        },
    )
    parts = [
        part(lambda light, booster: click_loss(light, examples.label)),
        part(lambda light, booster: click_loss(booster, examples.label)),
        part(lambda light, booster: 0.7 * (light - booster.detach()).square().mean()),
    ]
    model = rocket(share=share, dropout=0.0, hint_weight=0.7).double().train()
    gradient = gradients(model, model.loss(examples))[name]
    assert all(term.abs().max() > 1e-6 for term in parts)
    torch.testing.assert_close(gradient, sum(parts), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("share", SHARES)
def test_nets_share_exactly_the_configured_modules(name: str, share: str) -> None:
    model = rocket(name, share=share)
    expected = {
        "none": set(),
        "embedding": {k for k in model.light.state_dict() if k.startswith("embedding.")},
        "bottom": {k for k in model.light.state_dict() if not k.startswith("head.")},
    }[share]
    all_names = net(name, 20, 10).state_dict().keys()
    assert set(model.booster.state_dict()) == all_names - expected, "the booster alone"
    assert set(model.light.state_dict()) == set(net(name, 6).state_dict()), "the light net alone"
    if share != "none":
        assert model.booster.embedding.tables is model.light.embedding.tables
    pointers = [p.data_ptr() for p in model.state_dict().values()]
    assert len(set(pointers)) == len(pointers)
    loss = model.loss(batch(LENGTHS))
    grads = gradients(model, loss)
    assert loss.isfinite()
    assert all(grad.isfinite().all() for grad in grads.values())


@pytest.mark.parametrize("share", SHARES)
def test_each_net_has_separate_statistics(share: str) -> None:
    """The light net's statistics equal those of training it alone."""
    examples = batch(LENGTHS)
    model, alone = rocket(share=share), rocket(share=share).light
    for _ in range(3):
        torch.manual_seed(1)
        model.loss(examples)
        torch.manual_seed(1)
        alone(examples)
    light = [m for m in model.light.modules() if isinstance(m, Dice)]
    expected = [m for m in alone.modules() if isinstance(m, Dice)]
    boosters = [m for m in model.booster.modules() if isinstance(m, Dice)]
    assert (len(light), len(expected), len(boosters)) == (1, 1, 2)
    assert torch.equal(light[0].running_mean, expected[0].running_mean)
    assert torch.equal(light[0].running_var, expected[0].running_var)
    assert all((m.running_mean != 0).any() for m in boosters)


def test_the_booster_draws_new_dropout_at_every_step() -> None:
    examples = batch(LENGTHS)
    model = rocket(share="none", dropout=0.5)
    seen = []
    model.booster.head.register_forward_hook(lambda *hooked: seen.append(hooked[2]))
    outside = torch.get_rng_state()
    for _ in range(2):
        torch.set_rng_state(outside)  # As if the light net drew nothing.
        model.loss(examples)
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("share", SHARES)
def test_the_exported_light_net_predicts_the_same_bits(share: str, tmp_path: Path) -> None:
    examples = batch(LENGTHS)
    model = rocket(share=share, hint_weight=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        model.loss(examples).backward()
        optimizer.step()
    expected = model.eval()(examples)
    exported = model.export()
    assert torch.equal(exported(examples), expected)
    path = tmp_path / "model.safetensors"
    save_model(path, "din", exported)
    tensors, meta = load_tensors(path, kind="recommender")
    assert meta["model"] == "din"
    assert {name for name in tensors if not name.startswith("schema.")} == set(
        net("din", 6).state_dict()
    )
    del model, exported
    assert torch.equal(load_model(path)(examples), expected)


@pytest.mark.parametrize("hint", HINTS)
def test_hints_follow_their_formulas(hint: str) -> None:
    light = torch.tensor([0.3, -2.0, 5.0, 40.0], requires_grad=True)
    guide = torch.tensor([1.3, -1.0, -5.0, 80.0])
    loss = hint_loss(light, guide, hint, temperature=3.0)  # type: ignore[arg-type]
    x, z = light.detach().double(), guide.double()
    if hint == "logit-mse":
        expected, slope = (x - z).square(), 2 * (x - z)
    elif hint == "probability-mse":
        p, q = x.sigmoid(), z.sigmoid()
        expected, slope = (p - q).square(), 2 * (p - q) * p * (1 - p)
    else:
        p, q = (x / 3).sigmoid(), (z / 3).sigmoid()
        expected = 9 * (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log())
        slope = 3 * (p - q)
    torch.testing.assert_close(loss.double(), expected.mean(), rtol=1e-5, atol=1e-6)
    loss.backward()
    torch.testing.assert_close(light.grad.double(), slope / 4, rtol=1e-4, atol=1e-6)
    assert hint_loss(guide, guide, hint) == 0  # type: ignore[arg-type]
    assert hint_loss(guide[:0], guide[:0], hint) == 0  # type: ignore[arg-type]
    loss_of_bfloat16 = hint_loss(light.detach().bfloat16(), guide.bfloat16(), hint)  # type: ignore[arg-type]
    assert loss_of_bfloat16.dtype == torch.float32


def test_at_high_temperature_distillation_is_an_eighth_of_the_logits_error() -> None:
    light, guide = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    warm = hint_loss(light, guide, "kd", temperature=50.0)
    torch.testing.assert_close(warm, hint_loss(light, guide, "logit-mse") / 8, rtol=0.01, atol=0)


def test_the_hint_weight_rises_linearly() -> None:
    model = rocket(hint_weight=0.8, hint_warmup=4)
    examples, weights = batch(LENGTHS), []
    for _ in range(6):
        weights.append(float(model.hint_weight()))
        model.loss(examples)
    assert weights == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.8])


def test_a_teacher_gives_hints_and_is_frozen() -> None:
    examples = batch(LENGTHS)
    teacher = net("sum-pool", 20)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    grads = []
    for weight in (0.0, 2.0):
        model = rocket(booster=None, teacher=teacher, teacher_weight=weight)
        grads.append(gradients(model, model.loss(examples)))
        assert set(model.state_dict()) == {
            *(f"light.{name}" for name in model.light.state_dict()),
            *("steps", "booster_stream"),
        }
    assert any(not torch.equal(grads[0][name], grads[1][name]) for name in grads[0])
    both = rocket(teacher=teacher, teacher_weight=2.0, hint_weight=0.0, share="none")
    grads_of_both = gradients(both, both.loss(examples))
    assert all(torch.equal(grads_of_both[name], grads[1][name]) for name in grads[1])
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize(("light", "booster"), [("sum-pool", "dien"), ("dien", "din")])
def test_shared_tables_of_nets_with_other_histories(light: str, booster: str) -> None:
    """Nets share tables but read different histories."""
    features = (
        Categorical("user"),
        Categorical("item"),
        Sequence("history_item", share_embedding="item", history="clicks"),
        Sequence("tags", max_len=4, share_embedding="item", history="carts"),
    )
    settings = {"dien": {"history": "carts"}}
    nets = [
        new_net(name, schema(features), width=8, hidden=(6,), **settings.get(name, {}))
        for name in (light, booster)
    ]
    histories = {
        name: [history.name for history in model.embedding.separate_histories]
        for name, model in zip((light, booster), nets, strict=True)
    }
    assert histories == {
        "dien": ["carts"],
        ({light, booster} - {"dien"}).pop(): ["clicks", "carts"],
    }
    model = Rocket(*nets, RocketConfig())
    assert model.booster is not None
    assert not any("embedding" in name for name, _ in model.booster.named_parameters())
    examples = batch(LENGTHS)
    model.loss(examples).backward()
    before = model.booster.eval()(examples)
    with torch.no_grad():
        model.light.embedding.tables["item"].weight += 1
    assert not torch.equal(model.booster(examples), before)


def test_invalid_nets_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="booster=none needs a teacher"):
        rocket(booster=None)
    with pytest.raises(ValueError, match="hint_weight"):
        rocket(hint_weight=-1.0)
    with pytest.raises(ValueError, match="temperature must be > 0"):
        rocket(temperature=0.0)
    with pytest.raises(ValueError, match="got 4 for the light net and 8 for the booster"):
        Rocket(net("din", 6, width=4), net("din", 6), RocketConfig())
    with pytest.raises(ValueError, match="share=bottom, light and booster must be the same model"):
        Rocket(net("sum-pool", 6), net("din", 6), RocketConfig(share="bottom"))
    with pytest.raises(ValueError, match="share=bottom, light and booster must be the same model"):
        Rocket(net("din", 6, width=4), net("din", 6), RocketConfig(share="bottom"))
    with pytest.raises(ValueError, match=r"kind must be .* got 'mse'"):
        hint_loss(torch.zeros(1), torch.zeros(1), "mse")  # type: ignore[arg-type]


def test_logits_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"hint_loss: guide must be \[3\], as light, got \[3, 1\]"):
        hint_loss(torch.zeros(3), torch.zeros(3, 1), "logit-mse")
