"""Running rates, compared with a loop over events."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops_models.examples.running_rates import RATES, RunningRates

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.booleans()), max_size=40)
QUERIES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 40)), max_size=10)


def columns(rows: list[tuple[int, ...]]) -> list[np.ndarray]:
    return [np.array([row[index] for row in rows], dtype=np.int64) for index in range(3)]


@given(EVENTS, QUERIES)
def test_running_rates_equal_a_loop_over_earlier_events(events, queries) -> None:
    user, item, liked = columns(events)
    queries = [(u, i, min(rank, len(events))) for u, i, rank in queries]
    features = RunningRates(user, item, liked > 0).features(*columns(queries))
    assert set(features) == set(RATES)
    for row, (u, i, rank) in enumerate(queries):
        before = events[:rank]
        prior = (sum(like for *_, like in before) + 1) / (rank + 2)
        for name, mine in (
            ("user", [like for v, _, like in before if v == u]),
            ("item", [like for _, j, like in before if j == i]),
        ):
            rate = (sum(mine) + 10 * prior) / (len(mine) + 10)
            count = math.log(1 + len(mine))
            assert features[f"{name}_rate"][row] == pytest.approx(rate, rel=1e-12)
            assert features[f"{name}_count"][row] == pytest.approx(count, rel=1e-12)


@given(EVENTS.filter(bool), st.data())
def test_running_rates_depend_on_earlier_labels_only(events, data) -> None:
    user, item, liked = columns(events)
    rank = data.draw(st.integers(0, len(events) - 1))
    other = liked.copy()
    other[rank:] = 1 - other[rank:]
    rows = np.arange(rank + 1)
    first, second = (
        RunningRates(user, item, labels > 0).features(user[rows], item[rows], rows)
        for labels in (liked, other)
    )
    for name in RATES:
        assert np.array_equal(first[name], second[name])
