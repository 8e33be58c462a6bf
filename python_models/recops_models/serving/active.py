"""Record of the generation of states that a store serves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from recops_models.serving.errors import ConflictError, ModelVersionError
from recops_models.serving.keys import ACTIVE


@dataclass(frozen=True)
class Active:
    """Generation of states that a store serves. As a guard it checks that this is unchanged.

    Attributes:
        generation: number of the generation.
        version: version of the model that wrote the states.
        folder: training folder of the model, as named by the process that activated it.
    """

    generation: int
    version: bytes
    folder: str

    key: ClassVar = ACTIVE

    def check(self, value: bytes | None) -> None:
        """Check that the stored ``value`` of :attr:`key` is this record.

        Raises:
            ConflictError: another generation is active.
        """
        if value != self.pack():
            raise ConflictError(f"generation {self.generation} is no longer active")

    def renewal(self) -> None:
        """Return None: a commit leaves the record unchanged."""

    def pack(self) -> bytes:
        """Encode the record as JSON."""
        content = {
            "generation": self.generation,
            "model_version": self.version.hex(),
            "model": self.folder,
        }
        return json.dumps(content).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Active:
        """Decode the result of :meth:`pack`.

        Raises:
            ModelVersionError: ``data`` is something else.
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
                f"store: the record of the active model is invalid ({error})"
            ) from error
