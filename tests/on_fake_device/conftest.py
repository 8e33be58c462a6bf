"""Fixtures of tests on the fake device; ``tests/test_fake_device.py`` runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fake_device import DEVICE
from recops_models.data import save_dataset
from stored_fixtures.shop import draw_shop

assert DEVICE  # The import registers the device.


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small data set with users, items, scenes and genres."""
    folder = tmp_path_factory.mktemp("data") / "shop"
    save_dataset(draw_shop(events=150), folder)
    return folder
