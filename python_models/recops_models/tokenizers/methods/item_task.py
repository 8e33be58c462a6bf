"""Training of tokenizers' networks on item vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recops_models import workers
from recops_models.setting_checks import check_at_least
from recops_models.tokenizers.clustering.threads import one_thread
from recops_models.tokenizers.fitting import Fitting
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import best_epoch
from recops_models.training.device import HOST, array, device_of, numbers
from recops_models.training.device_batches import device_batches
from recops_models.training.task import Task, with_shares
from recops_models.training.trainer import fit

OWNER = "tokenizer"
"""Owner of the settings, in error messages."""
_PASSES = 20
EVALUATED = 4096
"""Items of the fixed sample by which epochs are compared."""


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of an autoencoder and its training.

    Attributes:
        hidden: widths of the encoder's hidden layers; the decoder reverses them.
        steps: training steps in twenty epochs of equal length, rounded up. Each epoch evaluates the
            objective and writes a checkpoint; the weights of the best epoch are the result.
        batch: items per step, at most all items.
        learning_rate: peak learning rate of AdamW; it rises linearly in the first epoch, and decays
            along a half cosine to a tenth.
        weight_decay: decoupled weight decay of matrices.

    Raises:
        ValueError: a hidden width, ``steps`` or ``batch`` is below 1, or another number is below 0
            or not finite.
    """

    hidden: tuple[int, ...] = (512, 256, 128)
    steps: int = 1200
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check_at_least(OWNER, self, hidden=1, steps=1, batch=1, learning_rate=0, weight_decay=0)

    def batch_of(self, items: int) -> int:
        """Return the number of items per step."""
        return min(self.batch, items)


@dataclass(frozen=True)
class LatentSettings(NetworkSettings):
    """Settings of a network with latents of a given width.

    Attributes:
        width: d, width of the latents.

    Raises:
        ValueError: ``width`` < 1; see also :class:`NetworkSettings`.
    """

    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(OWNER, self, width=1)


class ItemBatch(NamedTuple):
    """Items of one step.

    Attributes:
        x: ``[B, D]``, scaled vectors.
        paired: ``[P]`` i64, rows of ``x`` with a partner.
        partner: ``[P, D]``, the scaled vector of each partner.
    """

    x: Tensor
    paired: Tensor
    partner: Tensor


class Partners:
    """Partners of each item, from pairs in both directions.

    Args:
        pairs: ``[E, 2]`` i64 rows of items.
        num_items: N.
    """

    def __init__(self, pairs: Tensor, num_items: int) -> None:
        both = array(torch.cat([pairs, pairs.flip(1)]))
        self._partner = both[np.argsort(both[:, 0], kind="stable"), 1]
        self._degree = np.bincount(both[:, 0], minlength=num_items)
        self._start = np.cumsum(self._degree) - self._degree

    def draw(self, rows: NDArray[np.int64], chance: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return a random partner of each row, by frequency; −1 if there is none.

        Args:
            rows: ``[n]``, items.
            chance: ``[n]``, uniform random numbers in [0, 1).
        """
        degree = self._degree[rows]
        if not len(self._partner):
            return np.full(len(rows), -1)
        index = self._start[rows] + (chance * degree).astype(np.int64)
        return np.where(degree > 0, self._partner[index.clip(max=len(self._partner) - 1)], -1)


@dataclass(frozen=True, eq=False)
class ItemTask(Task[nn.Module, ItemBatch]):
    """Training on random batches of items.

    An epoch draws ``steps`` batches without replacement; after all items it draws them again.
    Several workers share each batch.

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
        batches = self._batches(rows, chance, size, workers.share(), skip)
        return torch_seed, with_shares(batches, skip, size, number)

    def loss(self, model: Any, batch: ItemBatch) -> tuple[Tensor, int]:
        return model.loss(batch), len(batch.x)

    @torch.no_grad()
    def evaluate(self, model: Any) -> dict[str, float]:
        """Return the objective on a fixed sample of items, without noise.

        All workers evaluate the whole sample.
        """
        rng = np.random.default_rng(0)
        rows = rng.permutation(len(self.points))[:EVALUATED]
        losses, counts = [], []
        batches = self._batches(rows, rng.random(len(rows)), self.batch, workers.ALL)
        with workers.alone():
            for batch in device_batches(batches, device_of(model)):
                losses.append(model.loss(batch))
                counts.append(len(batch.x))
        return {"objective": float(np.average(numbers(losses), weights=counts))}

    def _batches(
        self,
        rows: NDArray[np.int64],
        chance: NDArray[np.float64],
        size: int,
        share: workers.BatchShare,
        skip: int = 0,
    ) -> Iterator[ItemBatch]:
        for start in range(skip * size, len(rows), size):
            part = slice(start, start + size)
            own = share.of(rows[part])
            if self.partners is None:
                partners = np.full(len(own), -1)
            else:
                partners = share.of(self.partners.draw(rows[part], chance[part]))
            x, partner = torch.from_numpy(own), torch.from_numpy(partners)
            paired = (partner >= 0).nonzero()[:, 0]
            yield ItemBatch(self.points[x], paired, self.points[partner[paired]])


def train_network(
    network: nn.Module,
    make_task: Callable[[int, int], ItemTask],
    num_items: int,
    settings: NetworkSettings,
    fitting: Fitting,
) -> None:
    """Train ``network`` on the device of ``fitting``, on a CPU by one thread.

    Args:
        network: its method ``loss`` returns the mean objective of an :class:`ItemBatch`, or this
            worker's share of it.
        make_task: returns the task for a number of steps per epoch and of items per step.
        num_items: N.
        settings: size of steps and learning rate.
        fitting: seed, callbacks, folder and device; the trained network is on the host.
    """
    batch = settings.batch_of(num_items)
    passes = min(_PASSES, settings.steps)
    config = TrainingConfig(
        epochs=passes,
        batch=batch,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        patience=passes,
        select="objective",
    )
    fitting.callbacks.start("network")
    with one_thread():
        curve = fit(
            network,
            make_task(-(-settings.steps // passes), batch),
            config,
            seed=fitting.seed,
            folder=fitting.folder,
            resume=fitting.resume,
            callbacks=fitting.callbacks,
            device=fitting.device,
        )
    network.to(HOST)
    best = curve[best_epoch(curve, config)]
    fitting.callbacks.advance(1.0, objective=best.validation["objective"])
