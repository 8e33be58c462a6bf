"""MovieLens' films and people, in one shape whichever files they come from."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_YEAR = r"\((?P<year>[0-9]{4})\)\s*$"


def films(items: pa.Table, separator: str) -> pa.Table:
    """``item_id``, ``title``, ``year`` (that in brackets behind the title), ``genres`` (a list) and
    ``genre_set``: all of a film's genres as one category, for models that take one a film.

    Args:
        items: ``item_id``, ``title`` and ``genres``: text with ``separator`` between.
        separator: see above.
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
    """``user_id``, ``gender``, ``age`` and ``occupation``: codes, hence categories."""
    table = users.select(["user_id"])
    for name in ("gender", "age", "occupation"):
        table = table.append_column(name, users[name].cast(pa.string()).dictionary_encode())
    return table
