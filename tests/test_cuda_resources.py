"""Report of the CUDA kernels' registers and spills (tools/cuda_resources.py)."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN6recops4trie12_GLOBAL__N_15scoreIfEEvPKT_i' for 'sm_90'
ptxas info    : Function properties for _ZN6recops4trie12_GLOBAL__N_15scoreIfEEvPKT_i
    8 bytes stack frame, {stores} bytes spill stores, 4 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compile time = 42.811 ms
ptxas info    : Compiling entry function '_ZN6recops5mergeEPf' for 'sm_90'
ptxas info    : Function properties for _ZN6recops5mergeEPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 21 registers, used 0 barriers
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = ROOT / "tools/cuda_resources.py"
    spec = importlib.util.spec_from_file_location("cuda_resources", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="names need c++filt")
def test_values_come_from_the_compilers_output(tool: ModuleType) -> None:
    assert tool.resources_of(BUILD.format(stores=12)) == {
        "merge": {
            "sm_90": {"stack_bytes": 0, "spill_bytes": 0, "registers": 21, "shared_bytes": 0}
        },
        "trie::score<float>": {
            "sm_90": {"stack_bytes": 8, "spill_bytes": 16, "registers": 40, "shared_bytes": 1024}
        },
    }


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="names need c++filt")
@pytest.mark.parametrize("sources", [[12, 0], [0, 12]])
def test_a_kernel_of_several_sources_has_its_largest_values(
    tool: ModuleType, sources: list[int]
) -> None:
    build = "".join(BUILD.format(stores=stores) for stores in sources)
    assert tool.resources_of(build) == tool.resources_of(BUILD.format(stores=12))


def test_spills_and_differences_are_listed(tool: ModuleType) -> None:
    values = {"stack_bytes": 0, "spill_bytes": 0, "registers": 21, "shared_bytes": 0}
    kernels = {"a": {"sm_80": {**values}}, "b": {"sm_80": {**values}}}
    record = {"nvcc": "13.0.88", "kernels": copy.deepcopy(kernels)}
    assert tool.differences(record, "13.0.88", kernels) == []

    other = copy.deepcopy(kernels)
    other["a"]["sm_80"]["registers"] = 22
    (line,) = tool.differences(record, "13.0.88", other)
    assert line.startswith("a: ")
    assert tool.differences(record, "13.1.0", other) == []  # registers depend on the compiler

    other["c"] = {"sm_80": {**values, "spill_bytes": 8}}
    del other["b"]
    assert tool.differences(record, "13.1.0", other) == [
        "b: not in the library",
        "c, sm_80: 8 bytes of spills",
        "c: not in the record",
    ]


def test_no_recorded_kernel_spills(tool: ModuleType) -> None:
    record = json.loads(tool.RECORD.read_text())
    assert tool.differences(record, record["nvcc"], record["kernels"]) == []
    for of_kernel in record["kernels"].values():
        assert {"sm_80", "sm_90", "sm_100"} <= of_kernel.keys()


def test_calls_that_a_capture_forbids_are_listed(tool: ModuleType) -> None:
    symbols = """
cuda.cu.o:
                 U __cudaRegisterFatBinary
                 U cudaLaunchKernel
                 U cudaMalloc
                 U cudaStreamSynchronize
                 U cuMemFree_v2
                 U malloc
"""
    assert [line.split(":")[0] for line in tool.forbidden_calls(symbols)] == [
        "cuMemFree_v2",
        "cudaMalloc",
        "cudaStreamSynchronize",
    ]
