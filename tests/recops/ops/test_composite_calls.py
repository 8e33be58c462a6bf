"""Calls of composites from C++, which GPU kernels use for inputs beyond their limits."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

CSRC = Path(__file__).resolve().parents[3] / "csrc"
TORCH = Path(torch.__file__).parent
COMPILER = os.environ.get("CXX") or "c++"
SCHEMA = "(Tensor x, Tensor? y, Tensor[] more, int[] sizes, str error, float f) -> (Tensor, Tensor)"
SOURCE = f"""
#include "common/compat.h"

namespace recops {{

std::tuple<Tensor, Tensor> planted(Tensor x, Maybe y, std::vector<Tensor> more,
                                   std::vector<int64_t> sizes, Text error, double f) {{
  return call_composite<Tensor, Tensor>("planted", x, y, more, sizes, error, f);
}}

STABLE_TORCH_LIBRARY_FRAGMENT(recops_planted, m) {{ m.def("planted{SCHEMA}"); }}
STABLE_TORCH_LIBRARY_IMPL(recops_planted, CPU, m) {{ m.impl("planted", TORCH_BOX(&planted)); }}

}}  // namespace recops
"""
ERRORS = {error.__name__: error for error in (ValueError, IndexError, RuntimeError)}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(COMPILER) is None, reason="building an op needs a compiler"),
]


def composite(
    x: Tensor, y: Tensor | None, more: list[Tensor], sizes: list[int], error: str, f: float
) -> tuple[Tensor, Tensor]:
    if error:
        raise ERRORS[error](f"planted: x must be positive, got {f}")
    total = x + sum(more) + sum(sizes)
    return total, (torch.zeros(()) if y is None else y * f)


@pytest.fixture(scope="module", autouse=True)
def _planted_op(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("planted")
    source, library = folder / "planted.cpp", folder / "planted.so"
    source.write_text(SOURCE)
    command = [COMPILER, "-std=c++20", "-shared", "-fPIC", "-fvisibility=hidden", "-O1"]
    command += [f"-I{CSRC}", "-isystem", str(TORCH / "include"), str(source), "-o", str(library)]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", str(TORCH / "lib/libtorch_cpu.so")]
    subprocess.run(command, check=True)
    torch.ops.load_library(library)
    torch.library.define("recops_composite::planted", SCHEMA)
    torch.library.impl("recops_composite::planted", "CompositeExplicitAutograd", composite)


def test_arguments_and_results_pass_through() -> None:
    x, y = torch.randn(3), torch.randn(2)
    total, scaled = torch.ops.recops_planted.planted(x, y, [x, 2 * x], [3, 4], "", 0.5)
    torch.testing.assert_close(total, 4 * x + 7)
    assert torch.equal(scaled, y * 0.5)
    total, zero = torch.ops.recops_planted.planted(x, None, [], [], "", 0.5)
    assert torch.equal(total, x)
    assert zero == 0


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_keeps_its_type_and_message(name: str) -> None:
    names_errors = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13)
    error = ERRORS[name] if names_errors else RuntimeError
    message = "planted: x must be positive, got 1.5" if names_errors else "planted: failed"
    with pytest.raises(error, match=message):
        torch.ops.recops_planted.planted(torch.ones(1), None, [], [], name, 1.5)
