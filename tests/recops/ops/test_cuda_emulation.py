"""CUDA kernels on the host, under sanitizers and in several orders of threads."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Arguments of the drivers in csrc/tests.
RUNS = [
    "emulation",
    *(
        f"trie_cuda {cases} {dtype}"
        for cases in ("shapes", "sizes", "errors")
        for dtype in ("f32", "bf16", "f16")
    ),
    *(
        f"embedding_cuda {cases} {dtype}"
        for cases in ("sums", "gradient")
        for dtype in ("f32", "bf16", "f16")
    ),
    "trie_beam_items_cuda",
    "trie_build_cuda",
    *(f"trie_lookups_cuda {cases}" for cases in ("find", "items", "sets", "tokens")),
    *(f"next_logits_cuda {dtype}" for dtype in ("f32", "bf16", "f16", "f64")),
    *(
        f"recurrent_cuda {cases} {dtype}"
        for cases in ("shapes", "sizes", "errors")
        for dtype in ("f32", "bf16", "f16")
    ),
    *(
        f"memory_cuda {network} {dtype}"
        for network in ("mimn", "hpmn")
        for dtype in ("f32", "bf16", "f16")
    ),
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="building the drivers needs cmake"),
]


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drivers")
    flags = "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    options = [f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=None", "-DRECOPS_OPTIMIZATION=-O1"]
    configure: list[str | Path] = [
        "cmake",
        "-S",
        ROOT / "csrc/tests",
        "-B",
        folder,
        *options,
        "-G",
        "Ninja",
    ]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    targets = {run.split()[0] for run in RUNS}
    build: list[str | Path] = ["cmake", "--build", folder, "--target", *targets]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.mark.parametrize("run", RUNS)
def test_a_driver_passes(drivers: Path, run: str) -> None:
    driver, *arguments = run.split()
    result = subprocess.run(
        [drivers / driver, *arguments],
        env={**os.environ, "ASAN_OPTIONS": "detect_stack_use_after_return=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
