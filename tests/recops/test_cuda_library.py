"""The CUDA library: its description, its dependencies, and loading with and without a driver."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import recops
from recops._load import CudaLibrary, cuda_library
from recops.ops._backends import TRITON
from recops.ops._composite import COMPOSITES

# Prints the warnings of `import recops`, one line each, and whether ops have CUDA kernels.
IMPORT = """
import warnings, torch
{before}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import recops
for warning in caught:
    print(warning.category.__name__, warning.message)
from recops._load import cuda_library
has = torch._C._dispatch_has_kernel_for_dispatch_key
print("kernels:", any(has(f"recops::{{op}}", "CUDA") for op in cuda_library().ops))
assert not torch.cuda.is_initialized()
"""
CUDA_TORCH = "torch.version.cuda = '13.0'"  # what a CUDA build of torch reports
FALLBACK = "GPU tensors use compositions of torch ops, without CUDA kernels"


@pytest.fixture(scope="module")
def library() -> CudaLibrary:
    built = cuda_library()
    if built is None:
        pytest.skip("the CUDA library was not built")
    return built


def import_recops(before: str, driver: Path | None = None) -> list[str]:
    """Return what IMPORT prints, with the libcuda.so.1 in the folder ``driver``."""
    environment = {**os.environ}
    if driver is not None:
        environment["LD_LIBRARY_PATH"] = str(driver)
    code = IMPORT.format(before=before)
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def fake_driver(folder: Path, version: int, status: int = 0) -> Path:
    """Build a libcuda.so.1 that supports CUDA up to ``version``, for example 12080 for 12.8."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a simulated driver needs a C compiler")
    source = folder / "driver.c"
    source.write_text(
        f"int cuDriverGetVersion(int *version) {{ *version = {version}; return {status}; }}"
    )
    subprocess.run(
        [compiler, "-shared", "-fPIC", source, "-o", folder / "libcuda.so.1"], check=True
    )
    return folder


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def test_build_info_lists_the_backend_of_every_op() -> None:
    info, built = recops.build_info(), cuda_library()
    assert info["cuda_runtime"] == (built.runtime if built else None)
    backends = info["backends"]
    cuda = {op for op, backend in backends.items() if backend == "cuda"}
    assert cuda == ({*built.ops} if built else set())
    assert {op for op, backend in backends.items() if backend == "triton"} == TRITON - cuda
    assert set(COMPOSITES) <= backends.keys()


@pytest.mark.slow
def test_a_torch_without_cuda_does_not_load_it(library: CudaLibrary) -> None:
    assert import_recops("torch.version.cuda = None") == ["kernels: False"]


def test_no_driver_is_no_warning(library: CudaLibrary) -> None:
    if has_driver():
        pytest.skip("this machine has a CUDA driver")
    assert import_recops(CUDA_TORCH) == ["kernels: False"]


def test_a_driver_that_fails_is_no_warning(library: CudaLibrary, tmp_path: Path) -> None:
    driver = fake_driver(tmp_path, 13000, status=1)
    assert import_recops(CUDA_TORCH, driver) == ["kernels: False"]


def test_an_old_driver_is_one_warning_with_both_versions(
    library: CudaLibrary, tmp_path: Path
) -> None:
    older = int(library.runtime.split(".")[0]) - 1
    assert import_recops(CUDA_TORCH, fake_driver(tmp_path, older * 1000 + 80)) == [
        f"RuntimeWarning recops: built for CUDA {library.runtime}, but the driver supports at most "
        f"CUDA {older}.8; {FALLBACK}",
        "kernels: False",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("version", [0, 1000])
def test_a_driver_of_the_same_or_a_later_major_version_is_enough(
    library: CudaLibrary, tmp_path: Path, version: int
) -> None:
    driver = fake_driver(tmp_path, int(library.runtime.split(".")[0]) * 1000 + version)
    assert import_recops(CUDA_TORCH, driver) == ["kernels: True"]


def test_a_library_that_does_not_load_is_one_warning(library: CudaLibrary, tmp_path: Path) -> None:
    before = f"""{CUDA_TORCH}
load = torch.ops.load_library
def broken(path):
    if "_ops_cuda" in path:
        raise OSError("no such\\nsymbol")
    load(path)
torch.ops.load_library = broken
"""
    driver = fake_driver(tmp_path, 99000)
    assert import_recops(before, driver) == [
        f"RuntimeWarning recops: the CUDA library did not load (no such symbol); {FALLBACK}",
        "kernels: False",
    ]


def test_it_registers_the_ops_of_its_description_in_any_torch(library: CudaLibrary) -> None:
    code = (
        "import torch, recops; from recops._load import cuda_library\n"
        "torch.ops.load_library(cuda_library().path)\n"
        "names = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith('recops::')]\n"
        "has = torch._C._dispatch_has_kernel_for_dispatch_key\n"
        "print(*sorted(n.split('::')[1] for n in names if has(n, 'CUDA')))\n"
        "print(recops.dice(torch.ones(2, 1), torch.ones(1))[0].tolist())"  # CPU kernels still work
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    ops, values = result.stdout.splitlines()
    assert {*ops.split()} - TRITON == {*library.ops}
    assert values == "[[1.0], [1.0]]"


def test_it_needs_no_cuda_library(library: CudaLibrary) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    dynamic = subprocess.run(
        ["readelf", "--dynamic", "--wide", library.path], capture_output=True, text=True, check=True
    )
    needed = {
        line.split("[")[1].rstrip("]") for line in dynamic.stdout.splitlines() if "NEEDED" in line
    }
    system = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libpthread.so.0"}
    loader = {"librt.so.1", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    assert needed - system - loader == {"libtorch_cpu.so"}


def test_composites_of_ops_with_a_kernel_are_ops(library: CudaLibrary) -> None:
    for op in library.ops:
        schemas = [
            str(getattr(getattr(torch.ops, namespace), op).default._schema).removeprefix(namespace)
            for namespace in ("recops", "recops_composite")
        ]
        assert schemas[0] == schemas[1]
