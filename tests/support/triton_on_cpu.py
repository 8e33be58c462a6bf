"""Pytest plugin: run the Triton kernels in the interpreter instead of the CPU kernels.

Use ``TRITON_INTERPRET=1 pytest -p triton_on_cpu``. Triton must not be imported without the variable
before. The interpreter is slow, so hypothesis draws few examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import import_module

import hypothesis
import pytest
import torch

_WARNING = r"[\s\S]*Overriding a previously registered kernel"


@pytest.hookimpl(trylast=True)  # after conftest.py has loaded its profile
def pytest_configure() -> None:
    hypothesis.settings.register_profile(
        "interpreter", derandomize=True, deadline=None, max_examples=5
    )
    hypothesis.settings.load_profile("interpreter")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the runs on composites, which would not call the kernels."""
    composites = [item for item in items if _runs_a_composite(item)]
    config.hook.pytest_deselected(items=composites)
    items[:] = [item for item in items if item not in composites]


def _runs_a_composite(item: pytest.Item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("_implementation") == "composite"


@pytest.fixture(autouse=True, scope="session")
def _triton_kernels() -> Iterator[None]:
    from recops.ops._triton import TRITON_FAMILIES

    library = torch.library.Library("recops", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_WARNING, category=UserWarning)
        for op, family in TRITON_FAMILIES.items():
            launchers = import_module(f"recops.ops.{family}.triton")
            library.impl(op, getattr(launchers, op), "CPU")
    yield
    library._destroy()
