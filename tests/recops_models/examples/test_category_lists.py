"""Lists of categories as features of items, users and events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from click_recipes import CLICK, net
from recops_models.click.din import Din, DinConfig
from recops_models.click.loss import training_loss
from recops_models.data import DataError, Dataset, load, load_dataset, save_dataset
from recops_models.data.splits import Split
from recops_models.examples.candidates import Candidates
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.click_stream import open_click_folder
from recops_models.examples.features import FeatureSchema
from recops_models.layers.feature_embedding import FeatureEmbedding

USERS, EVENTS, ITEMS = 20, 10, 15
TAGS = [["red", "blue"], ["red"], [], None, ["blue", "green", "red"]]
TOPICS = [[1, 2], [2], [3, 1, 2]]


def shop(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    log = {
        "user_id": np.repeat(np.arange(USERS), EVENTS),
        "item_id": np.concatenate([rng.permutation(ITEMS)[:EVENTS] for _ in range(USERS)]),
        "timestamp": rng.permutation(USERS * EVENTS),
        "topics": [TOPICS[row % 3] for row in range(USERS * EVENTS)],
        "seen": [TOPICS[row % 2] for row in range(USERS * EVENTS)],
    }
    items = {"item_id": np.arange(ITEMS), "tags": [TAGS[i % 5] for i in range(ITEMS)]}
    users = {"user_id": np.arange(USERS), "likes": [TAGS[u % 5] for u in range(USERS)]}
    path = tmp_path / "s.yaml"
    path.write_text("event:\n  topics: list\n  seen: {role: list, known: after}\n")
    return Dataset.from_frames(log, items, users, schema=path)


def batch_of(data: ClickData, part: str = "train") -> Any:
    (batch,) = getattr(data, part).batches(10_000, seed=None)
    return batch


def test_lists_are_features_and_named_sets_keep_theirs(tmp_path: Path) -> None:
    source = shop(tmp_path)
    data = click_data(source, rare_count=1, rare_share=0.0)
    names = [feature.name for feature in data.fitted.schema.features]
    assert names == [
        "user", "user_likes", "item", "tags", "event_topics", "history_item", "history_tags",
        "history_event_topics", "history_event_seen",
    ]  # fmt: skip
    save_dataset(source, tmp_path / "saved")
    assert load_dataset(tmp_path / "saved").reads_lists
    plain = click_data(replace(source, reads_lists=False, event_columns=()))
    names = [feature.name for feature in plain.fitted.schema.features]
    assert names == ["user", "item", "history_item"]
    batch = batch_of(data)
    lookup = data.fitted.lookup("tags")
    for row in range(30):
        item = int(batch.features["item"][row]) - 2
        tags = TAGS[item % 5]
        expected = [1] if tags is None else lookup.rows(pa.array(tags, pa.string())).tolist()
        assert batch.features["tags"][row].tolist() == expected + [0] * (3 - len(expected))
        length = int(batch.lengths["history_item"][row])
        items = batch.features["history_item"][row, :length]
        shown = batch.features["item"].tolist()
        tags_of = dict(zip(shown, batch.features["tags"], strict=True))
        for position, each in enumerate(items.tolist()):
            if each in tags_of:
                assert torch.equal(batch.features["history_tags"][row, position], tags_of[each])
        assert not batch.features["history_tags"][row, length:].any()


def test_the_embedding_of_a_list_is_the_mean_of_its_rows(tmp_path: Path) -> None:
    data = click_data(shop(tmp_path), rare_count=1, rare_share=0.0)
    batch = batch_of(data)
    embedding = FeatureEmbedding(data.fitted, width=3, std=1.0).double()
    (history,) = embedding.separate_histories

    def mean(name: str, ids: torch.Tensor) -> torch.Tensor:
        rows = embedding.tables[name].weight[ids]
        return rows.sum(-2) / (ids != 0).sum(-1, keepdim=True).clamp(min=1)

    tags = batch.features["tags"]
    torch.testing.assert_close(embedding.columns(batch, ["tags"])[0], mean("tags", tags))
    start = 3 * history.sequences.index("history_tags")
    query, keys = embedding.query(batch), embedding.keys(batch)
    torch.testing.assert_close(query[:, start : start + 3], mean("tags", tags))
    events = mean("tags", batch.features["history_tags"])
    torch.testing.assert_close(keys[..., start : start + 3], events)
    sums = torch.cat(embedding.context(batch, with_history=True), -1)[:, -embedding.history_dim :]
    torch.testing.assert_close(sums, keys.sum(1))
    context = torch.cat(embedding.context(batch), -1)
    assert context.shape[1] == embedding.context_dim == 5 * 3


@pytest.mark.parametrize("name", CLICK)
def test_every_click_model_reads_lists(name: str, tmp_path: Path) -> None:
    data = click_data(shop(tmp_path), targets_per_history=3)
    model = net(name, data.fitted, width=4, hidden=(8,))
    training_loss(model, batch_of(data)).backward()
    for table in ("tags", "user_likes", "event_topics", "history_event_seen"):
        gradient = model.embedding.tables[table].weight.grad
        assert gradient is not None
        assert (gradient[2:] != 0).any(), table


def test_candidates_have_the_lists_of_a_next_event(tmp_path: Path) -> None:
    source = shop(tmp_path)
    fitted = click_data(source, rare_count=1, rare_share=0.0, max_len=4).fitted
    shown = Candidates(source, fitted).shown_to(3)
    log = source.interactions
    last = log.filter(pa.array(log["user_id"].to_numpy() == 3)).to_pylist()[-1]
    for item in (0, 3, 4):
        more = {**last, "item_id": item, "timestamp": 1000}
        row = pa.Table.from_pylist([more], schema=log.schema)
        longer = replace(source, interactions=pa.concat_tables([log, row]))
        part = np.zeros(longer.interactions.num_rows, dtype=np.int64)
        part[-2:] = 1, 2
        batch = batch_of(click_data(longer, Split.of(longer, part), fitted=fitted), "test")
        for name, values in batch.features.items():
            assert torch.equal(shown.features[name][item].long(), values[0].long()), name
    model = Din(fitted, DinConfig(width=4)).eval()
    assert model(shown).shape == (ITEMS,)


def test_lists_in_text_files_are_features(tmp_path: Path) -> None:
    rows = [f"{u},{(u + s) % 9},{s},{'a|b' if s % 2 else 'b'}" for u in range(20) for s in range(6)]
    (tmp_path / "interactions.csv").write_text(
        "\n".join(["user_id,item_id,timestamp,placements", *rows])
    )
    tags = ["x|y", "y", "", "z | x"]
    items = [f"{item},{tags[item % 4]}" for item in range(9)]
    (tmp_path / "items.csv").write_text("\n".join(["item_id,tags", *items]))
    (tmp_path / "schema.yaml").write_text("event:\n  placements: list\nitem:\n  tags: list\n")
    fitted = click_data(load(tmp_path)).fitted
    assert fitted.lookup("tags").keys.to_pylist() == ["x", "y", "z"]
    assert fitted.lookup("history_event_placements").keys.to_pylist() == ["a", "b"]
    assert fitted.schema.max_values("history_tags") == 2


def test_streamed_examples_have_lists(tmp_path: Path) -> None:
    features = [
        {"name": "item", "type": "categorical"},
        {"name": "tags", "type": "categorical", "max_values": 2},
        {"name": "items", "type": "sequence", "share_embedding": "item"},
        {"name": "tags_of_items", "type": "sequence", "share_embedding": "tags"},
    ]
    schema = FeatureSchema.from_dict({"features": features, "group": None})
    (tmp_path / "features.json").write_text(
        str(schema.to_dict()).replace("'", '"').replace("None", "null")
    )
    table = pa.table(
        {
            "item": [1, 2],
            "tags": [["a", "b", "c"], None],
            "items": [[], [1, 2]],
            "tags_of_items": pa.array([[], [["b"], []]], pa.list_(pa.list_(pa.string()))),
            "label": [0, 1],
        }
    )
    for part in ("train", "validation", "test"):
        pq.write_table(table, tmp_path / f"{part}.parquet")
    batch = batch_of(open_click_folder(tmp_path))
    assert batch.features["tags"].tolist() == [[2, 3], [1, 0]]
    assert batch.features["tags_of_items"].tolist() == [[[0, 0], [0, 0]], [[3, 0], [0, 0]]]
    assert batch.lengths["tags_of_items"].tolist() == [0, 2]
    pq.write_table(table.set_column(1, "tags", pa.array(["a", "b"])), tmp_path / "test.parquet")
    with pytest.raises(DataError, match="'tags' must hold lists of integers or strings, got str"):
        open_click_folder(tmp_path)
