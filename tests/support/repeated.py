"""One repetition of failed tests that assert on a time or on memory."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let tests marked ``timing`` fail only if they fail twice: other programs can disturb one run.

    Without pytest-rerunfailures the first failure counts. The summary lists repeated tests.
    """
    if config.pluginmanager.hasplugin("rerunfailures"):
        for item in items:
            if item.get_closest_marker("timing"):
                item.add_marker(pytest.mark.flaky(reruns=1))
