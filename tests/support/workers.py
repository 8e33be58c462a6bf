"""The pytest hook that distributes the whole suite over the cores."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in one process per core, and divide the cores among processes."""
    if "PYTEST_XDIST_WORKER" in os.environ or not config.pluginmanager.hasplugin("xdist"):
        return
    cores, option = len(os.sched_getaffinity(0)), config.option
    unset = option.numprocesses is None and option.dist == "no"
    if unset and cores > 1 and _is_whole_suite(config):
        option.numprocesses, option.dist = cores, "worksteal"
    if isinstance(option.numprocesses, int) and option.numprocesses > 1:
        # Workers and their subprocesses inherit the variable before they load torch.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // option.numprocesses)))


def _is_whole_suite(config: pytest.Config) -> bool:
    """Return whether the command line neither selects tests by name nor needs a terminal."""
    selects = any(config.getoption(name, False) for name in ("keyword", "lf", "stepwise"))
    interactive = any(config.getoption(name, False) for name in ("usepdb", "trace"))
    captured = config.getoption("capture") != "no"
    from_testpaths = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return from_testpaths and captured and not selects and not interactive
