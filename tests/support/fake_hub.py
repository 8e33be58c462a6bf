"""Hub that copies uploads to a folder."""

from __future__ import annotations

import shutil
from pathlib import Path


class FakeHub:
    """Stand-in for ``huggingface_hub.HfApi``.

    Args:
        folder: receives the files of the upload.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repositories: list[tuple[str, bool]] = []

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.repositories.append((repo, private))

    def upload_folder(self, *, repo_id: str, folder_path: Path) -> str:
        shutil.copytree(folder_path, self.folder)
        return f"https://hub/{repo_id}"
