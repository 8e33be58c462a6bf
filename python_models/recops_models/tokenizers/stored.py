"""What makes a tokenizer, and the file that keeps it with what it learnt."""

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
    """A method's sizes and settings, and its file.

    Args:
        levels: L ≥ 1, codes of an item.
        codes: K ≥ 1, one for all levels or one a level.
        settings: of the method; None takes its defaults.

    Raises:
        ValueError: no level, or a level without codes.
        TypeError: settings of another method.
    """

    method: ClassVar[str]
    """The name on the command line and in files."""
    settings_type: ClassVar[type[DataclassInstance]]
    settings: DataclassInstance
    """Of :attr:`settings_type`."""

    def __init__(
        self,
        levels: int = 3,
        codes: int | Sequence[int] = 256,
        settings: DataclassInstance | None = None,
    ) -> None:
        sizes = (codes,) * levels if isinstance(codes, int) else tuple(codes)
        if levels < 1 or len(sizes) != levels or min(sizes) < 1:
            raise ValueError(
                f"{self._name}: {levels} levels with {codes} codes: each level needs its own, "
                "1 or more"
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
        """What makes this tokenizer anew, JSON-ready."""
        settings = dataclasses.asdict(self.settings)
        return {
            "levels": len(self._sizes),
            "codes": list(self._sizes),
            **{k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()},
        }

    @classmethod
    def of_config(cls, config: JsonObject) -> Self:
        """An unfitted tokenizer from what :meth:`config` gave."""
        rest = dict(config)
        levels, codes = rest.pop("levels"), rest.pop("codes")
        return cls(levels, codes, from_json(cls.settings_type, rest))

    def save(self, path: Path) -> None:
        """Write what was learnt, and the configuration, as one sealed safetensors file.

        Raises:
            RuntimeError: not fitted.
            OSError: no room; a file that was there stays.
        """
        meta = {"method": self.method, "config": self.config()}
        save_tensors(path, self._state(), kind=KIND, meta=meta)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The tokenizer of this method that :meth:`save` wrote.

        See :func:`recops_models.tokenizers.load_tokenizer` for one of any method.

        Raises:
            CorruptFileError: the file is damaged, or holds no tokenizer of this method.
            FileNotFoundError: no such file.
        """
        tensors, meta = load_tensors(path, kind=KIND)
        if meta["method"] != cls.method:
            raise CorruptFileError(f"{path}: holds a tokenizer {meta['method']}, not {cls.method}")
        tokenizer = cls.of_config(meta["config"])
        tokenizer._restore(tensors)
        return tokenizer

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """All that was learnt."""

    @abstractmethod
    def _restore(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`_state` gave."""

    @property
    def _name(self) -> str:
        return type(self).__name__
