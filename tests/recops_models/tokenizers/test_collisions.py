"""Resolution of collisions by a suffix level, and by next-best candidates under a capacity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recops_models.tokenizers.collisions import resolve_collisions


def most_on_one(codes: NDArray[np.integer]) -> int:
    return int(np.unique(codes, axis=0, return_counts=True)[1].max(initial=0))


@settings(max_examples=40)
@given(
    n=st.integers(0, 60),
    levels=st.integers(1, 4),
    size=st.integers(1, 5),
    capacity=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_the_suffix_counts_items_that_share_an_id(
    n: int, levels: int, size: int, capacity: int, seed: int
) -> None:
    codes = np.random.default_rng(seed).integers(0, size, (n, levels)).astype(np.int32)
    resolved, fits = resolve_collisions(codes, capacity=capacity)
    assert resolved.dtype == np.int32
    assert fits.all()
    assert most_on_one(resolved) <= capacity
    counts: dict[tuple[int, ...], int] = {}
    for row, sid in zip(resolved.tolist(), map(tuple, codes.tolist()), strict=True):
        assert row == [*sid, counts.get(sid, 0) // capacity]
        counts[sid] = counts.get(sid, 0) + 1


def choose_in_a_loop(
    codes: NDArray[np.integer], errors: NDArray[np.floating], capacity: int
) -> tuple[list[list[int]], list[bool]]:
    """Return the IDs and whether they fit, by a loop over rounds and items."""
    items, beams, _ = codes.shape
    chosen: dict[int, int] = {}
    load: dict[tuple[int, ...], int] = {}
    for beam in range(beams):
        asking = [n for n in range(items) if n not in chosen and codes[n, beam, 0] >= 0]
        if beam + 1 < beams:
            loss = [
                errors[n, beam + 1] - errors[n, beam] if codes[n, beam + 1, 0] >= 0 else np.inf
                for n in range(items)
            ]
            asking.sort(key=lambda n: -loss[n])
        for n in asking:
            sid = tuple(codes[n, beam].tolist())
            if load.get(sid, 0) < capacity:
                load[sid] = load.get(sid, 0) + 1
                chosen[n] = beam
    return [codes[n, chosen.get(n, 0)].tolist() for n in range(items)], [
        n in chosen for n in range(items)
    ]


@settings(max_examples=60)
@given(
    n=st.integers(0, 40),
    beams=st.integers(1, 5),
    levels=st.integers(1, 3),
    size=st.sampled_from([2, 4, 2**30]),
    capacity=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_candidates_under_a_capacity(
    n: int, beams: int, levels: int, size: int, capacity: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.choice(rng.integers(0, size, 3), (n, beams, levels))
    codes[rng.random((n, beams)) < 0.1] = -1
    codes[:, 0] = np.maximum(codes[:, 0], 0)
    errors = np.sort(rng.integers(0, 9, (n, beams)).astype(np.float32), axis=1)
    resolved, fits = resolve_collisions(codes, errors=errors, capacity=capacity)
    expected, expected_fits = choose_in_a_loop(codes, errors, capacity)
    assert resolved.tolist() == expected
    assert fits.tolist() == expected_fits
    assert most_on_one(resolved[fits]) <= capacity


def test_items_with_the_largest_loss_keep_their_best_candidate() -> None:
    codes = np.array([[[0], [1]], [[0], [2]], [[0], [3]]])
    errors = np.array([[1.0, 2.0], [1.0, 9.0], [1.0, 3.0]])
    resolved, fits = resolve_collisions(codes, errors=errors)
    assert resolved[:, 0].tolist() == [1, 0, 3]
    assert fits.all()
    by_row, _ = resolve_collisions(codes)
    assert by_row[:, 0].tolist() == [0, 2, 3]


def test_invalid_arguments_are_errors() -> None:
    codes = np.zeros((3, 2), np.int64)
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        resolve_collisions(codes, capacity=0)
    with pytest.raises(ValueError, match=r"codes must be \[N, L\] or \[N, B, L\], got \[3\]"):
        resolve_collisions(codes[:, 0])
    with pytest.raises(ValueError, match=r"errors must be \[3, 2\].*got \[3, 1\]"):
        resolve_collisions(np.zeros((3, 2, 2), int), errors=np.zeros((3, 1)))
    codes[1, 1] = -1
    with pytest.raises(ValueError, match="candidate of item 1 must have codes from 0, got -1"):
        resolve_collisions(codes)
