"""What training frees stays in the process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import torch
from recops_models.heap import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == "kept" else None)

def steps():  # Blocks of 4 MB, several at once, as activations are.
    for _ in range(20):
        blocks = [torch.ones(1_000_000) for _ in range(8)]
        del blocks

for _ in range(3):
    steps()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
steps()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc has these settings"
)


def _faults(how: str, **environment: str) -> tuple[str, int]:
    cleared = {name: value for name, value in os.environ.items() if "MALLOC" not in name.upper()}
    cleared.pop("GLIBC_TUNABLES", None)
    ran = subprocess.run(
        [sys.executable, "-c", STEPS, how],
        env=cleared | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said, faults = ran.stdout.split()
    return said, int(faults)


def test_the_next_step_finds_its_pages_mapped() -> None:
    said, kept = _faults("kept")
    assert said == "True"
    _, given_back = _faults("as it is")
    assert kept < 100 < 1000 < given_back


def test_a_heap_that_was_told_otherwise_stays_so() -> None:
    said, _ = _faults("kept", MALLOC_TRIM_THRESHOLD_="131072")
    assert said == "False"
