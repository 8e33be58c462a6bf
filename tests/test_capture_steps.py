"""``tools/capture_steps.py``: it needs a GPU; on the CPU, replays are compared with steps."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from captured_steps import ROOT, capture_on_host, load_tool
from recops_models.click.hpmn import Hpmn
from recops_models.examples.batch import Batch
from recops_models.training.device import HOST

tool = load_tool()
SIZES = tool.Sizes(batch=8, length=5, users=9, items=20, categories=4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_stops_with_one_line() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "capture_steps.py"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr == "capture_steps.py: torch finds no CUDA GPU\n"


def compared(steps: int = 2) -> Any:
    return tool.compare("hpmn", SIZES, HOST, capture_on_host, steps=steps, rounds=1)


@pytest.mark.usefixtures("one_thread")
def test_replays_equal_steps() -> None:
    outcome = compared()
    assert outcome.equal_losses
    assert outcome.equal_weights
    page = tool.to_markdown([outcome, outcome._replace(equal_weights=False)]).splitlines()
    assert page[2].endswith("| yes | yes |")
    assert page[3].endswith("| yes | NO |")


CALLS = itertools.count(1)
DEFECTS: dict[str, Callable[[Batch], float]] = {
    "a value read by the host": lambda batch: 1 + batch.label.mean().item(),
    "a branch on values": lambda batch: 2 if batch.label[0] > 0 else 1,
    "a number of the host": lambda batch: next(CALLS),
}
"""Planted factors of the inputs of the last layers."""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bottom = Hpmn.bottom

    def planted(self: Hpmn, batch: Batch) -> tuple[Tensor, Tensor | None]:
        x, auxiliary = bottom(self, batch)
        return x * DEFECTS[defect](batch), auxiliary

    monkeypatch.setattr(Hpmn, "bottom", planted)
    outcome = compared(steps=4)
    assert not (outcome.equal_losses and outcome.equal_weights)


@pytest.mark.usefixtures("one_thread")
def test_a_size_that_depends_on_values_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bottom = Hpmn.bottom

    def planted(self: Hpmn, batch: Batch) -> tuple[Tensor, Tensor | None]:
        x, auxiliary = bottom(self, batch)
        return x + batch.lengths["history_item"].unique().sum(), auxiliary

    monkeypatch.setattr(Hpmn, "bottom", planted)
    with pytest.raises(RuntimeError, match="a size depends on values"):
        compared(steps=4)
