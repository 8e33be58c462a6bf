"""Triton kernels of co-action: interpreted runs, and compilation for two cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from interpreted import assert_interpreted
from recops.benchmarks.cuda.machine_code import KernelLaunch, recorded_launches
from recops.ops.coaction.triton.gradients import candidate_gradients
from recops.ops.coaction.triton.launch import NetInputs, forward
from recops.ops.coaction.triton.net import MOST_WIDTH, make_net
from recops.ops.coaction.triton.table import (
    BACKWARD,
    FORWARD,
    MOST_SETS,
    MOST_VALUES,
    EventTiles,
    select,
)
from recops.state.coaction import CoactionOptions

FOLDER = Path(__file__).parent
OP_TESTS = ["test_coaction.py", "test_coaction_gather.py", "test_coaction_multi.py"]
SHARED_BYTES = {80: 163 * 1024, 90: 227 * 1024}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]

RELEASED: tuple[tuple[int, ...], dict[str, Any]] = ((16, 8, 4), {"orders": 3})
NETWORKS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "released": RELEASED,
    "sets, biases and a mean": (
        (16, 8, 4),
        {"orders": 3, "bias": True, "pool": "mean", "order_independent": True},
    ),
    "two layers of selu": ((16, 16, 8), {"activation": "selu", "activate_last": True, "orders": 2}),
    "relu, last layer": ((12, 6, 3), {"activation": "relu", "concat_hidden": False}),
    "linear": ((16, 8, 4), {"activation": "none", "orders": 3, "bias": True}),
    "widest": ((MOST_WIDTH,) * 3, {"orders": 2}),
    "last layer active": ((16, 16, MOST_WIDTH), {"orders": 2, "activate_last": True}),
    "wide sets": ((MOST_WIDTH, MOST_WIDTH, 4), {"orders": 3, "order_independent": True}),
    "most sets": ((16, 8, 4), {"orders": MOST_SETS, "order_independent": True}),
}


@pytest.mark.slow
def test_kernels_in_the_interpreter() -> None:
    assert_interpreted(FOLDER, "interpreted_coaction.py")


@pytest.mark.full
def test_op_tests_on_interpreted_kernels() -> None:
    chosen = "not compiles and not threads and not gradcheck and not opcheck"
    assert_interpreted(FOLDER, "-p", "triton_on_cpu", "-k", chosen, *OP_TESTS)


# ---- Compilation, which needs no GPU.


@pytest.fixture(scope="module", autouse=True)
def _compiled_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled kernels for this module only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


def launches_of(
    network: tuple[tuple[int, ...], dict[str, Any]],
    dtype: torch.dtype,
    *,
    is_gather: bool = False,
) -> list[KernelLaunch]:
    """Return the launches of a forward and of a backward pass; lengths are given."""
    (dims, options), time = network, 50
    settings = CoactionOptions(**options, lengths=torch.zeros(2, dtype=torch.int64))
    params = torch.zeros(2, settings.params_width(dims), dtype=dtype)
    if is_gather:
        history, targets = (
            torch.zeros(2, time, dtype=torch.int64),
            torch.zeros(2, dtype=torch.int64),
        )
        inputs = NetInputs(
            torch.zeros(9, dims[0], dtype=dtype), params, dims, settings, history, targets
        )
    else:
        inputs = NetInputs(torch.zeros(2, time, dims[0], dtype=dtype), params, dims, settings)
    out = torch.zeros(2, settings.output_width(dims), dtype=dtype)
    with recorded_launches() as launches:
        forward(inputs, out)
        candidate_gradients(inputs, out, dtype, dtype)
    assert [launch.name for launch in launches] == ["coaction_forward", "coaction_backward"]
    return launches


def assert_compiles(launch: KernelLaunch, capability: int) -> None:
    code = launch.compile(capability)
    assert code.spills == 0, (launch.name, launch.values["DIMS"], code.spills)
    assert code.shared <= SHARED_BYTES[capability]
    assert code.instructions["FFMA"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("capability", sorted(SHARED_BYTES))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_kernels_compile(dtype: torch.dtype, capability: int) -> None:
    for launch in launches_of(RELEASED, dtype):
        assert_compiles(launch, capability)


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("capability", sorted(SHARED_BYTES))
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_compiles(network: str, capability: int, dtype: torch.dtype) -> None:
    """The networks select every configuration."""
    is_gather = dtype == torch.float16
    for launch in launches_of(NETWORKS[network], dtype, is_gather=is_gather):
        assert_compiles(launch, capability)


# ---- The table.


@pytest.mark.parametrize("table", [FORWARD, BACKWARD], ids=["forward", "backward"])
def test_every_class_of_the_table_is_selected(table: tuple[EventTiles, ...]) -> None:
    assert {select(table, values, 1) for values in range(1, MOST_VALUES + 1)} == set(table)
    assert select(table, MOST_VALUES, MOST_SETS) == table[-1]


def test_the_compiled_networks_select_every_configuration() -> None:
    for table, backward in ((FORWARD, False), (BACKWARD, True)):
        nets = [
            make_net(dims, CoactionOptions(**options), backward=backward)
            for dims, options in NETWORKS.values()
        ]
        assert {select(table, net.values, net.SETS) for net in nets} == set(table)
