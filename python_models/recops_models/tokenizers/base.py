"""Interface of tokenizers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Self

from recops.ops.residual_quantization.nearest_codes import Metric
from recops_models import workers
from recops_models.callbacks import Callbacks
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.checks import (
    check_ids,
    check_vectors,
    check_weights,
    check_width,
    rows_of,
)
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.stored import StoredTokenizer
from recops_models.training.device import AUTO, resolve_device


class Tokenizer(StoredTokenizer):
    """Converter of item vectors to codes and back, fitted to a catalogue.

    A method is a subclass with a ``method`` name, a frozen dataclass of settings, and the hooks
    that start with an underscore, here and in :class:`StoredTokenizer`.
    :mod:`recops_models.tokenizers.registry` lists the methods.

    Args:
        levels: L ≥ 1, codes per item.
        codes: K ≥ 1, one number for all levels or one per level.
        settings: settings of the method; None: its defaults.

    Raises:
        ValueError: ``levels`` < 1, or a level without codes.
        TypeError: the settings belong to another method.
    """

    uses_pairs: ClassVar[bool] = False
    """Whether :meth:`fit` requires ``pairs``."""
    streams: ClassVar[bool] = False
    """Whether :meth:`fit_file` can fit the method to a file larger than memory."""
    uses_weights: ClassVar[bool] = False
    """Whether ``weights`` affect the codes."""
    codebooks: tuple[Tensor, ...] | None = None
    """``[K_l, d]`` float32 per level; empty before :meth:`fit`; None: the method has none."""

    @property
    def shares_fit(self) -> bool:
        """Return whether the workers of torchrun share the work of a fit."""
        return False

    @property
    def metric(self) -> Metric:
        """Distance by which a level selects the nearest codeword."""
        return "l2"

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages of :meth:`fit`, in order, as reported to ``callbacks``."""
        return tuple(f"level {level}" for level in range(len(self._sizes)))

    def fit(
        self,
        vectors: Tensor,
        item_ids: Tensor,
        *,
        seed: int = 0,
        callbacks: Callbacks | None = None,
        pairs: Tensor | None = None,
        weights: Tensor | None = None,
        folder: Path | None = None,
        resume: bool = False,
        device: str | torch.device = AUTO,
    ) -> Self:
        """Fit the tokenizer to a catalogue.

        The result depends on the seed and the type of device, and not on the number of threads.
        Within :func:`recops_models.workers.joined`, all workers call this method with the same
        arguments and get the same result. Batches of items are divided among them and statistics
        and gradients are summed, which changes the rounding; noise and resets of codes draw other
        random numbers. The first worker fits ``balanced-rq`` and ``drq-vae-cl`` alone.

        Args:
            vectors: ``[N, D]`` floats, finite; N ≥ max K_l if the method has codebooks.
            item_ids: ``[N]`` i64, unique.
            seed: seed of every random draw.
            callbacks: receive each stage and, within it, the share done and the current metrics.
            pairs: ``[E, 2]`` i64, ids of items that occur close together in a history. Pairs with
                an unknown item, or of an item with itself, are ignored. Only ``drq-vae-cl`` reads
                them.
            weights: ``[N]``, finite and ≥ 0, such as exposures. Only ``balanced-rq`` reads them.
            folder: directory for finished levels and the last checkpoint; None: nothing is saved.
            resume: continue from ``folder``, with the result of an uninterrupted fit. Otherwise
                files of an earlier fit in it are deleted.
            device: where networks and codebooks are trained, see
                :func:`~recops_models.training.device.resolve_device`. The fitted tokenizer is on
                the host.

        Returns:
            self.

        Raises:
            ValueError: fewer items than codes, a non-finite vector, wrong shapes, input that the
                method cannot be fitted to, or a missing device.
            KeyboardInterrupt: the fit was interrupted.
        """
        points, rows, checked = self._checked(vectors, item_ids, pairs, weights)
        where = resolve_device(device)
        fitting = Fitting(seed, callbacks or Callbacks(), rows, checked, folder, resume, where)
        fitting.discard_previous()
        self._fit_by_workers(partial(self._fit, points, fitting))
        return self

    def fit_file(
        self,
        file: VectorFile,
        *,
        seed: int = 0,
        callbacks: Callbacks | None = None,
        folder: Path | None = None,
        resume: bool = False,
        device: str | torch.device = AUTO,
    ) -> Self:
        """Fit to a file larger than memory, which is read once per pass.

        Memory does not grow with the file. The codebooks of ``rq-kmeans`` without ``batch`` equal
        those of :meth:`fit` up to rounding, since sums are taken over blocks of rows. Networks draw
        other batches than in :meth:`fit`.

        Args:
            file: the vectors.
            seed: see :meth:`fit`.
            callbacks: see :meth:`fit`.
            folder: see :meth:`fit`.
            resume: see :meth:`fit`.
            device: see :meth:`fit`.

        Raises:
            ValueError: the method or its settings need all vectors in memory; or see :meth:`fit`.
            DataError: the file is damaged, or a vector is not finite.
        """
        self.check_file(file)
        where = resolve_device(device)
        fitting = Fitting(
            seed, callbacks or Callbacks(), folder=folder, resume=resume, device=where
        )
        fitting.discard_previous()
        self._fit_by_workers(partial(self._fit_file, file, fitting))
        return self

    def check_file(self, file: VectorFile) -> None:
        """Check that the file and the method fit :meth:`fit_file`.

        Raises:
            ValueError: see :meth:`fit_file`.
        """
        if not self.streams:
            raise ValueError(f"{self.method} needs all vectors in memory and cannot be streamed")
        self.check_count(file.num_rows)
        self._check_fit_inputs(file.dim, None, None)

    def check_fit(
        self,
        vectors: Tensor,
        item_ids: Tensor,
        *,
        pairs: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:
        """Check the arguments of :meth:`fit`, without fitting and without writing files.

        Raises:
            ValueError: see :meth:`fit`.
        """
        self._checked(vectors, item_ids, pairs, weights)

    def refit(
        self,
        vectors: Tensor,
        item_ids: Tensor,
        *,
        keep_levels: int = 0,
        seed: int = 0,
        callbacks: Callbacks | None = None,
        weights: Tensor | None = None,
        device: str | torch.device = AUTO,
    ) -> Self:
        """Fit the codebooks again, to a changed catalogue.

        The encoder, if the method has one, and the first ``keep_levels`` codebooks do not change,
        so old vectors keep their first ``keep_levels`` codes. The other codebooks are fitted to the
        residuals by k-means, also if training fitted them before (``balanced-rq``: under its
        capacity). Only the first levels can be kept, since a level depends on the residuals of the
        levels before it.

        Args:
            vectors: ``[N, D]``, the whole new catalogue.
            item_ids: ``[N]``.
            keep_levels: 0 … L − 1.
            seed: seed of k-means.
            callbacks: receive each stage and, within it, the share done and the current metrics.
            weights: see :meth:`fit`.
            device: see :meth:`fit`.

        Raises:
            RuntimeError: not fitted.
            ValueError: see :meth:`fit`; ``keep_levels`` is out of range, the width of the vectors
                does not fit what is kept, or the method has no codebooks.
        """
        points = self._check_items("refit", vectors, item_ids)
        if not 0 <= keep_levels < len(self._sizes):
            raise ValueError(
                f"{self._name}.refit: keep_levels must be 0 … {len(self._sizes) - 1}, so that a "
                f"level remains to fit, got {keep_levels}"
            )
        checked = self._check_weights("refit", weights, points)
        where = resolve_device(device)
        fitting = Fitting(seed, callbacks or Callbacks(), weights=checked, device=where)
        self._refit(points, keep_levels, fitting)
        return self

    def check_count(self, items: int) -> None:
        """Check that there are enough items for a fit.

        Raises:
            ValueError: fewer items than codes of a level, or none.
        """
        if not items:
            raise ValueError(f"{self._name}: needs at least one item, got 0")
        if items < max(self._sizes):
            raise ValueError(
                f"{self._name}: {items} items cannot fill {max(self._sizes)} codes; use fewer codes"
            )

    @abstractmethod
    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Return the codes ``[N, L]`` int32 of vectors, each independent of the others.

        Args:
            vectors: ``[N, D]``, finite.
            weights: ``[N]``: ``balanced-rq`` then assigns all rows jointly, under its capacity.
                Other methods ignore them.

        Raises:
            RuntimeError: not fitted.
            ValueError: a vector is not finite, or has another width than in :meth:`fit`.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Return the vectors ``[N, D]`` float32 of codes ``[N, L]``; code −1 contributes zero.

        Raises:
            RuntimeError: not fitted.
            IndexError: a code is neither −1 nor in the range of its level.
        """

    def latents(self, vectors: Tensor) -> Tensor:
        """Return what the codebooks quantize, ``[N, d]`` float32.

        This is the encoder's output, or ``vectors [N, D]`` if the method has no encoder.
        """
        return vectors.float()

    @abstractmethod
    def _fit(self, points: Tensor, fitting: Fitting) -> None:
        """Fit to ``points [N, D]``, checked and float32."""

    def _fit_file(self, file: VectorFile, fitting: Fitting) -> None:
        """Fit to a file that :meth:`check_file` has checked; for methods that stream."""
        raise NotImplementedError

    @abstractmethod
    def _refit(self, points: Tensor, keep_levels: int, fitting: Fitting) -> None:
        """Fit the codebooks from level ``keep_levels`` on."""

    def _fit_by_workers(self, fit: Callable[[], None]) -> None:
        """Call ``fit`` on all workers if they share its work, otherwise on the first one.

        The other workers then get its result.
        """
        if self.shares_fit or not workers.several():
            fit()
            return

        def fit_alone() -> dict[str, Tensor]:
            fit()
            return self._state()

        state = workers.on_first(fit_alone)
        if not workers.is_first():
            self._restore(state)

    def _not_fitted(self) -> RuntimeError:
        return RuntimeError(f"{self._name}: not fitted; call fit or load first")

    def _check_fit_inputs(self, dim: int, pairs: Tensor | None, weights: Tensor | None) -> None:
        """Check further requirements of the method on the input of :meth:`_fit`.

        Args:
            dim: D.
            pairs: ``[E, 2]`` rows of the points.
            weights: ``[N]``.

        Raises:
            ValueError: the method cannot be fitted to this input.
        """

    def _checked(
        self,
        vectors: Tensor,
        item_ids: Tensor,
        pairs: Tensor | None,
        weights: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the checked points, pairs (as rows) and weights."""
        points = self._check_items("fit", vectors, item_ids)
        rows = None if pairs is None else rows_of(f"{self._name}.fit", pairs, item_ids)
        checked = self._check_weights("fit", weights, points)
        self._check_fit_inputs(points.shape[1], rows, checked)
        return points, rows, checked

    def _check(self, call: str, vectors: Tensor) -> Tensor:
        return check_vectors(f"{self._name}.{call}", vectors)

    def _check_width(self, call: str, points: Tensor, width: int) -> None:
        check_width(f"{self._name}.{call}", points, width)

    def _check_items(self, call: str, vectors: Tensor, item_ids: Tensor) -> Tensor:
        points = self._check(call, vectors)
        check_ids(f"{self._name}.{call}", item_ids, points)
        self.check_count(len(points))
        return points

    def _check_weights(self, call: str, weights: Tensor | None, points: Tensor) -> Tensor | None:
        return None if weights is None else check_weights(f"{self._name}.{call}", weights, points)
