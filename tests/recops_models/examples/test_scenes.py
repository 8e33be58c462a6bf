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
    with pytest.raises(ValueError, match="no task 'home'; there are cart, feed, search"):
        scenes.index("home")


def test_numbers_are_scenes_too() -> None:
    scenes = Scenes.of(shop([3, 1, 3]), SceneConfig("scene"))
    assert scenes.names == ("1", "3")


def test_one_scene_where_none_is_told() -> None:
    data = shop(["feed", "search"])
    scenes = Scenes.of(data, SceneConfig())
    assert len(scenes) == 1
    assert scenes.of_events(data.interactions).tolist() == [0, 0]


def test_a_column_must_be_there_and_full() -> None:
    with pytest.raises(DataError, match=r"task must be a column .* got 'place'"):
        Scenes.of(shop(["feed"]), SceneConfig("place"))
    with pytest.raises(DataError, match="shop: task scene must be told of every event"):
        Scenes.of(shop(["feed", None]), SceneConfig("scene"))
