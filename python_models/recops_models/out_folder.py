"""A command's output folder: of the command that made it, and of one process at a time."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recops.files import read_bounded

TRAINING_KIND = "training-config"
"""The kind of the file ``config.json`` that ``recops train`` leaves."""

_MAKERS = {
    "dataset": "data import",
    "tokenizer-config": "tokenize",
    TRAINING_KIND: "train",
    "config": "quickstart",
    "results": "reproduce",
}
"""The kind of a command's own file, and the command."""
_OWN_FILES = ("config.json", "dataset.json", "results.json")
"""Files by which a command's folder is known, whichever command it is."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""The name of a file that :func:`recops.files.new_file` has not finished."""


@contextmanager
def out_folder(path: Path, *, kind: str, source: Path | None = None) -> Iterator[Path]:
    """The folder ``path``, for the command alone whose own file is of ``kind``.

    It is locked until the end, however the process ends: the lock is the kernel's, on the folder
    itself, and leaves no file behind. A file system that knows no such locks locks nothing. What
    the same command, killed, had not finished in it or its stages' folders is removed, which is
    told on stderr.

    Args:
        path: what ``--out`` names; it must be there.
        kind: of the JSON file that says whose the folder is.
        source: what the command reads: it may not write into it.

    Raises:
        ValueError: the folder is another command's, holds ``source``, or is in use.
    """
    if source is not None and path.resolve() in (source.resolve(), source.resolve().parent):
        raise ValueError(f"--out {path}: holds the source {source}; name another folder")
    folder = os.open(path, os.O_RDONLY)
    try:
        _lock(folder, path)
        if _is_own(path, kind):
            _sweep(path)
        yield path
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(f"--out {path}: another command is writing into it") from error
    except OSError:
        pass


def _is_own(path: Path, kind: str) -> bool:
    """Whether the command was here before; raises ValueError where another one was."""
    own = [name for name in _OWN_FILES if (path / name).exists()]
    for name in own:
        found = _kind(path / name)
        if found != kind:
            maker = _MAKERS.get(found or "")
            whose = f"is of `recops {maker}`" if maker else "is not of this command"
            raise ValueError(f"--out {path}: its {name} {whose}; name another folder")
    return bool(own)


def _sweep(path: Path) -> None:
    """Remove what a killed command was about to rename (:mod:`recops.files`), and say so."""
    near = itertools.chain(path.glob(".*.tmp"), path.glob("*/.*.tmp"))
    leftovers = [file for file in near if _TEMPORARY.fullmatch(file.name) and file.is_file()]
    for file in leftovers:
        file.unlink()
    if leftovers:
        print(
            f"note: removed {len(leftovers)} unfinished files, left in {path} by a killed command",
            file=sys.stderr,
        )


def _kind(file: Path) -> str | None:
    """What a sealed JSON file says it is; None where it says nothing."""
    try:
        kind = json.loads(read_bounded(file))["format"]["kind"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None
