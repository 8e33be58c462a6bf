"""What every tokenizer offers."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from torch import Tensor
from typing_extensions import Self

from recops.ops.residual_quantization.nearest_codes import Metric
from recops_models.callbacks import Callbacks
from recops_models.tokenizers.checks import (
    check_ids,
    check_vectors,
    check_weights,
    check_width,
    rows_of,
)
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.stored import StoredTokenizer


class Tokenizer(StoredTokenizer):
    """Learns codes from item vectors, and turns vectors into codes and back.

    A method is a subclass with a ``method`` name, a frozen dataclass of settings, and the hooks
    that begin with an underscore, here and in :class:`StoredTokenizer`;
    :mod:`recops_models.tokenizers.registry` lists them.

    Args:
        levels: L ≥ 1, codes of an item.
        codes: K ≥ 1, one for all levels or one a level.
        settings: of the method; None takes its defaults.

    Raises:
        ValueError: no level, or a level without codes.
        TypeError: settings of another method.
    """

    uses_pairs: ClassVar[bool] = False
    """Whether :meth:`fit` must have ``pairs``."""
    uses_weights: ClassVar[bool] = False
    """Whether ``weights`` change anything."""
    codebooks: tuple[Tensor, ...] | None = None
    """``[K_l, d]`` float32 a level, empty before :meth:`fit`; None: the method has none."""

    @property
    def metric(self) -> Metric:
        """By which a level's nearest codeword is taken."""
        return "l2"

    @property
    def stages(self) -> tuple[str, ...]:
        """The parts of :meth:`fit`, in order, as its ``callbacks`` receive them."""
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
    ) -> Self:
        """Learn; the same bits for the same seed, at any number of threads.

        Args:
            vectors: ``[N, D]`` floats, finite; N ≥ the largest level's codes where codebooks are
                learnt.
            item_ids: ``[N]`` i64, unique.
            seed: of every random draw.
            callbacks: receive each stage and, within it, the share done and the current figures.
            pairs: ``[E, 2]`` i64, ids of items that users met together. Pairs of an unknown item,
                or of one with itself, are left out. Only ``drq-vae-cl`` looks at them.
            weights: ``[N]``, finite and ≥ 0, such as exposures. Only ``balanced-rq`` looks at them.
            folder: keeps finished levels and the training's last checkpoint; None: nothing is kept.
            resume: go on from what ``folder`` holds, to the bits of a fit never stopped; otherwise
                what an earlier fit left there is removed.

        Returns:
            Itself.

        Raises:
            ValueError: fewer items than codes, a vector that is not finite, or other shapes; what
                the method cannot learn from.
            KeyboardInterrupt: handed on.
        """
        points, rows, checked = self._checked(vectors, item_ids, pairs, weights)
        given = Fitting(seed, callbacks or Callbacks(), rows, checked, folder, resume)
        given.begin()
        self._fit(points, given)
        return self

    def check_fit(
        self,
        vectors: Tensor,
        item_ids: Tensor,
        *,
        pairs: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:
        """Whether :meth:`fit` takes these. Nothing is learnt, and no file is touched.

        Raises:
            ValueError: as :meth:`fit` says before it learns.
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
    ) -> Self:
        """Learn codebooks anew for a changed catalogue; what came before them stays.

        The encoder, where the method has one, and the first ``keep_levels`` codebooks are kept to
        the bit: old vectors keep their first ``keep_levels`` codes. The other codebooks are learnt
        on what those leave of ``vectors``, by k-means whatever learnt them first (``balanced-rq``:
        under its capacity). A level is learnt on the residuals of those before it, so only the
        first levels can be kept.

        Args:
            vectors: ``[N, D]``, all of the new catalogue.
            item_ids: ``[N]``.
            keep_levels: 0 … L − 1.
            seed: of k-means.
            callbacks: receive each stage and, within it, the share done and the current figures.
            weights: as in :meth:`fit`.

        Raises:
            RuntimeError: not fitted.
            ValueError: as in :meth:`fit`; ``keep_levels`` out of range; another width than that of
                codebooks or an encoder that stay; a method that learns no codebooks.
        """
        points = self._check_items("refit", vectors, item_ids)
        if not 0 <= keep_levels < len(self._sizes):
            raise ValueError(
                f"{self._name}.refit: keep_levels must be 0 … {len(self._sizes) - 1}, so that a "
                f"level is left to learn, got {keep_levels}"
            )
        checked = self._check_weights("refit", weights, points)
        self._refit(points, keep_levels, Fitting(seed, callbacks or Callbacks(), weights=checked))
        return self

    def check_count(self, items: int) -> None:
        """Whether so many items are enough to learn from.

        Raises:
            ValueError: fewer items than codes of a level, or none.
        """
        if not items:
            raise ValueError(f"{self._name}: no items to learn from")
        if items < max(self._sizes):
            raise ValueError(
                f"{self._name}: {items} items cannot fill {max(self._sizes)} codes; use fewer codes"
            )

    @abstractmethod
    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Codes ``[N, L]`` int32 of ``vectors [N, D]``, each by itself.

        Args:
            vectors: finite.
            weights: ``[N]``: ``balanced-rq`` then assigns all rows together, so that no code
                carries more than its capacity. Other methods take no notice.

        Raises:
            RuntimeError: not fitted.
            ValueError: a vector that is not finite, or of another width than those learnt from.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """The vectors ``[N, D]`` float32 that codes ``[N, L]`` stand for; code −1 adds nothing.

        Raises:
            RuntimeError: not fitted.
            IndexError: a code that is neither −1 nor one of its level's.
        """

    def latents(self, vectors: Tensor) -> Tensor:
        """``[N, d]`` float32: what the codebooks quantize of ``vectors [N, D]``.

        The vectors themselves, unless the method has an encoder.
        """
        return vectors.float()

    @abstractmethod
    def _fit(self, points: Tensor, given: Fitting) -> None:
        """Learn from ``points [N, D]``, checked and float32."""

    @abstractmethod
    def _refit(self, points: Tensor, keep_levels: int, given: Fitting) -> None:
        """Learn the codebooks from ``keep_levels`` on."""

    def _not_fitted(self) -> RuntimeError:
        return RuntimeError(f"{self._name}: not fitted; call fit or load first")

    def _check_given(self, dim: int, pairs: Tensor | None, weights: Tensor | None) -> None:
        """Refuse what :meth:`_fit` could not learn from: its checks beyond those of all methods.

        Args:
            dim: D, of the points.
            pairs: ``[E, 2]`` rows of them.
            weights: ``[N]``.
        """

    def _checked(
        self,
        vectors: Tensor,
        item_ids: Tensor,
        pairs: Tensor | None,
        weights: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The points, the pairs' rows and the weights that :meth:`_fit` takes."""
        points = self._check_items("fit", vectors, item_ids)
        rows = None if pairs is None else rows_of(f"{self._name}.fit", pairs, item_ids)
        checked = self._check_weights("fit", weights, points)
        self._check_given(points.shape[1], rows, checked)
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
