"""Tasks of events: scenes, objectives and their combinations."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.report import ImportReport
from recops_models.examples.scenes import SceneConfig, Scenes


def shop(scene: list[object]) -> Dataset:
    count = np.arange(len(scene))
    events = {"user_id": count, "item_id": count, "timestamp": count, "scene": scene}
    ids = pa.table({"item_id": count}), pa.table({"user_id": count})
    return Dataset("shop", pa.table(events), *ids, ImportReport("here"))


def test_scenes_are_numbered_by_name() -> None:
    data = shop(["feed", "search", "feed", "cart"])
    scenes = Scenes.of(data, SceneConfig("scene"))
    assert scenes.names == ("cart", "feed", "search")
    assert scenes.of_events(data.interactions).tolist() == [1, 2, 1, 0]
    assert scenes.index("search") == 2
    with pytest.raises(ValueError, match="no task 'home'; available: cart, feed, search"):
        scenes.index("home")


def test_numbers_are_scenes_too() -> None:
    scenes = Scenes.of(shop([3, 1, 3]), SceneConfig("scene"))
    assert scenes.names == ("1", "3")


def test_without_a_column_there_is_one_scene() -> None:
    data = shop(["feed", "search"])
    scenes = Scenes.of(data, SceneConfig())
    assert len(scenes) == 1
    assert scenes.of_events(data.interactions).tolist() == [0, 0]


def test_a_column_of_scenes_must_exist_without_nulls() -> None:
    with pytest.raises(DataError, match=r"task must be a column .* got 'place'"):
        Scenes.of(shop(["feed"]), SceneConfig("place"))
    with pytest.raises(DataError, match="shop: task scene must have a value for every event"):
        Scenes.of(shop(["feed", None]), SceneConfig("scene"))


def events_of(**columns: list[object]) -> Dataset:
    """Return a data set whose interactions have the given columns."""
    plain = shop(next(iter(columns.values())))
    table = plain.interactions.drop_columns(["scene"])
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return Dataset("shop", table, plain.items, plain.users, plain.report)


def test_objectives_are_numbered_by_name() -> None:
    data = events_of(kind=["click", "buy", "click"])
    tasks = Scenes.of(data, SceneConfig(objective="kind"))
    assert tasks.names == ("buy", "click")
    assert (tasks.num_objectives, tasks.num_scenes) == (2, 1)
    assert tasks.of_events(data.interactions).tolist() == [1, 0, 1]
    assert tasks.index("click") == 1
    assert tasks.columns() == {"objective kind": ("buy", "click")}


def test_a_task_is_an_objective_in_a_scene() -> None:
    data = events_of(kind=["click", "buy", "click"], scene=["feed", "feed", "search"])
    tasks = Scenes.of(data, SceneConfig("scene", "kind"))
    assert tasks.names == ("buy/feed", "buy/search", "click/feed", "click/search")
    assert len(tasks) == 4
    assert tasks.of_events(data.interactions).tolist() == [2, 0, 3]
    with pytest.raises(ValueError, match="no task 'buy'; available: buy/feed"):
        tasks.index("buy")


def test_a_column_of_objectives_must_exist_without_nulls() -> None:
    with pytest.raises(DataError, match=r"objective must be a column .* got 'kind'"):
        Scenes.of(shop(["feed"]), SceneConfig(objective="kind"))
    with pytest.raises(DataError, match="shop: objective kind must have a value for every event"):
        Scenes.of(events_of(kind=["buy", None]), SceneConfig(objective="kind"))
