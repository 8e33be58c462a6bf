"""The group of ``recops uic``, and what its commands share."""

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
    help="The User Interest Center: users' states in a store, moved by events, read by requests.",
)
app.add_typer(uic, name="uic")


def _store_url(given: str) -> str:
    from recops_models.serving.stores.store_url import check_store_url

    try:
        return check_store_url(given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


ModelOption = Annotated[
    Path, typer.Option("--model", help="What `recops train mimn|hpmn` left.", show_default=False)
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
    bool, typer.Option("--allow-loss", help="Take a Redis that may lose acknowledged events.")
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="The data set whose users and items are known, by name or folder; default: the "
        "training's.",
        show_default=False,
    ),
]
Expected = Annotated[
    Path | None,
    typer.Option("--model", help="Refuse a store with another model's states.", show_default=False),
]
Moved = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Where the snapshot's model is now; default: where it was then.",
        show_default=False,
    ),
]
Snapshots = Annotated[
    Path | None,
    typer.Option(
        "--snapshots", help="The folder of snapshots; default: `PATH/snapshots` of `lmdb:PATH`."
    ),
]


def data_named(name: str | None) -> Callable[[], Dataset] | None:
    """Loads the data set that `--data` names: as it is by then, whenever a model is loaded."""
    return None if name is None else partial(load_data, name)


@contextmanager
def opened_store(
    url: str, model: Path | None, allow_loss: bool, *, create: bool = False
) -> Iterator[Store]:
    """The store, whose states are those of the model, if one is named; ``make`` a missing one."""
    from recops_models.serving.errors import ModelVersionError
    from recops_models.serving.generations import read_active
    from recops_models.serving.open_store import open_store
    from recops_models.serving.served_model import version_of

    with open_store(url, allow_loss=allow_loss, create=create) as store:
        active = read_active(store)
        if model is not None and (active is None or active.version != version_of(model)):
            raise ModelVersionError(f"{url}: its states are not those of {model}")
        yield store


def snapshots_folder(url: str, given: Path | None) -> Path:
    """Where snapshots of a store are: as given, or beside its states."""
    if given is not None:
        return given
    from recops_models.serving.stores.store_url import lmdb_folder, redact_url

    if not url.startswith("lmdb:"):
        raise typer.BadParameter(f"--snapshots must name a folder for {redact_url(url)}")
    return lmdb_folder(url) / "snapshots"


def warned(text: str) -> None:
    """Tells on stderr what an operation over all users left out."""
    typer.echo(printable(f"warning: {text}"), err=True)
