"""Importer of GroupLens' MovieLens files, in any of their three formats.

- ``ratings.dat``, ``movies.dat`` and optionally ``users.dat`` (1M, 10M): fields separated by
  ``::``, no header, genres separated by ``|``.
- ``ratings.csv`` and ``movies.csv`` (20M, 25M, 32M and the small one): CSV with a header.
- ``u.data``, ``u.item`` and ``u.user`` (100K): tabs and ``|``, no header, a flag per genre.

Text is UTF-8, else Latin-1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable, with_columns
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.ids import IdKind
from recops_models.data.importers.films import films, people
from recops_models.data.importers.text_files import read_delimited

_RATINGS = ("user_id", "item_id", "rating", "timestamp")
_FILMS = ("item_id", "title", "genres")
_FLAGS = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
_CSV_NAMES = {"userId": "user_id", "movieId": "item_id"}
_NO_GENRES = "(no genres listed)"


def read_movielens(path: Path, *, name: str | None = None, ids: IdKind = "auto") -> Dataset:
    """Read the files in folder ``path``, or in the folder of the ratings file ``path``.

    ``interactions`` has ``rating`` in stars; ``items`` has the columns of
    :func:`~recops_models.data.importers.films.films`; ``users`` has gender, age and occupation if
    the source has them.

    Raises:
        DataError: there is not exactly one file of ratings, or a file is missing or lacks a column.
    """
    folder = path.parent if path.is_file() else path
    formats = {"ratings.dat": _dat, "ratings.csv": _csv, "u.data": _u_data}
    files = [file for file in formats if (folder / file).is_file()]
    if len(files) != 1:
        got = ", ".join(files) or "none of them"
        raise DataError(f"{path}: must hold one of {', '.join(formats)}, got {got}")
    ratings, items, users = formats[files[0]](folder)
    return assemble(
        name or folder.resolve().name,
        with_columns(ratings, _RATINGS),
        RawTable(items.file, films(items.table, "|"), items.malformed),
        users and RawTable(users.file, people(users.table), users.malformed),
        source=str(folder),
        ids=ids,
    )


_Files = tuple[RawTable, RawTable, RawTable | None]


def _dat(folder: Path) -> _Files:
    users = folder / "users.dat"
    names = ("user_id", "gender", "age", "occupation", "zip")
    return (
        _headless(folder / "ratings.dat", "::", _RATINGS),
        _headless(folder / "movies.dat", "::", _FILMS),
        _headless(users, "::", names) if users.exists() else None,
    )


def _csv(folder: Path) -> _Files:
    ratings, movies = (
        read_delimited(folder / file, text=("userId", "movieId", "title", "genres"))
        for file in ("ratings.csv", "movies.csv")
    )
    ratings, movies = (
        RawTable(
            raw.file,
            raw.table.rename_columns([_CSV_NAMES.get(n, n) for n in raw.table.column_names]),
            raw.malformed,
        )
        for raw in (ratings, movies)
    )
    movies = with_columns(movies, _FILMS)
    genres = movies.table["genres"]
    known = pc.if_else(pc.equal(genres, _NO_GENRES), None, genres)
    table = movies.table.set_column(movies.table.column_names.index("genres"), "genres", known)
    return ratings, RawTable(movies.file, table, movies.malformed), None


def _u_data(folder: Path) -> _Files:
    before = ("item_id", "title", "released", "video", "url")
    raw = _headless(folder / "u.item", "|", (*before, *_FLAGS))
    flags = np.stack([raw.table[name].to_numpy() == "1" for name in _FLAGS], 1)
    genres = ["|".join(np.array(_FLAGS)[row]) or None for row in flags]
    items = raw.table.select(["item_id", "title"]).append_column(
        "genres", pa.array(genres, pa.string())
    )
    users = folder / "u.user"
    names = ("user_id", "age", "gender", "occupation", "zip")
    return (
        _headless(folder / "u.data", "\t", _RATINGS),
        RawTable(raw.file, items, raw.malformed),
        _headless(users, "|", names) if users.exists() else None,
    )


def _headless(file: Path, delimiter: str, names: tuple[str, ...]) -> RawTable:
    """Read a delimited file without a header; ``names`` are its columns."""
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    content = file.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if len(delimiter) > 1:  # Arrow takes one character. The text does not contain \x1f.
        text, delimiter = text.replace(delimiter, "\x1f"), "\x1f"
    return read_delimited(
        file,
        delimiter=delimiter,
        quoting=False,
        only_text=True,
        content=f"{delimiter.join(names)}\n{text}".encode(),
    )
