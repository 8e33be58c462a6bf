"""``recops train``: a model on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import (
    LARGEST_SEED,
    SplitChoice,
    app,
    load_job_data,
    make_folder,
    print_findings,
    setting_pairs,
)
from recops_models.recipes.registry import names

if TYPE_CHECKING:
    from recops_models.data import Dataset
    from recops_models.recipes.job import Job


@app.command()
def train(
    model: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join(names())}.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Option(help="A name from `recops data list`, or a folder.", show_default=False),
    ],
    split: Annotated[
        SplitChoice | None,
        typer.Option(help="How the data is cut; the default is told above.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting, as `--set width=128`; repeatable."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Start from settings that belong together, such as `paper` of unirec; `--set` "
            "overrides them. An unknown name lists those of the model.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two epochs: a look, not a figure.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Same seed, same model.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write to; default: runs/MODEL.", show_default=False),
    ] = None,
) -> None:
    """Train a recommender, or a model of clicks.

    Rankers (popularity, sasrec, tiger, unirec): each user's last event is kept for test, the one
    before for validation. unirec may go on by rewards and preferences behind next tokens
    (`--set align=both`). `--preset paper` trains unirec as its paper describes it: its network, two
    attributes, balanced codes, rewards and preferences.

    Click models (sum-pool, din, gru-attention, dien, can, mimn, hpmn, rocket, age, res-embedding,
    keep): the last tenth of the time is kept for test, the tenth before for validation, if times
    are known; keep cuts by `until`, `validation` and `test`. rocket trains a light net beside a
    booster, any of the other click models (`--set booster=din --set light.hidden=16,8`), and keeps
    the light one; age puts a gate for exploring beside one (`--set base=din --set
    base.hidden=200,80`); res-embedding trains its item table upon a graph of items; keep learns
    from all domains first and plugs what it knows into a small one's model (`--set
    domain_column=category --set domain=…`).

    Where the source holds users out, they are tested on. `--split` chooses: after `global-time`,
    rankers are asked for each user's next event; after `by-user`, for the last event of users not
    trained on. The epoch with the best validation NDCG@10 or AUC (`--set select=…`) is kept.

    A checkpoint is written every five minutes and after every epoch; `--resume` goes on from there,
    to the same bits. Leaves `config.json`, `catalogue.json`, `model.safetensors`, `metrics.json`,
    `curves.json`, `predictions.parquet`, `checkpoint.safetensors` and TensorBoard events in
    `--out`.

    Example: `recops train din --data ml-100k --set epochs=3 --out runs/din`
    """
    from rich.console import Console
    from rich.progress import Progress

    from recops_models.cli.training_bar import TrainingBar
    from recops_models.data.dataset import Dataset
    from recops_models.out_folder import out_folder
    from recops_models.recipes.job import Job
    from recops_models.recipes.run import holds, run_job
    from recops_models.recipes.setting_text import parse_settings

    try:
        job = Job.of(
            model,
            data,
            parse_settings(model, setting_pairs(settings or []), preset=preset),
            seed=seed,
            quick=quick,
            split=split.value if split else None,
            preset=preset,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    dataset = load_job_data(job)
    if isinstance(dataset, Dataset):
        print_findings(dataset.report)
        _warn_of_ratings(dataset, job)
    folder = make_folder(out or Path("runs") / model)
    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
            bar = TrainingBar(bars, model)
            with out_folder(folder, kind="training-config"):
                trained = run_job(job, dataset, folder, resume=resume, callbacks=bar)
    except KeyboardInterrupt:
        kept = (
            f"{folder} keeps the last checkpoint: go on with --resume"
            if holds(folder, job)
            else f"the training had not begun, and {folder} is as it was"
        )
        raise RuntimeError(f"interrupted; {kept}") from None
    for note in trained.task.notes:
        typer.echo(f"note: {note}")
    for part in ("validation", "test"):
        figures = ", ".join(
            f"{name} {'undefined' if value is None else f'{value:.4f}'}"
            for name, value in trained.metrics[part].items()
        )
        typer.echo(f"{part}: {figures}")
    typer.echo(f"{model} in {folder}")


def _warn_of_ratings(dataset: Dataset, job: Job) -> None:
    """Print a warning, before the training, if the threshold of ratings hardly divides them."""
    from recops_models.examples.feedback import rating_warning
    from recops_models.training.example_config import ExampleConfig

    examples = job.parts.get("examples")
    if isinstance(examples, ExampleConfig):
        text = rating_warning(dataset.interactions, examples.feedback, examples.positive)
        if text is not None:
            typer.echo(f"warning: {text}", err=True)
