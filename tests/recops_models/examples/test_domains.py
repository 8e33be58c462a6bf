"""Split by domain and time, labels of tasks, and time slices."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recops_models.data import Dataset
from recops_models.data.errors import DataError
from recops_models.data.report import ImportReport
from recops_models.examples.batch import task_feature
from recops_models.examples.click import click_data
from recops_models.examples.domains import DOMAIN_ID, DomainConfig, Domains, slices_of
from recops_models.examples.events import Events
from recops_models.examples.feedback import feedback_of
from recops_models.examples.lookup import UNKNOWN
from recops_models.examples.maker import ExampleMaker
from recops_models.examples.task_maker import DOMAIN, TaskMaker
from recops_models.examples.tasks import event_column, further_labels
from recops_models.recipes.knowledge_task import KnowledgeTask
from recops_models.training.example_config import ExampleConfig

KINDS = [["toys", "games"], ["games"], None, ["books"], []]


def shop(time: Any = "seconds", more: int = 0, **columns: Any) -> Dataset:
    """Return 200 events of 10 users on 5 items with lists of ``kinds`` and ``more`` without."""
    rng = np.random.default_rng(0)
    table = {
        "user_id": rng.integers(10, size=200),
        "item_id": rng.integers(5 + more, size=200),
        "timestamp": np.sort(rng.integers(1000, size=200)),
        **columns,
    }
    shelves = ["a", "b", "a", "b", "a", *["a"] * more]
    items = {"item_id": np.arange(5 + more), "kinds": [*KINDS, *[[]] * more], "shelf": shelves}
    people = pa.table({"user_id": np.arange(10)})
    return Dataset("shop", pa.table(table), pa.table(items), people, ImportReport("here"), time)


def test_a_cut_at_one_time() -> None:
    data = shop()
    cut = Domains.of(data, DomainConfig(domain_column="kinds", domain="games", until=0.5))
    times, items = (data.interactions[name].to_numpy() for name in ("timestamp", "item_id"))
    assert (cut.inside == np.isin(items, [0, 1])).all()
    first = times[100]
    assert (cut.before == (times < first)).all()
    small = cut.small_domain()
    assert small.dataset.items["item_id"].to_pylist() == [0, 1]
    parts = [small.context, small.train, small.validation, small.test]
    assert sum(table.num_rows for table in parts) == cut.inside.sum()
    bounds = [(t["timestamp"].to_numpy().min(), t["timestamp"].to_numpy().max()) for t in parts]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(bounds))
    seen = cut.super_domain()
    assert seen.dataset.interactions["timestamp"].to_numpy().max() < first <= bounds[1][0]
    assert seen.dataset.interactions.num_rows == cut.before.sum()
    assert seen.dataset.items.num_rows == 5


def test_a_cut_by_each_users_order() -> None:
    data = shop("none")
    config = DomainConfig(until=0.5, cut="order")
    cut = Domains.of(data, config)
    users = data.interactions["user_id"].to_numpy()
    for user in range(10):
        mine = cut.before[users == user]
        assert mine.sum() == np.round(0.5 * len(mine))
        assert (np.diff(mine.astype(int)) <= 0).all(), "the first events"
    small = cut.small_domain()
    assert small.test.num_rows == small.validation.num_rows == 10
    with pytest.raises(DataError, match=r"shop: cut=clock needs times.*cut=order takes each user"):
        Domains.of(data, DomainConfig(until=0.5))


def test_domains_of_events_and_of_items() -> None:
    data = shop(domain=pa.array(["ads", "feed"] * 100))
    cut = Domains.of(data, DomainConfig(domain_column="domain", domain="ads", until=0.5))
    assert (cut.inside == (np.arange(200) % 2 == 0)).all()
    assert sorted(cut.names) == ["ads", "feed"]
    events = cut.super_domain().dataset.interactions
    names = [cut.names[index] for index in events[DOMAIN_ID].to_pylist()]
    assert names == events["domain"].to_pylist()
    cut = Domains.of(data, DomainConfig(domain_column="kinds", until=0.5))
    assert cut.inside.all()
    events = cut.super_domain().dataset.interactions
    names = [cut.names[index] for index in events[DOMAIN_ID].to_pylist()]
    first = ["toys", "games", "", "books", ""]
    assert names == [first[item] for item in events["item_id"].to_pylist()]
    cut = Domains.of(data, DomainConfig(domain_column="shelf", domain="b", until=0.5))
    assert (cut.inside == (data.interactions["item_id"].to_numpy() % 2 == 1)).all()
    assert Domains.of(data, DomainConfig(until=0.5)).names == ("",)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"until": -0.1}, ValueError, r"domains: until must lie within \[0, 1\), got -0.1"),
        ({"until": 1.0}, ValueError, "until must lie within"),
        ({"domain": "games"}, DataError, "shop: domain=games needs a domain_column"),
        (
            {"domain_column": "colour", "domain": "red"},
            DataError,
            "have a column 'colour'; available",
        ),
        (
            {"domain_column": "kinds", "domain": "x"},
            DataError,
            "column kinds never has the value 'x'",
        ),
    ],
)
def test_invalid_settings_are_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Domains.of(shop(), DomainConfig(**changes))


def test_a_cut_without_events_on_one_side_is_refused() -> None:
    domains = Domains.of(shop(), DomainConfig(until=0.0))
    small = domains.small_domain()
    assert small.context.num_rows == 0
    assert small.train.num_rows + small.validation.num_rows + small.test.num_rows == 200
    with pytest.raises(DataError, match="shop: no event before until=0, from which knowledge"):
        domains.super_domain()
    early = pa.array(["ads"] * 50 + ["feed"] * 150)
    with pytest.raises(DataError, match=r"no event of the small domain after until=0\.5"):
        Domains.of(
            shop(domain=early), DomainConfig(domain_column="domain", domain="ads", until=0.5)
        )


def test_task_labels_belong_to_their_events() -> None:
    rng = np.random.default_rng(1)
    feedback = rng.integers(3, size=200).astype(np.float32)
    weight = rng.random(200).astype(np.float32)
    domain = pa.array(["ads", "feed"] * 100)
    data = shop(more=95, feedback=feedback, weight=weight, domain=domain)
    domains = DomainConfig(domain_column="domain", until=0.8)
    task = KnowledgeTask(data, domains, ExampleConfig())
    assert task.tasks == ("click", "kept", "heavy")
    (batch,) = task.data.train.batches(1000, seed=None)
    train = task.source.train
    labels = {name: batch.features[task_feature(name)].numpy() > 0 for name in task.tasks[1:]}
    assert (labels["kept"] == (train["feedback"].to_numpy() > 0)).all()
    assert (labels["heavy"] == (train["weight"].to_numpy() > np.median(train["weight"]))).all()
    assert (batch.features[DOMAIN].numpy() == train[DOMAIN_ID].to_numpy()).all()
    assert ((batch.label.numpy() == 1) <= labels["kept"]).all()
    # Negatives have label 0 in every task. If events have domains, negatives get the event's.
    implicit = ExampleConfig(feedback="implicit", negatives=1)
    task = KnowledgeTask(data, domains, implicit)
    assert task.tasks == ("click", "heavy")
    (batch,) = task.data.validation.batches(1000, seed=None)
    heavy = batch.features[task_feature("heavy")].numpy()
    assert (heavy[batch.label.numpy() == 0] == 0).all()
    assert heavy.sum() > 0
    pairs = batch.features[DOMAIN].numpy().reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()


def labels_of(data: Dataset, **settings: Any) -> dict[str, Any]:
    """Return task → labels of the training part."""
    config = DomainConfig(until=0.8, **settings)
    split = Domains.of(data, config).super_domain()
    events = Events.of(split, feedback_of(split.dataset), positive=4.0)
    labels = further_labels(split, events, config.task_labels, config.task_value)
    return {task: values[events.part(0)] for task, values in labels.items()}


def test_labels_come_from_named_columns() -> None:
    rng = np.random.default_rng(1)
    bought, price = rng.integers(3, size=200), rng.random(200)
    data = shop(more=95, bought=bought, price=price, opened=bought == 0)
    train = Domains.of(data, DomainConfig(until=0.8)).super_domain().train
    labels = labels_of(data, task_labels=("bought", "opened"))
    assert list(labels) == ["bought", "opened"]
    assert (labels["bought"] == (train["bought"].to_numpy() > 0)).all()
    assert (labels["opened"] == (train["bought"].to_numpy() == 0)).all()
    both = labels_of(data, task_labels=("auto", "bought"), task_value="price")
    assert list(both) == ["heavy", "bought"]
    assert (both["heavy"] == (train["price"].to_numpy() > np.median(train["price"]))).all()
    assert labels_of(shop(more=95, weight=price), task_value=None) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task_labels": ("sold",)}, "task_labels must name columns .*, got 'sold'; available"),
        ({"task_labels": ("word",)}, "task_labels must name columns of finite numbers, got word"),
        ({"task_labels": ("never",)}, "task_labels must be above 0 .* event; never is not"),
        ({"task_labels": ("bought", "bought")}, "task_labels must differ, got bought twice"),
        ({"task_value": "sold"}, "task_value must name columns of the interactions, got 'sold'"),
    ],
)
def test_unsuitable_columns_of_tasks_are_refused(settings: dict[str, Any], message: str) -> None:
    columns = {"bought": np.ones(200), "never": np.zeros(200), "word": ["a"] * 200}
    with pytest.raises(DataError, match=message):
        labels_of(shop(more=95, **columns), **settings)


def test_columns_of_a_source_may_have_any_name() -> None:
    """Columns of the source do not clash with those that a cut adds."""
    rows = np.arange(200)
    data = shop(event=rows % 3, domain_id=rows % 2)
    cut = Domains.of(data, DomainConfig(until=0.5))
    assert cut.small_domain().train.num_rows
    train = cut.super_domain().train
    assert train["event"].to_pylist() == (rows % 3).tolist()[: train.num_rows]
    assert train[DOMAIN_ID].to_pylist() == [0] * train.num_rows


@pytest.mark.parametrize("column", ["kinds", "shelf"])
def test_negatives_have_the_domain_of_their_item(column: str) -> None:
    examples = ExampleConfig(feedback="implicit", rare_count=1, rare_share=0.0)
    domains = DomainConfig(domain_column=column, until=0.8)
    task = KnowledgeTask(shop(more=95), domains, examples)
    data, names, items = task.data, task.cut.names, task.source.dataset.items
    rows = data.fitted.lookup("item").rows(items["item_id"].to_numpy()).tolist()
    firsts = [
        value if column == "shelf" else next(iter(value or ()), "")
        for value in items[column].to_pylist()
    ]
    domain_of = {row: first for row, first in zip(rows, firsts, strict=True) if row > UNKNOWN}
    for part in (data.train, data.validation, data.test):
        (batch,) = part.batches(1000, seed=0)
        columns = (batch.features["item"], batch.features[DOMAIN], batch.label)
        triples = zip(*(values.tolist() for values in columns), strict=True)
        known = [triple for triple in triples if triple[0] in domain_of]
        assert {label for *_, label in known} == {0.0, 1.0}
        assert all(names[domain] == domain_of[item] for item, domain, _ in known)


def test_a_domain_without_events_has_no_index() -> None:
    data = shop(more=1, label=np.ones(200, dtype=np.float32))
    kinds = pa.array([*KINDS, ["hats"]])
    index = data.items.column_names.index("kinds")
    data = dataclasses.replace(data, items=data.items.set_column(index, "kinds", kinds))
    events = data.interactions.filter(pa.array(data.interactions["item_id"].to_numpy() < 5))
    data = dataclasses.replace(data, interactions=events)
    cut = Domains.of(data, DomainConfig(domain_column="kinds", until=0.8))
    assert cut.item_domains is not None
    names = [cut.names[index] if index >= 0 else None for index in cut.item_domains.tolist()]
    assert names == ["toys", "games", "", "books", "", None]
    assert Domains.of(data, DomainConfig(until=0.8)).item_domains is None
    split = cut.super_domain()
    fitted = click_data(split.dataset, split).fitted
    domain = event_column(split, DOMAIN_ID)
    maker = TaskMaker(
        Events.of(split, "implicit", 4.0), fitted, {}, domain, item_domains=cut.item_domains
    )
    rows = np.arange(20)
    block = maker.block(rows, np.full(20, 5), np.zeros(20, dtype=np.float32))
    # Examples with an item of such a domain have the event's domain.
    assert (block.batch(rows).features[DOMAIN].numpy() == domain[rows]).all()


def test_slices_are_the_training_part_in_order() -> None:
    small = Domains.of(shop(), DomainConfig(until=0.5)).small_domain()
    pieces = slices_of(small, 7)
    assert pa.concat_tables([piece.train for piece in pieces]) == small.train
    sizes = [piece.train.num_rows for piece in pieces]
    assert max(sizes) - min(sizes) <= 1
    for piece in pieces:
        before = small.context.num_rows + sum(sizes[: pieces.index(piece)])
        assert piece.context.num_rows == before
        assert piece.test is small.test
    for number in (0, small.train.num_rows + 1):
        with pytest.raises(ValueError, match="slices_of: number must be 1 to"):
            slices_of(small, number)


def test_examples_after_all_events() -> None:
    data = shop(label=np.ones(200, dtype=np.float32))
    split = Domains.of(data, DomainConfig(until=0.5)).super_domain()
    fitted = click_data(split.dataset, split, max_len=3).fitted
    events = Events.of(split, "explicit", positive=4.0)
    maker = ExampleMaker(events, fitted)
    block = maker.after_all_events(np.arange(10), np.zeros(10, dtype=np.int64))
    batch = block.batch(np.arange(10))
    users, items = (split.dataset.interactions[name].to_numpy() for name in ("user_id", "item_id"))
    for user in range(10):
        mine = items[users == user][-3:]
        length = int(batch.lengths["history_item"][user])
        assert length == len(mine)
        rows = fitted.lookup("item").rows(mine)
        assert batch.features["history_item"][user, :length].tolist() == rows.tolist()
