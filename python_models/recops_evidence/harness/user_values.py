"""Values per user whose means are the test metrics of a run."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

_STORED = np.dtype("<f2")


@dataclass(frozen=True, eq=False)
class UserValues:
    """Values per user, one array per metric; the mean of an array is the metric.

    A metric that is no mean over users, such as gAUC, is represented by its linear terms; see
    :mod:`recops_models.evaluation.user_terms`.

    Attributes:
        users: digest of the user ids; runs with the same digest have the same users in the same
            order.
        values: ``[U]`` by metric.
    """

    users: str
    values: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, ids: NDArray[np.generic], values: Mapping[str, NDArray[np.floating]]) -> Self:
        """Return the values of the users ``ids [U]``, each once and ascending, as stored."""
        digest = hashlib.sha256(json.dumps(ids.tolist()).encode()).hexdigest()
        rounded = {name: each.astype(_STORED).astype(np.float32) for name, each in values.items()}
        return cls(digest, rounded)

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Self:
        """Restore the result of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError: the content is invalid.
        """
        users, values = content["users"], content["values"]
        if not (isinstance(users, str) and isinstance(values, dict)):
            raise ValueError("user values must be a digest and arrays")
        return cls(users, {name: _unpacked(text) for name, text in values.items()})

    def to_json(self) -> dict[str, object]:
        """Return JSON with two bytes per value before compression."""
        packed = {
            name: base64.b64encode(zlib.compress(each.astype(_STORED).tobytes(), 9)).decode()
            for name, each in self.values.items()
        }
        return {"users": self.users, "values": packed}


def _unpacked(text: str) -> NDArray[np.float32]:
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"user values are damaged ({error})") from error
    return np.frombuffer(data, _STORED).astype(np.float32)
