"""Packed codes: layout, round trip, compatibility with faiss, and errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from recops import reference


def random_codes(n: int, sizes: list[int], dtype: torch.dtype = torch.int32) -> Tensor:
    columns = [torch.randint(0, size, (n,)) for size in sizes]
    return torch.stack(columns, 1).to(dtype) if sizes else torch.empty((n, 0), dtype=dtype)


@pytest.mark.numerics
@settings(max_examples=60)
@given(
    n=st.integers(0, 20),
    sizes=st.lists(
        st.one_of(st.integers(1, 300), st.sampled_from([1, 256, 8192, 2**31])), max_size=6
    ),
    wide=st.booleans(),
)
def test_packing_agrees_with_the_reference_and_round_trips(
    n: int, sizes: list[int], wide: bool
) -> None:
    codes = random_codes(n, sizes, torch.int64 if wide else torch.int32)
    packed = recops.pack_codes(codes.T.contiguous().T, sizes)
    assert packed.dtype == torch.uint8
    assert torch.equal(packed, reference.pack_codes(codes, sizes))
    unpacked = recops.unpack_codes(packed, sizes)
    assert torch.equal(unpacked, codes.int())
    assert torch.equal(reference.unpack_codes(packed, sizes), unpacked)


def test_the_layout_is_lowest_bit_first() -> None:
    assert recops.pack_codes(torch.tensor([[5, 1, 9]]), [8, 2, 10]).tolist() == [[0b10011101]]
    assert recops.pack_codes(torch.tensor([[0x3FF, 0]]), [1024, 300]).tolist() == [[255, 3, 0]]


def test_powers_of_two_are_packed_as_faiss_does() -> None:
    faiss = pytest.importorskip("faiss")
    codes = random_codes(300, [1024] * 3)
    assert recops.pack_codes(codes, [1024] * 3).tolist() == (
        faiss.pack_bitstrings(codes.numpy(), 10).tolist()
    )


def test_compiles_and_passes_opcheck() -> None:
    sizes = [5, 300]
    codes = random_codes(9, sizes)
    packed = recops.pack_codes(codes, sizes)
    torch.library.opcheck(torch.ops.recops.pack_codes.default, (codes, sizes))
    torch.library.opcheck(torch.ops.recops.unpack_codes.default, (packed, sizes))
    there_and_back = torch.compile(
        lambda c: recops.unpack_codes(recops.pack_codes(c, sizes), sizes),
        fullgraph=True,
        backend="eager",
    )
    assert torch.equal(there_and_back(codes), codes)


CODES = torch.tensor([[0, 1], [4, 2]], dtype=torch.int32)
ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: recops.pack_codes(CODES - 1, [5, 3]),
        IndexError,
        r"codes\[0, 0\] must be from 0 to 4, got -1",
    ),
    (
        lambda: recops.pack_codes(CODES, [5, 2]),
        IndexError,
        r"codes\[1, 1\] must be from 0 to 1, got 2",
    ),
    (lambda: recops.pack_codes(CODES, [5]), ValueError, "codes must have 1 columns.*got 2"),
    (lambda: recops.pack_codes(CODES, [5, 0]), ValueError, r"sizes\[1\] must be from 1.*got 0"),
    (lambda: recops.pack_codes(CODES.float(), [5, 3]), TypeError, "codes must be one of int32"),
    (lambda: recops.unpack_codes(CODES, [5, 3]), TypeError, "packed must be one of uint8"),
    (
        lambda: recops.unpack_codes(CODES.to(torch.uint8), [5, 3]),
        ValueError,
        "packed must have 1 bytes per row.*got 2",
    ),
    (
        lambda: recops.unpack_codes(torch.tensor([[7]], dtype=torch.uint8), [5, 3]),
        IndexError,
        r"unpack_codes: codes\[0, 0\] must be from 0 to 4, got 7",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
