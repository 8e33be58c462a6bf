"""Log messages of the command line."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from recops_models.cli import run

LOGGER = logging.getLogger("recops_models")


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    level, handlers = LOGGER.level, LOGGER.handlers[:]
    yield
    LOGGER.setLevel(level)
    LOGGER.handlers[:] = handlers


def test_verbose_writes_progress_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--verbose", "data", "describe", "ml-100k"]) == 0
    output = capsys.readouterr()
    assert "INFO recops_models.cli.application: loading data set ml-100k" in output.err
    assert "loading data set" not in output.out


def test_progress_is_silent_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "describe", "ml-100k"]) == 0
    assert capsys.readouterr().err == ""


def test_warnings_are_written_once_after_several_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments in (["--verbose", "data", "list"], ["data", "list"]):
        assert run(arguments) == 0
    capsys.readouterr()
    logging.getLogger("recops_models.serving.center").info("unwanted")
    logging.getLogger("recops_models.serving.center").warning("a \x1b[31mred\x1b[0m warning")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("WARNING recops_models.serving.center: a [31mred[0m warning")


WARNINGS = """
import sys, warnings
from recops_models import cli

def warn(arguments):
    for module in ("sklearn.base", "recops_models.data", "recops", "recops_other"):
        exec("import warnings; warnings.warn(f'from {__name__}')", {"__name__": module})
    exec("import warnings; warnings.warn('recops: from user')", {"__name__": "__console__"})
    return 0

cli.run = warn
cli.main(sys.argv[1:])
"""

OWN = ["recops_models.data", "recops"]
ALL = ["sklearn.base", *OWN, "recops_other"]


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        ([], [], [*OWN, "user"]),
        (["--verbose"], [], [*ALL, "user"]),
        ([], ["-W", "always"], [*ALL, "user"]),
    ],
)
def test_warnings_of_other_packages_need_verbose(
    arguments: list[str], options: list[str], expected: list[str]
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    command = [sys.executable, *options, "-c", WARNINGS, *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert re.findall(r"from (\S+)$", output.stderr, re.MULTILINE) == expected
