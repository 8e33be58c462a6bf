"""Triton kernels of beam search: interpreted runs, and compilation for two cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from interpreted import assert_interpreted
from recops.benchmarks.cuda.machine_code import KernelLaunch, recorded_launches
from recops.ops.residual_quantization.triton.beams import (
    MOST_BEAMS,
    PRODUCTS,
    SELECTIONS,
    search,
    select,
)

FOLDER = Path(__file__).parent
OP_TESTS = ["test_residual_quantization.py", "test_rq_encode_beams.py", "test_cosine_codes.py"]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SHARED_BYTES = {80: 163 * 1024, 90: 227 * 1024}


@pytest.fixture(scope="module", autouse=True)
def _compiled_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled kernels for this module only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@pytest.mark.full
def test_kernels_in_the_interpreter() -> None:
    assert_interpreted(FOLDER, "interpreted_beams.py")


@pytest.mark.full
def test_op_tests_on_interpreted_kernels() -> None:
    # Equal codewords do not tie here: the interpreter's products round by their place in a tile.
    chosen = "nearest or wide_beam or products or errors or fit or finite"
    large = "200 or 60 or 30 or near_ties or threads or opcheck or cosine_and"
    chosen = f"kernel and ({chosen}) and not ({large})"
    assert_interpreted(FOLDER, "-p", "triton_on_cpu", "-k", chosen, *OP_TESTS)


def launches_of(
    rows: int, sizes: list[int], beam: int, dtype: torch.dtype, dim: int = 64
) -> list[KernelLaunch]:
    """Return the launches of a search, each configuration of a kernel once."""
    x, words = torch.zeros(rows, dim, dtype=dtype), torch.zeros(sum(sizes), dim, dtype=dtype)
    with recorded_launches() as launches:
        search(x, words, sizes, beam, beam, is_strict=len(sizes) > 1)
    distinct = {}
    for launch in launches:
        tiles = tuple(sorted((name, v) for name, v in launch.values.items() if name.isupper()))
        distinct[launch.name, tiles, launch.values.get("half_ptr") is None] = launch
    assert {launch.name for launch in launches} >= {
        "store_products", "select_children", "path_errors", "order_paths"
    }  # fmt: skip
    return [*distinct.values()]


def assert_compiles(launch: KernelLaunch, capability: int) -> None:
    code = launch.compile(capability)
    assert code.spills == 0, launch.name
    assert code.shared <= SHARED_BYTES[capability]
    if launch.name == "store_products":  # float32, and no rounding to the 10 bits of TF32
        assert code.instructions["FFMA"] > 0
        assert not {"HMMA", "HGMMA"} & code.instructions.keys()


@pytest.mark.slow
def test_kernels_compile() -> None:
    launches = launches_of(9, [1024, 1024], 20, torch.float32)
    assert "merge_lists" in {launch.name for launch in launches}
    for launch in launches:
        assert_compiles(launch, 90)


@pytest.mark.slow
def test_the_widest_orders_and_merges_fit_in_registers() -> None:
    for launch in launches_of(9, [1024, 1024], MOST_BEAMS, torch.float32):
        if launch.name in {"merge_lists", "order_paths"}:
            assert_compiles(launch, 90)


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("capability", sorted(SHARED_BYTES))
def test_every_configuration_compiles(capability: int, dtype: torch.dtype) -> None:
    for rows in (9, 5000):
        for beam in (3, 20, 100, 300, MOST_BEAMS):
            for launch in launches_of(rows, [1024, 1024, 300], beam, dtype):
                assert_compiles(launch, capability)
        for launch in launches_of(rows, [9000], 10, dtype):
            assert_compiles(launch, capability)


def test_every_entry_of_the_tables_is_selected() -> None:
    chosen = [select(rows, beam) for rows in (1, 10**7) for beam in (2, MOST_BEAMS)]
    assert {each.products for each in chosen} == set(PRODUCTS)
    assert {each.selection for each in chosen} == set(SELECTIONS)
