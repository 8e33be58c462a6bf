"""CAN and its baselines: network shapes, independence of tables, feature pairs, training."""

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


def test_the_released_network_adds_36_features_per_pair_from_160_parameters() -> None:
    model = can()
    assert [table.weight.shape[1] for table in model.unit.params.values()] == [160, 160]
    assert model.output_dim() - can(interaction="none").output_dim() == 2 * 3 * (8 + 4)


def test_the_first_version_adds_8_features_per_pair_from_160_parameters() -> None:
    model = can(**FIRST_VERSION)
    assert [table.weight.shape[1] for table in model.unit.params.values()] == [160, 160]
    assert model.output_dim() - can(interaction="none").output_dim() == 2 * 2 * 4


@pytest.mark.parametrize("settings", [{}, FIRST_VERSION, {"pool": "mean", "co_activation": "selu"}])
@pytest.mark.parametrize("order_independent", [False, True])
def test_the_unit_equals_the_reference_on_looked_up_rows(
    settings: dict[str, Any], order_independent: bool
) -> None:
    model = can(order_independent=order_independent, **settings)
    examples = batch(LENGTHS)
    expected = [
        reference.coaction(
            model.unit.feeds[pair.induction].weight[examples.features[pair.fed]],
            model.unit.params[pair.induction].weight[examples.features[pair.induction]],
            model.network.dims,
            lengths=examples.lengths[pair.fed],
            **model.network.options(),
        )
        for pair in PAIRS
    ]
    torch.testing.assert_close(model.unit(examples), expected)


def test_co_action_tables_are_separate_from_the_embeddings() -> None:
    model = can()
    representations = {id(p) for p in model.embedding.parameters()}
    assert not representations & {id(p) for p in model.unit.parameters()}


def test_shared_rows_are_embeddings_too() -> None:
    model = can(interaction="shared")
    assert model.embedding.tables["item"].embedding_dim == 16 + 160
    examples = batch(LENGTHS)
    click_loss(model(examples), examples.label).backward()
    table = model.embedding.tables["item"].weight
    assert table.grad is not None
    assert table.grad[examples.features["item"]][:, 16:].abs().max() > 0


def test_combination_independence_gives_each_pair_separate_tables() -> None:
    pairs = ("item:history_item", "item:history_category", "category:history_category")
    shared = can(pairs=pairs)
    assert set(shared.unit.params) == {"item", "category"}
    independent = can(pairs=pairs, combination_independent=True)
    assert set(independent.unit.params) == set(independent.unit.feeds) == set(pairs)
    assert independent.output_dim() == shared.output_dim()


def test_features_of_any_kind_can_be_paired() -> None:
    """The fed feature may be categorical, a sequence of tags, or the induction feature."""
    model = can(pairs=("user:category", "item:tags", "item:item"))
    examples = batch(LENGTHS)
    before = model(examples)
    assert before.shape == (6,)
    unit = model.unit(examples)
    assert [output.shape for output in unit] == 3 * [(6, model.network.output_width)]
    changed = {**examples.features, "tags": torch.where(examples.features["tags"] > 1, 1, 0)}
    after = model.unit(examples._replace(features=changed))
    assert torch.equal(unit[0], after[0])
    assert not torch.equal(unit[1], after[1])


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("item", "'' is neither categorical nor a sequence"),
        ("age:history_item", "'age' is not categorical"),
        ("history_item:item", "'history_item' is not categorical"),
        ("item:age", "'age' is neither categorical nor"),
        ("item:nothing", "'nothing' is neither categorical nor"),
    ],
)
def test_invalid_pairs_are_refused(pair: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pairs_of(schema(), [pair])


def test_released_tables_are_drawn_by_glorots_rule() -> None:
    size, width = can().unit.params["item"].weight.shape
    bound = (6 / (size + width)) ** 0.5
    weight = can(compat="released").unit.params["item"].weight
    assert 0.9 * bound < weight.abs().max() <= bound
    assert can().unit.params["item"].weight.std().item() == pytest.approx(0.1, rel=0.05)


def test_can_without_interaction_is_din() -> None:
    din = Din(schema(), DinConfig(width=8))
    model = can(interaction="none")
    model.load_state_dict(din.state_dict())
    examples = batch(LENGTHS)
    assert torch.equal(model.eval()(examples), din.eval()(examples))


@pytest.mark.parametrize("interaction", ["none", "coaction"])
def test_with_base_dien_the_interest_is_that_of_dien(interaction: Any) -> None:
    dien = Dien(schema(), DienConfig(width=8))
    model = can(base="dien", interaction=interaction)
    for module, weights in ((model.dien, dien), (model.embedding, dien.embedding)):
        missing = module.load_state_dict(weights.state_dict(), strict=False).missing_keys
        assert not missing
    examples = batch(LENGTHS)
    torch.manual_seed(1)
    expected, auxiliary = dien.bottom(examples)
    torch.manual_seed(1)
    x, added = model.bottom(examples)
    assert torch.equal(x[:, : expected.shape[1]], expected)
    assert torch.equal(added, auxiliary)
    assert added > 0
    evaluated, no_loss = model.eval().bottom(examples)
    assert torch.equal(evaluated, x)
    assert no_loss is None


def test_products_are_those_of_target_and_summed_history() -> None:
    model = can(interaction="product")
    assert isinstance(model.unit, PairProduct)
    examples = batch(LENGTHS)
    query, keys = model.embedding.query(examples), model.embedding.keys(examples)
    product = (query * keys.sum(1)).unflatten(1, (2, 8))
    expected = torch.cat([product, product.sum(2, keepdim=True)], 2).flatten(1)
    products = torch.cat(model.unit(examples, model.embedding.tables), 1)
    torch.testing.assert_close(products, expected)


def test_own_products_start_like_co_action() -> None:
    torch.manual_seed(0)
    model = can(interaction="own-product", co_std=0.1, network=(16, 8, 4))
    assert isinstance(model.unit, OwnPairProduct)
    parameters = {id(parameter) for parameter in model.unit.parameters()}
    assert parameters.isdisjoint(id(parameter) for parameter in model.embedding.parameters())
    for table in model.unit.tables.values():
        assert table.weight.shape[1] == 16
        assert table.weight[:2].eq(0).all()
        assert table.weight[2:].std().item() == pytest.approx(0.1, rel=0.2)
    examples = batch(LENGTHS)
    pair = model.pairs[0]
    rows = model.unit.tables["item"]
    product = rows(examples.features[pair.induction]) * rows(examples.features[pair.fed]).sum(1)
    expected = torch.cat([product, product.sum(1, keepdim=True)], 1)
    products = torch.cat(model.unit(examples), 1)[:, : expected.shape[1]]
    torch.testing.assert_close(products, expected)


def test_frozen_co_action_is_not_trained() -> None:
    torch.manual_seed(0)
    frozen = can(interaction="frozen")
    torch.manual_seed(0)
    free = can(interaction="coaction")
    examples = batch(LENGTHS)
    assert torch.equal(frozen(examples), free(examples))
    before = [parameter.clone() for parameter in frozen.unit.parameters()]
    learn(frozen, examples, torch.ones(len(LENGTHS)), steps=3)
    for parameter, first in zip(frozen.unit.parameters(), before, strict=True):
        assert torch.equal(parameter, first)


# ---- The table of pairs.


def test_rare_pairs_of_values_have_row_zero() -> None:
    examples = batch([1, 2, 0, 2])
    item = torch.tensor([5, 5, 5, 6])
    history = torch.tensor([[7, 0], [7, 8], [7, 7], [7, 9]])
    examples = examples._replace(
        features={**examples.features, "item": item, "history_item": history}
    )
    table = PairTable.fit(PAIRS[:1], 4, [examples, examples], min_count=3)
    # Counts: (5, 7) four, (5, 8), (6, 7) and (6, 9) two; positions past a length do not count.
    (rows,) = table.tables
    assert rows.weight.shape == (2, 4)
    expected = torch.stack([rows.weight[1], rows.weight[1], rows.weight[0], rows.weight[0]])
    assert torch.equal(torch.cat(table(examples), 1), expected)
    assert rows.weight[0].eq(0).all()
    assert torch.cat(PairTable.fit(PAIRS, 4, [examples], min_count=100)(examples)).eq(0).all()


def test_pairs_are_counted_over_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(4):
        examples = batch([200] * 400)
        item = torch.randint(2, 40, (400,), generator=generator)
        history = torch.randint(1, 3000, (400, 200), generator=generator)
        features = {**examples.features, "item": item, "history_item": history}
        batches.append(examples._replace(features=features))
    pairs = torch.cat(
        [
            torch.stack([counted.features["item"][:, None].expand(-1, 200), history], 2).flatten(
                0, 1
            )
            for counted in batches
            for history in [counted.features["history_item"]]
        ]
    )
    _, counts = pairs.unique(dim=0, return_counts=True)
    (rows,) = PairTable.fit(PAIRS[:1], 4, batches, min_count=4).tables
    assert len(rows.weight) - 1 == int((counts >= 4).sum())


def test_cartesian_needs_a_fitted_table_of_pairs() -> None:
    with pytest.raises(ValueError, match="needs a fitted pair_table"):
        can(interaction="cartesian")


@pytest.mark.parametrize(
    ("interaction", "base"),
    [(name, "din") for name in INTERACTIONS] + [("coaction", "dien"), ("shared", "dien")],
)
def test_a_saved_model_is_restored(interaction: Any, base: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    examples = batch(LENGTHS)
    config = CanConfig(width=8, base=base, interaction=interaction, pairs=("item:history_item",))
    fits = interaction == "cartesian"
    table = PairTable.fit(PAIRS[:1], 8, [examples], min_count=1) if fits else None
    fitted = dataclasses.replace(schema(), moments={"age": (0.0, 1.0)})
    model = Can(fitted, config, table).eval()
    save_model(tmp_path / "model.safetensors", "can", model)
    restored = load_model(tmp_path / "model.safetensors")
    assert torch.equal(restored(examples), model(examples))


# ---- Training.


def learn(model: Can, examples: Batch, label: Tensor, steps: int = 120) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = click_loss(model(examples), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("settings", [{}, FIRST_VERSION], ids=["released", "first version"])
def test_can_learns_an_effect_of_pairs(settings: dict[str, Any]) -> None:
    """Labels follow a random table of pairs, so no feature predicts them by itself."""
    examples = batch([5] * 300)
    table = torch.randn(60, 60)
    features = examples.features
    table = table[features["item"][:, None], features["history_item"]].sum(1)
    label = (table > 0).float()
    assert learn(can(base="sum-pool", **settings), examples, label) < 0.1


@pytest.mark.parametrize("tables", ["sparse-adam", "rowwise-adagrad"])
def test_sparse_optimizers_change_only_rows_of_the_batch(tables: Any) -> None:
    model = can()
    optimizers = make_optimizers(model, TrainingConfig(tables=tables, learning_rate=0.1))
    before = model.unit.params["item"].weight.detach().clone()
    examples = batch(LENGTHS)
    click_loss(model(examples), examples.label).backward()
    for optimizer in optimizers:
        optimizer.step()
    changed = (model.unit.params["item"].weight != before).any(1).nonzero().flatten()
    assert set(changed.tolist()) <= set(examples.features["item"].tolist())
    assert len(changed) > 0


def test_the_output_width_of_the_unit_is_output_dim() -> None:
    unit = CoAction(schema(), PAIRS, Network(dims=(4, 2), orders=1))
    assert torch.cat(unit(batch(LENGTHS)), 1).shape == (6, unit.output_dim()) == (6, 4)
