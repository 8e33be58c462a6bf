"""Peak memory of Python code in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

reads_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc"
)

# ru_maxrss would include the memory of the parent process at the fork.
_REPORT = r"""
import atexit, re
from pathlib import Path
def report():
    print(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text()).group(1))
atexit.register(report)
"""

COMMAND = "from recops_models.cli import main; main()"
"""Code that runs the command line with the arguments."""


def peak_bytes(code: str, *arguments: str) -> int:
    """Return the peak resident memory of ``python -c code arguments`` on one thread."""
    process = subprocess.run(
        [sys.executable, "-c", _REPORT + code, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return int(process.stdout.split()[-1]) * 1024
