"""Filters of ``recops recommend``: items that users may, must not, or shall receive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from recops_models.api.items import Reader
    from recops_models.data.dataset import Dataset
    from recops_models.recipes.answers import RequestItems
    from recops_models.recipes.request_events import RequestEvents


@dataclass(frozen=True)
class RequestFilters:
    """Filters of one command, each a file, ids, or a condition; None: no filter.

    Attributes:
        allowed: the only items to recommend.
        banned: items not to recommend.
        candidates: file of the items to rank for each user.
        where: condition on item columns.
    """

    allowed: str | None = None
    banned: str | None = None
    candidates: Path | None = None
    where: str | None = None

    def __bool__(self) -> bool:
        """Return whether there is any filter."""
        return self != RequestFilters()

    def items(self, events: RequestEvents, catalogue: Dataset) -> RequestItems:
        """Return the items that each request may receive.

        A line on stderr counts ids that the catalogue lacks.

        Args:
            events: the requests.
            catalogue: all items that can be recommended; new ones come last.

        Raises:
            DataError: a file cannot be read or lacks a column, or the condition is unfit.
        """
        import torch

        from recops_models.api.filters import intersection, items_where
        from recops_models.api.items import Reader
        from recops_models.recipes.answers import RequestItems

        reader = Reader("recommend", catalogue)
        banned = events.hidden_items()
        if self.banned is not None:
            more = _items_of_users(reader, self.banned, "--banned", events.keys)
            banned = [torch.cat(pair) for pair in zip(banned, more, strict=True)]
        allowed = None
        for option, value in (("--allowed", self.allowed), ("--candidates", self.candidates)):
            if value is not None:
                chosen = _items_of_users(reader, str(value), option, events.keys)
                allowed = intersection(allowed, chosen)
        if self.where is not None:
            chosen = [items_where(catalogue, self.where)] * len(events.keys)
            allowed = intersection(allowed, chosen)
        return RequestItems(banned, allowed)


def _items_of_users(reader: Reader, value: str, option: str, keys: pa.ChunkedArray) -> list[Tensor]:
    """Return the items in a file or a list of ids, for each user.

    A table with a column ``user_id`` names the items of each user; other ids are those of all.
    """
    from recops_models.data.id_file import read_id_table

    path = Path(value)
    if path.is_file():
        named = read_id_table(path, "item", other="user", columns=reader.dataset.columns)
    elif option == "--candidates":
        raise FileNotFoundError(f"{option}: no such file: {value}")
    else:
        ids = [item.strip() for item in value.split(",") if item.strip()]
        import pyarrow as pa

        named = pa.table({"item_id": pa.array(ids, pa.string())})
    if option == "--candidates" and "user_id" not in named.column_names:
        raise typer.BadParameter(f"--candidates: {path} must have the columns user_id and item_id")
    table = reader.table(named, option, "item_id")
    known = len(reader.known_items(reader.ids(table, option, "item_id")))
    if known < table.num_rows:
        typer.echo(
            f"note: {option}: {table.num_rows - known:,} of {table.num_rows:,} ids are not in the "
            "catalogue",
            err=True,
        )
    return reader.items_of_users(table, option, keys)
