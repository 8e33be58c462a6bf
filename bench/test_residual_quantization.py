"""Lower bounds on the speed-ups of residual quantization."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import recops
from recops.benchmarks import k_means
from recops.benchmarks import residual_quantization as cases
from recops.benchmarks.ceilings import probe
from recops.benchmarks.runner import thread_count

WIDE = recops.cpu_isa() == "avx512"
VNNI = WIDE and torch.cpu._is_vnni_supported()  # products of small integers, on AVX-512
# On clustered rows. Measured with VNNI (Zen 4, one thread): 5.9, 3.3, 4.4 and 3.5. Without VNNI the
# float kernel runs at D = 64, and at D = 768 faiss reaches 68 % of the peak of AVX2.
FAISS_FLOORS = dict(
    zip(
        cases.SHAPES,
        (3.3, 2.5, 2, 2) if VNNI else (3.3, 1.6, 1.4, 1.3 if WIDE else 1.15),
        strict=True,
    )
)
#   Zen 4, VNNI              3.8, 4.3, 2.3, 2.6.
#   Zen 4, AVX-512           2.57, 2.88, 1.38, 1.73.
#   Zen 3, AVX2              2.4, 2.9, 1.32, 2.0.
#   Zen 3, AVX2, shared      2.5, 2.7, 1.24, 1.53.
#   targets                  3, 4, 1.3, 1.8.
# At D = 128 the float table of products exceeds the second-level cache.
BEAM_FLOORS = dict(
    zip(
        cases.BEAM_SHAPES,
        (3.3, 4, 2, 2.3) if VNNI else (2.3, 2.6, 1.3, 1.55) if WIDE else (2.0, 2.4, 1.15, 1.4),
        strict=True,
    )
)
# By rows, dimension, levels, codewords and beam. Measured on Zen 4, one thread: 37, 33 and 130 at
# the first three shapes, whose targets are 20, 20 and 100. At the last shape the peer's distances
# take less than 32 MB, for which malloc can reuse pages: 31 in a fresh process, 10 after other
# tests.
VQP_FLOORS = {
    (40_000, 32, 3, 256, 1): 20,
    (40_000, 64, 3, 256, 1): 20,
    (8192, 32, 3, 256, 5): 100,
    (8192, 32, 3, 256, 1): 7,
}
# Limited by memory. Measured: 1.44 to 1.59 with AVX2 (Zen 3), 1.8 with AVX-512.
INDEX_ADD_FLOOR = 1.5 if WIDE else 1.35
# Runs of a few milliseconds, so that some of them are not interrupted.
SHORT_SHAPES = [(rows // 10, *sizes) for rows, *sizes in cases.SHAPES]


@pytest.mark.parametrize("shape", cases.SHAPES)
def test_encode_is_faster_than_faiss(shape: tuple[int, int, int, int], outruns) -> None:
    pytest.importorskip("faiss")
    outruns(cases.encode_case(*shape, data="clustered"), "faiss", FAISS_FLOORS[shape])


@pytest.mark.parametrize("data", ["spread", "outlying"])
@pytest.mark.parametrize("shape", SHORT_SHAPES)
def test_encode_is_no_slower_than_by_floats(
    shape: tuple[int, int, int, int], data: cases.Data, outruns
) -> None:
    """Integers exclude fewer codewords on such data; the last shape has too few rows for them."""
    outruns(cases.encode_case(*shape, data=data), "floats", 0.95)


@pytest.mark.parametrize("shape", cases.BEAM_SHAPES)
def test_beam_search_is_faster_than_faiss(shape: tuple[int, int, int, int, int], outruns) -> None:
    pytest.importorskip("faiss")
    outruns(cases.beam_case(*shape), "faiss", BEAM_FLOORS[shape])


@pytest.mark.parametrize("shape", SHORT_SHAPES)
def test_encode_reaches_the_multiply_add_peak(
    shape: tuple[int, int, int, int], outruns, benchmark
) -> None:
    """Measured: 0.88 to 0.92 of the peak (Zen 4, one thread, the other core busy)."""
    case = cases.encode_case(*shape)
    case = replace(case, run=case.peers["floats"])
    with thread_count(1):
        ceiling = probe("fma")
    share = case.flops / ceiling.work  # share of the peak at a ratio of 1
    benchmark.extra_info["ceiling_share"] = share * outruns(case, ceiling.run, 0.85 / share)


@pytest.mark.parametrize("rows", cases.BATCHES)
@pytest.mark.parametrize("shape", cases.SHAPES)
def test_small_batches_are_no_slower_than_torch(
    rows: int, shape: tuple[int, int, int, int], outruns
) -> None:
    outruns(cases.encode_case(rows, *shape[1:]), "reference", 1)


def test_two_threads_are_faster_than_one(outruns) -> None:
    outruns(cases.scaling_case(*SHORT_SHAPES[0]), "one thread", 1.7)


def test_decode_is_as_fast_as_a_copy(outruns) -> None:
    """Compare with a copy of the decoded vectors; both include page faults of the new result."""
    case = cases.decode_case(100_000, 256, 3, 256)
    decoded = case.run()
    assert isinstance(decoded, torch.Tensor)
    outruns(case, decoded.clone, 0.9)


def test_accumulate_is_faster_than_index_add(outruns) -> None:
    outruns(cases.accumulate_case(50_000, 256, 256), "index_add", INDEX_ADD_FLOOR)


def test_lloyd_iteration_is_faster_than_faiss(outruns) -> None:
    pytest.importorskip("faiss")
    outruns(k_means.lloyd_case(50_000, 256, 256), "faiss", 2 if VNNI else 1.25)


@pytest.mark.parametrize("shape", VQP_FLOORS)
def test_encode_is_faster_than_vector_quantize_pytorch(
    shape: tuple[int, int, int, int, int], outruns
) -> None:
    pytest.importorskip("vector_quantize_pytorch")
    outruns(cases.vqp_case(*shape), "vector-quantize-pytorch", VQP_FLOORS[shape])
