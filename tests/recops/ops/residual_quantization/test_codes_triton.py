"""Triton kernels of decoding and sums by code: interpreted runs, and compilation for two cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from interpreted import assert_interpreted
from recops.benchmarks.cuda.machine_code import KernelLaunch, recorded_launches
from recops.ops.residual_quantization.triton.codes import (
    DECODE,
    accumulate_codes,
    decode,
    rq_decode_backward,
    select_tiles,
)

FOLDER = Path(__file__).parent
OP_TESTS = ["test_residual_quantization.py", "test_product_codes.py"]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(scope="module", autouse=True)
def _compiled_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled kernels for this module only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@pytest.mark.slow
def test_kernels_in_the_interpreter() -> None:
    assert_interpreted(FOLDER, "interpreted_codes.py")


@pytest.mark.full
def test_op_tests_on_interpreted_kernels() -> None:
    chosen = "kernel and (decode or accumulate or groups or straight) and not counts_past"
    assert_interpreted(FOLDER, "-p", "triton_on_cpu", "-k", chosen, *OP_TESTS)


def launches_of(dtype: torch.dtype, dim: int) -> list[KernelLaunch]:
    """Return the launches of all ops, without those of sums by row."""
    words, codes = torch.zeros(8, dim, dtype=dtype), torch.zeros(4, 2, dtype=torch.int64)
    with recorded_launches() as launches:
        decode(codes, words, [5, 3])
        rq_decode_backward(words[:4], codes, [5, 3])
        accumulate_codes(words[:4], codes[:, 0].int(), 5, torch.ones(4))
    own = [launch for launch in launches if launch.name not in ("sum_pieces", "sum_rows")]
    names = ["decode_codes", "find_words", "find_words", "sum_weights"]
    assert [launch.name for launch in own] == names
    return own


def assert_compiles(launch: KernelLaunch, capability: int) -> None:
    code = launch.compile(capability)
    assert code.spills == 0
    assert code.shared <= 48 * 1024


@pytest.mark.slow
def test_kernels_compile() -> None:
    for launch in launches_of(torch.bfloat16, 64):
        assert_compiles(launch, 90)


@pytest.mark.full
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_configuration_compiles(dtype: torch.dtype, capability: int) -> None:
    for tiles in DECODE:
        for launch in launches_of(dtype, min(tiles.dim, 768)):
            assert_compiles(launch, capability)


def test_every_entry_of_the_table_is_selected() -> None:
    assert {select_tiles(dim) for dim in (1, 16, 17, 64, 65, 10**6)} == set(DECODE)
