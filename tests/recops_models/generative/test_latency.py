"""A request's time falls apart into reading, the model's steps, and the beams."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from recops_models.generative.latency import Clock, latency
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, paths

HISTORY, LENGTHS = torch.tensor([[1, 2, 0, 0]]), torch.tensor([2])


def model(name: str) -> TIGER | UniRec:
    prior = torch.arange(float(NUM_ITEMS))
    if name == "tiger":
        return TIGER(*paths(), prior, TIGERConfig(history=4, width=8, heads=2, hidden=8)).eval()
    return UniRec(*paths(), prior, UniRecConfig(history=4, width=8, heads=2)).eval()


@pytest.mark.parametrize("clock", [time.perf_counter, time.process_time])
@pytest.mark.parametrize("name", ["tiger", "unirec"])
def test_latency_counts_the_parts_of_a_request(name: str, clock: Clock) -> None:
    found = latency(model(name), HISTORY, LENGTHS, beams=8, repeats=3, clock=clock)
    assert all(part > 0 for part in found)
    assert found.encode + found.steps <= 2 * found.total


def test_the_parts_are_told_by_the_clock_that_is_given() -> None:
    # It ticks at each look: one tick to read, one a step, one to rescore; the rest lies between.
    ticks = iter(range(10_000))
    found = latency(
        model("unirec"), HISTORY, LENGTHS, beams=8, repeats=2, clock=lambda: float(next(ticks))
    )
    steps = len(paths()[1]) + 1
    assert found == (1e3, 1e3 * steps, 1e3 * (steps + 1), 1e3 * (2 * steps + 2))


def test_what_must_be_told_of_requests_is() -> None:
    heard: list[tuple[object, object]] = []

    class Listening(UniRec):
        def encode_requests(self, *request: Any, **inputs: Any) -> list[torch.Tensor]:
            heard.append((request[2], inputs["user"]))
            return super().encode_requests(*request, **inputs)

    config = UniRecConfig(history=4, width=8, heads=2, scenes=2)
    users, prior = torch.tensor([[0], [1], [2]]), torch.arange(float(NUM_ITEMS))
    listening = Listening(*paths(), prior, config, users).eval()
    who = torch.tensor([2])
    latency(listening, HISTORY, LENGTHS, beams=8, task=1, user=who, repeats=1)
    assert heard == [(1, who)] * 2


def test_no_repetition_is_refused() -> None:
    with pytest.raises(ValueError, match="repeats must be 1 or more, got 0"):
        latency(model("tiger"), HISTORY, LENGTHS, beams=8, repeats=0)


def test_an_empty_history_is_one_line() -> None:
    with pytest.raises(ValueError, match="latency: lengths must be 1 or more, got 0 for history 0"):
        latency(model("unirec"), HISTORY, torch.tensor([0]), beams=8)
