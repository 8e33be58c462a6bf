"""Ops with a GPU kernel are captured in a CUDA graph, and a replay gives the results of a call.

The captures need a GPU. test_cuda_capture.py checks on the CPU what a capture forbids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import recops
from device_calls import DeviceCall
from emulated_op import READS
from public_calls import BOOKS, CALLS, TRIE, Call, X, step
from recops.ops.trie.trie_next_logits import trie_next_logits
from recops.state.token_map import TokenMap

NEXT_LOGITS: dict[str, Any] = {
    "logits": torch.randn(3, 20),
    "sequences": torch.tensor([[15, 0], [1, 15], [15, 3]]),
    "trie": TRIE,
    "token_map": TokenMap.of([0, 7], TRIE.vocab_sizes),
    "prompt_length": None,
    "begin_token": 15,
    "end_tokens": [16],
}
ARGUMENTS = {call.name: call.arguments for call in CALLS}
DATA_SIZED = {"coaction_gather_backward_sparse"}
"""Ops whose results have sizes that depend on data, so that a launcher waits for them."""


def mimn_read_without_gradients(**arguments: Any) -> tuple[Tensor, ...]:
    """Call the read, which is a scan if it needs gradients."""
    with torch.no_grad():
        return recops.mimn_read(**arguments)


ALL_CALLS = [
    *CALLS,
    Call(recops.coaction_gather, {**ARGUMENTS["coaction_gather"], "sparse": False}),
    Call(mimn_read_without_gradients, ARGUMENTS["mimn_read"]),
    Call(recops.rq_encode, {"x": X, "codebooks": BOOKS}),
    Call(recops.nearest_codes, {"x": X, "codebook": BOOKS[0]}),
    Call(
        recops.constrained_beam_search,
        {"step": step, "trie": TRIE, "batch_size": 2, "num_beams": 3},
    ),
    Call(trie_next_logits, NEXT_LOGITS),
    Call(trie_next_logits, {**NEXT_LOGITS, "in_place": True}),
]


class _CalledOps(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func.namespace == "recops":
            self.names.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


def ops_with_kernels() -> set[str]:
    """Return the ops with a GPU kernel, without those whose results the host must read."""
    backends = recops.build_info()["backends"]
    kernels = {op for op, kind in backends.items() if kind != "composite"}
    return kernels - READS.keys() - DATA_SIZED


@cache
def captured_calls() -> dict[str, tuple[Call, set[str]]]:
    """Return the calls whose ops all have a GPU kernel, and these ops."""
    calls = {}
    for number, call in enumerate(ALL_CALLS):
        if "SidCatalog" in call.name or call.name == "SidTrie.from_sids":
            continue
        with _CalledOps() as called:
            DeviceCall(call, torch.device("cpu")).run()
        if called.names and called.names <= ops_with_kernels():
            calls[f"{call.name}-{number}"] = call, called.names
    return calls


def test_every_op_with_a_kernel_has_a_call() -> None:
    assert set().union(*(ops for _, ops in captured_calls().values())) == ops_with_kernels()


@pytest.mark.cuda
def test_a_replay_gives_the_results_of_a_call() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    for name, (call, _) in captured_calls().items():
        expected = DeviceCall(call, device).run()
        captured = DeviceCall(call, device)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = captured.run()
        graph.replay()
        torch.cuda.synchronize()
        pairs = zip([*results[0], *results[1]], [*expected[0], *expected[1]], strict=True)
        assert all(torch.equal(actual, other) for actual, other in pairs), name
