"""Snapshot files of a folder: names, order and rotation."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

DEFAULT_KEEP = 7
"""Snapshots that stay in a folder: one per day for a week, as in the paper."""

_SUFFIX = ".snapshot.parquet"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z" + re.escape(_SUFFIX))
_UNFINISHED = re.compile(rf"\.{_NAME.pattern}\..+\.tmp")

_ABANDONED_SECONDS = 3600.0
"""Age of the last write after which an unfinished file is considered abandoned."""


def new_snapshot_in(folder: Path) -> Path:
    """Return the path of a new snapshot, named by the current time in UTC."""
    return folder / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}{_SUFFIX}"


def snapshots_in(folder: Path) -> list[Path]:
    """Return the snapshots of a folder, oldest first. Files with other names are ignored."""
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.name))


def rotate_out(folder: Path, keep: int) -> None:
    """Delete all snapshots except the ``keep`` newest."""
    for old in snapshots_in(folder)[:-keep]:
        old.unlink(missing_ok=True)


def sweep_unfinished(folder: Path) -> None:
    """Delete unfinished files of snapshots that were killed."""
    for path in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # A concurrent snapshot may delete it.
            age = time.time() - path.stat().st_mtime
            if _UNFINISHED.fullmatch(path.name) and age > _ABANDONED_SECONDS:
                path.unlink()
