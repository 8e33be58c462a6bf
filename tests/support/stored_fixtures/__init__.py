"""Stored fixtures: folders that an earlier commit wrote and that recops must read.

``tests/fixtures/stored/NAME/1`` holds the files of a fixture and ``expected.json``, the values that
its ``read`` returned when the files were written. Before the first release, a format that changes
on purpose replaces the folder. After it, the next format gets the next number.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from stored_fixtures.exported import EXPORTED
from stored_fixtures.fixture import EXPECTED, StoredFixture, dump, versions
from stored_fixtures.holders import HOLDERS
from stored_fixtures.impressions import IMPRESSIONS
from stored_fixtures.reports import REPORTS
from stored_fixtures.shop import SHOP
from stored_fixtures.stores import STORES
from stored_fixtures.tokenizers import TOKENIZERS
from stored_fixtures.trainings import TRAININGS

FIXTURES: dict[str, StoredFixture] = {
    **SHOP,
    **TRAININGS,
    **TOKENIZERS,
    **HOLDERS,
    **REPORTS,
    **IMPRESSIONS,
    **STORES,
    **EXPORTED,
}
"""By name. A fixture may depend on those before it."""


def write_fixture(name: str) -> Path:
    """Write a fixture again below the working directory; return its folder."""
    fixture = FIXTURES[name]
    folder = Path(name) / str(max(versions(name, Path()), default=1))
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    fixture.write(folder)
    written = {path.relative_to(folder): path.read_bytes() for path in files_of(folder)}
    values = fixture.read(folder)
    shutil.rmtree(folder)  # What reading changed or added is no part of the fixture.
    for path, content in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / EXPECTED).write_text(dump(values))
    return folder


def files_of(folder: Path) -> list[Path]:
    """Return all files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
