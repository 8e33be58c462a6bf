"""Programs and libraries that run kernels on the host, each built once per run."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated_op import COMPILER, CSRC, build_library


@pytest.fixture(scope="session")
def emulated_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a source in csrc/tests to its library of CUDA ops."""
    if shutil.which(COMPILER) is None:
        pytest.skip("building the ops needs a compiler")
    folder = tmp_path_factory.mktemp("ops")
    return functools.cache(lambda source: build_library(source, folder))


@pytest.fixture(scope="session")
def sanitized_driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a target of csrc/tests to its program, built with sanitizers.

    Drivers of CPU and of CUDA kernels share a folder, because both compare with the CPU kernels.
    """
    if shutil.which("cmake") is None:
        pytest.skip("building the drivers needs cmake")
    folder = tmp_path_factory.mktemp("drivers")
    flags = "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    options = [f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=None", "-DRECOPS_OPTIMIZATION=-O1"]
    configure: list[str | Path] = ["cmake", "-S", CSRC / "tests", "-B", folder, *options]
    configure += ["-G", "Ninja"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)

    def build(target: str) -> Path:
        command: list[str | Path] = ["cmake", "--build", folder, "--target", target]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return folder / target

    return functools.cache(build)
