"""Typer application of all commands, and helpers that they share."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.logs import configure_logging
from recops_models.printable import printable

if TYPE_CHECKING:
    from torch import nn

    from recops_models.data import Dataset, ImportReport
    from recops_models.exploration.explore_config import ExploreConfig
    from recops_models.recipes.job import Job
    from recops_models.recipes.stage import Data

_logger = logging.getLogger(__name__)

LARGEST_SEED = 2**63 - 1

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Recommender systems on compiled kernels. Start with `recops quickstart`. Every "
    "command has `--help`.",
)


@app.callback()
def configure(
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="Write progress messages to stderr, not only warnings."),
    ] = False,
) -> None:
    """Apply the options that precede the command."""
    configure_logging(verbose=verbose)


def _check_device(name: str) -> str:
    """Check that the device exists, without importing torch for one that always does."""
    if name not in ("auto", "cpu"):
        from recops_models.training.device import resolve_device

        try:
            resolve_device(name)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return name


DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        help="Where models run. auto: CUDA if torch has it, else the CPU.",
        metavar="auto|cpu|cuda[:i]|mps|xpu",
        callback=_check_device,
    ),
]
"""Option of every command that runs models; see
:func:`~recops_models.training.device.resolve_device`."""


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the metrics as one JSON object on one line.")
]
"""Option of every command that prints metrics."""

NewerDataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Newer data, also with new items and users: a name or a folder. Default: the data of "
        "training.",
        show_default=False,
    ),
]
"""Option of commands that read a trained model."""


class TextEncoderOption(str, Enum):
    """Encoders of item text."""

    tfidf = "tfidf"
    minilm = "minilm"


class SplitChoice(str, Enum):
    """Splits of a data set into train, validation and test."""

    leave_one_out = "leave-one-out"
    global_time = "global-time"
    by_user = "by-user"


class RepeatsChoice(str, Enum):
    """Treatments of events that repeat an item of their user."""

    keep = "keep"
    drop = "drop"


RepeatsOption = Annotated[
    RepeatsChoice | None,
    typer.Option(
        "--repeats",
        help="keep: lists may contain items of the history, as in a shop. drop: they leave them "
        "out. Default: as in the data set; own files keep repeats if they are at least a tenth of "
        "the events.",
        show_default=False,
    ),
]
"""Option of commands that read data."""


def load_data(name: str) -> Dataset:
    """Load a data set by name or folder. An unknown name is bad usage."""
    from recops_models.data import UnknownDataError, load

    _logger.info("loading data set %s", name)
    try:
        return load(name)
    except UnknownDataError as error:
        raise typer.BadParameter(str(error)) from error


def load_job_data(job: Job, model: nn.Module | None = None, folder: Path | None = None) -> Data:
    """Load the data of a job; see :func:`~recops_models.recipes.trained.open_data`.

    An unknown name is bad usage. For a finished training it means that the data folder has moved.
    """
    from recops_models.data.errors import UnknownDataError
    from recops_models.recipes.trained import open_data

    _logger.info("loading data set %s", job.data)
    try:
        return open_data(job, model, folder)
    except UnknownDataError as error:
        if folder is None:
            raise typer.BadParameter(str(error)) from error
        raise ValueError(
            f"{folder} was trained on {job.data}, which does not exist: name its new place with "
            "--data"
        ) from error


def open_trained(
    folder: Path, *, device: str, data: str | None = None
) -> tuple[Job, nn.Module, Data]:
    """Load the data of a training or newer ``data``, and the model for its items and users.

    Notes on new items and users go to stderr.
    """
    from recops_models.process import paused_collection

    with paused_collection():
        from recops_models.recipes.matching import match_model
        from recops_models.recipes.trained import load_trained

        job, model = load_trained(folder, device=device)
        if data is not None:
            job = dataclasses.replace(job, data=data)
        opened = load_job_data(job, model, folder)
        matched = match_model(folder, job, model, opened)
    for note in matched.notes:
        typer.echo(printable(f"note: {note}"), err=True)
    return job, matched.module, opened


def make_folder(path: Path) -> Path:
    """Create the output folder if it does not exist."""
    if path.exists() and not path.is_dir():
        raise typer.BadParameter(f"--out must be a folder, got the file {path}")
    path.mkdir(parents=True, exist_ok=True)
    _logger.info("writing to %s", path)
    return path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Create the output folder, and remove it again after an error that leaves it empty."""
    has_existed = path.exists()
    try:
        yield make_folder(path)
    except BaseException:
        if not has_existed:
            with suppress(OSError):  # It has files.
                path.rmdir()
        raise


def explore_config(text: str, option: str) -> ExploreConfig:
    """Return the exploration of an option.

    Raises:
        BadParameter: the text is invalid.
    """
    from recops_models.exploration.explore_config import ExploreConfig

    try:
        return ExploreConfig.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error


def print_findings(report: ImportReport, *, err: bool = False) -> None:
    """Print the notes of an import and the rows that it left out.

    Args:
        report: the report of the import.
        err: print to stderr, as commands with ``--json`` do.
    """
    for note in report.notes:
        typer.echo(printable(f"note: {note}"), err=err)
    for bad in report.bad_rows:
        typer.echo(printable(f"left out: {bad}"), err=err)


def print_json(content: Mapping[str, object]) -> None:
    """Print one JSON object on one line, for ``--json``.

    Raises:
        ValueError: a value is NaN or infinite, which JSON cannot represent.
    """
    typer.echo(json.dumps(content, allow_nan=False))


def setting_pairs(settings: Iterable[str]) -> dict[str, str]:
    """Return the values of `--set key=value` by key."""
    pairs = {}
    for text in settings:
        name, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"--set must be key=value, got {text!r}")
        pairs[name.strip()] = value.strip()
    return pairs
