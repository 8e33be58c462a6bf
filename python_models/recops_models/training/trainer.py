"""The one trainer: AdamW over windows of histories, the best epoch kept, resumable to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from recops_models.data import Examples, Histories
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.recommender import Ranking
from recops_models.training.checkpoint import load_checkpoint, save_checkpoint
from recops_models.training.windows import cut_windows

CHECKPOINT = "checkpoint.safetensors"


class Trainable(Protocol):
    """A module that the trainer can train: a recommender with a loss."""

    @property
    def num_items(self) -> int:
        """N."""
        ...

    @property
    def window(self) -> int:
        """T: how many past events the loss looks at."""
        ...

    def loss(self, history: Tensor, target: Tensor) -> Tensor:
        """Mean negative log-likelihood of ``target[b, t]`` after ``history[b, : t + 1]``.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            target: ``[B, T]`` i64, the same one step on; 0 where there is no target.
        """
        ...

    def recommend(self, histories: Histories, k: int) -> Ranking:
        """See :class:`~recops_models.generative.recommender.Recommender`."""
        ...


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        epochs: at most so many passes over the training events.
        batch: windows per step.
        learning_rate: the peak, after ``warmup_epochs`` of linear rise.
        weight_decay: decoupled, on matrices and embeddings alone.
        clip: the gradient's norm is cut to this.
        patience: stop after so many epochs without a better validation ``select``.
        select: the validation metric whose best epoch is kept.
        decay: over ``epochs``, the rate falls along half a cosine to this share of its peak.
    """

    epochs: int = 15
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_epochs: float = 1.0
    decay: float = 0.1
    clip: float = 1.0
    patience: int = 5
    select: str = "ndcg@10"


@dataclass(frozen=True)
class Epoch:
    """One row of the training curve: mean training loss, validation metrics, seconds."""

    epoch: int
    train_loss: float
    validation: dict[str, float]
    seconds: float

    def row(self) -> dict[str, float]:
        """Flat, as ``curves.json`` holds it."""
        return {
            "epoch": self.epoch,
            "train_loss": self.train_loss,
            **self.validation,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Fit:
    """What training did: its curve, and which epoch's weights the model now has."""

    curve: list[Epoch]
    best_epoch: int

    @property
    def seconds(self) -> float:
        """The time of all epochs, over all sittings."""
        return sum(epoch.seconds for epoch in self.curve)


def fit(
    model: nn.Module,
    train: Histories,
    validation: Examples,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path,
    resume: bool = False,
    on_step: Callable[[int, float, float], None] = lambda *_: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Fit:
    """Train ``model`` and leave it with the weights of its best epoch.

    After every epoch the whole state goes to ``folder/checkpoint.safetensors``. Each epoch draws
    its cuts, its order and its dropout from a seed of its own, so that a run resumed from there
    makes the same bits as one never stopped.

    Args:
        model: :class:`Trainable`.
        train: the training histories.
        validation: scored after every epoch.
        config: how.
        seed: with the data and the configuration, it determines everything.
        folder: exists.
        resume: go on from the last finished epoch, if the folder holds one.
        on_step: progress within an epoch.
        on_epoch: told of each finished epoch, the earlier ones of a resumed run included.

    Raises:
        ValueError: the loss became NaN or infinite; the folder keeps the last finished epoch.
        KeyboardInterrupt: handed on; the folder keeps the last finished epoch.
    """
    path = folder / CHECKPOINT
    optimizer = _optimizer(model, config)
    curve: list[Epoch] = []
    best: dict[str, Tensor] = {}
    if resume and path.exists():
        best, meta = load_checkpoint(path, model, optimizer)
        curve = [Epoch(**row) for row in meta["curve"]]
        for epoch in curve:
            on_epoch(epoch)
    while not _finished(curve, config):
        epoch = _run_epoch(model, optimizer, train, validation, config, seed, len(curve), on_step)
        curve.append(epoch)
        if _best(curve, config) == len(curve) - 1:
            best = {name: value.detach().clone() for name, value in model.state_dict().items()}
        save_checkpoint(path, model, optimizer, best, {"curve": [vars(row) for row in curve]})
        on_epoch(epoch)
    model.load_state_dict(best)
    model.eval()
    return Fit(curve, _best(curve, config))


def _optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def _run_epoch(
    model: Any,
    optimizer: torch.optim.Optimizer,
    train: Histories,
    validation: Examples,
    config: TrainingConfig,
    seed: int,
    epoch: int,
    on_step: Callable[[int, float, float], None],
) -> Epoch:
    started = time.perf_counter()
    rng = np.random.default_rng((seed, epoch))
    windows = cut_windows(train, model.window, rng)
    windows = windows[torch.from_numpy(rng.permutation(len(windows)))]
    model.train()
    total, targets = 0.0, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        for start in range(0, len(windows), config.batch):
            done = start / len(windows)
            _set_learning_rate(optimizer, config, epoch + done)
            batch = windows[start : start + config.batch]
            loss = model.loss(batch[:, :-1], batch[:, 1:])
            value = loss.item()
            if not math.isfinite(value):
                raise ValueError(
                    f"training: the loss became {value} in epoch {epoch + 1}; lower learning_rate"
                )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            count = int((batch[:, 1:] > 0).sum())
            total, targets = total + value * count, targets + count
            on_step(epoch, done, value)
    model.eval()
    metrics = evaluate(model, validation, model.num_items).metrics
    return Epoch(epoch, total / targets, metrics, round(time.perf_counter() - started, 3))


def _set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, epoch: float
) -> None:
    """Linear warm-up, then half a cosine from 1 down to ``decay``."""
    warmup = min(1.0, (epoch + 0.01) / config.warmup_epochs) if config.warmup_epochs else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * warmup * (config.decay + (1 - config.decay) * cosine)


def _best(curve: list[Epoch], config: TrainingConfig) -> int:
    """The index of the best epoch, the earliest among equals."""
    values = [epoch.validation[config.select] for epoch in curve]
    return values.index(max(values))


def _finished(curve: list[Epoch], config: TrainingConfig) -> bool:
    if not curve:
        return False
    return len(curve) >= config.epochs or len(curve) - 1 - _best(curve, config) >= config.patience
