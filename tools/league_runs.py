"""Pack the runs of an unfinished league into small files of the repository, and unpack them.

``python tools/league_runs.py pack FOLDER`` writes ``docs/results/league/unfinished`` from the
folder of ``recops reproduce league --out FOLDER``. ``unpack FOLDER`` restores such a folder, with
which ``recops reproduce league --out FOLDER --resume`` continues.
"""

from __future__ import annotations

import argparse
import lzma
import shutil
from pathlib import Path

from recops.files import CorruptFileError, read_json, write_file

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "docs" / "results" / "league" / "unfinished"
_OWNER, _RUNS, _PART = "reproduction.json", "runs.jsonl", 280_000


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["pack", "unpack"])
    parser.add_argument("folder", type=Path, help="folder of `recops reproduce league`")
    arguments = parser.parse_args()
    if arguments.action == "pack":
        pack(arguments.folder, STORED)
    else:
        unpack(STORED, arguments.folder)


def pack(folder: Path, stored: Path) -> None:
    """Write the runs of ``folder`` to ``stored``, in parts of at most 280,000 bytes."""
    shutil.rmtree(stored, ignore_errors=True)
    stored.mkdir(parents=True)
    shutil.copy(folder / _OWNER, stored / _OWNER)
    data = lzma.compress((folder / _RUNS).read_bytes(), preset=9)
    for number, start in enumerate(range(0, len(data), _PART)):
        write_file(_part(stored, number), data[start : start + _PART])


def unpack(stored: Path, folder: Path) -> None:
    """Restore a folder from the result of :func:`pack`.

    Raises:
        ValueError: the folder has runs already.
        CorruptFileError: a part is damaged or missing.
    """
    if (folder / _RUNS).exists():
        raise ValueError(f"unpack: {folder} must have no {_RUNS}")
    read_json(stored / _OWNER, kind="reproduction")
    parts = sorted(stored.glob(f"{_RUNS}.xz.*"))
    if parts != [_part(stored, number) for number in range(len(parts))]:
        raise CorruptFileError(f"{stored}: a part of {_RUNS} is missing")
    try:
        data = lzma.decompress(b"".join(part.read_bytes() for part in parts))
    except lzma.LZMAError as error:
        raise CorruptFileError(f"{stored}: damaged ({error})") from error
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(stored / _OWNER, folder / _OWNER)
    write_file(folder / _RUNS, data)


def _part(stored: Path, number: int) -> Path:
    return stored / f"{_RUNS}.xz.{number:03}"


if __name__ == "__main__":
    main()
