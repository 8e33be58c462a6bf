from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from recops_models.data.errors import DataError
from recops_models.examples.engagement import Engagement, EngagementConfig, levels_of


def events(**columns: list[object]) -> pa.Table:
    return pa.table({"user_id": [0] * len(next(iter(columns.values()))), **columns})


@pytest.mark.parametrize(
    ("columns", "levels"),
    [
        ({"rating": [1.0, 3, 3.5, 4, 5]}, [0, 1, 1, 2, 2]),
        ({"rating": [5.0, 5, 5, 5, 5], "label": [0.0, 1, 1, 0, 1]}, [0, 1, 1, 0, 1]),
        ({"feedback": [0.0, 1, 2, 2, 0]}, [0, 1, 2, 2, 0]),
        ({"weight": [0.0, 0.5, 0, 60, 1]}, [0, 1, 0, 1, 1]),  # Bought alone, or played too.
        ({"timestamp": [1, 2, 3, 4, 5]}, [0] * 5),
    ],
)
def test_levels_come_from_the_first_column_that_tells(
    columns: dict[str, list[object]], levels: list[int]
) -> None:
    found = Engagement.of(events(**columns), EngagementConfig(), name="shop")
    assert found.level.tolist() == levels
    assert found.weight.tolist() == [1.0] * 5
    assert found.reward.tolist() == ([1.0] * 5 if found.levels == 1 else [*map(float, levels)])
    equal = Engagement.of(events(**columns), EngagementConfig(engagement=None), name="shop")
    assert equal.level.tolist() == [0] * 5
    assert equal.reward.tolist() == [1] * 5
    assert equal.levels == 1


def test_weights_by_level_and_amount() -> None:
    table = events(stars=[1.0, 2, 3], paid=[0.0, 0, np.e - 1])
    config = EngagementConfig("stars", level_edges=(2, 3), level_weights=(0, 1, 4), value="paid")
    found = Engagement.of(table, config, name="shop")
    np.testing.assert_allclose(found.weight, np.array([0, 1, 8]) / 3)
    np.testing.assert_allclose(found.reward, [0, 1, 4])
    assert found.levels == 3
    assert found.weight.dtype == found.reward.dtype == np.float32


def test_amounts_alone_are_rewards() -> None:
    table = events(timestamp=[1, 2], paid=[0.0, np.e - 1])
    found = Engagement.of(table, EngagementConfig(value="paid"), name="shop")
    np.testing.assert_allclose(found.reward, [1, 2])


def test_levels_need_no_weight_among_the_events_at_hand() -> None:
    config = EngagementConfig(level_weights=(0, 0, 1))
    level, levels = levels_of(events(rating=[1.0, 3]), config, name="shop")
    assert level.tolist() == [0, 1]
    assert levels == 3


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        (EngagementConfig("plays"), DataError, "shop: engagement must be a column .* got 'plays'"),
        (EngagementConfig("paid"), DataError, "level_edges must be given, as nothing is known of"),
        (EngagementConfig("name", (1.0,)), DataError, "name must hold finite numbers alone"),
        (EngagementConfig(value="debt"), DataError, "value must be 0 or more, debt holds -1"),
        (EngagementConfig(value="no"), DataError, "value must be a column .* got 'no'"),
        (EngagementConfig(level_edges=(4, 3)), ValueError, "level_edges must ascend, got 4, 3"),
        (EngagementConfig(level_weights=(1.0,)), ValueError, "level_weights must be 3, one more"),
        (EngagementConfig(level_weights=(1, -1, 1)), ValueError, "must be 0 or more.* got 1, -1"),
        (EngagementConfig(level_weights=(0, 0, 0)), ValueError, "and one of them more, got 0, 0"),
        (EngagementConfig(level_weights=(0, 1, 0)), ValueError, "must not be 0 for all events"),
    ],
)
def test_unfit_settings_are_refused_by_name(
    config: EngagementConfig, error: type[Exception], said: str
) -> None:
    table = events(rating=[1.0, 5], paid=[1.0, 2], debt=[-1.0, 2], name=["x", "y"])
    with pytest.raises(error, match=said):
        Engagement.of(table, config, name="shop")


def test_edges_without_a_column_are_refused() -> None:
    config = EngagementConfig(level_edges=(4,), level_weights=(1, 2))
    with pytest.raises(DataError, match="shop: level_edges must have a column that they cut"):
        Engagement.of(events(paid=[1.0, 2]), config, name="shop")
