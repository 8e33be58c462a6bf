"""Replay on a uniform log, and the reader of R6B."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from recops_models.data import DataError
from recops_models.evaluation.off_policy.r6b import R6bEvent, read_r6b
from recops_models.evaluation.off_policy.replay import replay


class Shown(NamedTuple):
    shown: int
    clicked: bool


def test_replay_estimates_the_rate_of_a_policy() -> None:
    rng, rates = np.random.default_rng(0), np.array([0.1, 0.5, 0.3])
    shown = rng.integers(3, size=9000)
    log = [Shown(int(a), bool(rng.random() < rates[a])) for a in shown]
    learnt: list[Shown] = []
    result = replay(log, lambda event: 1, learnt.append)
    assert result.events == 9000
    assert result.matched == len(learnt) == (shown == 1).sum()
    assert result.clicks == sum(event.clicked for event in learnt)
    assert abs(result.rate - 0.5) < 4 * 0.5 / result.matched**0.5
    assert all(event.shown == 1 for event in learnt)
    assert np.isnan(replay(log[:0], lambda event: 0).rate)


def test_r6b_is_read(tmp_path: Path) -> None:
    text = (
        "1317513291 id-560620 0 |user 1 9 11 |id-552077 |id-560620 |id-565648\n"
        "1317513292 id-1 1 |user 1 |id-1\n"
        "1317513293 id-9 1 |user 1 |id-1\n"
    )
    plain, zipped = tmp_path / "day", tmp_path / "day.gz"
    plain.write_text(text)
    zipped.write_bytes(gzip.compress(text.encode()))
    expected = [
        R6bEvent(1317513291, 1, False, (1, 9, 11), ("id-552077", "id-560620", "id-565648")),
        R6bEvent(1317513292, 0, True, (1,), ("id-1",)),
    ]
    assert list(read_r6b([plain, zipped])) == expected * 2
    assert replay(read_r6b([plain]), lambda event: 0).clicks == 1


@pytest.mark.parametrize(
    "line", ["", "1 id-1 2 |user 1 |id-1", "x id-1 1 |user 1 |id-1", "1 2 3 4"]
)
def test_a_malformed_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "day"
    path.write_text(f"1 id-1 1 |user 1 |id-1\n{line}\n")
    with pytest.raises(DataError, match="day, line 2: not an event of R6B"):
        list(read_r6b([path]))


def test_truncated_and_undecodable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "day.gz"
    path.write_bytes(gzip.compress(b"1 id-1 1 |user 1 |id-1\n")[:-6])
    with pytest.raises(DataError, match=r"day.gz, line \d: cannot be read: Compressed file ended"):
        list(read_r6b([path]))
    path = tmp_path / "night"
    path.write_bytes(b"1 id-1 1 |user 1 |id-1\n\xff\n")
    with pytest.raises(DataError, match=r"night, line \d: cannot be read"):
        list(read_r6b([path]))
