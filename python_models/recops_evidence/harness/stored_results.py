"""Files of a finished reproduction.

``results.json`` holds verdicts and figures, ``results.md`` shows them as a page, and
``seeds.jsonl.xz`` holds the test metrics of every arm per seed. Only the page and the JSON file are
needed to judge the claims; the values per seed are compressed because they are ten times as large.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recops.files import CorruptFileError, read_json, write_file, write_json
from recops_evidence.harness.page import render_page
from recops_evidence.harness.results import Results, SeedValues

RESULTS, PAGE, SEEDS = "results.json", "results.md", "seeds.jsonl.xz"

_VERSION = 2


def write_results(folder: Path, content: Results, values: Sequence[SeedValues]) -> None:
    """Write the three files of a reproduction to ``folder``.

    Args:
        folder: exists.
        content: figures of the reproduction.
        values: values per seed, in the order of ``content["tables"]["measured"]``.
    """
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in values).encode()
    digest = hashlib.sha256(lines).hexdigest()
    write_file(folder / SEEDS, lzma.compress(lines, preset=9))
    write_json(
        folder / RESULTS, {**content, "seeds_sha256": digest}, kind="results", version=_VERSION
    )
    write_file(folder / PAGE, render_page(content).encode())


def read_results(folder: Path) -> Results:
    """Read the figures of a reproduction from ``results.json``.

    Raises:
        CorruptFileError: the file is damaged, of another kind, or from a newer version.
        FileNotFoundError: the folder holds no results.
    """
    return _read_json(folder)[0]


def read_seed_values(folder: Path) -> list[SeedValues]:
    """Read the test metrics per seed, in the order of ``tables.measured``.

    Raises:
        CorruptFileError: a file is damaged, or the two files are of different reproductions.
        FileNotFoundError: a file is missing.
    """
    _, digest = _read_json(folder)
    path = folder / SEEDS
    try:
        lines = lzma.decompress(path.read_bytes())
    except lzma.LZMAError as error:
        raise CorruptFileError(f"{path}: damaged ({error})") from error
    if hashlib.sha256(lines).hexdigest() != digest:
        raise CorruptFileError(f"{path}: damaged, or of another {RESULTS} (checksum mismatch)")
    return [json.loads(line) for line in lines.splitlines()]


def _read_json(folder: Path) -> tuple[Results, str]:
    """Return the content, and the digest of the values per seed."""
    content: Any = read_json(folder / RESULTS, kind="results", version=_VERSION)
    return content, content.pop("seeds_sha256")
