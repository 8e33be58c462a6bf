"""CUDA kernels on the host, under sanitizers and in several orders of threads."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

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
        for cases in ("sums", "gradient", "update")
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

# In .ci/run the tests of each family compile its CUDA code for the host and compare it with the
# CPU. Under sanitizers .ci/run takes the smallest family, .ci/full all.
IN_CI = {"emulation", "trie_cuda shapes f32"}


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run, marks=pytest.mark.slow if run in IN_CI else pytest.mark.full)
        for run in RUNS
    ],
)
def test_a_driver_passes(sanitized_driver: Callable[[str], Path], run: str) -> None:
    driver, *arguments = run.split()
    result = subprocess.run(
        [sanitized_driver(driver), *arguments],
        env={**os.environ, "ASAN_OPTIONS": "detect_stack_use_after_return=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
