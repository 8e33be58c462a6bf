"""The stub src/recops/_ops.pyi lists the ops that the library registers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_stub_lists_the_registered_ops() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "write_stubs.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ROOT / "src" / "recops" / "_ops.pyi").read_text() == result.stdout
