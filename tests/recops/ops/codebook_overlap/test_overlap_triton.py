"""Triton kernels of codebook overlap: interpreted runs, and compilation for two cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from interpreted import assert_interpreted
from recops.benchmarks.cuda.machine_code import KernelLaunch, recorded_launches
from recops.ops.codebook_overlap.triton.launch import gradients, overlaps

FOLDER = Path(__file__).parent
OP_TESTS = ["test_codebook_overlap.py", "test_codebook_overlap_errors.py"]
KERNELS = ["bhattacharyya", "minimum"]


@pytest.fixture(scope="module", autouse=True)
def _compiled_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled kernels for this module only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@pytest.mark.slow
def test_kernels_in_the_interpreter() -> None:
    assert_interpreted(FOLDER, "interpreted_overlap.py")


@pytest.mark.full
def test_op_tests_on_interpreted_kernels() -> None:
    chosen = "kernel and not compile and not threads and not gradcheck and not opcheck"
    assert_interpreted(FOLDER, "-p", "triton_on_cpu", "-k", chosen, *OP_TESTS)


def launches_of(kernel: str) -> list[KernelLaunch]:
    """Return the launches of a forward and of a backward pass."""
    codebook, usage = torch.zeros(600, 64), torch.zeros(600)
    with recorded_launches() as launches:
        overlaps(codebook, usage, 1.0, kernel)
        gradients(torch.zeros(()), usage, codebook, usage, 1.0, kernel)
    assert [each.name for each in launches] == ["sum_overlaps", "sum_overlaps", "sum_forces"]
    return launches


def assert_compiles(launch: KernelLaunch, capability: int) -> None:
    code = launch.compile(capability)
    assert code.spills == 0, launch.name
    assert code.shared <= 48 * 1024
    assert code.instructions["FFMA"] > 0


@pytest.mark.slow
def test_kernels_compile() -> None:
    for launch in launches_of("minimum"):
        assert_compiles(launch, 90)


@pytest.mark.full
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_compiles(kernel: str, capability: int) -> None:
    for launch in launches_of(kernel):
        assert_compiles(launch, capability)
