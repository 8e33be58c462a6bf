"""Configuration of a tokenizer, and its file."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from typing_extensions import Self

from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.settings import JsonObject, from_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

KIND = "tokenizer"


class StoredTokenizer(ABC):
    """Base of tokenizers: sizes, settings and the file.

    Args:
        levels: L ≥ 1, codes per item.
        codes: K ≥ 1, one number for all levels or one per level.
        settings: settings of the method; None: its defaults.

    Raises:
        ValueError: ``levels`` < 1, or a level without codes.
        TypeError: the settings belong to another method.
    """

    method: ClassVar[str]
    """Name of the method on the command line and in files."""
    settings_type: ClassVar[type[DataclassInstance]]
    settings: DataclassInstance
    """Instance of :attr:`settings_type`."""

    def __init__(
        self,
        levels: int = 3,
        codes: int | Sequence[int] = 256,
        settings: DataclassInstance | None = None,
    ) -> None:
        sizes = (codes,) * levels if isinstance(codes, int) else tuple(codes)
        if levels < 1 or len(sizes) != levels or min(sizes) < 1:
            raise ValueError(
                f"{self._name}: codes must be a number of at least 1, or {levels} such numbers, "
                f"one per level, got {codes}"
            )
        self.settings = self.settings_type() if settings is None else settings
        if not isinstance(self.settings, self.settings_type):
            raise TypeError(
                f"{self._name}: settings must be {self.settings_type.__name__}, "
                f"got {type(self.settings).__name__}"
            )
        self._sizes = sizes

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        return self._sizes

    def config(self) -> dict[str, object]:
        """Return the configuration, JSON-ready; see :meth:`of_config`."""
        settings = dataclasses.asdict(self.settings)
        return {
            "levels": len(self._sizes),
            "codes": list(self._sizes),
            **{k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()},
        }

    @classmethod
    def of_config(cls, config: JsonObject) -> Self:
        """Return an unfitted tokenizer with a configuration of :meth:`config`."""
        settings = dict(config)
        levels, codes = settings.pop("levels"), settings.pop("codes")
        return cls(levels, codes, from_json(cls.settings_type, settings))

    def save(self, path: Path) -> None:
        """Write the fitted state and the configuration to a sealed safetensors file, atomically.

        Raises:
            RuntimeError: not fitted.
            OSError: the file cannot be written; an existing file is unchanged.
        """
        meta = {"method": self.method, "config": self.config()}
        save_tensors(path, self._state(), kind=KIND, meta=meta)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a tokenizer of this method that :meth:`save` wrote.

        :func:`recops_models.tokenizers.load_tokenizer` loads one of any method.

        Raises:
            CorruptFileError: the file is damaged, or holds no tokenizer of this method.
            FileNotFoundError: the file does not exist.
        """
        tensors, meta = load_tensors(path, kind=KIND)
        if meta["method"] != cls.method:
            raise CorruptFileError(f"{path}: holds a tokenizer {meta['method']}, not {cls.method}")
        tokenizer = cls.of_config(meta["config"])
        tokenizer._restore(tensors)
        return tokenizer

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """Return the fitted tensors by name."""

    @abstractmethod
    def _restore(self, state: Mapping[str, Tensor]) -> None:
        """Set the fitted tensors that :meth:`_state` returned."""

    @property
    def _name(self) -> str:
        return type(self).__name__
