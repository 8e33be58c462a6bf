"""Triton kernels of residual quantization: interpreted runs, and compilation for two cards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("triton")

from interpreted import assert_interpreted
from recops.benchmarks.cuda.resources import KERNELS, compilations, compile_kernel
from recops.ops.residual_quantization.triton.table import (
    SHARED_BYTES,
    Configuration,
    load_table,
    select,
)

FOLDER = Path(__file__).parent
OP_TESTS = [
    "test_residual_quantization.py",
    "test_residual_quantization_ties.py",
    "test_bad_vectors.py",
    "test_product_codes.py",
]


@pytest.mark.full
def test_kernels_in_the_interpreter() -> None:
    assert_interpreted(FOLDER, "interpreted_triton.py")


@pytest.mark.full
def test_op_tests_on_interpreted_kernels() -> None:
    chosen = "(rq_encode or nearest or equal_codewords or ties or finite)"
    assert_interpreted(FOLDER, "-p", "triton_on_cpu", "-k", chosen, *OP_TESTS)


# ---- Compilation, which needs no GPU.

DTYPES = ("float32", "bfloat16", "float16")


@pytest.fixture(scope="module", autouse=True)
def _compiled_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled kernels for this module only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


def assert_compiles(kernel: str, configuration: Configuration, capability: int, dtype: str) -> None:
    resources = compile_kernel(kernel, configuration, capability, dtype)
    assert resources.shared <= SHARED_BYTES[capability]
    uses_tensor_cores = kernel == "scan_codewords"
    assert (resources.tensor_core_instructions > 0) == uses_tensor_cores
    if uses_tensor_cores:  # one warp group multiplies 64 rows on capability 90
        is_wide = capability == 90 and configuration.kernels[kernel].tiles["BLOCK_ROWS"] >= 64
        assert ("HGMMA" if is_wide else "HMMA") in resources.instructions
    assert resources.loop_spills == 0
    if not uses_tensor_cores:
        assert resources.spills == 0
    if kernel == "score_all":  # one multiply-add per entry, in order; no tensor-core rounding
        tiles = configuration.kernels[kernel].tiles
        products = tiles["BLOCK_ROWS"] * tiles["BLOCK_CODES"] * tiles["BLOCK_DIM"]
        threads = 32 * configuration.kernels[kernel].num_warps
        assert resources.instructions["FFMA"] >= products // threads


@pytest.mark.slow
@pytest.mark.parametrize("capability", [max(SHARED_BYTES)])
@pytest.mark.parametrize("dtype", ["float32"])
def test_kernels_compile(dtype: str, capability: int) -> None:
    configuration = select(capability, 10**6, 768, 1024)
    for kernel, other, card, own_dtype in compilations(capability, (dtype,)):
        if other == configuration:
            assert_compiles(kernel, configuration, card, own_dtype)


@pytest.mark.full
@pytest.mark.parametrize("operand", ["float16", "bfloat16"])
@pytest.mark.parametrize("capability", sorted(SHARED_BYTES))
def test_every_configuration_compiles(capability: int, operand: str) -> None:
    for kernel, configuration, card, dtype in compilations(capability, DTYPES):
        assert_compiles(kernel, dataclasses.replace(configuration, operand=operand), card, dtype)


@pytest.mark.slow
def test_a_pipeline_that_is_too_deep_exceeds_the_shared_memory() -> None:
    """The check of the shared memory can fail."""
    configuration = select(90, 10**6, 768, 1024)
    scan = dataclasses.replace(configuration.kernels["scan_codewords"], num_stages=8)
    deep = dataclasses.replace(configuration, kernels={"scan_codewords": scan})
    resources = compile_kernel("scan_codewords", deep, 90, "float32")
    assert resources.shared > SHARED_BYTES[90]


# ---- The table.


def test_the_table_covers_every_shape_of_every_card() -> None:
    for capability in (80, 86, 89, 90, 100, 120):
        for rows in (1, 2048, 10**7):
            for dim in (1, 64, 32768):
                for codewords in (1, 128, 10**6):
                    configuration = select(capability, rows, dim, codewords)
                    assert configuration.matches(capability, rows, dim, codewords)
                    assert set(configuration.kernels) == set(KERNELS)
    with pytest.raises(ValueError, match="select: capability must be at least 80, got 75"):
        select(75, 1, 1, 1)


def test_every_class_of_the_table_is_selected_by_some_shape() -> None:
    shapes = [(1, 768, 1024), (10**6, 64, 1024), (10**6, 768, 64), (10**6, 768, 1024)]
    chosen = [select(card, *shape) for card in (90, 80) for shape in shapes]
    assert chosen == list(load_table())
