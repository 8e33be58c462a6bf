"""``recops evaluate``: evaluate a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import (
    DeviceOption,
    JsonOption,
    NewerDataOption,
    app,
    explore_config,
    open_trained,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table
    from torch import nn

    from recops_models.exploration.explore_config import ExploreConfig
    from recops_models.recipes.job import Job
    from recops_models.recipes.stage import Data
    from recops_models.settings import JsonObject


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of `recops train`.", show_default=False)],
    data: NewerDataOption = None,
    off_policy: Annotated[
        str | None,
        typer.Option(
            help="Estimate the clicks of this policy on logged impressions, as `epsilon=0.1` or "
            "`softmax=0.05`.",
            metavar="SETTINGS",
            show_default=False,
        ),
    ] = None,
    max_weight: Annotated[
        float | None,
        typer.Option(
            help="With `--off-policy`, bound of the weights. Default: no bound.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Evaluate a trained model on validation and test.

    Rankers: HR@10, HR@50, NDCG@10 and coverage. All items of the catalogue are ranked, without
    those that the user has already interacted with. Novelty is the mean −log₂ of a recommended
    item's share of the training events, in bits. Popularity lift is how much more popular the
    recommended items are than those of the histories: 0 is equal, 1 is twice as popular. Groups
    split the users by the popularity of the held-out item (head, mid and tail each have a third of
    the training events) and by the length of the history.

    Click models: AUC, gAUC, logloss, and calibration of the probabilities (PCOC, ECE). Groups split
    the examples by the popularity of the item (head, mid and tail each have a third of the training
    clicks) and by the length of the history that the model reads.

    `--off-policy` estimates the clicks per impression if the click model chose the items of the
    test impressions, from the propensities of their log (`recops data import impressions`): by
    inverse propensity (IPS), self-normalised (SNIPS), by the model's probabilities (direct method)
    and doubly robust (DR), with 95 % intervals and effective sample sizes.

    Example: `recops evaluate runs/unirec`

    Example: `recops evaluate runs/din --off-policy epsilon=0.1`
    """
    if max_weight is not None and off_policy is None:
        raise typer.BadParameter("--max-weight requires --off-policy")
    config = None if off_policy is None else explore_config(off_policy, "--off-policy")
    job, model, opened = open_trained(folder, device=device, data=data)
    if config is not None:
        _print_off_policy(job, model, opened, config, max_weight, as_json)
        return

    from rich.console import Console

    from recops_models.recipes.evaluating import PARTS, evaluate_parts
    from recops_models.recipes.trained import task_of

    results = evaluate_parts(task_of(job, opened, model), model)
    if as_json:
        print_json(results)
        return
    console = Console()
    console.print(_table({part: results[part] for part in PARTS}))
    if "beyond_accuracy" in results:
        console.print()
        console.print(_table(results["beyond_accuracy"]))
    if groups := results.get("groups", {}).get("test"):
        console.print()
        console.print(_group_table(groups))


def _print_off_policy(
    job: Job,
    model: nn.Module,
    data: Data,
    config: ExploreConfig,
    max_weight: float | None,
    as_json: bool,
) -> None:
    """Print the off-policy estimates of a model's lists."""
    from rich.console import Console
    from rich.table import Table

    from recops_models.data.dataset import Dataset
    from recops_models.recipes.off_policy import off_policy_values

    if not isinstance(data, Dataset):
        raise ValueError(f"{job.data} has examples, but no log of impressions")
    result = off_policy_values(job, model, data, config, max_weight=max_weight)
    if as_json:
        print_json(result.to_dict())
        return
    typer.echo(f"logged: {result.logged:.4f} clicks per impression, {result.impressions:,} of them")
    table = Table("", "clicks", "low", "high", "effective", box=None, pad_edge=False)
    for name, value in result.values.items():
        cells = map(_text, (value.value, *value.interval()))
        table.add_row(name, *cells, f"{value.effective:,.0f}")
    Console().print(table)


def _table(rows: JsonObject) -> Table:
    """Return a table with a row per part and a column per metric."""
    from rich.table import Table

    first, *_ = rows.values()
    table = Table("", *first, box=None, pad_edge=False)
    for part, metrics in rows.items():
        table.add_row(part, *map(_text, metrics.values()))
    return table


def _group_table(groups: Mapping[str, Mapping[str, JsonObject]]) -> Table:
    """Return a table of the accuracy of groups of test users or examples."""
    from rich.table import Table

    first = next(iter(next(iter(groups.values())).values()))
    unit, *metrics = (name for name in first if name != "events")
    table = Table(f"test {unit} by", "", unit, *metrics, box=None, pad_edge=False)
    for name, rows in groups.items():
        for group, row in rows.items():
            events = row.get("events")
            label = f"{group}, {events[0]} to {events[1]} events" if events else group
            cells = (_text(row[metric]) for metric in metrics)
            table.add_row(name.replace("_", " "), label, f"{row[unit]:,}", *cells)
    return table


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
