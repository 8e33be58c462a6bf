"""Co-occurrence counts, compared with a loop over all pairs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops_models.graphs.cooccurrence import NeighbourCounts, cooccurrence_counts
from synthetic_histories import histories

ROWS = st.lists(
    st.lists(st.integers(-1, 7), max_size=9).map(lambda row: np.array(row, dtype=np.int64)),
    max_size=6,
)


def expected(rows: list[np.ndarray], window: int, cap: int | None) -> Counter[tuple[int, int]]:
    """Return the counts by their definition, pair by pair."""
    total: Counter[tuple[int, int]] = Counter()
    for row in rows:
        of_user: Counter[tuple[int, int]] = Counter()
        for position, item in enumerate(row):
            for other in row[position + 1 : position + 1 + window]:
                if item != other and item >= 0 and other >= 0:
                    of_user[int(item), int(other)] += 1
                    of_user[int(other), int(item)] += 1
        for pair, count in of_user.items():
            total[pair] += count if cap is None else min(cap, count)
    return total


def as_lists(counts: NeighbourCounts) -> list[list[tuple[int, float]]]:
    bounds = zip(counts.offsets[:-1], counts.offsets[1:], strict=True)
    return [
        list(zip(counts.neighbours[a:b].tolist(), counts.counts[a:b].tolist(), strict=True))
        for a, b in bounds
    ]


@given(
    rows=ROWS,
    window=st.integers(1, 4),
    cap=st.sampled_from([None, 1, 2]),
    keep=st.sampled_from([None, 1, 3]),
    max_pairs=st.sampled_from([1, 7, 1000]),
)
def test_counts_equal_a_loop_and_ties_go_to_the_smaller_id(
    rows: list[np.ndarray], window: int, cap: int | None, keep: int | None, max_pairs: int
) -> None:
    result = cooccurrence_counts(
        histories(rows), 8, window=window, per_user_cap=cap, keep=keep, max_pairs=max_pairs
    )
    total = expected(rows, window, cap)
    for item, neighbours in enumerate(as_lists(result)):
        ranked = sorted(
            ((other, float(n)) for (first, other), n in total.items() if first == item),
            key=lambda pair: (-pair[1], pair[0]),
        )
        assert neighbours == ranked[:keep]


@pytest.mark.parametrize(("name", "limit"), [("_EVENTS", 16), ("_NUMBERS", 2 * 30 * 30)])
def test_counting_in_blocks_of_users_changes_no_count(
    name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks bound memory and keep the number of (user, pair) within 63 bits."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 30, size=rng.integers(0, 40)) for _ in range(50)]
    in_one_block = cooccurrence_counts(histories(rows), 30, window=2)
    monkeypatch.setattr(f"recops_models.graphs.cooccurrence.{name}", limit)
    in_blocks = cooccurrence_counts(histories(rows), 30, window=2)
    assert as_lists(in_blocks) == as_lists(in_one_block)


def test_a_cap_limits_the_weight_of_an_active_user() -> None:
    rows = [np.array([0, 1] * 50), np.array([0, 2]), np.array([0, 2])]
    capped = cooccurrence_counts(histories(rows), 3)
    assert as_lists(capped)[0] == [(2, 2.0), (1, 1.0)]
    every = cooccurrence_counts(histories(rows), 3, per_user_cap=None)
    assert as_lists(every)[0] == [(1, 99.0), (2, 2.0)]


def test_earlier_counts_decay() -> None:
    old = cooccurrence_counts(histories([np.array([0, 1]), np.array([0, 2])]), 3)
    new = cooccurrence_counts(histories([np.array([0, 2, 3])]), 4)
    decayed = old.then(new, decay=0.5, keep=None)
    assert as_lists(decayed) == [[(2, 1.5), (1, 0.5)], [(0, 0.5)], [(0, 1.5), (3, 1.0)], [(2, 1.0)]]
    assert as_lists(old.then(new, decay=0.5, keep=1))[0] == [(2, 1.5)]
    assert as_lists(old.then(new, decay=0, keep=None)) == as_lists(new)
    assert as_lists(new.top(1)) == [[(2, 1.0)], [], [(0, 1.0)], [(2, 1.0)]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0}, "window must be 1 or more, got 0"),
        ({"per_user_cap": 0}, "per_user_cap must be 1 or more"),
        ({"keep": 0}, "keep must be 1 or more"),
        ({"max_pairs": 0}, "max_pairs must be 1 or more"),
        ({"num_items": 0}, r"num_items must be in \[1, 2\^31\), got 0"),
        ({"num_items": 3}, r"histories hold item 3, not in \[0, 3\)"),
    ],
)
def test_bad_arguments_are_named(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cooccurrence_counts(histories([np.array([0, 3])]), **{"num_items": 9, **settings})


def test_unfit_arguments_of_then_and_top_are_refused() -> None:
    counts = cooccurrence_counts(histories([np.array([0, 1])]), 3)
    fewer = cooccurrence_counts(histories([np.array([0, 1])]), 2)
    with pytest.raises(ValueError, match="decay must lie within"):
        counts.then(counts, decay=1.5, keep=None)
    with pytest.raises(ValueError, match="later must have 3 items or more, got 2"):
        counts.then(fewer, decay=1, keep=None)
    with pytest.raises(ValueError, match="number must be 1 or more"):
        counts.top(0)


@pytest.mark.slow
def test_ten_million_events_are_counted_within_a_minute_and_a_gigabyte() -> None:
    import resource
    import time

    rng = np.random.default_rng(0)
    size, items = 10_000_000, 1_000_000
    law = np.cumsum(1 / np.arange(1, items + 1))
    lengths = np.bincount(rng.integers(0, 200_000, size), minlength=200_000)
    drawn = np.searchsorted(law, rng.random(size) * law[-1])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    from recops_models.data.histories import Histories

    events = Histories(offsets, drawn.astype(np.int64), np.arange(size))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    result = cooccurrence_counts(events, items, keep=20)
    assert time.perf_counter() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
    assert len(result) == items
