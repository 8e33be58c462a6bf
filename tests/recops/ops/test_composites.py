"""Every op runs on every device, and the helpers of composites are right."""

from __future__ import annotations

import pytest
import torch

import recops
from implementations import composites_on_cpu, ops_with_tensors
from recops._dtypes import widest_dtype
from recops.ops._composite import (
    COMPOSITES,
    check_range,
    running_sum_by_row,
    sum_by_row,
    vector_jacobian,
)
from recops.ops.residual_quantization._cosine_codes import _scaled_length

DEVICES = ("CUDA", "MPS", "XPU")


@pytest.mark.parametrize("key", DEVICES)
def test_every_op_has_a_kernel_for_every_device(key: str) -> None:
    """The dispatcher finds a composite or a dedicated kernel for each op; there is no exception."""
    has_kernel = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    assert [op for op in ops_with_tensors() if not has_kernel(f"recops::{op}", key)] == []


def test_every_composite_is_of_an_op() -> None:
    assert set(COMPOSITES) <= ops_with_tensors()


def test_composites_replace_the_cpu_kernels_only_within_the_context() -> None:
    x, alpha = torch.randn(7, 5), torch.rand(5)

    def composite_calls() -> int:
        with torch.profiler.profile() as profile:
            recops.dice(x, alpha)
        return sum(event.name == "aten::sigmoid" for event in profile.events())

    assert composite_calls() == 0
    with composites_on_cpu():
        assert composite_calls() == 1
    assert composite_calls() == 0


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_sums_by_row(count: int) -> None:
    values, rows = torch.randn(count, 3, dtype=torch.float64), torch.randint(-1, 6, (count,))
    sums = sum_by_row(values, rows, 5)  # some rows are −1 or 5, outside the sums
    expected = torch.stack([values[rows == row].sum(0) for row in range(5)])
    torch.testing.assert_close(sums, expected)


def test_a_sum_by_row_contains_no_nan_of_other_rows() -> None:
    values, rows = torch.ones(6, 2), torch.tensor([2, 0, 1, 0, 2, -1])
    values[[2, 5]] = torch.nan
    sums = sum_by_row(values, rows, 4)
    assert sums[[0, 2, 3]].tolist() == [[2, 2], [2, 2], [0, 0]]
    assert sums[1].isnan().all()


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_running_sums_by_row(count: int, inclusive: bool) -> None:
    values, rows = torch.randn(count, 2, dtype=torch.float64), torch.randint(5, (count,))
    sums = running_sum_by_row(values, rows, inclusive=inclusive)
    for i in range(count):
        earlier = values[: i + inclusive][rows[: i + inclusive] == rows[i]]
        torch.testing.assert_close(sums[i], earlier.sum(0))


def test_vector_jacobian_below_autograd() -> None:
    x, y, unused = torch.randn(3), torch.randn(3), torch.randn(2)
    with torch._C._AutoDispatchBelowAutograd(), torch.no_grad():
        grads = vector_jacobian(
            lambda x, y, _: (x * y, x, x.detach()), [x, y, unused], [torch.ones(3), None, None]
        )
    assert torch.equal(grads[0], y)
    assert torch.equal(grads[1], x)
    assert torch.equal(grads[2], torch.zeros(2))


def test_a_range_error_names_the_first_wrong_entry() -> None:
    values = torch.tensor([[0, 4], [9, -1]])
    check_range("f", "codes", values, -1, 9)
    with pytest.raises(IndexError, match=r"f: codes must be from -1 to 8, got codes\[1, 0\] = 9"):
        check_range("f", "codes", values, -1, 8)
    with pytest.raises(ValueError, match=r"f: bags\[2\]: ids must be .* got ids\[1, 1\] = -1"):
        check_range("f", "bags[2]: ids", values, 0, 9, error=ValueError)


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1.0, 1e20, 1e38])
def test_lengths_do_not_overflow_without_float64(scale: float) -> None:
    x = torch.rand(5, 3) * scale
    x[1], x[2, 0], x[3, 1] = 0, torch.nan, torch.inf
    expected = torch.linalg.vector_norm(x.double(), dim=1, keepdim=True).float()
    expected[[2, 3]] = torch.nan
    torch.testing.assert_close(_scaled_length(x), expected, atol=0, rtol=1e-6, equal_nan=True)


def test_mps_has_no_float64() -> None:
    dtypes = {kind: widest_dtype(torch.device(kind)) for kind in ("cpu", "cuda", "mps", "xpu")}
    assert dtypes.pop("mps") == torch.float32
    assert set(dtypes.values()) == {torch.float64}


def test_sparse_tensors_are_refused() -> None:
    """The dispatcher selects a composite for a sparse tensor on the CPU."""
    trie = recops.SidTrie.from_sids(torch.tensor([[0, 1], [2, 1]]))
    nodes = torch.zeros(1, 1, dtype=torch.int64).to_sparse()
    with pytest.raises(TypeError, match=r"trie_beam_step: tensors must be strided, got torch\.spa"):
        recops.trie_beam_step(torch.zeros(1, 1, 3), trie, nodes, torch.zeros(1, 1), num_beams=2)


def test_a_trie_changed_in_place_is_read_again() -> None:
    sids = torch.tensor([[0, 1], [2, 1]])
    trie = recops.SidTrie.from_sids(sids)
    first_child = trie.first_child.clone()
    with composites_on_cpu():
        expected = torch.ops.recops.trie_find(first_child, trie.tokens, 2, sids)
        first_child[-1] = -1
        with pytest.raises(ValueError, match="trie must be of depth 2"):
            torch.ops.recops.trie_find(first_child, trie.tokens, 2, sids)
        first_child.copy_(trie.first_child)
        assert torch.equal(torch.ops.recops.trie_find(first_child, trie.tokens, 2, sids), expected)
