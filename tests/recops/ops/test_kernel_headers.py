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


def compile_alone(folder: Path, header: str) -> subprocess.CompletedProcess[str]:
    """Compile a source file that only includes ``header``, at the baseline instruction set."""
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
    command += ["-Wno-unused-function", f"-I{folder}", f"-I{folder / 'tests'}"]
    command += ["-isystem", str(Path(torch.__file__).parent / "include")]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", "-x", "c++", "-"]
    source = f'#define RECOPS_ISA base\n#include "{header}"\n'
    return subprocess.run(command, input=source, capture_output=True, text=True, check=False)


def misplaced(folder: Path) -> list[str]:
    """Return the headers with a per-ISA namespace whose names do not end with ``-inl.h``."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.h")
        if "RECOPS_ISA {" in path.read_text() and not path.name.endswith("-inl.h")
    )


@pytest.mark.full
@pytest.mark.parametrize("header", HEADERS)
def test_a_header_compiles_alone(header: str) -> None:
    result = compile_alone(CSRC, header)
    assert result.returncode == 0, result.stderr


def test_only_headers_of_one_instruction_set_name_it() -> None:
    assert misplaced(CSRC) == []


def test_planted_violations_are_reported(tmp_path: Path) -> None:
    (tmp_path / "complete.h").write_text("#include <cstdint>\nusing Size = std::int64_t;\n")
    (tmp_path / "incomplete.h").write_text("using Size = std::int64_t;\n")
    (tmp_path / "kernel.h").write_text("namespace recops::trie::RECOPS_ISA {\n}\n")
    (tmp_path / "kernel-inl.h").write_text("namespace recops::trie::RECOPS_ISA {\n}\n")
    assert compile_alone(tmp_path, "complete.h").returncode == 0
    assert "std" in compile_alone(tmp_path, "incomplete.h").stderr
    assert compile_alone(tmp_path, "incomplete.h").returncode != 0
    assert misplaced(tmp_path) == ["kernel.h"]
