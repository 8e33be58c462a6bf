"""Defects planted in Triton kernels, and their search by interpreted tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import recops
from interpreted import run_interpreted


class Defect(NamedTuple):
    """A change of the source of a kernel; the file is relative to the family's Triton folder."""

    file: str
    correct: str
    wrong: str


def kernels_of(family: str) -> Path:
    """Return the folder of a family's Triton kernels."""
    return Path(recops.__path__[0]) / "ops" / family / "triton"


def assert_changes_the_source(family: str, defect: Defect) -> None:
    """Check that the correct source still exists."""
    assert defect.correct in (kernels_of(family) / defect.file).read_text()
    assert defect.correct != defect.wrong


def assert_noticed(family: str, defect: Defect, tests: Path, folder: Path) -> None:
    """Check that interpreted tests fail with a defect.

    Args:
        family: family of the kernel.
        defect: the defect.
        tests: file of interpreted tests.
        folder: an empty folder for the changed copy of the kernels.
    """
    changed = folder / "triton"
    shutil.copytree(kernels_of(family), changed)
    source = (changed / defect.file).read_text()
    (changed / defect.file).write_text(source.replace(defect.correct, defect.wrong))
    environment = {"RECOPS_DEFECT": str(folder), "RECOPS_DEFECT_FAMILY": family}
    arguments = ("-x", "-p", "planted_defect", tests.name)
    result = run_interpreted(tests.parent, *arguments, environment=environment)
    # An access out of bounds ends the process by a signal, sometimes before the report.
    assert result.returncode != 0, result.stdout + result.stderr
    assert "1 failed" in result.stdout or result.returncode < 0
