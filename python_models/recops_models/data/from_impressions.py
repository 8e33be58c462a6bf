"""Data sets of impressions, labelled by the clicks that answer them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa

from recops_models.data.assemble import assemble
from recops_models.data.categories import with_integer_categories
from recops_models.data.checks import RawTable
from recops_models.data.clicks import match_clicks
from recops_models.data.columns import id_text
from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.errors import DataError
from recops_models.data.frames import Frame
from recops_models.data.from_frames import dataset_from_frames
from recops_models.data.ids import IdKind
from recops_models.data.impressions import read_impressions
from recops_models.data.repeats import with_repeats
from recops_models.data.table_options import TableOptions

LIST_COLUMNS = ("request", "model", "policy")
"""Columns of the interactions that tell which list an impression belongs to."""


def dataset_from_impressions(
    impressions: str | Path | pa.Table,
    clicks: Frame,
    catalogue: Dataset | None,
    *,
    window: int,
    options: TableOptions,
    name: str,
) -> Dataset:
    """Return a data set; see :meth:`Dataset.from_impressions` for arguments and errors.

    Lists may repeat items of the history, because a history holds every item that was shown.
    """
    source = "impressions"
    if isinstance(impressions, (str, Path)):
        source, impressions = str(impressions), read_impressions(impressions)
    answers = dataset_from_frames(clicks, options=options, repeats=None, schema=None, name="clicks")
    dataset = joined(impressions, answers, catalogue, window=window, name=name, source=source)
    dataset = with_repeats(with_integer_categories(dataset), "keep")
    return dataclasses.replace(dataset, library=answers.library, reads_lists=True)


def joined(
    impressions: pa.Table,
    clicks: Dataset,
    catalogue: Dataset | None = None,
    *,
    window: int,
    name: str,
    source: str,
    ids: IdKind = "auto",
) -> Dataset:
    """Return one interaction per impression, with ``label`` 1 if it was clicked.

    The interactions also have ``position``, ``propensity`` and :data:`LIST_COLUMNS`. The report
    counts matched and unmatched clicks.

    Args:
        impressions: result of :func:`~recops_models.data.impressions.read_impressions`.
        clicks: the clicks, as the interactions of a data set.
        catalogue: data set whose items and users describe those of the impressions; impressions of
            other items are left out. None: ids only.
        window: see :func:`~recops_models.data.clicks.match_clicks`.
        name: name of the data set.
        source: origin of the impressions, for the report.
        ids: see :func:`~recops_models.data.assemble.assemble`.

    Raises:
        DataError: the clicks have no times, or no valid impression is left.
        ValueError: ``window`` is negative.
    """
    if clicks.time != "seconds":
        raise DataError(f"{clicks.name}: clicks must have a column timestamp")
    match = match_clicks(impressions, _with_keys(clicks), window=window)
    events = {
        "user_id": id_text(impressions["user_id"]),
        "item_id": id_text(impressions["item_id"]),
        "timestamp": impressions["timestamp"],
        "label": pa.array(match.is_clicked.astype("float32")),
        "position": impressions["position"],
        "propensity": impressions["propensity"],
        "request": impressions["request"],
        "model": impressions["model"].dictionary_encode(),
        "policy": impressions["policy"].dictionary_encode(),
    }
    items = users = None
    if catalogue is not None:
        items, users = _entities(catalogue, "item"), _entities(catalogue, "user")
    dataset = assemble(
        name,
        RawTable("impressions", pa.table(events)),
        items,
        users,
        source=source,
        ids=ids,
        extra_columns=LIST_COLUMNS,
        drop_duplicates=False,
        notes=(match.note(window),),
    )
    report = dataclasses.replace(
        dataset.report,
        rows_read={**dataset.report.rows_read, "clicks": sum(clicks.report.rows_read.values())},
        bad_rows=dataset.report.bad_rows + clicks.report.bad_rows,
    )
    return dataclasses.replace(dataset, report=report)


def _with_keys(clicks: Dataset) -> pa.Table:
    """Return user, item and time of clicks, with the ids of the source."""
    events = clicks.interactions
    columns = {"timestamp": events["timestamp"]}
    for entity, vocabulary in (("user", clicks.user_vocabulary), ("item", clicks.item_vocabulary)):
        rows = pa.array(vocabulary.index(events[f"{entity}_id"].to_numpy()))
        columns[f"{entity}_id"] = entity_keys(clicks, entity).take(rows)
    return pa.table(columns)


def _entities(catalogue: Dataset, entity: str) -> RawTable:
    """Return the items or users of a data set with the ids of the source."""
    table: pa.Table = getattr(catalogue, f"{entity}s")
    column = f"{entity}_id"
    others = table.drop_columns([n for n in (column, f"{entity}_key") if n in table.column_names])
    keys = id_text(entity_keys(catalogue, entity))
    return RawTable(f"{catalogue.name} {entity}s", others.add_column(0, column, keys))
