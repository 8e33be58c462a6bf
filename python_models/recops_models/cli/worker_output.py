"""Output of a command that several workers run: the first one speaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import typer

RANK = "RANK"
"""Environment variable of torchrun with the number of this worker."""


@contextmanager
def one_voice() -> Iterator[None]:
    """Let the first worker print, and the others only errors that are theirs alone.

    Raises:
        typer.Exit: this is not the first worker, and has failed or was interrupted.
    """
    from recops_models.cli.launch import is_worker
    from recops_models.printable import printable
    from recops_models.workers import WorkerLostError, is_copy

    rank = int(os.environ.get(RANK, "0")) if is_worker() else 0
    if rank == 0:
        yield
        return
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield
    except (Exception, KeyboardInterrupt) as error:
        cause = error.__cause__ or error.__context__ or error
        is_shared = isinstance(cause, (KeyboardInterrupt, WorkerLostError)) or is_copy(error)
        if not is_shared:
            message = " ".join(printable(str(error)).split())
            print(f"recops: worker {rank}: {message}", file=sys.stderr)
        raise typer.Exit(1) from error
