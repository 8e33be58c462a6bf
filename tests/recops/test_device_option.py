"""The op tests' option ``--device``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

import recops
from implementations import on_device, ops_on
from recops.ops._composite import composite

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    "codebook_overlap/test_codebook_overlap_errors.py",
    "residual_quantization/test_bad_vectors.py",
    "residual_quantization/test_residual_quantization_ties.py",
    "trie/test_trie_batch.py",
    "trie/test_trie_next_logits.py",
]
needs_python_devices = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no device types written in Python; torch 2.13 has",
)


def run_op_tests(device: str, *modules: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a separate process, since a fake device stays registered."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    paths = [f"tests/recops/ops/{module}" for module in modules]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    return subprocess.run(
        [*command, "--device", device, "-k", "not agree", *paths],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_missing_device_is_one_line() -> None:
    run = run_op_tests("cuda:99", "dice/test_dice.py")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in run.stderr.splitlines() if line]
    assert line.startswith("ERROR: --device: cuda:99 is not available (")


@needs_python_devices
@pytest.mark.slow
def test_composites_pass_op_tests_on_the_fake_device() -> None:
    """The fake device refuses tensors of two devices in one op."""
    run = run_op_tests("fake", *MODULES)
    assert run.returncode == pytest.ExitCode.OK, run.stdout


CALLS: dict[str, Callable[[], object]] = {
    "dice": lambda: recops.dice(torch.randn(3, 5), torch.rand(5)),
    "rq_encode": lambda: recops.rq_encode(torch.randn(3, 5), torch.randn(2, 4, 5)),
    "cosine": lambda: recops.nearest_codes(torch.randn(3, 5), torch.randn(4, 5), metric="cosine"),
    "straight_through": lambda: recops.straight_through(
        torch.randn(3, 5, requires_grad=True), torch.randn(2, 4, 5)
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_ops_run_on_the_device(name: str) -> None:
    with ops_on(torch.device("meta")), pytest.raises(NotImplementedError, match="meta tensor"):
        CALLS[name]()  # results on meta have no data to copy to the CPU
    CALLS[name]()


def test_changes_of_arguments_come_back() -> None:
    params = recops.HpmnParams.random(input_size=6, hidden_size=5, num_slots=3)
    rows, x = torch.tensor([3, 1]), torch.randn(2, 6)
    pool = recops.HpmnState(torch.zeros(4, 3, 5), torch.zeros(4, dtype=torch.int64))
    recops.hpmn_step_(pool, rows, x, params, periods=[1, 2, 4])
    memory, count = torch.zeros(4, 3, 5), torch.zeros(4, dtype=torch.int64)
    step = on_device("hpmn_step_", torch.device("cpu"), composite("hpmn_step_"))
    step(memory, count, rows, x, list(params.w_ih), params.w_hh, params.bias, [1, 2, 4])
    torch.testing.assert_close(memory, pool.memory)
    assert torch.equal(count, pool.count)
