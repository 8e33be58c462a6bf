"""Runs of op tests on the CPU kernels, on the composites, and with ``--device`` on a device.

Tests with ``pytest.mark.composites`` run twice. In a marked module,
``pytest.mark.composites(False)`` marks a test of what only the kernels promise, such as bits.
Tests with ``pytest.mark.cuda`` run only with ``--device cuda``, and place their tensors themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest
import torch

from implementations import composites_on_cpu, ops_on


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        default="cpu",
        help="run only the op tests that state results, with every op on this device, such as cuda",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "composites(run=True): run also with composites of the ops")
    config.addinivalue_line("markers", "cuda: run only with --device cuda")
    device = _device(config)
    if device == "fake":
        import_module("fake_device")  # registers the device, for this process
    try:
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise pytest.UsageError(f"--device: {device} is not available ({reason})") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if _runs_composites(metafunc.definition):
        device = _device(metafunc.config)
        # Finite differences take minutes on composites; other tests compare their gradients too.
        marks = [pytest.mark.full] if "gradcheck" in metafunc.function.__name__ else []
        both = ["kernel", pytest.param("composite", marks=marks)]
        implementations = both if device == "cpu" else [device]
        metafunc.parametrize("_implementation", implementations, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that do not run on the device."""
    device = _device(config).partition(":")[0]
    if device != "cuda":
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU: pytest --device cuda"))
    if device != "cpu":
        chosen = {item for item in items if _runs_composites(item) or _needs(device, item)}
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = [item for item in items if item in chosen]


@pytest.fixture(autouse=True)
def _implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the implementation that the test asks for; the kernels by default."""
    name = getattr(request, "param", "kernel")
    if name == "kernel":
        yield
    else:
        with composites_on_cpu() if name == "composite" else ops_on(torch.device(name)):
            yield


def _device(config: pytest.Config) -> str:
    device: str = config.getoption("--device", default="cpu")
    return device


def _needs(device: str, item: pytest.Item) -> bool:
    return device == "cuda" and item.get_closest_marker("cuda") is not None


def _runs_composites(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("composites")
    return mark is not None and mark.args != (False,)
