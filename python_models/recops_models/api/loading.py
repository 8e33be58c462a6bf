"""Loading of data sets and of trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recops._hub import local_folder
from recops_models.api.model import Model
from recops_models.training.device import AUTO

if TYPE_CHECKING:
    from recops_models.data.dataset import Dataset, Repeats
    from recops_models.data.ids import IdKind
    from recops_models.data.table_options import TimeUnit


def load_data(
    name_or_folder: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    separator: str | None = None,
    header: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    time_unit: TimeUnit = "s",
    time_format: str | None = None,
    ids: IdKind = "auto",
    repeats: Repeats | None = None,
    schema: str | Path | None = None,
) -> Dataset:
    """Load a data set by name, or from a folder or file of interactions.

    Args:
        name_or_folder: a name of ``recops data list``; a folder that ``recops data import`` wrote,
            or one with ``interactions.parquet``, ``.csv``, ``.tsv`` or ``.csv.gz``; or a file of
            interactions. The other arguments except ``repeats`` describe such own files.
        columns: names in the files by canonical name, such as ``{"item_id": "sku"}``.
        separator: character between fields; None: found from the suffix and the first line.
        header: column names of files without a header line: of the interactions, or by table.
        time_unit: unit of numbers in ``timestamp`` since the epoch; ``"order"`` ignores them, for
            rows in the order of the events. Files without ``timestamp`` are read so too.
        time_format: format of text in ``timestamp``, such as ``"%d/%m/%Y %H:%M"``; None reads ISO
            dates, ``2026/01/31`` and ``31.01.2026``.
        ids: ``"integer"``, ``"string"``, or ``"auto"``, which chooses by the values.
        repeats: ``"keep"`` if lists may contain items of the history, ``"drop"`` if not. None: as
            imported; own files keep repeats if they are at least a tenth of the events.
        schema: file of the roles of columns, see :mod:`recops_models.data.column_schema`; None:
            ``schema.yaml`` in the folder, if it has this file.

    Raises:
        UnknownDataError: no data set of this name and no such path.
        DataError: the data is missing, damaged or unsuitable; an argument is invalid, or does not
            apply to a named or imported data set.

    Example:
        >>> import tempfile
        >>> import pyarrow as pa
        >>> from pyarrow import csv
        >>> import recops_models as rm
        >>> log = pa.table({"user_id": ["u1", "u1"], "item_id": ["a", "b"], "timestamp": [0, 1]})
        >>> with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        ...     csv.write_csv(log, file.name)
        ...     rm.load_data(file.name).interactions.num_rows
        2
    """
    from recops_models.data.column_schema import ColumnSchema
    from recops_models.data.sets import load as load_set
    from recops_models.data.table_options import TableOptions

    if header is not None and not isinstance(header, Mapping):
        header = {"interactions": header}
    options: TableOptions | None = TableOptions(
        columns or {}, separator, header or {}, time_unit, time_format
    )
    if options == TableOptions():
        options = None
    roles = None if schema is None else ColumnSchema.read(Path(schema))
    return load_set(name_or_folder, ids=ids, options=options, repeats=repeats, schema=roles)


def load(
    folder_or_repo: str | Path,
    *,
    device: str = AUTO,
    data: Dataset | str | Path | None = None,
) -> Model:
    """Load a trained model.

    Args:
        folder_or_repo: folder of ``recops train``, of :func:`recops_models.train` or of
            :meth:`Model.save_pretrained`; or a Hugging Face repository, ``"owner/name"``, which is
            downloaded.
        device: where the model works, by the names of :func:`recops_models.train`.
        data: newer data, or its name or folder: the current users, items and events. They are
            matched by id, and a warning says how the model serves new ones. None: the data of the
            training.

    Raises:
        CorruptFileError: a file is damaged, or of an incompatible version.
        FileNotFoundError: no such folder, or it holds no finished model.
        ValueError: unknown or missing device.

    Example:
        >>> import recops_models as rm
        >>> log = {"user_id": list("aaabbb"), "item_id": [1, 2, 3, 2, 3, 1]}
        >>> log["timestamp"] = [0, 1, 2, 0, 1, 2]
        >>> model = rm.train("popularity", rm.Dataset.from_frames(log))
        >>> rm.load(model.folder).config["model"]
        'popularity'
    """
    return Model(local_folder(folder_or_repo, "load"), device=device, data=data)
