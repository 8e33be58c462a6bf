"""Every op has a GPU kernel or a reason why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from implementations import ops_with_tensors
from recops.ops._backends import NO_LIBRARY, TRITON, WITHOUT_KERNEL, backends, reasons

ROOT = Path(__file__).resolve().parents[3]
CUDA = {
    op
    for names in re.findall(
        r"^recops_add_family\([^)]* CUDA ([^A-Z)]+)", (ROOT / "CMakeLists.txt").read_text(), re.M
    )
    for op in names.split()
}
"""Ops with a kernel in the CUDA library."""


def test_an_op_has_a_kernel_or_a_reason() -> None:
    """A new kernel makes the reason in ``WITHOUT_KERNEL`` obsolete; a new op needs one of both."""
    kernels = CUDA | TRITON
    assert "trie_beam_step" in kernels
    assert sorted(ops_with_tensors() - kernels - set(WITHOUT_KERNEL)) == []
    assert sorted(kernels & set(WITHOUT_KERNEL)) == []
    assert set(WITHOUT_KERNEL) <= ops_with_tensors()


def test_no_op_has_two_kernels() -> None:
    assert not CUDA & TRITON


@pytest.mark.parametrize("cuda_ops", [CUDA, set[str]()], ids=["library", "no library"])
def test_backends_and_reasons_cover_all_ops(cuda_ops: set[str]) -> None:
    listed = backends(cuda_ops)
    assert set(listed) == ops_with_tensors()
    assert set(reasons(cuda_ops)) == {op for op, kind in listed.items() if kind == "composite"}


def test_a_missing_library_is_a_reason() -> None:
    missing = {op for op, reason in reasons([]).items() if reason == NO_LIBRARY}
    assert missing == CUDA
    assert NO_LIBRARY not in reasons(CUDA).values()
