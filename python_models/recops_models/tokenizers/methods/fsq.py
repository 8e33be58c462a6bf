"""Finite scalar quantization: each latent dimension rounded to a few values, without codebooks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.methods.autoencoder import Autoencoder
from recops_models.tokenizers.methods.item_task import ItemBatch, NetworkSettings, train_network
from recops_models.tokenizers.methods.latent import NetworkTokenizer

_LEAST = 5


def grid_of(codes: int) -> tuple[int, ...]:
    """Values per dimension, whose product is at most ``codes``.

    As many dimensions as have five values each, then one value more in turn while it goes: 256
    gives 7 · 6 · 6 = 252. Fewer than five codes make one dimension.
    """
    dims = 1
    while _LEAST ** (dims + 1) <= codes:
        dims += 1
    grid = [min(_LEAST, codes)] * dims
    place = 0
    while math.prod(grid) // grid[place] * (grid[place] + 1) <= codes:
        grid[place] += 1
        place = (place + 1) % dims
    return tuple(grid)


class ScalarNetwork(nn.Module):
    """An autoencoder whose latents are rounded, with the objective of :class:`FSQ`."""

    def __init__(self, autoencoder: Autoencoder, steps: Tensor) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self._steps = steps

    def loss(self, batch: ItemBatch) -> Tensor:
        bounded = torch.tanh(self.autoencoder.encode(batch.x))
        rounded = to_values(to_digits(bounded.detach(), self._steps), self._steps)
        quantized = bounded + (rounded - bounded).detach()
        return (batch.x - self.autoencoder.decode(quantized)).square().sum(dim=1).mean()


class FSQ(NetworkTokenizer):
    """``digit = round((n − 1) (tanh(h) + 1) / 2)`` of every latent dimension with n values.

    The digits of a level's dimensions, read as one mixed-radix number, are its code; the decoder
    takes their values ``2 · digit / (n − 1) − 1``. The loss is ``‖x̃ − x̂‖²`` alone, rounding passed
    straight through. Levels stand side by side: the second does not refine the first, so that a
    shared prefix says less than with residual codes. A point of reference.

    Args:
        levels: L.
        codes: at most so many a level; :func:`grid_of` says how many it becomes.
        settings: of the network.

    Source: Mentzer et al., "Finite scalar quantization: VQ-VAE made simple", ICLR 2024, arXiv
    2309.15505. It shifts tanh where n is even; spreading n values over tanh's range needs no shift.
    """

    method = "fsq"
    settings_type = NetworkSettings
    settings: NetworkSettings

    def __init__(
        self,
        levels: int = 3,
        codes: int | Sequence[int] = 256,
        settings: NetworkSettings | None = None,
    ) -> None:
        super().__init__(levels, codes, settings)
        self.grids = tuple(grid_of(size) for size in self._sizes)
        self._sizes = tuple(math.prod(grid) for grid in self.grids)
        self._steps = torch.tensor([n - 1 for grid in self.grids for n in grid])

    def check_count(self, items: int) -> None:
        """One item is enough: there are no codebooks to fill."""
        if not items:
            raise ValueError(f"{self._name}: no items to learn from")

    def _fit(self, points: Tensor, given: Fitting) -> None:
        autoencoder = self._start_network(points, given)
        network = ScalarNetwork(autoencoder, self._steps)
        train_network(network, autoencoder.to_scale(points), self.settings, given)
        self.network = autoencoder

    def _refit(self, points: Tensor, keep_levels: int, given: Fitting) -> None:
        self._fitted_network()
        raise ValueError("FSQ.refit: there are no codebooks; new items are encoded as they are")

    def _new_network(self, points: Tensor) -> Autoencoder:
        return Autoencoder(points, self.settings.hidden, len(self._steps))

    def _quantize(self, latents: Tensor) -> Tensor:
        digits = to_digits(torch.tanh(latents), self._steps)
        codes = []
        for level, grid in zip(
            digits.split([len(g) for g in self.grids], 1), self.grids, strict=True
        ):
            code = torch.zeros(len(digits), dtype=torch.int32)
            for digit, size in zip(level.unbind(1), grid, strict=True):
                code = code * size + digit
            codes.append(code)
        return torch.stack(codes, dim=1).int()

    def _dequantize(self, codes: Tensor) -> Tensor:
        if codes.ndim != 2 or codes.shape[1] != len(self.grids):
            raise ValueError(
                f"FSQ.decode: codes must be [N, {len(self.grids)}], got {list(codes.shape)}"
            )
        values = []
        for level, grid, size in zip(codes.unbind(1), self.grids, self._sizes, strict=True):
            if not ((level >= -1) & (level < size)).all():
                raise IndexError(f"FSQ.decode: codes must be −1 or below {size}")
            digits: list[Tensor] = []
            rest = level.long().clamp(min=0)
            for n in reversed(grid):
                digits.insert(0, rest % n)
                rest = rest // n
            steps = torch.tensor([n - 1 for n in grid])
            value = to_values(torch.stack(digits, dim=1), steps)
            values.append(value * (level >= 0)[:, None])
        return torch.cat(values, dim=1)


def to_digits(bounded: Tensor, steps: Tensor) -> Tensor:
    """Of numbers in ±1, the nearest of ``steps + 1`` values that part ±1 evenly, from 0 up."""
    return torch.round((bounded + 1) / 2 * steps).int()


def to_values(digits: Tensor, steps: Tensor) -> Tensor:
    """What digits stand for, in ±1; 0 where there is but one value."""
    return torch.where(steps > 0, 2 * digits / steps.clamp(min=1) - 1, 0.0)
