"""Models and stores for the tests of the center."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from centers import untrained
from recops_models.data import Dataset


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


@pytest.fixture(scope="session")
def trained(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a model of the small data set, by name and settings, made once."""
    made: dict[Any, Path] = {}
    home = tmp_path_factory.mktemp("trained")

    def folder(name: str, *, seed: int = 0, **settings: str) -> Path:
        key = (name, seed, tuple(sorted(settings.items())))
        if key not in made:
            place = home / f"{name}-{len(made)}"
            made[key] = untrained(name, small, home / "data", place, seed=seed, **settings)
        return made[key]

    return folder
