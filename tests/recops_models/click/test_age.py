"""AGE around every click model: scores, losses, masks, files, and the command line."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from click_inputs import batch, schema
from click_recipes import CLICK
from click_recipes import net as new_net
from jobs import job_of
from recops.files import load_tensors, read_json
from recops_models.cli import run
from recops_models.click.age import Age, AgeConfig
from recops_models.click.dien import DienConfig
from recops_models.click.dien_released import ReleasedDien
from recops_models.click.loss import click_loss, training_loss
from recops_models.recipes.files import load_model, save_model
from recops_models.recipes.run import load_trained
from synthetic_histories import write_ring

LENGTHS = [5, 0, 3, 1, 7, 2]
FITTED = replace(schema(), moments={"age": (3.0, 2.0)})


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


def base(name: str = "din") -> Any:
    torch.manual_seed(0)
    model = new_net(name, FITTED, width=16, hidden=(16, 8))
    for table in model.embedding.tables.values():  # Large rows give sharper tests.
        nn.init.normal_(table.weight[1:])
    return model


def age(name: str = "din", **config: Any) -> Age:
    settings = {"base": name, "mc_dropout": 0.2, "lam": 20.0, "gate": "off", **config}
    model = base(name)
    return Age(model, AgeConfig(**settings, base_sizes=asdict(model.config)))


@pytest.mark.parametrize("name", CLICK)
def test_age_explores_around_any_click_model(name: str) -> None:
    examples = batch(LENGTHS)
    plain, model = base(name).eval(), age(name).eval()
    assert torch.equal(model(examples), plain(examples)), "the logits must be those of the base"
    scores = model.explore(examples, seed=3)
    assert torch.equal(scores.y, plain(examples).sigmoid())
    assert scores.shift > 1e-4
    assert (scores.score - scores.y)[scores.delta != 0].any()


@pytest.mark.parametrize("name", CLICK)
def test_item_columns_are_those_of_the_items_features(name: str) -> None:
    """Another item changes only these columns of the context; another user changes none."""
    examples, model = batch([4, 4, 4, 4]), age(name).eval()
    width = model.base.embedding.context_dim
    context = range(width)
    x, _ = model.bottom(examples)

    def changed(feature: str) -> set[int]:
        values = {**examples.features, feature: torch.ones_like(examples.features[feature])}
        other, _ = model.bottom(examples._replace(features=values))
        return set((other != x).any(0).nonzero().squeeze(1).tolist()) & set(context)

    assert changed("item") | changed("category") == set(model.item_columns)
    assert changed("user")
    assert not changed("user") & set(model.item_columns)
    assert age(name, item_features=("item",)).item_columns != model.item_columns


def test_the_gate_reads_only_the_item() -> None:
    examples, model = batch(LENGTHS), age(gate="dgu").eval()
    rate = model.item_logits(model.bottom(examples)[0])
    values = {**examples.features, "user": torch.ones_like(examples.features["user"])}
    other = model.bottom(examples._replace(features=values))[0]
    assert torch.equal(model.item_logits(other), rate)
    scores = model.explore(examples, seed=0)
    assert torch.equal(scores.gate, scores.y > rate.sigmoid())
    assert torch.equal(scores.score[~scores.gate], scores.y[~scores.gate])


@pytest.mark.parametrize("name", ["din", "dien", "sum-pool"])
def test_the_gates_loss_trains_only_the_gate(name: str) -> None:
    examples = batch(LENGTHS)
    plain, model = base(name).train(), age(name).train()
    for trained in (plain, model):
        torch.manual_seed(1)  # DIEN draws its negatives.
        training_loss(trained, examples).backward()
    for (label, parameter), expected in zip(
        model.base.named_parameters(), plain.parameters(), strict=True
    ):
        assert (parameter.grad is None) == (expected.grad is None), label
        if expected.grad is not None:
            assert torch.equal(parameter.grad, expected.grad), label
    model.zero_grad()
    x, _ = model.base.bottom(examples)
    click_loss(model.item_logits(x), examples.label).backward()
    assert all(p.grad is None for p in model.base.parameters())
    assert all(p.grad.any() for p in model.gate.parameters())


def test_the_loss_is_the_sum_of_base_and_gate() -> None:
    examples, model = batch(LENGTHS), age().train()
    x, _ = model.base.bottom(examples)
    both = click_loss(model.logits(x), examples.label) + click_loss(
        model.item_logits(x), examples.label
    )
    assert torch.equal(training_loss(model, examples), both)


def test_masks_depend_on_user_item_and_seed() -> None:
    model = age().eval()
    examples = batch([3] * 6)._replace(group=torch.tensor([0, 0, 0, 1, 1, 1]))
    examples.features["item"] = torch.tensor([2, 3, 4, 2, 3, 3])
    keys = model.keys(examples, 0)
    assert len(keys.unique()) == 5, "the last two rows have one key"
    assert torch.equal(model.keys(examples, 0, torch.tensor([2, 3, 4, 2, 3, 3])), keys)
    assert model.keys(examples, 0, shared=True).unique().shape == (2,)
    assert not torch.equal(model.keys(examples, 1), keys)
    separate, shared = (
        model.explore(examples, seed=0, exploration=AgeConfig(gate="off", shared_mask=flag))
        for flag in (False, True)
    )
    assert not torch.equal(separate.delta, shared.delta)


@pytest.mark.parametrize("name", CLICK)
def test_a_saved_model_is_restored(name: str, tmp_path: Path) -> None:
    examples, path = batch(LENGTHS), tmp_path / "model.safetensors"
    model = age(name, gate="dgu", samples=3).eval()
    save_model(path, "age", model)
    loaded = load_model(path)
    assert isinstance(loaded, Age)
    assert type(loaded.base) is type(model.base)
    assert replace(loaded.config, base_sizes=None) == replace(model.config, base_sizes=None)
    expected, scores = model.explore(examples, seed=1), loaded.explore(examples, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(expected, scores, strict=True))
    tables = {key for key in model.state_dict() if "tables" in key}
    assert all(key.startswith("base.") for key in tables), "each table must be stored once"


@pytest.mark.parametrize("relative", [False, True])
def test_a_stored_model_keeps_its_radius(relative: bool, tmp_path: Path) -> None:
    """Every file names its ``relative`` and ``lam``, so a new default changes no stored model."""
    examples, path = batch(LENGTHS), tmp_path / "model.safetensors"
    model = age(relative=relative, lam=0.3).eval()
    save_model(path, "age", model)
    _, meta = load_tensors(path, kind="recommender")
    assert meta["config"]["relative"] is relative
    assert meta["config"]["lam"] == 0.3
    restored = load_model(path)
    assert isinstance(restored, Age)
    expected = model.explore(examples, seed=1).score
    assert torch.equal(restored.explore(examples, seed=1).score, expected)
    other = replace(model.config, relative=not relative)
    assert not torch.equal(model.explore(examples, seed=1, exploration=other).score, expected)


@pytest.mark.parametrize("name", ["din", "can"])
def test_the_command_line_trains_age_around_a_base(name: str, tmp_path: Path) -> None:
    """The base has the same bits as when it is trained without AGE."""
    data = write_ring(tmp_path / "shop", users=40)
    sizes = {"hidden": "8,8", "dropout": "0.2", "width": "16"}
    shared = ["--data", data, "--quick", "--set", "max_len=6", "--set", "patience=9"]
    shared += ["--set", "select=logloss"]
    alone = [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    base_settings = [
        word for key, value in sizes.items() for word in ("--set", f"base.{key}={value}")
    ]
    if name == "can":  # Its table of pairs is fitted before training.
        alone += ["--set", "interaction=cartesian"]
        base_settings += ["--set", "base.interaction=cartesian"]
    assert run(["train", name, *shared, *alone, "--out", str(tmp_path / "alone")]) == 0
    wrapper = ["train", "age", *shared, "--set", f"base={name}", *base_settings, "--set", "lam=.2"]
    assert run([*wrapper, "--out", str(tmp_path / "age")]) == 0
    _, plain = load_trained(tmp_path / "alone")
    _, model = load_trained(tmp_path / "age")
    assert isinstance(model, Age)
    assert model.config.lam == 0.2
    for key, value in plain.state_dict().items():
        assert torch.equal(model.base.state_dict()[key], value), key
    metrics, metrics_alone = (
        read_json(tmp_path / folder / "metrics.json", kind="metrics")["test"]
        for folder in ("age", "alone")
    )
    assert metrics == metrics_alone
    assert run(["evaluate", str(tmp_path / "age")]) == 0
    assert run(["recommend", str(tmp_path / "age"), "--user", "3", "-k", "4"]) == 0


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="age: no net 'sasrec'; available: sum-pool, din"):
        job_of("age", "shop", {"base": "sasrec"}, seed=0, quick=True)
    with pytest.raises(ValueError, match="age has no setting 'base_sizes'"):
        job_of("age", "shop", {"base_sizes": "x"}, seed=0, quick=True)
    with pytest.raises(ValueError, match="setting uncertainty must be one of ts, ucb"):
        job_of("age", "shop", {"uncertainty": "gp"}, seed=0, quick=True)


def test_invalid_bases_are_refused() -> None:
    with pytest.raises(ValueError, match="FeatureEmbedding: no feature 'brand' in the context"):
        age(item_features=("brand",))
    with pytest.raises(
        ValueError, match=r"age: base.hidden must have at least one layer, .* got none"
    ):
        Age(new_net("din", FITTED, width=16, hidden=()), AgeConfig())
    released = ReleasedDien(FITTED, DienConfig(compat=("released",)))
    with pytest.raises(ValueError, match="HeadPasses: head must compute rows independently"):
        Age(released, AgeConfig())
    with pytest.raises(ValueError, match="head must be in evaluation"):
        age().train().explore(batch(LENGTHS), seed=0)
