"""Folders and repositories of the Hugging Face Hub, for ``save_pretrained`` and its relatives."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

FolderOrRepo: TypeAlias = "str | os.PathLike[str]"
"""Path of a folder, or a repository ``"owner/name"``."""

HubApi: TypeAlias = Any
"""A ``huggingface_hub.HfApi``, or an object with its ``create_repo`` and ``upload_folder``."""

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def local_folder(source: FolderOrRepo, owner: str) -> Path:
    """Return a folder, or that of a repository after its download.

    Args:
        source: folder or repository.
        owner: name of the caller, for errors.

    Raises:
        FileNotFoundError: there is no such folder, and the name is not that of a repository.
        ImportError: ``huggingface_hub`` is not installed.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    if not (isinstance(source, str) and _REPOSITORY.fullmatch(source)):
        raise FileNotFoundError(f"{owner}: no folder {folder}")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(source))


def upload(
    write: Callable[[Path], None], repo: str, *, private: bool = True, api: HubApi | None = None
) -> str:
    """Upload the files that ``write`` writes into a folder; return the address of the upload.

    Args:
        write: writes all files into the folder that it gets.
        repo: ``"owner/name"``; created if missing.
        private: whether a new repository is private.
        api: interface of the hub; None: one with the stored token.

    Raises:
        ImportError: ``huggingface_hub`` is not installed.
    """
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    with TemporaryDirectory(prefix="recops-") as name:
        write(Path(name))
        api.create_repo(repo, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo, folder_path=Path(name)))
