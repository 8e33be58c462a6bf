"""Sampled negatives: exclusion of positives, distribution, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from recops_models.data import DataError
from recops_models.examples.negatives import Law, sample_negatives
from synthetic_histories import histories

NUM_ITEMS = 12
ROWS = st.lists(st.lists(st.integers(-1, NUM_ITEMS - 1), max_size=20), min_size=1, max_size=6)


@pytest.mark.parametrize("law", ["uniform", "popularity"])
@given(positive=ROWS, excluded=ROWS, seed=st.integers(0, 9))
def test_a_negative_is_neither_positive_nor_excluded(
    law: Law, positive: list[list[int]], excluded: list[list[int]], seed: int
) -> None:
    users = len(positive)
    excluded = (excluded * users)[:users]
    with_events = {item for row in positive for item in row if item >= 0}
    pool = with_events if law == "popularity" else set(range(NUM_ITEMS))
    allowed = [pool - set(p) - set(x) for p, x in zip(positive, excluded, strict=True)]
    counts = np.array([3 * (len(items) > 0) * (user + 1) for user, items in enumerate(allowed)])
    rows, exclude = (
        histories([np.array(row, dtype=np.int64) for row in side]) for side in (positive, excluded)
    )
    drawn = sample_negatives(rows, NUM_ITEMS, counts, law=law, seed=seed, exclude=exclude)
    assert drawn.dtype == np.int64
    for user, items in enumerate(np.split(drawn, np.cumsum(counts)[:-1])):
        assert len(items) == counts[user]
        assert set(items.tolist()) <= allowed[user]


@pytest.mark.parametrize(("law", "power"), [("uniform", 1.0), ("popularity", 0.75)])
def test_negatives_follow_the_conditional_distribution(law: Law, power: float) -> None:
    rng = np.random.default_rng(3)
    occurrences = np.array([1, 2, 4, 8, 16, 32, 64, 0, 3, 90])
    everything = rng.permutation(np.repeat(np.arange(10), occurrences))
    rows = histories([np.array([2, 6, 2, 9]), np.array([0]), everything[:30], everything[30:]])
    total = np.bincount(rows.items, minlength=10)
    weight = np.ones(10) if law == "uniform" else np.where(total, total.astype(float) ** power, 0)
    draws = 100_000
    drawn = sample_negatives(
        rows, 10, np.array([draws, draws, 0, 0]), law=law, power=power, seed=5
    ).reshape(2, draws)
    for user, positives in enumerate(([2, 6, 9], [0])):
        expected = weight.copy()
        expected[positives] = 0
        expected *= draws / expected.sum()
        counts = np.bincount(drawn[user], minlength=10)
        assert not counts[expected == 0].any()
        assert chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 0.001


def test_one_item_left_among_many_is_found() -> None:
    positives = np.delete(np.arange(100_000), 77_777)
    drawn = sample_negatives(histories([positives]), 100_000, np.array([50]), seed=0)
    assert (drawn == 77_777).all()


def test_a_seed_determines_the_sample() -> None:
    rows = histories([np.arange(3), np.arange(2)])
    first, again, other = (
        sample_negatives(rows, 1000, np.array([40, 60]), seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_user_with_events_on_every_item_is_named() -> None:
    rows = histories([np.array([0]), np.arange(4)])
    assert sample_negatives(rows, 4, np.array([2, 0]), seed=0).shape == (2,)
    with pytest.raises(DataError, match="no item is left for 1 users, such as user 1: every item "):
        sample_negatives(rows, 4, np.array([2, 1]), seed=0)
    with pytest.raises(DataError, match="every item with events is"):
        sample_negatives(rows, 9, np.array([2, 1]), law="popularity", seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_items": 0}, "num_items must be positive, got 0"),
        ({"num_items": 3}, r"items of positives must be in \[0, 3\), got 4"),
        ({"counts": np.array([1, 2])}, r"counts must be \[1\], one per user, got \[2\]"),
        ({"counts": np.array([-1])}, "counts must not be negative"),
        ({"power": float("nan")}, "power must be finite"),
        ({"exclude": histories([])}, "exclude must have 1 users, got 0"),
        ({"law": "zipf"}, "law must be 'uniform' or 'popularity', got 'zipf'"),
    ],
)
def test_bad_arguments_are_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "positives": histories([np.array([4])]),
        "num_items": 9,
        "counts": np.array([1]),
        "seed": 0,
    }
    with pytest.raises(ValueError, match=f"sample_negatives: {message}"):
        sample_negatives(**{**arguments, **change})  # type: ignore[arg-type]
