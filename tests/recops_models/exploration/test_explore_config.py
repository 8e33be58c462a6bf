"""Settings of exploring lists, from text and from values."""

from __future__ import annotations

import pytest

from recops_models.exploration.explore_config import ExploreConfig
from recops_models.exploration.selection import Greedy, Softmax


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("epsilon=0.1", ExploreConfig(epsilon=0.1)),
        ("softmax=0.05, epsilon=.2", ExploreConfig(epsilon=0.2, softmax=0.05)),
        ("policy=age-ts,epsilon=0.1,draws=8", ExploreConfig(0.1, policy="age-ts", draws=8)),
        ("policy=model", ExploreConfig()),
        ("pool=100,softmax=1", ExploreConfig(softmax=1.0, pool=100)),
    ],
)
def test_text_and_settings_are_equal(text: str, config: ExploreConfig) -> None:
    assert ExploreConfig.of(text) == config
    assert ExploreConfig.parse(str(config)) == config


def test_values_select_among_scores() -> None:
    assert ExploreConfig.of({"epsilon": 0.5}).selection == Greedy(0.5)
    assert ExploreConfig.of({"softmax": 2}).selection == Softmax(0.0, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.1", "explore: must be settings such as epsilon=0.1 or softmax=0.05, got '0.1'"),
        ("eps=0.1", "no setting 'eps'; available: epsilon, softmax, policy, pool, draws"),
        ("epsilon=x", "setting epsilon must be float, got 'x'"),
        ("epsilon=1.5", r"epsilon must lie within \[0, 1\], got 1.5"),
        ("softmax=0", "softmax must be > 0, got 0"),
        ("policy=best", "setting policy must be one of model, greedy, ts"),
        ("pool=0", "pool must be ≥ 1, got 0"),
        ("pool=5,policy=ts", "pool applies to the model's scores, not to ts"),
    ],
)
def test_an_invalid_exploration_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        ExploreConfig.of(text)
    assert "\n" not in str(error.value)


def test_unknown_values_are_refused() -> None:
    with pytest.raises(ValueError, match="explore: no setting 'eps'"):
        ExploreConfig.of({"eps": 0.1})
    with pytest.raises(ValueError, match="setting epsilon must be float, got 'a lot'"):
        ExploreConfig.of({"epsilon": "a lot"})
