"""Importer of a log of impressions and the clicks that answer them."""

from __future__ import annotations

from pathlib import Path

from recops_models.data import impressions
from recops_models.data.clicks import DAY
from recops_models.data.dataset import Dataset
from recops_models.data.from_impressions import joined
from recops_models.data.ids import IdKind
from recops_models.data.importers.folder import read_folder
from recops_models.data.table_options import TableOptions


def read_impressions(
    path: Path,
    *,
    clicks: Path,
    window: int = DAY,
    catalogue: Dataset | None = None,
    name: str | None = None,
    ids: IdKind = "auto",
    options: TableOptions | None = None,
) -> Dataset:
    """Read the impressions in ``path``, labelled by the clicks in a file.

    Args:
        path: folder of ``recops recommend --log``.
        clicks: file or folder of clicks, with ``user_id``, ``item_id`` and ``timestamp``.
        window: longest time from an impression to its click, in seconds.
        catalogue: data set whose items and users describe those of the impressions.
        name: name of the data set; None: the name of the folder.
        ids: see :func:`~recops_models.data.assemble.assemble`.
        options: names, separator and times of the clicks.

    Raises:
        CorruptFileError: a file of the log is damaged or from a newer version.
        DataError: the log is empty, the clicks cannot be read or have no times, or no valid
            impression is left.
        ValueError: ``window`` is negative.
    """
    return joined(
        impressions.read_impressions(path),
        read_folder(clicks, ids="string", options=options),
        catalogue,
        window=window,
        name=name or path.resolve().name,
        source=str(path),
        ids=ids,
    )
