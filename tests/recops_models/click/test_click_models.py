"""Common properties of click models: shapes, padding, histories, gradients, learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from click_inputs import FEATURES, SIZES, batch, prefix_batches, schema
from click_recipes import CLICK, net
from recops_models.click.can import Can, CanConfig
from recops_models.click.dien import Dien, DienConfig
from recops_models.click.din import Din, DinConfig
from recops_models.click.gru_attention import GruAttention, GruAttentionConfig
from recops_models.click.loss import click_loss, training_loss
from recops_models.click.sum_pool import SumPool, SumPoolConfig
from recops_models.data import DataError
from recops_models.examples.batch import Batch
from recops_models.examples.features import Categorical, Numeric, Sequence
from recops_models.layers.feature_embedding import FeatureEmbedding
from recops_models.layers.recurrent import Recurrent

MODELS: dict[str, Any] = {
    "sum-pool": lambda **kw: SumPool(schema(), SumPoolConfig(width=8, **kw)),
    "din": lambda **kw: Din(schema(), DinConfig(width=8, **kw)),
    "din-raw": lambda **kw: Din(schema(), DinConfig(width=8, attention_weights="raw", **kw)),
    "can": lambda **kw: Can(schema(), CanConfig(width=8, **kw)),
    "can-shared": lambda **kw: Can(
        schema(), CanConfig(network=(4, 3), interaction="shared", base="sum-pool", **kw)
    ),
    "gru-attention": lambda **kw: GruAttention(schema(), GruAttentionConfig(width=8, **kw)),
    "dien": lambda **kw: Dien(schema(), DienConfig(width=8, **kw)),
    "dien-aigru": lambda **kw: Dien(
        schema(), DienConfig(width=8, evolution="aigru", attention_form="bilinear", **kw)
    ),
}
LENGTHS = [5, 0, 3, 1, 7, 2]


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    model = MODELS[request.param]()
    for table in model.embedding.tables.values():  # Large rows give sharper tests.
        nn.init.normal_(table.weight[1:])
    return model


def take(examples: Batch, rows: slice) -> Batch:
    return Batch(
        {name: value[rows] for name, value in examples.features.items()},
        {name: value[rows] for name, value in examples.lengths.items()},
        examples.label[rows],
        examples.group[rows],
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("lengths", [LENGTHS, [4], [0], [0, 0, 0], []])
def test_batches_of_any_lengths_give_finite_logits_loss_and_gradients(
    model, lengths, training
) -> None:
    model.train(training)
    examples = batch(lengths)
    logits = model(examples)
    assert logits.shape == (len(lengths),)
    loss = click_loss(logits, examples.label)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("name", "sizes", "cells"),
    [
        ("dien", {}, [22, 7]),
        ("dien", {"auxiliary": "none", "update": "or"}, [22, 7]),
        ("dien", {"compat": ("released",)}, [22, 7]),
        ("dien", {"extractor": "none", "evolution": "none"}, []),
        ("gru-attention", {}, [22, 7]),
        ("can", {"base": "dien", "auxiliary": "mlp"}, [22, 7]),
    ],
)
def test_shared_prefixes_of_histories_are_read_once(name, sizes, cells) -> None:
    """Logits have the same bits; gradients differ only in the order of sums."""
    read, scores, gradients = [], [], []
    for examples in prefix_batches([3, 7, 0, 6, 6]):
        torch.manual_seed(0)
        model = net(name, schema(), **{"width": 4, "hidden": (8,), **sizes})
        grus = [layer for layer in model.modules() if isinstance(layer, Recurrent)]
        for gru in grus[:1]:
            gru.register_forward_pre_hook(lambda _, inputs: read.append(int(inputs[1].sum())))
        scores.append(model.eval()(examples))
        torch.manual_seed(1)  # The auxiliary loss draws.
        training_loss(model.train(), examples).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert read[::2] == cells
    assert torch.equal(*scores)
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-3, atol=1e-6)


def test_a_prediction_does_not_depend_on_other_rows(model) -> None:
    model.eval()
    examples = batch(LENGTHS)
    all_rows = model(examples)
    for row in range(len(LENGTHS)):
        alone = model(take(examples, slice(row, row + 1)))
        torch.testing.assert_close(alone, all_rows[row : row + 1])


def test_padding_changes_nothing(model) -> None:
    model.eval()
    examples = batch(LENGTHS)
    wider = {
        name: nn.functional.pad(ids, (0, 4)) if name.startswith("history") else ids
        for name, ids in examples.features.items()
    }
    torch.testing.assert_close(model(examples), model(examples._replace(features=wider)))


def test_every_feature_affects_the_logits(model) -> None:
    model.eval()
    examples = batch([5, 4, 3, 2])
    before = model(examples)
    for feature in FEATURES:
        value = examples.features[feature.name]
        changed = value + 1 if value.is_floating_point() else torch.where(value > 1, 1, value)
        after = model(examples._replace(features={**examples.features, feature.name: changed}))
        assert not torch.allclose(before, after), feature.name


def test_bfloat16_is_close_to_float32(model) -> None:
    model.eval()
    examples = batch(LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(examples)
    click_loss(logits, examples.label).backward()
    torch.testing.assert_close(logits.float(), model(examples), rtol=0.02, atol=0.02)


def test_output_dim_is_the_input_width_of_the_mlp(model) -> None:
    assert model.output_dim() == model.head[0].in_features


def test_sparse_tables_get_the_same_gradients(model, request) -> None:
    name = request.node.callspec.params["model"]
    sparse = MODELS[name]()
    sparse.load_state_dict(model.state_dict())
    for table in sparse.embedding.tables.values():
        table.sparse = True
    examples = batch(LENGTHS)
    for trained in (model, sparse):
        click_loss(trained(examples), examples.label).backward()
    for table, sparse_table in zip(
        model.embedding.tables.values(), sparse.embedding.tables.values(), strict=True
    ):
        assert sparse_table.weight.grad.is_sparse
        torch.testing.assert_close(sparse_table.weight.grad.to_dense(), table.weight.grad)
        assert (table.weight.grad[0] == 0).all()


def learn(model: Any, examples: Batch, steps: int = 150) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = click_loss(model(examples), examples.label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name != "dien-aigru"])
def test_models_learn_whether_the_history_has_the_category(name: str) -> None:
    torch.manual_seed(0)
    examples = batch([5] * 256)
    is_in_history = (
        examples.features["history_category"] == examples.features["category"][:, None]
    ).any(1)
    assert learn(MODELS[name](), examples._replace(label=is_in_history.float())) < 0.25


def test_only_recurrent_models_depend_on_order() -> None:
    examples = batch([6] * 5)
    flipped = {
        name: ids.flip(1) if name.startswith("history") else ids
        for name, ids in examples.features.items()
    }
    for name, build in MODELS.items():
        torch.manual_seed(0)
        model = build().eval()
        for table in model.embedding.tables.values():
            nn.init.normal_(table.weight[1:])
        is_equal = torch.allclose(
            model(examples), model(examples._replace(features=flipped)), atol=1e-5
        )
        assert is_equal == (not name.startswith(("gru", "dien"))), name


def test_sum_pooling_is_an_mlp_of_context_and_sum() -> None:
    model = MODELS["sum-pool"]().eval()
    examples = batch(LENGTHS)
    interest = model.embedding.keys(examples).sum(1)
    x = torch.cat([*model.embedding.context(examples), interest], -1)
    torch.testing.assert_close(model(examples), model.head(x).squeeze(-1))


def test_tables_are_shared_with_zero_padding_and_queries_match_keys() -> None:
    embedding = FeatureEmbedding(schema(), 8)
    assert set(embedding.tables) == {"user", "item", "category", "tags"}
    assert embedding.tables["item"].num_embeddings == SIZES["item"] + 2
    examples = batch([1, 1, 0])
    features = dict(examples.features)
    features["item"], features["category"] = (
        features["history_item"][:, 0],
        features["history_category"][:, 0],
    )
    examples = examples._replace(features=features)
    keys = embedding.keys(examples)[:, 0]
    assert torch.equal(embedding.query(examples), keys)
    assert (keys[2] == 0).all()
    context = torch.cat(embedding.context(examples), -1)
    assert context.shape == (3, embedding.context_dim) == (3, 4 * 8 + 1 + 3)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((Categorical("item"), Numeric("age")), "no sequence shares"),
        (
            (
                Categorical("item"),
                Sequence("history_item", share_embedding="item"),
                Sequence("history_bought", share_embedding="item"),
            ),
            "'history_item', 'history_bought' must share different embeddings",
        ),
        (
            (
                Categorical("item"),
                Categorical("category"),
                Sequence("history_item", share_embedding="item", max_len=3),
                Sequence("history_category", share_embedding="category"),
            ),
            "must share different embeddings",
        ),
    ],
)
def test_a_schema_without_a_valid_history_is_refused(features, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FeatureEmbedding(schema(features), 8)


SEVERAL = (
    Categorical("user"),
    Categorical("item"),
    Categorical("category"),
    Sequence("tags", max_len=4),
    Sequence("history_item", share_embedding="item", history="clicks"),
    Sequence("history_category", share_embedding="category", history="clicks"),
    Sequence("sign", history="clicks"),
    Sequence("cart_item", max_len=3, share_embedding="item", history="carts"),
)


def several() -> Batch:
    """Return a batch with signed clicks, and carts of other lengths."""
    examples, carts = batch(LENGTHS), batch([2, 3, 0, 1, 1, 3], seed=1)
    inside = examples.features["history_item"] > 0
    sign = torch.randint(2, 5, inside.shape, generator=torch.Generator().manual_seed(2)) * inside
    return examples._replace(
        features={**examples.features, "sign": sign, "cart_item": carts.features["history_item"]},
        lengths={
            **examples.lengths,
            "sign": examples.lengths["history_item"],
            "cart_item": carts.lengths["history_item"],
        },
    )


@pytest.mark.parametrize(
    "name",
    CLICK,
)
@pytest.mark.parametrize("history", [None, "clicks", "carts"])
def test_every_model_reads_several_histories(name: str, history: str | None) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"width": 4, "dropout": 0.0}
    if name != "sum-pool":
        sizes["history"] = history
    model = net(name, schema(SEVERAL), **sizes).eval()
    for table in model.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    examples = several()
    before = model(examples)
    for feature in SEVERAL:
        value = examples.features[feature.name]
        changed = examples.features | {feature.name: torch.where(value > 1, 1, value)}
        assert not torch.allclose(before, model(examples._replace(features=changed)))
    wider = {
        key: nn.functional.pad(value, (0, 3)) if key in examples.lengths else value
        for key, value in examples.features.items()
    }
    torch.testing.assert_close(model(examples._replace(features=wider)), before)


def test_din_attends_to_each_history_separately() -> None:
    model = Din(schema(SEVERAL), DinConfig(width=4))
    embedding, examples = model.embedding, several()
    assert [(history.name, history.dim) for history in embedding.separate_histories] == [
        ("clicks", 12),
        ("carts", 4),
    ]
    clicks, carts = model.attention(embedding, examples)
    torch.testing.assert_close(
        clicks,
        model.attention.each[0](
            embedding.query(examples), embedding.keys(examples), examples.lengths["history_item"]
        ),
    )
    assert (embedding.query(examples)[:, 8:] == 0).all(), "candidates must have a zero sign"
    carts_alone = Din(schema(SEVERAL), DinConfig(width=4, history="carts"))
    assert carts_alone.embedding.context_dim == 4 * (3 + 1 + 3)
    assert carts.shape == (len(LENGTHS), carts_alone.embedding.history_dim)


def test_an_unknown_history_is_named() -> None:
    with pytest.raises(DataError, match="no history 'likes'; available: clicks, carts"):
        Din(schema(SEVERAL), DinConfig(history="likes"))
    unmatched = (*SEVERAL, Sequence("sign_of_likes", history="likes"))
    with pytest.raises(DataError, match="'likes': none of 'sign_of_likes' shares"):
        FeatureEmbedding(schema(unmatched), 4)


def test_pretrained_rows_start_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    vectors = np.random.default_rng(0).normal(size=(SIZES["item"] + 5, 8)).astype(np.float32)
    np.save(path, vectors)
    features = (
        Categorical("item", pretrained=str(path)),
        Sequence("history_item", share_embedding="item"),
    )
    table = FeatureEmbedding(schema(features), 8).tables["item"].weight
    assert torch.equal(table[2:], torch.from_numpy(vectors[: SIZES["item"]]))
    assert table[:2].abs().max() == 0
    with pytest.raises(DataError, match="vectors are 8 wide, the table 4"):
        FeatureEmbedding(schema(features), 4)


def test_loss_is_the_mean_binary_cross_entropy() -> None:
    logits, label = torch.tensor([0.3, -2.0, 40.0]), torch.tensor([1.0, 0.0, 0.0])
    expected = -torch.log(torch.sigmoid(torch.tensor([0.3, 2.0], dtype=torch.float64)))
    torch.testing.assert_close(
        click_loss(logits, label).double(), (expected.sum() + 40) / 3, check_dtype=False
    )
    assert click_loss(logits[:0], label[:0]) == 0


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "training"),
    [
        pytest.param("sum-pool", False, marks=pytest.mark.slow),
        # test_training_click.py compiles the training of all models.
        pytest.param("din", True, marks=pytest.mark.full),
        pytest.param("din", False, marks=pytest.mark.full),
        pytest.param("gru-attention", False, marks=pytest.mark.full),
    ],
)
def test_compiles_in_one_graph_for_every_shape(name: str, training: bool) -> None:
    torch._dynamo.reset()
    model = MODELS[name]().train(training)
    compiled = torch.compile(model, dynamic=True, fullgraph=True)
    for lengths in ([5, 0, 3, 2], [1, 7, 4], [0, 2, 9, 9, 9]):
        examples = batch(lengths)
        torch.testing.assert_close(compiled(examples), model(examples))
