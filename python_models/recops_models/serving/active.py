"""Which states of a store are served."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from recops_models.serving.errors import ConflictError, ModelVersionError
from recops_models.serving.keys import ACTIVE


@dataclass(frozen=True)
class Active:
    """Which states of a store are served.

    Attributes:
        generation: under which they lie.
        version: of their model.
        folder: of that model's training, as the one who made it active named it.
    """

    generation: int
    version: bytes
    folder: str

    key: ClassVar = ACTIVE

    def check(self, value: bytes | None) -> None:
        """Raises ConflictError where ``value``, of :attr:`key`, says that others are served now."""
        if value != self.pack():
            raise ConflictError(f"generation {self.generation} is not active any longer")

    def renewed(self) -> None:
        """Nothing is to be committed."""

    def pack(self) -> bytes:
        """JSON."""
        content = {
            "generation": self.generation,
            "model_version": self.version.hex(),
            "model": self.folder,
        }
        return json.dumps(content).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Active:
        """What :meth:`pack` gave.

        Raises:
            ModelVersionError: it is something else.
        """
        try:
            content = json.loads(data)
            return cls(
                int(content["generation"]),
                bytes.fromhex(content["model_version"]),
                content["model"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ModelVersionError(
                f"the store does not tell whose its states are ({error})"
            ) from error
