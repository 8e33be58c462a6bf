"""Named data sets (:data:`NAMED_SETS`) and importers (:data:`IMPORTERS`)."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recops_models.data.cache import WheelFiles, data_folder
from recops_models.data.categories import with_integer_categories
from recops_models.data.column_schema import SCHEMA_FILE, ColumnSchema
from recops_models.data.dataset import Dataset, Repeats
from recops_models.data.errors import DataError, UnknownDataError
from recops_models.data.ids import IdKind
from recops_models.data.repeats import with_repeats
from recops_models.data.storage import is_saved, load_dataset
from recops_models.data.table_options import TableOptions
from recops_models.data.wheels import ML_100K, OPEN_BANDIT


@dataclass(frozen=True)
class NamedSet:
    """A data set that is loaded by name.

    Attributes:
        summary: one line for ``recops data list``.
        read: reads the data set, and fetches its files if needed.
        wheel: files in a Python package; None for data in ``RECOPS_DATA``.
        files: required paths within ``RECOPS_DATA``.
    """

    summary: str
    read: Callable[[], Dataset]
    wheel: WheelFiles | None = None
    files: tuple[str, ...] = ()

    def available(self) -> str:
        """Return ``"ready"``, or the step that makes the data available."""
        if self.wheel is not None:
            is_ready = self.wheel.local or self.wheel.cached.exists()
            return "ready" if is_ready else "to be fetched"
        folder = data_folder()
        is_ready = folder is not None and all((folder / file).is_file() for file in self.files)
        return "ready" if is_ready else "set RECOPS_DATA"


def _reader(importer: str) -> Callable[..., Dataset]:
    """Return the function ``read_…`` of an importer; its first call imports the module."""

    def read(path: Path, **options: object) -> Dataset:
        module = importlib.import_module(f"recops_models.data.importers.{importer}")
        dataset: Dataset = getattr(module, f"read_{importer}")(path, **options)
        return dataset

    return read


def _fetched(summary: str, wheel: WheelFiles, read: Callable[..., Dataset]) -> NamedSet:
    return NamedSet(summary, lambda: read(wheel.locate(), name=wheel.name), wheel=wheel)


def _local(name: str, summary: str, read: Callable[..., Dataset], *files: str) -> NamedSet:
    """Return a set in ``RECOPS_DATA``; ``read`` gets the first of the required ``files``."""
    return NamedSet(summary, lambda: read(_find(name, files), name=name), files=files)


def _find(name: str, files: tuple[str, ...]) -> Path:
    folder = data_folder()
    if folder is None:
        raise DataError(f"{name}: set RECOPS_DATA to the folder that holds {files[0]}")
    for file in files:
        if not (folder / file).is_file():
            raise DataError(
                f"{name}: no {file} in {folder}; RECOPS_DATA must name the folder that holds it"
            )
    return folder / files[0]


def _folder_of(read: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """Return a reader of a file that calls ``read`` with the file's folder."""
    return lambda file, *, name: read(file.parent, name=name)


NAMED_SETS = {
    "ml-100k": _fetched(
        "MovieLens 100K: 943 users, 1,682 films, ratings with times, titles, genres",
        ML_100K,
        _reader("recbole"),
    ),
    "open-bandit": _fetched(
        "Open Bandit: 60,000 impressions of two policies with propensities, 3 campaigns",
        OPEN_BANDIT,
        _reader("open_bandit"),
    ),
    "beauty": _local(
        "beauty",
        "Amazon Beauty, 5-core: 22,363 users, 12,101 items, order only",
        _reader("s3rec"),
        "amazon_s3rec/Beauty.txt",
        "amazon_s3rec/Beauty_item2attributes.json",
    ),
    "toys": _local(
        "toys",
        "Amazon Toys, 5-core: 19,412 users, 11,924 items, order only",
        _reader("s3rec"),
        "amazon_s3rec/Toys_and_Games.txt",
        "amazon_s3rec/Toys_and_Games_item2attributes.json",
    ),
    "toys-ctr": _local(
        "toys-ctr",
        "Amazon Toys with days, categories and labels: 167,597 events, 93 % positive",
        _folder_of(_reader("toys_ctr")),
        "amazon_ctr/toys_train.csv",
        "amazon_ctr/toys_test.csv",
    ),
    "lastfm": _local(
        "lastfm",
        "Last.fm: 1,090 users, 3,646 artists, long sequences, order only",
        _reader("s3rec"),
        "amazon_s3rec/LastFM.txt",
        "amazon_s3rec/LastFM_item2attributes.json",
    ),
    "letter-beauty": _local(
        "letter-beauty",
        "Amazon Beauty with LETTER's semantic IDs of four levels, order only",
        _reader("letter"),
        "letter/beauty.inter.json",
        "letter/beauty.index.json",
    ),
    "office": _local(
        "office",
        "Amazon Office: 3,231 users, 3,459 items with text and semantic IDs, users held out",
        _folder_of(_reader("onerec")),
        "onerec_office/office.item.json",
        "onerec_office/office.index.json",
        "onerec_office/office_valid.csv",
        "onerec_office/office_test.csv",
    ),
    "grocery": _local(
        "grocery",
        "Amazon Grocery: 14,681 users, 8,713 items, times, also-bought and also-viewed lists",
        _folder_of(_reader("grocery")),
        "grocery/train.csv",
        "grocery/item_meta.csv",
    ),
    "anime": _local(
        "anime",
        "MyAnimeList: 5,000 users, 7,390 titles with genres, ratings as weights, no order",
        _reader("caserec"),
        "caserec/anime.zip",
    ),
    "steam": _local(
        "steam",
        "Steam: 12,393 users, 5,155 games, purchases with hours played, no order",
        _reader("caserec"),
        "caserec/steam.zip",
    ),
    "ml-1m": _local(
        "ml-1m",
        "MovieLens 1M: 6,040 users, 3,883 films, a million ratings in 3 classes, times, genres",
        _folder_of(_reader("ml_1m")),
        "ml1m/interactions.parquet",
        "ml1m/items.parquet",
        "ml1m/users.parquet",
    ),
    "assist2017": _local(
        "assist2017",
        "ASSISTments 2017: 1,705 pupils, 941,502 answers (37 % correct), order only",
        _folder_of(_reader("assist2017")),
        "assist2017/interactions.parquet",
    ),
    "nyc-checkins": _local(
        "nyc-checkins",
        "Foursquare New York: 1,083 users, 5,135 venues with coordinates, times over 318 days",
        _folder_of(_reader("nyc_checkins")),
        "nyc_checkins/interactions.parquet",
        "nyc_checkins/items.parquet",
    ),
    "yelp": _local(
        "yelp",
        "Yelp, 5-core: 30,431 users, 20,033 places, order only",
        _reader("s3rec"),
        "amazon_s3rec/Yelp.txt",
        "amazon_s3rec/Yelp_item2attributes.json",
    ),
    "cds": _local(
        "cds",
        "Amazon CDs: 17,052 users, 35,118 items, long histories, order only",
        _reader("s3rec"),
        "amazon_s3rec/CDs.txt",
    ),
    "letter-yelp": _local(
        "letter-yelp",
        "Yelp with titles, categories and LETTER's semantic IDs of four levels, order only",
        lambda file, *, name: _reader("letter_yelp")(file.parent.parent, name=name),
        "letter/yelp.index.json",
        "letter/yelp.item.json",
        "amazon_s3rec/Yelp.txt",
    ),
}


def _own(
    read: Callable[..., Dataset], default_repeats: Repeats | None = None
) -> Callable[..., Dataset]:
    """Return a reader of own data that chooses categories and the treatment of repeats.

    It applies the roles of a schema: the argument, or the file ``schema.yaml`` in the folder.
    """

    @functools.wraps(read)
    def read_own(
        path: Path,
        *,
        name: str | None = None,
        ids: IdKind = "auto",
        repeats: Repeats | None = None,
        schema: ColumnSchema | None = None,
        **options: object,
    ) -> Dataset:
        dataset = with_integer_categories(read(path, name=name, ids=ids, **options))
        if schema is None and (path / SCHEMA_FILE).is_file():
            schema = ColumnSchema.read(path / SCHEMA_FILE)
        dataset = dataset if schema is None else schema.applied(dataset)
        dataset = dataclasses.replace(dataset, reads_lists=True)
        return with_repeats(dataset, repeats or default_repeats)

    return read_own


IMPORTERS: dict[str, Callable[..., Dataset]] = {
    "recbole": _own(_reader("recbole")),
    "s3rec": _own(_reader("s3rec")),
    "csv": _own(_reader("folder")),
    "letter": _own(_reader("letter")),
    "onerec": _own(_reader("onerec")),
    "caserec": _own(_reader("caserec")),
    "movielens": _own(_reader("movielens")),
    "impressions": _own(_reader("impressions"), "keep"),
}
"""Kind → reader of a path, for ``recops data import``.

The readers of ``csv`` and ``impressions`` also take ``options``, a
:class:`~recops_models.data.table_options.TableOptions`; that of ``letter`` takes ``index``, and
that of ``impressions`` ``clicks``, ``window`` and ``catalogue``.
These readers choose integer categories, see :mod:`recops_models.data.categories`, and the treatment
of repeats, see :mod:`recops_models.data.repeats`. Named sets do not.
"""


def locate(name: str | Path) -> str:
    """Return the name of a data set, or the absolute path of a file or folder."""
    is_path = str(name) not in NAMED_SETS and Path(name).exists()
    return str(Path(name).resolve()) if is_path else str(name)


def load(
    name: str | Path,
    *,
    ids: IdKind = "auto",
    options: TableOptions | None = None,
    repeats: Repeats | None = None,
    schema: ColumnSchema | None = None,
) -> Dataset:
    """Load a data set by name or path.

    Args:
        name: one of :data:`NAMED_SETS`; or a folder that ``recops data import`` wrote, or one with
            ``interactions.parquet|csv`` (see :mod:`recops_models.data.importers.folder`); or a file
            of interactions.
        ids: see :func:`~recops_models.data.assemble.assemble`.
        options: names, separators, headers and times of a user's own tables; None: the canonical
            ones.
        repeats: see :func:`~recops_models.data.repeats.with_repeats`; None: as imported, or chosen
            for own tables.
        schema: roles of columns of a user's own tables; None: those of ``schema.yaml`` in the
            folder, if it has this file.

    Raises:
        UnknownDataError: no data set of this name and no such path.
        DataError: the data is missing, damaged or unsuitable; or it is a named set or the output of
            ``recops data import``, and ``ids``, ``options`` or
            ``schema`` are given.
    """
    if (ids != "auto" or options is not None or schema is not None) and _is_imported(name):
        raise DataError(f"{name}: is imported already; options apply to own files")
    if str(name) in NAMED_SETS:
        return _treated(NAMED_SETS[str(name)].read(), repeats)
    folder = Path(name)
    if not folder.exists():
        raise UnknownDataError(
            f"no data set and no folder {str(name)!r}; data sets: {', '.join(NAMED_SETS)}"
        )
    if _is_imported(folder):
        return _treated(load_dataset(folder), repeats)
    return IMPORTERS["csv"](folder, ids=ids, options=options, repeats=repeats, schema=schema)


def _treated(dataset: Dataset, repeats: Repeats | None) -> Dataset:
    return dataset if repeats is None else with_repeats(dataset, repeats)


def _is_imported(name: str | Path) -> bool:
    """Return whether the data has the format of recops: a named set, or an imported folder."""
    return str(name) in NAMED_SETS or (Path(name).is_dir() and is_saved(Path(name)))
