"""CAN and what it is compared with: both papers' networks, independence, any pairs, baselines."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from click_inputs import batch, schema
from recops import reference
from recops_models.click.can import Can, CanConfig, Interaction
from recops_models.click.dien import Dien, DienConfig
from recops_models.click.din import Din, DinConfig
from recops_models.click.loss import click_loss
from recops_models.data import DataError
from recops_models.examples.batch import Batch
from recops_models.layers.coaction import CoAction, Network, Pair, pairs_of
from recops_models.layers.pair_features import OwnPairProduct, PairProduct, PairTable
from recops_models.recipes.files import load_model, save_model
from recops_models.training.config import TrainingConfig
from recops_models.training.optimizers import make_optimizers

LENGTHS = [5, 0, 3, 1, 7, 2]
INTERACTIONS = typing.get_args(Interaction)
PAIRS = [Pair("item", "history_item"), Pair("category", "history_category")]
FIRST_VERSION: dict[str, Any] = {
    "network": (4,) * 9,
    "bias": True,
    "orders": 2,
    "concat_hidden": False,
}


def can(**settings: Any) -> Can:
    torch.manual_seed(0)
    return Can(schema(), CanConfig(width=8, **settings))


def test_the_released_network_adds_36_features_a_pair_from_160_parameters() -> None:
    model = can()
    assert [table.weight.shape[1] for table in model.unit.params.values()] == [160, 160]
    assert model.output_dim() - can(interaction="none").output_dim() == 2 * 3 * (8 + 4)


def test_the_first_version_adds_8_features_a_pair_from_160_parameters() -> None:
    model = can(**FIRST_VERSION)
    assert [table.weight.shape[1] for table in model.unit.params.values()] == [160, 160]
    assert model.output_dim() - can(interaction="none").output_dim() == 2 * 2 * 4


@pytest.mark.parametrize("settings", [{}, FIRST_VERSION, {"pool": "mean", "co_activation": "selu"}])
@pytest.mark.parametrize("order_independent", [False, True])
def test_the_unit_is_the_plain_form_on_looked_up_rows(
    settings: dict[str, Any], order_independent: bool
) -> None:
    model = can(order_independent=order_independent, **settings)
    some = batch(LENGTHS)
    expected = [
        reference.coaction(
            model.unit.feeds[pair.induction].weight[some.features[pair.fed]],
            model.unit.params[pair.induction].weight[some.features[pair.induction]],
            model.network.dims,
            lengths=some.lengths[pair.fed],
            **model.network.options(),
        )
        for pair in PAIRS
    ]
    torch.testing.assert_close(model.unit(some), expected)


def test_co_action_tables_are_apart_from_the_representations() -> None:
    model = can()
    representations = {id(p) for p in model.embedding.parameters()}
    assert not representations & {id(p) for p in model.unit.parameters()}


def test_shared_rows_are_representations_too() -> None:
    model = can(interaction="shared")
    assert model.embedding.tables["item"].embedding_dim == 16 + 160
    some = batch(LENGTHS)
    click_loss(model(some), some.label).backward()
    table = model.embedding.tables["item"].weight
    assert table.grad is not None
    assert table.grad[some.features["item"]][:, 16:].abs().max() > 0


def test_combination_independence_gives_each_pair_its_tables() -> None:
    pairs = ("item:history_item", "item:history_category", "category:history_category")
    together = can(pairs=pairs)
    assert set(together.unit.params) == {"item", "category"}
    apart = can(pairs=pairs, combination_independent=True)
    assert set(apart.unit.params) == set(apart.unit.feeds) == set(pairs)
    assert apart.output_dim() == together.output_dim()


def test_any_pair_will_do() -> None:
    """Of a feature that is no sequence, or one of tags; a feature may be fed to itself."""
    model = can(pairs=("user:category", "item:tags", "item:item"))
    some = batch(LENGTHS)
    before = model(some)
    assert before.shape == (6,)
    unit = model.unit(some)
    assert [each.shape for each in unit] == 3 * [(6, model.network.output_width)]
    changed = {**some.features, "tags": torch.where(some.features["tags"] > 1, 1, 0)}
    after = model.unit(some._replace(features=changed))
    assert torch.equal(unit[0], after[0])
    assert not torch.equal(unit[1], after[1])


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("item", "'' is no categorical nor a sequence"),
        ("age:history_item", "'age' is no categorical feature"),
        ("history_item:item", "'history_item' is no categorical feature"),
        ("item:age", "'age' is no categorical nor"),
        ("item:nothing", "'nothing' is no categorical nor"),
    ],
)
def test_refuses_pairs_that_are_none(pair: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pairs_of(schema(), [pair])


def test_released_tables_begin_from_glorots_law() -> None:
    size, width = can().unit.params["item"].weight.shape
    bound = (6 / (size + width)) ** 0.5
    weight = can(compat="released").unit.params["item"].weight
    assert 0.9 * bound < weight.abs().max() <= bound
    assert can().unit.params["item"].weight.std().item() == pytest.approx(0.1, rel=0.05)


def test_without_interaction_it_is_din() -> None:
    din = Din(schema(), DinConfig(width=8))
    model = can(interaction="none")
    model.load_state_dict(din.state_dict())
    some = batch(LENGTHS)
    assert torch.equal(model.eval()(some), din.eval()(some))


@pytest.mark.parametrize("interaction", ["none", "coaction"])
def test_upon_dien_it_reads_what_dien_would(interaction: Any) -> None:
    dien = Dien(schema(), DienConfig(width=8))
    model = can(base="dien", interaction=interaction)
    for module, weights in ((model.dien, dien), (model.embedding, dien.embedding)):
        missing = module.load_state_dict(weights.state_dict(), strict=False).missing_keys
        assert not missing
    some = batch(LENGTHS)
    torch.manual_seed(1)
    expected, auxiliary = dien.bottom(some)
    torch.manual_seed(1)
    found, added = model.bottom(some)
    assert torch.equal(found[:, : expected.shape[1]], expected)
    assert torch.equal(added, auxiliary)
    assert added > 0
    evaluated, nothing = model.eval().bottom(some)
    assert torch.equal(evaluated, found)
    assert nothing is None


def test_products_are_of_target_and_summed_history() -> None:
    model = can(interaction="product")
    assert isinstance(model.unit, PairProduct)
    some = batch(LENGTHS)
    query, keys = model.embedding.query(some), model.embedding.keys(some)
    product = (query * keys.sum(1)).unflatten(1, (2, 8))
    expected = torch.cat([product, product.sum(2, keepdim=True)], 2).flatten(1)
    found = torch.cat(model.unit(some, model.embedding.tables), 1)
    torch.testing.assert_close(found, expected)


def test_products_of_their_own_tables_begin_as_co_action_does() -> None:
    torch.manual_seed(0)
    model = can(interaction="own-product", co_std=0.1, network=(16, 8, 4))
    assert isinstance(model.unit, OwnPairProduct)
    own = {id(parameter) for parameter in model.unit.parameters()}
    assert own.isdisjoint(id(parameter) for parameter in model.embedding.parameters())
    for table in model.unit.tables.values():
        assert table.weight.shape[1] == 16
        assert table.weight[:2].eq(0).all()
        assert table.weight[2:].std().item() == pytest.approx(0.1, rel=0.2)
    some = batch(LENGTHS)
    pair = model.pairs[0]
    rows = model.unit.tables["item"]  # of the candidate and of what is in the history
    product = rows(some.features[pair.induction]) * rows(some.features[pair.fed]).sum(1)
    expected = torch.cat([product, product.sum(1, keepdim=True)], 1)
    found = torch.cat(model.unit(some), 1)[:, : expected.shape[1]]
    torch.testing.assert_close(found, expected)


def test_frozen_co_action_is_read_and_never_trained() -> None:
    torch.manual_seed(0)
    frozen = can(interaction="frozen")
    torch.manual_seed(0)
    free = can(interaction="coaction")
    some = batch(LENGTHS)
    assert torch.equal(frozen(some), free(some))
    before = [parameter.clone() for parameter in frozen.unit.parameters()]
    learn(frozen, some, torch.ones(len(LENGTHS)), steps=3)
    for parameter, first in zip(frozen.unit.parameters(), before, strict=True):
        assert torch.equal(parameter, first)


# ---- The table of pairs.


def test_pairs_of_values_that_are_rare_have_no_row() -> None:
    some = batch([1, 2, 0, 2])
    item = torch.tensor([5, 5, 5, 6])
    history = torch.tensor([[7, 0], [7, 8], [7, 7], [7, 9]])
    some = some._replace(features={**some.features, "item": item, "history_item": history})
    table = PairTable.fit(PAIRS[:1], 4, [some, some], min_count=3)
    # (5, 7) is met four times, (5, 8), (6, 7) and (6, 9) twice; what is past a length, never.
    (rows,) = table.tables
    assert rows.weight.shape == (2, 4)
    expected = torch.stack([rows.weight[1], rows.weight[1], rows.weight[0], rows.weight[0]])
    assert torch.equal(torch.cat(table(some), 1), expected)
    assert rows.weight[0].eq(0).all()
    assert torch.cat(PairTable.fit(PAIRS, 4, [some], min_count=100)(some)).eq(0).all()


def test_pairs_are_counted_over_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(4):
        some = batch([200] * 400)
        item = torch.randint(2, 40, (400,), generator=generator)
        history = torch.randint(1, 3000, (400, 200), generator=generator)
        features = {**some.features, "item": item, "history_item": history}
        batches.append(some._replace(features=features))
    pairs = torch.cat(
        [
            torch.stack([each.features["item"][:, None].expand(-1, 200), history], 2).flatten(0, 1)
            for each in batches
            for history in [each.features["history_item"]]
        ]
    )
    _, counts = pairs.unique(dim=0, return_counts=True)
    (rows,) = PairTable.fit(PAIRS[:1], 4, batches, min_count=4).tables
    assert len(rows.weight) - 1 == int((counts >= 4).sum())


def test_a_fitted_table_of_pairs_is_asked_for() -> None:
    with pytest.raises(ValueError, match="needs a fitted pair_table"):
        can(interaction="cartesian")


@pytest.mark.parametrize(
    ("interaction", "base"),
    [(name, "din") for name in INTERACTIONS] + [("coaction", "dien"), ("shared", "dien")],
)
def test_comes_back_from_its_file(interaction: Any, base: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    some = batch(LENGTHS)
    config = CanConfig(width=8, base=base, interaction=interaction, pairs=("item:history_item",))
    fits = interaction == "cartesian"
    table = PairTable.fit(PAIRS[:1], 8, [some], min_count=1) if fits else None
    fitted = dataclasses.replace(schema(), moments={"age": (0.0, 1.0)})
    model = Can(fitted, config, table).eval()
    save_model(tmp_path / "model.safetensors", "can", model)
    restored = load_model(tmp_path / "model.safetensors")
    assert torch.equal(restored(some), model(some))


# ---- Training.


def learn(model: Can, some: Batch, label: Tensor, steps: int = 120) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = click_loss(model(some), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("settings", [{}, FIRST_VERSION], ids=["released", "first version"])
def test_learns_what_is_of_pairs_alone(settings: dict[str, Any]) -> None:
    """A clicks on what a random table of pairs says: no feature tells anything by itself."""
    some = batch([5] * 300)
    table = torch.randn(60, 60)
    features = some.features
    table = table[features["item"][:, None], features["history_item"]].sum(1)
    label = (table > 0).float()
    assert learn(can(base="sum-pool", **settings), some, label) < 0.1


@pytest.mark.parametrize("tables", ["sparse-adam", "rowwise-adagrad"])
def test_sparse_optimizers_step_the_rows_of_the_batch_alone(tables: Any) -> None:
    model = can()
    stepper = make_optimizers(model, TrainingConfig(tables=tables, learning_rate=0.1))
    before = model.unit.params["item"].weight.detach().clone()
    some = batch(LENGTHS)
    click_loss(model(some), some.label).backward()
    for optimizer in stepper:
        optimizer.step()
    stepped = (model.unit.params["item"].weight != before).any(1).nonzero().flatten()
    assert set(stepped.tolist()) <= set(some.features["item"].tolist())
    assert len(stepped) > 0


def test_a_table_of_many_pairs_is_one_of_each() -> None:
    unit = CoAction(schema(), PAIRS, Network(dims=(4, 2), orders=1))
    assert torch.cat(unit(batch(LENGTHS)), 1).shape == (6, unit.output_dim()) == (6, 4)
