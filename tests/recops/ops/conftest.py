"""CUDA op libraries whose kernels run on the host, each built once per run."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from emulated_op import COMPILER, build_library


@pytest.fixture(scope="session")
def emulated_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a source in csrc/tests to its library; several files share one."""
    if shutil.which(COMPILER) is None:
        pytest.skip("building the ops needs a compiler")
    folder = tmp_path_factory.mktemp("ops")
    return functools.cache(lambda source: build_library(source, folder))
