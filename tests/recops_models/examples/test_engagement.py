"""Engagement of events: levels, weights and rewards."""

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
        ({"weight": [0.0, 0.5, 0, 60, 1]}, [0, 1, 0, 1, 1]),  # Only bought, or also played.
        ({"timestamp": [1, 2, 3, 4, 5]}, [0] * 5),
    ],
)
def test_levels_come_from_the_first_existing_column(
    columns: dict[str, list[object]], levels: list[int]
) -> None:
    engagement = Engagement.of(events(**columns), EngagementConfig(), name="shop")
    rewards = [1.0] * 5 if engagement.levels == 1 else [*map(float, levels)]
    assert engagement.level.tolist() == levels
    assert engagement.weight.tolist() == [1.0] * 5
    assert engagement.reward.tolist() == rewards
    equal = Engagement.of(events(**columns), EngagementConfig(engagement=None), name="shop")
    assert equal.level.tolist() == [0] * 5
    assert equal.reward.tolist() == [1] * 5
    assert equal.levels == 1


def test_weights_by_level_and_amount() -> None:
    table = events(stars=[1.0, 2, 3], paid=[0.0, 0, np.e - 1])
    config = EngagementConfig("stars", level_edges=(2, 3), level_weights=(0, 1, 4), value="paid")
    engagement = Engagement.of(table, config, name="shop")
    np.testing.assert_allclose(engagement.weight, np.array([0, 1, 8]) / 3)
    np.testing.assert_allclose(engagement.reward, [0, 1, 4])
    assert engagement.levels == 3
    assert engagement.weight.dtype == engagement.reward.dtype == np.float32


def test_rewards_come_from_amounts_without_levels() -> None:
    table = events(timestamp=[1, 2], paid=[0.0, np.e - 1])
    engagement = Engagement.of(table, EngagementConfig(value="paid"), name="shop")
    np.testing.assert_allclose(engagement.reward, [1, 2])


def test_levels_do_not_depend_on_weights() -> None:
    config = EngagementConfig(level_weights=(0, 0, 1))
    level, levels = levels_of(events(rating=[1.0, 3]), config, name="shop")
    assert level.tolist() == [0, 1]
    assert levels == 3


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (EngagementConfig("plays"), DataError, "shop: engagement must be a column .* got 'plays'"),
        (EngagementConfig("paid"), DataError, "level_edges must be given, as paid has no"),
        (EngagementConfig("name", (1.0,)), DataError, "name must hold only finite numbers"),
        (EngagementConfig(value="debt"), DataError, "value must be 0 or more, got -1 in debt"),
        (EngagementConfig(value="no"), DataError, "value must be a column .* got 'no'"),
        (EngagementConfig(level_edges=(4, 3)), ValueError, "level_edges must ascend, got 4, 3"),
        (EngagementConfig(level_weights=(1.0,)), ValueError, "level_weights must be 3, one more"),
        (EngagementConfig(level_weights=(1, -1, 1)), ValueError, "must be 0 or more.* got 1, -1"),
        (EngagementConfig(level_weights=(0, 0, 0)), ValueError, "at least one above 0, got 0, 0"),
        (EngagementConfig(level_weights=(0, 1, 0)), ValueError, "above 0 for at least one event"),
    ],
)
def test_unsuitable_settings_are_refused_by_name(
    config: EngagementConfig, error: type[Exception], message: str
) -> None:
    table = events(rating=[1.0, 5], paid=[1.0, 2], debt=[-1.0, 2], name=["x", "y"])
    with pytest.raises(error, match=message):
        Engagement.of(table, config, name="shop")


def test_edges_without_a_column_are_refused() -> None:
    config = EngagementConfig(level_edges=(4,), level_weights=(1, 2))
    with pytest.raises(DataError, match="shop: level_edges need a column: set engagement"):
        Engagement.of(events(paid=[1.0, 2]), config, name="shop")
