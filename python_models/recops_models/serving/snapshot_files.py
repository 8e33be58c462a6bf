"""The files of snapshots in a folder: their names, which tell their order, and which of them go."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

KEPT = 7
"""The newest snapshots of a folder, of which one a day is taken (the paper's practice)."""

_SUFFIX = ".snapshot.parquet"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z" + re.escape(_SUFFIX))
_UNFINISHED = re.compile(rf"\.{_NAME.pattern}\..+\.tmp")

_ABANDONED = 3600.0
"""Seconds without a byte more, after which a file is no longer being written."""


def new_snapshot_in(folder: Path) -> Path:
    """Where one goes that is taken now: files are named by the time, in UTC."""
    return folder / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}{_SUFFIX}"


def snapshots_in(folder: Path) -> list[Path]:
    """The snapshots of a folder, the oldest first; files with other names are none of them."""
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.name))


def rotate_out(folder: Path, kept: int) -> None:
    """Remove all snapshots but the newest."""
    for old in snapshots_in(folder)[:-kept]:
        old.unlink(missing_ok=True)


def sweep_unfinished(folder: Path) -> None:
    """Remove what snapshots left that were killed."""
    for path in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # Another snapshot sweeps as well.
            if _UNFINISHED.fullmatch(path.name) and time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()
