"""JSON objects as lists of pairs, so that a key that comes twice is seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recops.files import read_bounded
from recops_models.data.errors import DataError


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, every pair of it."""


def read_object(file: Path, meaning: str) -> list[tuple[str, Any]]:
    """The pairs of the JSON object in ``file``; objects within it become dicts.

    Args:
        file: UTF-8.
        meaning: what is due, for the error.

    Raises:
        DataError: no such file, one of more than a gibibyte, not JSON, not an object, or an empty
            one.
    """
    try:
        pairs = json.loads(read_bounded(file), object_pairs_hook=_Pairs)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; {meaning} is due") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not readable as JSON ({error}); {meaning} is due") from error
    if not isinstance(pairs, _Pairs):
        raise DataError(f"{file}: {meaning} is due, found a {type(pairs).__name__}")
    if not pairs:
        raise DataError(f"{file}: holds nothing; {meaning} is due")
    return [(key, dict(value) if isinstance(value, _Pairs) else value) for key, value in pairs]
