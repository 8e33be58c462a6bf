"""``recops recommend``: what a trained model shows a user, or many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import LARGEST_SEED, app, load_job_data
from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.data.histories import Int64Array
    from recops_models.recipes.recommending import ReadyModel


@app.command()
def recommend(
    folder: Annotated[Path, typer.Argument(help="What `recops train` left.", show_default=False)],
    user: Annotated[
        str | None,
        typer.Option(help="The user's id, as the data set has it.", show_default=False),
    ] = None,
    users: Annotated[
        str | None,
        typer.Option(
            help="A file of users' ids: `user_id` of a CSV or Parquet file, or one id a line; or "
            "`all`: every user who has met something.",
            metavar="FILE|all",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="With `--users`, the file to write; it ends in .parquet.", show_default=False
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 10,
    new_items: Annotated[
        Path | None,
        typer.Option(
            help="Parquet or CSV of items that training did not have: `item_id`, and columns as "
            "the data set's items have them. UniRec alone.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="The task: a value of the column that training read by `--set task=…` or "
            "`--set objective=…`; with both, `purchase/feed`. Default: that of the user's last "
            "event. UniRec alone.",
            show_default=False,
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="AGE: rank by plain probabilities of a click.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            help="AGE: of what is explored; give every visit of a user another one.",
        ),
    ] = 0,
    timing: Annotated[
        bool, typer.Option("--timing", help="Tell how long a request takes, part by part.")
    ] = False,
) -> None:
    """Recommend items to one user, or to many, after everything they met.

    `--user` prints a list with scores and titles. `--users` answers many at once: `--out` gets a
    row an item, `user`, `place` (from 1), `item` and `score`, with ids as the data set has them. A
    user named twice is answered once. The file is written whole at the end, or not at all.

    AGE explores: it ranks by scores that add what it could learn. `explored` marks the items that
    the list without exploration lacks; the file then also has `plain_score`, the probability of a
    click. The same seed gives the same lists; `--plain` ranks by plain probabilities.

    A click model scores the whole catalogue, for one user after the other; its scores are
    probabilities. With `--new-items`, UniRec also decodes items that came after its training, by
    codes of the tokenizer that training left; nothing is trained again. `--timing` asks a model
    that spells items (unirec, tiger) again and again for one user, and tells the median
    milliseconds of reading the history, of the model's steps and of the beam search.

    The data set may have more events and users than at the training. Other items are refused by
    rankers, which know them by number, and by click models where ids are text.

    Example: `recops recommend runs/unirec --user 196 -k 10`

    Example: `recops recommend runs/unirec --users all --out lists.parquet`
    """
    from recops_models.data import Dataset
    from recops_models.recipes.asked_users import asked_users
    from recops_models.recipes.recommending import ready_model
    from recops_models.recipes.run import load_trained

    _check_usage(user, users, out, timing)
    job, model = load_trained(folder)
    dataset = load_job_data(job, model, folder)
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{job.data} holds examples, but no catalogue to recommend from")
    exploration_seed = None if plain else seed
    ready = ready_model(
        folder, job, model, dataset, new_items=new_items, scene=task, seed=exploration_seed
    )
    dataset, k = ready.dataset, min(k, len(ready.item_ids))
    if users is not None:
        asked = asked_users(users, dataset)
    else:
        assert user is not None
        asked = dataset.user_vocabulary.index([dataset.user_id(user)])
    if out is not None:
        _write(ready, asked, k, out)
        return
    _show(ready, int(asked[0]), k)
    if timing:
        from recops_models.cli.request_timing import request_timing

        typer.echo(request_timing(ready.model, dataset, ready.task, int(asked[0]), k))


def _check_usage(user: str | None, users: str | None, out: Path | None, timing: bool) -> None:
    if (user is None) == (users is None):
        raise typer.BadParameter("name either one user (--user) or many (--users)")
    if (users is None) != (out is None):
        raise typer.BadParameter("--users and --out go together: whose lists, and the file of them")
    if timing and user is None:
        raise typer.BadParameter("--timing is of one user: --user")
    if out is None:
        return
    if out.suffix != ".parquet":
        raise typer.BadParameter(f"--out must end in .parquet, got {out.name}")
    if out.is_dir() or not out.parent.is_dir():
        raise typer.BadParameter(f"--out must be a file in a folder that is there, got {out}")


def _show(ready: ReadyModel, user: int, k: int) -> None:
    """Print one user's list."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "score", "item", "title", box=None, pad_edge=False)
    marks = None
    if ready.seed is None:
        (items, *_), (scores, *_) = ready.task.recommend(ready.model, user, k)
    else:
        items, scores, _, explored = ready.exploring_list(user, k)
        marks = ["explored" if mark else "" for mark in explored.tolist()]
        table.add_column("")
    for place, (item, score) in enumerate(zip(items.tolist(), scores.tolist(), strict=True)):
        if item >= 0:
            row = [str(place + 1), f"{score:.3f}", str(ready.item_ids[item])]
            row += [printable(ready.titles[item]), *([] if marks is None else [marks[place]])]
            table.add_row(*row)
    Console(markup=False).print(table)


def _write(ready: ReadyModel, users: Int64Array, k: int, out: Path) -> None:
    """Leave many users' lists in a file."""
    from rich.console import Console
    from rich.progress import Progress

    from recops_models.data.storage import write_table

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("users", total=len(users))
        table = ready.many(users, k, lambda count: bars.advance(task, count))
    write_table(out, table)
    typer.echo(f"{table.num_rows:,} items for {len(users):,} users in {out}")
