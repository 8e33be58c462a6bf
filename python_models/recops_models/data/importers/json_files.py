"""Reading JSON objects as lists of pairs, which preserve repeated keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recops.files import read_bounded
from recops_models.data.errors import DataError


class _Pairs(list[tuple[str, Any]]):
    """All key–value pairs of a JSON object."""


def read_object(file: Path, meaning: str) -> list[tuple[str, Any]]:
    """Return the pairs of the JSON object in ``file``; nested objects become dicts.

    Args:
        file: path of a UTF-8 file.
        meaning: description of the expected content, for errors.

    Raises:
        DataError: the file is missing or larger than 1 GiB; it is not a JSON object, or an empty
            one.
    """
    try:
        pairs = json.loads(read_bounded(file), object_pairs_hook=_Pairs)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; expected {meaning}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not readable as JSON ({error}); expected {meaning}") from error
    if not isinstance(pairs, _Pairs):
        raise DataError(f"{file}: must be {meaning}, got a {type(pairs).__name__}")
    if not pairs:
        raise DataError(f"{file}: must be {meaning}, got an empty object")
    return [(key, dict(value) if isinstance(value, _Pairs) else value) for key, value in pairs]
