"""Trainings on the fake device resume to the same bits, and across devices with a warning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from callback_doubles import Interrupt
from fake_device import DEVICE
from recops.files import load_tensors
from recops_models.callbacks import Callbacks
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.training import device as devices
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch
from recops_models.training.device import HOST
from recops_models.training.next_item_task import NextItemTask
from recops_models.training.trainer import CHECKPOINT, fit
from synthetic_histories import NUM_ITEMS, ring_dataset

CONFIG = TrainingConfig(epochs=2, batch=16, checkpoint_minutes=0.0)


@pytest.fixture(autouse=True)
def _reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read losses, and let callbacks stop a training, within its first epoch."""
    monkeypatch.setattr(devices, "_READ_EVERY", 3)


def train(
    folder: Path,
    device: torch.device,
    *,
    resume: bool = False,
    callbacks: Callbacks | None = None,
) -> tuple[list[Epoch], dict[str, Tensor]]:
    """Train a model with dropout; return its curve without seconds, and its weights."""
    torch.manual_seed(0)
    model = SASRec(NUM_ITEMS, SASRecConfig(history=8, width=16, dropout=0.3))
    task = NextItemTask(ring_dataset())
    curve = fit(
        model,
        task,
        CONFIG,
        seed=3,
        folder=folder,
        resume=resume,
        callbacks=callbacks,
        device=device,
    )
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    return [replace(epoch, seconds=0.0) for epoch in curve], weights


def interrupt(folder: Path, device: torch.device) -> dict[str, Tensor]:
    """Stop a training within its first epoch, and return the tensors of its checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        train(folder, device, callbacks=Interrupt(after=0.3))
    tensors, meta = load_tensors(folder / CHECKPOINT, kind="training-state")
    assert not meta["curve"]
    assert meta["step"] > 0
    return tensors


def test_a_training_resumes_to_the_same_bits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    curve, weights = train(tmp_path / "whole", DEVICE)
    tensors = interrupt(tmp_path / "parts", DEVICE)
    assert {name for name in tensors if name.startswith("rng")} == {"rng", "rng.fake"}
    resumed_curve, resumed = train(tmp_path / "parts", DEVICE, resume=True)
    assert resumed_curve == curve
    assert all(torch.equal(resumed[name], value) for name, value in weights.items())
    assert not caplog.text


@pytest.mark.parametrize(("first", "second"), [(HOST, DEVICE), (DEVICE, HOST)], ids=str)
def test_a_checkpoint_resumes_on_another_device_with_a_warning(
    first: torch.device, second: torch.device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    interrupt(tmp_path, first)
    curve, weights = train(tmp_path, second, resume=True)
    assert f"on {second.type} the remaining steps of the epoch draw other" in caplog.text
    caplog.clear()
    assert len(curve) == 2
    assert all(value.isfinite().all() for value in weights.values())
    # The finished training resumes to its best epoch, also on the first device.
    again, stored = train(tmp_path, first, resume=True)
    assert again == curve
    assert all(torch.equal(stored[name], value) for name, value in weights.items())
    assert not caplog.text
