"""Tests of callbacks: lists, portions of progress, and progress texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from recops_models.callbacks import CallbackList, Callbacks, Portion, progress_text
from recops_models.tokenizers.fitting import FitShare


class Calls(Callbacks):
    """Callbacks that collect every call as a tuple, after ``name``."""

    def __init__(self, name: str = "", calls: list[tuple[Any, ...]] | None = None) -> None:
        self.name = name
        self.calls: list[tuple[Any, ...]] = [] if calls is None else calls

    def start(self, stage: str, **details: Any) -> None:
        self.calls.append((self.name, "start", stage, details))

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self.calls.append((self.name, "advance", share, note, metrics))

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        self.calls.append((self.name, "log_metrics", step, metrics))

    def log_message(self, text: str) -> None:
        self.calls.append((self.name, "log_message", text))


def call_all(callbacks: Callbacks) -> None:
    callbacks.start("train", ahead=2)
    callbacks.advance(0.5, "first half", loss=0.25)
    callbacks.log_metrics(1, {"auc": 0.75})
    callbacks.log_message("stopped early")


def test_a_list_passes_every_call_to_all_in_order() -> None:
    expected = Calls("a")
    call_all(expected)
    calls: list[tuple[Any, ...]] = []
    call_all(CallbackList(Calls("a", calls), Calls("b", calls)))
    assert calls[::2] == expected.calls
    assert [call[0] for call in calls] == ["a", "b"] * 4
    assert [call[1:] for call in calls[1::2]] == [call[1:] for call in expected.calls]


def test_a_portion_scales_progress_and_drops_other_calls() -> None:
    outer = Calls()
    call_all(Portion(outer, 0.5, 0.25))
    assert outer.calls == [("", "advance", 0.625, "first half", {"loss": 0.25})]


def test_a_portion_weighs_its_stages() -> None:
    outer = Calls()
    portion = Portion(outer, 0.5, 0.5, {"pretrain": 1, "train": 3})
    portion.start("pretrain")
    portion.advance(1.0)
    portion.start("item vectors")
    portion.advance(0.5)
    portion.start("train")
    portion.advance(0.0)
    portion.advance(1.0)
    assert [call[2] for call in outer.calls] == [0.625, 0.625, 1.0]


def test_a_fit_reports_its_stages_as_one() -> None:
    outer = Calls()
    share = FitShare(("level 0", "level 1"), outer)
    share.start("level 1")
    share.advance(0.5, error=0.125)
    share.log_metrics(1, {"objective": 1.0})
    assert outer.calls == [("", "advance", 0.75, "level 1", {"error": 0.125})]


@pytest.mark.parametrize(
    ("note", "metrics", "text"),
    [
        ("", {"loss": 0.69314}, "loss 0.6931"),
        ("level 0", {"error": 0.5}, "level 0, error 0.5"),
        ("sasrec", {}, "sasrec"),
        ("", {}, ""),
    ],
)
def test_progress_text(note: str, metrics: dict[str, float], text: str) -> None:
    assert progress_text(note, metrics) == text


def test_plain_callbacks_ignore_every_call() -> None:
    call_all(Callbacks())
