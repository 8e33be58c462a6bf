"""Losses that stay on the device for several steps, and checkpoints across devices."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from callback_doubles import Interrupt, OnAdvance
from recops.files import load_tensors, save_tensors
from recops_models.callbacks import Callbacks
from recops_models.generative.ranker import Ranker
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.windows import Windows
from recops_models.training import losses, trainer
from recops_models.training.checkpoint import State
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch
from recops_models.training.device import HOST, generator_states
from recops_models.training.diverged import DivergedError
from recops_models.training.losses import EpochLosses
from recops_models.training.next_item_task import NextItemTask
from recops_models.training.trainer import CHECKPOINT, fit
from synthetic_histories import NUM_ITEMS, ring_dataset

CONFIG = TrainingConfig(epochs=2, batch=16)


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


@pytest.fixture
def interval(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the number of steps per read."""
    return lambda steps: monkeypatch.setattr(losses, "steps_per_read", lambda device: steps)


def model() -> SASRec:
    torch.manual_seed(0)
    return SASRec(NUM_ITEMS, SASRecConfig(history=8, width=16, dropout=0.3))


def train(
    folder: Path | None,
    config: TrainingConfig = CONFIG,
    *,
    resume: bool = False,
    callbacks: Callbacks | None = None,
) -> tuple[list[Epoch], dict[str, Tensor]]:
    """Train a model; return its curve without seconds, and its weights."""
    sasrec, task = model(), NextItemTask(ring_dataset())
    curve = fit(sasrec, task, config, seed=3, folder=folder, resume=resume, callbacks=callbacks)
    return [replace(epoch, seconds=0.0) for epoch in curve], sasrec.state_dict()


def assert_same(
    actual: tuple[list[Epoch], dict[str, Tensor]], expected: tuple[list[Epoch], dict[str, Tensor]]
) -> None:
    assert actual[0] == expected[0]
    assert all(torch.equal(actual[1][name], value) for name, value in expected[1].items())


@pytest.mark.parametrize("steps", [3, 1000])
def test_the_interval_of_reads_changes_no_bit(steps: int, interval: Callable[[int], None]) -> None:
    every_step = train(None)
    interval(steps)
    shares: list[float] = []
    rarely = train(None, callbacks=OnAdvance(lambda *call: shares.append(call[1])))
    assert_same(rarely, every_step)
    assert shares == sorted(shares)
    assert len(shares) == 0 if steps == 1000 else len(shares) > 3


class Diverging(NextItemTask):
    """Next-item task whose loss is infinite in one step of the second epoch."""

    calls = 0

    def start_epoch(
        self, model: Ranker, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, Windows]]]:
        self.calls, self.epoch = 0, epoch
        return super().start_epoch(model, size, seed=seed, epoch=epoch, skip=skip)

    def loss(self, model: Ranker, batch: Windows) -> tuple[Tensor, int]:
        loss, count = super().loss(model, batch)
        self.calls += 1
        return (loss + torch.inf if (self.epoch, self.calls) == (1, 4) else loss), count


@pytest.mark.parametrize("steps", [1, 3, 1000])
def test_an_error_names_the_step_that_diverged(steps: int, interval: Callable[[int], None]) -> None:
    interval(steps)
    task = Diverging(ring_dataset())
    with pytest.raises(DivergedError, match="the loss became inf in step 4 of epoch 2; lower"):
        fit(model(), task, CONFIG, seed=3, folder=None)
    assert task.calls == 4 if steps == 1 else task.calls > 4


def test_sums_are_those_of_single_steps() -> None:
    state = State()
    epoch_losses = EpochLosses(state, HOST)
    assert epoch_losses.add(torch.tensor(0.5), 4)
    assert epoch_losses.add(torch.tensor(2.0), torch.tensor(3))
    assert (state.step, state.total, state.targets, epoch_losses.last) == (2, 8.0, 7, 2.0)
    epoch_losses.read()
    assert state.step == 2


def test_a_checkpoint_between_two_reads_resumes_to_the_same_bits(
    interval: Callable[[int], None], tmp_path: Path
) -> None:
    expected = train(None)
    interval(3)
    config = replace(CONFIG, checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, config, callbacks=Interrupt(after=0.3))
    _, meta = load_tensors(tmp_path / CHECKPOINT, kind="training-state")
    assert meta["step"] % 3
    assert_same(train(tmp_path, config, resume=True), expected)


def interrupted(folder: Path) -> TrainingConfig:
    """Leave the checkpoint of a training that stopped within its first epoch."""
    config = replace(CONFIG, checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(folder, config, callbacks=Interrupt(after=0.3))
    return config


def test_a_checkpoint_of_another_device_resumes_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = train(None)
    config, path = interrupted(tmp_path), tmp_path / CHECKPOINT
    tensors, meta = load_tensors(path, kind="training-state")
    assert [name for name in tensors if name.startswith("rng")] == ["rng"]
    tensors["rng.cuda"] = torch.zeros(16, dtype=torch.uint8)
    save_tensors(path, tensors, kind="training-state", meta=meta)
    # The host's generator is restored, and dropout on the CPU draws from it.
    assert_same(train(tmp_path, config, resume=True), expected)
    assert "written on cpu and cuda: on cpu the remaining steps" in caplog.text


def test_a_checkpoint_of_the_cpu_resumes_on_another_device_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = interrupted(tmp_path)
    extra = {"cuda": torch.zeros(16, dtype=torch.uint8)}
    monkeypatch.setattr(
        trainer, "generator_states", lambda device: {**generator_states(device), **extra}
    )
    train(tmp_path, config, resume=True)
    assert "written on cpu: on cpu the remaining steps" in caplog.text
    tensors, _ = load_tensors(tmp_path / CHECKPOINT, kind="training-state")
    assert not [name for name in tensors if name.startswith("rng")]


def test_the_state_of_a_device_generator_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"cuda": torch.arange(16, dtype=torch.uint8)}
    monkeypatch.setattr(
        trainer, "generator_states", lambda device: {**generator_states(device), **extra}
    )
    config = interrupted(tmp_path)
    tensors, _ = load_tensors(tmp_path / CHECKPOINT, kind="training-state")
    assert torch.equal(tensors["rng.cuda"], extra["cuda"])
    with caplog.at_level(logging.WARNING):
        train(tmp_path, config, resume=True)
    assert not caplog.text
