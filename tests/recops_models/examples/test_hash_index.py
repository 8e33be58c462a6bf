"""The hash index returns the positions of ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops_models.examples.hash_index import HashIndex

IDS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.one_of(IDS, st.integers(0, 9)), unique=True), st.lists(st.integers(0, 12)))
def test_any_ids(ids: list[int], others: list[int]) -> None:
    queries = np.array([*others, *ids, *ids[:3]], dtype=np.int64)
    position_of = {number: position for position, number in enumerate(ids)}
    positions = HashIndex(np.array(ids, dtype=np.int64)).find(queries)
    assert positions.tolist() == [position_of.get(number, -1) for number in queries.tolist()]


@pytest.mark.parametrize("step", [1, 3, 1000, 2**20, 2**32 + 1])
def test_regular_ids(step: int) -> None:
    ids = np.arange(50_000) * step
    index = HashIndex(ids)
    assert (index.find(ids[::-1]) == np.arange(50_000)[::-1]).all()
    assert (index.find(ids + 1) == (np.arange(50_000) + 1 if step == 1 else -1))[:-1].all()
