"""Cases on a CUDA GPU, for the ops that have a kernel there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

import recops
from recops.benchmarks.balance_assignment import balance_case
from recops.benchmarks.coaction import coaction_case, gather_case, request_case
from recops.benchmarks.codebook_overlap import overlap_case
from recops.benchmarks.cuda.next_logits import next_logits_case
from recops.benchmarks.cuda.peers import (
    built_at_first_call,
    cuvs_search,
    faiss_search,
    flash_kmeans_search,
    flashrec_step,
)
from recops.benchmarks.cuda.quantization import beam_cases, code_cases
from recops.benchmarks.cuda.trie_lookups import lookup_cases
from recops.benchmarks.embedding import UPDATES, features_case, lookup_case, update_case
from recops.benchmarks.memory import (
    HPMN,
    MIMN,
    hpmn_case,
    hpmn_stream_case,
    mimn_case,
    read_case,
    stream_case,
)
from recops.benchmarks.recurrent import layer_case, one_step_case, scan_case
from recops.benchmarks.registry import Case, Thunk
from recops.benchmarks.trie import ONE_REC, SMALL, TIGER, Search, Workload, bytes_of_children
from recops.benchmarks.trie_peers import padded_rows_in

CudaCases = Callable[[torch.device, bool], Iterator[Case]]

# rows, dimension, levels, codewords per level
ENCODE_SHAPES = [
    (1_000_000, 768, 3, 1024),
    (1_000_000, 128, 4, 256),
    (1_000_000, 64, 3, 256),
    (50_000, 768, 3, 8192),
    (256, 768, 3, 1024),
]
QUICK_ENCODE_SHAPE = (20_000, 128, 3, 256)
# candidates, users (None: one per candidate), events
COACTION_SHAPES: list[tuple[int, int | None, int]] = [
    (4096, None, 50),
    (128, None, 100),
    (1000, 1, 50),
]
# candidates, events of table rows
GATHER, QUICK_GATHER = (4096, 50), (16, 20)
# candidates of a request, pairs of features, events
REQUEST, QUICK_REQUEST = (1000, 48, 50), (20, 3, 10)
# rows, dimension, codewords
ASSIGNMENT_SHAPE = (100_000, 64, 1024)
QUICK_ASSIGNMENT_SHAPE = (2000, 16, 32)
# codewords, dimension
OVERLAP_SHAPES = [(4096, 64), (1024, 768)]
QUICK_OVERLAP_SHAPE = (1024, 64)
QUICK_COACTION_SHAPE = (128, None, 50)
# rows of ids, ids per row, rows of the table, width
LOOKUP_SHAPES = [(4096, 100, 1_000_000, 64), (4096, 100, 1_000_000, 18)]
QUICK_LOOKUP_SHAPE = (128, 100, 2000, 18)
# rows, steps, hidden size
LAYER_SHAPES = [(1024, 100, 128), (256, 100, 36)]
QUICK_LAYER_SHAPE = (128, 20, 36)
NEXT_LOGITS_ROWS = [8, 4096]
# as in recops.benchmarks.memory
QUICK_MIMN = (8, 20, 32, 8, "code", 1)
QUICK_HPMN = (8, 24, 32, 32, (1, 2, 4, 8))
QUICK_STREAM = (100, 50)
STREAM = (1_000_000, 200_000)
SEARCHES = {
    "faiss": faiss_search,
    "cuVS": cuvs_search,
    "flash-kmeans": flash_kmeans_search,
}
BEAM_WORKLOADS = [Workload(**{**vars(ONE_REC), "batch": 8}), TIGER]


def _quantization(device: torch.device, quick: bool) -> Iterator[Case]:
    for shape in [QUICK_ENCODE_SHAPE] if quick else ENCODE_SHAPES:
        yield encode_case(*shape, device=device, compiled=not quick)
    shape = QUICK_ENCODE_SHAPE if quick else ENCODE_SHAPES[0]
    yield encode_case(*shape, device=device, dtype=torch.bfloat16)
    yield encode_case(*shape, device=device, clustered=True)
    rows, dim, _, size = shape
    yield nearest_case(rows, dim, size, device=device)
    yield from beam_cases(device, quick)
    yield from code_cases(device, quick)


def _tries(device: torch.device, quick: bool) -> Iterator[Case]:
    for workload in BEAM_WORKLOADS[-1:] if quick else BEAM_WORKLOADS:
        search = Search(workload)
        for dtype in (torch.float32, torch.bfloat16):
            yield step_case(search, 1, device=device, dtype=dtype)
    search = Search(SMALL if quick else TIGER)
    for rows in NEXT_LOGITS_ROWS[:1] if quick else NEXT_LOGITS_ROWS:
        yield next_logits_case(search, rows, device=device)
    yield next_logits_case(search, NEXT_LOGITS_ROWS[0], in_place=True, device=device)
    yield from lookup_cases(search, device, quick)


def _coaction(device: torch.device, quick: bool) -> Iterator[Case]:
    for candidates, users, events in [QUICK_COACTION_SHAPE] if quick else COACTION_SHAPES:
        for backward in (False, True):
            yield coaction_case(
                candidates, users, events, backward=backward, compiled=not quick, device=device
            )
    for sparse in (False, True):
        yield gather_case(*QUICK_GATHER if quick else GATHER, sparse=sparse, device=device)
    for backward in (False, True):
        yield request_case(*QUICK_REQUEST if quick else REQUEST, backward=backward, device=device)


def _recurrent(device: torch.device, quick: bool) -> Iterator[Case]:
    for shape in [QUICK_LAYER_SHAPE] if quick else LAYER_SHAPES:
        for backward in (False, True):
            yield layer_case(*shape, backward=backward, device=device)
            yield scan_case(*shape, backward=backward, device=device)
    rows, _, hidden = QUICK_LAYER_SHAPE if quick else LAYER_SHAPES[0]
    yield one_step_case(rows, hidden, device=device)


def _memory(device: torch.device, quick: bool) -> Iterator[Case]:
    for backward in (False, True):
        yield mimn_case(*(QUICK_MIMN if quick else MIMN[-1]), backward=backward, device=device)
        yield hpmn_case(*(QUICK_HPMN if quick else HPMN[0]), backward=backward, device=device)
    for stream in (stream_case, hpmn_stream_case):
        yield stream(*(QUICK_STREAM if quick else STREAM), device=device)
    yield read_case(*(QUICK_STREAM if quick else STREAM), device=device)


def _assignments(device: torch.device, quick: bool) -> Iterator[Case]:
    yield balance_case(*(QUICK_ASSIGNMENT_SHAPE if quick else ASSIGNMENT_SHAPE), device=device)


def _overlaps(device: torch.device, quick: bool) -> Iterator[Case]:
    for shape in [QUICK_OVERLAP_SHAPE] if quick else OVERLAP_SHAPES:
        yield overlap_case(*shape, compiled=not quick, device=device)
        yield overlap_case(*shape, backward=True, device=device)
    yield overlap_case(*QUICK_OVERLAP_SHAPE, kernel="minimum", device=device)


def _embeddings(device: torch.device, quick: bool) -> Iterator[Case]:
    compiled = not quick
    for shape in [QUICK_LOOKUP_SHAPE] if quick else LOOKUP_SHAPES:
        for backward in (False, True):
            yield lookup_case("sum", *shape, backward=backward, compiled=compiled, device=device)
    for optimizer in UPDATES:
        shape = QUICK_LOOKUP_SHAPE if quick else LOOKUP_SHAPES[0]
        yield update_case(optimizer, *shape, device=device)
    rows = QUICK_LOOKUP_SHAPE[0] if quick else LOOKUP_SHAPES[0][0]
    yield features_case(rows, backward=True, compiled=compiled, device=device)


_FAMILIES: dict[str, CudaCases] = {
    "balance_assignment": _assignments,
    "coaction": _coaction,
    "codebook_overlap": _overlaps,
    "embedding": _embeddings,
    "memory": _memory,
    "recurrent": _recurrent,
    "residual_quantization": _quantization,
    "trie": _tries,
}


def families(name: str | None = None) -> list[CudaCases]:
    """Return the functions that yield the cases of a family, or of all families.

    A function takes the device and ``quick``, which omits large cases. Each case holds its inputs,
    so release it before the next.

    Raises:
        ValueError: the family has no cases on a GPU.
    """
    if name is None:
        return list(_FAMILIES.values())
    if name not in _FAMILIES:
        raise ValueError(f"bench: no family {name!r} on a GPU; there are {', '.join(_FAMILIES)}")
    return [_FAMILIES[name]]


def vectors(
    rows: int, dim: int, levels: int, size: int, *, device: torch.device, clustered: bool
) -> tuple[Tensor, Tensor]:
    """Draw rows and codebooks ``[levels, size, dim]`` on a device.

    Codewords are normal and become smaller by level. With ``clustered``, a row is a sum of one
    codeword per level and noise; otherwise rows are normal.
    """
    random = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, device=device)

    books = normal(levels, size, dim) / 2 ** torch.arange(levels, device=device)[:, None, None]
    x = normal(rows, dim)
    if clustered:
        x *= 0.1
        for book in books:
            x += book[torch.randint(size, (rows,), generator=random, device=device)]
    return x, books


def encode_eagerly(x: Tensor, books: Tensor) -> tuple[Tensor, Tensor]:
    """Encode greedily as users write it: one matmul and one argmin per level, in float32."""
    residual = x.float()
    codes = []
    for book in books.float():
        scores = torch.addmm(book.square().sum(1) / 2, residual, book.T, alpha=-1)
        codes.append(scores.argmin(1))
        residual = residual - book[codes[-1]]
    return torch.stack(codes, 1), residual.square().sum(1)


def in_blocks(
    encode: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, books: Tensor
) -> tuple[Tensor, Tensor]:
    """Encode blocks of rows, so that the scores of one block fit in memory."""
    size = max(1, 2**29 // books.shape[1])
    results = [encode(block, books) for block in x.split(size)]
    return torch.cat([codes for codes, _ in results]), torch.cat([error for _, error in results])


def assert_same_codes(codes: Tensor, expected: Tensor) -> None:
    """Check that codes are equal except for near ties, which depend on the order of summation."""
    different = (codes != expected).any(1).float().mean().item()
    assert different < 1e-3, f"{different:.2%} of the rows have other codes"


def encode_case(
    rows: int,
    dim: int,
    levels: int,
    size: int,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    clustered: bool = False,
    compiled: bool = False,
) -> Case:
    """Encode greedily; the peers are eager PyTorch and torch.compile."""
    x, books = vectors(rows, dim, levels, size, device=device, clustered=clustered)
    x, books = x.to(dtype), books.to(dtype)
    peers: dict[str, Thunk] = {"eager": lambda: in_blocks(encode_eagerly, x, books)}
    if compiled:
        fused = torch.compile(encode_eagerly)
        peers["compile"] = lambda: in_blocks(fused, x, books)

    def verify() -> None:
        codes, sq_error = recops.rq_encode(x, books)
        expected, expected_error = in_blocks(encode_eagerly, x, books)
        assert_same_codes(codes, expected)
        torch.testing.assert_close(sq_error.mean(), expected_error.mean(), rtol=1e-4, atol=0)
        again = recops.rq_encode(x, books)
        assert torch.equal(codes, again[0])
        assert torch.equal(sq_error, again[1])

    return Case(
        op="rq_encode",
        shape=f"N={rows} D={dim} L={levels} K={size}" + " clustered" * clustered,
        dtype=str(dtype).removeprefix("torch."),
        device=str(device),
        run=lambda: recops.rq_encode(x, books),
        peers=peers,
        verify=verify,
        flops=2.0 * rows * dim * levels * size,
        bytes=float(x.nbytes + books.nbytes + rows * (4 * levels + 4)),
    )


def nearest_case(rows: int, dim: int, size: int, *, device: torch.device) -> Case:
    """Find the nearest codeword; the peers are eager PyTorch and other libraries' searches."""
    x, books = vectors(rows, dim, 1, size, device=device, clustered=False)
    book = books[0]
    peers: dict[str, Thunk] = {"eager": lambda: in_blocks(encode_eagerly, x, books)}
    for name, build in SEARCHES.items():
        peers[name] = built_at_first_call(partial(build, book), x)

    def verify() -> None:
        index, _ = recops.nearest_codes(x, book)
        assert_same_codes(index, in_blocks(encode_eagerly, x, books)[0])

    return Case(
        op="nearest_codes",
        shape=f"N={rows} D={dim} K={size} k=1",
        device=str(device),
        run=lambda: recops.nearest_codes(x, book),
        peers=peers,
        verify=verify,
        flops=2.0 * rows * dim * size,
        bytes=float(x.nbytes + book.nbytes + 8 * rows),
    )


def step_case(search: Search, level: int, *, device: torch.device, dtype: torch.dtype) -> Case:
    """Run one beam step; the peers are STATIC's method, padded rows, and FlashRec's kernel."""
    trie, num_beams = search.trie.to(device), search.workload.beams
    nodes, scores = (values.to(device) for values in search.beams(level))
    logits = search.logits(level).to(device, dtype)
    padded, wide_nodes = padded_rows_in(trie), nodes.long()
    flashrec = built_at_first_call(
        partial(flashrec_step, trie, level), logits, nodes, scores, num_beams
    )

    def run() -> recops.BeamStep:
        return recops.trie_beam_step(logits, trie, nodes, scores, num_beams=num_beams)

    def padded_rows() -> object:
        return padded.step(logits, wide_nodes, scores, num_beams, level)

    def verify() -> None:
        expected = padded.step(logits, wide_nodes, scores, num_beams, level)[0]
        torch.testing.assert_close(run().scores, expected, rtol=1e-5, atol=1e-4)

    return Case(
        op="trie_beam_step",
        shape=f"{search.workload} level={level}",
        dtype=str(dtype).removeprefix("torch."),
        device=str(device),
        run=run,
        peers={"padded rows": padded_rows, "FlashRec": flashrec},
        verify=verify,
        bytes=float(logits.nbytes + bytes_of_children(trie, nodes, logits)),
        ceiling="bandwidth",
    )
