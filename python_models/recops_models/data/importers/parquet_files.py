"""Reading Parquet files as raw tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from recops_models.data.checks import RawTable
from recops_models.data.errors import DataError


def read_parquet(file: Path) -> RawTable:
    """Read all rows and columns of a Parquet file.

    Raises:
        DataError: the file is missing or unreadable.
    """
    try:
        table = pa.parquet.ParquetFile(file).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not readable as Parquet ({error})") from error
    return RawTable(file.name, table.replace_schema_metadata(None))
