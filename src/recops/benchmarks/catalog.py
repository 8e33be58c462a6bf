"""Benchmarks of snapshots of a live catalogue against building the trie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

import recops
from recops.benchmarks.registry import Case, register
from recops.benchmarks.trie import ONE_REC, Workload, zipf_sids


@register("catalog")
def cases(quick: bool) -> Iterator[Case]:
    yield snapshot_case(ONE_REC, 1000)
    if not quick:
        yield snapshot_case(ONE_REC, 1000, remove=True)


def snapshot_case(workload: Workload, count: int, *, remove: bool = False) -> Case:
    """Insert (or remove) ``count`` items and take a snapshot; the peer builds the whole trie."""
    sids, _ = zipf_sids(
        workload.items + count, workload.vocab, workload.depth, exponent=workload.exponent
    )
    ids = np.random.default_rng(0).permutation(10 * workload.items)[: len(sids)]
    catalog = recops.SidCatalog([workload.vocab] * workload.depth, history=4096)
    catalog.insert(ids, sids.numpy())
    if not remove:
        catalog.remove(ids[-count:])
    before = catalog.snapshot()  # referenced, so that rolling back to it needs no merge
    remaining = slice(0, workload.items)

    def run() -> recops.SidTrie:
        catalog.rollback(before.version)
        if remove:
            catalog.remove(ids[-count:])
        else:
            catalog.insert(ids[-count:], sids[-count:].numpy())
        return catalog.snapshot()

    def build() -> recops.SidTrie:
        chosen = remaining if remove else slice(None)
        return recops.SidTrie.from_sids(
            sids[chosen], torch.from_numpy(ids[chosen]), vocab_sizes=workload.vocab
        )

    def verify() -> None:
        actual, expected = run(), build()
        for name in ("first_child", "tokens", "item_ids", "item_rows", "id_order"):
            assert torch.equal(getattr(actual, name), getattr(expected, name)), name

    change = "removed" if remove else "inserted"
    return Case(
        op="SidCatalog.snapshot",
        shape=f"N={workload.items} V={workload.vocab} L={workload.depth}, {count} {change}",
        dtype="int64",
        run=run,
        peers={"build": build},
        verify=verify,
        bytes=2.0 * before.nbytes,
        ceiling="bandwidth",
    )
