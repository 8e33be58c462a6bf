"""Running rates beside a loop over events."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops_models.examples.running_rates import RATES, RunningRates

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.booleans()), max_size=40)
ASKED = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 40)), max_size=10)


def columns(rows: list[tuple[int, ...]]) -> list[np.ndarray]:
    return [np.array([row[place] for row in rows], dtype=np.int64) for place in range(3)]


@given(EVENTS, ASKED)
def test_they_are_what_a_loop_over_the_events_before_counts(events, asked) -> None:
    user, item, liked = columns(events)
    asked = [(u, i, min(place, len(events))) for u, i, place in asked]
    found = RunningRates(user, item, liked > 0).features(*columns(asked))
    assert set(found) == set(RATES)
    for row, (u, i, place) in enumerate(asked):
        before = events[:place]
        prior = (sum(like for *_, like in before) + 1) / (place + 2)
        for name, mine in (
            ("user", [like for v, _, like in before if v == u]),
            ("item", [like for _, j, like in before if j == i]),
        ):
            rate = (sum(mine) + 10 * prior) / (len(mine) + 10)
            assert found[f"{name}_rate"][row] == pytest.approx(rate, rel=1e-12)
            assert found[f"{name}_count"][row] == pytest.approx(math.log(1 + len(mine)), rel=1e-12)


@given(EVENTS.filter(bool), st.data())
def test_no_event_sees_its_own_label_nor_a_later_one(events, data) -> None:
    user, item, liked = columns(events)
    place = data.draw(st.integers(0, len(events) - 1))
    other = liked.copy()
    other[place:] = 1 - other[place:]
    rows = np.arange(place + 1)
    first, second = (
        RunningRates(user, item, labels > 0).features(user[rows], item[rows], rows)
        for labels in (liked, other)
    )
    for name in RATES:
        assert np.array_equal(first[name], second[name])
