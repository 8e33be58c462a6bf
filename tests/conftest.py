"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

pytest_plugins = ["called_ops", "cpu_seconds", "repeated", "workers"]

ROOT = Path(__file__).resolve().parent.parent

# test_fake_device.py runs these modules in separate processes.
collect_ignore = [] if "RECOPS_FAKE_DEVICE" in os.environ else ["on_fake_device"]

# Derandomised, so that failures repeat. Without a deadline, since machines may be shared.
hypothesis.settings.register_profile("recops", derandomize=True, deadline=None)
hypothesis.settings.register_profile(
    "thousands", derandomize=True, deadline=None, max_examples=3000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "recops"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """Yield ``torch.set_num_threads``, and restore the number of threads after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def one_thread(set_threads: Callable[[int], None]) -> None:
    """Run the test with one thread: its models are too small for a second one."""
    set_threads(1)


@pytest.fixture(scope="session")
def recops_data() -> Path:
    """Return the folder of external data sets: RECOPS_DATA, or the default next to the checkout."""
    setting = os.environ.get("RECOPS_DATA")
    folder = Path(setting) if setting else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no data sets here: set RECOPS_DATA to their folder")
    return folder
