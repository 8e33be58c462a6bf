"""Command group ``recops uic``, and options and helpers of its commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import app, load_data
from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.data import Dataset
    from recops_models.serving.stores.store import Store

uic = typer.Typer(
    no_args_is_help=True,
    help="User Interest Center: user states in a store, updated by events and read by requests.",
)
app.add_typer(uic, name="uic")


def _store_url(url: str) -> str:
    from recops_models.serving.stores.store_url import check_store_url

    try:
        return check_store_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


ModelOption = Annotated[
    Path, typer.Option("--model", help="Folder of `recops train mimn|hpmn`.", show_default=False)
]
StoreUrl = Annotated[
    str,
    typer.Option(
        "--store",
        help="`lmdb:PATH` or `redis://HOST:PORT/DB`.",
        show_default=False,
        callback=_store_url,
    ),
]
AllowLoss = Annotated[
    bool,
    typer.Option("--allow-loss", help="Accept a Redis server that may lose acknowledged events."),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Data set with the current users and items, by name or folder. Default: the data set "
        "of the training.",
        show_default=False,
    ),
]
Expected = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Refuse a store with states of another model.", show_default=False
    ),
]
SnapshotModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Folder of the snapshot's model. Default: the folder at the time of the snapshot.",
        show_default=False,
    ),
]
Snapshots = Annotated[
    Path | None,
    typer.Option(
        "--snapshots", help="Folder of snapshots. Default: `PATH/snapshots` for `lmdb:PATH`."
    ),
]


def dataset_loader(name: str | None) -> Callable[[], Dataset] | None:
    """Return a function that loads the data set of `--data`; None without the option."""
    return None if name is None else partial(load_data, name)


@contextmanager
def open_checked_store(
    url: str, model: Path | None, allow_loss: bool, *, create: bool = False
) -> Iterator[Store]:
    """Open a store, and check that its states are of ``model`` if one is given."""
    from recops_models.serving.errors import ModelVersionError
    from recops_models.serving.generations import read_active
    from recops_models.serving.open_store import open_store
    from recops_models.serving.served_model import version_of

    with open_store(url, allow_loss=allow_loss, create=create) as store:
        active = read_active(store)
        if model is not None and (active is None or active.version != version_of(model)):
            raise ModelVersionError(f"{url}: its states belong to another model than {model}")
        yield store


def snapshots_folder(url: str, folder: Path | None) -> Path:
    """Return the folder of a store's snapshots: the given one, or a folder within an LMDB store."""
    if folder is not None:
        return folder
    from recops_models.serving.stores.store_url import lmdb_folder, redact_url

    if not url.startswith("lmdb:"):
        raise typer.BadParameter(f"--snapshots must name a folder for {redact_url(url)}")
    return lmdb_folder(url) / "snapshots"


def print_warning(text: str) -> None:
    """Print a warning to stderr."""
    typer.echo(printable(f"warning: {text}"), err=True)
