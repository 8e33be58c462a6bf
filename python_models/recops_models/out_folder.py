"""Output folder of a command: locked while in use, and reserved for one kind of command."""

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
"""Kind of the ``config.json`` of ``recops train``."""

_COMMANDS = {
    "dataset": "data import",
    "tokenizer-config": "tokenize",
    TRAINING_KIND: "train",
    "config": "quickstart",
    "results": "reproduce",
    "league": "reproduce",
}
"""Name of each command, by the kind of its identifying file."""
_OWN_FILES = ("config.json", "dataset.json", "results.json")
"""Files that identify the command of a folder."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Name of an unfinished file of :func:`recops.files.new_file`."""


@contextmanager
def out_folder(path: Path, *, kind: str, source: Path | None = None) -> Iterator[Path]:
    """Lock the output folder ``path`` for a command whose identifying file is of ``kind``.

    The kernel releases the lock when the process ends, and no lock file remains. On file systems
    without such locks, the folder is not protected. Unfinished files of an earlier run of the same
    command are deleted, with a note on stderr.

    Args:
        path: existing folder of ``--out``.
        kind: kind of the JSON file that identifies the command.
        source: path that the command reads and must not write to.

    Raises:
        ValueError: the folder belongs to another command, holds ``source``, or is in use.
    """
    if source is not None and path.resolve() in (source.resolve(), source.resolve().parent):
        raise ValueError(f"--out {path}: holds the source {source}; name another folder")
    folder = os.open(path, os.O_RDONLY)
    try:
        _lock(folder, path)
        if _is_own(path, kind):
            _delete_unfinished(path)
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
    """Return whether the folder belongs to this command already.

    Raises:
        ValueError: the folder belongs to another command.
    """
    names = [name for name in _OWN_FILES if (path / name).exists()]
    for name in names:
        existing_kind = _kind(path / name)
        if existing_kind != kind:
            command = _COMMANDS.get(existing_kind or "")
            owner = f"belongs to `recops {command}`" if command else "belongs to another program"
            raise ValueError(f"--out {path}: its {name} {owner}; name another folder")
    return bool(names)


def _delete_unfinished(path: Path) -> None:
    """Delete unfinished files of a killed command (:mod:`recops.files`), and print a note."""
    candidates = itertools.chain(path.glob(".*.tmp"), path.glob("*/.*.tmp"))
    unfinished = [file for file in candidates if _TEMPORARY.fullmatch(file.name) and file.is_file()]
    for file in unfinished:
        file.unlink()
    if unfinished:
        print(
            f"note: removed {len(unfinished)} unfinished files, left in {path} by a killed command",
            file=sys.stderr,
        )


def _kind(file: Path) -> str | None:
    """Return the kind of a sealed JSON file; None for any other file."""
    try:
        kind = json.loads(read_bounded(file))["format"]["kind"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None
