"""Log of impressions: a folder with one sealed Parquet file per call of ``recommend``.

A row is an item that was shown to a user:

- ``request`` string: the list that the item belongs to,
- ``user_id``, ``item_id``: ids of the source, integers or text,
- ``position`` i64, from 1,
- ``propensity`` f64: the probability of the item given the earlier ones of its list, 1 without
  exploration,
- ``score`` f32, on the scale of the model,
- ``timestamp`` i64, seconds since the epoch,
- ``model``, ``policy`` strings: model with the start of its file's SHA-256, and exploration.

Each file is written completely or not at all, under a new name. Concurrent calls may therefore
write to one folder, and no reader sees a part of a call.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from recops.files import SEAL, CorruptFileError, read_sealed, write_sealed
from recops_models.data.errors import DataError

IMPRESSIONS_VERSION = 1

_KIND = "impressions"
_FORMAT = b"recops.format"
_PATTERN = f"{_KIND}-*.parquet"
_COLUMNS = (
    *("request", "user_id", "item_id", "position", "propensity", "score", "timestamp"),
    *("model", "policy"),
)


def impressions_of(
    lists: pa.Table, *, model: str, policy: str, timestamp: float | None = None
) -> pa.Table:
    """Return the impressions of lists, with the columns of this module.

    Args:
        lists: columns ``user``, ``place`` from 1, ``item``, ``score`` and optionally
            ``propensity``, one row per item. Each user has one list.
        model: the model.
        policy: the exploration.
        timestamp: time of the impressions in seconds since the epoch; None: now.

    Raises:
        ValueError: a propensity is not in (0, 1].
    """
    count = lists.num_rows
    token = secrets.token_hex(8)
    number = lists["user"].combine_chunks().dictionary_encode().indices
    requests = [f"{token}-{row}" for row in number.to_pylist()]
    seconds = int(time.time() if timestamp is None else timestamp)
    propensity = np.ones(count)
    if "propensity" in lists.column_names:
        propensity = lists["propensity"].to_numpy()
    if not ((propensity > 0) & (propensity <= 1)).all():
        raise ValueError("impressions: each propensity must be in (0, 1]")
    return pa.table(
        {
            "request": pa.array(requests, pa.string()),
            "user_id": lists["user"],
            "item_id": lists["item"],
            "position": lists["place"],
            "propensity": propensity,
            "score": lists["score"],
            "timestamp": np.full(count, seconds),
            "model": pa.array([model] * count, pa.string()),
            "policy": pa.array([policy] * count, pa.string()),
        }
    )


def check_log(folder: Path) -> None:
    """Check that impressions can be written into a folder, before lists are computed.

    Raises:
        ValueError: the path is a file, or the folder cannot be created or written.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"log: must be a folder, got the file {folder}")
    existing = folder if folder.exists() else folder.resolve().parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(f"log: {existing} must be a folder that can be written")


def write_impressions(folder: Path, impressions: pa.Table) -> Path:
    """Add the impressions of one call to a folder, completely or not at all; return the file.

    Args:
        folder: created if missing.
        impressions: result of :func:`impressions_of`.

    Raises:
        OSError: the folder cannot be written; it has no part of the impressions.
    """
    folder.mkdir(exist_ok=True)
    header = json.dumps({"kind": _KIND, "version": IMPRESSIONS_VERSION})
    sink = pa.BufferOutputStream()
    metadata = {_FORMAT: header.encode(), b"recops": SEAL.encode()}
    pa.parquet.write_table(impressions.replace_schema_metadata(metadata), sink)
    name = f"{_KIND}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(8)}.parquet"
    write_sealed(folder / name, sink.getvalue().to_pybytes())
    return folder / name


def read_impressions(path: str | Path) -> pa.Table:
    """Return all impressions of a log, in the order of time, request and position.

    Ids are text if those of any call are.

    Args:
        path: folder of ``recommend(log=...)``, or one of its files.

    Raises:
        CorruptFileError: a file is damaged, truncated, not a log, or from a newer version.
        DataError: the folder is missing or holds no impressions.

    Example:
        >>> import tempfile
        >>> import recops_models as rm
        >>> events = {"user_id": list("aaabbb"), "item_id": [1, 2, 3, 2, 3, 4]}
        >>> events["timestamp"] = [0, 1, 2, 0, 1, 2]
        >>> model = rm.train("popularity", rm.Dataset.from_frames(events))
        >>> with tempfile.TemporaryDirectory() as log:
        ...     lists = model.recommend(["a"], k=1, explore="epsilon=0.5", log=log)
        ...     impressions = rm.read_impressions(log)
        >>> impressions["item_id"].to_pylist(), impressions["propensity"].to_pylist()
        ([4], [1.0])
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob(_PATTERN))
    if not files:
        raise DataError(f"{path}: no impressions; `recops recommend --log {path}` writes them")
    tables = [_read(file) for file in files]
    for name in ("user_id", "item_id"):
        if any(pa.types.is_string(table[name].type) for table in tables):
            tables = [_with_text(table, name) for table in tables]
    table = pa.concat_tables(tables)
    keys = [(name, "ascending") for name in ("timestamp", "request", "position")]
    return table.sort_by(keys).combine_chunks()


def _read(file: Path) -> pa.Table:
    parquet = pa.parquet.ParquetFile(pa.BufferReader(read_sealed(file)))
    table = parquet.read(use_threads=False)
    try:
        header = json.loads((table.schema.metadata or {})[_FORMAT])
        kind, version = header["kind"], header["version"]
    except (KeyError, TypeError, ValueError):
        raise CorruptFileError(f"{file}: holds no impressions of `recops recommend`") from None
    if kind != _KIND or not isinstance(version, int) or version > IMPRESSIONS_VERSION:
        raise CorruptFileError(
            f"{file}: {kind} format {version}, but this version reads {_KIND} up to "
            f"{IMPRESSIONS_VERSION}"
        )
    return table.replace_schema_metadata(None).select(_COLUMNS)


def _with_text(table: pa.Table, name: str) -> pa.Table:
    index = table.column_names.index(name)
    return table.set_column(index, name, table[name].cast(pa.string()))
