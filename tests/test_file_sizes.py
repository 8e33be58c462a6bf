"""Committed files stay small, so that a clone is quick and pages open on a phone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 300_000

UNFINISHED_RUNS = "runs.jsonl.xz"
"""Name of the files from which an unfinished reproduction resumes; they may be larger."""


def tracked_files() -> list[Path]:
    """Return the files that git tracks; skip the test outside a git checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("the project is not a git checkout")
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip(f"git cannot list the files: {listing.stderr.strip()}")
    return [ROOT / name for name in listing.stdout.split("\0") if name]


def too_large(files: list[Path]) -> dict[str, int]:
    """Return the sizes in bytes of the files above the bound, by name."""
    sizes = {path: path.stat().st_size for path in files if path.is_file()}
    return {
        path.name: size
        for path, size in sizes.items()
        if size > MOST_BYTES and not path.name.startswith(UNFINISHED_RUNS)
    }


def test_no_committed_file_is_large() -> None:
    assert too_large(tracked_files()) == {}


def test_large_files_are_reported(tmp_path: Path) -> None:
    for name, size in (
        ("a.json", MOST_BYTES + 1),
        ("b.json", MOST_BYTES),
        ("runs.jsonl.xz", 10**6),
    ):
        (tmp_path / name).write_bytes(bytes(size))
    assert too_large([*tmp_path.iterdir(), tmp_path / "deleted"]) == {"a.json": MOST_BYTES + 1}
