"""Click examples from Parquet files larger than memory.

The folder has ``features.json`` (a :class:`FeatureSchema` written by its ``to_dict``), and
``train.parquet``, ``validation.parquet`` and ``test.parquet``. These have the label, the group and
one column per feature; sequences (oldest first) and vectors are columns of lists.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from recops.files import read_bounded
from recops_models.data.errors import DataError
from recops_models.examples.aliased_rows import AliasedRows
from recops_models.examples.click import PARTS, ClickData
from recops_models.examples.encode import last_values
from recops_models.examples.features import (
    Categorical,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
)
from recops_models.examples.fit_schema import SchemaFit
from recops_models.examples.knowledge_features import KNOWN
from recops_models.examples.parquet_rows import ParquetRows
from recops_models.examples.row_faults import RowFaults
from recops_models.examples.stream_source import StreamSource

FEATURES = "features.json"
BUFFER_BYTES = 64 << 20


def is_click_folder(folder: Path) -> bool:
    """Return whether :func:`open_click_folder` can open the folder."""
    return (folder / FEATURES).is_file()


def read_features(folder: Path) -> FeatureSchema:
    """Read the schema in ``features.json``.

    Raises:
        DataError: the file is missing, not JSON, or not a schema.
    """
    path = folder / FEATURES
    try:
        content: Any = json.loads(read_bounded(path))
        if not isinstance(content, dict):
            raise DataError("must be an object")
        return FeatureSchema.from_dict(content)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error


def open_click_folder(
    folder: Path, *, fitted: FittedSchema | None = None, buffer_bytes: int = BUFFER_BYTES
) -> ClickData:
    """Open the click data in a folder, after one pass over each file.

    The pass over the training file fits vocabularies and moments. Every pass counts the valid rows;
    the notes list the bad ones. Memory grows with the vocabularies, not with the files.

    Args:
        folder: a folder as described in this module.
        fitted: fitted schema of a trained model; None fits one to the training file.
        buffer_bytes: size of the shuffle buffer. Peak memory is three to four times this size.

    Raises:
        DataError: a file is missing, damaged or unsuitable, or has no valid row.
    """
    schema = fitted.schema if fitted else read_features(folder)
    files = [_file(folder / f"{part}.parquet", schema) for part in PARTS]
    counts, notes = [], []
    for part, file in zip(PARTS, files, strict=True):
        fit = SchemaFit(schema) if part == "train" and fitted is None else None
        count, bad_rows = _survey(file, schema, fit)
        counts.append(count)
        notes += bad_rows
        fitted = fit.finish() if fit else fitted
    assert fitted is not None
    train, validation, test = (
        StreamSource(file, fitted, count, buffer_bytes)
        for file, count in zip(files, counts, strict=True)
    )
    return ClickData(
        folder.resolve().name,
        fitted,
        train,
        validation,
        test,
        "given",
        tuple(notes),
        files=tuple(file.path for file in files),
    )


def _file(path: Path, schema: FeatureSchema) -> ParquetRows:
    """Return a file, in which the features of knowledge read the ids of users and items."""
    names = {feature.name for feature in schema.features}
    aliases = {feature: name for name, feature in KNOWN.items() if feature in names}
    return AliasedRows(path, schema, aliases) if aliases else ParquetRows(path, schema)


def _survey(
    file: ParquetRows, schema: FeatureSchema, fit: SchemaFit | None
) -> tuple[int, list[str]]:
    """Return the number of valid rows and notes on the bad ones; update ``fit`` if given."""
    faults = RowFaults(file.path.name, schema)
    count = 0
    for piece in file.pieces():
        good = faults.valid_rows(piece)
        count += good.num_rows
        if fit is not None:
            fit.update(_training_columns(good, schema))
    notes = [str(bad) for bad in faults.bad_rows]
    if not count:
        reasons = "; ".join(notes) or "the file is empty"
        raise DataError(f"{file.path}: no valid row is left ({reasons})")
    return count, notes


def _training_columns(rows: pa.RecordBatch, schema: FeatureSchema) -> dict[str, pa.Array]:
    columns = {}
    for feature in schema.features:
        if isinstance(feature, (Categorical, Numeric)):
            columns[feature.name] = rows[feature.name]
        elif isinstance(feature, Sequence):
            columns[feature.name], _ = last_values(rows[feature.name], feature.max_len)
    return columns
