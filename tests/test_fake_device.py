"""Proof on a fake second device that models, tokenizers and states run on any device.

The fake device stays registered for the rest of a process, so the modules of
``tests/on_fake_device`` run in separate processes. To run some of their tests::

    RECOPS_FAKE_DEVICE=1 python -m pytest tests/on_fake_device/test_models.py -k din
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

TESTS = Path(__file__).resolve().parent
MODULES = sorted((TESTS / "on_fake_device").glob("test_*.py"))
GROUPS = {
    "models": [path for path in MODULES if path.stem == "test_models"],
    "others": [path for path in MODULES if path.stem != "test_models"],
}
"""Modules by the process that runs them."""

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no device types written in Python; torch 2.13 has",
)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_on_the_fake_device(group: str) -> None:
    run_tests(*map(str, GROUPS[group]))


@pytest.mark.slow
def test_other_settings_on_the_fake_device() -> None:
    run_tests("-m", "slow", *map(str, GROUPS["models"]))


def run_tests(*arguments: str) -> None:
    """Run pytest in a process with the fake device."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    environment["RECOPS_FAKE_DEVICE"] = "1"
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS / "support"), *sys.path])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    process = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout[-20_000:] + process.stderr[-5_000:]
