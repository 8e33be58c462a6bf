"""Stored files load with their values, and public names change only with their listing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="reading stored fixtures needs recops[models]")

from stored_fixtures import FIXTURES, files_of
from stored_fixtures.fixture import EXPECTED, STORED, differences, versions
from stored_fixtures.names import COLLECTORS, LISTING, load_listing

FOLDERS = [f"{name}/{number}" for name in FIXTURES for number in versions(name)]
MOST_BYTES = 2_000_000

pytestmark = pytest.mark.usefixtures("stored", "one_thread")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy all stored fixtures, since reading a store changes its files."""
    return Path(shutil.copytree(STORED, tmp_path_factory.mktemp("fixtures") / "stored"))


@pytest.fixture
def stored(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the copy: fixtures name each other's folders relative to the working directory."""
    monkeypatch.chdir(copy)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_stored_folder_loads_with_its_stored_values(folder: str) -> None:
    fixture = FIXTURES[folder.rpartition("/")[0]]
    for package in fixture.packages:
        pytest.importorskip(package, reason=f"{folder} needs the package {package}")
    expected = json.loads((STORED / folder / EXPECTED).read_text())
    assert list(differences(expected, fixture.read(Path(folder)))) == []


@pytest.mark.parametrize("collector", COLLECTORS)
def test_the_listing_of_public_names_is_current(collector: str) -> None:
    """Otherwise run ``python tools/write_fixtures.py names``, and write a line in CHANGELOG.md."""
    collect, packages = COLLECTORS[collector]
    for package in packages:
        pytest.importorskip(package, reason=f"names of serving need the package {package}")
    listed = load_listing(STORED / LISTING)
    for category, names in collect().items():
        assert sorted(names) == sorted(listed[category]), category


def test_every_fixture_is_stored_and_small() -> None:
    assert [name for name in FIXTURES if not versions(name)] == []
    assert {path.name for path in STORED.iterdir()} == {*FIXTURES, LISTING}
    assert sum(path.stat().st_size for path in files_of(STORED)) < MOST_BYTES


def test_differences_are_reported() -> None:
    expected = {"a": 1, "b": [1.0, "x"], "c": {"d": None}, "e": [1]}
    assert list(differences(expected, {**expected, "more": 1, "b": [1.00001, "x"]})) == []
    actual = {"a": 1.0, "b": [1.001, "y"], "c": {}, "e": [1, 2]}
    assert list(differences(expected, actual)) == [
        ".a must be 1, got 1.0",
        ".b[0] must be 1.0, got 1.001",
        ".b[1] must be 'x', got 'y'",
        ".c.d is missing",
        ".e must have 1 elements, got 2",
    ]
