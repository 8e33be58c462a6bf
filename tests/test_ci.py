"""``.ci/full`` runs every test that is too long for CI."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def paths_of_full_tests(script: str) -> list[str]:
    """Return the paths and patterns after ``pytest … -m full`` in a script."""
    commands = script.replace("\\\n", " ").splitlines()
    return [
        path
        for command in commands
        if re.search(r"\bpytest\b.*-m full\b", command)
        for path in re.findall(r"tests/\S*", command)
    ]


def left_out(files: Iterable[Path], paths: Iterable[str]) -> list[str]:
    """Return the files that none of the paths and patterns covers."""
    covered = {file for path in paths for file in ROOT.glob(path)}
    return [
        file.relative_to(ROOT).as_posix() for file in files if not {file, *file.parents} & covered
    ]


def test_every_long_test_is_in_a_lane() -> None:
    marked = re.compile(r"pytest\.mark\.full\b")
    files = [
        path for path in (ROOT / "tests").rglob("test_*.py") if marked.search(path.read_text())
    ]
    assert len(files) > 10
    assert left_out(files, paths_of_full_tests((ROOT / ".ci/full").read_text())) == []


def test_a_missing_lane_is_found() -> None:
    script = (
        "python -m pytest -q -m full \\\n  tests/test_ci.py tests/recops/ops/*/test_*triton*.py\n"
    )
    files = [
        ROOT / "tests/test_ci.py",
        ROOT / "tests/recops/ops/coaction/test_coaction_triton.py",
        ROOT / "tests/test_build.py",
    ]
    assert left_out(files, paths_of_full_tests(script)) == ["tests/test_build.py"]


def test_every_lane_is_attempted() -> None:
    script = (ROOT / ".ci/full").read_text()
    functions = set(re.findall(r"^(\w+)\(\) [{(]", script, re.M))
    attempts = " ".join(re.findall(r"^ *attempt .*", script, re.M)).split()
    assert functions - set(attempts) == {"python_path", "run_drivers"}  # helpers
