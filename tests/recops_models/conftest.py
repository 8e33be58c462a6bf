"""Fixtures with small and real data sets, and the device of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atomic_files import atomic_files, ml_100k, small
from recops_models.training.device import HOST, auto_device

__all__ = ["atomic_files", "ml_100k", "small"]


@pytest.fixture(autouse=True)
def _on_the_cpu() -> Iterator[None]:
    """Run models on the CPU unless a test names a device, also on a machine with a GPU."""
    with auto_device(HOST):
        yield
