"""The option ``--cpu-seconds FILE``: CPU seconds of every test, its subprocesses included.

The file has one JSON object per line, ``{"test": node id, "seconds": …}``. The first test that uses
a session's fixture pays for it. A subprocess counts when it has ended, so a server that
outlives its test counts for the test during which it ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-seconds", metavar="FILE", help="write the CPU seconds of every test")


def pytest_configure(config: pytest.Config) -> None:
    # xdist's workers report to the process that started them, which alone writes.
    path = config.getoption("--cpu-seconds")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(Path(path)), "cpu_seconds_writer")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Attach to each phase the CPU seconds since the phase before, or since the last test."""
    now = sum(os.times()[:4])
    since = item.session.stash.get(_LAST, now)
    item.session.stash[_LAST] = now
    outcome = yield
    outcome.get_result().cpu_seconds = now - since


_LAST = pytest.StashKey[float]()


class _Writer:
    def __init__(self, path: Path) -> None:
        self._path, self._seconds = path, dict[str, float]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seconds = self._seconds.get(report.nodeid, 0.0) + getattr(report, "cpu_seconds", 0.0)
        self._seconds[report.nodeid] = seconds

    def pytest_sessionfinish(self) -> None:
        rows = sorted(self._seconds.items(), key=lambda row: -row[1])
        lines = (json.dumps({"test": test, "seconds": round(value, 3)}) for test, value in rows)
        self._path.write_text("".join(f"{line}\n" for line in lines))
