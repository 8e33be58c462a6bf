"""Files of the league's results.

``results.json`` holds all figures of the tables. ``users/SET.jsonl.xz`` holds, for each row of a
set, the headline metric of every user, from which intervals can be computed again.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recops.files import CorruptFileError, read_json, write_file, write_json
from recops_evidence.harness.user_values import UserValues
from recops_evidence.league.figures import LeagueResults

RESULTS, USERS = "results.json", "users"
_KIND, _VERSION = "league", 1


def write_league(
    folder: Path, results: LeagueResults, users: Mapping[str, Mapping[str, UserValues]]
) -> None:
    """Write the figures and the values per user, by set and row, to an existing folder."""
    (folder / USERS).mkdir(exist_ok=True)
    digests = {}
    for name, rows in users.items():
        lines = "".join(
            json.dumps({"row": row, **values.to_json()}, ensure_ascii=False) + "\n"
            for row, values in rows.items()
        ).encode()
        digests[name] = hashlib.sha256(lines).hexdigest()
        write_file(_users_path(folder, name), lzma.compress(lines, preset=9))
    content = {"results": results, "users_sha256": digests}
    write_json(folder / RESULTS, content, kind=_KIND, version=_VERSION)


def read_league(folder: Path) -> LeagueResults:
    """Read the figures.

    Raises:
        CorruptFileError: the file is damaged, of another kind, or from a newer version.
        FileNotFoundError: the folder holds no results.
    """
    results: LeagueResults = _read(folder)["results"]
    return results


def read_user_values(folder: Path, of_set: str) -> dict[str, UserValues]:
    """Read the values per user of a set, by row.

    Raises:
        CorruptFileError: a file is damaged, or of other results.
        FileNotFoundError: a file is missing.
    """
    digest, path = _read(folder)["users_sha256"].get(of_set), _users_path(folder, of_set)
    try:
        lines = lzma.decompress(path.read_bytes())
        if hashlib.sha256(lines).hexdigest() != digest:
            raise CorruptFileError(f"{path}: damaged, or of another {RESULTS} (checksum mismatch)")
        rows = [json.loads(line) for line in lines.splitlines()]
        return {row["row"]: UserValues.from_json(row) for row in rows}
    except (lzma.LZMAError, KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{path}: damaged ({error})") from error


def _read(folder: Path) -> dict[str, Any]:
    return read_json(folder / RESULTS, kind=_KIND, version=_VERSION)


def _users_path(folder: Path, of_set: str) -> Path:
    return folder / USERS / f"{of_set.replace(':', '-')}.jsonl.xz"
