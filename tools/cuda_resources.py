"""Registers, shared memory and spills of the CUDA kernels, compared with a record.

``python tools/cuda_resources.py`` compiles the CUDA library with nvcc for every architecture of
cmake/Cuda.cmake. It fails if a kernel spills registers to memory, or if a value differs from
csrc/tests/cuda_resources.json. ``--update`` writes the record. Values depend on the compiler: with
another nvcc than the recorded one, only spills and missing kernels are errors.

The host code may call only functions of CUDA that neither wait, allocate nor copy, so that every
launch can be captured in a CUDA graph. Other calls are errors.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "csrc/tests/cuda_resources.json"

Kernels = dict[str, dict[str, dict[str, int]]]
"""Kernel name → architecture → registers and bytes per thread, and shared bytes per block."""


def build_library(folder: Path) -> tuple[str, str]:
    """Build the CUDA library into ``folder``; return the version of nvcc and the output."""
    pybind11 = output_of(sys.executable, "-m", "pybind11", "--cmakedir").strip()
    output_of(
        *(
            "cmake",
            "-G",
            "Ninja",
            "-S",
            ROOT,
            "-B",
            folder,
            f"-DPython_EXECUTABLE={sys.executable}",
        ),
        *(
            f"-Dpybind11_DIR={pybind11}",
            "-DSKBUILD_PROJECT_VERSION=0",
            "-DCMAKE_BUILD_TYPE=Release",
        ),
        *("-DRECOPS_CUDA=ON", "-DRECOPS_PTXAS_INFO=ON", "-DRECOPS_WERROR=ON"),
    )
    build = output_of("cmake", "--build", folder, "--target", "_ops_cuda")
    (settings,) = folder.glob("CMakeFiles/*/CMakeCUDACompiler.cmake")
    version = re.search(r'set\(CMAKE_CUDA_COMPILER_VERSION "(.*?)"\)', settings.read_text())
    return version[1] if version else "unknown", build


CAPTURABLE = {
    "__cudaPopCallConfiguration",
    "__cudaPushCallConfiguration",
    "cudaDeviceGetAttribute",
    "cudaGetDevice",
    "cudaFuncSetAttribute",
    "cudaGetErrorString",
    "cudaGetLastError",
    "cudaLaunchKernel",
}
"""Functions of the CUDA runtime that launchers may call."""

_STARTUP = re.compile(
    r"__cuda(Init|Register|Unregister)\w+|__cudaGetKernel|__cudaLaunchKernel|cudaGetDriverEntry\w+"
)
"""Functions that the code of nvcc calls when the library is loaded and for ``<<<>>>``."""


def forbidden_calls(symbols: str) -> list[str]:
    """Return one line per function of CUDA in the output of ``nm`` that a capture forbids."""
    names = set(re.findall(r"^\s*U (cu[A-Z]\w+|cuda\w+|__cuda\w+)$", symbols, re.M))
    return [
        f"{name}: called by the CUDA library; a graph capture forbids it"
        for name in sorted(names - CAPTURABLE)
        if not _STARTUP.fullmatch(name)
    ]


def undefined_symbols(folder: Path) -> str:
    """Return the functions that the compiled objects of the CUDA library call."""
    objects = sorted((folder / "CMakeFiles/_ops_cuda.dir").rglob("*.o"))
    return output_of("nm", "--undefined-only", *objects)


def output_of(*command: str | Path) -> str:
    """Run a command, and return what it printed."""
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def resources_of(build: str) -> Kernels:
    """Read the values from the output of ``ptxas -v``.

    Several sources may compile one template, with different values and in any order. The largest
    values count.
    """
    kernels: Kernels = {}
    values: dict[str, int] | None = None

    def add(name: str, value: str | int) -> None:
        assert values is not None
        values[name] = max(int(value), values.get(name, 0))

    for line in build.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            values = kernels.setdefault(match[1], {}).setdefault(match[2], {})
        elif values is None:
            continue
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) .* stores, (\d+)", line):
            add("stack_bytes", match[1])
            add("spill_bytes", int(match[2]) + int(match[3]))
        elif match := re.search(r"Used (\d+) registers", line):
            add("registers", match[1])
            shared = re.search(r"(\d+) bytes smem", line)
            add("shared_bytes", shared[1] if shared else 0)
            values = None
    names = readable_names(list(kernels))
    return {names[symbol]: kernels[symbol] for symbol in sorted(kernels, key=lambda s: names[s])}


def readable_names(symbols: list[str]) -> dict[str, str]:
    """Return the name of each kernel without ``recops::``, parameters and return type."""
    if not symbols:
        return {}
    lines = subprocess.run(
        ["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    names = (
        re.sub(r"recops::|\(anonymous namespace\)::|_GLOBAL__N_\w+::", "", line) for line in lines
    )
    return {
        symbol: re.sub(r"^void ", "", name.split("(")[0])
        for symbol, name in zip(symbols, names, strict=True)
    }


def differences(record: dict[str, Any], nvcc: str, kernels: Kernels) -> list[str]:
    """Return one line per spill and per difference from the record."""
    lines = [
        f"{name}, {architecture}: {values['spill_bytes']} bytes of spills"
        for name, of_kernel in kernels.items()
        for architecture, values in of_kernel.items()
        if values["spill_bytes"] > 0
    ]
    recorded: Kernels = record["kernels"]
    lines += [f"{name}: not in the record" for name in kernels.keys() - recorded.keys()]
    lines += [f"{name}: not in the library" for name in recorded.keys() - kernels.keys()]
    if nvcc == record["nvcc"]:
        lines += [
            f"{name}: {kernels[name]}, recorded {recorded[name]}"
            for name in kernels.keys() & recorded.keys()
            if kernels[name] != recorded[name]
        ]
    return sorted(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the record")
    update = parser.parse_args().update
    with tempfile.TemporaryDirectory() as folder:
        nvcc, build = build_library(Path(folder))
        calls = forbidden_calls(undefined_symbols(Path(folder)))
    kernels = resources_of(build)
    record = {"nvcc": nvcc, "kernels": kernels}
    if update:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    for name, of_kernel in kernels.items():
        for architecture, values in of_kernel.items():
            print(
                f"{architecture:>6} {values['registers']:4} registers "
                f"{values['shared_bytes']:6} B shared {values['stack_bytes']:4} B stack  {name}"
            )
    if calls:
        raise SystemExit("\n".join(calls))
    if lines := differences(json.loads(RECORD.read_text()), nvcc, kernels):
        advice = "python tools/cuda_resources.py --update writes the record"
        raise SystemExit("\n".join([*lines, advice]))


if __name__ == "__main__":
    main()
