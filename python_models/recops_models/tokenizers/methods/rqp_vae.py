"""RQP-VAE: RQ-VAE with moving-average codebooks and resets of dead codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import recops
from recops._host import is_on_host
from recops_models import workers
from recops_models.setting_checks import check_at_least, check_shares
from recops_models.tokenizers.methods.autoencoder import Autoencoder
from recops_models.tokenizers.methods.item_task import OWNER, ItemBatch
from recops_models.tokenizers.methods.rq_vae import RQVAE, QuantizedNetwork, RQVAESettings

_REVIVE_EVERY = 10


@dataclass(frozen=True)
class RQPVAESettings(RQVAESettings):
    """Settings of :class:`RQPVAE`, in addition to those of RQ-VAE.

    Attributes:
        decay: γ of the moving averages.
        dead: a code is dead if its average count is below this share of B/K; 0: never.

    Raises:
        ValueError: ``decay`` is outside [0, 1), or ``dead`` < 0; see also
            :class:`~recops_models.tokenizers.methods.rq_vae.RQVAESettings`.
    """

    decay: float = 0.99
    dead: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(OWNER, self, "decay")
        check_at_least(OWNER, self, dead=0)


class MovingCodebook(nn.Module):
    """Codewords as moving averages of their residuals.

    ``n_k ← γ n_k + (1 − γ) count_k``, ``e_k ← γ e_k + (1 − γ) Σ r``, ``c_k = e_k / n_k``.

    Args:
        book: ``[K, d]``, initial averages.
        share: initial count of each average, B / K.
    """

    book: Tensor
    count: Tensor
    total: Tensor

    def __init__(self, book: Tensor, share: float) -> None:
        super().__init__()
        self.register_buffer("book", book.clone())
        self.register_buffer("count", torch.full((len(book),), share))
        self.register_buffer("total", book * share)

    def update(self, residual: Tensor, index: Tensor, decay: float) -> None:
        """Update the averages with residuals ``[B, d]`` and their codes ``[B]``, of all workers."""
        own = recops.accumulate_codes(residual, index, len(self.book))
        sums, counts = map(workers.total, own)
        self.count.lerp_(counts, 1 - decay)
        self.total.lerp_(sums, 1 - decay)
        is_alive = (self.count > 0)[:, None]
        self.book.copy_(torch.where(is_alive, self.total / self.count[:, None], self.book))

    def revive(self, residual: Tensor, dead: float) -> None:
        """Move each code to a random residual if its average count is below ``dead · B/K``."""
        rows, codes = int(workers.gathered([len(residual)]).sum()), len(self.book)
        share = rows / codes
        is_dead = self.count < dead * rows / codes
        candidates = self._candidates(residual, is_dead)
        self.book.copy_(torch.where(is_dead[:, None], candidates, self.book))
        self.count.masked_fill_(is_dead, share)
        self.total.copy_(torch.where(is_dead[:, None], self.book * share, self.total))

    def _candidates(self, residual: Tensor, is_dead: Tensor) -> Tensor:
        """Return random residuals ``[K, d]``, equal on all workers; the last one draws them.

        Its share of a batch is never empty.
        """
        if workers.several() and workers.share().rank < workers.share().size - 1:
            return workers.total(torch.zeros_like(self.book))
        rows = torch.zeros_like(is_dead, dtype=torch.int64)
        if is_on_host(is_dead):  # A draw per dead code; their number would be read from a device.
            rows[is_dead] = torch.randint(len(residual), (int(is_dead.sum()),))
        else:
            rows.random_(len(residual))
        return workers.total(residual[rows])


class MovingNetwork(QuantizedNetwork):
    """Autoencoder with moving codebooks, which each training step updates."""

    steps: Tensor

    def __init__(
        self,
        autoencoder: Autoencoder,
        codebooks: tuple[Tensor, ...],
        settings: RQPVAESettings,
        batch: int,
    ) -> None:
        super().__init__(autoencoder, (), settings)
        self.moving = nn.ModuleList(MovingCodebook(b, batch / len(b)) for b in codebooks)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._settings: RQPVAESettings = settings

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MovingNetwork:
        steps = self.steps
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch does not annotate it.
        self.steps = steps  # The host reads it in every step.
        return self

    def loss(self, batch: ItemBatch) -> Tensor:
        latents = self.autoencoder.encode(batch.x)
        quantized, codes, commitment, _ = recops.straight_through(
            latents, self.books(), rotation=self._settings.rotation
        )
        errors = (batch.x - self.autoencoder.decode(quantized)).square().sum(dim=1)
        if self.training:
            self._move(latents.detach(), codes)
        share = workers.share_of_rows(commitment, len(errors))
        return workers.share_of_mean(errors) + self._settings.commitment * share

    def books(self) -> tuple[Tensor, ...]:
        return tuple(each.book.clone() for each in self._levels())

    def _move(self, residual: Tensor, codes: Tensor) -> None:
        self.steps += 1
        for level, moving in enumerate(self._levels()):
            index = codes[:, level]
            next_residual = residual - recops.rq_decode(index[:, None], [moving.book])
            moving.update(residual, index, self._settings.decay)
            if self.steps % _REVIVE_EVERY == 0:
                moving.revive(residual, self._settings.dead)
            residual = next_residual

    def _levels(self) -> list[MovingCodebook]:
        return [each for each in self.moving if isinstance(each, MovingCodebook)]


class RQPVAE(RQVAE):
    """RQ-VAE with moving-average codebooks and resets of dead codes.

    Moving averages (:class:`MovingCodebook`) replace the codebook loss. Every ten steps, codes with
    an average count below ``dead · B/K`` move to random residuals of the batch.

    Source: DRQ (arXiv 2606.01844) names this variant of RQ-VAE; the averages are those of van den
    Oord et al., 2017, appendix A.1. γ, the threshold and its period are our choice.
    """

    method = "rqp-vae"
    settings_type = RQPVAESettings
    settings: RQPVAESettings

    def _join(
        self, autoencoder: Autoencoder, codebooks: tuple[Tensor, ...], batch: int
    ) -> MovingNetwork:
        return MovingNetwork(autoencoder, codebooks, self.settings, batch)
