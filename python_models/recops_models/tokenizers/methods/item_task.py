"""The training of tokenizers' networks on item vectors, by the one trainer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recops_models.setting_checks import check_at_least
from recops_models.tokenizers.clustering.threads import one_thread
from recops_models.tokenizers.fitting import Fitting
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import best_epoch
from recops_models.training.task import Task, with_shares
from recops_models.training.trainer import fit

OWNER = "tokenizer"
"""Of the settings, in what is said of unfit ones."""
_PASSES = 20
_EVALUATED = 4096


@dataclass(frozen=True)
class NetworkSettings:
    """Of an encoder, a decoder and their training.

    Attributes:
        hidden: widths of the encoder's hidden layers; the decoder has them reversed.
        steps: of training, rounded up to a multiple of twenty passes; after each, the objective is
            taken and the state kept. The weights of the best pass stay.
        batch: items a step, at most as many as there are.
        learning_rate: the peak of AdamW's, after one pass of linear rise, along half a cosine down
            to a tenth.
        weight_decay: decoupled, on matrices.

    Raises:
        ValueError: no unit of a hidden layer, no step, no item a step; another number that is below
            0 or not finite.
    """

    hidden: tuple[int, ...] = (512, 256, 128)
    steps: int = 1200
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check_at_least(OWNER, self, hidden=1, steps=1, batch=1, learning_rate=0, weight_decay=0)

    def batch_of(self, items: int) -> int:
        """How many of so many items a step has."""
        return min(self.batch, items)


@dataclass(frozen=True)
class LatentSettings(NetworkSettings):
    """Beside those of every network.

    Attributes:
        width: d, of the latents.

    Raises:
        ValueError: no width, and see :class:`NetworkSettings`.
    """

    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(OWNER, self, width=1)


@dataclass(frozen=True, eq=False)
class ItemBatch:
    """Items of one step.

    Attributes:
        x: ``[B, D]``, of one scale.
        paired: ``[P]`` i64, the rows of ``x`` that have a partner.
        partner: ``[P, D]``, an item that users met together with it.
    """

    x: Tensor
    paired: Tensor
    partner: Tensor


class Partners:
    """For every item, those that were met together with it, in both directions.

    Args:
        pairs: ``[E, 2]`` i64 rows of items.
        num_items: N.
    """

    def __init__(self, pairs: Tensor, num_items: int) -> None:
        both = torch.cat([pairs, pairs.flip(1)]).numpy()
        self._partner = both[np.argsort(both[:, 0], kind="stable"), 1]
        self._degree = np.bincount(both[:, 0], minlength=num_items)
        self._start = np.cumsum(self._degree) - self._degree

    def draw(self, rows: NDArray[np.int64], chance: NDArray[np.float64]) -> NDArray[np.int64]:
        """A partner of each row by ``chance`` in [0, 1), by frequency; −1 where there is none."""
        degree = self._degree[rows]
        if not len(self._partner):
            return np.full(len(rows), -1)
        place = self._start[rows] + (chance * degree).astype(np.int64)
        return np.where(degree > 0, self._partner[place.clip(max=len(self._partner) - 1)], -1)


@dataclass(frozen=True, eq=False)
class ItemTask(Task[nn.Module, ItemBatch]):
    """Training on random batches of items.

    An epoch draws ``steps`` batches without replacement; after all items it draws them again.

    Attributes:
        points: ``[N, D]``, scaled item vectors.
        partners: partners for the contrastive loss; None: batches have none.
        steps: batches per epoch.
        batch: items per batch of the evaluation.
    """

    points: Tensor
    partners: Partners | None
    steps: int
    batch: int

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("objective",)

    def start_epoch(
        self, model: nn.Module, size: int, *, seed: int, epoch: int, skip: int
    ) -> tuple[int, Iterator[tuple[float, ItemBatch]]]:
        rng = np.random.default_rng((seed, epoch))
        number = self.steps * size
        rounds = -(-number // len(self.points))
        order = [rng.permutation(len(self.points)) for _ in range(rounds)]
        rows, chance = np.concatenate(order)[:number], rng.random(number)
        torch_seed = int(rng.integers(2**63))
        batches = self._batches(rows, chance, size, skip)
        return torch_seed, with_shares(batches, skip, size, number)

    def loss(self, model: Any, batch: ItemBatch) -> tuple[Tensor, int]:
        return model.loss(batch), len(batch.x)

    @torch.no_grad()
    def evaluate(self, model: Any) -> dict[str, float]:
        """The objective on the same items every time, without noise."""
        rng = np.random.default_rng(0)
        rows = rng.permutation(len(self.points))[:_EVALUATED]
        losses, counts = [], []
        for batch in self._batches(rows, rng.random(len(rows)), self.batch):
            losses.append(float(model.loss(batch)))
            counts.append(len(batch.x))
        return {"objective": float(np.average(losses, weights=counts))}

    def _batches(
        self, rows: NDArray[np.int64], chance: NDArray[np.float64], size: int, skip: int = 0
    ) -> Iterator[ItemBatch]:
        for start in range(skip * size, len(rows), size):
            part = slice(start, start + size)
            if self.partners is None:
                met = np.full(len(rows[part]), -1)
            else:
                met = self.partners.draw(rows[part], chance[part])
            x, partner = torch.from_numpy(rows[part]), torch.from_numpy(met)
            paired = (partner >= 0).nonzero()[:, 0]
            yield ItemBatch(self.points[x], paired, self.points[partner[paired]])


def train_network(
    network: nn.Module,
    points: Tensor,
    settings: NetworkSettings,
    given: Fitting,
    *,
    partners: Partners | None = None,
) -> None:
    """Train ``network`` on ``points [N, D]`` of one scale, on one thread.

    Its method ``loss`` gives the mean objective of an :class:`ItemBatch`.
    """
    batch = settings.batch_of(len(points))
    passes = min(_PASSES, settings.steps)
    config = TrainingConfig(
        epochs=passes,
        batch=batch,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        patience=passes,
        select="objective",
    )
    given.callbacks.start("network")
    with one_thread():
        curve = fit(
            network,
            ItemTask(points, partners, -(-settings.steps // passes), batch),
            config,
            seed=given.seed,
            folder=given.folder,
            resume=given.resume,
            callbacks=given.callbacks,
        )
    best = curve[best_epoch(curve, config)]
    given.callbacks.advance(1.0, objective=best.validation["objective"])
