"""Latency of a request by part: encoding, decoding steps and beams."""

from __future__ import annotations

import importlib
import time
from typing import Any

import pytest
import torch

from recops_models.generative.latency import Clock, latency
from recops_models.generative.path_ranker import beam_search
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, paths

HISTORY, LENGTHS = torch.tensor([[1, 2, 0, 0]]), torch.tensor([2])


def build(name: str) -> TIGER | UniRec:
    prior = torch.arange(float(NUM_ITEMS))
    if name == "tiger":
        return TIGER(*paths(), prior, TIGERConfig(history=4, width=8, heads=2, hidden=8)).eval()
    return UniRec(*paths(), prior, UniRecConfig(history=4, width=8, heads=2)).eval()


@pytest.mark.parametrize("clock", [time.perf_counter, time.process_time])
@pytest.mark.parametrize("name", ["tiger", "unirec"])
def test_parts_of_a_request_have_a_latency(name: str, clock: Clock) -> None:
    result = latency(build(name), HISTORY, LENGTHS, beams=8, repeats=3, clock=clock)
    assert all(part > 0 for part in result)
    assert result.encode + result.steps <= 2 * result.total


def test_the_given_clock_measures_the_parts() -> None:
    # Each reading of the clock is one tick: encoding, each step and rescoring take one tick each.
    ticks = iter(range(10_000))
    result = latency(
        build("unirec"), HISTORY, LENGTHS, beams=8, repeats=2, clock=lambda: float(next(ticks))
    )
    steps = len(paths()[1]) + 1
    assert result == (1e3, 1e3 * steps, 1e3 * (steps + 1), 1e3 * (2 * steps + 2))


def test_every_reading_of_the_clock_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    module = importlib.import_module("recops_models.generative.latency")
    monkeypatch.setattr(module, "synchronize", lambda device: calls.append(device.type))

    def clock() -> float:
        calls.append("clock")
        return float(len(calls))

    latency(build("tiger"), HISTORY, LENGTHS, beams=8, repeats=1, clock=clock)
    assert calls == ["cpu", "clock"] * (len(calls) // 2)


def test_the_model_receives_task_and_user() -> None:
    received: list[tuple[object, object]] = []

    class RecordingUniRec(UniRec):
        def encode_requests(self, *request: Any, **inputs: Any) -> list[torch.Tensor]:
            received.append((request[2], inputs["user"]))
            return super().encode_requests(*request, **inputs)

    config = UniRecConfig(history=4, width=8, heads=2, scenes=2)
    users, prior = torch.tensor([[0], [1], [2]]), torch.arange(float(NUM_ITEMS))
    model = RecordingUniRec(*paths(), prior, config, users).eval()
    user = torch.tensor([2])
    latency(model, HISTORY, LENGTHS, beams=8, task=1, user=user, repeats=1)
    assert received == [(1, user)] * 2


def test_the_beam_search_is_limited_to_allowed_items(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("recops_models.generative.latency")
    found = list[torch.Tensor]()

    def recording(*arguments: Any, **options: Any) -> Any:
        found.append(beam_search(*arguments, **options).item_ids)

    monkeypatch.setattr(module, "beam_search", recording)
    allowed, banned = [torch.tensor([1, 2])], [torch.tensor([2])]
    latency(build("tiger"), HISTORY, LENGTHS, beams=8, banned=banned, allowed=allowed, repeats=1)
    assert [items[items >= 0].tolist() for items in found] == [[1], [1]]


def test_zero_repeats_is_an_error() -> None:
    with pytest.raises(ValueError, match="repeats must be 1 or more, got 0"):
        latency(build("tiger"), HISTORY, LENGTHS, beams=8, repeats=0)


def test_an_empty_history_is_an_error() -> None:
    with pytest.raises(ValueError, match="latency: lengths must be 1 or more, got 0 for history 0"):
        latency(build("unirec"), HISTORY, torch.tensor([0]), beams=8)
