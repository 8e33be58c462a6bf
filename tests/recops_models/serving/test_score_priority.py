"""Scores have priority over writing for a bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from centers import events_of
from recops_models.data import Dataset
from recops_models.serving.center import Center
from recops_models.serving.http.score_priority import ScorePriority


def test_a_writer_waits_for_every_score() -> None:
    scores = ScorePriority()
    has_written = threading.Event()

    def write() -> None:
        scores.yield_point(30)()
        has_written.set()

    with scores.scoring():
        with scores.scoring():
            writer = threading.Thread(target=write)
            writer.start()
            assert not has_written.wait(0.05)
        assert not has_written.wait(0.05)  # One score is still running.
    assert has_written.wait(30)
    writer.join()


def test_a_failed_score_does_not_block_a_writer() -> None:
    scores = ScorePriority()
    with pytest.raises(ZeroDivisionError), scores.scoring():
        raise ZeroDivisionError
    start = time.perf_counter()
    scores.yield_point(30)()
    assert time.perf_counter() - start < 10


def test_scores_without_end_do_not_stop_a_writer() -> None:
    scores = ScorePriority()
    yield_point = scores.yield_point(0.1)
    with scores.scoring():
        start = time.perf_counter()
        for _ in range(1000):
            yield_point()
        assert 0.1 <= time.perf_counter() - start < 30


def test_a_commit_yields_twice_per_event_and_per_user(
    trained: Callable[..., Path], small: Dataset, tmp_path: Path
) -> None:
    events: list[dict[str, Any]] = events_of(small)[:60]
    calls = [0]

    def yield_point() -> None:
        calls[0] += 1

    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        (report,) = center.ingest_together([events], yield_point=yield_point)
    assert report.accepted == len(events)
    users = len({event["user_id"] for event in events})
    # Per event, when it is read and admitted; per user, when the record is read and written.
    assert calls[0] == 2 * len(events) + 2 * users
