"""The kernels alone under sanitizers: every output written, no byte beyond it touched."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import recops

ROOT = Path(__file__).resolve().parents[2]
ISAS = ["base", "avx2", "avx512"]
KERNELS = ["encode", "encode-unpacked", "nearest", "decode", "accumulate"]
DTYPES = ["f32", "bf16", "f16", "f64"]
# rows, dimension, levels, codes, k: ragged, single, empty, without dimensions, exact tiles
SHAPES = ["100 33 3 70 7", "1 1 1 1 1", "0 5 2 3 2", "7 0 2 3 3", "403 64 2 64 64", "13 17 4 129 9"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="building the driver needs cmake"),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    flags = "-g -fsanitize=address,undefined -fno-sanitize-recover=all"
    configure = ["cmake", "-S", ROOT / "csrc/tests", "-B", folder, f"-DCMAKE_CXX_FLAGS={flags}"]
    subprocess.run([*configure, "-G", "Ninja"], check=True, stdout=subprocess.DEVNULL)
    build = ["cmake", "--build", folder, "--target", "residual_quantization"]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return folder / "residual_quantization"


@pytest.mark.parametrize("isa", ISAS[: ISAS.index(recops.cpu_isa()) + 1])
def test_sanitizers_find_nothing(driver: Path, isa: str) -> None:
    # See the driver's head for the ASAN option.
    settings = {"RECOPS_ISA": isa, "ASAN_OPTIONS": "detect_stack_use_after_return=0"}
    for kernel, shape, dtype in itertools.product(KERNELS, SHAPES, DTYPES):
        command = [driver, kernel, *shape.split(), dtype]
        done = subprocess.run(
            command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
