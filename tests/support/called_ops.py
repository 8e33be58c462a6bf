"""The option ``--every-op``: the run fails unless its tests call the kernel of every op.

``.ci/run`` uses it with ``-m numerics``, so that no op is left out at any instruction set. Tests on
composites do not call kernels, and are deselected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-op", action="store_true", help="fail if the chosen tests call no kernel of an op"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--every-op"):
        if config.getoption("numprocesses", default=None):
            raise pytest.UsageError("--every-op records the calls of one process: omit -n")
        config.pluginmanager.register(_Recorder(), "called_ops_recorder")


class _Calls(TorchDispatchMode):
    """Records the names of the ops of recops."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self._names = names

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func.namespace == "recops":
            self._names.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


class _Recorder:
    def __init__(self) -> None:
        self._names: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        on_composites = [item for item in items if _implementation(item) == "composite"]
        config.hook.pytest_deselected(items=on_composites)
        items[:] = [item for item in items if item not in set(on_composites)]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        with _Calls(self._names):
            yield

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from implementations import ops_with_tensors  # only here, because it imports recops

        has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
        ops = {op for op in ops_with_tensors() if has_kernel(f"recops::{op}", "CPU")}
        missing = ops - self._names
        if missing and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            session.config.stash[_MISSING] = sorted(missing)

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        for name in config.stash.get(_MISSING, []):
            terminalreporter.write_line(f"no test called recops::{name}", red=True)


_MISSING = pytest.StashKey[list[str]]()


def _implementation(item: pytest.Item) -> str | None:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("_implementation")
