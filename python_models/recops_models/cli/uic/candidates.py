"""Items to be scored, as ``recops uic score --candidates`` names them."""

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
_LIKE_A_FILE = re.compile(r"/|\.[A-Za-z][A-Za-z0-9]*$")


def candidates_of(named: str) -> Sequence[object]:
    """Items' ids.

    Args:
        named: ``1,2,3``; or a file: ``.parquet``, ``.csv`` or ``.tsv`` with a header line, of which
            ``item_id`` is a column; ``.json``, a list; any other has an id a line.

    Raises:
        FileNotFoundError: it looks like a file's name, and there is none. With a comma behind it,
            it is an id.
        DataError: the file cannot be read as what its name says; the text names it.
    """
    path = Path(named)
    if not _is_file(path):
        if "," not in named and _LIKE_A_FILE.search(named):
            raise FileNotFoundError(
                f"{named}: no such file of candidates; to score an item of that id, put a comma "
                "behind it"
            )
        return [item.strip() for item in named.split(",") if item.strip()]
    if path.suffix in (".csv", ".tsv", ".parquet"):
        return _of_table(path)
    text = _text(path)
    if path.suffix == ".json":
        return _of_json(path, text)
    return [line.strip() for line in text.split("\n") if line.strip()]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # Many ids are longer than a name may be.
        return False


def _of_table(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        raw = read_parquet(path)
    else:
        raw = read_delimited(path, delimiter=_DELIMITERS[path.suffix], text=(_KEY,))
    if raw.malformed:
        row, reason = raw.malformed[0]
        raise DataError(f"{path}, row {row}: cannot be read: {reason}")
    ids: list[str] = id_text(with_columns(raw, (_KEY,)).table[_KEY]).to_pylist()
    return ids


def _text(path: Path) -> str:
    try:
        return read_bounded(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as text ({error})") from error


def _of_json(path: Path, text: str) -> list[object]:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: must be JSON ({error})") from error
    if not isinstance(found, list):
        raise DataError(f"{path}: must be a list of ids, got {found!r:.40}")
    return found
