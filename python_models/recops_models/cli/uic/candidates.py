"""Candidates of ``recops uic score --candidates``, from the command line or a file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from recops.files import read_bounded
from recops_models.data.checks import with_columns
from recops_models.data.columns import id_text
from recops_models.data.errors import DataError
from recops_models.data.importers.parquet_files import read_parquet
from recops_models.data.importers.text_files import read_delimited

_KEY = "item_id"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_FILE_PATTERN = re.compile(r"/|\.[A-Za-z][A-Za-z0-9]*$")


def read_candidates(argument: str) -> Sequence[object]:
    """Return the item ids in the argument, or in the file that it names.

    Args:
        argument: ids such as ``1,2,3``; or the path of a file. Supported are ``.parquet``, ``.csv``
            and ``.tsv`` with a column ``item_id``, ``.json`` with a list, and text with one id per
            line.

    Raises:
        FileNotFoundError: the argument looks like a path, and the file does not exist. A trailing
            comma marks it as an id.
        DataError: the file cannot be read in the format of its suffix.
    """
    path = Path(argument)
    if not _is_file(path):
        if "," not in argument and _FILE_PATTERN.search(argument):
            raise FileNotFoundError(
                f"{argument}: no such file of candidates; to score an item with this id, append a "
                "comma"
            )
        return [item.strip() for item in argument.split(",") if item.strip()]
    if path.suffix in (".csv", ".tsv", ".parquet"):
        return _read_table(path)
    text = _read_text(path)
    if path.suffix == ".json":
        return _parse_json(path, text)
    return [line.strip() for line in text.split("\n") if line.strip()]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # A long list of ids exceeds the limit of a file name.
        return False


def _read_table(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        raw = read_parquet(path)
    else:
        raw = read_delimited(path, delimiter=_DELIMITERS[path.suffix], text=(_KEY,))
    if raw.malformed:
        row, reason = raw.malformed[0]
        raise DataError(f"{path}, row {row}: cannot be read: {reason}")
    ids: list[str] = id_text(with_columns(raw, (_KEY,)).table[_KEY]).to_pylist()
    return ids


def _read_text(path: Path) -> str:
    try:
        return read_bounded(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as text ({error})") from error


def _parse_json(path: Path, text: str) -> list[object]:
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: must be JSON ({error})") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: must be a list of ids, got {content!r:.40}")
    return content
