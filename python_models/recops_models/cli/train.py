"""``recops train``: train a model on a data set."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import (
    LARGEST_SEED,
    DeviceOption,
    JsonOption,
    RepeatsOption,
    SplitChoice,
    app,
    load_job_data,
    make_folder,
    print_findings,
    print_json,
    setting_pairs,
)
from recops_models.recipes.registry import names

if TYPE_CHECKING:
    import torch

    from recops_models.data import Dataset
    from recops_models.recipes.job import Job


@app.command()
def train(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join(names())}.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Option(help="Name from `recops data list`, or a folder.", show_default=False),
    ],
    split: Annotated[
        SplitChoice | None,
        typer.Option(help="Split of the data. The defaults are listed above.", show_default=False),
    ] = None,
    repeats: RepeatsOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting, such as `--set width=128`. Repeatable."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Named settings, such as `paper` of unirec. `--set` overrides them. An unknown "
            "name lists the presets of the model.",
            show_default=False,
        ),
    ] = None,
    earlier: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of an earlier training to continue on newer --data, with its settings. "
            "`--set` may only change those of the training, such as `epochs`.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Train for two epochs, to check the pipeline.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue from the last checkpoint, with `--set epochs=…` also for more epochs.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model with other settings in --out.")
    ] = False,
    as_json: JsonOption = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=LARGEST_SEED, help="Random seed. The same seed gives the same model."
        ),
    ] = 0,
    device: DeviceOption = "auto",
    num_workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=1,
            help="Worker processes on this machine, one GPU each if there are any. They train the "
            "model that one process would train, and share every batch.",
        ),
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to. Default: runs/MODEL, or runs/MODEL-2 and so on if that holds "
            "a model with other settings.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a ranker or a click model.

    Rankers (popularity, item-knn, ease, sasrec, tiger, unirec): by default, the last event of
    each user is the test set, and the event before it the validation set. The first three only
    count. unirec can continue with reward and preference training after next-token training
    (`--set align=both`). `--preset paper` trains unirec as published: its network, two
    attributes, balanced codes, rewards and preferences.

    Click models (rates, sum-pool, din, gru-attention, dien, can, mimn, hpmn, rocket, age,
    res-embedding, keep): by default, the last tenth of the time range is the test set, and the
    tenth before it the validation set. keep splits at `until`, `validation` and `test`. rates only
    counts.

    Some click models extend others. rocket trains a light net together with a booster (`--set
    booster=din --set light.hidden=16,8`) and keeps the light net. age adds an exploration gate to a
    base model (`--set base=din --set base.hidden=200,80`). res-embedding shares item embeddings
    along an item graph. keep pre-trains on all domains and adds the extracted knowledge to the
    model of a small domain (`--set domain_column=category --set domain=…`).

    Folders of Parquet files are streamed: sequences for rankers other than ease (`recops data
    sequences` writes them), and examples for click models.

    If the source defines held-out users, they are the test set. `--split global-time` tests rankers
    on each user's next event after the split, and `--split by-user` on the last event of users
    outside training. The epoch with the best validation NDCG@10 or AUC (`--set select=…`) is kept.

    A checkpoint is written every five minutes and after every epoch. `--resume` continues from it,
    on the same device with bitwise the same result. Writes `config.json`, `catalogue.json`,
    `model.safetensors`, `metrics.json`, `curves.json`, `predictions.parquet`,
    `checkpoint.safetensors` and TensorBoard events to `--out`.

    `--from DIR` continues a training on newer data: known items, users and values keep their rows,
    new ones start from the row of the unknown value, and all stages run again from there. Models
    that only count are fitted again.

    `--workers 2` starts two workers by torchrun. On several machines, use torchrun itself, as in
    `torchrun … -m recops_models.cli train …`, with a shared `--out`. `--resume` may use another
    number of workers.

    Example: `recops train din --data ml-100k --set epochs=3 --out runs/din`
    """
    from recops_models.cli.launch import is_worker, launch
    from recops_models.data.sets import locate
    from recops_models.recipes.job import Job, load_job
    from recops_models.recipes.setting_text import parse_settings
    from recops_models.recipes.start import continued_job

    if earlier is not None and preset is not None:
        raise typer.BadParameter("leave out --preset with --from, whose settings are used")
    stored = None if earlier is None else load_job(earlier)
    texts = setting_pairs(settings or [])
    try:
        if earlier is not None and stored is not None:
            job = continued_job(
                earlier,
                stored,
                model,
                locate(data),
                parse_settings(model, texts, parts=stored.parts),
                seed=seed,
                quick=quick,
                split=split.value if split else None,
                repeats=repeats.value if repeats else None,
            )
        else:
            job = Job.of(
                model,
                locate(data),
                parse_settings(model, texts, preset=preset),
                seed=seed,
                quick=quick,
                split=split.value if split else None,
                preset=preset,
                repeats=repeats.value if repeats else None,
            )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if num_workers > 1 and not is_worker():
        raise typer.Exit(launch(num_workers, context.obj))

    from recops_models.cli.worker_output import one_voice
    from recops_models.training.distributed import join_workers

    with one_voice(), join_workers(device) as chosen:
        _train(job, out, chosen, resume=resume, force=force, as_json=as_json)


def _train(
    job: Job, out: Path | None, device: torch.device, *, resume: bool, force: bool, as_json: bool
) -> None:
    """Train a job and print its metrics."""
    from rich.console import Console
    from rich.progress import Progress

    from recops_models import workers
    from recops_models.callbacks import Callbacks
    from recops_models.cli.training_bar import TrainingBar
    from recops_models.data.dataset import Dataset
    from recops_models.out_folder import out_folder
    from recops_models.recipes.catalogue import repeats_of
    from recops_models.recipes.resuming import check_replaceable, free_folder
    from recops_models.recipes.run import run_job

    dataset = workers.others_after_first(lambda: load_job_data(job))
    job = dataclasses.replace(job, repeats=job.repeats or repeats_of(dataset))
    if isinstance(dataset, Dataset) and workers.is_first():
        print_findings(dataset.report, err=as_json)
        _warn_of_ratings(dataset, job)

    def output() -> Path:
        folder = out or free_folder(Path("runs") / job.model, job)
        if not (resume or force):
            check_replaceable(folder, job)
        make_folder(folder)
        return folder

    folder = workers.on_first(output)
    console = Console(stderr=True)
    is_shown = console.is_terminal and workers.is_first()
    try:
        with (
            Progress(console=console, transient=True, disable=not is_shown) as bars,
            ExitStack() as lock,
        ):
            bar = TrainingBar(bars, job.model) if workers.is_first() else Callbacks()
            workers.on_first(lambda: lock.enter_context(out_folder(folder, kind="training-config")))
            trained = run_job(
                job,
                dataset,
                folder,
                resume=resume,
                callbacks=bar,
                device=device,
                keep_interrupted=True,
            )
    except KeyboardInterrupt:
        raise RuntimeError(f"interrupted; {_state_of(folder, job)}") from None
    except workers.WorkerLostError as error:
        raise RuntimeError(f"{error}; {_state_of(folder, job)}") from error
    if as_json:
        print_json({"out": str(folder), **trained.metrics})
        return
    for note in trained.task.notes:
        typer.echo(f"note: {note}")
    for part in ("validation", "test"):
        figures = ", ".join(
            f"{name} {'undefined' if value is None else f'{value:.4f}'}"
            for name, value in trained.metrics[part].items()
        )
        typer.echo(f"{part}: {figures}")
    typer.echo(f"{job.model} in {folder}")


def _state_of(folder: Path, job: Job) -> str:
    """Return what an interrupted training has left."""
    from recops_models.recipes.resuming import holds

    if holds(folder, job):
        return _advice(folder)
    return f"the training had not started, and {folder} is unchanged"


def _advice(folder: Path) -> str:
    """Return what an interrupted training has left, and how to continue it."""
    from recops_models.recipes.files import MODEL

    advice = f"{folder} has the last checkpoint: continue with --resume"
    if (folder / MODEL).exists():
        advice += "; its model is that of the best epoch so far"
    return advice


def _warn_of_ratings(dataset: Dataset, job: Job) -> None:
    """Print a warning if nearly all ratings lie on one side of the threshold."""
    from recops_models.examples.feedback import rating_warning
    from recops_models.training.example_config import ExampleConfig

    examples = job.parts.get("examples")
    if isinstance(examples, ExampleConfig):
        text = rating_warning(dataset, examples.feedback, examples.positive)
        if text is not None:
            typer.echo(f"warning: {text}", err=True)
