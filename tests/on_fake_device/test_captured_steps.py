"""The training steps of ``tools/capture_steps.py`` run without waits, and can be replayed."""

from __future__ import annotations

import pytest

from captured_steps import capture_on_host, load_tool
from fake_device import DEVICE, host_waits

tool = load_tool()
SIZES = tool.Sizes(batch=8, length=6, users=9, items=20, categories=4)


@pytest.mark.parametrize("name", tool.MODELS)
def test_a_step_does_not_wait(name: str) -> None:
    step = tool.TrainingStep(name, SIZES, DEVICE)
    step.run()
    with host_waits() as waits:
        step.run()
    assert waits == []


@pytest.mark.parametrize("name", tool.MODELS)
def test_replays_equal_steps(name: str) -> None:
    """Batches differ in the lengths of histories, and dropout in its draws."""
    outcome = tool.compare(name, SIZES, DEVICE, capture_on_host, steps=3, rounds=1)
    assert outcome.equal_losses
    assert outcome.equal_weights
