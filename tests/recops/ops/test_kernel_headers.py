"""Headers of csrc: each compiles alone, and only per-ISA headers name an instruction set."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

CSRC = Path(__file__).resolve().parents[3] / "csrc"
HEADERS = sorted(path.relative_to(CSRC).as_posix() for path in CSRC.rglob("*.h"))
COMPILER = os.environ.get("CXX") or "c++"

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason="compiling headers needs a C++ compiler"
)


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_compiles_alone(header: str) -> None:
    command = [
        COMPILER,
        "-std=c++20",
        "-fsyntax-only",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    # Headers define anonymous functions that they do not call. Drivers include local headers.
    command += ["-Wno-unused-function", f"-I{CSRC}", f"-I{CSRC / 'tests'}"]
    command += ["-isystem", str(Path(torch.__file__).parent / "include")]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", "-x", "c++", "-"]
    # Per-ISA headers are compiled for the baseline instruction set.
    source = f'#define RECOPS_ISA base\n#include "{header}"\n'
    result = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_only_headers_of_one_instruction_set_name_it() -> None:
    for header in HEADERS:
        is_per_isa = "RECOPS_ISA {" in (CSRC / header).read_text()
        assert not is_per_isa or header.endswith("-inl.h"), header
