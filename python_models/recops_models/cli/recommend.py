"""``recops recommend``: recommendations of a trained model for users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import (
    LARGEST_SEED,
    DeviceOption,
    NewerDataOption,
    app,
    explore_config,
    open_trained,
)
from recops_models.cli.label_weights import label_weights
from recops_models.cli.request_context import RequestContext
from recops_models.cli.request_filters import RequestFilters
from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.exploration.explore_config import ExploreConfig
    from recops_models.recipes.answers import RequestItems
    from recops_models.recipes.impression_log import ImpressionLog
    from recops_models.recipes.recommending import ReadyModel
    from recops_models.recipes.request_events import RequestEvents


@app.command()
def recommend(
    folder: Annotated[Path, typer.Argument(help="Folder of `recops train`.", show_default=False)],
    user: Annotated[
        str | None,
        typer.Option(help="User id, as in the data set.", show_default=False),
    ] = None,
    users: Annotated[
        str | None,
        typer.Option(
            help="File of user ids: a CSV or Parquet file with a column `user_id`, or text with "
            "one id per line; or `all` for every user with interactions.",
            metavar="FILE|all",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="With `--users`, the file to write, ending in .parquet.", show_default=False
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of items.")] = 10,
    allowed: Annotated[
        str | None,
        typer.Option(
            help="The only items to recommend: ids such as `a,b`, or a file with a column "
            "`item_id`, and `user_id` for items per user; or text with one id per line.",
            metavar="FILE|IDS",
            show_default=False,
        ),
    ] = None,
    banned: Annotated[
        str | None,
        typer.Option(
            help="Items not to recommend, as for `--allowed`.",
            metavar="FILE|IDS",
            show_default=False,
        ),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="File with columns `user_id` and `item_id`: the items to rank for each user.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help="Condition on item columns, such as `category = 'shoes' and in_stock`.",
            show_default=False,
        ),
    ] = None,
    new_items: Annotated[
        Path | None,
        typer.Option(
            help="Parquet or CSV file of items that were not in training: `item_id`, and columns "
            "as in the data set. UniRec only.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task: a value of the column of `--set task=…` or `--set objective=…` in "
            "training; with both, `purchase/feed`. Default: the task of the user's last "
            "event. UniRec only.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Label by whose probability a click model with several heads ranks, such as "
            "`purchase`; or a product with exponents, `click=1,purchase=0.5`. Default: click.",
            metavar="LABEL",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(
            help="Value of an event column at the moment of the request, such as `device=app`; "
            "may be repeated. Or a file with `user_id` and such columns. Default: the values of "
            "the user's last event. Click models only.",
            metavar="COLUMN=VALUE|FILE",
            show_default=False,
        ),
    ] = None,
    offers: Annotated[
        Path | None,
        typer.Option(
            help="File with `item_id`, and event columns that differ between items, such as "
            "today's `price`; and `user_id` for values per user. Default: the values of the "
            "item's last event. Click models only.",
            show_default=False,
        ),
    ] = None,
    explore: Annotated[
        str | None,
        typer.Option(
            help="Exploration, such as `epsilon=0.1` or `softmax=0.05`, with `policy=NAME`, "
            "`pool=N` and `draws=N`.",
            metavar="SETTINGS",
            show_default=False,
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="AGE: rank by click probability, without exploration.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            help="Seed of the exploration. Use another one for every visit of a user.",
        ),
    ] = 0,
    log: Annotated[
        Path | None,
        typer.Option(
            help="Folder to add the impressions to, for `recops data import impressions`.",
            show_default=False,
        ),
    ] = None,
    log_time: Annotated[
        str | None,
        typer.Option(
            help="Time of the impressions, as `2026-01-31 08:00` or in seconds since the epoch. "
            "Default: now.",
            show_default=False,
        ),
    ] = None,
    data: NewerDataOption = None,
    device: DeviceOption = "auto",
    timing: Annotated[
        bool, typer.Option("--timing", help="Print the latency of a request and its parts.")
    ] = False,
) -> None:
    """Recommend items to one user or many, given all their interactions.

    `--user` prints a list with scores and titles. `--users` writes the lists of many users to
    `--out`, one row per item: `user`, `place` (from 1), `item` and `score`, with the ids of the
    data set. Repeated users get one list. The file appears only when it is complete.

    AGE explores: its ranking scores reward uncertainty. `explored` marks items that the list
    without exploration lacks, and the file also has `plain_score`, the click probability. The same
    seed gives the same lists; `--plain` ranks by click probability.

    `--explore` lets every model explore: `epsilon=0.1` fills a tenth of the places at random, and
    `softmax=T` draws the items by exp(score / T). `propensity` is then the probability of an item
    given the earlier ones of its list. `policy=ts` and others rank by the scores of that policy.
    `--log` adds the lists to a folder, completely or not at all.

    A click model scores the whole catalogue for each user; its scores are probabilities. With
    `--new-items`, UniRec also decodes items that were not in training, with the codes of its
    tokenizer and without further training. `--timing` repeats the request of one user to a
    generative model (unirec, tiger). It prints the median milliseconds of encoding the history, of
    the decoding steps and of the beam search.

    The data set may have other events, users and items than in training; they are matched by id. A
    note says how new ones are served: users by their events, items by their content or as unknown.

    A click model that reads event columns, such as a device or a price, serves the moment of
    `--context` and `--offers`.

    An item must pass all filters. `--where` reads `and`, `or`, `not`, parentheses, `=`, `!=`, `<`,
    `<=`, `>`, `>=`, `in ('a', 'b')`, `is null`, and `'a' in tags` for columns of lists. Text is in
    single quotes; names with spaces are in double quotes.

    Example: `recops recommend runs/unirec --user 196 -k 10`

    Example: `recops recommend runs/unirec --users all --out lists.parquet`
    """
    _check_usage(user, users, out, timing)
    exploration = _exploration(explore, plain)
    timestamp = _log_time(log, log_time)
    filters = RequestFilters(allowed, banned, candidates, where)
    moment = RequestContext.of(context, offers)
    job, model, dataset = open_trained(folder, device=device, data=data)

    from recops_models.data.dataset import Dataset
    from recops_models.examples.sequence_dataset import SequenceDataset
    from recops_models.recipes.recommending import ready_model

    if isinstance(dataset, SequenceDataset):
        raise ValueError(
            f"{dataset.name} has sequences in files and no users in memory: name interactions with "
            "--data, or pass histories to Model.recommend in Python"
        )
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{job.data} has examples, but no catalogue to recommend from")
    ready = ready_model(
        folder,
        job,
        model,
        dataset,
        new_items=new_items,
        scene=task,
        seed=None if plain else seed,
        explore=exploration,
        label=label_weights(label),
    )
    record = None
    if log is not None:
        from recops_models.recipes.impression_log import ImpressionLog

        record = ImpressionLog.of(log, folder, job, ready.explorer, timestamp)
    if users is not None:
        from recops_models.recipes.requested_users import requested_users

        asked = requested_users(users, ready.dataset, need_events=ready.answers.needs_events)
    else:
        assert user is not None
        asked = ready.dataset.user_vocabulary.index([ready.dataset.user_id(user)])
    events = moment.applied(ready.requests(asked), ready.answers, model=job.model)
    items = filters.items(events, ready.catalogue) if filters else None
    if out is not None:
        _write(ready, events, k, out, items, record)
        return
    _show(ready, events, k, items, record)
    if timing:
        from recops_models.cli.request_timing import request_timing

        typer.echo(request_timing(ready, events, k, items))


def _check_usage(user: str | None, users: str | None, out: Path | None, timing: bool) -> None:
    if (user is None) == (users is None):
        raise typer.BadParameter("name either one user (--user) or many (--users)")
    if (users is None) != (out is None):
        raise typer.BadParameter("--users and --out go together")
    if timing and user is None:
        raise typer.BadParameter("--timing requires --user")
    if out is None:
        return
    if out.suffix != ".parquet":
        raise typer.BadParameter(f"--out must end in .parquet, got {out.name}")
    if out.is_dir() or not out.parent.is_dir():
        raise typer.BadParameter(f"--out must be a file in an existing folder, got {out}")


def _exploration(explore: str | None, plain: bool) -> ExploreConfig | None:
    if explore is None:
        return None
    if plain:
        raise typer.BadParameter("--explore and --plain exclude each other")
    return explore_config(explore, "--explore")


def _log_time(log: Path | None, text: str | None) -> float | None:
    """Return the time of the impressions; None: now."""
    if log is not None:
        from recops_models.data.impressions import check_log

        check_log(log)
    if text is None:
        return None
    if log is None:
        raise typer.BadParameter("--log-time requires --log")
    import pyarrow as pa

    from recops_models.data.times import parse_times

    times, faults = parse_times(pa.chunked_array([[text]]), "--log-time", None)
    for reason, rows in faults:
        if rows.any():
            raise typer.BadParameter(f"{reason}: {text}")
    return float(times[0])


def _show(
    ready: ReadyModel,
    events: RequestEvents,
    k: int,
    items: RequestItems | None,
    log: ImpressionLog | None,
) -> None:
    """Print one user's list, after it is in the log."""
    from rich.console import Console
    from rich.table import Table

    lists = ready.lists(events, k, items=items)
    if log is not None:
        log.write(lists)
    titles = ready.titles(lists["item"])
    explores = "explored" in lists.column_names
    table = Table("", "score", "item", "title", box=None, pad_edge=False)
    if explores:
        table.add_column("")
    for row, title in zip(lists.to_pylist(), titles, strict=True):
        cells = [str(row["place"]), f"{row['score']:.3f}", str(row["item"]), printable(title)]
        if explores:
            cells.append("explored" if row["explored"] else "")
        table.add_row(*cells)
    Console(markup=False).print(table)


def _write(
    ready: ReadyModel,
    events: RequestEvents,
    k: int,
    out: Path,
    items: RequestItems | None,
    log: ImpressionLog | None,
) -> None:
    """Write the lists of many users to a file."""
    from rich.console import Console
    from rich.progress import Progress

    from recops_models.data.storage import write_table

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("users", total=len(events.users))
        table = ready.lists(
            events, k, items=items, answered=lambda count: bars.advance(task, count)
        )
    write_table(out, table, before_rename=lambda: None if log is None else log.write(table))
    typer.echo(f"{table.num_rows:,} items for {len(events.users):,} users in {out}")
