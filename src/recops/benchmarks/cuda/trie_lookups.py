"""Cases of lookups in a trie, of its build and of item filters on a CUDA GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

import recops
from recops._load import ops
from recops.benchmarks.registry import Case
from recops.benchmarks.trie import Search, zipf_sids
from recops.ops._composite import composite

# SIDs to find, rows of masks or bans, ids per row
LOOKUPS = (1_000_000, 4096, 50)
QUICK_LOOKUPS = (1000, 8, 5)


def lookup_cases(search: Search, device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield the cases of all lookups in the trie of a search.

    The peer of each is the composite of torch ops, which runs without a kernel. Both give the same
    results. Results with a size that only the data gives make the host wait, on both sides.
    """
    count, rows, each = QUICK_LOOKUPS if quick else LOOKUPS
    trie, workload = search.trie.to(device), search.workload
    arrays = (trie.first_child, trie.tokens, trie.depth)
    random = torch.Generator().manual_seed(0)
    sids, _ = zipf_sids(workload.items, workload.vocab, workload.depth, exponent=workload.exponent)
    yield _build_case(search, sids.to(device))

    queries = sids[torch.randint(len(sids), (count,), generator=random)]
    queries[::2, -1] = torch.randint(workload.vocab, (len(queries[::2]),), generator=random)
    queries = queries.to(device)
    yield _case(
        "trie_find",
        f"{count} SIDs {workload}",
        (*arrays, queries),
        lambda: trie.find(queries),
        float(queries.nbytes + 4 * count),
    )

    nodes = trie.find(queries[:1024, :1])
    yield _case(
        "trie_items",
        f"{len(nodes)} nodes of level 1 {workload}",
        (*arrays, trie.item_ids, nodes),
        lambda: trie.items(nodes),
        16.0 * len(trie.items(nodes)[1]),
    )

    beams = search.beams(1)[0].flatten().to(device)
    yield _case(
        "trie_allowed_tokens",
        f"{len(beams)} nodes {workload}",
        (*arrays, beams, workload.vocab),
        lambda: trie.allowed_tokens(beams, workload.vocab),
        float(len(beams) * workload.vocab),
    )
    yield from _filter_cases(trie, (rows, each), random, f"N={workload.items}")
    yield _beam_items_case(search, trie, device)


def _case(
    op: str, shape: str, arguments: tuple[Any, ...], run: Callable[[], object], moved: float
) -> Case:
    """Return the case of a lookup, whose peer is the composite on the arguments of the op.

    Args:
        op: name of the op.
        shape: label of the case.
        arguments: those of the op.
        run: call of the public function.
        moved: bytes that any implementation reads and writes.
    """
    slow = composite(op)

    def verify() -> None:
        results = getattr(ops, op)(*arguments), slow(*arguments)
        for actual, expected in zip(*map(_tensors, results), strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6, equal_nan=True)

    return Case(
        op=op,
        shape=shape,
        dtype="int64",
        device=str(_tensors(arguments)[0].device),
        run=run,
        peers={"composite": lambda: slow(*arguments)},
        verify=verify,
        bytes=moved,
        ceiling="bandwidth",
    )


def _tensors(values: object) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(values) if isinstance(leaf, Tensor)]


def _build_case(search: Search, sids: Tensor) -> Case:
    """Build a trie; the peer only sorts the SIDs, by one stable sort per level."""
    workload = search.workload

    def build() -> recops.SidTrie:
        return recops.SidTrie.from_sids(sids, vocab_sizes=workload.vocab)

    def sort() -> Tensor:
        order = torch.arange(len(sids), device=sids.device)
        for level in reversed(range(sids.shape[1])):
            order = order[sids[order, level].sort(stable=True).indices]
        return order

    def verify() -> None:
        trie, order = build(), sort()
        assert torch.equal(trie.item_ids, order)
        for name in ("first_child", "tokens", "item_ids", "item_rows", "stamp"):
            assert torch.equal(getattr(trie, name).cpu(), getattr(search.trie, name)), name

    return Case(
        op="trie_build",
        shape=str(workload),
        dtype="int64",
        device=str(sids.device),
        run=build,
        peers={"sorts alone": sort},
        verify=verify,
        bytes=float(sids.nbytes + search.trie.nbytes),
        ceiling="bandwidth",
    )


def _filter_cases(
    trie: recops.SidTrie, sizes: tuple[int, int], random: torch.Generator, shape: str
) -> Iterator[Case]:
    """Yield a mask of a tenth of the items, and bans of a few items per row."""
    rows, each = sizes
    device = trie.device
    is_kept = (torch.rand(trie.num_items, generator=random) < 0.1).to(device)
    allowed_ids = trie.item_ids[is_kept]
    one_row = torch.tensor([0, len(allowed_ids)], device=device)
    yield _case(
        "trie_mask",
        f"{len(allowed_ids)} ids {shape}",
        (trie.item_ids, trie.id_order, allowed_ids, one_row, True, False),
        lambda: trie.mask(keep=allowed_ids),
        float(allowed_ids.nbytes + trie.num_items / 8),
    )
    seen = torch.randint(trie.num_items, (rows * each,), generator=random).to(device)
    offsets = torch.arange(0, rows * each + 1, each, device=device)
    yield _case(
        "trie_bans",
        f"R={rows} of {each} ids {shape}",
        ([trie.item_ids], [trie.id_order], None, seen, offsets),
        lambda: recops.item_bans(trie, (seen, offsets)),
        float(seen.nbytes + 4 * len(seen)),
    )


def _beam_items_case(search: Search, trie: recops.SidTrie, device: torch.device) -> Case:
    """Turn the leaves of a search into items, ordered by a prior within each leaf."""
    nodes, scores = (values.to(device) for values in search.beams(trie.depth))
    num_beams = search.workload.beams
    prior = torch.rand(trie.num_items, generator=torch.Generator().manual_seed(1)).to(device)
    arguments = (
        *(trie.first_child, trie.tokens, trie.stamp, trie.item_ids, trie.item_rows, trie.depth),
        *(nodes, scores, num_beams, None, None, None, None, None, [prior]),
    )
    moved = nodes.numel() * (8 + 16 + 4 * trie.depth)
    return _case(
        "trie_beam_items",
        str(search.workload),
        arguments,
        lambda: ops.trie_beam_items(*arguments),
        float(moved),
    )
