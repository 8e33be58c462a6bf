"""Triton kernels of residual quantization: interpreted runs, and compilation for two cards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

FOLDER = Path(__file__).parent
OP_TESTS = [
    "test_residual_quantization.py",
    "test_residual_quantization_ties.py",
    "test_bad_vectors.py",
    "test_product_codes.py",
]


def run_interpreted(*arguments: str) -> None:
    """Run pytest in a process whose Triton interprets."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, *arguments], cwd=FOLDER, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout


def test_kernels_in_the_interpreter() -> None:
    run_interpreted("interpreted_triton.py")


def test_op_tests_on_interpreted_kernels() -> None:
    chosen = "(rq_encode or nearest or equal_codewords or ties or finite) and not composite"
    run_interpreted("-p", "triton_on_cpu", "-k", chosen, *OP_TESTS)
