"""Folders that live as long as the object that uses them."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class TemporaryFolder:
    """New folder that is deleted with this object, or when the process ends.

    Unlike :class:`tempfile.TemporaryDirectory`, it gives no warning, since the user of a model does
    not know of its folder.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="recops-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def output_folder(out: str | Path | None) -> tuple[Path, TemporaryFolder | None]:
    """Return the folder ``out``, created if missing; or a new temporary one, with its owner."""
    if out is None:
        owner = TemporaryFolder()
        return owner.path, owner
    Path(out).mkdir(parents=True, exist_ok=True)
    return Path(out), None
