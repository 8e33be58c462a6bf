"""Films and users of MovieLens in a common format."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_YEAR = r"\((?P<year>[0-9]{4})\)\s*$"


def films(items: pa.Table, separator: str) -> pa.Table:
    """Return the catalogue: ``item_id``, ``title``, ``year``, ``genres`` and ``genre_set``.

    ``year`` is the year in brackets at the end of the title. ``genres`` is a list. ``genre_set``
    joins all genres of a film to one category, for models with one category per item.

    Args:
        items: ``item_id``, ``title`` and ``genres``, as text with ``separator`` between genres.
        separator: delimiter of the genres.
    """
    year = pc.struct_field(pc.extract_regex(items["title"], _YEAR), ["year"])
    genres = pc.split_pattern(items["genres"], separator)
    return pa.table(
        {
            "item_id": items["item_id"],
            "title": items["title"],
            "year": year.dictionary_encode(),
            "genres": genres,
            "genre_set": pc.binary_join(genres, "|").dictionary_encode(),
        }
    )


def people(users: pa.Table) -> pa.Table:
    """Return ``user_id``, and ``gender``, ``age`` and ``occupation`` as categories."""
    table = users.select(["user_id"])
    for name in ("gender", "age", "occupation"):
        table = table.append_column(name, users[name].cast(pa.string()).dictionary_encode())
    return table
