"""Runs of op tests on the CPU kernels and on the composites.

Tests with ``pytest.mark.composites`` run twice. In a marked module,
``pytest.mark.composites(False)`` marks a test of what only the kernels promise, such as bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from implementations import composites_on_cpu


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "composites(run=True): run also with composites of the ops")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("composites")
    if mark is not None and mark.args != (False,):
        metafunc.parametrize("_implementation", ["kernel", "composite"], indirect=True)


@pytest.fixture(autouse=True)
def _implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the implementation that the test asks for; the kernels by default."""
    if getattr(request, "param", "kernel") == "kernel":
        yield
    else:
        with composites_on_cpu():
            yield
