"""Finite scalar quantization (FSQ): latent dimensions are rounded to a few values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.methods.autoencoder import Autoencoder, VectorMoments
from recops_models.tokenizers.methods.item_task import ItemBatch, NetworkSettings
from recops_models.tokenizers.methods.items import FittedItems
from recops_models.tokenizers.methods.latent import NetworkTokenizer
from recops_models.workers import share_of_mean

_LEAST = 5


def grid_of(codes: int) -> tuple[int, ...]:
    """Return the number of values per dimension; their product is at most ``codes``.

    The number of dimensions is the largest with five values each. Then dimensions in turn get one
    more value while the product allows it: 256 gives 7 · 6 · 6 = 252. Fewer than five codes give
    one dimension.
    """
    dims = 1
    while _LEAST ** (dims + 1) <= codes:
        dims += 1
    grid = [min(_LEAST, codes)] * dims
    dim = 0
    while math.prod(grid) // grid[dim] * (grid[dim] + 1) <= codes:
        grid[dim] += 1
        dim = (dim + 1) % dims
    return tuple(grid)


class ScalarNetwork(nn.Module):
    """Autoencoder with rounded latents and the objective of :class:`FSQ`."""

    _steps: Tensor

    def __init__(self, autoencoder: Autoencoder, steps: Tensor) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.register_buffer("_steps", steps, persistent=False)

    def loss(self, batch: ItemBatch) -> Tensor:
        bounded = torch.tanh(self.autoencoder.encode(batch.x))
        rounded = to_values(to_digits(bounded.detach(), self._steps), self._steps)
        quantized = bounded + (rounded - bounded).detach()
        errors = (batch.x - self.autoencoder.decode(quantized)).square().sum(dim=1)
        return share_of_mean(errors)


class FSQ(NetworkTokenizer):
    """Tokenizer by finite scalar quantization, a baseline without codebooks.

    A latent h with n values has the digit ``round((n − 1) (tanh(h) + 1) / 2)``. The digits of a
    level's dimensions form its code as a mixed-radix number; the decoder reads their values ``2 ·
    digit / (n − 1) − 1``. The loss is ``‖x̃ − x̂‖²`` with a straight-through gradient. Levels are
    independent: the second does not refine the first, so a common prefix is less informative than
    with residual codes.

    Args:
        levels: L.
        codes: largest number of codes per level; :func:`grid_of` gives the actual number.
        settings: settings of the network.

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
        """Check that there is at least one item; there are no codebooks to fill."""
        if not items:
            raise ValueError(f"{self._name}: needs at least one item, got 0")

    def _fit_items(self, items: FittedItems, fitting: Fitting) -> None:
        autoencoder = self._start_network(items, fitting)
        network = ScalarNetwork(autoencoder, self._steps)
        self._train(network, autoencoder, items, self.settings, fitting)
        self.network = autoencoder

    def _refit(self, points: Tensor, keep_levels: int, fitting: Fitting) -> None:
        self._fitted_network()
        raise ValueError("FSQ.refit: FSQ has no codebooks to fit; encode new items directly")

    def _new_network(self, moments: VectorMoments) -> Autoencoder:
        return Autoencoder(moments, self.settings.hidden, len(self._steps))

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
            quotient = level.long().clamp(min=0)
            for n in reversed(grid):
                digits.insert(0, quotient % n)
                quotient = quotient // n
            steps = torch.tensor([n - 1 for n in grid])
            value = to_values(torch.stack(digits, dim=1), steps)
            values.append(value * (level >= 0)[:, None])
        return torch.cat(values, dim=1)


def to_digits(bounded: Tensor, steps: Tensor) -> Tensor:
    """Return the index of the nearest of ``steps + 1`` evenly spaced values in [−1, 1]."""
    return torch.round((bounded + 1) / 2 * steps).int()


def to_values(digits: Tensor, steps: Tensor) -> Tensor:
    """Return the values of digits in [−1, 1]; 0 if a dimension has one value."""
    return torch.where(steps > 0, 2 * digits / steps.clamp(min=1) - 1, 0.0)
